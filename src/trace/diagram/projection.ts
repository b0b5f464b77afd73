/** One actor's column alone: between its own steps stands how many steps the others did meanwhile. */
import type { Projection } from './model.js';
import type { Item } from './items.js';

/** `... (cpu1: 3 steps, ksmd: 1 step)`: what others did after step `from` and up to step `to`; empty: nothing. */
function othersBetween({ actor, choices }: Projection, from: number, to: number, names: readonly string[]): string {
  const counts = new Map<number, number>();
  for (let step = from; step < Math.min(to, choices.length); step++) {
    const who = choices[step] as number;
    if (who !== actor) counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  const parts = [...counts]
    .toSorted(([x], [y]) => x - y)
    .map(([who, steps]) => `${names[who] ?? `cpu${who}`}: ${steps} step${steps === 1 ? '' : 's'}`);
  return parts.length === 0 ? '' : `... (${parts.join(', ')})`;
}

/** The actor's own steps, in order of time, with those of the others between them, before the first and after the last. */
export function withOthers(own: readonly Item[], projection: Projection, names: readonly string[]): Item[] {
  const out: Item[] = [];
  let done = 0;
  const others = (to: number): void => {
    const text = othersBetween(projection, done, to, names);
    const { actor } = projection;
    if (text !== '')
      out.push({ kind: 'mark', rank: 1, index: -1, time: to, actor, lines: [{ indent: 0, text, note: '' }] });
    done = Math.max(done, to);
  };
  for (const step of own) {
    others(step.time);
    out.push(step);
  }
  others(projection.choices.length);
  return out;
}

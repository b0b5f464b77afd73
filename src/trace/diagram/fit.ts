/** How the parts of a diagram come to fit a page: repetitions folded, columns chosen, and what matters least left out. */
import { recordType } from '../../events/record.js';
import { EVENT, type EventName } from '../../events/table.js';
import type { DiagramLine } from './model.js';
import type { Item } from './items.js';

/** Of who broke the rule, where others fill the rest. */
const OWN_STEPS = 3;
/** The longest pattern that is looked for, in steps, and how often it must come before it is folded. */
const PATTERN_MAX = 12;
const ROUNDS_MIN = 3;

/** What repetitions are called; others by the function that their text begins with. */
const NOUNS: Readonly<Partial<Record<EventName, string>>> = {
  page_pin: 'pins',
  page_unpin: 'unpins',
  stage2_map: 'mappings at stage 2',
  stage2_unmap: 'unmappings at stage 2',
  stage2_retry: 'retries',
  stage2_fault: 'stage-2 faults',
  fault: 'faults',
  numa_hint_fault: 'NUMA hint faults',
  wp_copy: 'copies on write',
  migrate: 'migrations',
};
const BY_TYPE = new Map(Object.entries(NOUNS).map(([name, noun]) => [EVENT[name as EventName], noun]));

function nounOf(records: Int32Array, { index, lines }: Item): string {
  const noun = index < 0 ? undefined : BY_TYPE.get(recordType(records, index));
  return noun ?? /^[^(:]+(?:\(\))?/.exec(lines.at(-1)?.text ?? '')?.[0]?.trim() ?? 'steps';
}

/** What is the same of two rounds: who, and the words without their numbers. Steps that are pointed at are never folded away. */
const shapeOf = ({ actor, kind, lines }: Item, at: number): string =>
  kind === 'mark' && lines.some(({ note }) => note !== '')
    ? `item ${at}`
    : `${actor} ${kind} ${lines
        .map(({ indent, text, note }) => `${indent}${text.replace(/\b(0x[0-9a-f]+|\d+)\b/g, '#')}${note}`)
        .join('|')}`;

/** `pins and unpins`, `pins, faults and unpins`. */
function listed(words: readonly string[]): string {
  const all = [...new Set(words)];
  return all.length < 2 ? (all[0] ?? '') : `${all.slice(0, -1).join(', ')} and ${all.at(-1) as string}`;
}

/** How often the `length` items from `from` on come again, one round after the other. */
function roundsAt(shapes: readonly string[], from: number, length: number): number {
  let rounds = 1;
  while (from + (rounds + 1) * length <= shapes.length) {
    for (let i = 0; i < length; i++) {
      if (shapes[from + rounds * length + i] !== shapes[from + i]) return rounds;
    }
    rounds++;
  }
  return rounds;
}

/** Rounds that repeat the one before become one line: `... 37 more pins and unpins`. The first and the last round stay. */
export function foldRounds(records: Int32Array, items: readonly Item[]): Item[] {
  const shapes = items.map(shapeOf);
  const out: Item[] = [];
  for (let at = 0; at < items.length;) {
    let best = { length: 0, rounds: 0 };
    for (let length = 1; length <= PATTERN_MAX && at + length * ROUNDS_MIN <= items.length; length++) {
      const rounds = roundsAt(shapes, at, length);
      // a line must be saved, and operations that a reader has written are only folded where there are many
      if (rounds >= ROUNDS_MIN && (rounds - 2) * length > 1 && rounds * length > best.rounds * best.length) {
        best = { length, rounds };
      }
    }
    const { length, rounds } = best;
    if (rounds === 0) {
      out.push(items[at] as Item);
      at++;
      continue;
    }
    const round = items.slice(at, at + length);
    const last = items.slice(at + (rounds - 1) * length, at + rounds * length);
    out.push(...round, foldOf(records, round, rounds - 2, items[at + (rounds - 1) * length - 1] as Item), ...last);
    at += rounds * length;
  }
  return out;
}

/** So many steps of one actor that go to and fro between few kinds are folded, and so many stay at either end. */
const RUN_MIN = 8;
const RUN_KINDS_MAX = 3;
const RUN_ENDS = 2;

/** Long runs of one actor that only goes to and fro, in whatever order: `... 37 more pins and unpins`, `... 9 more pins, 8 unpins`. */
export function foldRuns(records: Int32Array, items: readonly Item[]): Item[] {
  const shapes = items.map(shapeOf);
  const out: Item[] = [];
  for (let at = 0; at < items.length;) {
    const kinds = new Set<string>();
    let end = at;
    while (end < items.length && (items[end] as Item).kind === 'event' && items[end]?.actor === items[at]?.actor) {
      kinds.add(shapes[end] as string);
      if (kinds.size > RUN_KINDS_MAX) break;
      end++;
    }
    const isRun = end - at >= RUN_MIN && kinds.size > 1 && end - at >= kinds.size * RUN_ENDS * 2;
    if (!isRun) {
      out.push(items[at] as Item);
      at++;
      continue;
    }
    const middle = items.slice(at + RUN_ENDS, end - RUN_ENDS);
    const text = `... ${counted(middle.map((item) => nounOf(records, item)))}`;
    const { time, actor, rank, lines } = middle[0] as Item;
    const fold: Item = { time, actor, kind: 'mark', rank, index: -1, lines: [{ ...(lines[0] as DiagramLine), text }] };
    out.push(...items.slice(at, at + RUN_ENDS), fold, ...items.slice(end - RUN_ENDS, end));
    at = end;
  }
  return out;
}

/** `37 more pins and unpins`, or each with its number. */
function counted(nouns: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const noun of nouns) counts.set(noun, (counts.get(noun) ?? 0) + 1);
  const [first = 0, ...others] = counts.values();
  if (others.every((count) => count === first)) return `${first} more ${listed([...counts.keys()])}`;
  return [...counts].map(([noun, count], i) => `${count}${i === 0 ? ' more' : ''} ${noun}`).join(', ');
}

function foldOf(records: Int32Array, round: readonly Item[], rounds: number, { time }: Item): Item {
  const { actor, rank } = round[0] as Item;
  const indent = Math.min(...round.flatMap(({ lines }) => lines.map((line) => line.indent)));
  const others = new Set(round.map((item) => item.actor)).size > 1 ? ', in turn' : '';
  const text = `... ${rounds} more ${listed(round.map((item) => nounOf(records, item)))}${others}`;
  return { time, actor, kind: 'mark', rank, index: -1, lines: [{ indent, text, note: '' }] };
}

/** An operation in which nothing is drawn is one line: `r = guest_read(0): 1`; a result that says nothing is none. */
export function joinOperations(items: readonly Item[]): Item[] {
  const out: Item[] = [];
  for (const item of items) {
    const text = item.lines[0]?.text ?? '';
    const before = out.at(-1);
    if (item.kind !== 'end') out.push(item);
    else if (before?.kind === 'begin' && before.actor === item.actor) {
      const [line] = before.lines;
      if (text !== '' && line !== undefined)
        out[out.length - 1] = { ...before, lines: [{ ...line, text: `${line.text}: ${text}` }] };
    } else if (text !== '' && !isSaid(out, item.actor, text)) {
      out.push({ ...item, lines: [{ indent: 1, text: `returns ${text}`, note: '' }] });
    }
  }
  return out;
}

/** Whether what the actor did last ends with the same words: a pin tells its page. */
const isSaid = (items: readonly Item[], actor: number, result: string): boolean =>
  items
    .findLast((item) => item.actor === actor)
    ?.lines.at(-1)
    ?.text.endsWith(`: ${result}`) === true;

/** The same words again from the same actor become one line with a count. */
export function foldRepeats(items: readonly Item[]): Item[] {
  const folded: Item[] = [];
  let times = 1;
  let base: Item | undefined;
  for (const item of items) {
    const [line] = item.lines;
    const [was] = base?.lines ?? [];
    const same =
      base?.actor === item.actor &&
      base.lines.length === 1 &&
      item.lines.length === 1 &&
      was?.text === line?.text &&
      was?.note === line?.note &&
      item.kind !== 'begin';
    if (!same || line === undefined) {
      base = item;
      times = 1;
      folded.push(item);
      continue;
    }
    times++;
    folded[folded.length - 1] = { ...item, lines: [{ ...line, text: `${line.text} (x${times})` }] };
  }
  return folded;
}

/** The actors whose columns fit: those named first, then whoever acted last. */
export function chooseActors(items: readonly Item[], first: readonly number[], columns: number): Set<number> {
  const chosen = new Set<number>(first.slice(0, columns));
  for (let i = items.length - 1; i >= 0 && chosen.size < columns; i--) chosen.add((items[i] as Item).actor);
  return chosen;
}

/** What stays of too many, and how many of the others stood before the first that stays and between. */
interface Fitted {
  readonly items: readonly Item[];
  readonly earlier: number;
  readonly between: number;
}

/**
 * At most `max`: what matters least goes first, the earliest of it before the latest. What `actor`, who broke the rule, did last stays
 * although others have done so much since: it may be in the middle of a long range.
 */
export function fit(items: readonly Item[], max: number, actor: number): Fitted {
  const own = new Set(items.filter((item) => item.actor === actor).slice(-OWN_STEPS));
  const rankOf = (item: Item): number => (own.has(item) ? 0 : item.rank);
  const going = items
    .map((item, at) => ({ item, at }))
    .toSorted((x, y) => rankOf(y.item) - rankOf(x.item) || x.at - y.at)
    .slice(0, Math.max(0, items.length - max));
  const gone = new Set(going.map(({ item }) => item));
  const kept = outdented(items.filter((item) => !gone.has(item)));
  const first = items.findIndex((item) => !gone.has(item));
  const earlier = first < 0 ? items.length : first;
  return { items: kept, earlier, between: gone.size - earlier };
}

/** Each actor's lines as far to the left as they go: what opened the windows that it stands in may be left out, or lost. */
function outdented(items: readonly Item[]): Item[] {
  const least = new Map<number, number>();
  for (const { actor, lines } of items)
    for (const { indent } of lines) least.set(actor, Math.min(least.get(actor) ?? indent, indent));
  return items.map((item) => {
    const by = least.get(item.actor) ?? 0;
    if (by === 0) return item;
    return { ...item, lines: item.lines.map((line) => ({ ...line, indent: line.indent - by })) };
  });
}

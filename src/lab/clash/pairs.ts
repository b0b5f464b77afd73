/**
 * Pairs of steps of two actors at one word whose order decides whether the rule breaks: with just the two exchanged it does not, and in
 * the order that they had, at the same place, it does.
 */
import { effectWord } from '../../machine/effects.js';
import { NO, decides } from './decides.js';
import type { Experiments } from './experiments.js';
import { CHANGE, LOCK, LOOK, NOTHING, type RunTrace, UNLOCK, conflict } from './run-trace.js';

/** Steps of one actor at a word that are tried for one of another's. */
const BACK = 6;

export interface Pair {
  /** Steps, from 0; `first` < `second`. */
  readonly first: number;
  readonly second: number;
  /** It takes exactly these two: with all that comes before them as in `turned`, and only they in their own order, it goes wrong. */
  readonly exact: boolean;
  /** The rule holds as well if the second waits until the operation of the first is over. */
  readonly acted: boolean;
  /** Whether they look at something that decides what their actors do: NO, PROBABLY or SURELY. */
  readonly firstDecides: number;
  readonly secondDecides: number;
  /** The schedule in which they are turned round. */
  readonly turned: Uint8Array;
}

/** Steps that can be the second of a pair. */
const counts = ({ kinds, effects }: RunTrace, step: number): boolean =>
  kinds[step] !== NOTHING && kinds[step] !== UNLOCK && effectWord(effects[step] as number) !== 0;

/** All of them that the budget allows, those that come late first. */
export function findPairs(experiments: Experiments): Pair[] {
  const { trace } = experiments;
  const byWord = new Map<number, number[]>();
  trace.effects.forEach((effect, step) => {
    if (!counts(trace, step)) return;
    const steps = byWord.get(effectWord(effect));
    if (steps === undefined) byWord.set(effectWord(effect), [step]);
    else steps.push(step);
  });
  const found: Pair[] = [];
  for (let second = trace.effects.length - 1; second >= 0 && experiments.budget > 0; second--) {
    if (counts(trace, second)) found.push(...pairsOf(experiments, second, byWord));
  }
  return found;
}

/** For each other actor, the last of its steps that `second` must not overtake. */
function pairsOf(experiments: Experiments, second: number, byWord: ReadonlyMap<number, readonly number[]>): Pair[] {
  const { trace, turner } = experiments;
  const steps = byWord.get(effectWord(trace.effects[second] as number)) ?? [];
  const tries = new Map<number, number>();
  const found: Pair[] = [];
  for (let i = steps.indexOf(second) - 1; i >= 0 && experiments.budget > 0; i--) {
    const first = steps[i] as number;
    const actor = trace.who[first] as number;
    if (actor === trace.who[second] || !conflict(trace, first, second)) continue;
    const tried = tries.get(actor) ?? 0;
    if (tried >= BACK) continue;
    tries.set(actor, tried + 1);
    const turned = turner.turned(first, second);
    if (experiments.try(turned) !== 'well') continue;
    tries.set(actor, BACK);
    found.push(examined(experiments, first, second, turned));
  }
  return found;
}

function examined(experiments: Experiments, first: number, second: number, turned: Uint8Array): Pair {
  const { turner } = experiments;
  const exact = experiments.try(turner.kept(first, second)) !== 'well';
  const common = { first, second, exact, turned };
  if (!exact) return { ...common, acted: false, firstDecides: NO, secondDecides: NO };
  const delayed = turner.delayed(first, second);
  const acted = delayed !== null && experiments.try(delayed) === 'well';
  const other = experiments.traced(turned);
  return {
    ...common,
    acted,
    firstDecides: decides(experiments, other, first),
    secondDecides: decides(experiments, other, second),
  };
}

/**
 * Pairs that no single exchange avoids: one actor looks again and again, and each of its looks has to come first. The last change that one of
 * them sees, and that look.
 */
export function findOvertaken(experiments: Experiments): Pair[] {
  const { trace, turner } = experiments;
  const changes = new Map<number, number>();
  const seen = new Map<string, [number, number]>();
  trace.effects.forEach((effect, second) => {
    const word = effectWord(effect);
    if (!counts(trace, second) || isLocking(experiments, second)) return;
    const first = changes.get(word);
    if (first !== undefined && trace.who[first] !== trace.who[second] && trace.kinds[second] === LOOK) {
      seen.set(`${String(trace.who[first])} ${String(trace.who[second])} ${word}`, [first, second]);
    }
    if (trace.kinds[second] === CHANGE) changes.set(word, second);
  });
  const found: Pair[] = [];
  for (const [first, second] of [...seen.values()].toSorted(([, x], [, y]) => y - x)) {
    if (experiments.budget <= 0) break;
    const turned = turner.overtaken(first, second);
    if (experiments.try(turned) !== 'well') continue;
    const exact = experiments.try(turner.kept(first, second)) === 'fails';
    const other = experiments.traced(turned);
    const secondDecides = decides(experiments, other, second);
    found.push({ first, second, exact, acted: false, firstDecides: NO, secondDecides, turned });
  }
  return found;
}

/** Whether a pair is one of locks, or of words that order steps as locks do. */
export function isLocking({ thread, trace }: Experiments, step: number): boolean {
  const word = effectWord(trace.effects[step] as number);
  return (trace.kinds[step] as number) >= LOCK || thread.program.synchronises?.(word) === true;
}

/** Which of the pairs that a failure needs is its cause. */
import { effectWord } from '../../machine/effects.js';
import type { Experiments } from './experiments.js';
import { type Neighbour, neighbours } from './neighbours.js';
import { NO } from './decides.js';
import { type Pair, isLocking } from './pairs.js';
import { CHANGE, LOOK } from './run-trace.js';

/** Steps of schedules near the failing one. */
const NEAR_STEPS = 40_000;
/** Pairs turned round that the walk begins with, beside the failing schedule itself. */
const STARTS = 12;
/** Of the failing neighbours, how many must have the pair in this order. */
export const NECESSARY = 0.98;

export interface Ranked extends Pair {
  /** Of the schedules near by that fail, the share that has the two in this order; and of those that end well. */
  readonly failing: number;
  readonly well: number;
  readonly score: number;
}

export interface Ranking {
  readonly pairs: readonly Ranked[];
  readonly fails: number;
  readonly wells: number;
}

/** The best first. */
export function rank(experiments: Experiments, pairs: readonly Pair[]): Ranking {
  const { trace } = experiments;
  const starts = [trace.choices, ...pairs.slice(0, STARTS).map(({ turned }) => turned)];
  const near = neighbours(experiments, starts, NEAR_STEPS);
  const has = presence(experiments);
  const fails = near.filter((each) => each.fails);
  const wells = near.filter((each) => !each.fails);
  const ranked: Ranked[] = [];
  for (const pair of pairs) {
    if (!pair.exact) continue;
    const failing = share(fails, (each) => has(pair, each));
    const well = share(wells, (each) => has(pair, each));
    ranked.push({ ...pair, failing, well, score: score(experiments, pair, failing, well) });
  }
  return {
    pairs: ranked.toSorted((x, y) => y.score - x.score || y.second - x.second || y.first - x.first),
    fails: fails.length,
    wells: wells.length,
  };
}

const share = (all: readonly Neighbour[], has: (each: Neighbour) => boolean): number =>
  all.length === 0 ? 1 : all.filter((each) => has(each)).length / all.length;

/**
 * First what all that fail have in common; then decisions: of the kernel's code about a word, then about what a lock protects, then the MMU's; then
 * steps that nothing is decided by. Of equals: a decision that was right when it was taken and wrong when it was acted upon; one of who was
 * found breaking the rule, late rather than early; and what tells those that fail from those that end well.
 */
function score(experiments: Experiments, pair: Pair, failing: number, well: number): number {
  const { trace, breaches, waited } = experiments;
  const { first, second, firstDecides, secondDecides, acted } = pair;
  const locking = isLocking(experiments, first);
  const mmu = trace.mmu[first] === true || trace.mmu[second] === true;
  const looks = trace.kinds[first] === LOOK && trace.kinds[second] === CHANGE;
  let sum = failing - well + (failing >= NECESSARY ? 10 : 0);
  // who waits for each other: what for
  if (waited.size > 0) return sum + (waited.has(effectWord(trace.effects[first] as number)) ? 5 : 0);
  if (experiments.isStepAbout(first) || experiments.isStepAbout(second)) sum += 0.5;
  if (firstDecides === NO && secondDecides === NO) return sum - (mmu || locking ? 1 : 0);
  sum += 3 + 0.5 * Math.max(firstDecides, secondDecides) - (locking || mmu ? 1 : 0) - (locking && mmu ? 1 : 0);
  if (firstDecides !== NO && acted && (looks || locking)) sum += 0.8;
  if (firstDecides !== NO && secondDecides !== NO) sum += 0.2;
  const culprit = breaches[0]?.actor ?? -1;
  const isOf = (step: number): boolean => trace.who[step] === culprit || trace.actors[step] === culprit;
  const decisions = [...(firstDecides === NO ? [] : [first]), ...(secondDecides === NO ? [] : [second])];
  const own = decisions.filter((step) => isOf(step));
  if (own.length > 0) sum += 0.3;
  return sum + (0.3 * Math.max(...(own.length > 0 ? own : decisions))) / trace.actors.length;
}

/** Whether a schedule has a step like the first of a pair before one like the second, at one word. */
function presence({ thread, trace }: Experiments) {
  const names = new Map<number, string>();
  const nameOf = (word: number): string => {
    let name = names.get(word);
    if (name === undefined) {
      name = thread.program.describe(word).replaceAll(/ (?:0x[0-9a-f]+|\d+)\b/g, '');
      names.set(word, name);
    }
    return name;
  };
  return ({ first, second }: Pair, { trace: other }: Neighbour): boolean => {
    const name = nameOf(effectWord(trace.effects[first] as number));
    const seen = new Set<number>();
    for (let step = 0; step < other.actors.length; step++) {
      const word = effectWord(other.effects[step] as number);
      if (word === 0) continue;
      const kind = other.kinds[step];
      if (other.who[step] === trace.who[second] && kind === trace.kinds[second] && seen.has(word)) return true;
      if (other.who[step] === trace.who[first] && kind === trace.kinds[first] && nameOf(word) === name) seen.add(word);
    }
    return false;
  };
}

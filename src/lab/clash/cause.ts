/**
 * What a failing schedule comes down to: the decision that was right when it was taken and wrong when it was acted upon, and the step that
 * made it wrong. Two steps of two actors at one word; found by experiment (pairs.ts), and told from bystanders by what schedules near
 * by have in common (rank.ts). Where no change of order avoids the failure, the two are one actor's own (alone.ts).
 */
import { effectWord } from '../../machine/effects.js';
import { END_DEADLOCK, END_VIOLATION, type OneThread } from '../../engine/one-thread/one-thread.js';
import { changedMind, lockRule, ownSteps, toldBefore, undone } from './alone.js';
import { loopsOn } from './loops.js';
import { NO, SURELY } from './decides.js';
import { Experiments } from './experiments.js';
import { type Pair, findOvertaken, findPairs, isLocking } from './pairs.js';
import { NECESSARY, type Ranked, type Ranking, rank } from './rank.js';
import { CHANGE, UNLOCK } from './run-trace.js';

/** Steps of all experiments together: a fraction of a second. */
const STEPS_BUDGET = 500_000;

/** How sure it is that these are the two: `sure`, `likely`, or `a guess`. */
export type Sureness = 'sure' | 'likely' | 'a guess';

export interface Cause {
  readonly experiments: Experiments;
  /** Steps, from 0, in the order that they ran. */
  readonly steps: readonly [number, number];
  readonly sure: Sureness;
  /** Changes of order that each would have avoided it, this one among them; 0: none does. */
  readonly depth: number;
  /** The best of the others. */
  readonly others: readonly Pair[];
  readonly ranked: Ranked | null;
  readonly ranking: Ranking | null;
  /** A schedule that ends well: this pair the other way round, all else as it was; null where there is none. */
  readonly turned: Uint8Array | null;
}

/** @returns null when the schedule ends well, or nothing can be said about it */
export function findCause(thread: OneThread, variation: number, choices: Uint8Array): Cause | null {
  const experiments = new Experiments(thread, variation, choices, STEPS_BUDGET);
  if (thread.end !== END_VIOLATION && thread.end !== END_DEADLOCK) return null;
  const rule = lockRule(experiments);
  if (rule !== null) return alone(experiments, [rule.decided, rule.did], 'sure');
  const ranking = ranked(experiments);
  const [best] = ranking.pairs;
  if (best !== undefined && best.failing >= NECESSARY) return raced(experiments, ranking, best);
  const loop = loopsOn(experiments);
  if (loop !== null) return alone(experiments, [loop.decided, loop.did], 'likely');
  const foreseen =
    ranking.wells === 0 ? (changedMind(experiments) ?? toldBefore(experiments) ?? undone(experiments)) : null;
  if (foreseen !== null) return alone(experiments, [foreseen.decided, foreseen.did], 'likely');
  const own = ownSteps(experiments);
  if (own !== null && ranking.wells === 0) return alone(experiments, [own.decided, own.did], 'likely');
  if (best !== undefined) return raced(experiments, ranking, best);
  return own === null ? null : alone(experiments, [own.decided, own.did], 'a guess');
}

function ranked(experiments: Experiments): Ranking {
  const ranking = rank(experiments, findPairs(experiments));
  if (ranking.pairs.length > 0) return ranking;
  experiments.budget = Math.max(experiments.budget, STEPS_BUDGET >> 2);
  return rank(experiments, findOvertaken(experiments));
}

function alone(experiments: Experiments, steps: readonly [number, number], sure: Sureness): Cause {
  const [one, other] = steps;
  const inOrder: readonly [number, number] = one < other ? steps : [other, one];
  return { experiments, steps: inOrder, sure, depth: 0, others: [], ranked: null, ranking: null, turned: null };
}

function raced(experiments: Experiments, ranking: Ranking, best: Ranked): Cause {
  const needed = strongest(experiments, ranking.pairs);
  const others = needed.filter((pair) => pair !== best && !isImplied(experiments, pair, best));
  const steps = lifted(experiments, best);
  return {
    experiments,
    steps: steps[0] === best.first && steps[1] === best.second ? withinLocks(experiments, ranking, best) : steps,
    sure: surenessOf(ranking, best),
    depth: 1 + others.length,
    others: others.slice(0, 2),
    ranked: best,
    ranking,
    turned: best.turned,
  };
}

function surenessOf(ranking: Ranking, { failing, well, firstDecides, secondDecides }: Ranked): Sureness {
  if (failing < NECESSARY) return 'a guess';
  const decides = Math.max(firstDecides, secondDecides) === SURELY;
  return decides && ranking.fails >= 20 && failing === 1 && well < 1 ? 'sure' : 'likely';
}

/** Pairs that are needed and about what somebody decides, without those that another one of them brings with it. */
function strongest(experiments: Experiments, pairs: readonly Ranked[]): Ranked[] {
  const needed = pairs.filter(
    (pair) =>
      pair.failing >= NECESSARY &&
      Math.max(pair.firstDecides, pair.secondDecides) !== NO &&
      !isLocking(experiments, pair.first),
  );
  return needed.filter((pair) => !needed.some((other) => other !== pair && isImplied(experiments, pair, other)));
}

/** Whether `strong` in its order brings `weak` in its order with it: it begins no earlier and ends no later, for the same two. */
function isImplied({ trace }: Experiments, weak: Pair, strong: Pair): boolean {
  return (
    trace.who[weak.first] === trace.who[strong.first] &&
    trace.who[weak.second] === trace.who[strong.second] &&
    weak.first <= strong.first &&
    strong.second <= weak.second
  );
}

/**
 * Where the best is a pair of locks: the two steps in their sections that are about the page in question, at one word, where these tell as well
 * those that fail from those that end well. Locks are seldom the point.
 */
function withinLocks(experiments: Experiments, { pairs }: Ranking, best: Ranked): readonly [number, number] {
  // where both decide under the lock it is what that protects that matters
  if (!isLocking(experiments, best.first) || (best.firstDecides !== NO && best.secondDecides !== NO)) {
    return [best.first, best.second];
  }
  const { trace } = experiments;
  const inside = pairs.find(
    (pair) =>
      !isLocking(experiments, pair.first) &&
      !(trace.mmu[pair.first] === true || trace.mmu[pair.second] === true) &&
      pair.failing >= NECESSARY &&
      pair.well <= best.well &&
      experiments.isAbout(effectWord(trace.effects[pair.first] as number)) &&
      holdsAt(experiments, best.first, pair.first) &&
      holdsAt(experiments, best.second, pair.second),
  );
  const { first, second } = inside ?? best;
  return [first, second];
}

/** Whether the lock that is taken in step `lock` is still held by its actor in step `at`. */
function holdsAt({ trace }: Experiments, lock: number, at: number): boolean {
  if (at < lock || trace.who[at] !== trace.who[lock]) return false;
  const word = effectWord(trace.effects[lock] as number);
  for (let step = lock + 1; step < at; step++) {
    if (trace.who[step] !== trace.who[lock] || trace.kinds[step] !== UNLOCK) continue;
    if (effectWord(trace.effects[step] as number) === word) return false;
  }
  return true;
}

/** Of two locks, where one of the sections changes just one thing that has a step: that step says more than the lock. */
function lifted(experiments: Experiments, { first, second, secondDecides }: Ranked): readonly [number, number] {
  if (!isLocking(experiments, first)) return [first, second];
  // who decides does so under the lock; the other one's change is what that is about
  const change = onlyChange(experiments, secondDecides === NO ? second : first);
  if (change < 0) return [first, second];
  return secondDecides === NO ? [first, change] : [change, second];
}

/** The one step in the section of a lock that changes a word; -1: there are none, or several. */
function onlyChange(experiments: Experiments, lock: number): number {
  const { trace } = experiments;
  const word = effectWord(trace.effects[lock] as number);
  let found = -1;
  for (let step = lock + 1; step < trace.actors.length; step++) {
    if (trace.who[step] !== trace.who[lock]) continue;
    if (trace.kinds[step] === UNLOCK && effectWord(trace.effects[step] as number) === word) break;
    if (trace.kinds[step] !== CHANGE || isLocking(experiments, step)) continue;
    if (found >= 0) return -1;
    found = step;
  }
  return found;
}

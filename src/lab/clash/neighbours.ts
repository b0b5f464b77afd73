/**
 * Schedules near a failing one: a walk by small random changes of order that stays where the same rule breaks. What all of them have in
 * common is what the failure needs; how those differ that end well is what avoids it.
 */
import { Prng } from '../../engine/strategies/prng.js';
import type { Experiments } from './experiments.js';
import type { RunTrace } from './run-trace.js';

/** Kept to go on from. */
const POOL = 24;
/** Runs in a row that came to no schedule not seen before: there is nothing more to find. (A livelock's has no choices to change.) */
const NOTHING_NEW_MAX = 100;

/** One of them. */
export interface Neighbour {
  readonly trace: RunTrace;
  /** It breaks the rule; else it ends well. */
  readonly fails: boolean;
}

/** A schedule with a small change: a stretch of one actor's steps earlier or later, or two runs exchanged. */
function changed(choices: Uint8Array, prng: Prng): Uint8Array {
  const wish = Array.from(choices);
  const moves = 1 + prng.below(3);
  for (let move = 0; move < moves && wish.length > 2; move++) {
    const at = prng.below(wish.length);
    const actor = wish[at];
    let length = 1;
    const most = 1 << prng.below(7);
    while (length < most && wish[at + length] === actor) length++;
    const stretch = wish.splice(at, length);
    const by = (1 << prng.below(7)) * (prng.below(2) === 0 ? 1 : -1);
    wish.splice(Math.max(0, Math.min(wish.length, at + by)), 0, ...stretch);
  }
  return Uint8Array.from(wish);
}

/**
 * Walks about.
 * @param starts schedules to begin with, those that fail and those that nearly do
 * @param budget steps at most
 */
export function neighbours(experiments: Experiments, starts: readonly Uint8Array[], budget: number): Neighbour[] {
  const prng = new Prng();
  prng.seed(1, starts.length);
  const pool = [...starts];
  const found: Neighbour[] = [];
  const seen = new Set<string>();
  for (let steps = 0, nothingNew = 0; steps < budget && nothingNew < NOTHING_NEW_MAX; nothingNew++) {
    const from = pool[prng.below(pool.length)] as Uint8Array;
    const trace = experiments.traced(changed(from, prng));
    steps += experiments.thread.steps + 1;
    const fails = experiments.isSame();
    if (!fails && experiments.result() !== 'well') continue;
    const name = trace.choices.toString();
    if (seen.has(name)) continue;
    seen.add(name);
    nothingNew = 0;
    found.push({ trace, fails });
    if (!fails) continue;
    if (pool.length < POOL) pool.push(trace.choices);
    else pool[prng.below(POOL)] = trace.choices;
  }
  return found;
}

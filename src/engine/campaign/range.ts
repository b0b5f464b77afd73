/**
 * A range of a campaign's schedules, and what it came to: plain data both, for ranges run on several threads. Whatever the
 * ranges are, put together they come to the same (tally.ts).
 */
import type { Outcome } from '../one-thread/outcome.js';
import type { Undeclared } from '../one-thread/one-thread.js';
import type { Difference } from '../one-thread/determinism-check.js';

/** Schedules whose choices seed and number fix; and those of a search that goes on from one to the next. */
export const LANE_FREE = 0;
export const LANE_KEPT = 1;

export interface RangeTask {
  /** The numbers from `from` to `to` - 1, as far as they are of this lane. */
  readonly from: number;
  readonly to: number;
  readonly lane: number;
  /** Strategy.save of the lane's schedules before this one; undefined = none, or where the strategy stands. */
  readonly state: unknown;
  /** The range ends early after so long. */
  readonly ms: number;
}

export type Verdict = 'allowed' | 'forbidden' | 'cut';

/** An outcome as it is counted, with the first schedule that had it. */
export interface OutcomeCount {
  /** The program's observation, or how the schedule ended otherwise. */
  readonly key: number | string;
  readonly outcome: Outcome;
  /** That in words. */
  readonly state: string;
  readonly verdict: Verdict;
  count: number;
  first: number;
  variation: number;
  choices: Uint8Array;
}

/** A schedule that breaks a rule: the first of its kind. */
export interface Find {
  readonly number: number;
  readonly variation: number;
  /** The strategy, or the portfolio's member. */
  readonly by: string;
  readonly invariant: string;
  /** Finds with the same text are reported once. */
  readonly kind: string;
  /** How the schedule ended: `violation I-RO`. */
  readonly end: string;
  readonly choices: Uint8Array;
  /** Of kind `determinism`: how a re-run differed. */
  readonly difference: Difference | null;
}

/** An access that nothing orders. */
export interface UndeclaredAt extends Undeclared {
  readonly first: number;
  readonly by: string;
}

/** Schedules by the strategy that decided them. */
export interface MemberCount {
  readonly name: string;
  schedules: number;
  violations: number;
}

export interface RangeResult {
  readonly task: RangeTask;
  /** All numbers below have been done: `task.to`, or less. */
  readonly to: number;
  readonly schedules: number;
  readonly steps: number;
  readonly rechecked: number;
  readonly violations: number;
  /** The first schedule that broke a rule; -1. */
  readonly firstViolation: number;
  readonly outcomes: readonly OutcomeCount[];
  readonly finds: readonly Find[];
  readonly members: readonly MemberCount[];
  /** Accesses that nothing orders, with the first schedule of the range that has each. */
  readonly undeclared: readonly UndeclaredAt[];
  /** OrderTable.toArray of the sampled schedules. */
  readonly orders: Float64Array;
  /** Strategy.save after it. */
  readonly state: unknown;
  /** The search has nothing more to try after schedule `to` - 1; and has left nothing out. */
  readonly over: boolean;
  readonly exhausted: boolean;
  readonly ms: number;
}

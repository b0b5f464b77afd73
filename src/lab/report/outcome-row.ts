/** How schedules ended, as reports of searches have it. */
import type { OutcomeFields } from '../../engine/one-thread/outcome.js';
import type { Verdict } from '../../engine/campaign/range.js';

/** A final state, how many schedules ended in it, and the first one that did. */
export interface OutcomeRow extends OutcomeFields {
  /** The outcome in words: the final state, or how the schedule ended otherwise. */
  readonly state: string;
  readonly count: number;
  /** `forbidden`: a rule is broken; `cut`: the step limit was reached. */
  readonly verdict: Verdict;
  /** The number of the first schedule that had it. */
  readonly first: number;
  readonly schedule: string;
}

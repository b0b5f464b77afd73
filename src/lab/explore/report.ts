/** What `explore` takes and gives. Field names of reports are the public interface. */
import type { OutcomeRow } from '../report/outcome-row.js';
import type { MemberCount } from '../../engine/campaign/range.js';
import type { NewBehaviours } from '../../engine/campaign/tally.js';
import type { AskedRow } from '../report/asked-row.js';
import type { Budget } from './budget.js';
import type { KnownWindow } from '../tell/known-windows.js';
import type { EndRow, REPORT_SCHEMA } from '../report/run-row.js';
import type { ReportViolation } from '../report/violation.js';
import type { Subject } from './explored.js';
import type { NotProved } from '../tell/undeclared.js';

export interface ExploreOptions {
  readonly subject: Subject;
  /** A name of STRATEGIES; `portfolio` without one. */
  readonly strategy?: string;
  /** Depth of the bugs that `pct` looks for: 1 and up. */
  readonly depth?: number;
  readonly schedules: number;
  /** Ends after so many seconds, whatever was done by then. */
  readonly seconds?: number;
  /** Ends when it is used up. */
  readonly budget?: Budget | undefined;
  /** Threads that schedules are run on; 1 = this one. What is found does not depend on it. */
  readonly workers?: number;
  /** A schedule of so many steps ends there. */
  readonly stepsMax?: number;
  /** Do not stop at the first violation; the first of each kind are reported, all are counted. */
  readonly keepGoing?: boolean;
  /** Schedules tried after the first find, for rules of another kind (the first find of each is reported). */
  readonly lookOn?: number;
  /** Stop only at a violation of this invariant; others are counted and reported as with `keepGoing`. */
  readonly until?: string | undefined;
  /** Fewer context switches in what is reported (default true). */
  readonly minimise?: boolean;
  /** Asked between schedules, some times a second: a reason to stop, such as Ctrl-C. */
  readonly stop?: () => boolean;
  readonly onProgress?: (progress: ExploreProgress) => void;
}

export interface ExploreProgress {
  readonly schedules: number;
  readonly schedulesMax: number;
  readonly steps: number;
  readonly violations: number;
  readonly elapsedSeconds: number;
  /** Until the schedules or the seconds asked for are over, whichever is first; at the rate so far. */
  readonly leftSchedules: number;
  readonly leftSeconds: number;
  /** In the last half of the schedules: outcomes, and orders of two accesses, that were not seen before. */
  readonly newPerThousand: number;
  /** Conflicting accesses seen in both orders, and in one only. */
  readonly pairsBoth: number;
  readonly pairsOne: number;
}

/** How much of what can happen has happened. */
export interface CoverageRow {
  /** Pairs of conflicting accesses (two actors, one word) that schedules looked at had in both orders, and in one only. */
  readonly pairs_both_orders: number;
  readonly pairs_one_order: number;
  /** Outcomes and orders of pairs seen, and how many came up as schedules went by: of the first 1, 10, 100, ... */
  readonly behaviours: number;
  readonly curve: readonly NewBehaviours[];
  /** New ones per thousand schedules, in the last half of the schedules. */
  readonly new_per_thousand: number;
}

export interface ExploreReport extends AskedRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'explore';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: number;
  readonly strategy: string;
  readonly depth: number | null;
  readonly schedules: number;
  readonly steps: number;
  readonly elapsed_s: number;
  /** Every schedule there is has been tried. */
  readonly exhaustive: boolean;
  readonly outcomes: readonly OutcomeRow[];
  readonly violations: readonly ReportViolation[];
  readonly violation_count: number;
  /** What real kernels are known to do as well: no violation, and not in `violation_count`. */
  readonly known_windows: readonly KnownWindow[];
  /** Schedules that were run again to see that nothing but their choices decides. */
  readonly rechecked: number;
  /** Of a portfolio: what each of its strategies did. */
  readonly members: readonly MemberCount[];
  readonly coverage: CoverageRow;
  /** What not finding anything says; empty when nothing can be said. */
  readonly guarantee: string;
  /** Why it is no proof, or null where it is one. */
  readonly not_proved: NotProved | null;
  /**
   * Why it stopped: `done`, `violation`, `exhausted`, `over`, `duration`, `interrupted`; of a budget, whether its CPU time (`budget`) or
   * the clock (`clock`) has ended it.
   */
  readonly end: EndRow;
  readonly ok: boolean;
}

/** What `explore` returns beside the report. */
export interface Exploration {
  readonly report: ExploreReport;
  /** NDJSON of the first violation's schedule; without one, of the first outcome's. */
  readonly events: string;
}

/** What a hand-over has come to, as reports have it. */
import type { Clash } from './clash-row.js';

/** What came of it; `handover` of a violation in reports. */
export interface Handover {
  /** The same rule is broken by `schedule`. */
  readonly found: boolean;
  /**
   * `schedule` breaks a rule that the same mistake breaks earlier: on one thread a schedule ends there. Gone on with it breaks this one
   * (goes-on.ts), or the two are known to go together (families.ts); `reason` says which.
   */
  readonly family: boolean;
  /** Why not, where it was not found; empty otherwise. */
  readonly reason: string;
  /**
   * The rule that `schedule` breaks: the same one where `found`. Otherwise another one that the same operations break, if any: on
   * one thread a mistake may be seen at an earlier step than on real threads.
   */
  readonly invariant: string;
  readonly schedules: number;
  /** Searches, each of one test by one strategy and seed. */
  readonly tries: number;
  readonly elapsed_s: number;
  readonly cpu_s: number;
  /** Which of the tests made from the log broke the rule, of how many. */
  readonly variant: string;
  readonly variants: number;
  readonly what: string;
  /** The test, reduced; where nothing was found the likeliest one, to start from by hand. Empty where none could be made. */
  readonly litmus: string;
  /** A schedule file with the test in it; empty where nothing was found. */
  readonly schedule: string;
  readonly diagram: string;
  readonly clash: Clash | null;
  /** Seed of the search that found it: of its own, not the run's; null where nothing was found. */
  readonly seed: number | null;
  /** The strategy that found it, of a portfolio its member; empty where nothing was found. */
  readonly strategy: string;
  /** What of the run is not in the test, a line each. */
  readonly cut: readonly string[];
}

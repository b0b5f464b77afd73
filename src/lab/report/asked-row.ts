/** Whether a run has asked anything, in its report. */

/** What reports carry about it. */
export interface AskedRow {
  /** False: nothing that happened could have broken a rule, or answered the question. */
  readonly asked: boolean;
  /** Why not; null where something was asked. */
  readonly not_asked: string | null;
}

/** Sees each step of a schedule: traces, coverage, the check of declared effects. Slows the loop; usually null. */
export interface StepObserver {
  /** Step `step` (from 1; 0 = the start, up to the first point) of `actor` is about to perform `effect`. */
  beforeStep(actor: number, effect: number, step: number): void;
  /** It has, and the actor now stands before `effect`, or is done (-1). */
  afterStep(actor: number, effect: number, step: number): void;
}

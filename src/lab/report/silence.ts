/**
 * What reports of runs on real threads say where no rule broke: which interleavings happened is the hardware's business, so that silence
 * in so many seconds proves nothing. One field, `silence`, and the same words as the first line of the text.
 */
export interface SilenceRow {
  /** In words, what was silent for how long, and that it proves nothing; null: a rule broke, or nothing was asked. */
  readonly silence: string | null;
}

/** The one way to say it, of something that was raced for a time. */
export const provesNothing = (what: string): string =>
  `${what}, which proves nothing about the interleavings that did not happen.`;

/** Seconds as reports have them. */
export const silentFor = (seconds: number): string => `${seconds.toFixed(1)} s`;

/** Of one run: `amount` is what was done in it, such as `7 accesses`. */
export const silenceOf = (
  run: { readonly found: number; readonly asked: boolean },
  seconds: number,
  amount: string,
): string | null =>
  run.found > 0 || !run.asked ? null : provesNothing(`No violation in ${silentFor(seconds)} and ${amount}`);

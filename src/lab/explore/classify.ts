/** Which finds of a campaign are of one kind: each kind is reported once. */
import { END_DEADLOCK, type OneThread } from '../../engine/one-thread/one-thread.js';
import { breachOf } from '../tell/witness.js';

/**
 * The rule that the schedule that `thread` ran last has broken, and a text for its kind: who waits for whom has no part in it.
 * @param index of several broken rules, which one
 */
export function classify(thread: OneThread, index = 0): { readonly invariant: string; readonly kind: string } {
  const { invariant, what } = thread.breaches[index] ?? breachOf(thread) ?? { invariant: thread.endText, what: '' };
  return { invariant, kind: thread.end === END_DEADLOCK ? invariant : `${invariant} ${what}` };
}

/** How schedules end: numbers, and their names. */

export const END_FINISHED = 0;
export const END_DEADLOCK = 1;
export const END_STEP_LIMIT = 2;
export const END_VIOLATION = 3;
export const END_EXCEPTION = 4;
/** A recorded schedule named an actor that cannot run there. */
export const END_MISMATCH = 5;
/** It reached its step limit, and finished in the fair phase that followed. */
export const END_DRAINED = 6;
/** A search has given the schedule up: what would come has been tried. */
export const END_PRUNED = 7;
/** Only of OneThread.ended: the fair phase after the step limit goes round for ever, which is a broken rule. */
export const END_LIVELOCK = 8;
/** How the end of a schedule is called that was to end at a known window (Program.endAtKnownWindows). */
export const KNOWN_WINDOW = 'known window';
export const END_NAMES = [
  'finished',
  'deadlock',
  'step-limit',
  'violation',
  'exception',
  'mismatch',
  'step-limit, then drained',
  'given up',
  'livelock',
] as const;

/** How schedules end, in numbers and words. */
import type { Breach } from './program.js';

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

/** An end in words, with the first rule that was broken. */
export function endText(end: number, [first]: readonly Breach[]): string {
  const name = END_NAMES[end] as string;
  return first === undefined ? name : `${first.known === true ? KNOWN_WINDOW : name} ${first.invariant}`;
}

/** Whether nothing but questions about final states was broken. */
export const areAnswers = (breaches: readonly Breach[]): boolean =>
  breaches.length > 0 && breaches.every(({ answer }) => answer === true);

/** Behind a final state: the rules that were broken on the way as real kernels are known to, ` known(I-COHERE)`. */
export function knownSuffix(known: readonly Breach[] | undefined): string {
  if (known === undefined || known.length === 0) return '';
  return ` known(${[...new Set(known.map(({ invariant }) => invariant))].join(',')})`;
}

/** The rules that {@link knownSuffix} names in an outcome. */
export const knownIn = (state: string): readonly string[] => / known\(([^)]+)\)$/.exec(state)?.[1]?.split(',') ?? [];

/** Behind a broken rule: the final state that came after it. */
export const stateAfter = (state: string): string => (state === 'finished' ? '' : `, then ${state}`);

/** Behind a broken rule: how a schedule ended that did not finish. */
export function endAfter(ended: number, breaches: readonly Breach[]): string {
  const told = ended === END_LIVELOCK && breaches.some(({ invariant }) => invariant === 'I-LIVE');
  return told || ended === END_VIOLATION ? '' : `, then ${END_NAMES[ended] as string}`;
}

/** Exit codes of every command. */
import { SCENARIO_OVER } from '../lab/report/asked.js';

export const EXIT_OK = 0;
/** A violation, an expectation not met, or nothing asked. */
export const EXIT_VIOLATION = 1;
export const EXIT_BAD_INPUT = 2;
export const EXIT_INTERNAL = 3;
/** Stopped from outside before it could say what was asked. */
export const EXIT_INCOMPLETE = 4;

/** Ended by a second signal, at once: as shells have it for Ctrl-C. */
export const EXIT_SIGNAL = 130;

/** Ends of runs on real threads that are none of the machinery's failures. */
const WELL: ReadonlySet<string> = new Set(['finished', 'interrupted', SCENARIO_OVER]);

/** Whether a run on real threads ended as it should. */
export const endedWell = (kind: string): boolean => WELL.has(kind);

interface Ended {
  readonly end: { readonly kind: string };
  readonly violation_count: number;
  readonly asked: boolean;
}

/** Of a run on real threads. */
export const exitOfRun = (report: Ended): number => (endedWell(report.end.kind) ? exitOfSearch(report) : EXIT_INTERNAL);

/** Of schedules. */
export function exitOfSearch({ end, violation_count: violations, asked }: Ended): number {
  if (violations > 0) return EXIT_VIOLATION;
  if (asked) return EXIT_OK;
  return end.kind === 'interrupted' ? EXIT_INCOMPLETE : EXIT_VIOLATION;
}

/** Of what has questions, or something to find: as asked for or not, unless it was stopped (`incomplete`) before a rule broke. */
export function exitOfAnswers(
  { ok, violation_count: violations }: { readonly ok: boolean; readonly violation_count: number },
  incomplete: boolean,
): number {
  if (incomplete && violations === 0) return EXIT_INCOMPLETE;
  return ok ? EXIT_OK : EXIT_VIOLATION;
}

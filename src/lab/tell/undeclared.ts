/** Undeclared accesses in reports: rows among the violations, and the reason why nothing is proved. */
import type { UndeclaredAt } from '../../engine/campaign/range.js';
import type { Undeclared } from '../../engine/one-thread/one-thread.js';
import type { Program } from '../../engine/one-thread/program.js';
import { type ReportViolation, violationRow } from '../report/violation.js';

/** Why a search's answer is no proof; machine-readable. */
export interface NotProved {
  /**
   * `undeclared`: an access that nothing orders; `strayed`: an execution went otherwise than planned; `cut`: executions reached the
   * step limit; `more`: the search was not at its end; `strategy`: it was none, or not all that can be was tried by it.
   */
  readonly reason: 'undeclared' | 'strayed' | 'cut' | 'more' | 'strategy';
  readonly detail: string;
}

/** Adds what `thread` has found to `to`, by text: the first of each stays. */
export function noteUndeclared(
  to: Map<string, UndeclaredAt>,
  undeclared: readonly Undeclared[],
  first: number,
  by: string,
): void {
  for (const each of undeclared) {
    if (!to.has(each.breach.what)) to.set(each.breach.what, { ...each, first, by });
  }
}

/** The rows of undeclared accesses; they have no diagram: the access itself is no event. */
export function undeclaredRows(
  program: Program,
  finds: readonly UndeclaredAt[],
  seed: number,
  scheduleText?: (find: UndeclaredAt) => string,
): ReportViolation[] {
  return finds.map((find) =>
    violationRow(find.breach, program, {
      seed,
      found_in_schedule: find.first,
      found_by: find.by,
      steps: find.choices.length,
      details: [],
      ...(scheduleText !== undefined && { schedule: scheduleText(find) }),
      clash: null,
    }),
  );
}

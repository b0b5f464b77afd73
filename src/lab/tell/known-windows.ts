/**
 * Known windows: rules that were broken as real kernels are known to break them (Violation.known). No violation, and never silent: reports count
 * them, with the first schedule of each made small and drawn.
 */
import { minimise } from '../../engine/one-thread/minimise.js';
import { OneThread } from '../../engine/one-thread/one-thread.js';
import { formatSchedule, parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { ExactScript } from '../../engine/strategies/script.js';
import type { OutcomeRow } from '../report/outcome-row.js';
import { type ReportViolation, violationRow } from '../report/violation.js';
import type { Subject } from '../explore/explored.js';
import { tell } from './witness.js';

/** One rule's windows: a violation's fields, and how often it was seen. */
export interface KnownWindow extends ReportViolation {
  readonly known: true;
  /** Schedules that went through it. */
  readonly schedules: number;
  readonly found_in_schedule: number;
}

/** The known windows that outcomes tell of, by rule; the first schedule of each is run again. */
export function knownWindows(subject: Subject, stepsMax: number, outcomes: readonly OutcomeRow[]): KnownWindow[] {
  const rules = new Set(outcomes.flatMap(({ known }) => known));
  return [...rules].flatMap((rule) => {
    const rows = outcomes.filter(({ known }) => known.includes(rule));
    const first = rows.reduce((one, row) => (row.first < one.first ? row : one));
    const schedules = rows.reduce((sum, { count }) => sum + count, 0);
    const told = toldFrom(subject, stepsMax, first.schedule, { schedules, found_in_schedule: first.first });
    return told === null ? [] : [told];
  });
}

/** The schedule up to its first known window, made small and told. */
function toldFrom(
  subject: Subject,
  stepsMax: number,
  text: string,
  counts: { readonly schedules: number; readonly found_in_schedule: number },
): KnownWindow | null {
  const recorded = parseSchedule(text);
  const { variation } = recorded;
  const program = subject.create();
  program.endAtKnownWindows?.();
  const thread = new OneThread(program, stepsMax);
  const script = new ExactScript().load(recorded.choices, recorded.choices.length);
  script.begin();
  thread.run(script, variation);
  if (thread.breaches[0]?.known !== true) return null;
  const end = thread.endText;
  const choices = minimise(thread, variation, thread.choices.slice(0, thread.steps), end);
  const witness = tell(thread, variation, choices);
  const { breach } = witness;
  if (breach === null) return null;
  return {
    ...violationRow(breach, program, {
      ...counts,
      seed: subject.seed,
      steps: witness.steps,
      schedule: formatSchedule({ ...recorded, stepsMax, end, choices }),
      diagram: witness.diagram,
    }),
    known: true,
  };
}

/** A report of a run on real threads with the replayable schedules of its violations: the first of each invariant is handed over. */
import type { Plan } from '../../plan/plan.js';
import { Budget } from '../explore/budget.js';
import type { Report } from '../report/run-row.js';
import { handoverName } from './litmus-text.js';
import type { Evidence } from './incident/evidence.js';
import { handOver } from './handover.js';
import type { Handover } from '../report/handover-row.js';
import { Lessons } from './lessons.js';

interface ExplainOptions {
  /** CPU seconds for all violations together; the clock ends them at ten times that. */
  readonly seconds: number;
  readonly seed?: number | undefined;
  readonly stop?: (() => boolean) | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** A file to be written beside the report. */
interface HandoverFile {
  readonly name: string;
  readonly text: string;
}

/** The report with `handover`, and where it was found `schedule`, at the first violation of each invariant. */
export async function explainReport<R extends Report>(
  report: R,
  plan: Plan,
  evidence: readonly Evidence[],
  { seconds, stop, seed, onProgress }: ExplainOptions,
): Promise<R> {
  const budget = new Budget(seconds);
  const lessons = new Lessons();
  const found = new Map<string, Handover>();
  for (const [i, { violation, records, base, ending }] of evidence.entries()) {
    if (stop?.() === true) break;
    const handover = await handOver({
      plan,
      records,
      base,
      ending,
      violation,
      seconds: budget.left / (evidence.length - i),
      lessons,
      seed,
      stop,
      onProgress: (text) => onProgress?.(`${violation.invariant}: ${text}`),
    });
    found.set(violation.invariant, handover);
  }
  const violations = report.violations.map((violation) => {
    const handover = found.get(violation.invariant);
    if (handover === undefined) return violation;
    // evidence is of the first of each
    found.delete(violation.invariant);
    return { ...violation, ...(handover.schedule !== '' && { schedule: handover.schedule }), handover };
  });
  return { ...report, violations };
}

/** The violations of a report that were handed over. */
export function handoversOf(report: Report): { readonly invariant: string; readonly handover: Handover }[] {
  return report.violations.flatMap(({ invariant, handover }) =>
    handover === undefined ? [] : [{ invariant, handover }],
  );
}

/** What is worth keeping of them: tests and schedules. */
export const handoverFiles = (report: Report): HandoverFile[] =>
  handoversOf(report).flatMap(({ invariant, handover: { litmus, schedule } }) => {
    const name = handoverName(invariant);
    return schedule !== ''
      ? [
          { name: `${name}.litmus`, text: litmus },
          { name: `${name}.schedule`, text: schedule },
        ]
      : [];
  });

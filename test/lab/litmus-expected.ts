/**
 * The expected-output files of shipped litmus files: what is stable of their output, as text.
 *
 *   search exhaustive                      or `search partial`: it did not end in the time it had, or could not go on past a broken rule
 *   outcome ok w=0 pte(a)=rw               by state: the verdict and the final state
 *   outcome violation violation I-STALE, then w=0 pte(a)=rw     what came after a broken rule; of other strategies without that
 *   answer always: always (w == 0)         by question, in the file's order
 *   violation I-STALE: stage 2 maps ...    by what was broken
 */
import { litmusReport, runLitmus } from '#src/lab/litmus/run.js';
import { proveLitmus } from '#src/lab/litmus/prove.js';
import type { LitmusReport } from '#src/lab/litmus/run.js';
import { type LitmusSubject, litmusSubject, readLitmus } from '#src/lab/litmus/subject.js';

export interface Found {
  readonly report: LitmusReport;
  /** Every execution that differs from the others was run to its end. */
  readonly complete: boolean;
}

export function subjectOf(path: string): LitmusSubject {
  return litmusSubject({ path, text: readLitmus(path), options: { seed: 1 } });
}

/** What the exhaustive search comes to in so many seconds. */
export async function search(subject: LitmusSubject, seconds: number): Promise<Found> {
  const { report, complete } = await proveLitmus({ subject, seconds });
  return { report: litmusReport(subject, report), complete };
}

/** What so many schedules of the portfolio come to. */
export const sample = (subject: LitmusSubject, schedules: number): Promise<LitmusReport> =>
  runLitmus({ subject, strategy: 'portfolio', schedules, seconds: 60 });

/** The outcomes of a report, in words, sorted. */
export const outcomesOf = ({ outcomes }: LitmusReport): string[] =>
  outcomes.map(({ verdict, state }) => `outcome ${verdict} ${state}`).toSorted();

const answersOf = ({ questions }: LitmusReport): string[] =>
  questions.map(({ answer, question }) => `answer ${answer}: ${question}`);

const violationsOf = ({ violations }: LitmusReport): string[] =>
  [...new Set(violations.map(({ invariant, what }) => `violation ${invariant}: ${what}`))].toSorted();

/** The text of an expected-output file whose search has ended. */
export function completeText(report: LitmusReport): string {
  const lines = ['search exhaustive', ...outcomesOf(report), ...answersOf(report), ...violationsOf(report)];
  return `${lines.join('\n')}\n`;
}

/** The text of one whose search does not end: what was seen. Questions are answered by these outcomes only. */
export function partialText(reports: readonly LitmusReport[]): string {
  const outcomes = [...new Set(reports.flatMap(outcomesOf))].toSorted();
  const violations = [...new Set(reports.flatMap(violationsOf))].toSorted();
  return `${['search partial', ...outcomes, ...violations].join('\n')}\n`;
}

/** The outcomes of an expected-output file. */
export const outcomeLines = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('outcome '));

/** Whether a line is one of `known`; of a schedule that ended at a broken rule, whether that is one that others go on past. */
export function isKnown(line: string, known: readonly string[]): boolean {
  if (known.includes(line)) return true;
  const rule = /^outcome violation violation (\S+)$/.exec(line)?.[1];
  return rule !== undefined && known.some((each) => rulesOf(each).includes(rule));
}

/** The rules that a line's schedules may break first. */
const rulesOf = (line: string): string[] =>
  (/^outcome violation violation (.*?)(?:, then .*)?$/.exec(line)?.[1] ?? '').split(' + ');

/** The final states among them, also those after a broken rule. */
export const statesIn = (text: string): Set<string> =>
  new Set(outcomeLines(text).map((line) => line.replace(/^outcome \w+ (?:violation .*?, then )?/, '')));

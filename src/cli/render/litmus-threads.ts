/** The report of `litmus --threads`, for people. */
import type { Handover } from '../../lab/report/handover-row.js';
import type { Reduced } from '../../lab/litmus/run.js';
import type { LitmusThreadsReport } from '../../lab/litmus/threads/report.js';
import { notAskedLine } from '../../lab/report/asked.js';
import { answerText, asExpected } from './litmus.js';
import { pc } from './colour.js';
import { effortText } from './handover.js';
import { nextCommand } from './next.js';
import { number, table } from './table.js';

const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 4 : 1)}%`;

/** Behind the report of a litmus test: what its violation takes. Empty when that is all of it. */
export function renderReduced(reduced: Reduced | null): string {
  if (reduced === null) return '';
  return `\n\nThe violation takes no more than this:\n\n${reduced.litmus.trimEnd().replace(/^/gm, '  ')}\n`;
}

function handoverText(handover: Handover | null, scheduleFile: string | undefined): string {
  if (handover === null) return '';
  const effort = effortText(handover);
  if (handover.schedule === '') return `On one thread: ${handover.reason} (${effort}).`;
  const replay =
    scheduleFile === undefined ? '' : `\n\n${nextCommand(['replay', scheduleFile], 'this violation, every time')}`;
  const as = handover.found ? '' : `${handover.reason}: `;
  return `On one thread, after ${effort}: ${as}${handover.what}\n\n${handover.diagram.trimEnd()}${replay}`;
}

const judged = ({ audited, iterations }: LitmusThreadsReport): string =>
  audited === iterations
    ? 'every final state was judged by all rules'
    : `${number(audited)} came to rest, and were judged by all rules`;

/** Whether all is as the file says, what broke, and what silence is worth. */
function verdict(report: LitmusThreadsReport): string {
  const {
    not_asked: why,
    iterations,
    outcomes,
    violation_count: found,
    violations,
    elapsed_s: elapsed,
    silence,
  } = report;
  if (why !== null) return pc.red(notAskedLine(why));
  if (silence !== null) return `${asExpected(report)} ${silence}`;
  const tried = `${number(iterations)} iterations`;
  const stuck = outcomes.filter(({ state }) => state === 'deadlock' || state === 'livelock');
  const times =
    outcomes.reduce((sum, { broken }) => sum + broken, 0) || stuck.reduce((sum, { count }) => sum + count, 0);
  const rules = [
    ...new Set([...violations.map(({ invariant }) => invariant), ...stuck.map(({ state }) => state)]),
  ].join(', ');
  return `${asExpected(report)} ${rules} in ${number(times || found)} of ${tried}, ${elapsed.toFixed(1)} s.`;
}

/** What ended it before its iterations were done. */
const ENDS = {
  '': '',
  budget: ' (its CPU seconds were used)',
  clock: ' (the clock ended it: the machine is busy)',
} as const;

/** @param scheduleFile where the schedule of the handed-over violation was written, if it was */
export function renderLitmusThreads(
  report: LitmusThreadsReport,
  handover: Handover | null = null,
  scheduleFile?: string,
): string {
  const { questions, expect } = report;
  const rate = `${number(Math.round(report.iterations_per_s))} iterations/s`;
  const answers = questions.map((row, index) => {
    const { question, of, first, ok } = row;
    const what = of === 0 ? 'Not asked: real threads do not show it' : answerText(row, 'iterations');
    const at = first === null ? '' : `, first in iteration ${number(first)}`;
    return `${index + 1}. ${question}  ${ok ? what : pc.red(what)}${at}`;
  });
  const found = expect === null ? [] : [`expect ${expect.expected}  ${expect.found ? 'found' : pc.red('not found')}`];
  return [
    verdict(report),
    `${pc.bold(report.name)}  ${report.sentence}`,
    `policy ${report.policy}, ${report.workers} worker threads: ${number(report.iterations)} iterations, ` +
      `${report.elapsed_s.toFixed(2)} s${ENDS[report.ended]}, ${rate}; the actors overlapped in ${percent(report.overlap)} of them; ${judged(report)}.`,
    table(
      ['outcome', 'count', 'share', 'rule broken', 'verdict', 'questions', 'first'],
      report.outcomes.map(({ state, count, share, broken, verdict, questions: held, first }) => [
        state,
        count,
        percent(share),
        broken,
        verdict,
        held.join(','),
        String(first),
      ]),
    ),
    [...answers, ...found].join('\n'),
    ...report.violations.map(({ invariant, what }) => `${pc.red(pc.bold(invariant))} ${what}`),
    handoverText(handover, scheduleFile),
    nextCommand(['litmus', report.scenario], 'every outcome that can happen'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

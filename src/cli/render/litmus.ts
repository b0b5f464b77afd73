/** The report of `litmus`, for people: outcomes as jcstress and herd show them, an answer for each question, what broke. */
import { notAskedLine } from '../../lab/report/asked.js';
import type { LitmusAnswer, LitmusOutcome, LitmusReport, LitmusVerdict } from '../../lab/litmus/run.js';
import type { ReportViolation } from '../../lab/report/violation.js';
import { stateText } from '../../engine/one-thread/outcome.js';
import { broken } from './answer.js';
import { violationClash } from './clash.js';
import { knownWindowText } from './known-windows.js';
import { pc } from './colour.js';
import { nextCommand } from './next.js';
import { number, table } from './table.js';

/** @param scheduleFile where the first violation's schedule was written, if it was */
export function renderLitmus(report: LitmusReport, scheduleFile: string | undefined): string {
  const parts = [
    verdict(report),
    `${pc.bold(report.name)}  ${report.sentence}`,
    summary(report),
    histogram(report.outcomes),
    [...report.questions.map((row, i) => answerLine(row, i, report.schedules)), ...expectLine(report)].join('\n'),
    ...report.violations.map(violationText),
    ...report.known_windows.map((known) => knownWindowText(known, report.schedules)),
    scheduleFile === undefined ? '' : nextCommand(['replay', scheduleFile], 'the same execution again'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function summary({ policy, strategy, seed, schedules, steps, elapsed_s, exhaustive, end }: LitmusReport): string {
  const all = exhaustive ? 'all that differ' : end.kind === 'done' ? '' : `stopped: ${end.detail ?? end.kind}`;
  return (
    `policy ${policy}, strategy ${strategy}, seed ${seed}: ${number(schedules)} ${exhaustive ? 'executions' : 'schedules'}` +
    `${all === '' ? '' : ` (${all})`}, ${number(steps)} steps, ${elapsed_s.toFixed(2)} s.`
  );
}

const COLOURS: Readonly<Record<LitmusVerdict, (text: string) => string>> = {
  ok: (text) => text,
  interesting: (text) => pc.cyan(text),
  'known window': (text) => pc.yellow(text),
  forbidden: (text) => pc.red(text),
  violation: (text) => pc.red(text),
  cut: (text) => pc.yellow(text),
};

/** Outcomes shown at most: the most common ones, and those that matter. */
const ROWS_MAX = 30;
const MATTERS: ReadonlySet<LitmusVerdict> = new Set(['known window', 'forbidden', 'violation']);

function histogram(outcomes: readonly LitmusOutcome[]): string {
  const common = commonValues(outcomes);
  const matters = outcomes.filter(({ verdict }, i) => i < ROWS_MAX || MATTERS.has(verdict));
  const shown = matters.slice(0, ROWS_MAX + 10);
  const rows = shown.map((outcome) => [
    shortState(outcome, common),
    outcome.count,
    percent(outcome.share),
    COLOURS[outcome.verdict](outcome.verdict),
    outcome.questions.join(','),
    String(outcome.first),
  ]);
  const text = table(['outcome', 'count', 'share', 'verdict', 'questions', 'first'], rows);
  const left = outcomes.length - shown.length;
  const notes = [
    ...(left > 0 ? [`  and ${number(left)} more outcomes (--json has all)`] : []),
    ...(common.size > 0
      ? [`  In all that finished: ${[...common].map(([name, value]) => `${name}=${value}`).join(' ')}`]
      : []),
  ];
  return [text, ...notes].join('\n');
}

/** What is the same in all outcomes need not stand in each. */
function commonValues(outcomes: readonly LitmusOutcome[]): ReadonlyMap<string, string> {
  const finished = outcomes.flatMap(({ values }) => (Object.keys(values).length === 0 ? [] : [values]));
  const [first] = finished;
  const names = first === undefined || finished.length < 2 ? [] : Object.keys(first);
  return new Map(
    names
      .filter((name) => finished.every((values) => values[name] === first?.[name]))
      .map((name) => [name, first?.[name] ?? '']),
  );
}

function shortState(row: LitmusOutcome, common: ReadonlyMap<string, string>): string {
  const { state, values, held, known, after, broken: rules } = row;
  const names = Object.keys(values);
  if (names.length === 0 || common.size === 0) return state;
  const words = names.flatMap((name) => (common.has(name) ? [] : [`${name}=${values[name]}`])).join(' ');
  const before = after === null ? '' : `violation ${rules.join(' + ')}, then `;
  return `${before}${stateText({ words, held, known })}`;
}

/** Small shares are not nothing. */
const percent = (share: number): string =>
  share > 0 && share < 0.0001 ? '<0.01%' : `${(share * 100).toFixed(share < 0.01 ? 2 : 1)}%`;

/** An answer in words. `Always` and `Never` are proofs. */
export function answerText({ answer, count, of }: LitmusAnswer, unit: string): string {
  switch (answer) {
    case 'never':
      return 'Never';
    case 'always':
      return 'Always';
    case 'sometimes':
      return `Sometimes: ${number(count)} of ${number(of)} ${unit}`;
    case 'all-tried':
      return `In all ${number(of)} ${unit} tried`;
    case 'none-tried':
      return `In none of ${number(of)} ${unit} tried`;
    case 'not-asked':
      return 'Not asked';
  }
}

function answerLine(row: LitmusAnswer, index: number, schedules: number): string {
  const { question, answer, first, proved, ok } = row;
  const said = (ok ? pc.green : pc.red)(answerText(row, proved ? 'executions' : 'schedules'));
  const failing = question.startsWith('always') ? ' failing' : '';
  const where = first === null ? '' : `, first${failing} in schedule ${number(first)}`;
  const proof = answer === 'never' || answer === 'always' ? ` (proved: ${number(schedules)} executions)` : '';
  return `${index + 1}. ${question}  ${said}${proof}${where}`;
}

function expectLine({ expect }: LitmusReport): string[] {
  if (expect === null) return [];
  return [`expect ${expect.expected}  ${expect.found ? pc.green('found') : pc.red('not found')}`];
}

function violationText(violation: ReportViolation): string {
  const head = `${pc.red(pc.bold(violation.invariant))} ${violation.what}`;
  const details = (violation.details ?? []).join('\n');
  return [head, details, violation.diagram ?? '', violationClash(violation)].filter((part) => part !== '').join('\n\n');
}

/** Whether all is as the file says, what broke, and what that rests on. */
function verdict(report: LitmusReport): string {
  const guarantee = report.guarantee === '' ? '' : ` ${report.guarantee}`;
  if (report.not_asked !== null) return pc.red(notAskedLine(report.not_asked)) + guarantee;
  const unit = report.exhaustive ? 'executions' : 'schedules';
  const ends = report.outcomes.filter((row) => row.verdict === 'violation' || row.verdict === 'forbidden');
  const found = broken(ends, report.schedules, unit);
  const rests = guarantee === '' && found === '' ? ` ${number(report.schedules)} ${unit} tried.` : guarantee;
  return `${asExpected(report)} ${found === '' ? 'No rule broke.' : `${found}.`}${rests}`;
}

/** `As expected.`, or what is not. */
export function asExpected({ ok, questions, expect }: Pick<LitmusReport, 'ok' | 'questions' | 'expect'>): string {
  if (ok) return pc.green('As expected.');
  const other = questions.flatMap((row, i) => (row.ok ? [] : [String(i + 1)]));
  const why = [
    ...(expect !== null && !expect.found ? [`${expect.expected} was not found`] : []),
    ...(other.length > 0 ? [`the answer to ${other.join(', ')}`] : []),
  ];
  return pc.red(`Not as expected${why.length === 0 ? '' : `: ${why.join('; ')}`}.`);
}

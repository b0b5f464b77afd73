/** What a run on real threads says to a litmus file's questions, in the form of `litmus`'s own report. */
import { askedRow } from '../../report/asked.js';
import type { AskedRow } from '../../report/asked-row.js';
import type { BudgetEnd, TimeSource } from '../../explore/budget.js';
import { type SilenceRow, silenceOf } from '../../report/silence.js';
import { REPORT_SCHEMA } from '../../report/run-row.js';
import type { Handover } from '../../report/handover-row.js';
import { type ReportViolation, violationRow } from '../../report/violation.js';
import type { Question } from '../language/conditions.js';
import { type LitmusAnswer, type LitmusVerdict, answerFrom, expectText, expectedRule } from '../run.js';
import type { LitmusSubject } from '../subject.js';
import { fileObserver } from './file-observer.js';
import { type ThreadsResult, type ThreadsRow, litmusThreads } from './run.js';

export interface LitmusThreadsOptions {
  readonly subject: LitmusSubject;
  readonly iterations?: number | undefined;
  readonly seconds?: number | undefined;
  readonly time?: TimeSource;
  readonly workers?: number | undefined;
  readonly stop?: Promise<void>;
}

export const LITMUS_THREADS_DEFAULTS = { iterations: 1_000_000, seconds: 5 } as const;

export interface LitmusThreadsOutcome {
  readonly state: string;
  readonly count: number;
  /** Of all iterations, 0 to 1. */
  readonly share: number;
  /** Of these, the iterations in which a rule was broken, on the way or by the final state. */
  readonly broken: number;
  readonly verdict: LitmusVerdict;
  /** The questions whose condition holds there, from 1. */
  readonly questions: readonly number[];
  /** The first iteration that ended so. */
  readonly first: number;
}

export interface LitmusThreadsReport extends AskedRow, SilenceRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'litmus';
  readonly mode: 'threads';
  readonly scenario: string;
  readonly name: string;
  readonly sentence: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: number;
  readonly iterations: number;
  /** Iterations whose final state was judged by all rules: all but those that never came to rest. */
  readonly audited: number;
  readonly elapsed_s: number;
  /** What ended it early: its CPU seconds (`budget`), ten times that by the clock (`clock`), or neither (''). */
  readonly ended: BudgetEnd;
  readonly iterations_per_s: number;
  /** Share of the iterations in which at least two actors were at work at one time: 0 to 1. */
  readonly overlap: number;
  readonly outcomes: readonly LitmusThreadsOutcome[];
  readonly questions: readonly LitmusAnswer[];
  readonly expect: { readonly expected: string; readonly found: boolean } | null;
  readonly violations: readonly ReportViolation[];
  readonly violation_count: number;
  readonly ok: boolean;
  /** Of the command: what became of the first violation on one thread; null where nothing was broken. */
  readonly handover?: Handover | null;
}

/** Iterations that were given up, and the rule that this breaks. */
const STUCK = [
  ['deadlock', 'deadlock'],
  ['livelock', 'I-LIVE'],
] as const;

/** Runs the test's actors on real threads. Questions about every state (`during`) cannot be answered there, and say so. */
export async function runLitmusThreads(options: LitmusThreadsOptions): Promise<LitmusThreadsReport> {
  const { subject } = options;
  const { test } = subject;
  const result = await litmusThreads({
    plan: test.plan,
    observer: fileObserver(subject),
    iterations: options.iterations ?? LITMUS_THREADS_DEFAULTS.iterations,
    seconds: options.seconds ?? LITMUS_THREADS_DEFAULTS.seconds,
    ...(options.workers !== undefined && { workers: options.workers }),
    ...(options.time !== undefined && { time: options.time }),
    ...(options.stop !== undefined && { stop: options.stop }),
  });
  const questions = test.questions.map((question, index) => answer(question, index, result));
  const ends = STUCK.filter(([state]) => result.outcomes.some((row) => row.state === state));
  const violations = result.violations.map(({ first }) => violationRow(first, result.names, {}));
  const broken = [...violations.map(({ invariant }) => invariant), ...ends.map(([, rule]) => rule)];
  const expect =
    test.expect === null
      ? null
      : { expected: expectText(test.expect), found: broken.includes(expectedRule(test.expect)) };
  const asked = askedRow(broken.length > 0 ? null : notAsked(result, questions, expect !== null));
  return {
    schema: REPORT_SCHEMA,
    command: 'litmus',
    mode: 'threads',
    scenario: subject.scenario,
    name: test.name,
    sentence: test.sentence,
    policy: subject.policy,
    seed: subject.seed,
    workers: result.workers,
    iterations: result.iterations,
    audited: result.audited,
    elapsed_s: result.elapsed_s,
    ended: result.ended,
    iterations_per_s: result.elapsed_s > 0 ? result.iterations / result.elapsed_s : 0,
    overlap: result.overlap,
    outcomes: result.outcomes.map((row) => outcome(row, test.questions, result.iterations)),
    questions,
    expect,
    violations,
    violation_count: result.violations.reduce((sum, { count }) => sum + count, 0),
    ...asked,
    silence: silenceOf(
      { found: broken.length, asked: asked.asked },
      result.elapsed_s,
      `${result.iterations.toLocaleString('en')} iterations`,
    ),
    ok: asked.asked && (expect === null ? broken.length === 0 : expect.found) && questions.every(({ ok }) => ok),
  };
}

/** Why the iterations have asked nothing, or null. */
function notAsked({ iterations }: ThreadsResult, questions: readonly LitmusAnswer[], expects: boolean): string | null {
  if (iterations === 0) return 'no iteration came to its end';
  if (expects || questions.length === 0 || questions.some(({ of }) => of > 0)) return null;
  return 'its questions are about every state on the way, which real threads do not show';
}

function outcome({ state, yes, count, broken, first }: ThreadsRow, questions: readonly Question[], of: number) {
  const held = yes.flatMap((holds, index) => (holds ? [index + 1] : []));
  const words = new Set(held.map((number) => questions[number - 1]?.word));
  const missed = questions.some(({ word, during }, index) => word === 'always' && !during && yes[index] === false);
  const verdict: LitmusVerdict =
    broken > 0
      ? 'violation'
      : words.has('forbidden') || missed
        ? 'forbidden'
        : words.has('exists') || words.has('sometimes')
          ? 'interesting'
          : 'ok';
  return { state, count, share: of === 0 ? 0 : count / of, broken, verdict, questions: held, first };
}

/** Questions about every state on the way are not asked: real threads do not show them. */
function answer(question: Question, index: number, { outcomes }: ThreadsResult): LitmusAnswer {
  const rows = question.during ? [] : outcomes.filter(({ yes }) => yes.length > 0);
  const holds = rows.filter(({ yes }) => yes[index] === true);
  const fails = rows.filter(({ yes }) => yes[index] !== true);
  const answered = answerFrom(question, holds, fails, false);
  return question.during ? { ...answered, ok: true } : answered;
}

/**
 * `pinfall litmus`: schedules of a litmus test, and what they say to its questions. Every outcome's first schedule is run again here to
 * evaluate the questions in its final state, so it does not matter which thread or strategy has found it.
 */
import { END_FINISHED, OneThread } from '../../engine/one-thread/one-thread.js';
import type { OutcomeFields } from '../../engine/one-thread/outcome.js';
import { parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { ExactScript } from '../../engine/strategies/script.js';
import { Budget } from '../explore/budget.js';
import { explore, type ExploreReport, type ExploreProgress } from '../explore/explore.js';
import type { OutcomeRow } from '../report/outcome-row.js';
import { askedRow, schedulesNotAsked } from '../report/asked.js';
import type { AskedRow } from '../report/asked-row.js';
import type { KnownWindow } from '../tell/known-windows.js';
import { type EndRow, REPORT_SCHEMA } from '../report/run-row.js';
import type { ReportViolation } from '../report/violation.js';
import type { NotProved } from '../tell/undeclared.js';
import type { Question } from './language/conditions.js';
import type { Expectation } from './language/model.js';
import type { LitmusProgram } from './program.js';
import { EXHAUSTIVE, canProve, proveLitmus } from './prove.js';
import type { LitmusSubject } from './subject.js';

interface LitmusOptions {
  readonly subject: LitmusSubject;
  /** A name of STRATEGIES, or `exhaustive`; absent: the exhaustive search, and where it does not end then the portfolio. */
  readonly strategy?: string | undefined;
  readonly schedules?: number | undefined;
  /** CPU seconds of each worker, at most; the clock ends it at ten times that. */
  readonly seconds?: number | undefined;
  readonly workers?: number | undefined;
  readonly stop?: () => boolean;
  readonly onProgress?: (progress: ExploreProgress) => void;
}

export const LITMUS_DEFAULTS = { schedules: 10_000, seconds: 20 } as const;

/**
 * ok; interesting: an `exists` or `sometimes` holds; known window: a rule was broken on the way as real kernels are known to; forbidden: a
 * question says it must not be; violation: a rule is broken, or the run ended badly; cut: the step limit was reached.
 */
export type LitmusVerdict = 'ok' | 'interesting' | 'known window' | 'forbidden' | 'violation' | 'cut';

export interface LitmusOutcome extends OutcomeFields {
  /** The outcome in words. */
  readonly state: string;
  readonly count: number;
  /** Of all schedules, 0 to 1. */
  readonly share: number;
  readonly verdict: LitmusVerdict;
  /** The questions whose condition holds there, from 1. */
  readonly questions: readonly number[];
  /** What the state's text is made of; empty when the schedule did not finish. */
  readonly values: Readonly<Record<string, string>>;
  /** The first schedule that ended so. */
  readonly first: number;
  readonly schedule: string;
}

export interface LitmusAnswer {
  readonly question: string;
  /**
   * `never` and `always` are proofs: every schedule there is has been tried. `none-tried`, `all-tried`: so it was in all that were tried (`of`),
   * and others may end otherwise. `not-asked`: none came to where it could be said.
   */
  readonly answer: 'never' | 'sometimes' | 'always' | 'none-tried' | 'all-tried' | 'not-asked';
  /** In how many of the schedules that could say (`of`) the condition holds. */
  readonly count: number;
  readonly of: number;
  /** The first schedule in which it holds; of `always`: in which it does not. */
  readonly first: number | null;
  /** Every schedule there is has been tried. */
  readonly proved: boolean;
  /** Whether that is what the question asks for. */
  readonly ok: boolean;
}

export interface LitmusReport extends AskedRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'litmus';
  readonly mode: 'schedules';
  /** The file, its name and its sentence. */
  readonly scenario: string;
  readonly name: string;
  readonly sentence: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: number;
  readonly strategy: string;
  readonly schedules: number;
  readonly steps: number;
  readonly elapsed_s: number;
  readonly exhaustive: boolean;
  readonly outcomes: readonly LitmusOutcome[];
  readonly questions: readonly LitmusAnswer[];
  /** What the file expects to find, and whether it was. */
  readonly expect: { readonly expected: string; readonly found: boolean } | null;
  readonly violations: readonly ReportViolation[];
  readonly violation_count: number;
  /** What real kernels are known to do as well: no violation, and nothing that `ok` depends on. */
  readonly known_windows: readonly KnownWindow[];
  readonly guarantee: string;
  /** Why it is no proof, or null where it is one. */
  readonly not_proved: NotProved | null;
  readonly end: EndRow;
  /** All is as the file says. */
  readonly ok: boolean;
  /** Of the command: the operations that its violation takes, where some of the file's are not needed. */
  readonly reduced?: Reduced | null;
}

/** A violation's test without the operations that it does not need. */
export interface Reduced {
  readonly litmus: string;
  readonly schedule: string;
  /** What was left out, a line each. */
  readonly cut: readonly string[];
}

/** Runs the test. */
export async function runLitmus(options: LitmusOptions): Promise<LitmusReport> {
  const { subject, strategy, schedules, seconds = LITMUS_DEFAULTS.seconds, stop, workers, onProgress } = options;
  const budget = new Budget(seconds);
  if (strategy !== undefined && strategy !== EXHAUSTIVE) return litmusReport(subject, await campaign(options, budget));
  if (strategy === undefined && !canProve(subject)) return litmusReport(subject, await campaign(options, budget));
  const only = strategy === EXHAUSTIVE;
  const share = only ? budget : budget.part(PROOF_SHARE);
  const { report, complete } = await proveLitmus({ subject, budget: share, schedules, stop, workers, onProgress });
  if (only || complete || stop?.() === true) return litmusReport(subject, report);
  const more = await campaign(options, new Budget(Math.max(seconds - share.used, 0.1)));
  return litmusReport(subject, together(report, more));
}

/** Of the time, at most; the portfolio has the rest, where the search does not end. */
const PROOF_SHARE = 0.6;

/** Schedules by a strategy, or by the portfolio of them. */
async function campaign(options: LitmusOptions, budget: Budget): Promise<ExploreReport> {
  const { subject, strategy, workers } = options;
  const { report } = await explore({
    subject,
    schedules: options.schedules ?? LITMUS_DEFAULTS.schedules,
    budget,
    stepsMax: subject.test.stepsMax,
    keepGoing: true,
    ...(strategy !== undefined && { strategy }),
    ...(workers !== undefined && { workers }),
    ...(options.stop !== undefined && { stop: options.stop }),
    ...(options.onProgress !== undefined && { onProgress: options.onProgress }),
  });
  return report;
}

/** Two reports as one: what the second found goes on behind the first's schedules. */
function together(first: ExploreReport, second: ExploreReport): ExploreReport {
  const outcomes = first.outcomes.map((row) => {
    const again = second.outcomes.find(({ state }) => state === row.state);
    return again === undefined ? row : Object.assign({}, row, { count: row.count + again.count });
  });
  for (const row of second.outcomes) {
    if (outcomes.some(({ state }) => state === row.state)) continue;
    outcomes.push({ ...row, first: row.first + first.schedules });
  }
  const kinds = new Set(first.violations.map(kindOf));
  return {
    ...second,
    strategy: `${first.strategy}, then ${second.strategy}`,
    schedules: first.schedules + second.schedules,
    steps: first.steps + second.steps,
    elapsed_s: first.elapsed_s + second.elapsed_s,
    exhaustive: false,
    outcomes: outcomes.toSorted((a, b) => b.count - a.count || (a.state < b.state ? -1 : 1)),
    violations: [...first.violations, ...second.violations.filter((violation) => !kinds.has(kindOf(violation)))],
    violation_count: first.violation_count + second.violation_count,
    known_windows: togetherKnown(first, second),
    guarantee: [first.guarantee, second.guarantee].filter((each) => each !== '').join('; '),
    not_proved: first.not_proved,
    ok: first.ok && second.ok,
  };
}

function togetherKnown(first: ExploreReport, second: ExploreReport): KnownWindow[] {
  const later = second.known_windows.filter(
    ({ invariant }) => !first.known_windows.some((known) => known.invariant === invariant),
  );
  const both = first.known_windows.map((known) => {
    const again = second.known_windows.find(({ invariant }) => invariant === known.invariant);
    return Object.assign({}, known, { schedules: known.schedules + (again?.schedules ?? 0) });
  });
  return [
    ...both,
    ...later.map((known) => Object.assign({}, known, { found_in_schedule: known.found_in_schedule + first.schedules })),
  ];
}

const kindOf = ({ invariant, what }: ReportViolation): string => `${invariant} ${what}`;

/** What the campaign's report says to the test's questions. */
export function litmusReport(subject: LitmusSubject, report: ExploreReport): LitmusReport {
  const { test } = subject;
  const judge = new Judge(subject);
  const judged = report.outcomes.map((row) => judge.outcome(row, report.schedules));
  const outcomes = judged.map(({ outcome }) => outcome);
  const questions = test.questions.map((question, index) => answer(question, index, judged, report.exhaustive));
  const violations = report.violations.filter(({ invariant }) => invariant !== 'forbidden' && invariant !== 'always');
  const expect =
    test.expect === null ? null : { expected: expectText(test.expect), found: isFound(test.expect, report) };
  const asExpected = expect === null ? violations.length === 0 : expect.found;
  const asked = askedRow(report.violation_count > 0 ? null : litmusNotAsked(report.outcomes, questions));
  return {
    schema: REPORT_SCHEMA,
    command: 'litmus',
    mode: 'schedules',
    scenario: subject.scenario,
    name: test.name,
    sentence: test.sentence,
    policy: report.policy,
    seed: report.seed,
    workers: report.workers,
    strategy: report.strategy,
    schedules: report.schedules,
    steps: report.steps,
    elapsed_s: report.elapsed_s,
    exhaustive: report.exhaustive,
    outcomes,
    questions,
    expect,
    violations: report.violations,
    violation_count: report.violation_count,
    known_windows: report.known_windows,
    guarantee: report.guarantee,
    not_proved: report.not_proved,
    end: report.end,
    ...asked,
    ok: asked.asked && asExpected && questions.every(({ ok }) => ok),
  };
}

/** Why the test's questions were not asked, or null. */
function litmusNotAsked(outcomes: readonly OutcomeRow[], questions: readonly LitmusAnswer[]): string | null {
  const why = schedulesNotAsked(outcomes);
  if (why !== null) return why;
  if (questions.length === 0 || questions.some(({ of }) => of > 0)) return null;
  return 'no schedule came to a state in which its questions could be answered';
}

export const expectText = (expect: Expectation): string =>
  expect.kind === 'violation' ? `violation ${expect.invariant}` : expect.kind;

/** The invariant that reports call it by. */
export const expectedRule = (expect: Expectation): string => {
  if (expect.kind === 'violation') return expect.invariant;
  return expect.kind === 'livelock' ? 'I-LIVE' : 'deadlock';
};

const isFound = (expect: Expectation, { violations }: ExploreReport): boolean =>
  violations.some(({ invariant }) => invariant === expectedRule(expect));

/** Evaluates the questions in the states that schedules end in. */
class Judge {
  readonly #program: LitmusProgram;
  readonly #thread: OneThread;
  readonly #script = new ExactScript();

  constructor(subject: LitmusSubject) {
    this.#program = subject.create();
    this.#thread = new OneThread(this.#program, subject.test.stepsMax);
  }

  outcome(row: OutcomeRow, of: number): Judged {
    const { state, count, verdict, first, schedule, end, broken, after, held: heldOnTheWay, known } = row;
    const { choices, variation } = parseSchedule(schedule);
    const wentOn = after !== null;
    this.#thread.goesOn = wentOn;
    this.#script.load(choices, choices.length).begin();
    this.#thread.run(this.#script, variation);
    const { yes, values: parts } = this.#program.observation();
    const { questions } = this.#program.test;
    const finished = wentOn ? this.#thread.ended === END_FINISHED : this.#thread.outcome.state !== null;
    const answers = yes.map((holds, index) => (finished || isSettled(questions[index], holds) ? holds : null));
    const held = answers.flatMap((holds, index) => (holds === true ? [index + 1] : []));
    const clean = finished && !wentOn;
    const asked = clean || broken[0] === 'forbidden' || broken[0] === 'always';
    const interesting = held.some((number) => isWanted(questions[number - 1]));
    const fine: LitmusVerdict = known.length > 0 ? 'known window' : interesting ? 'interesting' : 'ok';
    const words: LitmusVerdict = clean ? fine : 'violation';
    const shown: LitmusVerdict = verdict === 'cut' ? 'cut' : verdict === 'forbidden' && asked ? 'forbidden' : words;
    const share = of === 0 ? 0 : count / of;
    const values = finished ? Object.fromEntries(parts) : {};
    const told = { state, end, broken, after, held: heldOnTheWay, known };
    return { outcome: { ...told, count, share, verdict: shown, questions: held, values, first, schedule }, answers };
  }
}

/** An outcome, and by question whether its condition holds there; null where the schedule ended before it could be said. */
interface Judged {
  readonly outcome: LitmusOutcome;
  readonly answers: readonly (boolean | null)[];
}

/** Whether a schedule that did not finish has settled a question: what held on the way holds. */
const isSettled = (question: Question | undefined, holds: boolean): boolean =>
  question?.during === true && holds !== (question.word === 'always');
const isWanted = (question: Question | undefined): boolean =>
  question?.word === 'exists' || question?.word === 'sometimes';

const sum = (outcomes: readonly Counted[]): number => outcomes.reduce((total, row) => total + row.count, 0);

/** The word for a condition that holds in `count` of the `of` schedules that could say. */
function answerWord(count: number, of: number, proved: boolean): LitmusAnswer['answer'] {
  if (of === 0) return 'not-asked';
  if (count > 0 && count < of) return 'sometimes';
  if (proved) return count === 0 ? 'never' : 'always';
  return count === 0 ? 'none-tried' : 'all-tried';
}

/** The answer to one question over all outcomes. */
function answer(question: Question, index: number, judged: readonly Judged[], exhaustive: boolean): LitmusAnswer {
  const rows = (wanted: boolean): LitmusOutcome[] =>
    judged.flatMap(({ outcome, answers }) => (answers[index] === wanted ? [outcome] : []));
  return answerFrom(question, rows(true), rows(false), exhaustive);
}

/** A final state, how often it was come to, and first when. */
type Counted = Pick<LitmusOutcome, 'count' | 'first'>;

/** The answer to a question whose condition held where `holds` were come to and failed where `fails` were; elsewhere nobody can say. */
export function answerFrom(
  { word, text }: Pick<Question, 'word' | 'text'>,
  holds: readonly Counted[],
  fails: readonly Counted[],
  exhaustive: boolean,
): LitmusAnswer {
  const count = sum(holds);
  const of = count + sum(fails);
  const told = word === 'always' ? fails : holds;
  const ok =
    word === 'exists' ||
    (word === 'sometimes' && count > 0) ||
    (word === 'forbidden' && count === 0) ||
    (word === 'always' && fails.length === 0);
  return {
    question: text,
    answer: answerWord(count, of, exhaustive),
    count,
    of,
    first: told.length === 0 ? null : Math.min(...told.map(({ first }) => first)),
    proved: exhaustive,
    ok,
  };
}

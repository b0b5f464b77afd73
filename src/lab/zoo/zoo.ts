/**
 * `pinfall zoo run`: looks for each planted bug with each strategy, over some seeds; asks whether an exhaustive search of its litmus
 * file finds it, and proves the file clean without it; and, asked to, races the same actors on real threads.
 */
import { UNDECLARED } from '../../engine/one-thread/undeclared.js';
import { fileURLToPath } from 'node:url';
import { median } from 'simple-statistics';
import { STRATEGIES, strategyKind } from '../../engine/strategies/index.js';
import { POLICIES } from '../../policies/index.js';
import type { Bug } from '../../zoo/bug.js';
import { BUGS, bugById } from '../../zoo/index.js';
import { askedRow } from '../report/asked.js';
import type { AskedRow } from '../report/asked-row.js';
import { Budget, type BudgetEnd } from '../explore/budget.js';
import { explore } from '../explore/explore.js';
import { EXHAUSTIVE } from '../explore/prove.js';
import { InputError } from '../../errors/errors.js';
import { meant } from '../input/nearest.js';
import { fileObserver } from '../litmus/threads/file-observer.js';
import { litmusThreads } from '../litmus/threads/run.js';
import { type LitmusSubject, litmusSubject, readLitmus } from '../litmus/subject.js';
import type { LitmusSource } from '../litmus/source.js';
import { type EndRow, REPORT_SCHEMA } from '../report/run-row.js';
import { type SilenceRow, provesNothing, silenceOf, silentFor } from '../report/silence.js';
import { type Finding, findOf, wantedAnswer } from './finds.js';

interface ZooOptions {
  /** Ids; none: all. */
  readonly ids?: readonly string[];
  /** Names of STRATEGIES; none: all. */
  readonly strategies?: readonly string[];
  readonly seed?: number;
  /** Seeds of each strategy. */
  readonly seeds?: number;
  /** Schedules of one search at most. */
  readonly schedules?: number;
  /** CPU seconds of one search, and of one exhaustive search, at most. */
  readonly seconds?: number;
  readonly exhaustiveSeconds?: number;
  /** CPU seconds of each worker on real threads at most, ten times that by the clock; 0 = not at all. */
  readonly threadSeconds?: number;
  readonly stop?: () => boolean;
  readonly onProgress?: (text: string) => void;
}

/** One strategy's searches for one bug. */
interface ZooStrategyRow {
  readonly strategy: string;
  /** Searches that found it, of how many. */
  readonly found: number;
  readonly searches: number;
  /** Medians of those that found it; null when none did. */
  readonly schedules: number | null;
  readonly elapsed_s: number | null;
}

/** An exhaustive search, or what came of it within its time. */
export interface ZooProof extends AskedRow {
  /** Every execution was looked at. */
  readonly exhaustive: boolean;
  readonly schedules: number;
  readonly elapsed_s: number;
  /** Rules that were broken; of the bug's own search the expected one, of the kernel without the bug none. */
  readonly violations: readonly string[];
  /** Accesses that nothing orders, in words: then nothing is proved. */
  readonly undeclared: readonly string[];
}

export interface ZooThreadsRow extends SilenceRow {
  readonly found: boolean;
  readonly iterations: number;
  readonly elapsed_s: number;
  /** What ended it: its CPU seconds (`budget`), ten times that by the clock (`clock`), or neither: found, or interrupted (''). */
  readonly ended: BudgetEnd;
}

export interface ZooEntry extends AskedRow {
  readonly id: string;
  readonly title: string;
  readonly commit: string;
  readonly fixed_in: string;
  readonly policy: string;
  readonly litmus: string;
  readonly found: boolean;
  /** The invariant that caught it first. */
  readonly invariant: string | null;
  /** Of the fastest strategy: medians over the seeds. */
  readonly schedules: number | null;
  readonly elapsed_s: number | null;
  readonly strategies: readonly ZooStrategyRow[];
  /** Null where it was not asked for, or the strategy is not there. */
  readonly planted: ZooProof | null;
  readonly unplanted: ZooProof | null;
  readonly threads: ZooThreadsRow | null;
  /** Of bugs that were asked for by their ids: the portfolio's first find, made small. Null where it has none. */
  readonly diagram: string | null;
}

/** Its `silence` names the bugs that real threads were asked for and did not show. */
export interface ZooReport extends AskedRow, SilenceRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'zoo';
  readonly seed: number;
  readonly seeds: number;
  readonly entries: readonly ZooEntry[];
  readonly elapsed_s: number;
  /** `finished`, or `interrupted`: bugs are missing, or were not searched to the end. */
  readonly end: EndRow;
  /** Every bug was found, and none of their files breaks a rule without it. */
  readonly ok: boolean;
}

export const ZOO_DEFAULTS = {
  seeds: 3,
  schedules: 20_000,
  seconds: 5,
  exhaustiveSeconds: 5,
  threadSeconds: 0,
} as const;
/** Schedules that the kernel without the bug gets where it cannot be proved clean in time. */
const CLEAN_SCHEDULES = 2000;
/** How often a run on real threads looks whether it shall stop. */
const LOOK_MS = 50;

const FILES = new URL('../../../../src/zoo/litmus/', import.meta.url);

/** The bug's litmus file: with the bug, or on a kernel without it. */
export function zooSubject(bug: Bug, planted: boolean, seed = 1): LitmusSubject {
  const path = fileURLToPath(new URL(bug.litmus, FILES));
  const options = { ...(planted ? { bug: bug.id } : { policy: bug.cleanOn ?? bug.policy }), seed };
  const source: LitmusSource = { path, text: readLitmus(path), options };
  const subject = litmusSubject(source);
  const outcome = wantedAnswer(bug, subject.test);
  return outcome === null ? subject : litmusSubject({ ...source, options: { ...options, outcome } });
}

const ZOO_IDS = BUGS.map(({ id }) => id);

/** @throws InputError for an id that is none */
export function zooBugs(ids: readonly string[] = []): readonly Bug[] {
  if (ids.length === 0) return BUGS;
  return ids.map((id) => {
    const bug = bugById(id) ?? bugById(id.toUpperCase());
    if (bug === undefined)
      throw new InputError(`no bug '${id}'; expected one of ${ZOO_IDS.join(', ')}${meant(id, ZOO_IDS)}`);
    return bug;
  });
}

/** @throws InputError for an id or a strategy that is none */
export async function runZoo(options: ZooOptions = {}): Promise<ZooReport> {
  const bugs = zooBugs(options.ids);
  for (const name of options.strategies ?? []) {
    if (strategyKind(name) === undefined)
      throw new InputError(`--strategies: no '${name}'; expected some of ${names()}`);
  }
  const started = performance.now();
  const entries: ZooEntry[] = [];
  for (const bug of bugs) {
    if (options.stop?.() === true) break;
    options.onProgress?.(`${bug.id} (${entries.length + 1} of ${bugs.length})`);
    const entry = await runBug(bug, options);
    if (entry !== null) entries.push(entry);
  }
  const silent = entries.filter(({ asked }) => !asked);
  const asked = askedRow(
    entries.length === 0
      ? 'no bug was looked for'
      : silent.length === 0
        ? null
        : silent.map(({ id, not_asked }) => `${id}: ${not_asked}`).join('; '),
  );
  return {
    schema: REPORT_SCHEMA,
    command: 'zoo',
    seed: options.seed ?? 1,
    seeds: options.seeds ?? ZOO_DEFAULTS.seeds,
    entries,
    elapsed_s: (performance.now() - started) / 1000,
    end: { kind: options.stop?.() === true ? 'interrupted' : 'finished' },
    ...asked,
    silence: silenceOfThreads(entries),
    ok:
      asked.asked &&
      entries.length === bugs.length &&
      entries.every(({ found, unplanted }) => found && isClean(unplanted)),
  };
}

function silenceOfThreads(entries: readonly ZooEntry[]): string | null {
  const silent = entries.flatMap(({ id, threads }) =>
    threads === null || threads.silence === null ? [] : [`${id} in ${silentFor(threads.elapsed_s)}`],
  );
  return silent.length === 0 ? null : provesNothing(`No violation on real threads of ${silent.join(', ')}`);
}

const isClean = (proof: ZooProof | null): boolean => proof === null || proof.violations.length === 0;
const names = (): string => STRATEGIES.map(({ name }) => name).join(', ');

/** @returns null where it was stopped before it was found */
async function runBug(bug: Bug, options: ZooOptions): Promise<ZooEntry | null> {
  const isStopped = (): boolean => options.stop?.() === true;
  const strategies = options.strategies ?? STRATEGIES.map(({ name }) => name);
  const rows: ZooStrategyRow[] = [];
  let invariant: string | null = null;
  let why: string | null = 'no strategy was tried';
  for (const strategy of strategies) {
    if (isStopped()) break;
    const { row, caught, not_asked } = await search(bug, strategy, options);
    why = why === null ? null : not_asked;
    rows.push(row);
    invariant ??= caught;
  }
  const planted = isStopped() ? null : await prove(bug, true, options);
  const finds = planted?.violations ?? [];
  invariant ??= finds.find((each) => bug.expect.includes(each)) ?? finds[0] ?? null;
  if (invariant === null && isStopped()) return null;
  const unplanted = isStopped() ? null : await prove(bug, false, options);
  const found = rows.filter((row) => row.elapsed_s !== null);
  const [best] = found.toSorted((x, y) => y.found - x.found || (x.elapsed_s as number) - (y.elapsed_s as number));
  return {
    id: bug.id,
    title: bug.title,
    commit: bug.commit,
    fixed_in: bug.fixedIn,
    policy: bug.policy,
    litmus: bug.litmus,
    found: invariant !== null,
    invariant,
    schedules: best?.schedules ?? planted?.schedules ?? null,
    elapsed_s: best?.elapsed_s ?? planted?.elapsed_s ?? null,
    strategies: rows,
    planted,
    unplanted,
    threads: isStopped() ? null : await race(bug, options),
    diagram:
      invariant === null || isStopped() || (options.ids ?? []).length === 0 ? null : await drawnBug(bug, options),
    ...askedRow(whyNot(invariant !== null || planted?.asked === true ? null : why, unplanted)),
  };
}

/** Why a bug's searches have asked nothing, or null; nor may the search of the kernel without it be silent for that. */
function whyNot(why: string | null, unplanted: ZooProof | null): string | null {
  if (why !== null || unplanted === null || unplanted.asked) return why;
  return `without the bug, ${unplanted.not_asked}`;
}

/** The portfolio's first find of a bug, made small and drawn; null where it finds none in time. */
export async function drawnBug(bug: Bug, { seed = 1, seconds, stop }: ZooOptions = {}): Promise<string | null> {
  const { report } = await explore({
    subject: zooSubject(bug, true, seed),
    schedules: ZOO_DEFAULTS.schedules,
    lookOn: 0,
    ...(seconds !== undefined && { seconds }),
    ...(stop !== undefined && { stop }),
  });
  const find = report.violations.find(({ invariant }) => bug.expect.includes(invariant));
  return find?.diagram ?? null;
}

/** One strategy over the seeds. */
async function search(
  bug: Bug,
  strategy: string,
  options: ZooOptions,
): Promise<{ readonly row: ZooStrategyRow; readonly caught: string | null; readonly not_asked: string | null }> {
  const { seeds = ZOO_DEFAULTS.seeds, seed = 1 } = options;
  const schedules: number[] = [];
  const seconds: number[] = [];
  let caught: string | null = null;
  let why: string | null = 'no schedule was tried';
  for (let i = 0; i < seeds && options.stop?.() !== true; i++) {
    const subject = zooSubject(bug, true, seed + i);
    const { report } = await explore({
      subject,
      strategy,
      schedules: options.schedules ?? ZOO_DEFAULTS.schedules,
      budget: new Budget(options.seconds ?? ZOO_DEFAULTS.seconds),
      lookOn: 0,
      minimise: false,
      ...(options.stop !== undefined && { stop: options.stop }),
    });
    why = why === null ? null : report.not_asked;
    const find = findOf(bug, subject.test, report.violations);
    if (find === null) continue;
    caught ??= find;
    schedules.push(report.schedules);
    seconds.push(report.elapsed_s);
  }
  const row = {
    strategy,
    found: schedules.length,
    searches: seeds,
    schedules: medianOrNull(schedules),
    elapsed_s: medianOrNull(seconds),
  };
  return { row, caught, not_asked: why };
}

/** An exhaustive search: of the bug until it is found, of the kernel without it to its end. */
async function prove(bug: Bug, planted: boolean, options: ZooOptions): Promise<ZooProof | null> {
  const seconds = options.exhaustiveSeconds ?? ZOO_DEFAULTS.exhaustiveSeconds;
  const subject = zooSubject(bug, planted);
  const common = { subject, minimise: false, ...(options.stop !== undefined && { stop: options.stop }) };
  const exhaustive = seconds > 0;
  if (!exhaustive && planted) return null;
  const found = exhaustive
    ? await explore({ ...common, strategy: EXHAUSTIVE, schedules: 1e12, budget: new Budget(seconds), lookOn: 0 })
    : null;
  if (found !== null && (planted || found.report.exhaustive)) return proofOf(bug, subject, found.report);
  // not ended in time: what a portfolio says is better than nothing, and no proof
  const { report } = await explore({ ...common, schedules: CLEAN_SCHEDULES, budget: new Budget(seconds) });
  return proofOf(bug, subject, {
    ...report,
    ...askedRow(found?.report.asked === true ? null : report.not_asked),
    violations: [...(found?.report.violations ?? []), ...report.violations],
    exhaustive: false,
  });
}

interface Searched extends AskedRow {
  readonly exhaustive: boolean;
  readonly schedules: number;
  readonly elapsed_s: number;
  readonly violations: readonly Finding[];
}

const proofOf = (
  bug: Bug,
  { test }: LitmusSubject,
  { exhaustive, schedules, elapsed_s, violations, asked, not_asked }: Searched,
): ZooProof => ({
  asked,
  not_asked,
  exhaustive,
  schedules,
  elapsed_s,
  violations: [...new Set(violations.map((each) => findOf(bug, test, [each]) ?? each.invariant))],
  undeclared: [...new Set(violations.flatMap(({ invariant, what = '' }) => (invariant === UNDECLARED ? [what] : [])))],
});

/** The same actors on real threads. */
async function race(bug: Bug, options: ZooOptions): Promise<ZooThreadsRow | null> {
  const seconds = options.threadSeconds ?? ZOO_DEFAULTS.threadSeconds;
  if (seconds <= 0) return null;
  const subject = zooSubject(bug, true);
  let timer: NodeJS.Timeout | undefined;
  const stop = new Promise<void>((resolve) => {
    timer = setInterval(() => {
      if (options.stop?.() === true) resolve();
    }, LOOK_MS);
  });
  const result = await litmusThreads({
    plan: subject.test.plan,
    observer: fileObserver(subject),
    iterations: 1e9,
    seconds,
    untilViolation: bug.expect,
    stop,
  }).finally(() => clearInterval(timer));
  const { questions } = subject.test;
  const answered = result.outcomes.some(({ yes }) =>
    questions.some(({ word, during }, i) => {
      if (during) return false;
      const isExpected = word === 'exists' && bug.expect.includes(`exists ${i + 1}`);
      return yes[i] === true ? word === 'forbidden' || isExpected : word === 'always';
    }),
  );
  const { iterations, elapsed_s, ended } = result;
  const found = result.violations.length > 0 || answered;
  const silence = silenceOf(
    { found: Number(found), asked: iterations > 0 },
    elapsed_s,
    `${iterations.toLocaleString('en')} iterations`,
  );
  return { found, iterations, elapsed_s, ended, silence };
}

const medianOrNull = (values: readonly number[]): number | null => (values.length === 0 ? null : median([...values]));

/** What `zoo` lists. */
export const listZoo = () =>
  BUGS.map(({ id, title, commit, fixedIn, story, policy, expect, litmus }) => ({
    id,
    title,
    commit,
    fixed_in: fixedIn,
    story,
    policy: POLICIES.find((each) => each.id === policy)?.id ?? policy,
    invariants: expect,
    litmus,
  }));

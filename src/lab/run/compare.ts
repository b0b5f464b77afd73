/** `pinfall compare`: the same guest under each policy for equal time, in turns. */
import { availableParallelism } from 'node:os';
import { median } from 'simple-statistics';
import type { LatencySummary } from '../../machine/stats.js';
import { KSM_PAGES_SHARING, KSM_ZERO_PAGES, globalWord } from '../../machine/layout.js';
import { askedRow } from '../report/asked.js';
import type { AskedRow } from '../report/asked-row.js';
import { REPORT_SCHEMA, type Report } from '../report/run-row.js';
import { type SilenceRow, provesNothing, silenceOf, silentFor } from '../report/silence.js';
import { Simulation } from './simulation.js';
import type { SimulationOptions } from './run-options.js';

/** A rate over the runs of a policy: their median, the lowest and the highest; `low` and `high` are null after a single run. */
export interface Spread {
  readonly median: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** One policy's row. Counts are sums over its runs; rates per second; pages of 4 KiB. */
interface CompareRow extends AskedRow, SilenceRow {
  readonly policy: string;
  readonly runs: number;
  /** All runs together. */
  readonly seconds: number;
  readonly accesses: number;
  readonly stage2_unmaps: number;
  readonly stage2_unmaps_pinned: number;
  /** Of pinned pages, by mechanism; teardown apart. */
  readonly pinned_by_mechanism: Readonly<Record<string, number>>;
  /** Stage-2 entries installed for guest pages that had one before; counted. */
  readonly refaults: number;
  readonly merged: number;
  readonly migrated: number;
  readonly collapsed: number;
  /** What KSM saves at the end of a run, bytes: the mean. */
  readonly memory_saved: number;
  readonly divergences: number;
  readonly violations: number;
  /** Of the violations that are told (the first ones of each run), how many by invariant. */
  readonly broken: Readonly<Record<string, number>>;
  /** Of the run with the median rate. */
  readonly fault_latency_us: LatencySummary;
  readonly accesses_per_s: number;
  readonly rate: Spread;
  /** Stage-2 unmaps and refaults per million guest accesses. */
  readonly unmaps_per_million: Spread;
  readonly refaults_per_million: Spread;
}

/** Its `silence` names the policies that broke nothing. */
export interface CompareReport extends AskedRow, SilenceRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'compare';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: number;
  /** Of each run, seconds; on a busy machine up to {@link LONGEST} times that (the rows say how long their runs were). */
  readonly duration_s: number;
  readonly repetitions: number;
  readonly rows: readonly CompareRow[];
  readonly reports: readonly Report[];
  readonly violations: Report['violations'];
  readonly violation_count: number;
  readonly end: { readonly kind: string };
  readonly ok: boolean;
}

interface CompareOptions extends Omit<SimulationOptions, 'policy'> {
  readonly policies: readonly string[];
  readonly seed: number;
  /** Seconds of each run. */
  readonly seconds: number;
  /** Runs of each policy (default 3), taken in turns: forwards and backwards. */
  readonly repetitions?: number;
  /** Asked between policies and during a run: Ctrl-C. */
  readonly interrupted: Promise<void>;
  readonly onPolicy?: (policy: string, run: number, runs: number) => void;
}

/** A run of one policy. */
interface Run {
  readonly report: Report;
  readonly savedBytes: number;
}

/** Runs of a policy unless somebody says otherwise: one has no spread. */
const REPETITIONS = 3;

/**
 * Runs the policies in turns, forwards and backwards, so that what else the machine does meets all of them alike.
 * @throws InputError as `stress` does
 */
export async function compare(options: CompareOptions): Promise<CompareReport> {
  const repetitions = options.repetitions ?? REPETITIONS;
  const runs = new Map<string, Run[]>(options.policies.map((policy) => [policy, []]));
  let stopped = false;
  void options.interrupted.then(() => {
    stopped = true;
  });
  const forwards = [...runs.keys()];
  const turns = Array.from({ length: repetitions }, (_, turn) => (turn % 2 === 0 ? forwards : forwards.toReversed()));
  for (const [index, policy] of turns.flat().entries()) {
    if (stopped) break;
    const begun = (): void => options.onPolicy?.(policy, index, repetitions * forwards.length);
    runs.get(policy)?.push(await runOnce(policy, options, begun, () => stopped));
  }
  const rows = [...runs].flatMap(([policy, made]) => (made.length === 0 ? [] : [rowOf(policy, made)]));
  const reports = [...runs.values()].flat().map(({ report }) => report);
  const first = reports[0];
  return {
    schema: REPORT_SCHEMA,
    command: 'compare',
    scenario: first?.scenario ?? options.scenario ?? '',
    policy: options.policies.join(','),
    seed: options.seed,
    workers: first?.workers ?? 0,
    duration_s: options.seconds,
    repetitions,
    rows,
    reports,
    violations: reports.flatMap((report) => report.violations),
    violation_count: reports.reduce((sum, report) => sum + report.violation_count, 0),
    end: {
      kind: stopped
        ? 'interrupted'
        : (reports.find((report) => report.end.kind !== 'finished')?.end.kind ?? 'finished'),
    },
    ...askedRow(notAskedBy(rows)),
    silence: silenceBy(rows),
    ok: reports.every((report) => report.ok),
  };
}

/** Runs of a policy last so many times as long at most where other processes take the CPU away. */
const LONGEST = 3;
/** Of the CPU time that the cores would give in a run's seconds: what it ought to have had. */
const FAIR_SHARE = 0.6;
const LOOK_MS = 100;

/** Resolves after `seconds`, or when the process has had as much CPU time as it would have had in them on an idle machine. */
function enough(seconds: number, workers: number): { readonly passed: Promise<void>; stop(): void } {
  const began = performance.now();
  const cpu = process.cpuUsage();
  const wanted = seconds * Math.min(workers, availableParallelism()) * FAIR_SHARE;
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setInterval(() => {
      const wall = (performance.now() - began) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      if (wall < seconds || (wall < LONGEST * seconds && (user + system) / 1e6 < wanted)) return;
      resolve();
    }, LOOK_MS);
  });
  return { passed, stop: () => clearInterval(timer) };
}

async function runOnce(
  policy: string,
  options: CompareOptions,
  begun: () => void,
  stopped: () => boolean,
): Promise<Run> {
  const simulation = await Simulation.start({
    ...options,
    command: 'compare',
    policy,
    events: 'recorder',
    auditSeconds: 5,
  });
  begun();
  const time = enough(options.seconds, simulation.placement().workers);
  await Promise.race([time.passed, simulation.ended, simulation.scenarioOver, options.interrupted]);
  time.stop();
  const m = simulation.machine;
  const saved =
    (m.words[globalWord(m, KSM_PAGES_SHARING)] as number) + (m.words[globalWord(m, KSM_ZERO_PAGES)] as number);
  return { report: await simulation.stop(stopped()), savedBytes: saved * 4096 };
}

/** Why the comparison has asked nothing of some policy, or null. */
function notAskedBy(rows: readonly CompareRow[]): string | null {
  if (rows.length === 0) return 'no policy was run';
  const silent = rows.filter(({ asked }) => !asked);
  return silent.length === 0 ? null : silent.map(({ policy, not_asked }) => `${policy}: ${not_asked}`).join('; ');
}

/** Of which policies nothing broke, each in how many seconds. */
function silenceBy(rows: readonly CompareRow[]): string | null {
  const silent = rows.filter(({ silence }) => silence !== null);
  if (silent.length === 0) return null;
  const each = silent.map(({ policy, seconds }) => `${policy} in ${silentFor(seconds)}`);
  return provesNothing(`No violation of ${each.join(', ')}`);
}

const rateOf = ({ ops, duration_s }: Report): number => ops.accesses / Math.max(duration_s, 0.001);
const runningOf = ({ mechanisms }: Report): Report['mechanisms'] => mechanisms.filter((row) => row.name !== 'teardown');
const unmapsOf = (report: Report): number => runningOf(report).reduce((sum, row) => sum + row.stage2_unmaps, 0);

function rowOf(policy: string, runs: readonly Run[]): CompareRow {
  const reports = runs.map(({ report }) => report);
  const all = <T>(pick: (report: Report) => readonly T[]): T[] => reports.flatMap(pick);
  const sum = (pick: (report: Report) => number): number => reports.reduce((total, report) => total + pick(report), 0);
  const running = all(runningOf);
  const moved = (name: string): number =>
    running.filter((row) => row.name === name).reduce((total, row) => total + row.pages_moved, 0);
  const perMillion = (pick: (report: Report) => number): Spread =>
    spread(reports.map((report) => (pick(report) * 1e6) / Math.max(report.ops.accesses, 1)));
  const pinned = running.filter((row) => row.stage2_unmaps_pinned > 0);
  const rate = spread(reports.map(rateOf));
  const typical = reports.toSorted((x, y) => Math.abs(rateOf(x) - rate.median) - Math.abs(rateOf(y) - rate.median))[0];
  const [violations, seconds, accesses] = [
    sum((report) => report.violation_count),
    sum((report) => report.duration_s),
    sum((report) => report.ops.accesses),
  ];
  // a policy of which one run has asked something has been asked
  const asked = reports.find((report) => report.asked) ?? (reports[0] as Report);
  return {
    policy,
    asked: asked.asked,
    not_asked: asked.not_asked,
    silence: silenceOf({ found: violations, asked: asked.asked }, seconds, `${accesses.toLocaleString('en')} accesses`),
    runs: runs.length,
    seconds,
    accesses,
    stage2_unmaps: sum(unmapsOf),
    stage2_unmaps_pinned: pinned.reduce((total, row) => total + row.stage2_unmaps_pinned, 0),
    pinned_by_mechanism: countBy(pinned, (row) => [row.name, row.stage2_unmaps_pinned]),
    refaults: sum((report) => report.ops.stage2_refaults),
    merged: moved('ksm'),
    migrated: moved('numa_migrate') + moved('longterm_migrate'),
    collapsed: moved('khugepaged'),
    memory_saved: runs.reduce((total, { savedBytes }) => total + savedBytes, 0) / runs.length,
    divergences: sum((report) => report.ops.divergences),
    violations,
    broken: countBy(
      all((report) => report.violations),
      ({ invariant }) => [invariant, 1],
    ),
    fault_latency_us: typical?.latency_us['stage2_fault'] ?? { count: 0, p50: 0, p99: 0, max: 0 },
    accesses_per_s: rate.median,
    rate,
    unmaps_per_million: perMillion(unmapsOf),
    refaults_per_million: perMillion((report) => report.ops.stage2_refaults),
  };
}

function spread(values: readonly number[]): Spread {
  const one = values.length < 2;
  return {
    median: median([...values]),
    low: one ? null : Math.min(...values),
    high: one ? null : Math.max(...values),
  };
}

function countBy<T>(list: readonly T[], entry: (item: T) => readonly [string, number]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of list) {
    const [name, by] = entry(item);
    counts[name] = (counts[name] ?? 0) + by;
  }
  return counts;
}

/** `pinfall compare`: the same guest under each policy for equal time. */
import type { LatencySummary } from '../machine/stats.js';
import { KSM_PAGES_SHARING, KSM_ZERO_PAGES, globalWord } from '../machine/layout.js';
import { type AskedRow, askedRow } from './asked.js';
import { REPORT_SCHEMA, type Report } from './report.js';
import { Simulation, type SimulationOptions } from './simulation.js';

/** One policy's row. Counts are of the whole run; rates per second; pages of 4 KiB. */
export interface CompareRow extends AskedRow {
  readonly policy: string;
  readonly stage2_unmaps: number;
  readonly stage2_unmaps_pinned: number;
  /** Of pinned pages, by mechanism; teardown apart. */
  readonly pinned_by_mechanism: Readonly<Record<string, number>>;
  /** Stage-2 installs beyond a guest page's first. */
  readonly refaults: number;
  readonly merged: number;
  readonly migrated: number;
  readonly collapsed: number;
  /** What KSM saves at the end of the run, bytes. */
  readonly memory_saved: number;
  readonly divergences: number;
  readonly violations: number;
  readonly fault_latency_us: LatencySummary;
  readonly accesses_per_s: number;
}

export interface CompareReport extends AskedRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'compare';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: number;
  /** Of each policy, seconds. */
  readonly duration_s: number;
  readonly rows: readonly CompareRow[];
  readonly reports: readonly Report[];
  readonly violations: Report['violations'];
  readonly violation_count: number;
  readonly end: { readonly kind: string };
  readonly ok: boolean;
}

export interface CompareOptions extends Omit<SimulationOptions, 'policy'> {
  readonly policies: readonly string[];
  readonly seed: number;
  /** Seconds for each policy. */
  readonly seconds: number;
  /** Asked between policies and during a run: Ctrl-C. */
  readonly interrupted: Promise<void>;
  readonly onPolicy?: (policy: string, index: number) => void;
}

/** Runs the policies one after the other. @throws InputError as `stress` does */
export async function compare(options: CompareOptions): Promise<CompareReport> {
  const rows: CompareRow[] = [];
  const reports: Report[] = [];
  let stopped = false;
  void options.interrupted.then(() => {
    stopped = true;
  });
  for (const [index, policy] of options.policies.entries()) {
    if (stopped) break;
    options.onPolicy?.(policy, index);
    const simulation = await Simulation.start({
      ...options,
      command: 'compare',
      policy,
      events: 'recorder',
      auditSeconds: 5,
    });
    let timer: NodeJS.Timeout | undefined;
    const time = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, options.seconds * 1000);
    });
    await Promise.race([time, simulation.ended, simulation.scenarioOver, options.interrupted]);
    clearTimeout(timer);
    const m = simulation.machine;
    const saved =
      (m.words[globalWord(m, KSM_PAGES_SHARING)] as number) + (m.words[globalWord(m, KSM_ZERO_PAGES)] as number);
    const report = await simulation.stop(stopped);
    reports.push(report);
    rows.push(rowOf(report, saved * 4096));
  }
  const first = reports[0];
  return {
    schema: REPORT_SCHEMA,
    command: 'compare',
    scenario: first?.scenario ?? options.scenario ?? '',
    policy: options.policies.join(','),
    seed: options.seed,
    workers: first?.workers ?? 0,
    duration_s: options.seconds,
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
    ok: reports.every((report) => report.ok),
  };
}

/** Why the comparison has asked nothing of some policy, or null. */
function notAskedBy(rows: readonly CompareRow[]): string | null {
  if (rows.length === 0) return 'no policy was run';
  const silent = rows.filter(({ asked }) => !asked);
  return silent.length === 0 ? null : silent.map(({ policy, not_asked }) => `${policy}: ${not_asked}`).join('; ');
}

function rowOf(report: Report, memorySaved: number): CompareRow {
  const running = report.mechanisms.filter((row) => row.name !== 'teardown');
  const moved = (name: string): number => running.find((row) => row.name === name)?.pages_moved ?? 0;
  const unmaps = running.reduce((sum, row) => sum + row.stage2_unmaps, 0);
  return {
    policy: report.policy,
    asked: report.asked,
    not_asked: report.not_asked,
    stage2_unmaps: unmaps,
    stage2_unmaps_pinned: running.reduce((sum, row) => sum + row.stage2_unmaps_pinned, 0),
    pinned_by_mechanism: Object.fromEntries(
      running.filter((row) => row.stage2_unmaps_pinned > 0).map((row) => [row.name, row.stage2_unmaps_pinned]),
    ),
    refaults: Math.min(report.ops.stage2_maps, unmaps),
    merged: moved('ksm'),
    migrated: moved('numa_migrate') + moved('longterm_migrate'),
    collapsed: moved('khugepaged'),
    memory_saved: memorySaved,
    divergences: report.ops.divergences,
    violations: report.violation_count,
    fault_latency_us: report.latency_us['stage2_fault'] ?? { count: 0, p50: 0, p99: 0, max: 0 },
    accesses_per_s: report.ops.accesses / Math.max(report.duration_s, 0.001),
  };
}

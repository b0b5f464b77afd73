/**
 * The report object of runs on real threads (schema pinfall.report/1), read from the machine's counters. Field names are the
 * public interface: scripts and the acceptance checks read them.
 */
import {
  REPORT_SCHEMA,
  type RunCommand,
  type MechanismRow,
  type ThreadRow,
  type EndRow,
  type Report,
} from './run-row.js';
import type { EventCounters } from '../../trace/source.js';
import { MECHANISMS } from '../../machine/mechanisms.js';
import { type Machine, statsBase } from '../../machine/layout.js';
import {
  LATENCIES,
  LATENCY,
  MC_BACKED_OUT,
  MC_NOTIFIER_STARTS,
  MC_PAGES_MOVED,
  MC_PINNED_HIT,
  MC_STAGE2_UNMAPS,
  MC_STAGE2_UNMAPS_PINNED,
  MECHANISM_COUNTERS,
  STAT,
  STATS,
  STATS_MECHANISMS_AT,
  type StatName,
  readLatency,
} from '../../machine/stats.js';
import type { Plan } from '../../plan/plan.js';
import type { Violation } from '../../oracle/violation.js';
import type { ReportViolation } from './violation.js';
import { askedRow, threadsNotAsked } from './asked.js';
import { silenceOf } from './silence.js';
import { noiseName } from '../../engine/host/noise.js';
import { readRates } from './rates.js';

/** What a run knows of itself beside the machine's counters. */
interface RunFacts {
  readonly command: RunCommand;
  readonly plan: Plan;
  readonly threads: readonly ThreadRow[];
  readonly duration_s: number;
  readonly teardown_s: number;
  readonly events: EventCounters;
  readonly violations: readonly ReportViolation[];
  readonly violation_count: number;
  /** All of them, as the oracles gave them. */
  readonly found: readonly Violation[];
  /** Percent: HostOptions.noise. */
  readonly noise: number;
  readonly end: EndRow;
}

/** The sum of one counter over all actors. Counters are 32-bit words that may have wrapped once: read as unsigned. */
export function sumStat(m: Machine, stat: number): number {
  let sum = 0;
  for (let actor = 0; actor < m.cpus; actor++) sum += (m.words[statsBase(m, actor) + stat] as number) >>> 0;
  return sum;
}

/** The `ops` object: every counter by name. */
export function readOps(m: Machine): Record<StatName, number> {
  return Object.fromEntries(STATS.map((name) => [name, sumStat(m, STAT[name])])) as Record<StatName, number>;
}

/** The mechanism table: a row for each, also those that did nothing. */
export function readMechanisms(m: Machine): MechanismRow[] {
  return MECHANISMS.flatMap((name, mechanism) => {
    const counter = (which: number): number => sumStat(m, STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + which);
    const row = {
      name,
      notifier_starts: counter(MC_NOTIFIER_STARTS),
      pinned_hit: counter(MC_PINNED_HIT),
      stage2_unmaps: counter(MC_STAGE2_UNMAPS),
      stage2_unmaps_pinned: counter(MC_STAGE2_UNMAPS_PINNED),
      pages_moved: counter(MC_PAGES_MOVED),
      backed_out: counter(MC_BACKED_OUT),
    };
    // `none` is what nobody has claimed: a row only when a mechanism forgot to
    return name === 'none' && row.notifier_starts + row.stage2_unmaps === 0 ? [] : [row];
  });
}

/** That a run broke no rule, and what that is worth. */
export function silenceOfRun(run: Pick<Report, 'violation_count' | 'asked' | 'duration_s' | 'ops'>): string | null {
  const accesses = run.ops.accesses + run.ops.host_accesses;
  const { violation_count: found, asked } = run;
  return silenceOf({ found, asked }, run.duration_s, `${accesses.toLocaleString('en')} accesses`);
}

const isKvm = (kind: string): boolean => kind === 'vcpu';

/** Builds the report of a run that has ended (or is being interrupted: counters may then lag a little). */
export function buildReport(m: Machine, facts: RunFacts): Report {
  const { plan } = facts;
  const pinsOf = (kvm: boolean): number =>
    plan.actors.reduce(
      (sum, actor, index) =>
        isKvm(actor.kind) === kvm ? sum + ((m.words[statsBase(m, index) + STAT.pins] as number) >>> 0) : sum,
      0,
    );
  const row = {
    schema: REPORT_SCHEMA,
    command: facts.command,
    scenario: plan.scenario,
    policy: plan.kernel,
    seed: plan.seed,
    workers: facts.threads.length,
    threads: facts.threads,
    duration_s: facts.duration_s,
    teardown_s: facts.teardown_s,
    ops: readOps(m),
    pins: { kvm: pinsOf(true), dma: pinsOf(false) },
    mechanisms: readMechanisms(m),
    rates: readRates(m, plan, facts.found),
    noise: {
      setting: noiseName(facts.noise),
      delays: sumStat(m, STAT.noise_delays),
      delayed_s: sumStat(m, STAT.noise_us) / 1e6,
    },
    latency_us: Object.fromEntries(LATENCIES.map((name) => [name, readLatency(m, LATENCY[name])])),
    events: facts.events,
    violations: facts.violations,
    violation_count: facts.violation_count,
    memory: { frames: m.frames, bytes: m.totalWords * 4 },
    end: facts.end,
  } as const;
  const asked = askedRow(threadsNotAsked(row));
  const isWell = facts.end.kind === 'finished' || facts.end.kind === 'interrupted';
  return {
    ...row,
    ...asked,
    silence: silenceOfRun({ ...row, ...asked }),
    ok: asked.asked && facts.violation_count === 0 && isWell,
  };
}

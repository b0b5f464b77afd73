/**
 * Rates of daemons beside those of a real kernel: a scenario's daemons come round a hundred times sooner than a host's, so that
 * things happen in seconds. Counts for each of their turns, and for each second at the kernel's own default rates, are what can be
 * carried over to a host.
 *
 * The defaults are v6.18's: kernel/sched/fair.c sysctl_numa_balancing_scan_period_min (1,000 ms; up to 60,000 where scans find
 * nothing to do) and _scan_size (256 MiB); mm/ksm.c ksm_thread_pages_to_scan (DEFAULT_PAGES_TO_SCAN, 100) and
 * ksm_thread_sleep_millisecs (20; ksmd itself runs only where an administrator has said so); mm/khugepaged.c
 * khugepaged_pages_to_scan (HPAGE_PMD_NR * 8, 4,096) and khugepaged_scan_sleep_millisecs (10,000).
 */
import type { ActorSpec, Plan } from '../../plan/plan.js';
import type { Violation } from '../../oracle/violation.js';
import { ACTOR_PROGRESS, type Machine, actorWord, statsBase } from '../../machine/layout.js';
import {
  MC_BACKED_OUT,
  MC_NOTIFIER_STARTS,
  MC_PAGES_MOVED,
  MC_STAGE2_UNMAPS,
  MC_STAGE2_UNMAPS_PINNED,
  MECHANISM_COUNTERS,
  STATS_MECHANISMS_AT,
} from '../../machine/stats.js';
import { MECHANISMS } from '../../machine/mechanisms.js';

/** What a daemon's turns did. */
interface TurnCounts {
  readonly notifier_starts: number;
  readonly stage2_unmaps: number;
  readonly stage2_unmaps_pinned: number;
  readonly pages_moved: number;
  readonly backed_out: number;
  /** Rules broken by it. */
  readonly violations: number;
}

/** How often a daemon comes, and how many pages a turn may have. */
interface DaemonRate {
  readonly period_ms: number;
  readonly pages: number;
}

export interface RateRow {
  readonly actor: string;
  readonly kind: string;
  readonly here: DaemonRate;
  /** Of v6.18. */
  readonly kernel_default: DaemonRate;
  /** The kernel's own settings that say so. */
  readonly settings: string;
  /** Turns of the run: scans, or batches of one. */
  readonly turns: number;
  /** For each turn as it is here. */
  readonly per_turn: TurnCounts;
  /** For each second at the kernel's default rate: in proportion to the pages that it scans in that time. */
  readonly per_s_at_kernel_default: TurnCounts;
}

interface Daemon {
  readonly period: string;
  readonly pages: string;
  readonly settings: string;
  readonly kernel: DaemonRate;
}

/** By kind of actor: the parameters that hold its rate, and the kernel's. */
const DAEMON_DEFAULTS: Readonly<Record<string, Daemon>> = {
  'numa-balancer': {
    period: 'period_us',
    pages: 'scan_pages',
    settings: 'numa_balancing scan_period_min_ms 1000, scan_size_mb 256',
    kernel: { period_ms: 1000, pages: 65_536 },
  },
  ksmd: {
    period: 'sleep_us',
    pages: 'pages_to_scan',
    settings: 'ksm sleep_millisecs 20, pages_to_scan 100',
    kernel: { period_ms: 20, pages: 100 },
  },
  khugepaged: {
    period: 'sleep_us',
    pages: 'pages_to_scan',
    settings: 'khugepaged scan_sleep_millisecs 10000, pages_to_scan 4096',
    kernel: { period_ms: 10_000, pages: 4096 },
  },
};

/**
 * A row for each daemon that has a rate and had a turn.
 * @param found the oracles' violations, which name the actor that broke the rule
 */
export function readRates(m: Machine, plan: Plan, found: readonly Pick<Violation, 'actor'>[]): RateRow[] {
  const brokenBy = (actor: number): number => found.filter((violation) => violation.actor === actor).length;
  return plan.actors.flatMap((spec, actor) => {
    const daemon = Object.hasOwn(DAEMON_DEFAULTS, spec.kind) ? DAEMON_DEFAULTS[spec.kind] : undefined;
    const turns = (m.words[actorWord(m, actor, ACTOR_PROGRESS)] as number) >>> 0;
    return daemon === undefined || turns === 0 ? [] : [rowOf(m, spec, actor, daemon, turns, brokenBy(actor))];
  });
}

function rowOf(m: Machine, spec: ActorSpec, actor: number, daemon: Daemon, turns: number, violations: number): RateRow {
  const { kernel, settings } = daemon;
  const here = {
    period_ms: (spec.params[daemon.period] ?? kernel.period_ms * 1000) / 1000,
    pages: spec.params[daemon.pages] ?? kernel.pages,
  };
  const sum = (counter: number): number =>
    MECHANISMS.reduce((total, name, mechanism) => {
      const at = statsBase(m, actor) + STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + counter;
      return name === 'teardown' ? total : total + ((m.words[at] as number) >>> 0);
    }, 0);
  const counts = (factor: number): TurnCounts => ({
    notifier_starts: sum(MC_NOTIFIER_STARTS) * factor,
    stage2_unmaps: sum(MC_STAGE2_UNMAPS) * factor,
    stage2_unmaps_pinned: sum(MC_STAGE2_UNMAPS_PINNED) * factor,
    pages_moved: sum(MC_PAGES_MOVED) * factor,
    backed_out: sum(MC_BACKED_OUT) * factor,
    violations: violations * factor,
  });
  const turnsPerSecond = (1000 / kernel.period_ms) * (kernel.pages / here.pages);
  return {
    actor: spec.name,
    kind: spec.kind,
    here,
    kernel_default: kernel,
    settings,
    turns,
    per_turn: counts(1 / turns),
    per_s_at_kernel_default: counts(turnsPerSecond / turns),
  };
}

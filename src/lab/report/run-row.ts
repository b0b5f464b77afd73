/** A run on real threads as its report has it (schema pinfall.report/1). Field names are the public interface: scripts read them. */
import type { EventCounters } from '../../trace/source.js';
import type { MechanismName } from '../../machine/mechanisms.js';
import type { LatencySummary, StatName } from '../../machine/stats.js';
import type { ReportViolation } from './violation.js';
import type { AskedRow } from './asked-row.js';
import type { SilenceRow } from './silence.js';
import type { RateRow } from './rates.js';
import type { AutoStep } from '../run/auto-workers.js';

export const REPORT_SCHEMA = 'pinfall.report/1';

/** Who makes runs on real threads; a program's own is a `simulation`. */
export const RUN_COMMANDS = ['stress', 'dashboard', 'compare', 'simulation'] as const;

export type RunCommand = (typeof RUN_COMMANDS)[number];

/** One mechanism that sends notifiers. Counts; pages are of 4 KiB. */
export interface MechanismRow {
  readonly name: MechanismName;
  readonly notifier_starts: number;
  /** Pages in notified ranges that looked pinned as the notifier was sent. */
  readonly pinned_hit: number;
  readonly stage2_unmaps: number;
  readonly stage2_unmaps_pinned: number;
  readonly pages_moved: number;
  readonly backed_out: number;
}

/** A worker: its thread, and the actors it hosted at the end. */
export interface ThreadRow {
  readonly threadId: number;
  readonly actors: readonly string[];
}

/**
 * How a run ended: finished, interrupted, scenario-over (its actors have all ended), worker-died, hang, drain-timeout (somebody did not move when all
 * were to come to rest), starved (they moved, and did not come to it); with what there is to say about it.
 */
export interface EndRow {
  readonly kind: string;
  readonly detail?: string;
  /** Of `worker-died`: the worker, what the run was doing, the actor that ran there (null: none did) and the locks it held. */
  readonly death?: {
    readonly worker: number;
    readonly phase: string;
    readonly actor: string | null;
    readonly held: readonly string[];
  };
}

export interface Report extends AskedRow, SilenceRow {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: RunCommand;
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: number;
  readonly threads: readonly ThreadRow[];
  readonly duration_s: number;
  readonly teardown_s: number;
  readonly ops: Readonly<Record<StatName, number>>;
  /** Pins taken and given back, by who took them. */
  readonly pins: { readonly kvm: number; readonly dma: number };
  readonly mechanisms: readonly MechanismRow[];
  /** Daemons: their rates beside a real kernel's, and counts at those. */
  readonly rates: readonly RateRow[];
  /** The noise maker (engine/host/noise.ts): off, light, normal, heavy; what it did in the actors' sum. */
  readonly noise: { readonly setting: string; readonly delays: number; readonly delayed_s: number };
  readonly latency_us: Readonly<Record<string, LatencySummary>>;
  readonly events: EventCounters;
  readonly violations: readonly ReportViolation[];
  /** All violations seen; `violations` holds the first ones. */
  readonly violation_count: number;
  /** Sizes of the simulated machine. */
  readonly memory: { readonly frames: number; readonly bytes: number };
  readonly end: EndRow;
  /** What `--auto` decided about the number of workers, in order. */
  readonly auto?: readonly AutoStep[];
  readonly ok: boolean;
}

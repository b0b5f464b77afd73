/** What a run does per interval: rates of all counters, and the mechanism table's growth. */
import type { Machine } from '../../machine/layout.js';
import { STATS, type StatName } from '../../machine/stats.js';
import type { RaceCounts } from '../live/types.js';
import { readMechanisms, readOps } from './report.js';
import type { MechanismRow } from './run-row.js';

/** One interval of a run. */
export interface Metrics {
  /** Since the run's first step, seconds. */
  readonly elapsed_s: number;
  /** The interval's length, seconds. */
  readonly interval_s: number;
  /** Operations per second in the interval. */
  readonly rates: Readonly<Record<StatName, number>>;
  /** What mechanisms did in the interval; those that did nothing are left out. */
  readonly mechanisms: readonly MechanismRow[];
  /** Counters since the start. */
  readonly ops: Readonly<Record<StatName, number>>;
  /** Events written per second in the interval. */
  readonly events_per_s: number;
  /** Violations since the start. */
  readonly violations: number;
  /** Near-misses and conflicting pairs; all 0 unless events are watched (`RunOptions.watch`, `nearMisses$`). */
  readonly races: RaceCounts;
}

/** What the meter cannot read from the machine. */
export interface MeterReading {
  readonly elapsed_s: number;
  readonly eventsWritten: number;
  readonly violations: number;
  readonly races: RaceCounts;
}

/** Counters are sums of 32-bit words: one of them may have wrapped since the last look. */
const growth = (now: number, before: number): number => {
  let grown = now - before;
  while (grown < 0) grown += 2 ** 32;
  return grown;
};

/** Makes intervals out of two looks at a machine's counters. */
export class Meter {
  readonly #m: Machine;
  #elapsed = 0;
  #events = 0;
  #ops: Record<StatName, number>;
  #mechanisms: readonly MechanismRow[];

  /** Begins an interval. */
  constructor(m: Machine, at: MeterReading) {
    this.#m = m;
    this.#ops = readOps(m);
    this.#mechanisms = readMechanisms(m);
    this.#elapsed = at.elapsed_s;
    this.#events = at.eventsWritten;
  }

  /** Ends the interval and begins the next. */
  read(at: MeterReading): Metrics {
    const interval = Math.max(at.elapsed_s - this.#elapsed, 1e-6);
    const ops = readOps(this.#m);
    const mechanisms = readMechanisms(this.#m);
    const rates = Object.fromEntries(
      STATS.map((name) => [name, growth(ops[name], this.#ops[name]) / interval]),
    ) as Record<StatName, number>;
    const rows = mechanisms
      .map((row) =>
        subtract(
          row,
          this.#mechanisms.find((before) => before.name === row.name),
        ),
      )
      .filter((row) => row.notifier_starts + row.stage2_unmaps + row.pages_moved + row.backed_out > 0);
    const metrics: Metrics = {
      elapsed_s: at.elapsed_s,
      interval_s: interval,
      rates,
      mechanisms: rows,
      ops,
      events_per_s: (at.eventsWritten - this.#events) / interval,
      violations: at.violations,
      races: at.races,
    };
    this.#ops = ops;
    this.#mechanisms = mechanisms;
    this.#elapsed = at.elapsed_s;
    this.#events = at.eventsWritten;
    return metrics;
  }
}

function subtract(now: MechanismRow, before: MechanismRow | undefined): MechanismRow {
  if (before === undefined) return now;
  return {
    name: now.name,
    notifier_starts: growth(now.notifier_starts, before.notifier_starts),
    pinned_hit: growth(now.pinned_hit, before.pinned_hit),
    stage2_unmaps: growth(now.stage2_unmaps, before.stage2_unmaps),
    stage2_unmaps_pinned: growth(now.stage2_unmaps_pinned, before.stage2_unmaps_pinned),
    pages_moved: growth(now.pages_moved, before.pages_moved),
    backed_out: growth(now.backed_out, before.backed_out),
  };
}

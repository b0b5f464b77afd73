/** What every run on real threads can be told (`Simulation.run`). */
import type { ThreadOptions } from '../../engine/threads/run.js';
import type { RunCommand } from '../report/run-row.js';
import type { PlacementScheme } from '../live/types.js';
import type { PlanOptions } from '../scenario/plan.js';

/** How a plan is run. */
export interface RunOptions extends ThreadOptions {
  /** The report's `command`. */
  readonly command?: RunCommand;
  /** Milliseconds between two values of `metrics$`. */
  readonly metricsMs?: number;
  /** Seconds between two rendezvous of all actors at which the whole machine is audited; 0 = only at the end. */
  readonly auditSeconds?: number;
  /**
   * Watches all events from the first on, so that `races()` and `pageHistory` know of them before anybody subscribes to
   * `nearMisses$`. It costs what a subscriber of `merged$` costs; with `events: 'recorder'` or `'off'` there is nothing to watch.
   */
  readonly watch?: boolean;
  /**
   * Whether the machine is copied at each drain, so that a violation can be told from there (`evidence`). Default: where there are
   * audits and events. It costs the machine's memory twice, and at each drain the time to copy it.
   */
  readonly handOver?: boolean;
}

/** What to simulate, and how. Everything has a default. */
export interface SimulationOptions extends RunOptions, Omit<PlanOptions, 'seed'> {
  /** A shipped scenario's name, or a scenario file (relative to `base`, by default the working directory). */
  readonly scenario?: string;
  /** Fixes the workload and the daemons' choices; not the interleaving, which is the hardware's. Default: a new one. */
  readonly seed?: number;
  /** How `workers` are spread over, where no `placement` says; default: the scenario's, else `balanced`. */
  readonly scheme?: PlacementScheme;
}

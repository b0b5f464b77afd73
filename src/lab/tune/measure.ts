/** One measurement of a sweep: a fresh run with one setting, warmed up, measured, and ended. */
import type { Machine } from '../../machine/layout.js';
import { readOps } from '../report/report.js';
import { Simulation } from '../run/simulation.js';
import type { SimulationOptions } from '../run/run-options.js';
import type { Setting } from './setting.js';

/**
 *   accesses   accesses of guests
 *   faults     faults at stage 2 and of the host
 *   races      different near-misses, and pairs of conflicting steps seen in both orders (lab/live/races.ts)
 */
export const METRICS = ['accesses', 'faults', 'races'] as const;
export type Metric = (typeof METRICS)[number];

export const METRIC_UNITS: Readonly<Record<Metric, string>> = {
  accesses: 'guest accesses/s',
  faults: 'stage-2 and host faults/s',
  races: 'new races/s',
};

/** What is run; the same for all settings. */
interface MeasureOptions {
  readonly scenario: string;
  readonly base: string;
  readonly policy?: string;
  readonly cpus?: number;
  readonly seed: number;
  readonly metric: Metric;
  /** Measured, seconds. */
  readonly seconds: number;
  /** Before that, seconds. */
  readonly warmUpSeconds: number;
  /** Ends a measurement without a value: Ctrl-C. */
  readonly interrupted: Promise<void>;
}

export interface Measurement {
  /** Per second; null when interrupted, or when it is no measurement ({@link failed}). */
  readonly value: number | null;
  /** Why nothing was measured: an error of the run, not a value. */
  readonly failed?: string;
  readonly violations: number;
}

/** @throws Error when the run ends by itself: a worker died, a hang */
export async function measure(setting: Setting, options: MeasureOptions): Promise<Measurement> {
  const simulation = await Simulation.start(simulationOptions(setting, options));
  const began = reading(simulation, options.metric);
  let before = began;
  let stopped = await passed(options.warmUpSeconds, simulation, options.interrupted);
  if (stopped === null) {
    before = reading(simulation, options.metric);
    stopped = await passed(options.seconds, simulation, options.interrupted);
  }
  const after = reading(simulation, options.metric);
  if (stopped === 'ended') {
    const { end } = await simulation.stop();
    throw new Error(`tune: a run with ${JSON.stringify(setting)} ended early: ${end.kind} ${end.detail ?? ''}`);
  }
  const violations = simulation.violationCount;
  await simulation.abandon();
  if (stopped === 'interrupted') return { value: null, violations };
  if (stopped === 'over') return { value: null, violations, failed: 'all actors had ended before it was over' };
  if (after.done === before.done) return { value: null, violations, failed: NOTHING_DONE[options.metric] };
  // what is new is new once: races count from the beginning
  const from = options.metric === 'races' ? began : before;
  const count = after.count - from.count;
  return { value: (count < 0 ? count + 2 ** 32 : count) / Math.max(after.at - from.at, 1e-3), violations };
}

const NOTHING_DONE: Readonly<Record<Metric, string>> = {
  accesses: 'no guest access was made in it',
  faults: 'neither guest nor host did anything in it',
  races: 'neither guest nor host did anything in it',
};

function simulationOptions(setting: Setting, options: MeasureOptions): SimulationOptions {
  const watched = options.metric === 'races';
  return {
    scenario: options.scenario,
    base: options.base,
    seed: options.seed,
    events: watched ? 'lossless' : 'recorder',
    watch: watched,
    quantum: setting.quantum,
    sliceMicros: setting.slice_us,
    spinTurns: setting.spin_turns,
    ringRecords: setting.ring_records,
    ...(setting.placement !== 'groups' && { workers: setting.workers, scheme: setting.placement }),
    ...(setting.el2_instances > 0 && { el2Instances: setting.el2_instances }),
    ...(options.policy !== undefined && { policy: options.policy }),
    ...(options.cpus !== undefined && { cpus: options.cpus }),
  };
}

/** `done`: what moves on whenever the run does; the metric itself may rightly stand still, but for accesses. */
function reading(simulation: Simulation, metric: Metric): { at: number; count: number; done: number } {
  const at = simulation.elapsedSeconds;
  if (metric === 'races') {
    const { distinct, pairsBothOrders } = simulation.races();
    return { at, count: distinct + pairsBothOrders, done: done(simulation.machine) };
  }
  const ops = readOps(simulation.machine);
  return metric === 'accesses'
    ? { at, count: ops.accesses, done: ops.accesses }
    : { at, count: ops.stage2_faults + ops.faults, done: done(simulation.machine) };
}

function done(m: Machine): number {
  const ops = readOps(m);
  return ops.accesses + ops.host_accesses + ops.faults + ops.pins;
}

/** Resolves when that many seconds have passed (null), the run is over, or somebody wants it to be. */
async function passed(
  seconds: number,
  simulation: Simulation,
  interrupted: Promise<void>,
): Promise<'ended' | 'over' | 'interrupted' | null> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), seconds * 1000))),
      simulation.ended.then(() => 'ended' as const),
      simulation.scenarioOver.then(() => 'over' as const),
      interrupted.then(() => 'interrupted' as const),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

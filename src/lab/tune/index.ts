/** `pinfall tune`: which worker count, placement and engine numbers make a scenario do most of what its user wants. */
import { loadScenario } from '../scenario/scenario.js';
import { subjectOf } from './candidates.js';
import { type Metric, measure } from './measure.js';
import { watchMachine } from './machine.js';
import { type TuneReport, tuneReport } from './report.js';
import { type Setting, settingText } from './setting.js';
import { SweepState, sweepHash } from './state.js';
import { STAGES, type StageName, sweep } from './sweep.js';

export interface TuneOptions {
  readonly scenario: string;
  /** Where a scenario's path starts. */
  readonly base: string;
  readonly policy?: string;
  readonly cpus?: number;
  /** Fixes the workload, for all settings the same. */
  readonly seed: number;
  readonly metric: Metric;
  /** Worker counts, both included. */
  readonly range: readonly [number, number];
  readonly repetitions: number;
  /** What to sweep; default: all. */
  readonly stages?: readonly StageName[];
  /** Of one measurement, seconds; its warm-up comes on top. */
  readonly seconds: number;
  /** Where the state is kept; null = nowhere. */
  readonly statePath: string | null;
  readonly interrupted: Promise<void>;
  /** The state could not be written, for the first time: the sweep goes on without. */
  readonly onUnwritten?: (error: unknown) => void;
  readonly onRun?: (run: { name: string; stage: string; done: number; expected: number }) => void;
}

/** Of a measurement's length; what a worker runs before it is compiled is not what it runs later. */
const WARM_UP_SHARE = 0.3;

/** @throws InputError for a scenario or a state that cannot be used; Error when a run ends by itself */
export async function tune(options: TuneOptions): Promise<TuneReport> {
  const { scenario: named, base, seed, metric, range, repetitions, seconds } = options;
  const scenario = loadScenario(named, base);
  const subject = subjectOf(scenario, {
    seed,
    watched: metric === 'races',
    base,
    ...(options.policy !== undefined && { policy: options.policy }),
    ...(options.cpus !== undefined && { cpus: options.cpus }),
  });
  const warmUpSeconds = seconds * WARM_UP_SHARE;
  const stages = options.stages ?? STAGES;
  const swept = { file: scenario.file, ...subject, seed, metric, range, repetitions, seconds, stages };
  const what = `${named} (${subject.policy}, ${metric}, ${range[0]}..${range[1]} workers, ${repetitions} x ${seconds} s)`;
  const state = SweepState.open(options.statePath, sweepHash(swept), what, options.onUnwritten);
  const { standard, hosts } = subject;
  const name = (setting: Setting): string => settingText(setting, standard, hosts.length);
  const machine = watchMachine();
  const result = await sweep({
    subject,
    range,
    repetitions,
    stages,
    state,
    measure: (setting) =>
      measure(setting, {
        scenario: named,
        base,
        seed,
        metric,
        seconds,
        warmUpSeconds,
        interrupted: options.interrupted,
        ...(options.policy !== undefined && { policy: options.policy }),
        ...(options.cpus !== undefined && { cpus: options.cpus }),
      }),
    onRun: ({ setting, ...run }) => options.onRun?.({ name: name(setting), ...run }),
  });
  if (!result.interrupted) state.finish();
  const facts = {
    scenario: scenario.name,
    seed,
    metric,
    range,
    repetitions,
    seconds,
    warmUpSeconds,
    machine: machine(),
  };
  return tuneReport({ ...facts, ofFile: scenario.file.engine }, subject, state, result);
}

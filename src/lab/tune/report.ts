/** The report of a sweep (schema pinfall.report/1, command `tune`). Field names are the public interface. */
import { REPORT_SCHEMA } from '../report/run-row.js';
import type { EngineSection } from '../scenario/schema.js';
import { type Verdict, advise, verdictOf } from './advice.js';
import { type MachineFacts, busyReasons } from './machine.js';
import type { Subject } from './candidates.js';
import { METRIC_UNITS, type Metric } from './measure.js';
import { type Setting, engineSection, settingId, settingText } from './setting.js';
import type { SweepState } from './state.js';
import { type Estimate, type Sample, estimate, pairedRatios, spreadOf } from './statistics.js';
import { CHECK, type SweepResult } from './sweep.js';

/** One setting. */
export interface TuneRow {
  /** The setting in words: `3 workers, CPUs and daemons apart, quantum 16`. */
  readonly name: string;
  readonly setting: Setting;
  /** Of all its measurements, per second in the report's `unit`: median and 95 % bootstrap interval. */
  readonly rate: Estimate;
  /** Over the default setting in the same repetitions; null for the default itself. */
  readonly ratio: Estimate | null;
  readonly samples: number;
  /** `dropped`: clearly worse than the best, and given up before the last repetition. */
  readonly verdict: Verdict;
}

interface Recommendation {
  readonly name: string;
  readonly setting: Setting;
  /** The scenario's `engine:` section that makes it so (`--apply`). */
  readonly engine: EngineSection;
  /** True: nothing beats the default surely. */
  readonly is_default: boolean;
  /** Rate over the default's, of the repetitions that checked it: median and 95 % interval. 1 for the default. */
  readonly gain: Estimate;
  /**
   * 0 to 1: the share of bootstrap samples in which it beats the default; for the default, the share in which the best
   * other setting does not beat it.
   */
  readonly sure: number;
}

export interface TuneReport {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'tune';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly metric: Metric;
  readonly unit: string;
  /** Worker counts that were tried: from, to. */
  readonly workers: readonly [number, number];
  /** Of each setting, at most. */
  readonly repetitions: number;
  /** Of one measurement, and the warm-up before it, seconds. */
  readonly duration_s: number;
  readonly warm_up_s: number;
  /** Measurements, and how many of them an earlier call had made. */
  readonly runs: number;
  readonly resumed_runs: number;
  /** All measurements together, seconds. */
  readonly took_s: number;
  readonly host: MachineFacts & {
    /** The distance of the quartiles of the default's own measurements, over their median; the largest of the stages. */
    readonly default_spread: number | null;
  };
  /** Why what was measured cannot be compared, and nothing is recommended; empty: the machine was quiet. */
  readonly busy: readonly string[];
  /** Measurements that came to nothing: errors of their runs, of which no value is made. */
  readonly failed_runs: readonly { readonly name: string; readonly why: string }[];
  /** In the order in which they were tried; the default first. */
  readonly rows: readonly TuneRow[];
  /** null when the sweep was interrupted, the machine was busy, or the default could not be measured. */
  readonly recommended: Recommendation | null;
  /** Whether the best other setting cannot be told apart from the default. */
  readonly within_noise: boolean;
  /** That setting and what it had over the default in the check, when it is not recommended; null when none came near. */
  readonly runner_up: { readonly name: string; readonly gain: Estimate } | null;
  readonly violation_count: number;
  readonly end: { readonly kind: 'finished' | 'interrupted' };
  readonly ok: boolean;
}

interface TuneFacts {
  readonly scenario: string;
  readonly seed: number;
  readonly metric: Metric;
  readonly range: readonly [number, number];
  readonly repetitions: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly ofFile: EngineSection;
  readonly machine: MachineFacts;
}

export function tuneReport(facts: TuneFacts, subject: Subject, state: SweepState, result: SweepResult): TuneReport {
  const { samples } = state;
  const standard = settingId(subject.standard);
  const name = (setting: Setting): string => settingText(setting, subject.standard, subject.hosts.length);
  const rows = result.settings.flatMap((setting): TuneRow[] => {
    const id = settingId(setting);
    const values = samples.filter((sample) => sample.id === id).map(({ value }) => value);
    if (values.length === 0) return [];
    const ratios = id === standard ? [] : pairedRatios(samples, id, standard);
    const ratio = ratios.length === 0 ? null : estimate(ratios);
    const verdict = verdictOf(ratio, ratios.length, id === standard, result.dropped.has(id));
    return [{ name: name(setting), setting, rate: estimate(values), ratio, samples: values.length, verdict }];
  });
  const advice = advise(samples, CHECK, settingId(result.best), standard);
  const byId = (id: string): Setting =>
    result.settings.find((setting) => settingId(setting) === id) ?? subject.standard;
  const chosen = byId(advice.id);
  const spread = spreadOfDefault(samples, standard);
  const busy = busyReasons(facts.machine, spread);
  const failed_runs = state.failed.map(({ id, why }) => ({ name: name(byId(id)), why }));
  const measured = samples.some(({ id }) => id === standard);
  const silent = result.interrupted || busy.length > 0 || !measured;
  const most = subject.actorsWith(subject.standard.el2_instances).length;
  return {
    schema: REPORT_SCHEMA,
    command: 'tune',
    scenario: facts.scenario,
    policy: subject.policy,
    seed: facts.seed,
    metric: facts.metric,
    unit: METRIC_UNITS[facts.metric],
    workers: [Math.min(facts.range[0], most), Math.min(facts.range[1], most)],
    repetitions: facts.repetitions,
    duration_s: facts.seconds,
    warm_up_s: facts.warmUpSeconds,
    runs: samples.length,
    resumed_runs: state.resumed,
    took_s: state.tookSeconds,
    host: { ...facts.machine, default_spread: spread },
    busy,
    failed_runs,
    rows,
    recommended: silent
      ? null
      : {
          name: name(chosen),
          setting: chosen,
          engine: engineSection(chosen, subject.standard, facts.ofFile),
          is_default: advice.id === standard,
          gain: advice.gain,
          sure: advice.sure,
        },
    within_noise: !silent && advice.within_noise,
    runner_up:
      silent || advice.runner_up === null
        ? null
        : { name: name(byId(advice.runner_up.id)), gain: advice.runner_up.gain },
    violation_count: state.violations,
    end: { kind: result.interrupted ? 'interrupted' : 'finished' },
    ok: state.violations === 0 && failed_runs.length === 0,
  };
}

/** One setting, measured again and again in a stage: what differs is the machine's doing. */
function spreadOfDefault(samples: readonly Sample[], standard: string): number | null {
  const stages = [...new Set(samples.map(({ stage }) => stage))];
  const spreads = stages.flatMap((stage) => {
    const own = samples.filter((sample) => sample.stage === stage && sample.id === standard);
    const spread = spreadOf(own.map(({ value }) => value));
    return spread === null ? [] : [spread];
  });
  return spreads.length === 0 ? null : Math.max(...spreads);
}

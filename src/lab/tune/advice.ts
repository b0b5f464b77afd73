/** What follows from a sweep's samples: who drops out, when a stage is over, and which setting is recommended. */
import { type Estimate, type Sample, estimate, pairedRatios, shareAboveOne } from './statistics.js';

/** Repetitions before intervals count. */
export const REPETITIONS_MIN = 3;
/** Clearly worse: the interval of its ratio to the leader ends below this. */
const CLEARLY_WORSE = 0.97;
/** Hopeless: below this share of the leader in each of the first two repetitions. One alone says nothing. */
const HOPELESS = 0.5;
/** A difference smaller than this is none that anybody would notice. */
const GAIN_MIN = 1.02;
/** How sure a recommendation has to be: the share of bootstrap samples in which it beats the default. */
const SURE_MIN = 0.95;
/** A check is over early when its interval is that far from 1. */
const CLEAR_GAIN = 1.1;

/** The candidate with the highest median in a stage; the first of equals. */
export function leaderOf(samples: readonly Sample[], stage: string, ids: readonly string[]): string {
  const medianOf = (id: string): number => {
    const values = samples.filter((sample) => sample.stage === stage && sample.id === id).map(({ value }) => value);
    return values.length === 0 ? -1 : estimate(values).median;
  };
  const medians = ids.map(medianOf);
  return ids[medians.indexOf(Math.max(...medians))] as string;
}

/**
 * Who goes on after a repetition of a stage. The default setting and the leader always do.
 */
export function survivors(
  samples: readonly Sample[],
  stage: string,
  ids: readonly string[],
  standard: string,
): string[] {
  const leader = leaderOf(samples, stage, ids);
  return ids.filter((id) => {
    if (id === standard || id === leader) return true;
    const ratios = pairedRatios(samples, id, leader, stage);
    if (ratios.length < 2) return true;
    if (Math.max(...ratios) < HOPELESS) return false;
    return ratios.length < REPETITIONS_MIN || (estimate(ratios).high ?? Infinity) >= CLEARLY_WORSE;
  });
}

/** Whether a stage needs no more repetitions: nobody is left to beat the leader. */
export function stageIsClear(live: readonly string[], leader: string, standard: string, repetitions: number): boolean {
  return repetitions >= REPETITIONS_MIN && live.every((id) => id === leader || id === standard);
}

/** Whether the check of `id` against the default has its answer. */
export function checkIsClear(samples: readonly Sample[], stage: string, id: string, standard: string): boolean {
  const ratios = pairedRatios(samples, id, standard, stage);
  if (ratios.length < REPETITIONS_MIN) return false;
  const { low, high } = estimate(ratios);
  return low !== null && high !== null && (low > CLEAR_GAIN || high < 1);
}

/** How a setting compares with the default. */
export type Verdict = 'default' | 'better' | 'worse' | 'within noise' | 'dropped' | 'too few runs';

/** @param pairs how many repetitions `ratio` comes from */
export function verdictOf(ratio: Estimate | null, pairs: number, isStandard: boolean, dropped: boolean): Verdict {
  if (isStandard) return 'default';
  if (dropped) return 'dropped';
  if (ratio === null || ratio.low === null || ratio.high === null || pairs < REPETITIONS_MIN) return 'too few runs';
  if (ratio.low > 1) return 'better';
  return ratio.high < 1 ? 'worse' : 'within noise';
}

interface Advice {
  /** The recommended setting: the default when nothing beats it surely. */
  readonly id: string;
  /** Its rate over the default's: a median and its interval; 1 for the default itself. */
  readonly gain: Estimate;
  /**
   * For another setting, the share of bootstrap samples in which it beats the default. For the default, the share of
   * those in which the best other one does not; 1 when none had a higher median.
   */
  readonly sure: number;
  /** Whether the best other setting and the default could not be told apart. */
  readonly within_noise: boolean;
  /** The best other one, and what it had over the default; null when none came near. */
  readonly runner_up: { readonly id: string; readonly gain: Estimate } | null;
}

/** The default over itself: nothing was measured. */
const NO_GAIN: Estimate = { median: 1, low: null, high: null };

/**
 * The recommendation. `best` came out on top of many, which flatters it: only repetitions made after it was chosen
 * (the stage `check`) count.
 */
export function advise(samples: readonly Sample[], check: string, best: string, standard: string): Advice {
  const ratios = best === standard ? [] : pairedRatios(samples, best, standard, check);
  if (ratios.length === 0) return { id: standard, gain: NO_GAIN, sure: 1, within_noise: false, runner_up: null };
  const gain = estimate(ratios);
  const sure = shareAboveOne(ratios);
  if (
    sure >= SURE_MIN &&
    gain.low !== null &&
    gain.low > 1 &&
    gain.median >= GAIN_MIN &&
    ratios.length >= REPETITIONS_MIN
  ) {
    return { id: best, gain, sure, within_noise: false, runner_up: null };
  }
  return {
    id: standard,
    gain: NO_GAIN,
    sure: 1 - sure,
    within_noise: gain.high === null || gain.high >= 1,
    runner_up: { id: best, gain },
  };
}

/**
 * The statistics of a sweep: medians, bootstrap intervals (Efron 1979, percentile method), and ratios of what ran one shortly
 * after the other. Deterministic: the same samples always give the same interval.
 */
import { median, quantileSorted } from 'simple-statistics';
import { mixSeed } from '../../machine/context.js';

const RESAMPLES = 2000;
/** Of a 95 % interval. */
const LOW = 0.025;
const HIGH = 0.975;

/** A median and where it lies with 95 % confidence; `low` and `high` are null where one measurement says nothing of that. */
export interface Estimate {
  readonly median: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** xorshift32 (Marsaglia 2003), as everywhere here. */
function* words(seed: number): Generator<number, never> {
  let x = mixSeed(seed, 0x74756e65);
  for (;;) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x >>> 0;
  }
}

/** The medians of `RESAMPLES` samples drawn from these, with repetition; sorted. */
export function bootstrapMedians(samples: readonly number[], seed: number): number[] {
  if (samples.length === 0) throw new RangeError('no samples');
  const random = words(seed);
  return Array.from({ length: RESAMPLES }, () =>
    median(samples.map(() => samples[random.next().value % samples.length] as number)),
  ).toSorted((a, b) => a - b);
}

/** The median of `samples` and its interval; a single sample has none. */
export function estimate(samples: readonly number[], seed = 1): Estimate {
  const medians = bootstrapMedians(samples, seed);
  if (samples.length === 1) return { median: samples[0] as number, low: null, high: null };
  return {
    median: median([...samples]),
    low: quantileSorted(medians, LOW),
    high: quantileSorted(medians, HIGH),
  };
}

/** The share of bootstrap samples whose median is above 1: how sure it is that a ratio is a gain. 0 to 1. */
export function shareAboveOne(ratios: readonly number[], seed = 1): number {
  const medians = bootstrapMedians(ratios, seed);
  return medians.filter((value) => value > 1).length / medians.length;
}

/** The distance of the quartiles over the median; null where fewer than three measurements say nothing of it. */
export function spreadOf(samples: readonly number[]): number | null {
  if (samples.length < 3) return null;
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = median(sorted);
  return middle === 0 ? null : (quantileSorted(sorted, 0.75) - quantileSorted(sorted, 0.25)) / middle;
}

/** One measurement: the value that `id` had in a repetition of a stage. */
export interface Sample {
  readonly stage: string;
  readonly repetition: number;
  readonly id: string;
  /** Per second, in the unit of the metric. */
  readonly value: number;
}

/**
 * What `id` had, over what `other` had in the same repetition of the same stage. A noisy neighbour met both. Nothing is so many times
 * nothing: a repetition in which `other` had none gives no ratio.
 * @param stage only its repetitions; absent = all
 */
export function pairedRatios(samples: readonly Sample[], id: string, other: string, stage?: string): number[] {
  const place = ({ stage: s, repetition }: Sample): string => `${s} ${repetition}`;
  const others = new Map(
    samples.filter((sample) => sample.id === other).map((sample) => [place(sample), sample.value]),
  );
  return samples.flatMap((sample) => {
    const base = others.get(place(sample));
    if (sample.id !== id || base === undefined || base <= 0 || (stage !== undefined && sample.stage !== stage))
      return [];
    return [sample.value / base];
  });
}

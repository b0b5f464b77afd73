/** A row of the bench's report, and how samples become one. */

/** `pinfall.bench/1`. */
export interface BenchRow {
  readonly name: string;
  /** The median of the repetitions. */
  readonly value: number;
  readonly unit: string;
  /** The distance between the quartiles of the repetitions, as a share of the median; 0 where there is one only. */
  readonly spread: number;
  readonly target: number | null;
  /** null where there is no target, or where the repetitions do not decide it. */
  readonly met: boolean | null;
  /**
   * False: the repetitions lie further apart than their median is away from the target, or one alone was measured, so that the next
   * run may say the opposite. null where there is no target.
   */
  readonly decided: boolean | null;
  /** Whether the target is a floor or a ceiling; null without one. */
  readonly bound: '>=' | '<=' | null;
  /** Worker threads that ran; 0: nothing did, the value was computed. */
  readonly workers: number;
  readonly repetitions: number;
  /** Why a target is missed, or there is none; absent otherwise. */
  readonly reason?: string;
}

interface RowOptions {
  readonly unit: string;
  readonly workers: number;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Told with a row that misses its target. */
  readonly reason?: string;
  /** Told with the row whatever comes out. */
  readonly note?: string;
}

/** The value below which the `share` (0 to 1) of the samples lie, between neighbours by proportion. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  if (sorted.length === 0) throw new RangeError('no samples');
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const below = sorted[low] as number;
  const above = sorted[Math.min(low + 1, sorted.length - 1)] as number;
  return below + (above - below) * (place - low);
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

/** Four digits are more than any of this is worth. */
const rounded = (value: number): number => Number(value.toPrecision(4));

/** The row of these repetitions. */
export function row(name: string, samples: readonly number[], options: RowOptions): BenchRow {
  const value = rounded(median(samples));
  const quartiles = quantile(samples, 0.75) - quantile(samples, 0.25);
  const spread = value === 0 ? 0 : rounded(quartiles / Math.abs(value));
  const { unit, workers, atLeast, atMost, reason, note } = options;
  const target = atLeast ?? atMost ?? null;
  const decided = target === null ? null : workers === 0 || isDecided(samples.length, quartiles, value - target);
  const met = decided !== true ? null : atLeast !== undefined ? value >= atLeast : value <= (atMost as number);
  const said = met === false ? [reason, note] : [note];
  const text = said.filter((part) => part !== undefined).join('; ');
  return {
    name,
    value,
    unit,
    spread,
    target,
    met,
    decided,
    bound: atLeast !== undefined ? '>=' : atMost !== undefined ? '<=' : null,
    workers,
    repetitions: samples.length,
    ...(text !== '' && { reason: text }),
  };
}

const isDecided = (repetitions: number, spread: number, distance: number): boolean =>
  repetitions > 1 && spread <= Math.abs(distance);

/** Repetition by repetition: what was measured one after the other had the same machine. */
export function ratios(above: readonly number[], below: readonly number[]): number[] {
  return above.map((value, i) => value / (below[i] as number));
}

/**
 * Synthetic guest workloads: which page a vCPU touches next, and whether it writes. Whole numbers and tables only,
 * drawn from the actor's own random sequence, so that one seed gives one sequence everywhere.
 *
 *   uniform      any page of the range, each as likely
 *   zipf         rank r with weight 1 / (r + 1); ranks are scattered over the range
 *   sequential   one page after the other, round and round
 *   boot storm   a first touch of every page, as vCPUs of a booting guest share them out; then zipf for 128
 *                times as many accesses; and again, as if the guest had rebooted
 */
import { type Context, random, randomBelow } from '../src/machine/context.js';

export const WORKLOADS = ['uniform', 'zipf', 'sequential', 'boot-storm'] as const;
export const WORKLOAD_UNIFORM = 0;
export const WORKLOAD_ZIPF = 1;
export const WORKLOAD_SEQUENTIAL = 2;
export const WORKLOAD_BOOT_STORM = 3;

/** A boot storm comes once in so many rounds' worth of accesses. */
const STORM_EVERY = 129;
/** Quantiles of the Zipf distribution that the table holds; a power of two. */
const QUANTILES = 1 << 12;
/** The weight of rank 0; the others are its whole-numbered parts. */
const WEIGHT = 1 << 24;

/**
 * Entry q: the lowest rank whose share of all weight, lower ranks included, is above q / QUANTILES; one more entry
 * as the end.
 */
export function zipfTable(pages: number): Int32Array {
  let total = 0;
  for (let rank = 0; rank < pages; rank++) total += Math.floor(WEIGHT / (rank + 1));
  const table = new Int32Array(QUANTILES + 1).fill(pages);
  let below = 0;
  let q = 0;
  for (let rank = 0; rank < pages; rank++) {
    below += Math.floor(WEIGHT / (rank + 1));
    while (q < QUANTILES && below * QUANTILES > q * total) table[q++] = rank;
  }
  return table;
}

const common = (a: number, b: number): number => (b === 0 ? a : common(b, a % b));

/** A factor below 2048 that has no divisor in common with `pages`: rank * factor mod pages visits every page once. */
function scatterFactor(pages: number): number {
  let factor = Math.min(1259, pages - 1);
  while (factor > 1 && common(pages, factor) !== 1) factor--;
  return Math.max(1, factor);
}

/** The access sequence of one vCPU. */
export class Workload {
  readonly #kind: number;
  readonly #first: number;
  readonly #pages: number;
  readonly #writePercent: number;
  readonly #vcpu: number;
  readonly #vcpus: number;
  readonly #table: Int32Array;
  readonly #factor: number;
  /** Accesses of the round so far. */
  step = 0;

  /**
   * @param kind WORKLOAD_*
   * @param first the first page of the range, and `pages` how many it has
   * @param vcpu which of `vcpus` this is: boot storms share the range out among them
   */
  constructor(kind: number, first: number, pages: number, writePercent: number, vcpu: number, vcpus: number) {
    this.#kind = kind;
    this.#first = first;
    this.#pages = pages;
    this.#writePercent = writePercent;
    this.#vcpu = vcpu;
    this.#vcpus = vcpus;
    this.#table = kind === WORKLOAD_ZIPF || kind === WORKLOAD_BOOT_STORM ? zipfTable(pages) : new Int32Array(0);
    this.#factor = scatterFactor(pages);
  }

  /** The next access: page << 1 | write. */
  next(ctx: Context): number {
    const step = this.step++;
    switch (this.#kind) {
      case WORKLOAD_SEQUENTIAL: {
        if (this.step === this.#pages) this.step = 0;
        return this.#access(ctx, (step + this.#vcpu * Math.floor(this.#pages / this.#vcpus)) % this.#pages);
      }
      case WORKLOAD_ZIPF:
        return this.#access(ctx, this.#zipfPage(ctx));
      case WORKLOAD_BOOT_STORM: {
        const share = Math.ceil(this.#pages / this.#vcpus);
        if (this.step === STORM_EVERY * share) this.step = 0;
        if (step >= share) return this.#access(ctx, this.#zipfPage(ctx));
        return ((this.#first + ((step * this.#vcpus + this.#vcpu) % this.#pages)) << 1) | 1;
      }
      default:
        return this.#access(ctx, randomBelow(ctx, this.#pages));
    }
  }

  #access(ctx: Context, page: number): number {
    const write = this.#writePercent > 0 && random(ctx) % 100 < this.#writePercent ? 1 : 0;
    return ((this.#first + page) << 1) | write;
  }

  #zipfPage(ctx: Context): number {
    const draw = random(ctx);
    const q = draw & (QUANTILES - 1);
    const low = this.#table[q] as number;
    // ranks that share a quantile are as good as equally likely
    const width = (this.#table[q + 1] as number) - low;
    const rank = width <= 1 ? low : low + ((draw >>> 12) % width);
    return (rank * this.#factor) % this.#pages;
  }
}

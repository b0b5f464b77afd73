/**
 * The strategies' random numbers: xorshift32 (Marsaglia, Xorshift RNGs, Journal of Statistical Software 8(14), 2003).
 * Of its own, so that a seed means the same schedule on every version of Node.
 */
import { mixSeed } from '../../machine/context.js';

export class Prng {
  #state = 1;

  /** Starts the sequence that (seed, stream) names. */
  seed(seed: number, stream: number): void {
    this.#state = mixSeed(seed, stream);
  }

  /** A whole number from 0 to n - 1; n at most 65536. */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return ((x >>> 16) * n) >>> 16;
  }

  /** A whole number from 1 to 2^31 - 1. */
  priority(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 1) | 1;
  }

  /** A whole number from 0 to n - 1 for large n (below 2^31). */
  belowLarge(n: number): number {
    return (this.below(65536) * 65536 + this.below(65536)) % n;
  }
}

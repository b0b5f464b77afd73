/** A part of the bench: some rows that are measured together, since they are compared. */
import type { RealKernel } from './real-kernel.js';
import type { BenchRow } from './row.js';
import type { Effort } from './sampler.js';

/** What a section measures with. */
export interface Bench {
  readonly effort: Effort;
  readonly quick: boolean;
  /** The machine's own kernel; null where it cannot be measured. */
  readonly real: RealKernel | null;
}

export interface Section {
  /** The names of its rows. */
  readonly names: readonly string[];
  measure(bench: Bench): Promise<BenchRow[]>;
}

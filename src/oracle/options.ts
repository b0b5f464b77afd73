/** What the oracles of a run are told by whoever drives it. */
import type { Claims } from '../policies/policy.js';

export interface OracleOptions {
  /**
   * off: nothing is checked. local: what can be asserted at the operation, cheaply. all: ledgers of pins, references and
   * contents besides, and on one thread everything that can be judged as soon as its locks are free.
   */
  readonly level: 'off' | 'local' | 'all';
  /** What the kernel under test promises. */
  readonly claims: Claims;
  /** Real threads, where a ledger belongs to one worker and sums hold at a drain; or one thread, where it is exact. */
  readonly mode: 'threads' | 'one';
  /** Actors of the run: CPUs beyond them are silent. */
  readonly actors: number;
  /** False for kernels before v5.19, which have no PG_anon_exclusive (KernelRules.wpReuse). Default true. */
  readonly keepsExclusiveBit?: boolean;
  /**
   * Whether a pinned page must stay where its process has it (the second half of I-PIN, v5.19+). Default: as keepsExclusiveBit. A
   * planted bug that brings back older rules is judged by what its policy's kernel promises.
   */
  readonly pinKeepsPlace?: boolean;
  /**
   * Pins by frame of all workers together (sharedPinBytes), for the claims about pins of others; null or absent: a worker knows
   * its own only, and judges nobody by what it does not know.
   */
  readonly sharedPins?: SharedArrayBuffer | null;
  /** What the workers of a litmus test share besides (litmus-probe.ts, sharedStepBytes). */
  readonly sharedSteps?: SharedArrayBuffer | null;
  /** Every acquisition, release and operation is written as an event. */
  readonly lockEvents?: boolean;
}

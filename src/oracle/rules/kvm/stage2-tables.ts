/**
 * I-UAFNODE for stage-2 tables: a fault stores a leaf only in a table that is in use. One that a block has replaced may still have
 * faults inside, and counts as in use until its grace period is over; back in the pool it is anybody's next (Z29).
 */
import type { Context } from '../../../machine/context.js';
import type { Machine } from '../../../machine/layout.js';
import type { ViolationLog } from '../../violation.js';

/** On one thread, and in litmus tests on several. */
export class Stage2Tables {
  readonly #log: ViolationLog;
  /** Gone back to the pool, and not taken out again. */
  readonly #freed: Uint8Array;

  /** @param freed what all workers share, where there are several */
  constructor(m: Machine, log: ViolationLog, freed: Uint8Array = new Uint8Array(m.s2Tables)) {
    this.#log = log;
    this.#freed = freed;
  }

  reset(): void {
    this.#freed.fill(0);
  }

  changed(table: number, inUse: boolean): void {
    this.#freed[table] = inUse ? 0 : 1;
  }

  stores(ctx: Context, table: number, vm: number, gfn: number): void {
    if (this.#freed[table] === 0) return;
    this.#log.report(ctx, 'I-UAFNODE', 'leaf stored in a freed stage-2 table', { vm, gfn, received: `table ${table}` });
  }
}

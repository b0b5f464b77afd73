/**
 * I-REF, of pins: whoever handles a stage-2 fault has given back every pin it took when it returns, but for the one that the mapping
 * keeps. A leaked pin is no wrong count, for the ledger knows of it as of any other; only nobody will ever release it.
 *
 * A fault's pins are its actor's own, and each actor counts those it takes and gives back: exact on real threads too.
 */
import type { Context } from '../../../machine/context.js';
import type { Machine } from '../../../machine/layout.js';
import { STAT } from '../../../machine/stats.js';
import { look as peek } from '#words';
import type { ViolationLog } from '../../violation.js';

export class FaultPins {
  readonly #log: ViolationLog;
  /** By actor: its pins before its fault, and those that mappings have kept since. */
  readonly #owed: Int32Array;

  constructor(m: Machine, log: ViolationLog) {
    this.#log = log;
    this.#owed = new Int32Array(m.cpus);
  }

  /** The actor begins to handle a fault. */
  begins(ctx: Context): void {
    this.#owed[ctx.actor] = held(ctx);
  }

  /** A mapping keeps the actor's pin (1), or has given one up to it (-1). */
  kept(ctx: Context, by: number): void {
    this.#owed[ctx.actor] = (this.#owed[ctx.actor] as number) + by;
  }

  /** It has handled the fault at `gfn`. */
  ends(ctx: Context, vm: number, gfn: number): void {
    const left = held(ctx) - (this.#owed[ctx.actor] as number);
    if (left <= 0) return;
    this.#log.report(ctx, 'I-REF', 'fault left a pin behind', {
      vm,
      gfn,
      expected: '0 pins',
      received: `${left} pins`,
    });
  }
}

/** Pins that the actor has taken and not given back. */
const held = (ctx: Context): number =>
  peek(ctx.words, ctx.statsAt + STAT.pins) - peek(ctx.words, ctx.statsAt + STAT.unpins);

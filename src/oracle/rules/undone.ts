/**
 * I-LIVE as work without progress: actors that undo each other's work could go on so for ever, though every schedule that lets one of
 * them finish drains, so no livelock ever shows at the end of a run. Three things give it away, none of which a correct kernel does:
 *
 *   a fault breaks a stage-2 entry that is what it wants, and makes it again: whoever uses it faults again (976d34e2dab1)
 *   faults break each other's entries of one page again and again, and nobody completes anything meanwhile
 *   several actors try again in turns, each several times, while nobody else is at work who could be the cause
 *
 * Retries that somebody else's work explains are no alarm: an invalidation that is open, a lock or an entry that another actor holds, a
 * notifier of somebody who is not retrying himself. They end when that work does.
 */
import { MECH } from '../../machine/mechanisms.js';
import type { Context } from '../../machine/context.js';
import {
  ACTOR_HELD_COUNT,
  type Machine,
  VM_INVALIDATE_IN_PROGRESS,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  actorWord,
  vmWord,
} from '../../machine/layout.js';
import { look as peek } from '#words';
import type { ViolationLog } from '../violation.js';

const ID = 'I-LIVE';
/** Entries of one page that faults break, and retries of each of at least two actors, before anybody completes something. */
export const BREAKS_MAX = 4;
export const TURNS_MAX = 4;

export class UndoneWork {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #actors: number;
  /** By actor: it is inside a stage-2 fault; its retries since anybody completed something. */
  readonly #inFault: Uint8Array;
  readonly #retries: Int32Array;
  /** By actor: the guest page + 1 whose leaf its fault has broken, the frame, its pages and whether it was writable. */
  readonly #brokenPage: Int32Array;
  readonly #brokenPfn: Int32Array;
  readonly #brokenSize: Int32Array;
  readonly #brokenWritable: Uint8Array;
  /** By guest page: whether its leaf is writable; leaves of it that faults have broken since anybody completed something. */
  readonly #writable: Uint8Array;
  readonly #breaks: Uint8Array;
  /** Guest pages with breaks, to be forgotten at the next completion. */
  #touched = false;
  /** Somebody who is in no fault has announced a change. */
  #excused = false;

  constructor(m: Machine, log: ViolationLog, actors: number) {
    this.#m = m;
    this.#log = log;
    this.#actors = actors;
    this.#inFault = new Uint8Array(m.cpus);
    this.#retries = new Int32Array(m.cpus);
    this.#brokenPage = new Int32Array(m.cpus);
    this.#brokenPfn = new Int32Array(m.cpus);
    this.#brokenSize = new Int32Array(m.cpus);
    this.#brokenWritable = new Uint8Array(m.cpus);
    this.#writable = new Uint8Array(m.vms * m.vmPages);
    this.#breaks = new Uint8Array(m.vms * m.vmPages);
  }

  reset(): void {
    this.#inFault.fill(0);
    this.#brokenPage.fill(0);
    // what set-up has mapped may be read-only: a fault that makes it writable gives more
    this.#writable.fill(0);
    this.#forget();
  }

  faultBegins(ctx: Context, begin: boolean): void {
    this.#inFault[ctx.actor] = begin ? 1 : 0;
    this.#brokenPage[ctx.actor] = 0;
  }

  /** A notifier starts: unless a fault sends it, its sender is a reason to try again. */
  announced(ctx: Context): void {
    if (this.#inFault[ctx.actor] === 0) this.#excused = true;
  }

  /** The actor has completed something. */
  progressed(ctx: Context): void {
    this.#inFault[ctx.actor] = 0;
    if (this.#touched || this.#excused) this.#forget();
  }

  #forget(): void {
    this.#retries.fill(0);
    this.#breaks.fill(0);
    this.#touched = false;
    this.#excused = false;
  }

  /** A leaf is gone: only what a fault does to another fault's work counts. */
  unmapped(ctx: Context, vm: number, gfn: number, pfn: number, pages: number): void {
    if (this.#inFault[ctx.actor] === 0 || ctx.task.mechanism !== MECH.none) return;
    const page = vm * this.#m.vmPages + gfn;
    this.#brokenPage[ctx.actor] = page + 1;
    this.#brokenPfn[ctx.actor] = pfn;
    this.#brokenSize[ctx.actor] = pages;
    this.#brokenWritable[ctx.actor] = this.#writable[page] as number;
    this.#touched = true;
    const breaks = (this.#breaks[page] as number) + 1;
    this.#breaks[page] = breaks;
    if (breaks !== BREAKS_MAX) return;
    this.#log.report(ctx, ID, 'faults break entries in turns', { vm, gfn, pfn, received: `${breaks} entries broken` });
  }

  mapped(ctx: Context, vm: number, gfn: number, pfn: number, pages: number, writable: boolean): void {
    const first = vm * this.#m.vmPages + gfn;
    const { actor } = ctx;
    const same = this.#brokenPage[actor] === first + 1 && this.#brokenPfn[actor] === pfn;
    if (same && this.#brokenSize[actor] === pages && (this.#brokenWritable[actor] === 1 || !writable)) {
      this.#log.report(ctx, ID, 'right stage-2 entry made again', { vm, gfn, pfn });
    }
    this.#brokenPage[actor] = 0;
    this.#writable.fill(writable ? 1 : 0, first, first + pages);
  }

  permitted(vm: number, gfn: number, pages: number, writable: boolean): void {
    const first = vm * this.#m.vmPages + gfn;
    this.#writable.fill(writable ? 1 : 0, first, first + pages);
  }

  /** A fault is about to be tried again. */
  retried(ctx: Context, vm: number, at: number): void {
    const { actor } = ctx;
    this.#touched = true;
    const own = (this.#retries[actor] as number) + 1;
    this.#retries[actor] = own;
    if (own < TURNS_MAX || this.#excused || !this.#inTurns(actor)) return;
    const subject = vm < 0 ? { vpn: at } : { vm, gfn: at };
    this.#log.report(ctx, ID, 'faults retried in turns only', { ...subject, received: `${own} retries each` });
    this.#forget();
  }

  /** Whether another actor has retried as often, and nobody is at work who has not. */
  #inTurns(actor: number): boolean {
    const m = this.#m;
    let others = 0;
    for (let other = 0; other < this.#actors; other++) {
      if (other === actor) continue;
      if ((this.#retries[other] as number) >= TURNS_MAX) others++;
      else if (this.#inFault[other] === 1 || peek(m.words, actorWord(m, other, ACTOR_HELD_COUNT)) !== 0) return false;
    }
    if (others === 0) return false;
    for (let vm = 0; vm < m.vms; vm++) {
      if (peek(m.words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0) return false;
      if (peek(m.words, vmWord(m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT)) !== 0) return false;
    }
    return true;
  }
}

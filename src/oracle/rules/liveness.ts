/**
 * I-LIVE: no actor repeats fault -> retry for ever. A retry counts only when nothing under way could have caused it: no
 * invalidation of the VM is open or has ended since the last retry, the entry is not another walker's just now, and no other
 * actor holds a lock. A thread that the operating system has taken off its core in mid-operation holds one, so a preempted
 * holder is never taken for a livelock.
 */
import type { Context } from '../../machine/context.js';
import { KVM_INVALID_PTE_LOCKED, entryPfn, isS2Table } from '../../machine/entries.js';
import {
  ACTOR_HELD_COUNT,
  ACTOR_RETRIES,
  type Machine,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  actorWord,
  s2PteWord,
  s2RootWord,
  vmWord,
} from '../../machine/layout.js';
import { look as peek } from '#words';
import type { ViolationLog } from '../violation.js';

/** Retries of one page with nothing to blame, before it is called a livelock. */
export const RETRIES_MAX = 100;

export class Liveness {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #actors: number;
  readonly #count: Int32Array;
  readonly #page: Int32Array;
  readonly #seq: Int32Array;

  constructor(m: Machine, log: ViolationLog, actors: number) {
    this.#m = m;
    this.#log = log;
    this.#actors = actors;
    this.#count = new Int32Array(m.cpus);
    this.#page = new Int32Array(m.cpus);
    this.#seq = new Int32Array(m.cpus);
  }

  reset(): void {
    this.#count.fill(0);
  }

  /** A fault of the guest (`vm` >= 0) at `page`, or of a process (-1), is about to be tried again. */
  retried(ctx: Context, vm: number, page: number): void {
    const { actor, words } = ctx;
    const retries = ctx.recordAt + ACTOR_RETRIES;
    words[retries] = peek(words, retries) + 1;
    const seq = vm < 0 ? 0 : peek(words, vmWord(this.#m, vm, VM_INVALIDATE_SEQ));
    const excused =
      this.#page[actor] !== page ||
      this.#seq[actor] !== seq ||
      (vm >= 0 && this.#isBusy(vm, page)) ||
      this.#othersHoldLocks(actor);
    this.#page[actor] = page;
    this.#seq[actor] = seq;
    const count = excused ? 0 : (this.#count[actor] as number) + 1;
    this.#count[actor] = count;
    if (count !== RETRIES_MAX) return;
    const subject = vm < 0 ? { vpn: page } : { vm, gfn: page };
    this.#log.report(ctx, 'I-LIVE', 'fault retried without any progress', { ...subject, received: `${count} retries` });
  }

  /** The actor has completed something. */
  progressed(ctx: Context): void {
    this.#count[ctx.actor] = 0;
    ctx.words[ctx.recordAt + ACTOR_RETRIES] = 0;
  }

  #isBusy(vm: number, gfn: number): boolean {
    const m = this.#m;
    const { words } = m;
    if (peek(words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0) return true;
    if (peek(words, vmWord(m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT)) !== 0) return true;
    let entry = peek(words, s2RootWord(m, vm, gfn));
    if (isS2Table(entry)) entry = peek(words, s2PteWord(m, entryPfn(entry), gfn));
    return entry === KVM_INVALID_PTE_LOCKED;
  }

  #othersHoldLocks(actor: number): boolean {
    const m = this.#m;
    for (let other = 0; other < this.#actors; other++) {
      if (other !== actor && peek(m.words, actorWord(m, other, ACTOR_HELD_COUNT)) !== 0) return true;
    }
    return false;
  }
}

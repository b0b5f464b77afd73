/**
 * Sleepable RCU as the kernel's notifiers and KVM use it (kernel/rcu/srcutree.c): an index and two reader counts. The
 * updater flips the index and waits for the readers of the old side, twice.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { adds, reads, writes } from '../machine/effects.js';
import { ACTOR_SRCU, SRCU_NESTED } from '../machine/layout.js';
import { fetchAdd, readOnce, writeOnce } from '#words';
import { waitWhile, wake } from '../machine/wait.js';
import { mightSleep } from './held.js';

/** The side that readers enter now: a marked read of `srcu`. First half of srcu_read_lock(), for callers that inline it. */
export const srcuSide = (ctx: Context, srcu: number): number => readOnce(ctx.words, srcu) & 1;
/** Second half: an update of the word `srcu + 1 + side`. */
export function srcuEnter(ctx: Context, srcu: number, side: number): void {
  fetchAdd(ctx.words, srcu + 1 + side, 1);
  note(ctx, 0, srcu + 1 + side);
}
/** srcu_read_unlock(): an update of the word `srcu + 1 + side`. */
export function srcuLeave(ctx: Context, srcu: number, side: number): void {
  fetchAdd(ctx.words, srcu + 1 + side, -1);
  note(ctx, srcu + 1 + side, 0);
  wake(ctx.m, srcu + 1 + side);
}

/** In the actor's record, for reports of who waits for whom: `word` stands where `found` stood first. */
function note(ctx: Context, found: number, word: number): void {
  const first = ctx.recordAt + ACTOR_SRCU;
  for (let at = first; at < first + SRCU_NESTED; at++) {
    if (ctx.words[at] !== found) continue;
    ctx.words[at] = word;
    return;
  }
}

/** srcu_read_lock() on the srcu at `srcu`: returns the side to give back. */
export function* srcuReadLock(ctx: Context, srcu: number): Coroutine {
  if (--ctx.quantum < 0) yield reads(srcu);
  const side = srcuSide(ctx, srcu);
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuEnter(ctx, srcu, side);
  return side;
}

/** srcu_read_unlock(). */
export function* srcuReadUnlock(ctx: Context, srcu: number, side: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuLeave(ctx, srcu, side);
}

/** synchronize_srcu(): returns when every reader that was inside at the call has left. Sleeps. */
export function* synchronizeSrcu(ctx: Context, srcu: number): Coroutine<void> {
  mightSleep(ctx, 'synchronize_srcu');
  for (let pass = 0; pass < 2; pass++) {
    if (--ctx.quantum < 0) yield writes(srcu);
    const side = readOnce(ctx.words, srcu) & 1;
    writeOnce(ctx.words, srcu, side ^ 1);
    for (;;) {
      if (--ctx.quantum < 0) yield reads(srcu + 1 + side);
      const readers = readOnce(ctx.words, srcu + 1 + side);
      if (readers === 0) break;
      yield waitWhile(ctx, srcu + 1 + side, readers);
    }
  }
}

/**
 * Exclusive locks: spinlocks (PTL, PMD lock, leaf locks), mutexes and the folio lock. One word each: 0 free, else the
 * holder (actor + 1), with the WAITERS bit while a worker sleeps for it, and the queue's bits (queue.ts) while somebody waits in line.
 *
 * A blocking acquisition is an attempt in a loop that yields while it fails:
 *
 *     if (--ctx.quantum < 0) yield acquires(ptl);
 *     while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
 *
 * A release is an effect of its own: `if (--ctx.quantum < 0) yield releases(ptl); spinUnlock(ctx, ptl, LOCK_PTL);`
 */
import { type Context, LOCK_WRITE } from '../machine/context.js';
import { PAGE_LOCK, pageWord } from '../machine/layout.js';
import { cmpxchg, readOnce } from '#words';
import { WAITERS } from '../machine/wait.js';
import { LOCK_FOLIO } from './classes.js';
import { lamportAcquire, lamportRelease, mightSleep, popHeld, pushHeld } from './held.js';
import { holderBits, joinQueue, keepPlace, leaveQueue, mayTake, restOfQueue, unlockContended } from './queue.js';

function take(ctx: Context, lock: number, lockClass: number, spins: boolean, trylock: boolean): boolean {
  if (ctx.task.queuedFor === lock) {
    if (!takeInTurn(ctx, lock)) return false;
  } else if (cmpxchg(ctx.words, lock, 0, ctx.actor + 1) !== 0) {
    if (!ctx.queues || !(trylock ? takeBefore(ctx, lock) : takeInTurn(ctx, lock))) return false;
  }
  lamportAcquire(ctx, lock);
  pushHeld(ctx, lock, lockClass, LOCK_WRITE, spins);
  ctx.probe.onAcquire(ctx, lock, lockClass, LOCK_WRITE, trylock);
  return true;
}

function drop(ctx: Context, lock: number, lockClass: number, spins: boolean): void {
  ctx.probe.onRelease(ctx, lock, lockClass, LOCK_WRITE);
  popHeld(ctx, lock, spins);
  lamportRelease(ctx, lock);
  if (cmpxchg(ctx.words, lock, ctx.actor + 1, 0) !== ctx.actor + 1) unlockContended(ctx, lock, 0);
}

/** An attempt of an actor that has found the lock taken, or somebody before it. False: not yet its turn. */
function takeInTurn(ctx: Context, lock: number): boolean {
  const { words } = ctx;
  joinQueue(ctx, lock);
  for (;;) {
    const value = readOnce(words, lock);
    const held = holderBits(value) !== 0;
    if (held || !mayTake(ctx, lock, value)) {
      if (keepPlace(ctx, lock, value, held)) return false;
    } else if (cmpxchg(words, lock, value, (ctx.actor + 1) | restOfQueue(ctx, lock)) === value) {
      leaveQueue(ctx);
      return true;
    }
  }
}

/** A trylock of a lock whose word is not 0: it may be free, and some wait to be woken for it. */
function takeBefore(ctx: Context, lock: number): boolean {
  const value = readOnce(ctx.words, lock);
  return value === WAITERS && cmpxchg(ctx.words, lock, value, value | (ctx.actor + 1)) === value;
}

/** One attempt of spin_lock(). False: yield `contended` and try again. */
export function spinLock(ctx: Context, lock: number, lockClass: number): boolean {
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_WRITE);
  return take(ctx, lock, lockClass, true, false);
}

/** spin_unlock(). */
export function spinUnlock(ctx: Context, lock: number, lockClass: number): void {
  drop(ctx, lock, lockClass, true);
}

/** One attempt of mutex_lock(): sleeps, so it is checked against LK1 even when it is free. */
export function mutexLock(ctx: Context, lock: number, lockClass: number): boolean {
  mightSleep(ctx, 'mutex_lock');
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_WRITE);
  return take(ctx, lock, lockClass, false, false);
}

/** mutex_trylock(). */
export function mutexTrylock(ctx: Context, lock: number, lockClass: number): boolean {
  return take(ctx, lock, lockClass, false, true);
}

/** mutex_unlock(). */
export function mutexUnlock(ctx: Context, lock: number, lockClass: number): void {
  drop(ctx, lock, lockClass, false);
}

/** The lock word of the folio with head `pfn`: for `acquires`, `contended` and `releases`. */
export const folioLockWord = (ctx: Context, pfn: number): number => pageWord(ctx.m, pfn, PAGE_LOCK);

/** One attempt of folio_lock() on the folio with head `pfn`. */
export function folioLock(ctx: Context, pfn: number): boolean {
  mightSleep(ctx, 'folio_lock');
  const lock = pageWord(ctx.m, pfn, PAGE_LOCK);
  ctx.probe.onLockAttempt(ctx, lock, LOCK_FOLIO, LOCK_WRITE);
  return take(ctx, lock, LOCK_FOLIO, false, false);
}

/** folio_trylock(). */
export function folioTrylock(ctx: Context, pfn: number): boolean {
  return take(ctx, pageWord(ctx.m, pfn, PAGE_LOCK), LOCK_FOLIO, false, true);
}

/** folio_unlock(). */
export function folioUnlock(ctx: Context, pfn: number): void {
  drop(ctx, pageWord(ctx.m, pfn, PAGE_LOCK), LOCK_FOLIO, false);
}

/** folio_test_locked(): a marked read of the lock word. */
export function folioTestLocked(ctx: Context, pfn: number): boolean {
  return holderBits(readOnce(ctx.words, pageWord(ctx.m, pfn, PAGE_LOCK))) !== 0;
}

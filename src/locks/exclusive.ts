/**
 * Exclusive locks: spinlocks (PTL, PMD lock, leaf locks), mutexes and the folio lock. One word each: 0 free, else the
 * holder (actor + 1), with the WAITERS bit while a worker sleeps for it.
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
import { readOnce, cmpxchg, xchg } from '#words';
import { lockValue, wake } from '../machine/wait.js';
import { LOCK_FOLIO } from './classes.js';
import { lamportAcquire, lamportRelease, mightSleep, popHeld, pushHeld } from './held.js';

function take(ctx: Context, lock: number, lockClass: number, spins: boolean, trylock: boolean): boolean {
  if (cmpxchg(ctx.words, lock, 0, ctx.actor + 1) !== 0) return false;
  lamportAcquire(ctx, lock);
  pushHeld(ctx, lock, lockClass, LOCK_WRITE, spins);
  ctx.probe.onAcquire(ctx, lock, lockClass, LOCK_WRITE, trylock);
  return true;
}

function drop(ctx: Context, lock: number, lockClass: number, spins: boolean): void {
  ctx.probe.onRelease(ctx, lock, lockClass, LOCK_WRITE);
  popHeld(ctx, lock, spins);
  lamportRelease(ctx, lock);
  if (xchg(ctx.words, lock, 0) < 0) wake(ctx.m, lock);
}

/** One attempt of spin_lock(). False: yield `contended` and try again. */
export function spinLock(ctx: Context, lock: number, lockClass: number): boolean {
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_WRITE);
  return take(ctx, lock, lockClass, true, false);
}

/** spin_trylock(). */
export function spinTrylock(ctx: Context, lock: number, lockClass: number): boolean {
  return take(ctx, lock, lockClass, true, true);
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
  return lockValue(readOnce(ctx.words, pageWord(ctx.m, pfn, PAGE_LOCK))) !== 0;
}

/** The actor that holds an exclusive lock word's value, or -1. */
export const exclusiveHolder = (value: number): number => lockValue(value) - 1;

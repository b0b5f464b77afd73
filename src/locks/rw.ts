/**
 * Fair reader-writer locks: rwsems (mmap_lock, anon_vma), which sleep, and rwlocks (mmu_lock), which spin. One word:
 *
 *   bit 31 WAITERS | 30 CLOSED | 21-28 turns | 13-20 writer (actor + 1) | 12 PENDING: a writer waits, later readers are held back | 0-11 readers
 *
 * A waiting writer sets PENDING, which holds later readers back, as the kernel's do (qrwlock.c _QW_WAITING, rwsem.c
 * RWSEM_READ_FAILED_MASK). A writer that takes the lock clears it, and other waiting writers set it again at their next attempt. On one
 * thread, where every order is asked for, any writer may take a lock with PENDING alone. On real threads all who find it taken wait
 * in one line (queue.ts), and the first in it, reader or writer, is let in before others.
 */
import { type Context, LOCK_READ, LOCK_WRITE } from '../machine/context.js';
import { cmpxchg, fetchAdd, fetchAnd, rawCmpxchg, rawLoad, readOnce } from '#words';
import { WAITERS } from '../machine/wait.js';
import { lamportAcquire, lamportRelease, mightSleep, popHeld, pushHeld } from './held.js';
import {
  CLOSED,
  QUEUE_BITS,
  isFirst,
  joinQueue,
  keepPlace,
  leaveQueue,
  mayTake,
  restOfQueue,
  unlockContended,
  wakeFirst,
} from './queue.js';

export const RW_READERS = 0xfff;
export const RW_PENDING = 1 << 12;
const WRITER_SHIFT = 13;
const RW_WRITER = 0xff << WRITER_SHIFT;

/** The writer that a lock word's value names, or -1. */
export const rwWriter = (value: number): number => ((value & RW_WRITER) >> WRITER_SHIFT) - 1;
export const rwReaders = (value: number): number => value & RW_READERS;

function takeRead(ctx: Context, lock: number, lockClass: number, spins: boolean, trylock: boolean): boolean {
  for (;;) {
    const value = readOnce(ctx.words, lock);
    if (ctx.task.queuedFor === lock || (value & (RW_WRITER | RW_PENDING | CLOSED)) !== 0) {
      if (trylock || !ctx.queues || !takeReadInTurn(ctx, lock)) return false;
      break;
    }
    if (cmpxchg(ctx.words, lock, value, value + 1) === value) break;
  }
  lamportAcquire(ctx, lock);
  pushHeld(ctx, lock, lockClass, LOCK_READ, spins);
  ctx.probe.onAcquire(ctx, lock, lockClass, LOCK_READ, trylock);
  return true;
}

/** An attempt of a reader that has found a writer or a queue. False: not yet its turn. */
function takeReadInTurn(ctx: Context, lock: number): boolean {
  const { words } = ctx;
  joinQueue(ctx, lock);
  for (;;) {
    const value = readOnce(words, lock);
    const open = (value & (RW_WRITER | RW_PENDING | CLOSED)) === 0;
    const held = (value & RW_WRITER) !== 0;
    if (!open && (held || !isFirst(ctx, lock))) {
      if (keepPlace(ctx, lock, value, held)) return false;
      continue;
    }
    const rest = restOfQueue(ctx, lock);
    if (cmpxchg(words, lock, value, ((value & (RW_READERS | RW_PENDING)) + 1) | rest) !== value) continue;
    leaveQueue(ctx);
    // who is next may be a reader too
    if (rest !== 0) wakeFirst(ctx, lock);
    return true;
  }
}

function dropRead(ctx: Context, lock: number, lockClass: number, spins: boolean): void {
  ctx.probe.onRelease(ctx, lock, lockClass, LOCK_READ);
  popHeld(ctx, lock, spins);
  // several readers leave their times here at once: the word must never go back
  for (;;) {
    const left = rawLoad(ctx.words, lock + 1);
    if (((ctx.task.time - left) | 0) <= 0) break;
    if (rawCmpxchg(ctx.words, lock + 1, left, ctx.task.time | 0) === left) break;
  }
  ctx.task.time += ctx.tick;
  const before = fetchAdd(ctx.words, lock, -1);
  if (before < 0 && (before & RW_READERS) === 1) unlockContended(ctx, lock, -1 & ~WAITERS);
}

function takeWrite(ctx: Context, lock: number, lockClass: number, spins: boolean, trylock: boolean): boolean {
  for (;;) {
    const value = readOnce(ctx.words, lock);
    if (ctx.queues && (ctx.task.queuedFor === lock || (value & (RW_WRITER | RW_READERS | CLOSED)) !== 0)) {
      if (trylock || !takeWriteInTurn(ctx, lock)) return false;
      break;
    }
    if ((value & (RW_WRITER | RW_READERS)) !== 0) {
      if (trylock) return false;
      // its holders may be gone before `contended` looks: PENDING alone is nothing for a writer to wait for
      ctx.freeValue = RW_PENDING;
      if ((value & RW_PENDING) !== 0) return false;
      if (cmpxchg(ctx.words, lock, value, value | RW_PENDING) === value) return false;
      continue;
    }
    if (trylock && (value & RW_PENDING) !== 0) return false;
    const mine = (value & WAITERS) | ((ctx.actor + 1) << WRITER_SHIFT);
    if (cmpxchg(ctx.words, lock, value, mine) === value) break;
  }
  ctx.freeValue = 0;
  lamportAcquire(ctx, lock);
  pushHeld(ctx, lock, lockClass, LOCK_WRITE, spins);
  ctx.probe.onAcquire(ctx, lock, lockClass, LOCK_WRITE, trylock);
  return true;
}

/** An attempt of a writer that has found the lock taken or a queue. False: not yet its turn. */
function takeWriteInTurn(ctx: Context, lock: number): boolean {
  const { words } = ctx;
  joinQueue(ctx, lock);
  for (;;) {
    const value = readOnce(words, lock);
    const held = (value & (RW_WRITER | RW_READERS)) !== 0;
    if (held || !mayTake(ctx, lock, value)) {
      if (keepPlace(ctx, lock, value, held, RW_PENDING)) return false;
      continue;
    }
    const next = ((ctx.actor + 1) << WRITER_SHIFT) | restOfQueue(ctx, lock);
    if (cmpxchg(words, lock, value, next) !== value) continue;
    leaveQueue(ctx);
    return true;
  }
}

function dropWrite(ctx: Context, lock: number, lockClass: number, spins: boolean): void {
  ctx.probe.onRelease(ctx, lock, lockClass, LOCK_WRITE);
  popHeld(ctx, lock, spins);
  lamportRelease(ctx, lock);
  // PENDING of a writer that waits stays, so that no reader gets in before it; and so does the queue
  if (fetchAnd(ctx.words, lock, RW_PENDING | QUEUE_BITS) < 0) unlockContended(ctx, lock, -1 & ~WAITERS);
}

/** One attempt of down_read(). False: yield `contended` and try again. */
export function downRead(ctx: Context, lock: number, lockClass: number): boolean {
  mightSleep(ctx, 'down_read');
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_READ);
  return takeRead(ctx, lock, lockClass, false, false);
}
/** down_read_trylock(). */
export const downReadTrylock = (ctx: Context, lock: number, lockClass: number): boolean =>
  takeRead(ctx, lock, lockClass, false, true);
/** up_read(). */
export const upRead = (ctx: Context, lock: number, lockClass: number): void => dropRead(ctx, lock, lockClass, false);

/** One attempt of down_write(). */
export function downWrite(ctx: Context, lock: number, lockClass: number): boolean {
  mightSleep(ctx, 'down_write');
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_WRITE);
  return takeWrite(ctx, lock, lockClass, false, false);
}
/** up_write(). */
export const upWrite = (ctx: Context, lock: number, lockClass: number): void => dropWrite(ctx, lock, lockClass, false);

/** One attempt of read_lock() on a rwlock. */
export function readLock(ctx: Context, lock: number, lockClass: number): boolean {
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_READ);
  return takeRead(ctx, lock, lockClass, true, false);
}
/** read_unlock(). */
export const readUnlock = (ctx: Context, lock: number, lockClass: number): void => dropRead(ctx, lock, lockClass, true);

/** One attempt of write_lock() on a rwlock. */
export function writeLock(ctx: Context, lock: number, lockClass: number): boolean {
  ctx.probe.onLockAttempt(ctx, lock, lockClass, LOCK_WRITE);
  return takeWrite(ctx, lock, lockClass, true, false);
}
/** write_unlock(). */
export const writeUnlock = (ctx: Context, lock: number, lockClass: number): void =>
  dropWrite(ctx, lock, lockClass, true);

/**
 * The per-VMA lock of v6.18 (include/linux/mmap_lock.h, mm/mmap_lock.c) and the mmap_lock operations that work with it.
 * vm_refcnt: readers in the low bits, VMA_LOCK_OFFSET while a writer waits for them to leave. A VMA is write-locked
 * while its vm_lock_seq equals mm_lock_seq; mmap_write_unlock ends that for all VMAs at once by moving mm_lock_seq on.
 */
import { type Context, type Coroutine, LOCK_READ } from '../machine/context.js';
import { LOCAL, acquires, acquiresRead, reads, releases, releasesRead, updates, writes } from '../machine/effects.js';
import { MM_LOCK_SEQ, MM_MMAP_LOCK, VMA_LOCK_SEQ, VMA_REFCNT, mmWord, vmaWord } from '../machine/layout.js';
import { cmpxchg, fetchAdd, fetchAnd, get, peek, rawCmpxchg, readOnce, writeOnce } from '#words';
import { WAITERS, contended, lockValue, wake } from '../machine/wait.js';
import { LOCK_MMAP, LOCK_MMAP_NESTED, LOCK_VMA } from './classes.js';
import { lamportAcquire, popHeld, pushHeld } from './held.js';
import { downRead, downWrite, upRead, upWrite } from './rw.js';

const VMA_LOCK_OFFSET = 1 << 20;

/** One attempt to join the readers of a VMA: an update of its lock word. Never waits; see {@link vmaStillReadable}. */
export function vmaTryRead(ctx: Context, vma: number): boolean {
  const { words } = ctx;
  const refcnt = vmaWord(ctx.m, vma, VMA_REFCNT);
  for (let value = peek(words, refcnt); ;) {
    if ((value & VMA_LOCK_OFFSET) !== 0) return false;
    const found = cmpxchg(words, refcnt, value, value + 1);
    if (found === value) break;
    value = found;
  }
  lamportAcquire(ctx, refcnt);
  pushHeld(ctx, refcnt, LOCK_VMA, LOCK_READ, false);
  ctx.probe.onAcquire(ctx, refcnt, LOCK_VMA, LOCK_READ, true);
  return true;
}

/** The word that {@link vmaStillReadable} reads. */
export const mmLockSeqWord = (ctx: Context, mm: number): number => mmWord(ctx.m, mm, MM_LOCK_SEQ);

/** Whether a VMA that vmaTryRead has locked is not write-locked: a marked read of mm_lock_seq. If it is, let go of it. */
export function vmaStillReadable(ctx: Context, mm: number, vma: number): boolean {
  // vm_lock_seq is stable for us from here (a writer waits for readers first); mm_lock_seq may only move away from it
  return get(ctx.words, vmaWord(ctx.m, vma, VMA_LOCK_SEQ)) !== readOnce(ctx.words, mmLockSeqWord(ctx, mm));
}

/**
 * vma_start_read(): tries to take the VMA for reading; never waits.
 * @returns false when a writer has it or comes (the caller falls back to mmap_lock).
 */
export function* vmaStartRead(ctx: Context, mm: number, vma: number): Coroutine<boolean> {
  const lock = vmaLockWord(ctx, vma);
  if (--ctx.quantum < 0) yield acquiresRead(lock);
  if (!vmaTryRead(ctx, vma)) return false;
  if (--ctx.quantum < 0) yield reads(mmLockSeqWord(ctx, mm));
  if (vmaStillReadable(ctx, mm, vma)) return true;
  if (--ctx.quantum < 0) yield releasesRead(lock);
  vmaEndRead(ctx, vma);
  return false;
}

/** vma_end_read(). */
export function vmaEndRead(ctx: Context, vma: number): void {
  const refcnt = vmaWord(ctx.m, vma, VMA_REFCNT);
  ctx.probe.onRelease(ctx, refcnt, LOCK_VMA, LOCK_READ);
  popHeld(ctx, refcnt, false);
  const words = ctx.words;
  for (let left = peek(words, refcnt + 1); ((ctx.task.time - left) | 0) > 0;) {
    const found = rawCmpxchg(words, refcnt + 1, left, ctx.task.time | 0);
    if (found === left) break;
    left = found;
  }
  ctx.task.time += ctx.tick;
  if (fetchAdd(words, refcnt, -1) < 0) {
    fetchAnd(words, refcnt, ~WAITERS);
    wake(ctx.m, refcnt);
  }
}

/** The lock word of a VMA, for `releases`. */
export const vmaLockWord = (ctx: Context, vma: number): number => vmaWord(ctx.m, vma, VMA_REFCNT);

/** vma_start_write(): under mmap_lock write; waits for the VMA's readers to leave and keeps new ones out. */
export function* vmaStartWrite(ctx: Context, mm: number, vma: number): Coroutine<void> {
  const { words, m } = ctx;
  const refcnt = vmaWord(m, vma, VMA_REFCNT);
  const lockSeq = vmaWord(m, vma, VMA_LOCK_SEQ);
  const seq = get(words, mmWord(m, mm, MM_LOCK_SEQ));
  if (get(words, lockSeq) === seq) return;
  if (--ctx.quantum < 0) yield updates(refcnt);
  fetchAdd(words, refcnt, VMA_LOCK_OFFSET);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(refcnt);
    if (lockValue(readOnce(words, refcnt)) === VMA_LOCK_OFFSET) break;
    const wait = contended(ctx, refcnt);
    if (wait !== LOCAL && ctx.waitValue !== VMA_LOCK_OFFSET) yield wait;
  }
  lamportAcquire(ctx, refcnt);
  if (--ctx.quantum < 0) yield writes(lockSeq);
  writeOnce(words, lockSeq, seq);
  if (--ctx.quantum < 0) yield updates(refcnt);
  if (fetchAdd(words, refcnt, -VMA_LOCK_OFFSET) < 0) {
    fetchAnd(words, refcnt, ~WAITERS);
    wake(m, refcnt);
  }
}

/** The word of an mm's mmap_lock. */
export const mmapLockWord = (ctx: Context, mm: number): number => mmWord(ctx.m, mm, MM_MMAP_LOCK);

/** mmap_read_lock(). */
export function* mmapReadLock(ctx: Context, mm: number): Coroutine<void> {
  const lock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield acquiresRead(lock);
  while (!downRead(ctx, lock, LOCK_MMAP)) yield contended(ctx, lock);
}

/** mmap_read_unlock(). */
export function* mmapReadUnlock(ctx: Context, mm: number): Coroutine<void> {
  const lock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield releasesRead(lock);
  upRead(ctx, lock, LOCK_MMAP);
}

/** mmap_write_lock(): also begins a new mm_lock_seq, so that vma_start_write can mark VMAs as locked. */
export const mmapWriteLock = (ctx: Context, mm: number): Coroutine<void> => mmapDownWrite(ctx, mm, LOCK_MMAP);
/** mmap_write_unlock(): ends the write lock of every VMA (vma_end_write_all), then drops mmap_lock. */
export const mmapWriteUnlock = (ctx: Context, mm: number): Coroutine<void> => mmapUpWrite(ctx, mm, LOCK_MMAP);
/** mmap_write_lock_nested(SINGLE_DEPTH_NESTING) of a child that is not yet anybody's, under its parent's; and its end. */
export const mmapWriteLockNested = (ctx: Context, mm: number): Coroutine<void> =>
  mmapDownWrite(ctx, mm, LOCK_MMAP_NESTED);
export const mmapWriteUnlockNested = (ctx: Context, mm: number): Coroutine<void> =>
  mmapUpWrite(ctx, mm, LOCK_MMAP_NESTED);

function* mmapDownWrite(ctx: Context, mm: number, lockClass: number): Coroutine<void> {
  const lock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!downWrite(ctx, lock, lockClass)) yield contended(ctx, lock);
  yield* advanceLockSeq(ctx, mm);
}

function* mmapUpWrite(ctx: Context, mm: number, lockClass: number): Coroutine<void> {
  yield* advanceLockSeq(ctx, mm);
  const lock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield releases(lock);
  upWrite(ctx, lock, lockClass);
}

function* advanceLockSeq(ctx: Context, mm: number): Coroutine<void> {
  const seq = mmWord(ctx.m, mm, MM_LOCK_SEQ);
  if (--ctx.quantum < 0) yield writes(seq);
  writeOnce(ctx.words, seq, (get(ctx.words, seq) + 1) & 0x3fffffff);
}

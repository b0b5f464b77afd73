/** Locked memory (mm/util.c, v6.18). */
import { ENOMEM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { MM_LOCKED_VM, MM_MEMLOCK_LIMIT, mmWord } from '../machine/layout.js';
import { mmapWriteLock, mmapWriteUnlock } from '../locks/vma-lock.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { fetchAdd, get, readOnce } from '#words';

/**
 * account_locked_vm(): charges `pages` of `mm` to RLIMIT_MEMLOCK, or takes them back. Takes mmap_lock for writing, so
 * the caller must hold neither it nor a spinlock (Z40).
 * @param memlockExempt the process may exceed its limit (CAP_IPC_LOCK)
 * @returns 0 or -ENOMEM (over the limit; nothing was charged)
 */
export function* accountLockedVm(
  ctx: Context,
  mm: number,
  pages: number,
  inc: boolean,
  memlockExempt = false,
): Coroutine {
  if (pages === 0) return 0;
  const { m, words } = ctx;
  const lockedAt = mmWord(m, mm, MM_LOCKED_VM);
  yield* mmapWriteLock(ctx, mm);
  if (--ctx.quantum < 0) yield updates(lockedAt);
  const locked = readOnce(words, lockedAt);
  const limit = get(words, mmWord(m, mm, MM_MEMLOCK_LIMIT));
  const delta = inc ? pages : -pages;
  const result = inc && !memlockExempt && limit >= 0 && locked + pages > limit ? -ENOMEM : 0;
  if (result === 0) {
    fetchAdd(words, lockedAt, delta);
    ctx.probe.onAccount(ctx, mm, delta);
    if (locked + delta < 0) ctx.probe.onWarn(ctx, 'I-ACCT', 'locked_vm went below zero', -1);
  }
  emit(ctx, EVENT.account_locked_vm, mm, delta, locked + (result === 0 ? delta : 0), result);
  yield* mmapWriteUnlock(ctx, mm);
  return result;
}

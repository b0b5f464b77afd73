/** The end of an mm: mmput() and exit_mmap() (kernel/fork.c, mm/mmap.c, v6.18; kernel-model 3.18). */
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { updates, writes } from '../machine/effects.js';
import { MMF_EXITED, MMF_EXITING, MM_FLAGS, MM_KHUGEPAGED_SLOT, MM_USERS, mmWord } from '../machine/layout.js';
import { mmapReadLock, mmapReadUnlock, mmapWriteLock, mmapWriteUnlock } from '../locks/vma-lock.js';
import { fetchOr, readOnce, writeOnce } from '#words';
import { mmuNotifierRelease } from './mmu-notifier.js';
import { setPudPresent } from './pgtable.js';
import { freeVmas, unmapVmas } from './vma/munmap.js';
import { tlbFinishMmu, tlbFlushPendingWord, tlbGatherMmu } from './memory/zap.js';

/**
 * The last user of `mm` is gone: ksmd and khugepaged leave it, secondary MMUs are released, everything is unmapped, and
 * tables and VMAs are freed. No thread of the process may run any more. Pinned pages survive by their pins.
 */
export function* exitMmap(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  const outer = ctx.task.mechanism;
  const users = mmWord(m, mm, MM_USERS);
  if (--ctx.quantum < 0) yield writes(users);
  writeOnce(words, users, 0);
  const flags = mmWord(m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield updates(flags);
  fetchOr(words, flags, MMF_EXITING);

  ctx.task.mechanism = MECH.teardown;
  yield* ctx.kernel.ksmExit(ctx, mm);
  yield* khugepagedExit(ctx, mm);
  ctx.task.mechanism = MECH.release;
  yield* mmuNotifierRelease(ctx, mm);
  ctx.task.mechanism = MECH.teardown;
  if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
  tlbGatherMmu(ctx, mm, 0, m.mmPages);
  yield* mmapReadLock(ctx, mm);
  yield* unmapVmas(ctx, mm, 0, m.mmPages);
  yield* mmapReadUnlock(ctx, mm);
  yield* mmapWriteLock(ctx, mm);
  yield* freeVmas(ctx, mm, 0, m.mmPages);
  yield* setPudPresent(ctx, mm, 0);
  yield* tlbFinishMmu(ctx, mm);
  if (--ctx.quantum < 0) yield updates(flags);
  fetchOr(words, flags, MMF_EXITED);
  yield* mmapWriteUnlock(ctx, mm);
  ctx.task.mechanism = outer;
}

/**
 * __khugepaged_exit(): off the list; a khugepaged that is inside holds mmap_lock and tests MMF_EXITING when it takes it
 * again, so having held it for writing once is enough.
 */
function* khugepagedExit(ctx: Context, mm: number): Coroutine<void> {
  const slot = mmWord(ctx.m, mm, MM_KHUGEPAGED_SLOT);
  if (--ctx.quantum < 0) yield updates(slot);
  if (readOnce(ctx.words, slot) === 0) return;
  writeOnce(ctx.words, slot, 0);
  yield* mmapWriteLock(ctx, mm);
  yield* mmapWriteUnlock(ctx, mm);
}

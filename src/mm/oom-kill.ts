/**
 * The OOM reaper (mm/oom_kill.c oom_reap_task_mm, __oom_reap_task_mm, v6.18; kernel-model 3.18, table 4 row 18): the private memory
 * of a killed process is taken before its tasks have ended. The only caller of a notifier that may not block: a subscriber that
 * would sleep fails it, and the VMA is left for another attempt. Nobody looks at pins.
 */
import { EAGAIN, MMU_NOTIFY_CLEAR, VM_PFNMAP, VM_SHARED } from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, tries, updates } from '../machine/effects.js';
import { MMF_EXITED, MMF_OOM_UNSTABLE, MM_FLAGS, mmWord } from '../machine/layout.js';
import { LOCK_MMAP } from '../locks/classes.js';
import { downReadTrylock } from '../locks/rw.js';
import { mmapLockWord, mmapReadUnlock } from '../locks/vma-lock.js';
import { fetchOr, readOnce } from '#words';
import { findVmaFrom, vmaEnd, vmaFlags, vmaStart } from './vma/vma.js';
import { tlbFinishMmu, tlbFlushPendingWord, tlbGatherMmu } from './memory/zap.js';

/**
 * oom_reap_task_mm(): one attempt; oom_reap_task() makes ten, 100 ms apart.
 * @returns 0: all that can be taken is; -EAGAIN: mmap_lock is not to be had, or a subscriber would have slept
 */
export function* oomReapTaskMm(ctx: Context, mm: number): Coroutine {
  const lock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!downReadTrylock(ctx, lock, LOCK_MMAP)) return -EAGAIN;
  const flags = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(flags);
  // MMF_OOM_SKIP: exit_mmap() has been faster
  const skip = (readOnce(ctx.words, flags) & MMF_EXITED) !== 0;
  const result = skip ? 0 : yield* reap(ctx, mm);
  yield* mmapReadUnlock(ctx, mm);
  return result;
}

/** __oom_reap_task_mm(). Under mmap_lock. */
function* reap(ctx: Context, mm: number): Coroutine {
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.zap;
  // MMF_UNSTABLE: what is gone from here on must not be faulted in as zeroes
  const flags = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield updates(flags);
  fetchOr(ctx.words, flags, MMF_OOM_UNSTABLE);
  let result = 0;
  let next = 0;
  for (let vma = findVmaFrom(ctx, mm, 0); vma >= 0; vma = findVmaFrom(ctx, mm, next)) {
    next = vmaEnd(ctx, vma);
    if ((vmaFlags(ctx, vma) & (VM_PFNMAP | VM_SHARED)) !== 0) continue;
    if ((yield* reapVma(ctx, mm, vma, vmaStart(ctx, vma), next)) !== 0) result = -EAGAIN;
  }
  ctx.task.mechanism = outer;
  return result;
}

function* reapVma(ctx: Context, mm: number, vma: number, start: number, end: number): Coroutine {
  if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
  tlbGatherMmu(ctx, mm, start, end);
  ctx.probe.onZapBegin(ctx, mm, start, end);
  const result = yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_CLEAR, false);
  if (result === 0) {
    yield* ctx.kernel.zapPageRange(ctx, mm, vma, start, end);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  }
  yield* tlbFinishMmu(ctx, mm);
  ctx.probe.onZapEnd(ctx, mm, start, end, result === 0);
  return result;
}

/** madvise() (mm/madvise.c, v6.18; kernel-model 3.18). */
import {
  EAGAIN,
  EINVAL,
  ENOMEM,
  MMU_NOTIFY_CLEAR,
  VM_HUGEPAGE,
  VM_IO,
  VM_LOCKED,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_SHARED,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { acquiresRead, reads, releasesRead, updates } from '../../machine/effects.js';
import { MM_KHUGEPAGED_SLOT, MM_KSM_SLOT } from '../../machine/layout.js';
import {
  mmLockSeqWord,
  mmapReadLock,
  mmapReadUnlock,
  mmapWriteLock,
  mmapWriteUnlock,
  vmaEndRead,
  vmaLockWord,
  vmaStartWrite,
  vmaTryRead,
} from '../../locks/vma-lock.js';
import { madviseCollapse } from '../khugepaged/khugepaged.js';
import { madviseFree } from './free.js';
import { unmergeKsmPages } from '../ksm/break.js';
import { enterSlot } from '../vma/mmap.js';
import { madviseRemove } from '../truncate.js';
import {
  findVmaFrom,
  vmaEnd,
  vmaFlags,
  vmaHint,
  vmaMerge,
  vmaModifyFlags,
  vmaReadLocked,
  vmaStart,
} from '../vma/vma.js';
import { tlbFinishMmu, tlbFlushPendingWord, tlbGatherMmu } from '../memory/zap.js';

/** The advice values (include/uapi/asm-generic/mman-common.h). */
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_COLLAPSE = 25;

/**
 * madvise() of [start, end), in pages.
 * @returns 0; -EINVAL (advice, range, or a VMA that forbids it); -ENOMEM (part of the range is not mapped, the rest was
 *   done; MADV_COLLAPSE: no memory); -EAGAIN (MADV_COLLAPSE: a page is pinned or locked; others: no memory)
 */
export function* madvise(ctx: Context, mm: number, start: number, end: number, advice: number): Coroutine {
  if (start < 0 || end > ctx.m.mmPages || start > end) return -EINVAL;
  if (start === end) return 0;
  switch (advice) {
    case MADV_DONTNEED:
      return yield* madviseDontneed(ctx, mm, start, end);
    case MADV_FREE:
      return yield* madviseFree(ctx, mm, start, end);
    case MADV_REMOVE:
      return yield* madviseRemove(ctx, mm, start, end);
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
      return yield* madviseFlags(ctx, mm, start, end, advice);
    case MADV_COLLAPSE:
      return yield* madviseCollapseRange(ctx, mm, start, end);
    default:
      return -EINVAL;
  }
}

/**
 * MADV_DONTNEED of [start, end): under the VMA lock where one VMA holds the range (v6.17), else under mmap_lock.
 * @returns 0, -EINVAL or -ENOMEM (see {@link madvise})
 */
export function* madviseDontneed(ctx: Context, mm: number, start: number, end: number): Coroutine {
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.zap;
  if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
  tlbGatherMmu(ctx, mm, start, end);
  ctx.probe.onZapBegin(ctx, mm, start, end);
  let result = 0;
  // try_vma_read_lock(): lock_vma_under_rcu() in place, for ballooning guests come here a page at a time
  let vma = vmaHint(ctx, mm, start);
  if (vma >= 0) {
    if (--ctx.quantum < 0) yield acquiresRead(vmaLockWord(ctx, vma));
    if (vmaTryRead(ctx, vma)) {
      if (--ctx.quantum < 0) yield reads(mmLockSeqWord(ctx, mm));
      const one = vmaReadLocked(ctx, mm, vma, start) && vmaEnd(ctx, vma) >= end;
      if (one) {
        if (mayZap(ctx, vma)) {
          yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_CLEAR, true);
          yield* ctx.kernel.zapPageRange(ctx, mm, vma, start, end);
          yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
        } else {
          result = -EINVAL;
        }
      }
      if (--ctx.quantum < 0) yield releasesRead(vmaLockWord(ctx, vma));
      vmaEndRead(ctx, vma);
      if (!one) vma = -1;
    } else {
      vma = -1;
    }
  }
  if (vma < 0) {
    yield* mmapReadLock(ctx, mm);
    result = yield* dontneedVmas(ctx, mm, start, end);
  }
  yield* tlbFinishMmu(ctx, mm);
  ctx.probe.onZapEnd(ctx, mm, start, end, result !== -EINVAL);
  if (vma < 0) yield* mmapReadUnlock(ctx, mm);
  ctx.task.mechanism = outer;
  return result;
}

/** madvise_dontneed_free_valid_vma(). */
const mayZap = (ctx: Context, vma: number): boolean => (vmaFlags(ctx, vma) & (VM_LOCKED | VM_PFNMAP)) === 0;

/** madvise_walk_vmas(): a hole makes the result -ENOMEM, but what is mapped behind it is done all the same. */
function* dontneedVmas(ctx: Context, mm: number, start: number, end: number): Coroutine {
  let unmapped = 0;
  for (let vpn = start; vpn < end;) {
    const vma = findVmaFrom(ctx, mm, vpn);
    if (vma < 0 || vmaStart(ctx, vma) >= end) return -ENOMEM;
    if (vmaStart(ctx, vma) > vpn) unmapped = -ENOMEM;
    const next = Math.min(end, vmaEnd(ctx, vma));
    if (!mayZap(ctx, vma)) return -EINVAL;
    // zap_page_range_single_batched()
    const from = Math.max(vpn, vmaStart(ctx, vma));
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, from, next, MMU_NOTIFY_CLEAR, true);
    yield* ctx.kernel.zapPageRange(ctx, mm, vma, from, next);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, from, next);
    vpn = next;
  }
  return unmapped;
}

/** The advice that changes VMA flags, under mmap_lock write. Memory that is short is -EAGAIN, for -ENOMEM means a hole (madvise_vma_behavior). */
function* madviseFlags(ctx: Context, mm: number, start: number, end: number, advice: number): Coroutine {
  yield* mmapWriteLock(ctx, mm);
  let result = 0;
  for (let vpn = start; vpn < end;) {
    let vma = findVmaFrom(ctx, mm, vpn);
    if (vma < 0 || vmaStart(ctx, vma) >= end) {
      result = -ENOMEM;
      break;
    }
    const from = Math.max(vpn, vmaStart(ctx, vma));
    if (from > vpn) result = -ENOMEM;
    const to = Math.min(end, vmaEnd(ctx, vma));
    const old = vmaFlags(ctx, vma);
    if (advice === MADV_UNMERGEABLE && (old & VM_MERGEABLE) !== 0) {
      yield* vmaStartWrite(ctx, mm, vma);
      if ((yield* unmergeKsmPages(ctx, mm, vma, from, to)) !== 0) {
        result = -EAGAIN;
        break;
      }
    }
    const flags = flagsFor(old, advice);
    if (flags !== old) {
      vma = yield* vmaModifyFlags(ctx, mm, vma, from, to, flags);
      if (vma < 0) {
        result = -EAGAIN;
        break;
      }
      yield* vmaMerge(ctx, mm, vma);
    }
    if (advice === MADV_MERGEABLE) yield* enterSlot(ctx, mm, MM_KSM_SLOT);
    if (advice === MADV_HUGEPAGE) yield* enterSlot(ctx, mm, MM_KHUGEPAGED_SLOT);
    vpn = to;
  }
  yield* mmapWriteUnlock(ctx, mm);
  return result;
}

function flagsFor(flags: number, advice: number): number {
  // vma_ksm_compatible(): what is shared or a driver's is left as it is, and that is no error
  if (advice === MADV_MERGEABLE) return (flags & (VM_SHARED | VM_PFNMAP | VM_IO)) === 0 ? flags | VM_MERGEABLE : flags;
  if (advice === MADV_UNMERGEABLE) return flags & ~VM_MERGEABLE;
  if (advice === MADV_HUGEPAGE) return (flags | VM_HUGEPAGE) & ~VM_NOHUGEPAGE;
  return (flags | VM_NOHUGEPAGE) & ~VM_HUGEPAGE;
}

/** MADV_COLLAPSE of every whole THP in the range: the last error counts, and 0 only when all were collapsed. */
function* madviseCollapseRange(ctx: Context, mm: number, start: number, end: number): Coroutine {
  const { thpPages } = ctx.m;
  let result = 0;
  for (let vpn = (start + thpPages - 1) & ~(thpPages - 1); vpn + thpPages <= end; vpn += thpPages) {
    const one = yield* madviseCollapse(ctx, mm, vpn);
    if (one !== 0) result = one;
    if (one === -ENOMEM) break;
  }
  return result;
}

/**
 * mprotect and the walk that it shares with the NUMA scan (mm/mprotect.c, v6.18; kernel-model 3.17 steps 3, 4, 6 and
 * 7). One notifier call covers the rest of the range, from its first populated upper directory on (change_pud_range(); through
 * 6.11 change_pmd_range(): from the first populated page middle directory), before any page is looked at: F6, a range whose 512 pages are all pinned loses all
 * its stage-2 entries although no host PTE changes. The CPUs' TLBs are flushed after NOTIFY.end, which is harmless: no
 * page is freed.
 */
import {
  EACCES,
  EINVAL,
  ENOMEM,
  MMU_NOTIFY_PROTECTION_VMA,
  VM_EXEC,
  VM_MAYWRITE,
  VM_READ,
  VM_WRITE,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { LOCAL, reads, updates } from '../../machine/effects.js';
import { isHuge, isNone } from '../../machine/entries.js';
import { MM_TLB_FLUSH_PENDING, mmWord, pmdWord } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { mmapWriteLock, mmapWriteUnlock } from '../../locks/vma-lock.js';
import { fetchAdd, readOnce } from '#words';
import { pudPresent } from '../pgtable.js';
import { flushTlbRange } from '../tlb-flush.js';
import { findVma, vmaEnd, vmaFlags, vmaMerge, vmaModifyFlags } from '../vma/vma.js';

/** The PTE half of the walk. */
export { changePteRange } from './ptes.js';

const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;

/**
 * change_protection() of [start, end), which lies in `vma`. mmap_lock is held, for writing unless `numa`.
 * @param newFlags the VMA's new VM_* flags (the scan ignores them)
 * @param numa the NUMA scan: PROT_NONE as a hint
 * @returns pages changed
 */
export function* changeProtection(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  return yield* changeProtectionRange(ctx, mm, vma, start, end, newFlags, numa, true);
}

/**
 * change_protection_range() inside an mmu_gather of its own.
 * @param notify false for policies that notify page by page instead
 */
export function* changeProtectionRange(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
  notify: boolean,
): Coroutine {
  const { m, words } = ctx;
  // tlb_gather_mmu()
  const pendingAt = mmWord(m, mm, MM_TLB_FLUSH_PENDING);
  if (--ctx.quantum < 0) yield updates(pendingAt);
  fetchAdd(words, pendingAt, 1);
  let pages = 0;
  let announced = -1;
  if (notify && ctx.kernel.rules.protectNotifier === 'pud' && pudPresent(ctx, mm)) {
    announced = start;
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_VMA, true);
  }
  for (let vpn = start; vpn < end;) {
    const next = Math.min((vpn | (m.thpPages - 1)) + 1, end);
    const pmdAt = pmdWord(m, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    if (!isNone(readOnce(words, pmdAt))) {
      if (notify && announced < 0) {
        announced = vpn;
        yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, end, MMU_NOTIFY_PROTECTION_VMA, true);
      }
      pages += yield* changePmdRange(ctx, mm, vma, vpn, next, newFlags, numa);
    }
    vpn = next;
    // cond_resched()
    if (--ctx.quantum < 0) yield LOCAL;
  }
  if (announced >= 0) yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, announced, end);
  // tlb_finish_mmu(): another changer may have changed entries of ours that it has not flushed (Z18)
  const nested = yield* ctx.kernel.mmTlbFlushNested(ctx, mm);
  if (pages > 0 || nested) yield* flushTlbRange(ctx, false, mm, start, end);
  if (--ctx.quantum < 0) yield updates(pendingAt);
  fetchAdd(words, pendingAt, -1);
  return pages;
}

/** change_pmd_range() for one PMD: a whole huge one at once, part of one after a split, a table PTE by PTE. */
function* changePmdRange(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  const pmdAt = pmdWord(ctx.m, mm, start);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(ctx.words, pmdAt);
    if (isNone(pmd)) return 0;
    if (isHuge(pmd)) {
      if (end - start < ctx.m.thpPages) {
        yield* ctx.kernel.splitHugePmd(ctx, mm, vma, start);
      } else {
        const changed = yield* ctx.kernel.changeHugePmd(ctx, mm, vma, start, newFlags, numa);
        // 0: no huge PMD any more; 1: nothing was to be done; else its pages
        if (changed !== 0) return changed === 1 ? 0 : changed;
      }
    }
    const pages = yield* ctx.kernel.changePteRange(ctx, mm, vma, start, end, newFlags, numa);
    if (pages >= 0) return pages;
  }
}

/**
 * mprotect(): gives [start, end) the access bits of `newVmaFlags` (VM_READ, VM_WRITE, VM_EXEC; none of them is
 * PROT_NONE). Takes mmap_lock for writing. VMAs before a failure keep their new protection.
 * @returns 0; -EINVAL (range); -ENOMEM (a hole, or no VMA left for a split); -EACCES (may not be made writable)
 */
export function* mprotect(ctx: Context, mm: number, start: number, end: number, newVmaFlags: number): Coroutine {
  if (start < 0 || start >= end || end > ctx.m.mmPages) return -EINVAL;
  const access = newVmaFlags & VM_ACCESS_FLAGS;
  yield* mmapWriteLock(ctx, mm);
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.mprotect;
  let result = 0;
  for (let vpn = start; vpn < end && result === 0;) {
    const vma = findVma(ctx, mm, vpn);
    if (vma < 0) {
      result = -ENOMEM;
      break;
    }
    const next = Math.min(end, vmaEnd(ctx, vma));
    result = yield* mprotectFixup(ctx, mm, vma, vpn, next, access);
    vpn = next;
  }
  ctx.task.mechanism = outer;
  if (result === 0) {
    emit(ctx, EVENT.mprotect, mm, start, end, access);
    ctx.probe.onProtected(ctx, mm, start, end, access);
  }
  yield* mmapWriteUnlock(ctx, mm);
  return result;
}

/** mprotect_fixup() of [start, end) of one VMA. */
function* mprotectFixup(ctx: Context, mm: number, vma: number, start: number, end: number, access: number): Coroutine {
  const old = vmaFlags(ctx, vma);
  const flags = (old & ~VM_ACCESS_FLAGS) | access;
  if ((access & VM_WRITE) !== 0 && (old & VM_MAYWRITE) === 0) return -EACCES;
  if (flags === old) return 0;
  const target = yield* vmaModifyFlags(ctx, mm, vma, start, end, flags);
  if (target < 0) return -ENOMEM;
  yield* ctx.kernel.changeProtection(ctx, mm, target, start, end, flags, false);
  yield* vmaMerge(ctx, mm, target);
  return 0;
}

/**
 * get_user_pages and pin_user_pages: the loop of follow and fault-in, and the calls that others make (mm/gup.c, v6.18;
 * kernel-model 3.10.1, 3.10.2). One page a call. A fault's success promises nothing: another actor may undo it before
 * the page is looked up again, so the loop goes on until the page is held or a fault fails.
 */
import {
  EAGAIN,
  EBUSY,
  EEXIST,
  EFAULT,
  EHWPOISON,
  EINTR,
  EMLINK,
  ENOMEM,
  FAULT_FLAG_PIN_ALLOC,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { LOCAL, RETRY, reads, updates } from '../../machine/effects.js';
import { MMF_HAS_PINNED, MM_FLAGS, mmWord } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { mmapReadLock, mmapReadUnlock } from '../../locks/vma-lock.js';
import { fetchOr, readOnce } from '#words';
import { isZeroPfn } from '../folio.js';
import { checkVmaFlags, impliedGupFlags } from './checks.js';
import { NO_PAGE } from './follow.js';
import { checkAndMigrateMovablePages } from './longterm.js';
import { findVma, vmaFlags } from '../vma/vma.js';

/**
 * faultin_page().
 * @returns 0: look it up again; -EBUSY or -EAGAIN: the handler has released mmap_lock; -ENOMEM, -EHWPOISON, -EFAULT
 */
export function* faultinPage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  unshare: boolean,
): Coroutine {
  const result = yield* ctx.kernel.handleMmFault(
    ctx,
    mm,
    vma,
    vpn,
    FAULT_FLAG_REMOTE |
      ((flags & FOLL_WRITE) !== 0 ? FAULT_FLAG_WRITE : 0) |
      ((flags & FOLL_LONGTERM) !== 0 ? FAULT_FLAG_PIN_ALLOC : 0) |
      (unshare ? FAULT_FLAG_UNSHARE : 0),
  );
  // vm_fault_to_errno()
  if ((result & VM_FAULT_COMPLETED) !== 0) return -EAGAIN;
  if ((result & VM_FAULT_OOM) !== 0) return -ENOMEM;
  if ((result & VM_FAULT_HWPOISON) !== 0) return (flags & FOLL_HWPOISON) !== 0 ? -EHWPOISON : -EFAULT;
  if ((result & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV)) !== 0) return -EFAULT;
  return (result & VM_FAULT_RETRY) !== 0 ? -EBUSY : 0;
}

/** __get_user_pages() of one page, mmap_lock held for reading before and after. Returns the page or -errno. */
function* getUserPageLocked(ctx: Context, mm: number, vpn: number, wanted: number): Coroutine {
  const flags = impliedGupFlags(ctx, wanted);
  let vma = findVma(ctx, mm, vpn);
  for (;;) {
    if (vma < 0 || vpn < 0 || vpn >= ctx.m.mmPages) return -EFAULT;
    const refused = checkVmaFlags(ctx, vmaFlags(ctx, vma), flags);
    if (refused !== 0) return refused;
    if (ctx.task.fatalSignal) return -EINTR;
    // cond_resched()
    if (--ctx.quantum < 0) yield LOCAL;
    const found = yield* ctx.kernel.followPagePte(ctx, mm, vma, vpn, flags);
    if (found >= 0) return found;
    // no struct page to hand out
    if (found === -EEXIST) return -EFAULT;
    if (found !== NO_PAGE && found !== -EMLINK) return found;
    const faulted = yield* faultinPage(ctx, mm, vma, vpn, flags, found === -EMLINK);
    if (faulted === -EBUSY || faulted === -EAGAIN) {
      // mmap_lock was released, and the VMAs may be others now
      yield* mmapReadLock(ctx, mm);
      vma = findVma(ctx, mm, vpn);
    } else if (faulted !== 0) {
      return faulted;
    }
  }
}

/**
 * get_user_pages_unlocked(): a short reference (FOLL_GET). Takes mmap_lock.
 * @returns the page, or -EFAULT, -EHWPOISON (only with FOLL_HWPOISON), -ENOMEM, -EINTR
 */
export function* getUserPagesUnlocked(ctx: Context, mm: number, vpn: number, flags: number): Coroutine {
  yield* mmapReadLock(ctx, mm);
  const result = yield* getUserPageLocked(ctx, mm, vpn, flags | FOLL_GET | FOLL_TOUCH);
  if (result < 0) emit(ctx, EVENT.gup_failed, mm, vpn, flags, result);
  yield* mmapReadUnlock(ctx, mm);
  return result;
}

/** mm_set_has_pinned_flag(): tested first, so that pinning does not write a line that every fork reads. */
export function* mmSetHasPinned(ctx: Context, mm: number): Coroutine<void> {
  const at = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(at);
  if ((readOnce(ctx.words, at) & MMF_HAS_PINNED) !== 0) return;
  if (--ctx.quantum < 0) yield updates(at);
  fetchOr(ctx.words, at, MMF_HAS_PINNED);
}

/**
 * pin_user_pages() of one page; with FOLL_LONGTERM __gup_longterm_locked(). The caller holds mmap_lock for reading.
 * @returns the page, or -EFAULT, -EHWPOISON, -ENOMEM, -EINTR
 */
export function* pinUserPages(ctx: Context, mm: number, vpn: number, flags: number): Coroutine {
  const wanted = (flags & ~FOLL_GET) | FOLL_PIN;
  yield* mmSetHasPinned(ctx, mm);
  for (let tries = 0; ; tries++) {
    // somebody else migrates the page: pinned, not isolated, unpinned, over and over until he is done
    if (tries === 1) ctx.task.loops++;
    if (tries > 0 && --ctx.quantum < 0) yield RETRY;
    let result = yield* getUserPageLocked(ctx, mm, vpn, wanted);
    if (result >= 0 && (flags & FOLL_LONGTERM) !== 0) {
      const checked = yield* checkAndMigrateMovablePages(ctx, result);
      if (checked === -EAGAIN) continue;
      if (checked !== 0) result = checked;
    }
    if (result >= 0) {
      pinned(ctx, mm, vpn, result, flags);
    } else {
      countStat(ctx.m, ctx.actor, STAT.pin_failures, 1);
      emit(ctx, EVENT.gup_failed, mm, vpn, wanted, result);
    }
    return result;
  }
}

/** The pin call returns this page now: it is a pin from here on (I-PIN). */
export function pinned(ctx: Context, mm: number, vpn: number, pfn: number, flags: number): void {
  countStat(ctx.m, ctx.actor, STAT.pins, 1);
  if (!isZeroPfn(pfn)) ctx.probe.onPinned(ctx, mm, vpn, pfn);
  else if ((flags & FOLL_WRITE) !== 0) ctx.probe.onWarn(ctx, 'I-RO', 'zero page pinned for writing', pfn);
}

/**
 * pin_user_pages_fast(): lockless, and under mmap_lock when that does not do. Takes mmap_lock itself.
 * @returns the page; NO_PAGE (FOLL_FAST_ONLY, and the slow path would be needed); or -errno
 *   as {@link pinUserPages}
 */
export function* pinUserPagesFast(ctx: Context, mm: number, vpn: number, flags: number): Coroutine {
  const wanted = (flags & ~FOLL_GET) | FOLL_PIN;
  const fast = yield* ctx.kernel.gupFast(ctx, mm, vpn, wanted);
  if (fast >= 0 || (flags & FOLL_FAST_ONLY) !== 0) return fast;
  yield* mmapReadLock(ctx, mm);
  const result = yield* ctx.kernel.pinUserPages(ctx, mm, vpn, wanted);
  yield* mmapReadUnlock(ctx, mm);
  return result;
}

/**
 * The stage-2 fault under protected KVM as posted in May 2022 (arch/arm64/kvm/mmu.c pkvm_mem_abort, patch 24/89;
 * A14's exits; kernel-model 3.26): EL2 owns the guest's table, so the host pins the page for good, charges it, and
 * asks EL2 to map it. Notifiers reach nothing: the VM has no table of the host's. There is no mmu_invalidate_retry.
 */
import {
  EAGAIN,
  EFAULT,
  EHWPOISON,
  EIO,
  ENOMEM,
  EPERM,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_WRITE,
  PG_SWAPBACKED,
} from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, reads, releases } from '../machine/effects.js';
import { FIX_RETRY, KERNEL_FIX, VM_MM, VM_MMU_LOCK, globalWord, pinnedPageWord, vmWord } from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { contended } from '../machine/wait.js';
import { HYP_MAP_GUEST } from '../hyp/hypercalls.js';
import { mightSleep } from '../locks/held.js';
import { mmapReadLock, mmapReadUnlock } from '../locks/vma-lock.js';
import { flagsWord, folioOf, testFlag } from '../mm/folio.js';
import { accountLockedVm } from '../mm/util.js';
import { get, peek, set } from '#words';
import { kvmCallHyp } from './call-hyp.js';
import { activeSet, activeSetWord, gfnToSlot, gfnToVpn, slotInvalid, slotReadonly } from './memslots.js';
import { kvmFaultLock, kvmFaultUnlock } from './mmu.js';
import { topupHypMemcache } from './pkvm-memcache.js';

export { assignEl2, hostStage2Abort as hostMemAbort, kvmCallHyp } from './call-hyp.js';
export { freeHypMemcache, topupHypMemcache } from './pkvm-memcache.js';

/**
 * pin_user_pages() of pkvm_mem_abort: for writing even on a guest's read, so that zero, KSM and shared pages are
 * broken.
 */
const PKVM_GUP_FLAGS = FOLL_HWPOISON | FOLL_LONGTERM | FOLL_WRITE;

/**
 * pkvm_mem_abort(). kvm->srcu is held, the vCPU is loaded on this CPU.
 * @returns 0 (mapped, or another vCPU was first, or `ctx.task.sigbus`), -EFAULT, -ENOMEM (no memory, or over
 *   RLIMIT_MEMLOCK), -EIO (a page cache page), or another error of EL2's
 */
export function* pkvmMemAbort(ctx: Context, vm: number, vcpu: number, gfn: number, write: boolean): Coroutine {
  if (--ctx.quantum < 0) yield reads(activeSetWord(ctx, vm));
  const slot = gfnToSlot(ctx, activeSet(ctx, vm), gfn);
  if (slot < 0 || slotInvalid(ctx, slot) || (write && slotReadonly(ctx, slot))) return -EFAULT;
  const mm = get(ctx.words, vmWord(ctx.m, vm, VM_MM));
  const filled = yield* topupHypMemcache(ctx, vm, vcpu);
  if (filled !== 0) return filled;
  if (allocPinnedPage(ctx) !== 0) return -ENOMEM;
  const charged = yield* accountLockedVm(ctx, mm, 1, true);
  if (charged !== 0) return charged;

  const result = yield* pinAndMap(ctx, vm, mm, gfn, gfnToVpn(ctx, slot, gfn));
  if (result !== 0) yield* ctx.kernel.pkvmUncharge(ctx, mm);
  if (result === -EHWPOISON) {
    ctx.task.sigbus = true;
    countStat(ctx.m, ctx.actor, STAT.sigbus, 1);
    return 0;
  }
  // "another vCPU was first": EL2's answer does not say whether that is so, or whether the page is not the host's to
  // give, in which case the guest faults for ever (Z45)
  // -EAGAIN: knob `fix retry`, which no kernel has
  return result === -EPERM || result === -EAGAIN ? 0 : result;
}

/**
 * Steps 4 to 9, with the pin undone when they fail.
 * @returns 0; -EFAULT, -EHWPOISON, -EIO; EL2's -EPERM (the guest has a page there, or ours is not the host's own) and so
 *   on
 */
function* pinAndMap(ctx: Context, vm: number, mm: number, gfn: number, vpn: number): Coroutine {
  yield* mmapReadLock(ctx, mm);
  const pfn = yield* ctx.kernel.pinUserPages(ctx, mm, vpn, PKVM_GUP_FLAGS);
  yield* mmapReadUnlock(ctx, mm);
  if (pfn < 0) {
    if (pfn === -ENOMEM && peek(ctx.words, globalWord(ctx.m, KERNEL_FIX)) === FIX_RETRY) return -EAGAIN;
    return pfn === -EHWPOISON ? pfn : -EFAULT;
  }
  ctx.probe.onLongtermPin(ctx, pfn);
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if (!testFlag(ctx, head, PG_SWAPBACKED)) return yield* ctx.kernel.pkvmRefusePage(ctx, pfn);
  const lock = vmWord(ctx.m, vm, VM_MMU_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!kvmFaultLock(ctx, lock)) yield contended(ctx, lock);
  // another vCPU's, or one that the guest has relinquished and whose record is not erased yet: A14 asks EL2 even so, maps in
  // the second case, and finds the record only then (a WARN); A16 looks first
  const taken = get(ctx.words, pinnedPageWord(ctx.m, vm, gfn)) !== 0;
  const result = taken ? -EPERM : yield* kvmCallHyp(ctx, HYP_MAP_GUEST, pfn, gfn, 0, 0);
  if (result === 0) insertPinnedPage(ctx, vm, gfn, pfn);
  if (--ctx.quantum < 0) yield releases(lock);
  kvmFaultUnlock(ctx, lock);
  if (result !== 0) yield* ctx.kernel.unpinUserPage(ctx, pfn, false);
  return result;
}

/**
 * A page of the page cache: writeback and page_mkclean cannot see this mapping. Posted v1 and A13 forgot the pin here
 * (Z30). Returns -EIO.
 */
export function* pkvmRefusePage(ctx: Context, pfn: number): Coroutine {
  yield* ctx.kernel.unpinUserPage(ctx, pfn, false);
  return -EIO;
}

/** dec_account: the charge of a fault that has failed. */
export function* pkvmUncharge(ctx: Context, mm: number): Coroutine<void> {
  yield* accountLockedVm(ctx, mm, 1, false);
}

/** kzalloc(struct kvm_pinned_page): the slot in the machine is there; only the allocation can fail. */
function allocPinnedPage(ctx: Context): number {
  mightSleep(ctx, 'kzalloc');
  return ctx.task.failAllocation > 0 && --ctx.task.failAllocation === 0 ? -ENOMEM : 0;
}

/** Enters the page into the VM's pinned pages, by gfn. mmu_lock held for writing. */
function insertPinnedPage(ctx: Context, vm: number, gfn: number, pfn: number): void {
  const at = pinnedPageWord(ctx.m, vm, gfn);
  if (get(ctx.words, at) !== 0) ctx.probe.onWarn(ctx, 'I-ACCT', 'pinned page inserted twice', pfn);
  set(ctx.words, at, pfn + 1);
  ctx.probe.onStage2Pinned(ctx, vm, gfn, pfn);
}

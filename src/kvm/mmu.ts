/**
 * The stage-2 fault of a VM whose tables the host owns, and what notifiers do to them (arch/arm64/kvm/mmu.c, v6.18;
 * kernel-model 3.21, 3.22). The page is looked up without any lock of KVM's; that nothing happened to it before it is
 * mapped is what the invalidation sequence proves. After the fault KVM holds no reference: only notifiers keep the
 * mapping honest.
 */
import { EAGAIN, EFAULT, EHWPOISON, VM_IO, VM_PFNMAP } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, acquiresRead, reads, releases, releasesRead, updates } from '../machine/effects.js';
import {
  VM_HAS_PGT,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MM,
  VM_MMU_LOCK,
  dirtyWord,
  s2RootWord,
  vmWord,
} from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { contended } from '../machine/wait.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { LOCK_MMAP, LOCK_MMU } from '../locks/classes.js';
import { downRead, readLock, readUnlock, upRead, writeLock, writeUnlock } from '../locks/rw.js';
import { mmapLockWord } from '../locks/vma-lock.js';
import { findVma, vmaEnd, vmaFlags, vmaStart } from '../mm/vma/vma.js';
import { fetchOr, get, readOnce } from '#words';
import { MAPPING_HUGE, MAPPING_NONE, hvaToPfn, userMappingSize } from './faultin.js';
import {
  activeSet,
  activeSetWord,
  gfnToSlot,
  gfnToVpn,
  slotBase,
  slotInvalid,
  slotLogging,
  slotPages,
  slotReadonly,
} from './memslots.js';
import { topupHypMemcache } from './pkvm-memcache.js';
import { freeDeferredTables, hasCachedTable, hasDeferredTables, topupMmuCache } from './s2-tables.js';
import { GRANULE_BLOCK, GRANULE_NONE, faultGranule } from './stage2.js';

export { vcpuAccess } from './vcpu.js';

/** Blocks that one hold of mmu_lock unmaps when the range may block (stage2_apply_range, cond_resched_rwlock_write). */
const UNMAP_CHUNK_BLOCKS = 4;

/**
 * user_mem_abort(). kvm->srcu is held.
 * @param permission fault_is_perm: the access failed by what the entry allows, not for want of one
 * @returns 0 (mapped, or to be tried again: the guest re-executes; `ctx.task.sigbus` if the page is poisoned), -EFAULT (no
 *   slot, or the VMM has no page there: an exit to user space), -ENOMEM
 */
export function* userMemAbort(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  permission: boolean,
): Coroutine {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield reads(activeSetWord(ctx, vm));
  const slot = gfnToSlot(ctx, activeSet(ctx, vm), gfn);
  if (slot < 0 || slotInvalid(ctx, slot) || (write && slotReadonly(ctx, slot))) return -EFAULT;
  const logging = slotLogging(ctx, slot);
  if (!permission || (logging && write)) {
    const filled = yield* topupMemcache(ctx, vm, vcpu);
    if (filled !== 0) return filled;
  }
  const mm = get(words, vmWord(m, vm, VM_MM));
  const vpn = gfnToVpn(ctx, slot, gfn);
  const seqAt = vmWord(m, vm, VM_INVALIDATE_SEQ);
  let seq = 0;
  const mmapLock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield acquiresRead(mmapLock);
  while (!downRead(ctx, mmapLock, LOCK_MMAP)) yield contended(ctx, mmapLock);
  const vma = findVma(ctx, mm, vpn);
  const device = vma >= 0 && (vmaFlags(ctx, vma) & (VM_PFNMAP | VM_IO)) !== 0;
  // get_vma_page_shift(): whether the whole block is the device's is asked of the VMA, here and not again
  const vmaBlock =
    device &&
    !logging &&
    !ctx.kernel.rules.protectedKvm &&
    vmaCoversBlock(ctx, vma, vpn) &&
    supportsHugeMapping(ctx, slot, gfn, vpn);
  if (vma >= 0 && !ctx.kernel.rules.seqAfterUnlock) {
    // before the unlock, which supplies the read barrier (v6.3, 13ec9308a857)
    if (--ctx.quantum < 0) yield reads(seqAt);
    seq = readOnce(words, seqAt);
  }
  if (--ctx.quantum < 0) yield releasesRead(mmapLock);
  upRead(ctx, mmapLock, LOCK_MMAP);
  if (vma < 0) return -EFAULT;
  if (ctx.kernel.rules.seqAfterUnlock) {
    if (--ctx.quantum < 0) yield reads(seqAt);
    seq = readOnce(words, seqAt);
  }
  const inBlock = vmaBlock ? vpn & (m.thpPages - 1) : 0;
  const pfn = yield* hvaToPfn(ctx, mm, vpn - inBlock, write, !slotReadonly(ctx, slot));
  if (pfn === -EHWPOISON) {
    ctx.task.sigbus = true;
    countStat(m, ctx.actor, STAT.sigbus, 1);
    return 0;
  }
  if (pfn < 0) return -EFAULT;
  const { mapWritable, refcounted } = ctx.out;
  const writable = mapWritable && (!logging || write);
  const lock = vmWord(m, vm, VM_MMU_LOCK);
  let result = -EAGAIN;
  if (yield* ctx.kernel.faultLockAndCheck(ctx, vm, seq)) {
    emit(ctx, EVENT.stage2_retry, vm, gfn, seq, get(words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)));
  } else {
    emit(ctx, EVENT.stage2_check, vm, gfn, seq, get(words, vmWord(m, vm, VM_INVALIDATE_SEQ)));
    result = yield* mapFault(
      ctx,
      vm,
      vcpu,
      slot,
      gfn - inBlock,
      vpn,
      pfn,
      permission,
      writable,
      logging || device,
      vmaBlock,
    );
  }
  if (refcounted) yield* ctx.kernel.releaseFaultinPage(ctx, pfn, result, writable);
  if (--ctx.quantum < 0) yield ctx.kernel.rules.protectedKvm ? releases(lock) : releasesRead(lock);
  kvmFaultUnlock(ctx, lock);
  if (writable && logging && result === 0) yield* markPageDirty(ctx, vm, gfn);
  return result === -EAGAIN ? 0 : result;
}

/** Step 4: the cache that table pages will come from: KVM's own, or the one that EL2 is handed. 0 or -ENOMEM. */
function* topupMemcache(ctx: Context, vm: number, vcpu: number): Coroutine {
  if (ctx.kernel.rules.protectedKvm) return yield* topupHypMemcache(ctx, vm, vcpu);
  return hasCachedTable(ctx, vm, vcpu) ? 0 : yield* topupMmuCache(ctx, vm, vcpu);
}

/** kvm_fault_lock() and step 10. */
export function* faultLockAndCheck(ctx: Context, vm: number, seq: number): Coroutine<boolean> {
  const lock = vmWord(ctx.m, vm, VM_MMU_LOCK);
  if (--ctx.quantum < 0) yield ctx.kernel.rules.protectedKvm ? acquires(lock) : acquiresRead(lock);
  while (!kvmFaultLock(ctx, lock)) yield contended(ctx, lock);
  return ctx.kernel.mmuInvalidateRetry(ctx, vm, seq);
}

/** Whether the VMA reaches over the whole block around `vpn`. Under mmap_lock. */
function vmaCoversBlock(ctx: Context, vma: number, vpn: number): boolean {
  const first = vpn & ~(ctx.m.thpPages - 1);
  return vmaStart(ctx, vma) <= first && first + ctx.m.thpPages <= vmaEnd(ctx, vma);
}

/** Steps 11 and 12: which size, and whether an entry of that size only needs more permissions. mmu_lock held. */
function* mapFault(
  ctx: Context,
  vm: number,
  vcpu: number,
  slot: number,
  gfn: number,
  vpn: number,
  pfn: number,
  permission: boolean,
  writable: boolean,
  forcePte: boolean,
  vmaBlock: boolean,
): Coroutine {
  // the mm is going, and with it the table (kvm_uninit_stage2_mmu)
  if (get(ctx.words, vmWord(ctx.m, vm, VM_HAS_PGT)) === 0) return -EFAULT;
  let granule = GRANULE_NONE;
  if (permission) {
    const root = s2RootWord(ctx.m, vm, gfn);
    if (--ctx.quantum < 0) yield reads(root);
    granule = faultGranule(ctx, vm, gfn);
    if (granule === GRANULE_NONE) return -EAGAIN;
  }
  let block = vmaBlock;
  // EL2's table of a guest has pages only
  if (!forcePte && !ctx.kernel.rules.protectedKvm) {
    if (granule === GRANULE_BLOCK) {
      block = true;
    } else if (supportsHugeMapping(ctx, slot, gfn, vpn)) {
      const size = yield* userMappingSize(ctx, get(ctx.words, vmWord(ctx.m, vm, VM_MM)), vpn);
      if (size === MAPPING_NONE) return -EAGAIN;
      block = size === MAPPING_HUGE;
    }
  }
  if (granule !== GRANULE_NONE && block === (granule === GRANULE_BLOCK)) {
    return writable ? yield* ctx.kernel.stage2RelaxPerms(ctx, vm, gfn) : 0;
  }
  return yield* ctx.kernel.stage2Map(ctx, vm, vcpu, gfn, pfn, block, writable);
}

/** fault_supports_stage2_huge_mapping(): the block lies in the slot, and guest and VMM addresses agree within it. */
function supportsHugeMapping(ctx: Context, slot: number, gfn: number, vpn: number): boolean {
  const mask = ctx.m.thpPages - 1;
  const first = gfn & ~mask;
  const base = slotBase(ctx, slot);
  return ((gfn ^ vpn) & mask) === 0 && first >= base && first + mask < base + slotPages(ctx, slot);
}

/**
 * One attempt of kvm_fault_lock() on a VM's mmu_lock: for reading, so that faults run in parallel; for writing when the
 * host runs protected KVM.
 */
export const kvmFaultLock = (ctx: Context, lock: number): boolean =>
  ctx.kernel.rules.protectedKvm ? writeLock(ctx, lock, LOCK_MMU) : readLock(ctx, lock, LOCK_MMU);

/** kvm_fault_unlock(). */
export function kvmFaultUnlock(ctx: Context, lock: number): void {
  if (ctx.kernel.rules.protectedKvm) writeUnlock(ctx, lock, LOCK_MMU);
  else readUnlock(ctx, lock, LOCK_MMU);
}

/** KVM_MMU_LOCK(): for writing. */
export function* mmuLock(ctx: Context, vm: number): Coroutine<void> {
  const lock = vmWord(ctx.m, vm, VM_MMU_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!writeLock(ctx, lock, LOCK_MMU)) yield contended(ctx, lock);
}

/** KVM_MMU_UNLOCK(). */
export function* mmuUnlock(ctx: Context, vm: number): Coroutine<void> {
  const lock = vmWord(ctx.m, vm, VM_MMU_LOCK);
  if (--ctx.quantum < 0) yield releases(lock);
  writeUnlock(ctx, lock, LOCK_MMU);
}

/**
 * mmu_invalidate_retry(), the form without a range that arm64 uses: an invalidation is under way anywhere in the VM,
 * or one has ended since `seq` was read. mmu_lock held, under which neither changes.
 */
export function mmuInvalidateRetry(ctx: Context, vm: number, seq: number): boolean {
  if (get(ctx.words, vmWord(ctx.m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0) return true;
  return get(ctx.words, vmWord(ctx.m, vm, VM_INVALIDATE_SEQ)) !== seq;
}

/** mark_page_dirty_in_slot(): one bit of the slot's bitmap. */
function* markPageDirty(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  const at = dirtyWord(ctx.m, vm, gfn);
  if (--ctx.quantum < 0) yield updates(at);
  fetchOr(ctx.words, at, 1 << (gfn & 31));
}

/**
 * kvm_unmap_gfn_range(): removes [start, end) from stage 2, chunk by chunk; TLBs are clean when it returns. mmu_lock
 * is held for writing. If the caller may block it is dropped between two chunks: in_progress is raised already, so
 * that faults which get in meanwhile retry. A VM without a table of the host's (pKVM) has nothing to unmap.
 */
export function* kvmUnmapGfnRange(
  ctx: Context,
  vm: number,
  start: number,
  end: number,
  mayBlock: boolean,
): Coroutine<void> {
  const { m, words } = ctx;
  const hasTable = vmWord(m, vm, VM_HAS_PGT);
  const chunk = UNMAP_CHUNK_BLOCKS << m.thpOrder;
  let removed = 0;
  for (let from = start; from < end && get(words, hasTable) !== 0;) {
    const to = Math.min(end, (from & ~(chunk - 1)) + chunk);
    removed += yield* ctx.kernel.stage2Unmap(ctx, vm, from, to);
    if (hasDeferredTables(ctx, vm)) yield* freeDeferredTables(ctx, vm);
    if (mayBlock && to !== end) {
      yield* mmuUnlock(ctx, vm);
      yield* mmuLock(ctx, vm);
    }
    from = to;
  }
  emit(ctx, EVENT.kvm_unmap, vm, start, end, removed);
}

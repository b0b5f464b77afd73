/**
 * The Kernel: the record of functions that a policy or a planted bug may replace, and what notifier subscribers give. Kernel code
 * calls these through `ctx.kernel`.
 */
import type { Context, Coroutine } from './context.js';
import type { KernelRules } from './rules.js';

/** A notifier subscriber's callbacks (struct mmu_notifier_ops); ids index VMs or drivers. */
export interface SubscriberOps {
  /** Returns 0, or -EAGAIN when the range is not blockable. start and end are vpns. */
  invalidateRangeStart(
    ctx: Context,
    id: number,
    start: number,
    end: number,
    event: number,
    blockable: boolean,
  ): Coroutine;
  invalidateRangeEnd(ctx: Context, id: number, start: number, end: number): Coroutine<void>;
  release(ctx: Context, id: number): Coroutine<void>;
}

/**
 * The record of kernel functions that a policy or a planted bug may replace. The base record is
 * `src/engine/kernel.ts`'s, made of the functions of the same names in `src/mm`, `src/kvm` and `src/hyp`. Units: vpn,
 * gfn, start and end in pages, end exclusive. Results: 0 or a count, negative errno, or VM_FAULT_* for faults.
 */
export interface Kernel {
  /** The id under which workers find it: a policy's or a bug's. */
  readonly id: string;
  /** Kernel-version choices that the model names; see {@link KernelRules}. */
  readonly rules: KernelRules;
  readonly subscribers: readonly (SubscriberOps | undefined)[];

  /* mm/memory.c */
  handleMmFault(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine;
  doAnonymousPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine;
  /** Entered with the PTL of `table` held and the PTE equal to `orig`; returns with it released. */
  doWpPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number, table: number, orig: number): Coroutine;
  /** wp_can_reuse_anon_folio: PTL held. 1 = reuse in place. A coroutine since it may lock the folio and drain. */
  wpCanReuseAnonFolio(ctx: Context, vma: number, pfn: number): Coroutine;
  doNumaPage(ctx: Context, mm: number, vma: number, vpn: number, orig: number, table: number): Coroutine;
  /* kernel/fork.c, mm/memory.c: fork. Both processes' mmap_locks are held for writing */
  dupMmap(ctx: Context, parent: number, child: number): Coroutine;
  copyPageRange(ctx: Context, dst: number, src: number): Coroutine;
  /** Under the PTLs of both tables; see mm/memory-fork.ts for the results. */
  copyPresentPte(
    ctx: Context,
    dst: number,
    src: number,
    vpn: number,
    dstAt: number,
    srcAt: number,
    pte: number,
    prealloc: number,
  ): Coroutine;
  /** 0: the page is shared from here on; -EBUSY: it may be pinned. Under the lock of the parent's entry. */
  folioTryDupAnonRmap(ctx: Context, mm: number, head: number, pfn: number): Coroutine;
  /** A fault on the swap entry `orig`. 0 or VM_FAULT_*; see mm/memory-swap.ts. */
  doSwapPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number, orig: number): Coroutine;
  /** do_numa_page()'s out_map for one PTE: its permissions again. Under the PTL of `table`. */
  numaRebuildSingleMapping(ctx: Context, mm: number, vma: number, vpn: number, table: number): Coroutine<void>;
  /* mm/vmscan.c, mm/rmap.c, mm/swapfile.c */
  /** Consumes the isolation of the folios; returns pages reclaimed. */
  shrinkFolioList(ctx: Context, folios: number[], ignoreReferences: boolean): Coroutine;
  /** 1, or 0: it stays mapped, the walk stops. */
  tryToUnmapOne(ctx: Context, folio: number, vma: number, vpn: number): Coroutine;
  /** __remove_mapping() of a locked folio in the swap cache: true, frozen and out of it. */
  removeMapping(ctx: Context, folio: number): Coroutine<boolean>;
  /** A lazily freed page's PTE at `pteAt`, cleared just now: true, discarded; false, it is `pte` again. Under the PTL. */
  unmapLazyfreePte(
    ctx: Context,
    mm: number,
    vpn: number,
    folio: number,
    pteAt: number,
    pte: number,
  ): Coroutine<boolean>;
  /** Flushes what batched unmaps of `mm` have cleared and not flushed yet. Under a PTL. */
  flushTlbBatchedPending(ctx: Context, mm: number): Coroutine<void>;
  /** mm_tlb_flush_nested(): another mmu_gather of `mm` is open beside the caller's. */
  mmTlbFlushNested(ctx: Context, mm: number): Coroutine<boolean>;
  /** Of a read past the swap cache. 0: this task may; above 0: so may it, with nothing to clear; -EEXIST, -ENOENT. */
  swapcachePrepare(ctx: Context, slot: number): Coroutine;
  /* mm/huge_memory.c */
  doHugePmdAnonymousPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine;
  doHugePmdWpPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number, orig: number): Coroutine;
  doHugePmdNumaPage(ctx: Context, mm: number, vma: number, vpn: number, orig: number): Coroutine;
  changeHugePmd(ctx: Context, mm: number, vma: number, vpn: number, newFlags: number, numa: boolean): Coroutine;
  /** What a huge PMD passes through while it is changed; returns the PMD before. PMD lock held. */
  pmdpInvalidate(ctx: Context, mm: number, start: number, pmdAt: number): Coroutine;
  splitHugePmd(ctx: Context, mm: number, vma: number, vpn: number): Coroutine<void>;
  splitHugePage(ctx: Context, pfn: number): Coroutine;
  /* mm/gup.c */
  gupFast(ctx: Context, mm: number, vpn: number, flags: number): Coroutine;
  /** Step 6 of GUP-fast: whether the PMD and the entry (the PTE, or the PMD once more) are what they were. */
  gupFastUnchanged(ctx: Context, pmdAt: number, pmd: number, entryAt: number, entry: number): Coroutine<boolean>;
  followPagePte(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine;
  pinUserPages(ctx: Context, mm: number, vpn: number, flags: number): Coroutine;
  /** read(2) with O_DIRECT of one page: pinned while the device writes `content` to it. */
  directIoRead(ctx: Context, mm: number, vpn: number, content: number): Coroutine;
  unpinUserPage(ctx: Context, pfn: number, makeDirty: boolean): Coroutine<void>;
  /* mm/mmu_notifier.c */
  mmuNotifierInvalidateRangeStart(
    ctx: Context,
    mm: number,
    start: number,
    end: number,
    event: number,
    blockable: boolean,
  ): Coroutine;
  mmuNotifierInvalidateRangeEnd(ctx: Context, mm: number, start: number, end: number): Coroutine<void>;
  /* mm/mprotect.c, mm/mempolicy.c */
  changePteRange(
    ctx: Context,
    mm: number,
    vma: number,
    start: number,
    end: number,
    newFlags: number,
    numa: boolean,
  ): Coroutine;
  changeProtection(
    ctx: Context,
    mm: number,
    vma: number,
    start: number,
    end: number,
    newFlags: number,
    numa: boolean,
  ): Coroutine;
  /* mm/migrate.c, mm/rmap.c */
  migratePages(ctx: Context, pfns: number[], node: number, mode: number): Coroutine;
  /** `flags` are TTU_* of mm/migrate-ptes.ts. 1, or 0 to stop the walk. */
  tryToMigrateOne(ctx: Context, pfn: number, vma: number, vpn: number, flags: number): Coroutine;
  migrateFolioMove(ctx: Context, src: number, dst: number): Coroutine;
  /** The stable node's keyhole turns from `src` to `dst`. */
  folioMigrateKsm(ctx: Context, src: number, dst: number, node: number): Coroutine<void>;
  /* mm/ksm.c */
  /** folio_walk_start() for an anonymous page: its pfn with a reference to its folio, or -1. Under mmap_lock. */
  folioWalk(ctx: Context, mm: number, vpn: number): Coroutine;
  /** ksm_test_exit(): `mm` is dying, so its VMAs may be gone. mmap_lock is held. */
  ksmTestExit(ctx: Context, mm: number): boolean;
  /** __ksm_exit(): a dying mm leaves ksmd, which may be in the middle of it. */
  ksmExit(ctx: Context, mm: number): Coroutine<void>;
  /** Whether write_protect_page() must clear and flush `entry` before it trusts the page's count. Under the PTL. */
  ksmMustFlush(ctx: Context, mm: number, entry: number, exclusive: boolean): Coroutine<boolean>;
  /** The end of write_protect_page(), the PTE cleared: the bit is given up, `entry` stored. False: pinned. Under the PTL. */
  ksmShare(
    ctx: Context,
    mm: number,
    vpn: number,
    pfn: number,
    pteAt: number,
    entry: number,
    exclusive: boolean,
  ): Coroutine<boolean>;
  writeProtectPage(ctx: Context, mm: number, vma: number, vpn: number, pfn: number): Coroutine;
  replacePage(ctx: Context, mm: number, vma: number, vpn: number, pfn: number, kpage: number, orig: number): Coroutine;
  /* mm/khugepaged.c */
  collapseHugePage(ctx: Context, mm: number, vpn: number): Coroutine;
  /** Keeps rmap walks away from a page table that is about to be taken out, and lets them in again. */
  collapseRmapLock(ctx: Context, anonVma: number): Coroutine<void>;
  collapseRmapUnlock(ctx: Context, anonVma: number): Coroutine<void>;
  tlbRemoveTableSyncOne(ctx: Context): Coroutine<void>;
  /* mm/madvise.c, mm/memory.c */
  zapPageRange(ctx: Context, mm: number, vma: number, start: number, end: number): Coroutine<void>;
  /* virt/kvm, arch/arm64/kvm */
  userMemAbort(ctx: Context, vm: number, vcpu: number, gfn: number, write: boolean): Coroutine;
  /** A page of a VM_PFNMAP or VM_IO mapping, mmap_lock held: 2 (a frame without a reference), 1 (with one) or -errno. */
  hvaToPfnRemapped(ctx: Context, mm: number, vpn: number, write: boolean): Coroutine;
  /** Takes mmu_lock for a fault and asks mmuInvalidateRetry under it. True: to be tried again. It is held either way. */
  faultLockAndCheck(ctx: Context, vm: number, seq: number): Coroutine<boolean>;
  mmuInvalidateRetry(ctx: Context, vm: number, seq: number): boolean;
  /** A notifier's start: faults retry from here on; its end: they see another sequence. mmu_lock held for writing. */
  kvmMmuInvalidateBegin(ctx: Context, vm: number): void;
  kvmMmuInvalidateEnd(ctx: Context, vm: number): void;
  /** Gives the reference of a fault back, whose mapping ended with `result`. mmu_lock held. */
  releaseFaultinPage(ctx: Context, pfn: number, result: number, dirty: boolean): Coroutine<void>;
  /** The VM's stage-2 fault handler: userMemAbort or pkvmMemAbort. */
  stage2Fault(ctx: Context, vm: number, vcpu: number, gfn: number, write: boolean): Coroutine;
  /** kvm_pgtable_stage2_map() of one page, or of the block around it; 0, -EAGAIN or -ENOMEM. mmu_lock held. */
  stage2Map(
    ctx: Context,
    vm: number,
    vcpu: number,
    gfn: number,
    pfn: number,
    block: boolean,
    writable: boolean,
  ): Coroutine;
  /** kvm_pgtable_stage2_relax_perms() to writable: 0 or -EAGAIN (gone, or lost to a race). mmu_lock held. */
  stage2RelaxPerms(ctx: Context, vm: number, gfn: number): Coroutine;
  /** kvm_pgtable_stage2_unmap(): the entries removed. mmu_lock held for writing. */
  stage2Unmap(ctx: Context, vm: number, start: number, end: number): Coroutine;
  /** kvm_pgtable_stage2_wrprotect(). mmu_lock held for writing. */
  stage2Wrprotect(ctx: Context, vm: number, start: number, end: number): Coroutine<void>;
  /** mmu_lock held for writing; dropped and retaken between chunks if `mayBlock`. */
  kvmUnmapGfnRange(ctx: Context, vm: number, start: number, end: number, mayBlock: boolean): Coroutine<void>;
  /** Waits for mn_active_invalidate_count == 0, then makes the other set of memslots the active one. */
  kvmSwapActiveMemslots(ctx: Context, vm: number): Coroutine<void>;
  /** What a vCPU's actor does before its first guest access, and after its last. 0 or -errno. */
  vcpuLoad(ctx: Context, vm: number, vcpu: number): Coroutine;
  vcpuPut(ctx: Context, vm: number, vcpu: number): Coroutine;
  kvmDestroyVm(ctx: Context, vm: number): Coroutine<void>;
  /** The VM gets its handle, and EL2 knows it. 0 or -errno. */
  pkvmCreateHypVm(ctx: Context, vm: number): Coroutine;
  /** A page that pkvm_mem_abort has pinned and may not map: the exit with -EIO. */
  pkvmRefusePage(ctx: Context, pfn: number): Coroutine;
  /** Takes the charge of a fault back that has failed since. */
  pkvmUncharge(ctx: Context, mm: number): Coroutine<void>;
  /** A load of the kernel's own through its map of all memory: 0 and `ctx.accessValue`, or -EFAULT. */
  pkvmKernelRead(ctx: Context, pfn: number): Coroutine;
  /** An access of the kernel's own to a page that EL2 keeps from it: -EFAULT, or an oops. */
  pkvmKernelAbort(ctx: Context, pfn: number): number;
  /** One pinned page of a VM that ends: given back by EL2, uncharged, unpinned. */
  pkvmReclaimPinnedPage(ctx: Context, vm: number, gfn: number): Coroutine<void>;
  /* EL2: called by the EL2 actor with the request's arguments */
  /** Memory that the host alone owns? 0 or -EPERM. host_mmu.lock held. */
  checkHostOwned(ctx: Context, pfn: number): number;
  /** A page that the host may share with a guest? 0, -EPERM or -EBUSY. host_mmu.lock held. */
  checkHostShares(ctx: Context, pfn: number): number;
  /** Is `gfn` free, and is there memory for its table? 0, -EPERM or -ENOMEM. hyp_vm.lock held. */
  checkGuestTakes(ctx: Context, vm: number, vcpu: number, gfn: number): number;
  hostDonateGuest(ctx: Context, vm: number, vcpu: number, pfn: number, gfn: number): Coroutine;
  hostShareGuest(ctx: Context, vm: number, vcpu: number, pfn: number, gfn: number, writable?: boolean): Coroutine;
  hostUnshareGuest(ctx: Context, vm: number, gfn: number): Coroutine;
  hostWrprotectGuest(ctx: Context, vm: number, gfn: number): Coroutine;
  hostReclaimPage(ctx: Context, vm: number, pfn: number, gfn: number): Coroutine;
  /** __pkvm_reclaim_dying_guest_page(): its three parts, for the locks see hyp/teardown.ts. */
  isDying(ctx: Context, vm: number): boolean;
  checkReclaim(ctx: Context, vm: number, pfn: number, gfn: number): number;
  doReclaim(ctx: Context, vm: number, pfn: number, gfn: number): Coroutine<void>;
  hostDonateHyp(ctx: Context, pfn: number, pages: number): Coroutine;
  hostShareHyp(ctx: Context, pfn: number): Coroutine;
  pkvmRefillMemcache(ctx: Context, vm: number, vcpu: number): Coroutine;
  handleHostMemAbort(ctx: Context, pfn: number): Coroutine;
  /** MEM_SHARE, MEM_UNSHARE, MEM_RELINQUISH of the guest `vm`: 0, -EFAULT or -EPERM. */
  guestShareHost(ctx: Context, vm: number, gfn: number): Coroutine;
  guestUnshareHost(ctx: Context, vm: number, gfn: number): Coroutine;
  guestRelinquish(ctx: Context, vm: number, gfn: number): Coroutine;
  /** TLBI by IPA or by host page, with the DSB: returns when no CPU can use an old translation. */
  tlbFlushGuest(ctx: Context, vm: number, start: number, end: number): Coroutine<void>;
  tlbFlushHost(ctx: Context, pfn: number): Coroutine<void>;
}

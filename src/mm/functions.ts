/** Memory management's part of the kernel record: what policies and planted bugs may replace, and where the kernel has it. */
import { type FunctionsOf, kernelFunction } from '../machine/kernel-record.js';
import { anonVmaLockWrite, anonVmaUnlockWrite } from './rmap/anon-vma.js';
import { collapseHugePage } from './khugepaged/collapse.js';
import { directIoRead } from './direct-io.js';
import { dupMmap } from './fork.js';
import { gupFast, gupFastUnchanged } from './gup/fast.js';
import { followPagePte } from './gup/follow.js';
import { unpinUserPage } from './gup/grab.js';
import { pinUserPages } from './gup/gup.js';
import { doHugePmdNumaPage } from './huge_memory/numa.js';
import { splitHugePmd } from './huge_memory/split.js';
import { doHugePmdWpPage } from './huge_memory/wp.js';
import { changeHugePmd, doHugePmdAnonymousPage, pmdpInvalidate } from './huge_memory/huge-memory.js';
import { tlbRemoveTableSyncOne } from './khugepaged/khugepaged.js';
import { ksmMustFlush, ksmShare, replacePage, writeProtectPage } from './ksm/merge.js';
import { folioWalk, ksmTestExit } from './ksm/scan.js';
import { ksmExit } from './ksm/ksm.js';
import { doAnonymousPage } from './memory/anon.js';
import { copyPageRange, copyPresentPte, folioTryDupAnonRmap } from './memory/fork.js';
import { doNumaPage, numaRebuildSingleMapping } from './memory/numa.js';
import { doSwapPage } from './memory/swap.js';
import { doWpPage, wpCanReuseAnonFolio } from './memory/wp.js';
import { handleMmFault } from './memory/memory.js';
import { flushTlbBatchedPending } from './rmap/flush.js';
import { folioMigrateKsm, migrateFolioMove } from './migrate/move.js';
import { tryToMigrateOne } from './rmap/migrate.js';
import { migratePages } from './migrate/migrate.js';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier.js';
import { changeProtection, changePteRange } from './mprotect/mprotect.js';
import { tryToUnmapOne, unmapLazyfreePte } from './rmap/unmap.js';
import { splitHugePage } from './huge_memory/split-huge-page.js';
import { swapcachePrepare } from './swap/swapfile.js';
import { mmTlbFlushNested } from './tlb-flush.js';
import { removeMapping, shrinkFolioList } from './vmscan.js';
import { zapPageRange } from './memory/zap.js';

export const MM_FUNCTIONS = {
  handleMmFault: kernelFunction(handleMmFault, 'mm/memory.c', 'handle_mm_fault'),
  doAnonymousPage: kernelFunction(doAnonymousPage, 'mm/memory.c', 'do_anonymous_page'),
  doWpPage: kernelFunction(
    doWpPage,
    'mm/memory.c',
    'do_wp_page',
    'Entered with the PTL of `table` held and the PTE equal to `orig`; returns with it released.',
  ),
  wpCanReuseAnonFolio: kernelFunction(
    wpCanReuseAnonFolio,
    'mm/memory.c',
    'wp_can_reuse_anon_folio',
    'wp_can_reuse_anon_folio: PTL held. 1 = reuse in place. A coroutine since it may lock the folio and drain.',
  ),
  doNumaPage: kernelFunction(doNumaPage, 'mm/memory.c', 'do_numa_page'),
  dupMmap: kernelFunction(dupMmap, 'mm/mmap.c', 'dup_mmap', "Both processes' mmap_locks are held for writing."),
  copyPageRange: kernelFunction(
    copyPageRange,
    'mm/memory.c',
    'copy_page_range',
    "Both processes' mmap_locks are held for writing.",
  ),
  copyPresentPte: kernelFunction(
    copyPresentPte,
    'mm/memory.c',
    'copy_present_ptes',
    'Under the PTLs of both tables; see mm/memory/fork.ts for the results.',
  ),
  folioTryDupAnonRmap: kernelFunction(
    folioTryDupAnonRmap,
    'include/linux/rmap.h',
    'folio_try_dup_anon_rmap_ptes',
    "0: the page is shared from here on; -EBUSY: it may be pinned. Under the lock of the parent's entry.",
  ),
  doSwapPage: kernelFunction(
    doSwapPage,
    'mm/memory.c',
    'do_swap_page',
    'A fault on the swap entry `orig`. 0 or VM_FAULT_*; see mm/memory/swap.ts.',
  ),
  numaRebuildSingleMapping: kernelFunction(
    numaRebuildSingleMapping,
    'mm/memory.c',
    'numa_rebuild_single_mapping',
    "do_numa_page()'s out_map for one PTE: its permissions again. Under the PTL of `table`.",
  ),
  shrinkFolioList: kernelFunction(
    shrinkFolioList,
    'mm/vmscan.c',
    'shrink_folio_list',
    'Consumes the isolation of the folios; returns pages reclaimed.',
  ),
  tryToUnmapOne: kernelFunction(
    tryToUnmapOne,
    'mm/rmap.c',
    'try_to_unmap_one',
    '1, or 0: it stays mapped, the walk stops.',
  ),
  removeMapping: kernelFunction(
    removeMapping,
    'mm/vmscan.c',
    '__remove_mapping',
    'Of a locked folio in the swap cache: true, frozen and out of it.',
  ),
  unmapLazyfreePte: kernelFunction(
    unmapLazyfreePte,
    'mm/rmap.c',
    'try_to_unmap_one',
    'Its case of a lazily freed page: the PTE at `pteAt`, cleared just now: true, discarded; false, it is `pte` again. Under the PTL.',
  ),
  flushTlbBatchedPending: kernelFunction(
    flushTlbBatchedPending,
    'mm/rmap.c',
    'flush_tlb_batched_pending',
    'Flushes what batched unmaps of `mm` have cleared and not flushed yet. Under a PTL.',
  ),
  mmTlbFlushNested: kernelFunction(
    mmTlbFlushNested,
    'include/linux/mm_types.h',
    'mm_tlb_flush_nested',
    "Whether another mmu_gather of `mm` is open beside the caller's.",
  ),
  swapcachePrepare: kernelFunction(
    swapcachePrepare,
    'mm/swapfile.c',
    'swapcache_prepare',
    'Of a read past the swap cache. 0: this task may; above 0: so may it, with nothing to clear; -EEXIST, -ENOENT.',
  ),
  doHugePmdAnonymousPage: kernelFunction(doHugePmdAnonymousPage, 'mm/huge_memory.c', 'do_huge_pmd_anonymous_page'),
  doHugePmdWpPage: kernelFunction(doHugePmdWpPage, 'mm/huge_memory.c', 'do_huge_pmd_wp_page'),
  doHugePmdNumaPage: kernelFunction(doHugePmdNumaPage, 'mm/huge_memory.c', 'do_huge_pmd_numa_page'),
  changeHugePmd: kernelFunction(changeHugePmd, 'mm/huge_memory.c', 'change_huge_pmd'),
  pmdpInvalidate: kernelFunction(
    pmdpInvalidate,
    'mm/pgtable-generic.c',
    'pmdp_invalidate',
    'What a huge PMD passes through while it is changed; returns the PMD before. PMD lock held.',
  ),
  splitHugePmd: kernelFunction(splitHugePmd, 'mm/huge_memory.c', '__split_huge_pmd'),
  splitHugePage: kernelFunction(splitHugePage, 'mm/huge_memory.c', '__folio_split'),
  gupFast: kernelFunction(gupFast, 'mm/gup.c', 'gup_fast'),
  gupFastUnchanged: kernelFunction(
    gupFastUnchanged,
    'mm/gup.c',
    'gup_fast_pte_range',
    'Step 6 of GUP-fast: whether the PMD and the entry (the PTE, or the PMD once more) are what they were.',
  ),
  followPagePte: kernelFunction(followPagePte, 'mm/gup.c', 'follow_page_pte'),
  pinUserPages: kernelFunction(pinUserPages, 'mm/gup.c', 'pin_user_pages'),
  directIoRead: kernelFunction(
    directIoRead,
    'block/bio.c',
    'bio_iov_iter_get_pages',
    'read(2) with O_DIRECT of one page: pinned while the device writes `content` to it.',
  ),
  unpinUserPage: kernelFunction(unpinUserPage, 'mm/gup.c', 'unpin_user_page'),
  mmuNotifierInvalidateRangeStart: kernelFunction(
    mmuNotifierInvalidateRangeStart,
    'mm/mmu_notifier.c',
    '__mmu_notifier_invalidate_range_start',
  ),
  mmuNotifierInvalidateRangeEnd: kernelFunction(
    mmuNotifierInvalidateRangeEnd,
    'mm/mmu_notifier.c',
    '__mmu_notifier_invalidate_range_end',
  ),
  changePteRange: kernelFunction(changePteRange, 'mm/mprotect.c', 'change_pte_range'),
  changeProtection: kernelFunction(changeProtection, 'mm/mprotect.c', 'change_protection'),
  migratePages: kernelFunction(migratePages, 'mm/migrate.c', 'migrate_pages'),
  tryToMigrateOne: kernelFunction(
    tryToMigrateOne,
    'mm/rmap.c',
    'try_to_migrate_one',
    '`flags` are TTU_* of mm/rmap/migrate.ts. 1, or 0 to stop the walk.',
  ),
  migrateFolioMove: kernelFunction(migrateFolioMove, 'mm/migrate.c', 'migrate_folio_move'),
  folioMigrateKsm: kernelFunction(
    folioMigrateKsm,
    'mm/ksm.c',
    'folio_migrate_ksm',
    "The stable node's keyhole turns from `src` to `dst`.",
  ),
  folioWalk: kernelFunction(
    folioWalk,
    'mm/pagewalk.c',
    'folio_walk_start',
    'folio_walk_start() for an anonymous page: its pfn with a reference to its folio, or -1. Under mmap_lock.',
  ),
  ksmTestExit: kernelFunction(
    ksmTestExit,
    'mm/ksm.c',
    'ksm_test_exit',
    'ksm_test_exit(): `mm` is dying, so its VMAs may be gone. mmap_lock is held.',
  ),
  ksmExit: kernelFunction(
    ksmExit,
    'mm/ksm.c',
    '__ksm_exit',
    '__ksm_exit(): a dying mm leaves ksmd, which may be in the middle of it.',
  ),
  ksmMustFlush: kernelFunction(
    ksmMustFlush,
    'mm/ksm.c',
    'write_protect_page',
    "Whether write_protect_page() must clear and flush `entry` before it trusts the page's count. Under the PTL.",
  ),
  ksmShare: kernelFunction(
    ksmShare,
    'mm/ksm.c',
    'write_protect_page',
    'The end of write_protect_page(), the PTE cleared: the bit is given up, `entry` stored. False: pinned. Under the PTL.',
  ),
  writeProtectPage: kernelFunction(writeProtectPage, 'mm/ksm.c', 'write_protect_page'),
  replacePage: kernelFunction(replacePage, 'mm/ksm.c', 'replace_page'),
  collapseHugePage: kernelFunction(collapseHugePage, 'mm/khugepaged.c', 'collapse_huge_page'),
  collapseRmapLock: kernelFunction(
    anonVmaLockWrite,
    'include/linux/rmap.h',
    'anon_vma_lock_write',
    'Keeps rmap walks away from a page table that is about to be taken out.',
  ),
  collapseRmapUnlock: kernelFunction(
    anonVmaUnlockWrite,
    'include/linux/rmap.h',
    'anon_vma_unlock_write',
    'Lets them in again.',
  ),
  tlbRemoveTableSyncOne: kernelFunction(tlbRemoveTableSyncOne, 'mm/mmu_gather.c', 'tlb_remove_table_sync_one'),
  zapPageRange: kernelFunction(zapPageRange, 'mm/memory.c', 'zap_page_range_single'),
};

declare module '../machine/kernel-record.js' {
  interface Kernel extends FunctionsOf<typeof MM_FUNCTIONS> {}
}

/** Kernel-wide locks and words. */
import { field, lock, lockFree, ours, single, struct, under, type Field } from '../row.js';
import { LINE } from '../values.js';

const globalLock = (constantName: string, which: number, name: string, doc: string, kernel: string | null): Field =>
  lock(constantName, which, name, doc, { kernel });

/** Kernel-wide locks, a line each: the constants are numbers of locks, not offsets. */
export const globalLocks = [
  globalLock(
    'GLOBAL_KSM_THREAD_MUTEX',
    0,
    'ksm_thread_mutex',
    'One scan, or one change of its knobs, at a time.',
    'ksm_thread_mutex',
  ),
  globalLock('GLOBAL_KSM_MMLIST_LOCK', 1, 'ksm_mmlist_lock', "ksmd's list of processes.", 'ksm_mmlist_lock'),
  globalLock(
    'GLOBAL_KHUGEPAGED_MM_LOCK',
    2,
    'khugepaged_mm_lock',
    "khugepaged's list of processes.",
    'khugepaged_mm_lock',
  ),
  globalLock('GLOBAL_TABLE_POOL_LOCK', 3, 'table pool lock', 'Guards the pool of PTE tables.', null),
  globalLock(
    'GLOBAL_ANON_VMA_POOL_LOCK',
    4,
    'anon_vma pool lock',
    'Guards the pools of anon_vmas and their chains.',
    null,
  ),
  globalLock('GLOBAL_VM_TABLE_LOCK', 5, 'EL2 vm_table_lock', 'EL2: handle lookup.', 'vm_table_lock'),
  globalLock(
    'GLOBAL_HOST_MMU_LOCK',
    6,
    'EL2 host_mmu.lock',
    "EL2: the host's stage 2, and who owns each page.",
    'host_mmu.lock',
  ),
  globalLock(
    'GLOBAL_PKVM_PGD_LOCK',
    7,
    'EL2 pkvm_pgd_lock',
    'EL2: its own stage 1, and its state of each page.',
    'pkvm_pgd_lock',
  ),
  globalLock(
    'GLOBAL_HYP_POOL_LOCK',
    8,
    'EL2 hyp_pool lock',
    'EL2: the buddy allocator of table pages.',
    'hyp_pool.lock',
  ),
  globalLock(
    'GLOBAL_DRIVER_MUTEX',
    9,
    'driver mutex',
    'A second notifier subscriber, GPU-driver style (policy (e)).',
    null,
  ),
  globalLock(
    'GLOBAL_S2_POOL_LOCK',
    10,
    'stage-2 table pool lock',
    'Guards the pool of stage-2 tables that host KVM uses.',
    null,
  ),
  globalLock(
    'GLOBAL_LRU_DRAIN_MUTEX',
    11,
    'lru_drain mutex',
    "sched: lru_add_drain_all's mutex.",
    'lock of __lru_add_drain_all',
  ),
  globalLock(
    'GLOBAL_SWAP_CACHE_LOCK',
    12,
    'swap cache lock',
    'i_pages of the swap cache: which folio stands for a slot.',
    'i_pages.xa_lock',
  ),
  globalLock('GLOBAL_MF_MUTEX', 13, 'mf_mutex', 'memory_failure(): one page at a time.', 'mf_mutex'),
] as const;

export const GLOBAL_LOCKS = 16;

/** One line of the kernel-wide locks. */
export const globalLine = struct({
  id: 'GLOBAL',
  doc: 'Kernel-wide locks',
  called: (_, which) => globalLocks[which]?.name ?? `unused global lock ${which}`,
  words: LINE,
  fields: [],
});

const ksm = under('ksm_thread_mutex');

export const globalData = struct({
  id: 'GLOBAL_DATA',
  doc: 'Kernel-wide words: cursors, knobs, heads of pools',
  called: () => '',
  words: 256,
  fields: [
    field('KSM_SCAN_MM', 0, 'ksm_scan.mm_slot', ksm, "ksmd's cursor: the process."),
    field('KSM_SCAN_ADDRESS', 1, 'ksm_scan.address', ksm, "ksmd's cursor: the page."),
    field('KSM_SCAN_SEQNR', 2, 'ksm_scan.seqnr', ksm, 'Full scans so far.'),
    field('KSM_PAGES_SHARED', 3, 'ksm_pages_shared', ksm, 'KSM pages.'),
    field('KSM_PAGES_SHARING', 4, 'ksm_pages_sharing', ksm, 'Further pages that share them.'),
    field('KSM_PAGES_UNSHARED', 5, 'ksm_pages_unshared', ksm, 'Pages in the unstable tree.'),
    field('KSM_ZERO_PAGES', 6, 'ksm_zero_pages', lockFree, 'Counted down atomically by write-protect faults.'),
    field('KSM_SMART_SCAN', 16, 'ksm_smart_scan', lockFree, 'Knob: ksm/smart_scan.'),
    field('KSM_USE_ZERO_PAGES', 17, 'ksm_use_zero_pages', lockFree, 'Knob: ksm/use_zero_pages.'),
    field('KSM_RUN', 18, 'ksm_run', lockFree, 'Knob: ksm/run.'),
    field('KHUGEPAGED_SCAN_MM', 32, 'khugepaged_scan.mm_slot', single, "khugepaged's cursor: the process."),
    field('KHUGEPAGED_SCAN_ADDRESS', 33, 'khugepaged_scan.address', single, "khugepaged's cursor: the page."),
    field('KHUGEPAGED_MAX_PTES_NONE', 34, 'khugepaged_max_ptes_none', lockFree, 'Knob.'),
    field('KHUGEPAGED_MAX_PTES_SHARED', 35, 'khugepaged_max_ptes_shared', lockFree, 'Knob.'),
    field('KHUGEPAGED_MAX_PTES_SWAP', 36, 'khugepaged_max_ptes_swap', lockFree, 'Knob.'),
    field('THP_ENABLED', 37, 'transparent_hugepage/enabled', lockFree, 'Knob: 0 never, 1 madvise, 2 always.'),
    field('THP_USE_ZERO_PAGE', 38, 'transparent_hugepage/use_zero_page', lockFree, 'Knob.'),
    ours(
      'TLB_BATCH',
      39,
      'tlbbatch',
      lockFree,
      'Whether reclaim and migration defer TLB flushes (ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH).',
    ),
    ours('KERNEL_FIX', 40, 'fix', lockFree, 'A change that no kernel has yet: FIX_*.'),
    ours(
      'MIGRATE_PASSES',
      41,
      'migrate_passes',
      lockFree,
      'Passes of each loop of migrate_pages() at most (NR_MAX_MIGRATE_PAGES_RETRY is 10): fewer make shorter schedules.',
    ),
    ours(
      'FILE_OBJECTS',
      42,
      'file_objects',
      lockFree,
      'Shared memory objects are files: read from a device that holds zeros, clean until written, reclaimed while clean.',
    ),
    ours(
      'TABLE_POOL_HEAD',
      64,
      'head of the table pool',
      under('table pool lock'),
      'Index of the first free element + 1, as of all pools.',
    ),
    ours('TABLE_POOL_FREE', 65, 'free tables', under('table pool lock'), 'PTE tables in the pool.'),
    ours(
      'ANON_VMA_POOL_HEAD',
      66,
      'head of the anon_vma pool',
      under('anon_vma pool lock'),
      'First free anon_vma + 1.',
    ),
    ours(
      'AVC_POOL_HEAD',
      67,
      'head of the anon_vma_chain pool',
      under('anon_vma pool lock'),
      'First free chain element + 1.',
    ),
    ours(
      'S2_POOL_HEAD',
      68,
      'head of the stage-2 table pool',
      under('stage-2 table pool lock'),
      'First free stage-2 table + 1.',
    ),
    ours('S2_POOL_FREE', 69, 'free stage-2 tables', under('stage-2 table pool lock'), 'Stage-2 tables in the pool.'),
    ours('KSM_NODE_POOL_HEAD', 70, 'head of the stable node pool', ksm, 'First free stable node + 1.'),
    ours(
      'HYP_POOL_HEAD',
      71,
      "head of EL2's page pool",
      lockFree,
      "EL2's own pool of table pages: head pfn + 1. hyp_pool lock.",
    ),
    ours(
      'HYP_POOL_COUNT',
      72,
      "pages in EL2's pool",
      lockFree,
      "EL2's own pool of table pages: how many. hyp_pool lock.",
    ),
    field('SWAP_FREE_SLOTS', 73, 'nr_swap_pages', lockFree, 'Free swap slots. Atomic.'),
  ],
});

/**
 * Lock classes (kernel-model 2.1) and their order (2.2): name, whether it sleeps, and its rank, outer first. A lock may
 * be waited for only while every held lock has a smaller rank; `nest` classes may hold several of the same class.
 */
export interface LockClassInfo {
  readonly name: string;
  readonly sleeps: boolean;
  readonly rank: number;
  /** EL2 takes it: host code never does, and EL2 takes no other (LK8). */
  readonly el2: boolean;
}

const host = (name: string, sleeps: boolean, rank: number): LockClassInfo => ({ name, sleeps, rank, el2: false });
const el2 = (name: string, rank: number): LockClassInfo => ({ name, sleeps: false, rank, el2: true });

export const LOCK_CLASSES: readonly LockClassInfo[] = [
  host('none', false, 0),
  host('ksm_thread_mutex', true, 10),
  host('lru_drain_mutex', true, 90),
  host('slots_lock', true, 20),
  host('mmap_lock', true, 30),
  host('vma_lock', true, 40),
  host('invalidate_lock', true, 50),
  host('folio_lock', true, 60),
  host('anon_vma rwsem', true, 80),
  host('driver mutex', true, 100),
  host('mn_invalidate_lock', false, 110),
  host('mmu_lock', false, 120),
  el2('vm_table_lock', 130),
  el2('host_mmu.lock', 140),
  el2('pkvm_pgd_lock', 150),
  el2('hyp_vm.lock', 150),
  el2('hyp_pool lock', 160),
  host('PMD lock', false, 170),
  host('PTL', false, 180),
  host('ksm_mmlist_lock', false, 190),
  host('khugepaged_mm_lock', false, 190),
  host('lru batch lock', false, 190),
  host('pool lock', false, 195),
  host('zone lock', false, 200),
  host('mmap_lock/1', true, 31),
  host('PMD lock/1', false, 171),
  host('PTL/1', false, 181),
  host('i_mmap_rwsem', true, 70),
  host('i_pages lock', false, 192),
  host('swap cache lock', false, 190),
  host('mf_mutex', true, 15),
];

export const LOCK_KSM_THREAD_MUTEX = 1;
export const LOCK_LRU_DRAIN_MUTEX = 2;
export const LOCK_SLOTS = 3;
export const LOCK_MMAP = 4;
export const LOCK_VMA = 5;
export const LOCK_INVALIDATE = 6;
export const LOCK_FOLIO = 7;
export const LOCK_ANON_VMA = 8;
export const LOCK_DRIVER_MUTEX = 9;
export const LOCK_MN_INVALIDATE = 10;
export const LOCK_MMU = 11;
export const LOCK_VM_TABLE = 12;
export const LOCK_HOST_MMU = 13;
export const LOCK_PKVM_PGD = 14;
export const LOCK_HYP_VM = 15;
export const LOCK_HYP_POOL = 16;
export const LOCK_PMD = 17;
export const LOCK_PTL = 18;
export const LOCK_KSM_MMLIST = 19;
export const LOCK_KHUGEPAGED_MM = 20;
export const LOCK_LRU_BATCH = 21;
export const LOCK_POOL = 22;
export const LOCK_ZONE = 23;
/** SINGLE_DEPTH_NESTING: fork holds the locks of parent and child at once, one of each pair as this. */
export const LOCK_MMAP_NESTED = 24;
export const LOCK_PMD_NESTED = 25;
export const LOCK_PTL_NESTED = 26;
export const LOCK_I_MMAP = 27;
export const LOCK_I_PAGES = 28;
export const LOCK_SWAP_CACHE = 29;
export const LOCK_MF_MUTEX = 30;

export const lockClass = (id: number): LockClassInfo => LOCK_CLASSES[id] ?? (LOCK_CLASSES[0] as LockClassInfo);

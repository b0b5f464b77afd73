/**
 * The machine's memory: one SharedArrayBuffer of 32-bit words, laid out from a {@link MachineConfig}.
 *
 *   offset (words)        what                       words each         writer                     lock
 *   ------------------    -----------------------    ---------------    -----------------------    -------------------------
 *   0                     header                     256                engine                     marked accesses
 *   globals               global locks               16 a lock          lock code                  itself
 *   workers               doorbells                  16 a worker        who rings                  marked accesses
 *   waitTable             registered sleepers        1024               worker hosts               marked accesses
 *   actors                what each actor does       1280 an actor      that actor's worker        none (its own)
 *   stats                 counters, histograms       2048 an actor      that actor's worker        none (its own)
 *   cpus                  pcp, LRU batch, mailbox    256 a CPU          that CPU                   see CPU_*
 *   tlbs                  TLB entries                2 an entry         that CPU; any by cmpxchg   the in-use word
 *   nodes                 zones                      32 a node          allocator                  zone lock
 *   blocks                page blocks                4 a THP of frames  allocator                  zone lock
 *   frames                struct page                16 a frame         see PAGE_*                 see PAGE_*
 *   mms                   struct mm                  mmWords            see MM_*                   see MM_*
 *   vmas                  struct vm_area             16 a VMA           mmap_lock write            mmap_lock, VMA lock
 *   anonVmas, avcs        anon_vma and its chain     16, 4              anon_vma rwsem             anon_vma rwsem
 *   tables                PTE tables                 16 + 2^order       PTL holders                PTL (word 0 of each)
 *   ksmItems, ksmNodes    rmap_item, stable_node     8, 8               ksmd                       ksm_thread_mutex
 *   vms                   struct kvm                 vmWords            see VM_*                   see VM_*
 *   s2Tables              stage-2 tables             16 + 2^order       mmu_lock / hyp_vm.lock     mmu_lock / hyp_vm.lock
 *   objects               struct address_space       32 + pages         see OBJECT_*               see OBJECT_*
 *   swap                  swap slots                 4 a slot           see SWAP_*                 see SWAP_*
 *
 * Frames are records of one 64-byte line each rather than a structure of arrays: a fault touches refs, maps,
 * flags, content and compound state of one random frame, which is one cache line this way and five the other;
 * two frames' locks never share a line either.
 *
 * A lock is two words: the lock word, and its Lamport time beside it (lock + 1).
 */
import { type MachineConfig, MACHINE_LIMITS, OBJECTS_MAX } from './config.js';

export const LINE = 16;

/* ---- header ---- */
/** What the machine's workers shall do: PHASE_*. */
export const HDR_PHASE = 16;
/** Set once by the first violation that ends a run, or by a dead worker. */
export const HDR_ABORT = 32;
/** Grows with every spawn, retire or knob change; hosts look at it once a slice. */
export const HDR_CONTROL_SEQ = 48;
/** The grain of invalidations: bumped when an mm or VM is torn down (statistics only). */
export const HDR_GENERATION = 64;
/**
 * Stands for the pins that have been returned, which oracles keep in ledgers of their own: never written, but named by steps that
 * change them or are judged by them (machine/beside.ts), so that exhaustive search does not take their order for nothing.
 */
export const HDR_GHOST_PINS = 80;
/** Numbers handed out to actors that queue for locks (locks/queue.ts), low 32 bits. */
export const HDR_LOCK_TICKETS = 65;
/** How many actors of a litmus test have come to the first, second, ... place where they meet on real threads. */
export const HDR_MEETINGS = 81;
export const MEETINGS = 15;
/**
 * Scratch words of litmus tests, the even ones on this line and the odd ones on the next; and 1 while plain stores to them wait in
 * modelled buffers (machine/store-buffer.ts).
 */
export const HDR_SCRATCH = 96;
export const SCRATCH_WORDS = 8;
export const HDR_STORE_BUFFER = 104;
/** Results of a litmus test's operations: each written by the actor that does it. */
export const HDR_REGISTERS = 128;
export const LITMUS_REGISTERS = 128;
/** For each of them 1 when the reference that it holds has been given back, which oracles look at. */
export const HDR_GIVEN_BACK = HDR_REGISTERS + LITMUS_REGISTERS;
/** The modelled store buffers, by CPU. */
export const HDR_STORE_BUFFERS = HDR_GIVEN_BACK + LITMUS_REGISTERS;
export const STORE_BUFFERS = 8;
export const STORE_BUFFER_SLOTS = 7;
export const STORE_BUFFER_WORDS = 2 + 2 * STORE_BUFFER_SLOTS;
const HEADER_WORDS = HDR_STORE_BUFFERS + STORE_BUFFERS * STORE_BUFFER_WORDS;

/* ---- global locks, one line each ---- */
export const GLOBAL_KSM_THREAD_MUTEX = 0;
export const GLOBAL_KSM_MMLIST_LOCK = 1;
export const GLOBAL_KHUGEPAGED_MM_LOCK = 2;
/** Guards the pools of PTE tables. */
export const GLOBAL_TABLE_POOL_LOCK = 3;
export const GLOBAL_ANON_VMA_POOL_LOCK = 4;
/** EL2: handle lookup. */
export const GLOBAL_VM_TABLE_LOCK = 5;
/** EL2: host_mmu.lock. */
export const GLOBAL_HOST_MMU_LOCK = 6;
/** EL2: pkvm_pgd_lock. */
export const GLOBAL_PKVM_PGD_LOCK = 7;
/** EL2: the buddy allocator of table pages. */
export const GLOBAL_HYP_POOL_LOCK = 8;
/** The mutex of a second notifier subscriber, GPU-driver style (policy (e)). */
export const GLOBAL_DRIVER_MUTEX = 9;
/** Guards the pool of stage-2 tables that host KVM uses. */
export const GLOBAL_S2_POOL_LOCK = 10;
/** sched: lru_add_drain_all's mutex. */
export const GLOBAL_LRU_DRAIN_MUTEX = 11;
/** i_pages of the swap cache: who changes which folio stands for a slot. */
export const GLOBAL_SWAP_CACHE_LOCK = 12;
/** memory_failure(): one page at a time. */
export const GLOBAL_MF_MUTEX = 13;
const GLOBAL_LOCKS = 16;
/** Further global words, a line each after the locks. */
export const GLOBAL_DATA_WORDS = 256;
/** ksmd's cursor and statistics, offsets into the global data words (under ksm_thread_mutex). */
export const KSM_SCAN_MM = 0;
export const KSM_SCAN_ADDRESS = 1;
export const KSM_SCAN_SEQNR = 2;
export const KSM_PAGES_SHARED = 3;
export const KSM_PAGES_SHARING = 4;
export const KSM_PAGES_UNSHARED = 5;
export const KSM_ZERO_PAGES = 6;
/** Knobs, written by the control plane, read marked: ksm/smart_scan, ksm/use_zero_pages. */
export const KSM_SMART_SCAN = 16;
export const KSM_USE_ZERO_PAGES = 17;
export const KSM_RUN = 18;
/** khugepaged's cursor and knobs. */
export const KHUGEPAGED_SCAN_MM = 32;
export const KHUGEPAGED_SCAN_ADDRESS = 33;
export const KHUGEPAGED_MAX_PTES_NONE = 34;
export const KHUGEPAGED_MAX_PTES_SHARED = 35;
export const KHUGEPAGED_MAX_PTES_SWAP = 36;
/** transparent_hugepage/enabled: 0 never, 1 madvise, 2 always. */
export const THP_ENABLED = 37;
/** THP: use_zero_page. */
export const THP_USE_ZERO_PAGE = 38;
/** Whether reclaim and migration defer TLB flushes (ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH); and FIX_*, a change that no kernel has yet. */
export const TLB_BATCH = 39;
export const KERNEL_FIX = 40;
/** Passes of each loop of migrate_pages() at most (NR_MAX_MIGRATE_PAGES_RETRY is 10): fewer make shorter schedules. */
export const MIGRATE_PASSES = 41;
/** Shared memory objects are files: read from a device that holds zeros, clean until written, reclaimed while clean. */
export const FILE_OBJECTS = 42;
/**
 * KERNEL_FIX: none, as kernels are. Of deferred flushes: a fault flushes before it sets a PTE; reclaim flushes before a folio leaves its
 * cache. Of pkvm_mem_abort: a pin that fails with -ENOMEM, as a migration got in the way of another's, is tried again.
 */
export const FIX_NONE = 0;
export const FIX_FAULT = 1;
export const FIX_REMOVAL = 2;
export const FIX_RETRY = 3;
/** Pool heads and counts (under the pool locks above): index of the first free element + 1. */
export const TABLE_POOL_HEAD = 64;
export const TABLE_POOL_FREE = 65;
export const ANON_VMA_POOL_HEAD = 66;
export const AVC_POOL_HEAD = 67;
export const S2_POOL_HEAD = 68;
export const S2_POOL_FREE = 69;
export const KSM_NODE_POOL_HEAD = 70;
/** nr_swap_pages: free swap slots. Atomic. */
export const SWAP_FREE_SLOTS = 73;
/** EL2's own pool of table pages (under GLOBAL_HYP_POOL_LOCK): head pfn + 1, count. */
export const HYP_POOL_HEAD = 71;
export const HYP_POOL_COUNT = 72;

/* ---- workers ---- */
export const WORKERS_MAX = 64;
/** Rung by whoever changes a word that the worker waits for; the worker sleeps only on this. */
export const WORKER_DOORBELL = 0;
/** Not 0 while the worker touches no memory before it has looked at HDR_PHASE again (values: engine/phase.ts). */
export const WORKER_PARKED = 1;
/** The drain or finish command (HDR_PHASE's value) for which all its actors stand still. */
export const WORKER_DRAINED = 2;
/** The actor running now + 1, or 0. */
export const WORKER_CURRENT = 3;
/** Slices run; the watchdog's and the control plane's sign of life. */
export const WORKER_SLICES = 4;
/** The newest Lamport time of its actors, low 32 bits, as of its last slice: workers keep their clocks together by it. */
export const WORKER_TIME = 5;
export const WORKER_WORDS = LINE;

export const WAIT_TABLE_WORDS = 1024;

/* ---- actors: written by the worker that hosts them, read by reports ---- */
export const ACTOR_STATE = 0;
export const ACTOR_KIND = 1;
/** The operation under way: an OP_* code, for reports. */
export const ACTOR_OPERATION = 2;
/** The last effect yielded. */
export const ACTOR_EFFECT = 3;
export const ACTOR_WAIT_KIND = 4;
export const ACTOR_WAIT_WORD = 5;
export const ACTOR_WAIT_VALUE = 6;
/** Resumes of this actor, low 32 bits. */
export const ACTOR_STEPS = 7;
/** Grows whenever the actor completes something: the watchdog's and I-LIVE's sign of progress. */
export const ACTOR_PROGRESS = 8;
export const ACTOR_WORKER = 9;
export const ACTOR_HELD_COUNT = 10;
/** Retries since the last progress (I-LIVE). */
export const ACTOR_RETRIES = 11;
export const ACTOR_PREEMPT_COUNT = 12;
/** The lock word that it queues for, or 0, and its number in the queue (locks/queue.ts). */
export const ACTOR_QUEUED_FOR = 13;
export const ACTOR_TICKET = 14;
/** Reader counts (word indices) of the SRCU sections that the actor is inside, the outer one first: for reports. */
export const ACTOR_SRCU = 16;
export const SRCU_NESTED = 3;
/** Held locks: pairs of (lock word, class << 4 | mode). */
export const ACTOR_HELD = 20;
/** A collapse holds the folio locks of a whole THP's pages. */
export const HELD_MAX = 600;
export const ACTOR_WORDS = 1280;

/* ---- statistics ---- */
export const STATS_WORDS = 2048;

/* ---- CPUs ---- */
/** Odd while inside a translated access (host or guest); a lock word in protocol: the TLBI issuer waits on it. */
export const CPU_IN_USE = 0;
/** Non-zero while interrupts are off in GUP-fast; LK10's IPI waits on it. */
export const CPU_IRQS_OFF = 16;
/** The LRU-add batch: lock, Lamport, count, pfns. */
export const CPU_LRU_LOCK = 32;
export const CPU_LRU_COUNT = 34;
export const CPU_LRU_PFNS = 35;
/** Per-CPU free lists (private to the CPU): order-0 head + 1 and count per node. */
export const CPU_PCP_HEAD = 80;
export const CPU_PCP_COUNT = 88;
/** Seqcounts and small words of the CPU's task. */
export const CPU_NODE = 96;
/** The CPU of the EL2 instance that serves this one, + 1; 0 = hypercalls run in place. Constant while actors run. */
export const CPU_EL2 = 97;
/** The request slot for hypercalls: see mailbox.ts. */
export const CPU_MAILBOX = 112;
export const CPU_WORDS = 256;

/** Mailbox slot fields. */
export const MAIL_STATE = 0;
export const MAIL_LAMPORT = 1;
export const MAIL_FUNCTION = 2;
export const MAIL_ARGS = 3;
export const MAIL_ARGS_MAX = 8;
export const MAIL_RESULT = 11;
export const MAIL_RESULT2 = 12;
export const MAIL_VCPU = 13;

/* ---- nodes ---- */
export const NODE_ZONE_LOCK = 0;
/** First wholly free block + 1; blocks with some free pages + 1; free frames. */
export const NODE_FREE_BLOCKS = 2;
export const NODE_PARTIAL_BLOCKS = 3;
export const NODE_FREE_FRAMES = 4;
export const NODE_WORDS = 32;

/* ---- page blocks of 2^order frames ---- */
export const BLOCK_FREE_COUNT = 0;
/** First free frame of the block + 1, linked through PAGE_LRU_NEXT. */
export const BLOCK_FREE_HEAD = 1;
export const BLOCK_NEXT = 2;
export const BLOCK_PREV = 3;
export const BLOCK_WORDS = 4;

/* ---- struct page / folio ---- */
/** _refcount. 0 = free or frozen. Marked, atomic. */
export const PAGE_REFS = 0;
/** PTE maps of this (sub)page as a plain count. Atomic, changed only under the PTL of the table that maps it. */
export const PAGE_MAPS = 1;
/** PG_* flags. Atomic bit operations. */
export const PAGE_FLAGS = 2;
/** What the page holds, one word. Marked: CPUs read and write it. */
export const PAGE_CONTENT = 3;
/** _pincount of a large folio (head). Atomic. */
export const PAGE_PINCOUNT = 4;
/** _entire_mapcount: PMD maps (head). Atomic. */
export const PAGE_ENTIRE_MAPS = 5;
/** Compound state: 0 small page; head: order << 24 | 1 << 30; tail: head pfn | 1 << 31. Marked. */
export const PAGE_COMPOUND = 6;
/** anon_vma << 2 | 1, stable node << 2 | 3, 0 none. Marked (the KSM keyhole). */
export const PAGE_MAPPING = 7;
/** Page offset in its anon_vma: the vpn. Written before the page is mapped. */
export const PAGE_INDEX = 8;
/** Free-list and private-list link. Owner of the list. */
export const PAGE_LRU_NEXT = 9;
/** The same word of a folio in the swap cache (folio->swap, page->private): its slot. Folio lock. */
export const PAGE_SWAP = 9;
/** PG_locked with its owner: a lock word, and its Lamport time. */
export const PAGE_LOCK = 10;
export const PAGE_LAMPORT = 11;
/** last_cpupid; written by NUMA faults. Marked. */
export const PAGE_CPUPID = 12;
/** hyp_page: host state, complemented hyp state, refcount. host_mmu.lock / pkvm_pgd_lock / pool lock. */
export const PAGE_HYP = 13;
/** _large_mapcount of a head: sum of all PTE and PMD maps. Atomic. */
export const PAGE_LARGE_MAPS = 14;
/** The host stage-2 entry for this physical page. host_mmu.lock; the hardware walker reads it. */
export const PAGE_HOST_S2 = 15;
export const PAGE_SHIFT = 4;

/* ---- struct mm ---- */
export const MM_MMAP_LOCK = 0;
/** mm_lock_seq: what a VMA's lock sequence equals while it is write-locked. Under mmap_lock write; marked reads. */
export const MM_LOCK_SEQ = 2;
export const MM_WRITE_PROTECT_SEQ = 16;
/** Atomic counters, marked. */
export const MM_USERS = 32;
export const MM_LOCKED_VM = 33;
export const MM_PINNED_VM = 34;
/** RLIMIT_MEMLOCK in pages, -1 = unlimited. Constant. */
export const MM_MEMLOCK_LIMIT = 35;
/** MMF_* bits. Atomic. */
export const MM_FLAGS = 36;
export const MM_TLB_FLUSH_PENDING = 37;
/** numa_scan_seq, numa_scan_offset: the NUMA balancer's (its cmpxchg winner). */
export const MM_NUMA_SCAN_SEQ = 38;
export const MM_NUMA_SCAN_OFFSET = 39;
/** VMAs in the list below. Under mmap_lock write; lockless readers check the sequence. */
export const MM_VMA_COUNT = 40;
/** Even = stable, odd = the VMA list is being changed (stands for RCU on the maple tree). */
export const MM_VMA_SEQ = 41;
/** numa_next_scan: the number of the next NUMA scan; who moves it on by cmpxchg does that scan. */
export const MM_NUMA_NEXT_SCAN = 42;
/** tlb_flush_batched: batched unmaps whose CPU flush is still to come (low half), of which flushed (high half). Atomic. */
export const MM_TLB_FLUSH_BATCHED = 43;
/** Forks into this mm that have returned, failed ones too: its tasks begin to run then. Marked. */
export const MM_FORKS = 44;
/** Whether a page of PMDs hangs under the mm's upper directory (pud_present): since its first page table, until the mm ends. */
export const MM_PMD_TABLE = 45;
/** Notifier subscriptions: count, then (kind << 8 | id) each. Written under mmap_lock write. */
export const MM_SUBSCRIPTIONS = 48;
export const SUBSCRIPTIONS_MAX = 4;
/** Notifier SRCU: index, readers of each side. */
export const MM_SRCU = 56;
/** KSM and khugepaged mm_slots: 1 = registered. */
export const MM_KSM_SLOT = 64;
export const MM_KHUGEPAGED_SLOT = 65;
/** mm_cpumask: CPUs that may hold TLB entries of this mm, 32 a word. Set by the walker before it fills, never cleared. */
export const MM_CPUMASK = 66;
/** The sorted list of VMA ids. */
export const MM_VMA_LIST = 80;

export const MMF_HAS_PINNED = 1 << 0;
export const MMF_OOM_UNSTABLE = 1 << 1;
export const MMF_VM_MERGEABLE = 1 << 2;
export const MMF_EXITING = 1 << 3;
/** exit_mmap() is over: the mm may be another child's. */
export const MMF_EXITED = 1 << 4;

/* ---- struct vm_area ---- */
export const VMA_START = 0;
export const VMA_END = 1;
export const VMA_FLAGS = 2;
export const VMA_ANON_VMA = 3;
export const VMA_MM = 4;
/** vm_lock_seq and vm_refcnt of the per-VMA lock (v6.4+). vm_refcnt is a lock word. */
export const VMA_LOCK_SEQ = 5;
export const VMA_REFCNT = 6;
export const VMA_LAMPORT = 7;
/** First chain element of this VMA + 1. */
export const VMA_AVC = 8;
export const VMA_NUMA_SCAN_SEQ = 9;
export const VMA_IN_USE = 10;
/** The shared memory object that it maps + 1, 0 = none; the object's page at its start. Under mmap_lock write. */
export const VMA_OBJECT = 11;
export const VMA_PGOFF = 12;
/** Next VMA of the object + 1. Under i_mmap_rwsem. */
export const VMA_I_MMAP_NEXT = 13;
export const VMA_WORDS = 16;

/* ---- struct address_space of a shared memory object ---- */
export const OBJECT_I_MMAP_RWSEM = 0;
/** First VMA that maps it + 1. Under i_mmap_rwsem. */
export const OBJECT_I_MMAP = 2;
/** i_size in pages. Marked. */
export const OBJECT_SIZE = 3;
/** Pages in the cache. Under the lock of i_pages. */
export const OBJECT_NRPAGES = 4;
export const OBJECT_I_PAGES_LOCK = LINE;
/** i_pages: the frame of each page, or 0. Stored under the lock of i_pages, loaded by anybody. Marked. */
export const OBJECT_PAGES = 2 * LINE;

/* ---- anon_vma, anon_vma_chain ---- */
export const ANON_VMA_RWSEM = 0;
export const ANON_VMA_REFS = 2;
/** First chain element + 1. Under the rwsem. */
export const ANON_VMA_HEAD = 3;
export const ANON_VMA_MM = 4;
export const ANON_VMA_POOL_NEXT = 5;
/** The anon_vma whose rwsem guards this one: itself, or after a fork the oldest ancestor's. Constant while it is in use. */
export const ANON_VMA_ROOT = 6;
export const ANON_VMA_WORDS = 16;
export const AVC_VMA = 0;
export const AVC_ANON_VMA = 1;
/** Next element of the anon_vma + 1; next element of the VMA + 1. */
export const AVC_NEXT = 2;
export const AVC_VMA_NEXT = 3;
export const AVC_WORDS = 4;

/* ---- PTE tables ---- */
export const TABLE_PTL = 0;
/** The mm that uses the table, and the PMD word that points to it. */
export const TABLE_MM = 2;
export const TABLE_PMD = 3;
/** TABLE_FREE, TABLE_LIVE, TABLE_DEPOSITED, TABLE_DETACHED. */
export const TABLE_STATE = 4;
export const TABLE_POOL_NEXT = 5;
/** Counted entries + 1 of a stage-2 table page; the pfn that holds it under pKVM. */
export const TABLE_REFS = 6;
export const TABLE_PFN = 7;
export const TABLE_HEADER = LINE;
export const TABLE_FREE = 0;
export const TABLE_LIVE = 1;
export const TABLE_DEPOSITED = 2;
/** Taken off its PMD by a collapse that has waited for lockless walkers: its alone. */
export const TABLE_DETACHED = 3;

/* ---- swap slots ---- */
/** swap_map: entries that refer to the slot, and SWAP_HAS_CACHE. 0 = free. Atomic. */
export const SWAP_MAP = 0;
/** The swap cache: the pfn of the slot's folio, or 0. Written under the swap cache's lock, marked. */
export const SWAP_FOLIO = 1;
/** What the device holds. Marked: whoever reads or writes the slot. */
export const SWAP_CONTENT = 2;
/** Grows when a reader of the slot is done: what the others wait for (swapcache_wq). Atomic. */
export const SWAP_READS = 3;
export const SWAP_WORDS = 4;
/** A folio stands for the slot, or somebody is about to read one in (include/linux/swap.h). */
export const SWAP_HAS_CACHE = 1 << 30;

/* ---- KSM ---- */
export const KSM_ITEM_CHECKSUM = 0;
/** 0 none, ITEM_SEEN, ITEM_UNSTABLE, ITEM_STABLE. */
export const KSM_ITEM_STATE = 1;
export const KSM_ITEM_NODE = 2;
/** Next rmap_item of the stable node + 1. */
export const KSM_ITEM_NEXT = 3;
export const KSM_ITEM_AGE = 4;
export const KSM_ITEM_REMAINING_SKIPS = 5;
/** Next in the unstable bucket + 1, and the content it was filed under. */
export const KSM_ITEM_UNSTABLE_NEXT = 6;
export const KSM_ITEM_UNSTABLE_CONTENT = 7;
/** While ITEM_STABLE, word 6 is the anon_vma that rmap walks go through, word 7 the root whose lock they take. */
export const KSM_ITEM_ANON_VMA = 6;
export const KSM_ITEM_ANON_ROOT = 7;
export const KSM_ITEM_WORDS = 8;
export const KSM_NODE_KPFN = 0;
export const KSM_NODE_HLIST = 1;
export const KSM_NODE_CONTENT = 2;
export const KSM_NODE_NEXT = 3;
export const KSM_NODE_COUNT = 4;
export const KSM_NODE_STATE = 5;
export const KSM_NODE_WORDS = 8;

/* ---- struct kvm ---- */
export const VM_MMU_LOCK = 0;
/** mmu_invalidate_in_progress, mmu_invalidate_seq, range. Under mmu_lock; marked reads of seq. */
export const VM_INVALIDATE_IN_PROGRESS = 16;
export const VM_INVALIDATE_SEQ = 17;
export const VM_INVALIDATE_START = 18;
export const VM_INVALIDATE_END = 19;
export const VM_MN_INVALIDATE_LOCK = 32;
export const VM_MN_ACTIVE_INVALIDATE_COUNT = 34;
export const VM_SLOTS_LOCK = 48;
export const VM_SRCU = 64;
/** Constant after creation: mm, VMID, protected or not, has the host a stage-2 table. */
export const VM_MM = 80;
export const VM_VMID = 81;
export const VM_PROTECTED = 82;
export const VM_HAS_PGT = 83;
/** VM_STATE_*. Marked. */
export const VM_STATE = 84;
export const VM_HANDLE = 85;
export const VM_USERS = 86;
/** CPUs that may hold TLB entries of this VMID, 32 a word. */
export const VM_CPUMASK = 88;
/** Which of the two memslot sets is active: swapped under mn_invalidate_lock, read marked under kvm->srcu. */
export const VM_MEMSLOTS = 96;
export const MEMSLOTS_MAX = 3;
/** EL2's pkvm_hyp_vm: lock, state, pool, teardown memcache, loaded vCPUs. */
export const VM_HYP_LOCK = 112;
export const VM_HYP_STATE = 114;
export const VM_HYP_POOL_HEAD = 115;
export const VM_HYP_POOL_COUNT = 116;
export const VM_HYP_TEARDOWN_HEAD = 117;
export const VM_HYP_TEARDOWN_COUNT = 118;
export const VM_HYP_LOADED = 119;
export const VM_HYP_USERS = 120;
/** Free table records of a VM whose stage 2 EL2 owns: head + 1, linked as the pool is. hyp_vm.lock. */
export const VM_HYP_TABLES = 121;
/** The page donated for EL2's metadata of the VM, or 0. vm_table_lock. */
export const VM_HYP_META = 122;
/** Policy pinned-notifiers: the gfns that stay pinned (the SPE buffer). Constant while actors run. */
export const VM_PIN_BASE = 123;
export const VM_PIN_PAGES = 124;
/** Tables that a block has replaced: head + 1, pushed by shared walkers, freed under mmu_lock write. Marked. */
export const VM_S2_DEFERRED = 125;
/** Per vCPU: 16 words, VCPUS_MAX of them. */
export const VM_VCPUS = 128;
export const VCPU_HOST_MC_HEAD = 0;
export const VCPU_HOST_MC_COUNT = 1;
export const VCPU_HYP_MC_HEAD = 2;
export const VCPU_HYP_MC_COUNT = 3;
/** The CPU it is loaded on at EL2, + 1. */
export const VCPU_LOADED = 4;
/** Host page-table memcache (classic): one table reserved, + 1; 0 = none. The vCPU's own. */
export const VCPU_MMU_CACHE = 5;
/** The actor that runs the vCPU, + 1; 0 = nobody. Its own. */
export const VCPU_ENTERED = 6;
/** 1: its file descriptor is closed, so it holds no reference to the VM any more (litmus tests that destroy VMs). Marked. */
export const VCPU_CLOSED = 7;
/** Replay of a recorded stream (actors/replay.ts): position of the next record, laps included; REPLAY_* state. Marked. */
export const VCPU_REPLAY_POSITION = 8;
export const VCPU_REPLAY_STATE = 9;
export const VCPU_WORDS = 16;
export const VCPUS_MAX = 8;
/** Two sets of memslots, LINE words each: count, then base_gfn, npages, userspace vpn, flags | id << 16 for each. */
export const VM_MEMSLOT_SETS = VM_VCPUS + VCPU_WORDS * VCPUS_MAX;
const VM_FIXED_WORDS = VM_MEMSLOT_SETS + 2 * LINE;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
const powerOfTwoAbove = (value: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, value)));

/**
 * A machine: its words and where everything stands in them. Offsets are fields of one class, so that every
 * access is a load of a constant-shape object; indices are computed by the accessors of this folder.
 */
export class Machine {
  readonly config: MachineConfig;
  readonly buffer: SharedArrayBuffer;
  /** What lends `buffer`, if that does (memory.ts). */
  readonly memory: WebAssembly.Memory | null;
  readonly words: Int32Array;

  /** Pages in a huge page, its log2, and the mask of the page within it. */
  readonly thpPages: number;
  readonly thpOrder: number;
  readonly frames: number;
  readonly framesPerNode: number;
  readonly nodes: number;
  readonly cpus: number;
  readonly mms: number;
  readonly mmPages: number;
  readonly mmPmds: number;
  readonly vms: number;
  readonly vmPages: number;
  readonly vmBlocks: number;
  readonly vmasPerMm: number;
  readonly tlbMask: number;

  readonly globalsAt: number;
  readonly globalDataAt: number;
  readonly workersAt: number;
  readonly waitTableAt: number;
  readonly actorsAt: number;
  readonly statsAt: number;
  readonly cpusAt: number;
  readonly tlbsAt: number;
  readonly nodesAt: number;
  readonly blocksAt: number;
  readonly framesAt: number;
  readonly mmsAt: number;
  readonly mmWords: number;
  /** Offsets within a struct mm. */
  readonly mmPmdLocks: number;
  readonly mmPmdsOffset: number;
  /** Deposited tables, one list head per PMD: table + 1. Under the PMD lock. */
  readonly mmDeposits: number;
  readonly vmasAt: number;
  readonly anonVmasAt: number;
  readonly anonVmas: number;
  readonly avcsAt: number;
  readonly avcs: number;
  readonly tablesAt: number;
  readonly tableWords: number;
  readonly tables: number;
  readonly ksmItemsAt: number;
  readonly ksmNodesAt: number;
  readonly ksmNodes: number;
  readonly ksmBuckets: number;
  /** Stable and unstable hash heads: node + 1, item + 1. Under ksm_thread_mutex. */
  readonly ksmStableAt: number;
  readonly ksmUnstableAt: number;
  readonly vmsAt: number;
  readonly vmWords: number;
  /** Offsets within a struct kvm: the stage-2 root entries, and kvm_pinned_page by gfn (pfn + 1). */
  readonly vmRoot: number;
  readonly vmPinned: number;
  /** pkvm_mapping by gfn (pfn + 1): what the host has had EL2 map for a guest that follows its notifiers. mmu_lock. */
  readonly vmMapped: number;
  /** A replayed guest's pages: the marks that each page's content has followed. Marked. */
  readonly vmGenerations: number;
  /** Offset of the dirty bitmap within a struct kvm, 32 pages a word. Atomic bit operations. */
  readonly vmDirty: number;
  readonly vmFaulted: number;
  readonly s2TablesAt: number;
  readonly s2Tables: number;
  readonly s2TableWords: number;
  /** Shared memory objects, the pages and the words of each. */
  readonly objects: number;
  readonly objectPages: number;
  readonly objectsAt: number;
  readonly objectWords: number;
  readonly swapAt: number;
  readonly swapSlots: number;
  readonly totalWords: number;

  /**
   * @param config sizes; refused with a RangeError when one is out of {@link MACHINE_LIMITS}.
   * @param buffer the memory of a machine that exists already (another worker's view of it).
   * @param memory what lends it, if that does
   */
  constructor(config: MachineConfig, buffer?: SharedArrayBuffer, memory: WebAssembly.Memory | null = null) {
    for (const key of Object.keys(MACHINE_LIMITS) as (keyof typeof MACHINE_LIMITS)[]) {
      const [low, high] = MACHINE_LIMITS[key];
      const value = key === 'swapSlots' ? (config.swapSlots ?? 0) : config[key];
      if (!Number.isInteger(value) || value < low || value > high) {
        throw new RangeError(`machine.${key}: expected a whole number from ${low} to ${high}, got ${String(value)}`);
      }
    }
    const { objects = 0, objectPages = config.mmPages } = config;
    for (const [key, value, high] of [
      ['objects', objects, OBJECTS_MAX],
      ['objectPages', objectPages, MACHINE_LIMITS.mmPages[1]],
    ] as const) {
      if (!Number.isInteger(value) || value < 0 || value > high)
        throw new RangeError(`machine.${key}: expected a whole number from 0 to ${high}, got ${String(value)}`);
    }
    this.config = config;
    this.thpOrder = config.thpOrder;
    this.thpPages = 1 << config.thpOrder;
    this.nodes = config.nodes;
    this.framesPerNode = roundUp(config.framesPerNode, this.thpPages);
    this.frames = this.framesPerNode * config.nodes;
    this.cpus = config.cpus;
    this.mms = config.mms;
    this.mmPages = roundUp(config.mmPages, this.thpPages);
    this.mmPmds = this.mmPages >> this.thpOrder;
    this.vms = config.vms;
    this.vmPages = roundUp(config.vmPages, this.thpPages);
    this.vmBlocks = this.vmPages >> this.thpOrder;
    this.vmasPerMm = config.vmasPerMm;
    this.tlbMask = powerOfTwoAbove(config.tlbEntries) - 1;

    let next = 0;
    const place = (words: number): number => {
      const at = next;
      next += roundUp(words, LINE);
      return at;
    };
    place(HEADER_WORDS);
    this.globalsAt = place(GLOBAL_LOCKS * LINE);
    this.globalDataAt = place(GLOBAL_DATA_WORDS);
    this.workersAt = place(WORKERS_MAX * WORKER_WORDS);
    this.waitTableAt = place(WAIT_TABLE_WORDS);
    this.actorsAt = place(this.cpus * ACTOR_WORDS);
    this.statsAt = place(this.cpus * STATS_WORDS);
    this.cpusAt = place(this.cpus * CPU_WORDS);
    this.tlbsAt = place(this.cpus * (this.tlbMask + 1) * 2);
    this.nodesAt = place(this.nodes * NODE_WORDS);
    this.blocksAt = place((this.frames >> this.thpOrder) * BLOCK_WORDS);
    this.framesAt = place(this.frames << PAGE_SHIFT);

    const pmdLockCount = (this.mmPmds >> this.thpOrder) + 1;
    this.mmPmdLocks = roundUp(MM_VMA_LIST + this.vmasPerMm, LINE);
    this.mmPmdsOffset = this.mmPmdLocks + pmdLockCount * LINE;
    this.mmDeposits = roundUp(this.mmPmdsOffset + this.mmPmds, LINE);
    this.mmWords = roundUp(this.mmDeposits + this.mmPmds, LINE);
    this.mmsAt = place(this.mms * this.mmWords);
    this.vmasAt = place(this.mms * this.vmasPerMm * VMA_WORDS);
    this.anonVmas = this.mms * this.vmasPerMm + 1;
    this.anonVmasAt = place(this.anonVmas * ANON_VMA_WORDS);
    this.avcs = this.anonVmas * 4;
    this.avcsAt = place(this.avcs * AVC_WORDS);

    this.tables = this.mms * this.mmPmds * 2 + this.cpus * 2 + 2;
    this.tableWords = TABLE_HEADER + roundUp(this.thpPages, LINE);
    this.tablesAt = place(this.tables * this.tableWords);

    this.ksmItemsAt = place(this.mms * this.mmPages * KSM_ITEM_WORDS);
    this.ksmNodes = Math.min(this.frames, this.mms * this.mmPages) + 1;
    this.ksmNodesAt = place(this.ksmNodes * KSM_NODE_WORDS);
    this.ksmBuckets = powerOfTwoAbove(Math.min(this.ksmNodes, 1 << 16));
    this.ksmStableAt = place(this.ksmBuckets);
    this.ksmUnstableAt = place(this.ksmBuckets);

    this.vmRoot = VM_FIXED_WORDS;
    this.vmPinned = roundUp(VM_FIXED_WORDS + this.vmBlocks, LINE);
    this.vmMapped = roundUp(this.vmPinned + this.vmPages, LINE);
    this.vmGenerations = roundUp(this.vmMapped + this.vmPages, LINE);
    this.vmDirty = roundUp(this.vmGenerations + this.vmPages, LINE);
    this.vmFaulted = this.vmDirty + (this.vmPages >> 5) + 1;
    this.vmWords = roundUp(this.vmFaulted + (this.vmPages >> 5) + 1, LINE);
    this.vmsAt = place(this.vms * this.vmWords);
    this.s2Tables = this.vms * (this.vmBlocks + this.cpus * 2) + 1;
    this.s2TableWords = this.tableWords;
    this.s2TablesAt = place(this.s2Tables * this.s2TableWords);
    this.swapSlots = config.swapSlots ?? 0;
    this.swapAt = place(this.swapSlots * SWAP_WORDS);

    this.objects = objects;
    this.objectPages = objectPages;
    this.objectWords = OBJECT_PAGES + roundUp(objectPages, LINE);
    this.objectsAt = place(objects * this.objectWords);

    this.totalWords = next;
    if (this.totalWords >= 1 << 28) throw new RangeError(`machine: ${this.totalWords} words are more than 2^28`);
    this.buffer = buffer ?? new SharedArrayBuffer(this.totalWords * 4);
    this.memory = memory;
    this.words = new Int32Array(this.buffer);
  }
}

/* ---- where things stand: word indices ---- */
export const globalLock = (m: Machine, which: number): number => m.globalsAt + which * LINE;
export const globalWord = (m: Machine, which: number): number => m.globalDataAt + which;
export const workerWord = (m: Machine, worker: number, field: number): number =>
  m.workersAt + worker * WORKER_WORDS + field;
export const actorWord = (m: Machine, actor: number, field: number): number => m.actorsAt + actor * ACTOR_WORDS + field;
export const statsBase = (m: Machine, actor: number): number => m.statsAt + actor * STATS_WORDS;
export const cpuWord = (m: Machine, cpu: number, field: number): number => m.cpusAt + cpu * CPU_WORDS + field;
export const tlbBase = (m: Machine, cpu: number): number => m.tlbsAt + cpu * (m.tlbMask + 1) * 2;
export const nodeWord = (m: Machine, node: number, field: number): number => m.nodesAt + node * NODE_WORDS + field;
export const blockWord = (m: Machine, block: number, field: number): number => m.blocksAt + block * BLOCK_WORDS + field;
/** A field of struct page: PAGE_*. */
export const pageWord = (m: Machine, pfn: number, field: number): number => m.framesAt + (pfn << PAGE_SHIFT) + field;
export const mmWord = (m: Machine, mm: number, field: number): number => m.mmsAt + mm * m.mmWords + field;
export const vmaWord = (m: Machine, vma: number, field: number): number => m.vmasAt + vma * VMA_WORDS + field;
export const anonVmaWord = (m: Machine, anonVma: number, field: number): number =>
  m.anonVmasAt + anonVma * ANON_VMA_WORDS + field;
export const avcWord = (m: Machine, avc: number, field: number): number => m.avcsAt + avc * AVC_WORDS + field;
/** A header field of a PTE table: TABLE_*. */
export const tableWord = (m: Machine, table: number, field: number): number =>
  m.tablesAt + table * m.tableWords + field;
/** The PTE of `vpn` in `table`. */
export const pteWord = (m: Machine, table: number, vpn: number): number =>
  m.tablesAt + table * m.tableWords + TABLE_HEADER + (vpn & (m.thpPages - 1));
/** The PTL of a PTE table. */
export const ptlOf = (m: Machine, table: number): number => m.tablesAt + table * m.tableWords + TABLE_PTL;
/** The PMD entry that covers `vpn`. */
export const pmdWord = (m: Machine, mm: number, vpn: number): number =>
  m.mmsAt + mm * m.mmWords + m.mmPmdsOffset + (vpn >> m.thpOrder);
/** The PMD lock that covers `vpn`: one per PMD table page, as in the kernel. */
export const pmdLockOf = (m: Machine, mm: number, vpn: number): number =>
  m.mmsAt + mm * m.mmWords + m.mmPmdLocks + (vpn >> (2 * m.thpOrder)) * LINE;
/** The head of the tables deposited for the huge PMD that covers `vpn`. */
export const depositWord = (m: Machine, mm: number, vpn: number): number =>
  m.mmsAt + mm * m.mmWords + m.mmDeposits + (vpn >> m.thpOrder);
/** ksm_rmap_item of a virtual page: the item's number, and a field of it. */
export const ksmItem = (m: Machine, mm: number, vpn: number): number => mm * m.mmPages + vpn;
export const ksmItemWord = (m: Machine, item: number, field: number): number =>
  m.ksmItemsAt + item * KSM_ITEM_WORDS + field;
export const ksmNodeWord = (m: Machine, node: number, field: number): number =>
  m.ksmNodesAt + node * KSM_NODE_WORDS + field;
export const vmWord = (m: Machine, vm: number, field: number): number => m.vmsAt + vm * m.vmWords + field;
export const vcpuWord = (m: Machine, vm: number, vcpu: number, field: number): number =>
  m.vmsAt + vm * m.vmWords + VM_VCPUS + vcpu * VCPU_WORDS + field;
/** The root-level stage-2 entry (block or table) that covers `gfn`. */
export const s2RootWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmRoot + (gfn >> m.thpOrder);
export const s2TableWord = (m: Machine, table: number, field: number): number =>
  m.s2TablesAt + table * m.s2TableWords + field;
/** The page-level stage-2 entry of `gfn` in `table`. */
export const s2PteWord = (m: Machine, table: number, gfn: number): number =>
  m.s2TablesAt + table * m.s2TableWords + TABLE_HEADER + (gfn & (m.thpPages - 1));
/** A field SWAP_* of a swap slot. */
export const swapWord = (m: Machine, slot: number, field: number): number => m.swapAt + slot * SWAP_WORDS + field;
/** kvm_pinned_page of `gfn`: pfn + 1, or 0. Under mmu_lock. */
export const pinnedPageWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmPinned + gfn;
/** pkvm_mapping of `gfn`: pfn + 1, or 0. Under mmu_lock. */
export const mappedPageWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmMapped + gfn;
/** The marks of a recording that the content of `gfn` has followed so far. */
export const generationWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmGenerations + gfn;
/** A field of a shared memory object: OBJECT_*; and the slot of its page `index`. */
export const objectWord = (m: Machine, object: number, field: number): number =>
  m.objectsAt + object * m.objectWords + field;
export const objectPageWord = (m: Machine, object: number, index: number): number =>
  m.objectsAt + object * m.objectWords + OBJECT_PAGES + index;
/** The word that holds the bit of `gfn` among those that stage 2 has mapped before: a statistic of real threads. */
export const faultedWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmFaulted + (gfn >> 5);
/** The word of the dirty bitmap that holds the bit of `gfn`. */
export const dirtyWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmDirty + (gfn >> 5);

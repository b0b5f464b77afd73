/**
 * The machine's memory: one SharedArrayBuffer of 32-bit words, laid out from a {@link MachineConfig}. PRINTED from the rows of this
 * folder (print.ts): change those, then `npm run layout:update`.
 *
 *   region        what                                                                         words each       writer
 *   ------        ----                                                                         ----------       ------
 *   header        What all workers look at, and what litmus tests keep                         512              engine
 *   globals       Kernel-wide locks                                                            16 each          lock code
 *   globalData    Kernel-wide words: cursors, knobs, heads of pools                            256              see its rows
 *   workers       Doorbells and signs of life                                                  16 each          who rings
 *   waitTable     Registered sleepers, by a hash of the word waited for                        1 each           worker hosts
 *   actors        What each actor does: written by the worker that hosts it, read by reports   1280 each        that actor's worker
 *   stats         Counters, histograms                                                         2048 each        that actor's worker
 *   cpus          Per-CPU lists, LRU batch, request slot                                       256 each         that CPU
 *   tlbs          TLB entries: tag and value (machine/tlb.ts)                                  2 each           that CPU; any by cmpxchg
 *   nodes         Zones                                                                        32 each          allocator
 *   blocks        Page blocks of a THP of frames                                               4 each           allocator
 *   frames        struct page, one line each                                                   16 each          see its rows
 *   mms           struct mm                                                                    m.mmWords        see its rows
 *   vmas          struct vm_area                                                               16 each          mmap_lock write
 *   anonVmas      anon_vma                                                                     16 each          anon_vma rwsem
 *   avcs          anon_vma_chain                                                               4 each           anon_vma rwsem
 *   tables        PTE tables                                                                   m.tableWords     PTL holders
 *   ksmItems      ksm_rmap_item, by virtual page                                               8 each           ksmd
 *   ksmNodes      ksm_stable_node                                                              8 each           ksmd
 *   ksmStable     Hash heads of the stable tree: node + 1                                      1 each           ksmd
 *   ksmUnstable   Hash heads of the unstable tree: item + 1                                    1 each           ksmd
 *   vms           struct kvm                                                                   m.vmWords        see its rows
 *   s2Tables      Stage-2 tables                                                               m.s2TableWords   mmu_lock / hyp_vm.lock
 *   swap          Swap slots                                                                   4 each           see its rows
 *   objects       struct address_space of a shared memory object                               m.objectWords    see its rows
 *
 * Frames are records of one 64-byte line each rather than a structure of arrays: a fault touches refs, maps, flags, content and
 * compound state of one random frame, which is one cache line this way and five the other; two frames' locks never share a line either.
 * Which lock guards a word is said with it.
 */
import type { Machine } from './machine.js';

/* ---- kernel-wide locks: numbers of locks, a line each ---- */
/** One scan, or one change of its knobs, at a time. A lock word, and its Lamport time. */
export const GLOBAL_KSM_THREAD_MUTEX = 0;
/** ksmd's list of processes. A lock word, and its Lamport time. */
export const GLOBAL_KSM_MMLIST_LOCK = 1;
/** khugepaged's list of processes. A lock word, and its Lamport time. */
export const GLOBAL_KHUGEPAGED_MM_LOCK = 2;
/** Guards the pool of PTE tables. A lock word, and its Lamport time. */
export const GLOBAL_TABLE_POOL_LOCK = 3;
/** Guards the pools of anon_vmas and their chains. A lock word, and its Lamport time. */
export const GLOBAL_ANON_VMA_POOL_LOCK = 4;
/** vm_table_lock: EL2: handle lookup. A lock word, and its Lamport time. */
export const GLOBAL_VM_TABLE_LOCK = 5;
/** host_mmu.lock: EL2: the host's stage 2, and who owns each page. A lock word, and its Lamport time. */
export const GLOBAL_HOST_MMU_LOCK = 6;
/** pkvm_pgd_lock: EL2: its own stage 1, and its state of each page. A lock word, and its Lamport time. */
export const GLOBAL_PKVM_PGD_LOCK = 7;
/** hyp_pool.lock: EL2: the buddy allocator of table pages. A lock word, and its Lamport time. */
export const GLOBAL_HYP_POOL_LOCK = 8;
/** A second notifier subscriber, GPU-driver style (policy (e)). A lock word, and its Lamport time. */
export const GLOBAL_DRIVER_MUTEX = 9;
/** Guards the pool of stage-2 tables that host KVM uses. A lock word, and its Lamport time. */
export const GLOBAL_S2_POOL_LOCK = 10;
/** lock of __lru_add_drain_all: sched: lru_add_drain_all's mutex. A lock word, and its Lamport time. */
export const GLOBAL_LRU_DRAIN_MUTEX = 11;
/** i_pages.xa_lock: i_pages of the swap cache: which folio stands for a slot. A lock word, and its Lamport time. */
export const GLOBAL_SWAP_CACHE_LOCK = 12;
/** memory_failure(): one page at a time. A lock word, and its Lamport time. */
export const GLOBAL_MF_MUTEX = 13;

/* ---- Stores of one CPU that wait, in modelled time, to reach memory ---- */
/** How many stores the CPU has put in. Marked. */
export const STORE_BUFFER_STORED = 0;
/** How many of them are in memory. Marked. */
export const STORE_BUFFER_DRAINED = 1;
/** Pairs of a scratch word's number and what it shall hold. Marked. */
export const STORE_BUFFER_ENTRIES = 2;
/** Words of one, its variable parts not counted. */
export const STORE_BUFFER_WORDS = 16;

/* ---- What all workers look at, and what litmus tests keep ---- */
/** What the machine's workers shall do: PHASE_*. Marked. */
export const HDR_PHASE = 16;
/** Set once by the first violation that ends a run, or by a dead worker. Marked. */
export const HDR_ABORT = 32;
/** Grows with every spawn, retire or knob change. Marked. */
export const HDR_CONTROL_SEQ = 48;
/** Bumped when an mm or VM is torn down (statistics only). Marked. */
export const HDR_GENERATION = 64;
/** Numbers of actors that queue for locks (locks/queue.ts). Marked. */
export const HDR_LOCK_TICKETS = 65;
/**
 * Stands for the pins that have been returned, which oracles keep in ledgers of their own: never written, but named by
 * steps that change them or are judged by them (machine/words/extra-accesses.ts), so that exhaustive search does not
 * take their order for nothing. Marked.
 */
export const HDR_GHOST_PINS = 80;
/**
 * How many actors of a litmus test have come to the first, second, ... place where they meet on real threads. Marked.
 */
export const HDR_MEETINGS = 81;
/** Scratch words of litmus tests, the even ones. Marked. */
export const HDR_SCRATCH = 96;
/** 1 while plain stores to scratch words are buffered. Marked. */
export const HDR_STORE_BUFFER = 104;
/** The odd scratch words, on a line of their own. Marked. */
export const HDR_SCRATCH_ODD = 112;
/** Results of a litmus test's operations, each by its actor. Marked. */
export const HDR_REGISTERS = 128;
/** For each register 1 when the reference that it holds has been given back, which oracles look at. Marked. */
export const HDR_GIVEN_BACK = 256;
/** The modelled buffers, by CPU. Marked. */
export const HDR_STORE_BUFFERS = 384;
/** Words of one, its variable parts not counted. */
export const HDR_WORDS = 512;

/* ---- Kernel-wide locks ---- */
/** Words of one, its variable parts not counted. */
export const GLOBAL_WORDS = 16;

/* ---- Kernel-wide words: cursors, knobs, heads of pools ---- */
/** ksmd's cursor: the process. Under ksm_thread_mutex. */
export const KSM_SCAN_MM = 0;
/** ksmd's cursor: the page. Under ksm_thread_mutex. */
export const KSM_SCAN_ADDRESS = 1;
/** Full scans so far. Under ksm_thread_mutex. */
export const KSM_SCAN_SEQNR = 2;
/** KSM pages. Under ksm_thread_mutex. */
export const KSM_PAGES_SHARED = 3;
/** Further pages that share them. Under ksm_thread_mutex. */
export const KSM_PAGES_SHARING = 4;
/** Pages in the unstable tree. Under ksm_thread_mutex. */
export const KSM_PAGES_UNSHARED = 5;
/** Counted down atomically by write-protect faults. Marked. */
export const KSM_ZERO_PAGES = 6;
/** Knob: ksm/smart_scan. Marked. */
export const KSM_SMART_SCAN = 16;
/** Knob: ksm/use_zero_pages. Marked. */
export const KSM_USE_ZERO_PAGES = 17;
/** Knob: ksm/run. Marked. */
export const KSM_RUN = 18;
/** khugepaged's cursor: the process. Its owner's. */
export const KHUGEPAGED_SCAN_MM = 32;
/** khugepaged's cursor: the page. Its owner's. */
export const KHUGEPAGED_SCAN_ADDRESS = 33;
/** Knob. Marked. */
export const KHUGEPAGED_MAX_PTES_NONE = 34;
/** Knob. Marked. */
export const KHUGEPAGED_MAX_PTES_SHARED = 35;
/** Knob. Marked. */
export const KHUGEPAGED_MAX_PTES_SWAP = 36;
/** Knob: 0 never, 1 madvise, 2 always. Marked. */
export const THP_ENABLED = 37;
/** Knob. Marked. */
export const THP_USE_ZERO_PAGE = 38;
/** Whether reclaim and migration defer TLB flushes (ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH). Marked. */
export const TLB_BATCH = 39;
/** A change that no kernel has yet: FIX_*. Marked. */
export const KERNEL_FIX = 40;
/**
 * Passes of each loop of migrate_pages() at most (NR_MAX_MIGRATE_PAGES_RETRY is 10): fewer make shorter schedules.
 * Marked.
 */
export const MIGRATE_PASSES = 41;
/**
 * Shared memory objects are files: read from a device that holds zeros, clean until written, reclaimed while clean.
 * Marked.
 */
export const FILE_OBJECTS = 42;
/** Index of the first free element + 1, as of all pools. Under table pool lock. */
export const TABLE_POOL_HEAD = 64;
/** PTE tables in the pool. Under table pool lock. */
export const TABLE_POOL_FREE = 65;
/** First free anon_vma + 1. Under anon_vma pool lock. */
export const ANON_VMA_POOL_HEAD = 66;
/** First free chain element + 1. Under anon_vma pool lock. */
export const AVC_POOL_HEAD = 67;
/** First free stage-2 table + 1. Under stage-2 table pool lock. */
export const S2_POOL_HEAD = 68;
/** Stage-2 tables in the pool. Under stage-2 table pool lock. */
export const S2_POOL_FREE = 69;
/** First free stable node + 1. Under ksm_thread_mutex. */
export const KSM_NODE_POOL_HEAD = 70;
/** EL2's own pool of table pages: head pfn + 1. hyp_pool lock. Marked. */
export const HYP_POOL_HEAD = 71;
/** EL2's own pool of table pages: how many. hyp_pool lock. Marked. */
export const HYP_POOL_COUNT = 72;
/** Free swap slots. Atomic. Marked. */
export const SWAP_FREE_SLOTS = 73;
/** Words of one, its variable parts not counted. */
export const GLOBAL_DATA_WORDS = 256;

/* ---- Doorbells and signs of life ---- */
/** Rung by whoever changes a word that the worker waits for; the worker sleeps only on this. Marked. */
export const WORKER_DOORBELL = 0;
/**
 * Not 0 while the worker touches no memory before it has looked at HDR_PHASE again (values: engine/machine/phase.ts).
 * Marked.
 */
export const WORKER_PARKED = 1;
/** The drain or finish command (HDR_PHASE's value) for which all its actors stand still. Marked. */
export const WORKER_DRAINED = 2;
/** The actor running now + 1, or 0. Marked. */
export const WORKER_CURRENT = 3;
/** Slices run; the watchdog's and the control plane's sign of life. Marked. */
export const WORKER_SLICES = 4;
/**
 * The newest Lamport time of its actors, low 32 bits, as of its last slice: workers keep their clocks together by it.
 * Marked.
 */
export const WORKER_TIME = 5;
/** Words of one, its variable parts not counted. */
export const WORKER_WORDS = 16;

/* ---- Registered sleepers, by a hash of the word waited for ---- */
/** Workers that sleep for a word of this hash, a bit each. Marked. */
export const WAIT_SLEEPERS = 0;
/** Words of one, its variable parts not counted. */
export const WAIT_WORDS = 1;

/* ---- What each actor does: written by the worker that hosts it, read by reports ---- */
/** Whether it runs, waits, sleeps or has ended. Marked. */
export const ACTOR_STATE = 0;
/** Its kind, as a number. Marked. */
export const ACTOR_KIND = 1;
/** The operation under way: an OP_* code, for reports. Marked. */
export const ACTOR_OPERATION = 2;
/** The last effect yielded. Marked. */
export const ACTOR_EFFECT = 3;
/** How it waits. Marked. */
export const ACTOR_WAIT_KIND = 4;
/** The word that it waits for. Marked. */
export const ACTOR_WAIT_WORD = 5;
/** What that word held. Marked. */
export const ACTOR_WAIT_VALUE = 6;
/** Resumes of this actor, low 32 bits. Marked. */
export const ACTOR_STEPS = 7;
/** Grows whenever the actor completes something: the watchdog's and I-LIVE's sign of progress. Marked. */
export const ACTOR_PROGRESS = 8;
/** The worker that hosts it. Marked. */
export const ACTOR_WORKER = 9;
/** Locks in ACTOR_HELD. Marked. */
export const ACTOR_HELD_COUNT = 10;
/** Retries since the last progress (I-LIVE). Marked. */
export const ACTOR_RETRIES = 11;
/** Atomic sections that it is inside. Marked. */
export const ACTOR_PREEMPT_COUNT = 12;
/** The lock word that it queues for, or 0 (locks/queue.ts). Marked. */
export const ACTOR_QUEUED_FOR = 13;
/** Its number in that queue. Marked. */
export const ACTOR_TICKET = 14;
/** Reader counts (word indices) of the SRCU sections that it is inside, the outer one first: for reports. Marked. */
export const ACTOR_SRCU = 16;
/** Held locks: pairs of (lock word, class << 4 | mode). Marked. */
export const ACTOR_HELD = 20;
/** Words of one, its variable parts not counted. */
export const ACTOR_WORDS = 1280;

/* ---- Counters, histograms ---- */
/** See machine/stats.ts. Its owner's. */
export const STATS_COUNTERS = 0;
/** Words of one, its variable parts not counted. */
export const STATS_WORDS = 2048;

/* ---- The request slot for hypercalls: the caller's, but while it is posted the server's (machine/mailbox.ts) ---- */
/** MAIL_EMPTY, MAIL_POSTED, MAIL_DONE. Marked. */
export const MAIL_STATE = 0;
/** When it was posted or answered. Its owner's. */
export const MAIL_LAMPORT = 1;
/** The function asked for. Its owner's. */
export const MAIL_FUNCTION = 2;
/** Its arguments. Its owner's. */
export const MAIL_ARGS = 3;
/** What it answers. Its owner's. */
export const MAIL_RESULT = 11;
/** The vCPU that is loaded on the CPU. Its owner's. */
export const MAIL_VCPU = 13;
/** Words of one, its variable parts not counted. */
export const MAIL_WORDS = 16;

/* ---- Per-CPU lists, LRU batch, request slot ---- */
/**
 * Odd while inside a translated access (host or guest); a lock word in protocol: the TLBI issuer waits on it. Marked.
 */
export const CPU_IN_USE = 0;
/** Non-zero while interrupts are off in GUP-fast; LK10's IPI waits on it. Marked. */
export const CPU_IRQS_OFF = 16;
/** cpu_fbatches.lock: The LRU-add batch (folio_batch of lru_add). A lock word, and its Lamport time. */
export const CPU_LRU_LOCK = 32;
/** lru_add.nr: Folios in the batch. Its owner's. */
export const CPU_LRU_COUNT = 34;
/** lru_add.folios: Their pfns. Marked. */
export const CPU_LRU_PFNS = 35;
/** per_cpu_pages.lists: Per-CPU free lists (private to the CPU): order-0 head + 1 per node. Its owner's. */
export const CPU_PCP_HEAD = 80;
/** per_cpu_pages.count: Frames on them. Its owner's. */
export const CPU_PCP_COUNT = 88;
/** numa_node: The NUMA node that it belongs to. Constant while actors run. */
export const CPU_NODE = 96;
/** The CPU of the EL2 instance that serves this one, + 1; 0 = hypercalls run in place. Constant while actors run. */
export const CPU_EL2 = 97;
/** The request slot for hypercalls: see mailbox.ts. Its owner's. */
export const CPU_MAILBOX = 112;
/** The bell of the server that runs on the CPU: posts so far. Marked. */
export const CPU_BELL = 128;
/** Words of one, its variable parts not counted. */
export const CPU_WORDS = 256;

/* ---- TLB entries: tag and value (machine/tlb.ts) ---- */
/** What it translates, or 0. Its owner's. */
export const TLB_TAG = 0;
/** Where to. Its owner's. */
export const TLB_VALUE = 1;
/** Words of one, its variable parts not counted. */
export const TLB_WORDS = 2;

/* ---- Zones: struct zone (include/linux/mmzone.h) ---- */
/** lock: Who may take free frames. A lock word, and its Lamport time. */
export const NODE_ZONE_LOCK = 0;
/** First wholly free block + 1. Under zone lock. */
export const NODE_FREE_BLOCKS = 2;
/** First block with some free pages + 1. Under zone lock. */
export const NODE_PARTIAL_BLOCKS = 3;
/** vm_stat[NR_FREE_PAGES]: Free frames. Under zone lock. */
export const NODE_FREE_FRAMES = 4;
/** Words of one, its variable parts not counted. */
export const NODE_WORDS = 32;

/* ---- Page blocks of a THP of frames ---- */
/** Free frames of the block. Under zone lock. */
export const BLOCK_FREE_COUNT = 0;
/** First free frame of the block + 1, linked through PAGE_LRU_NEXT. Under zone lock. */
export const BLOCK_FREE_HEAD = 1;
/** Next block of its list + 1. Under zone lock. */
export const BLOCK_NEXT = 2;
/** Previous block of its list + 1. Under zone lock. */
export const BLOCK_PREV = 3;
/** Words of one, its variable parts not counted. */
export const BLOCK_WORDS = 4;

/* ---- struct page, one line each: struct page, struct folio (include/linux/mm_types.h) ---- */
/** _refcount: 0 = free or frozen. Atomic. Marked. */
export const PAGE_REFS = 0;
/**
 * _mapcount: PTE maps of this (sub)page as a plain count. Atomic, changed only under the PTL of the table that maps it.
 * Marked.
 */
export const PAGE_MAPS = 1;
/** PG_* flags. Atomic bit operations. Marked. */
export const PAGE_FLAGS = 2;
/** What the page holds, one word. CPUs read and write it. Marked. */
export const PAGE_CONTENT = 3;
/** _pincount: Pins of a large folio (head). Atomic. Marked. */
export const PAGE_PINCOUNT = 4;
/** _entire_mapcount: PMD maps (head). Atomic. Marked. */
export const PAGE_ENTIRE_MAPS = 5;
/** compound_head: 0 small page; head: order << 24 | 1 << 30; tail: head pfn | 1 << 31. Stored marked. */
export const PAGE_COMPOUND = 6;
/** anon_vma << 2 | 1, stable node << 2 | 3, 0 none (the KSM keyhole). Loaded under folio lock, stored marked. */
export const PAGE_MAPPING = 7;
/** Page offset in its anon_vma: the vpn. Written before the page is mapped. Stored marked. */
export const PAGE_INDEX = 8;
/** Free-list and private-list link. Owner of the list. Its owner's. */
export const PAGE_LRU_NEXT = 9;
/** The same word of a folio in the swap cache (folio->swap, page->private): its slot. Folio lock. */
export const PAGE_SWAP = 9;
/** PG_locked: PG_locked with its owner. A lock word, and its Lamport time. */
export const PAGE_LOCK = 10;
/** _last_cpupid: Written by NUMA faults. Loaded under folio lock, stored marked. */
export const PAGE_CPUPID = 12;
/**
 * struct hyp_page: Host state, complemented hyp state, refcount. host_mmu.lock / pkvm_pgd_lock / pool lock. Under EL2
 * host_mmu.lock or EL2 pkvm_pgd_lock.
 */
export const PAGE_HYP = 13;
/** _large_mapcount: Of a head: sum of all PTE and PMD maps. Atomic. Marked. */
export const PAGE_LARGE_MAPS = 14;
/**
 * The host stage-2 entry for this physical page. The hardware walker reads it. Loaded under EL2 host_mmu.lock, stored
 * marked.
 */
export const PAGE_HOST_S2 = 15;
/** Words of one, its variable parts not counted. */
export const PAGE_WORDS = 16;

/* ---- struct mm: struct mm_struct (include/linux/mm_types.h) ---- */
/** The list of VMAs. A lock word, and its Lamport time. */
export const MM_MMAP_LOCK = 0;
/**
 * What a VMA's lock sequence equals while it is write-locked. Under mmap_lock write; marked reads. Loaded under
 * mmap_lock (write), stored marked.
 */
export const MM_LOCK_SEQ = 2;
/** Odd while fork write-protects entries. Marked. */
export const MM_WRITE_PROTECT_SEQ = 16;
/** Atomic. Loaded under mmap_lock (write), stored marked. */
export const MM_USERS = 32;
/** Pages of mlock and of pins counted there. Atomic. Marked. */
export const MM_LOCKED_VM = 33;
/** Pages pinned for long. Atomic. Marked. */
export const MM_PINNED_VM = 34;
/** In pages, -1 = unlimited. Constant while actors run. */
export const MM_MEMLOCK_LIMIT = 35;
/** MMF_* bits. Atomic. Marked. */
export const MM_FLAGS = 36;
/** Changes of entries whose flush is still to come. Marked. */
export const MM_TLB_FLUSH_PENDING = 37;
/** The NUMA balancer's (its cmpxchg winner). Marked. */
export const MM_NUMA_SCAN_SEQ = 38;
/** The NUMA balancer's cursor. Marked. */
export const MM_NUMA_SCAN_OFFSET = 39;
/** VMAs in the list. Lockless readers check the sequence. Under mmap_lock. */
export const MM_VMA_COUNT = 40;
/**
 * Even = stable, odd = the VMA list is being changed (stands for RCU on the maple tree). Loaded under mmap_lock
 * (write), stored marked.
 */
export const MM_VMA_SEQ = 41;
/** The number of the next NUMA scan; who moves it on by cmpxchg does that scan. Marked. */
export const MM_NUMA_NEXT_SCAN = 42;
/** Batched unmaps whose CPU flush is still to come (low half), of which flushed (high half). Atomic. Marked. */
export const MM_TLB_FLUSH_BATCHED = 43;
/** Forks into this mm that have returned, failed ones too: its tasks begin to run then. Marked. */
export const MM_FORKS = 44;
/**
 * Whether one hangs under the mm's upper directory (pud_present): since its first page table, until the mm ends.
 * Marked.
 */
export const MM_PMD_TABLE = 45;
/** notifier_subscriptions: Their count. Stored under mmap_lock (write). */
export const MM_SUBSCRIPTIONS = 48;
/** notifier_subscriptions->list: kind << 8 | id of each. Stored under mmap_lock (write). */
export const MM_SUBSCRIPTION = 49;
/** srcu of mm/mmu_notifier.c: Index, readers of each side. Marked. */
export const MM_SRCU = 56;
/** struct ksm_mm_slot: 1 = registered with KSM. Marked. */
export const MM_KSM_SLOT = 64;
/** struct khugepaged_mm_slot: 1 = registered with khugepaged. Marked. */
export const MM_KHUGEPAGED_SLOT = 65;
/**
 * cpu_bitmap: CPUs that may hold TLB entries of this mm, 32 a word. Set by the walker before it fills, never cleared.
 * Marked.
 */
export const MM_CPUMASK = 66;
/** The sorted list of VMA ids. */
export const MM_VMA_LIST = 80;
/** Words of one, its variable parts not counted. */
export const MM_WORDS = 80;

/* ---- struct vm_area: struct vm_area_struct (include/linux/mm_types.h) ---- */
/**
 * Its first page. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under mmap_lock (write) or
 * lock of any anon_vma or file.
 */
export const VMA_START = 0;
/**
 * The page behind its last. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under mmap_lock
 * (write) or lock of any anon_vma or file.
 */
export const VMA_END = 1;
/**
 * VM_* bits. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under mmap_lock (write) or lock
 * of any anon_vma or file.
 */
export const VMA_FLAGS = 2;
/**
 * Its anon_vma + 1: the first fault installs it. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file,
 * stored under mmap_lock (write) or lock of any anon_vma or file.
 */
export const VMA_ANON_VMA = 3;
/**
 * The process. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under mmap_lock (write) or
 * lock of any anon_vma or file.
 */
export const VMA_MM = 4;
/**
 * Of the per-VMA lock (v6.4+): equal to mm_lock_seq while it is write-locked. Loaded under mmap_lock or VMA lock or
 * lock of any anon_vma or file, stored under mmap_lock (write) or lock of any anon_vma or file.
 */
export const VMA_LOCK_SEQ = 5;
/** vm_refcnt: Of the per-VMA lock: a lock word. A lock word, and its Lamport time. */
export const VMA_REFCNT = 6;
/**
 * First chain element of this VMA + 1. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under
 * mmap_lock (write) or lock of any anon_vma or file.
 */
export const VMA_AVC = 8;
/** The scan that looked at it last. Under mmap_lock or VMA lock or lock of any anon_vma or file. */
export const VMA_NUMA_SCAN_SEQ = 9;
/**
 * 0 = free. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under mmap_lock (write) or lock
 * of any anon_vma or file.
 */
export const VMA_IN_USE = 10;
/**
 * The shared memory object that it maps + 1, 0 = none. Loaded under mmap_lock or VMA lock or lock of any anon_vma or
 * file, stored under mmap_lock (write) or lock of any anon_vma or file.
 */
export const VMA_OBJECT = 11;
/**
 * The object's page at its start. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file, stored under
 * mmap_lock (write) or lock of any anon_vma or file.
 */
export const VMA_PGOFF = 12;
/**
 * Next VMA of the object + 1. Under i_mmap_rwsem. Loaded under mmap_lock or VMA lock or lock of any anon_vma or file,
 * stored under mmap_lock (write) or lock of any anon_vma or file.
 */
export const VMA_I_MMAP_NEXT = 13;
/** Words of one, its variable parts not counted. */
export const VMA_WORDS = 16;

/* ---- anon_vma: struct anon_vma (include/linux/rmap.h) ---- */
/** Who is on its list. A lock word, and its Lamport time. */
export const ANON_VMA_RWSEM = 0;
/** refcount: Readers of the rwsem count themselves in atomically. Under anon_vma lock (write). */
export const ANON_VMA_REFS = 2;
/** First chain element + 1. Under anon_vma lock. */
export const ANON_VMA_HEAD = 3;
/** The process that it was made in. Under anon_vma lock. */
export const ANON_VMA_MM = 4;
/** In the pool: the next + 1. Under anon_vma pool lock. */
export const ANON_VMA_POOL_NEXT = 5;
/**
 * The anon_vma whose rwsem guards this one: itself, or after a fork the oldest ancestor's. Constant while it is in use.
 * Constant while actors run.
 */
export const ANON_VMA_ROOT = 6;
/** Words of one, its variable parts not counted. */
export const ANON_VMA_WORDS = 16;

/* ---- anon_vma_chain: struct anon_vma_chain (include/linux/rmap.h) ---- */
/** Its VMA. Under anon_vma pool lock or lock of any anon_vma or file. */
export const AVC_VMA = 0;
/** Its anon_vma. Under anon_vma pool lock or lock of any anon_vma or file. */
export const AVC_ANON_VMA = 1;
/** Next element of the anon_vma + 1. Under anon_vma pool lock or lock of any anon_vma or file. */
export const AVC_NEXT = 2;
/** Next element of the VMA + 1. Under anon_vma pool lock or lock of any anon_vma or file. */
export const AVC_VMA_NEXT = 3;
/** Words of one, its variable parts not counted. */
export const AVC_WORDS = 4;

/* ---- PTE tables: struct ptdesc of a PTE table (include/linux/mm_types.h) ---- */
/** ptl: The entries of the table. A lock word, and its Lamport time. */
export const TABLE_PTL = 0;
/** pt_mm: The mm that uses the table. Its owner's. */
export const TABLE_MM = 2;
/** The PMD word that points to it. Its owner's. */
export const TABLE_PMD = 3;
/** TABLE_FREE, TABLE_LIVE, TABLE_DEPOSITED, TABLE_DETACHED. Its owner's. */
export const TABLE_STATE = 4;
/** In the pool, or deposited: the next + 1. Its owner's. */
export const TABLE_POOL_NEXT = 5;
/** Counted entries + 1 of a stage-2 table page. Its owner's. */
export const TABLE_REFS = 6;
/** The pfn that holds a stage-2 table page under pKVM. Its owner's. */
export const TABLE_PFN = 7;
/** The PTE of `vpn` in `table`. */
export const TABLE_HEADER = 16;
/** Words of one, its variable parts not counted. */
export const TABLE_WORDS = 16;

/* ---- ksm_rmap_item, by virtual page: struct ksm_rmap_item (mm/ksm.c) ---- */
/** Of the content at the last scan. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_ITEM_CHECKSUM = 0;
/**
 * 0 none, ITEM_SEEN, ITEM_UNSTABLE, ITEM_STABLE. Loaded under ksm_thread_mutex or folio lock, stored under
 * ksm_thread_mutex.
 */
export const KSM_ITEM_STATE = 1;
/** Its stable node + 1. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_ITEM_NODE = 2;
/**
 * Next rmap_item of the stable node + 1. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex.
 */
export const KSM_ITEM_NEXT = 3;
/** Scans since it was made (smart scan). Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_ITEM_AGE = 4;
/** Scans that pass it by (smart scan). Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_ITEM_REMAINING_SKIPS = 5;
/**
 * node: Next in the unstable bucket + 1. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex.
 */
export const KSM_ITEM_UNSTABLE_NEXT = 6;
/** While ITEM_STABLE: the anon_vma that rmap walks go through. */
export const KSM_ITEM_ANON_VMA = 6;
/** In the unstable bucket. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_ITEM_UNSTABLE_CONTENT = 7;
/** While ITEM_STABLE: the root whose lock rmap walks take. */
export const KSM_ITEM_ANON_ROOT = 7;
/** Words of one, its variable parts not counted. */
export const KSM_ITEM_WORDS = 8;

/* ---- ksm_stable_node: struct ksm_stable_node (mm/ksm.c) ---- */
/** Its KSM page. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_NODE_KPFN = 0;
/** First rmap_item + 1. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_NODE_HLIST = 1;
/**
 * What the page holds: the key in the tree. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex.
 */
export const KSM_NODE_CONTENT = 2;
/** Next of its bucket + 1. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_NODE_NEXT = 3;
/** rmap_items on its list. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_NODE_COUNT = 4;
/** Whether it is in use. Loaded under ksm_thread_mutex or folio lock, stored under ksm_thread_mutex. */
export const KSM_NODE_STATE = 5;
/** Words of one, its variable parts not counted. */
export const KSM_NODE_WORDS = 8;

/* ---- Hash heads of the stable tree: node + 1 ---- */
/** root_stable_tree: First node + 1. Under ksm_thread_mutex. */
export const KSM_STABLE_HEAD = 0;
/** Words of one, its variable parts not counted. */
export const KSM_STABLE_WORDS = 1;

/* ---- Hash heads of the unstable tree: item + 1 ---- */
/** root_unstable_tree: First item + 1. Under ksm_thread_mutex. */
export const KSM_UNSTABLE_HEAD = 0;
/** Words of one, its variable parts not counted. */
export const KSM_UNSTABLE_WORDS = 1;

/* ---- A vCPU: its own, but where marked.: struct kvm_vcpu (include/linux/kvm_host.h) ---- */
/** arch.pkvm_memcache.head: The host's memcache of pages for stage-2 tables: head pfn. Its owner's. */
export const VCPU_HOST_MC_HEAD = 0;
/** arch.pkvm_memcache.nr_pages: Pages in it. Its owner's. */
export const VCPU_HOST_MC_COUNT = 1;
/** pkvm_hyp_vcpu memcache.head: EL2's half of it: head pfn. Its owner's. */
export const VCPU_HYP_MC_HEAD = 2;
/** pkvm_hyp_vcpu memcache.nr_pages: Pages in it. Its owner's. */
export const VCPU_HYP_MC_COUNT = 3;
/** The CPU it is loaded on at EL2, + 1. Its owner's. */
export const VCPU_LOADED = 4;
/** Host page-table memcache (classic): one table reserved, + 1; 0 = none. Its owner's. */
export const VCPU_MMU_CACHE = 5;
/** The actor that runs the vCPU, + 1; 0 = nobody. Its owner's. */
export const VCPU_ENTERED = 6;
/**
 * 1: its file descriptor is closed, so it holds no reference to the VM any more (litmus tests that destroy VMs). Its
 * owner's.
 */
export const VCPU_CLOSED = 7;
/** Replay of a recorded stream (actors/replay.ts): position of the next record, laps included. Its owner's. */
export const VCPU_REPLAY_POSITION = 8;
/** REPLAY_*. Its owner's. */
export const VCPU_REPLAY_STATE = 9;
/** Words of one, its variable parts not counted. */
export const VCPU_WORDS = 16;

/* ---- One of the two sets of memslots.: struct kvm_memslots (include/linux/kvm_host.h) ---- */
/** Slots in the set. Stored under slots_lock. */
export const MEMSLOTS_COUNT = 0;
/** struct kvm_memory_slot: base_gfn, npages, userspace vpn, flags | id << 16 for each. Stored under slots_lock. */
export const MEMSLOTS_SLOTS = 1;
/** Words of one, its variable parts not counted. */
export const MEMSLOTS_WORDS = 16;

/* ---- struct kvm: struct kvm (include/linux/kvm_host.h), struct pkvm_hyp_vm ---- */
/** Stage 2. A lock word, and its Lamport time. */
export const VM_MMU_LOCK = 0;
/** Notifiers between start and end. Under mmu_lock. */
export const VM_INVALIDATE_IN_PROGRESS = 16;
/** Grows at each end. Marked reads. Under mmu_lock. */
export const VM_INVALIDATE_SEQ = 17;
/** The first gfn of what is invalidated. Under mmu_lock. */
export const VM_INVALIDATE_START = 18;
/** The gfn behind it. Under mmu_lock. */
export const VM_INVALIDATE_END = 19;
/** Notifiers against memslot updates. A lock word, and its Lamport time. */
export const VM_MN_INVALIDATE_LOCK = 32;
/** Notifiers under way. Under mn_invalidate_lock. */
export const VM_MN_ACTIVE_INVALIDATE_COUNT = 34;
/** Updates of memslots. A lock word, and its Lamport time. */
export const VM_SLOTS_LOCK = 48;
/** srcu: Index, readers of each side. Marked. */
export const VM_SRCU = 64;
/** Constant after creation: the process. Stored marked. */
export const VM_MM = 80;
/** arch.mmu.vmid: Constant after creation. Stored marked. */
export const VM_VMID = 81;
/** arch.pkvm.enabled: Constant after creation: protected or not. Stored marked. */
export const VM_PROTECTED = 82;
/** arch.mmu.pgt: Whether the host has a stage-2 table. Under mmu_lock. */
export const VM_HAS_PGT = 83;
/** VM_STATE_*. Marked. */
export const VM_STATE = 84;
/** arch.pkvm.handle: EL2's handle. Stored marked. */
export const VM_HANDLE = 85;
/** References to it. Stored marked. */
export const VM_USERS = 86;
/** CPUs that may hold TLB entries of this VMID, 32 a word. Stored marked. */
export const VM_CPUMASK = 88;
/**
 * memslots: Which of the two memslot sets is active: swapped under mn_invalidate_lock, read marked under kvm->srcu.
 * Under slots_lock.
 */
export const VM_MEMSLOTS = 96;
/** pkvm_hyp_vm.lock: EL2's pkvm_hyp_vm. A lock word, and its Lamport time. */
export const VM_HYP_LOCK = 112;
/** Whether EL2 knows the VM. Under EL2 vm_table_lock or hyp_vm.lock. */
export const VM_HYP_STATE = 114;
/**
 * pkvm_hyp_vm.pool: The VM's pool of table pages: head pfn. Loaded under EL2 hyp_pool lock or hyp_vm.lock, stored under
 * EL2 hyp_pool lock.
 */
export const VM_HYP_POOL_HEAD = 115;
/** Pages in it. Loaded under EL2 hyp_pool lock or hyp_vm.lock, stored under EL2 hyp_pool lock. */
export const VM_HYP_POOL_COUNT = 116;
/** arch.pkvm.teardown_mc: Pages on their way back to the host: head pfn. Under EL2 vm_table_lock or hyp_vm.lock. */
export const VM_HYP_TEARDOWN_HEAD = 117;
/** How many. Under EL2 vm_table_lock or hyp_vm.lock. */
export const VM_HYP_TEARDOWN_COUNT = 118;
/** vCPUs loaded at EL2. Under EL2 vm_table_lock or hyp_vm.lock. */
export const VM_HYP_LOADED = 119;
/** hyp_refcount: References that EL2 holds. Under EL2 vm_table_lock or hyp_vm.lock. */
export const VM_HYP_USERS = 120;
/** Free table records of a VM whose stage 2 EL2 owns: head + 1, linked as the pool is. Under hyp_vm.lock. */
export const VM_HYP_TABLES = 121;
/** The page donated for EL2's metadata of the VM, or 0. Under EL2 vm_table_lock or hyp_vm.lock. */
export const VM_HYP_META = 122;
/** Policy pinned-notifiers: the gfns that stay pinned (the SPE buffer). Constant while actors run. */
export const VM_PIN_BASE = 123;
/** Policy pinned-notifiers: how many. Constant while actors run. */
export const VM_PIN_PAGES = 124;
/** Tables that a block has replaced: head + 1, pushed by shared walkers, freed under mmu_lock write. Marked. */
export const VM_S2_DEFERRED = 125;
/** Per vCPU. Its owner's. */
export const VM_VCPUS = 128;
/** Two sets of memslots. Stored under slots_lock. */
export const VM_MEMSLOT_SETS = 256;
/** Words of one, its variable parts not counted. */
export const VM_WORDS = 288;

/* ---- Stage-2 tables: a table page of struct kvm_pgtable (arch/arm64/include/asm/kvm_pgtable.h) ---- */
/** Words of one, its variable parts not counted. */
export const S2_TABLE_WORDS = 16;

/* ---- Swap slots ---- */
/** Entries that refer to the slot, and SWAP_HAS_CACHE. 0 = free. Atomic. Marked. */
export const SWAP_MAP = 0;
/** i_pages of swapper_spaces: The pfn of the slot's folio, or 0. Written under the swap cache's lock. Marked. */
export const SWAP_FOLIO = 1;
/** What the device holds: whoever reads or writes the slot. Marked. */
export const SWAP_CONTENT = 2;
/** Grows when a reader of the slot is done: what the others wait for. Atomic. Marked. */
export const SWAP_READS = 3;
/** Words of one, its variable parts not counted. */
export const SWAP_WORDS = 4;

/* ---- struct address_space of a shared memory object: struct address_space (include/linux/fs.h) ---- */
/** The VMAs that map it. A lock word, and its Lamport time. */
export const OBJECT_I_MMAP_RWSEM = 0;
/** First VMA that maps it + 1. Under i_mmap_rwsem. */
export const OBJECT_I_MMAP = 2;
/** In pages. Marked. */
export const OBJECT_SIZE = 3;
/** Pages in the cache. Under i_pages lock. */
export const OBJECT_NRPAGES = 4;
/** i_pages.xa_lock: The pages of its cache. A lock word, and its Lamport time. */
export const OBJECT_I_PAGES_LOCK = 16;
/** The frame of each page, or 0. Stored under the lock of i_pages, loaded by anybody. */
export const OBJECT_PAGES = 32;
/** Words of one, its variable parts not counted. */
export const OBJECT_WORDS = 32;

/* ---- where things stand: word indices ---- */
/** A field WORKER_*. */
export const workerWord = (m: Machine, worker: number, field: number): number => m.workersAt + (worker << 4) + field;
/** A field ACTOR_*. */
export const actorWord = (m: Machine, actor: number, field: number): number => m.actorsAt + actor * 1280 + field;
/** A field CPU_*. */
export const cpuWord = (m: Machine, cpu: number, field: number): number => m.cpusAt + (cpu << 8) + field;
/** A field NODE_*. */
export const nodeWord = (m: Machine, node: number, field: number): number => m.nodesAt + (node << 5) + field;
/** A field BLOCK_*. */
export const blockWord = (m: Machine, block: number, field: number): number => m.blocksAt + (block << 2) + field;
/** A field PAGE_*. */
export const pageWord = (m: Machine, pfn: number, field: number): number => m.framesAt + (pfn << 4) + field;
/** A field MM_*. */
export const mmWord = (m: Machine, mm: number, field: number): number => m.mmsAt + mm * m.mmWords + field;
/** One per PMD table page, as in the kernel. */
export const pmdLockOf = (m: Machine, mm: number, vpn: number): number =>
  m.mmsAt + mm * m.mmWords + m.mmPmdLocks + (vpn >> (2 * m.thpOrder)) * 16;
/** The PMD entry that covers `vpn`. */
export const pmdWord = (m: Machine, mm: number, vpn: number): number =>
  m.mmsAt + mm * m.mmWords + m.mmPmdsOffset + (vpn >> m.thpOrder);
/** The head of the tables deposited for the huge PMD that covers `vpn`: table + 1. */
export const depositWord = (m: Machine, mm: number, vpn: number): number =>
  m.mmsAt + mm * m.mmWords + m.mmDeposits + (vpn >> m.thpOrder);
/** A field VMA_*. */
export const vmaWord = (m: Machine, vma: number, field: number): number => m.vmasAt + (vma << 4) + field;
/** A field ANON_VMA_*. */
export const anonVmaWord = (m: Machine, anonVma: number, field: number): number =>
  m.anonVmasAt + (anonVma << 4) + field;
/** A field AVC_*. */
export const avcWord = (m: Machine, avc: number, field: number): number => m.avcsAt + (avc << 2) + field;
/** A field TABLE_*. */
export const tableWord = (m: Machine, table: number, field: number): number =>
  m.tablesAt + table * m.tableWords + field;
/** The PTE of `vpn` in `table`. */
export const pteWord = (m: Machine, table: number, vpn: number): number =>
  m.tablesAt + table * m.tableWords + TABLE_HEADER + (vpn & (m.thpPages - 1));
/** A field KSM_ITEM_*. */
export const ksmItemWord = (m: Machine, item: number, field: number): number => m.ksmItemsAt + (item << 3) + field;
/** A field KSM_NODE_*. */
export const ksmNodeWord = (m: Machine, node: number, field: number): number => m.ksmNodesAt + (node << 3) + field;
/** A field VM_*. */
export const vmWord = (m: Machine, vm: number, field: number): number => m.vmsAt + vm * m.vmWords + field;
/** The root-level stage-2 entry (block or table) that covers `gfn`. */
export const s2RootWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmRoot + (gfn >> m.thpOrder);
/** kvm_pinned_page of `gfn`: pfn + 1, or 0. Under mmu_lock. */
export const pinnedPageWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmPinned + gfn;
/**
 * pkvm_mapping of `gfn`: pfn + 1, or 0: what the host has had EL2 map for a guest that follows its notifiers. Under
 * mmu_lock.
 */
export const mappedPageWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmMapped + gfn;
/** The marks of a recording that the content of `gfn` has followed so far. */
export const generationWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmGenerations + gfn;
/** The word of the dirty bitmap that holds the bit of `gfn`. Atomic bit operations. */
export const dirtyWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmDirty + (gfn >> 5);
/** The word that holds the bit of `gfn` among those that stage 2 has mapped before: a statistic of real threads. */
export const faultedWord = (m: Machine, vm: number, gfn: number): number =>
  m.vmsAt + vm * m.vmWords + m.vmFaulted + (gfn >> 5);
/** A field S2_TABLE_*. */
export const s2TableWord = (m: Machine, table: number, field: number): number =>
  m.s2TablesAt + table * m.s2TableWords + field;
/** The page-level stage-2 entry of `gfn` in `table`. */
export const s2PteWord = (m: Machine, table: number, gfn: number): number =>
  m.s2TablesAt + table * m.s2TableWords + TABLE_HEADER + (gfn & (m.thpPages - 1));
/** A field SWAP_*. */
export const swapWord = (m: Machine, slot: number, field: number): number => m.swapAt + (slot << 2) + field;
/** A field OBJECT_*. */
export const objectWord = (m: Machine, object: number, field: number): number =>
  m.objectsAt + object * m.objectWords + field;
/** The frame of each page, or 0. Stored under the lock of i_pages, loaded by anybody. */
export const objectPageWord = (m: Machine, object: number, index: number): number =>
  m.objectsAt + object * m.objectWords + OBJECT_PAGES + index;

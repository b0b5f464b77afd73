/**
 * The kernel's constants that several rooms name: errno values, fault results, GUP, VMA, page and notifier flags.
 * Values of errno and VM_FAULT_* are the kernel's; flag positions are ours.
 */

/* errno, returned negated */
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const EMLINK = 31;
export const EHWPOISON = 133;

/** errno names for reports: `errnoName(-14)` is `-EFAULT`. */
const ERRNO_NAMES = new Map<number, string>(
  Object.entries({
    EPERM,
    ENOENT,
    EINTR,
    EIO,
    E2BIG,
    EBADF,
    EAGAIN,
    ENOMEM,
    EACCES,
    EFAULT,
    EBUSY,
    EEXIST,
    EINVAL,
    EMLINK,
    EHWPOISON,
  }).map(([name, value]) => [value, name]),
);
export const errnoName = (result: number): string =>
  result >= 0 ? String(result) : `-${ERRNO_NAMES.get(-result) ?? String(-result)}`;

/* handle_mm_fault flags and results (include/linux/mm_types.h, v6.18) */
export const FAULT_FLAG_WRITE = 1 << 0;
export const FAULT_FLAG_UNSHARE = 1 << 1;
/** The fault comes from GUP or KVM rather than from the CPU's own access. */
export const FAULT_FLAG_REMOTE = 1 << 2;
/** Allocate only where FOLL_LONGTERM may pin (memalloc_pin_save). */
export const FAULT_FLAG_PIN_ALLOC = 1 << 3;
/** The caller holds the VMA lock rather than mmap_lock; on VM_FAULT_RETRY the handler has released it. */
export const FAULT_FLAG_VMA_LOCK = 1 << 4;
export const VM_FAULT_OOM = 1;
export const VM_FAULT_SIGBUS = 2;
export const VM_FAULT_HWPOISON = 0x10;
export const VM_FAULT_SIGSEGV = 0x40;
export const VM_FAULT_RETRY = 0x400;
export const VM_FAULT_FALLBACK = 0x800;
export const VM_FAULT_COMPLETED = 0x4000;
export const VM_FAULT_ERROR = VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_HWPOISON | VM_FAULT_SIGSEGV;

/* GUP (mm.h) */
export const FOLL_WRITE = 1 << 0;
export const FOLL_GET = 1 << 1;
export const FOLL_PIN = 1 << 2;
export const FOLL_LONGTERM = 1 << 3;
export const FOLL_FORCE = 1 << 4;
export const FOLL_HWPOISON = 1 << 5;
export const FOLL_HONOR_NUMA_FAULT = 1 << 6;
export const FOLL_TOUCH = 1 << 7;
export const FOLL_FAST_ONLY = 1 << 8;
export const GUP_PIN_COUNTING_BIAS = 1024;

/* VMAs */
export const VM_READ = 1 << 0;
export const VM_WRITE = 1 << 1;
export const VM_EXEC = 1 << 2;
export const VM_SHARED = 1 << 3;
export const VM_LOCKED = 1 << 4;
export const VM_MERGEABLE = 1 << 5;
export const VM_HUGEPAGE = 1 << 6;
export const VM_NOHUGEPAGE = 1 << 7;
export const VM_PFNMAP = 1 << 8;
export const VM_IO = 1 << 9;
export const VM_MIXEDMAP = 1 << 10;
export const VM_DONTCOPY = 1 << 11;
export const VM_MAYWRITE = 1 << 12;
/** A memory policy that forbids NUMA hinting (vma_policy_mof). */
export const VM_NUMA_BOUND = 1 << 13;

/**
 * Where a mapping is asked for, its flags carry the shared memory object + 1 from this bit on; a VMA's own flags do not.
 */
export const VM_OBJECT_SHIFT = 24;
export const VM_FLAGS_MASK = (1 << VM_OBJECT_SHIFT) - 1;
/** The flags of a shared mapping of `object`. */
export const sharedFlags = (object: number, flags: number): number =>
  flags | VM_SHARED | ((object + 1) << VM_OBJECT_SHIFT);

/* struct page flags (PAGE_FLAGS) */
export const PG_UPTODATE = 1 << 0;
export const PG_DIRTY = 1 << 1;
export const PG_LRU = 1 << 2;
export const PG_SWAPBACKED = 1 << 3;
export const PG_SWAPCACHE = 1 << 4;
export const PG_WRITEBACK = 1 << 5;
export const PG_REFERENCED = 1 << 6;
export const PG_YOUNG = 1 << 7;
export const PG_MLOCKED = 1 << 8;
/** Per subpage. */
export const PG_ANON_EXCLUSIVE = 1 << 9;
/** Per subpage. */
export const PG_HWPOISON = 1 << 10;
/** On the head: some subpage is poisoned. */
export const PG_HAS_HWPOISONED = 1 << 11;
/** On a free list. */
export const PG_BUDDY = 1 << 12;
/** On a per-CPU free list. */
export const PG_PCP = 1 << 13;
/** In ZONE_MOVABLE or CMA: not pinnable long-term. Constant per frame unless a scenario says otherwise. */
export const PG_UNPINNABLE_ZONE = 1 << 14;
/** Carve-out without host mapping, never donated (pKVM "no-map"). */
export const PG_NO_MAP = 1 << 15;
/** Used as a page table or EL2 metadata. */
export const PG_TABLE = 1 << 16;
export const PG_RESERVED = 1 << 17;
/** "maybe mapped shared" of a large folio (6.15+ _mm_ids). */
export const PG_MAYBE_SHARED = 1 << 18;
/** memory_failure() is done with the page, and keeps the reference that it came with: nobody is to get the page again. */
export const PG_HWPOISON_KEPT = 1 << 19;
/** A driver's own memory, mapped by remap_pfn_range(): its count says nothing about who uses it. */
export const PG_DRIVER = 1 << 24;

/** PAGE_COMPOUND. */
export const COMPOUND_TAIL = 1 << 31;
export const COMPOUND_HEAD = 1 << 30;

/** PAGE_MAPPING low bits. */
export const MAPPING_ANON = 1;
export const MAPPING_KSM = 3;

/* mmu_notifier_event (include/linux/mmu_notifier.h, v6.18) */
export const MMU_NOTIFY_UNMAP = 0;
export const MMU_NOTIFY_CLEAR = 1;
export const MMU_NOTIFY_PROTECTION_VMA = 2;
export const MMU_NOTIFY_PROTECTION_PAGE = 3;
export const MMU_NOTIFY_SOFT_DIRTY = 4;
export const MMU_NOTIFY_RELEASE = 5;
export const MMU_NOTIFY_EVENT_NAMES = ['UNMAP', 'CLEAR', 'PROTECTION_VMA', 'PROTECTION_PAGE', 'SOFT_DIRTY', 'RELEASE'];

/** Kinds of notifier subscribers. */
export const SUBSCRIBER_KVM = 1;
/** A GPU-driver-like subscriber whose callback takes a mutex (policy (e)). */
export const SUBSCRIBER_DRIVER = 2;

/* migrate_mode */
export const MIGRATE_ASYNC = 0;
export const MIGRATE_SYNC_LIGHT = 1;
export const MIGRATE_SYNC = 2;
export const NUMA_NO_NODE = -1;

/** Memslot flags. */
export const KVM_MEM_READONLY = 1 << 0;
export const KVM_MEM_LOG_DIRTY_PAGES = 1 << 1;

/** VM_STATE. */
export const VM_STATE_NONE = 0;
export const VM_STATE_LIVE = 1;
export const VM_STATE_DYING = 2;
export const VM_STATE_DEAD = 3;
/** KVM_CREATE_VM is at work: nobody else may begin with it, and it has no file descriptor yet. */
export const VM_STATE_CREATING = 4;

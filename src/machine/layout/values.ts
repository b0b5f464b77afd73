/** Sizes, limits and values that the rows of the machine's memory and its users name: what is no offset. */

/** Words of a cache line. */
export const LINE = 16;

/* ---- header ---- */
export const MEETINGS = 15;
export const SCRATCH_WORDS = 8;
export const LITMUS_REGISTERS = 128;
export const STORE_BUFFERS = 8;
export const STORE_BUFFER_SLOTS = 7;

/* ---- kernel-wide ---- */
/**
 * KERNEL_FIX: none, as kernels are. Of deferred flushes: a fault flushes before it sets a PTE; reclaim flushes before a folio leaves its
 * cache. Of pkvm_mem_abort: a pin that fails with -ENOMEM, as a migration got in the way of another's, is tried again.
 */
export const FIX_NONE = 0;
export const FIX_FAULT = 1;
export const FIX_REMOVAL = 2;
export const FIX_RETRY = 3;

/* ---- the engine's ---- */
export const WORKERS_MAX = 64;
export const WAIT_TABLE_WORDS = 1024;
export const SRCU_NESTED = 3;
/** A collapse holds the folio locks of a whole THP's pages. */
export const HELD_MAX = 600;
export const MAIL_ARGS_MAX = 8;

/* ---- pages ---- */
export const PAGE_SHIFT = 4;

/* ---- struct mm ---- */
export const SUBSCRIPTIONS_MAX = 4;
export const MMF_HAS_PINNED = 1 << 0;
export const MMF_OOM_UNSTABLE = 1 << 1;
export const MMF_VM_MERGEABLE = 1 << 2;
export const MMF_EXITING = 1 << 3;
/** exit_mmap() is over: the mm may be another child's. */
export const MMF_EXITED = 1 << 4;

/* ---- page tables: TABLE_STATE ---- */
export const TABLE_FREE = 0;
export const TABLE_LIVE = 1;
export const TABLE_DEPOSITED = 2;
/** Taken off its PMD by a collapse that has waited for lockless walkers: its alone. */
export const TABLE_DETACHED = 3;

/* ---- swap ---- */
/** A folio stands for the slot, or somebody is about to read one in (include/linux/swap.h). */
export const SWAP_HAS_CACHE = 1 << 30;

/* ---- struct kvm ---- */
export const MEMSLOTS_MAX = 3;
export const VCPUS_MAX = 8;

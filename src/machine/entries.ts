/**
 * Page-table entries in one word each (kernel-model 1.2). Every state is distinct:
 *
 *   31                    10 9       8    7        6      5       4     3     2     1        0
 *   +-----------------------+-------+----+--------+------+-------+-----+-----+-----+--------+-------+
 *   | pfn / table / offset  | TABLE |HUGE|SOFTDRT.|UFFDWP|SPECIAL|DIRTY|YOUNG|WRITE|PROTNONE|PRESENT|
 *   +-----------------------+-------+----+--------+------+-------+-----+-----+-----+--------+-------+
 *
 * With PRESENT and PROTNONE both clear and the word not zero, it is a swap-type entry: bits 2 to 4 give the
 * type, bit 5 young, bit 6 dirty, bit 7 soft-dirty. A PMD is none, a TABLE, or a HUGE leaf (present, hint or
 * swap-type); HUGE with TABLE is the present-but-invalid state that pmdp_invalidate leaves (rule PTE-2).
 * pfn has 22 bits: up to 4 M frames could be named, scenarios are held to 1 M.
 */
export const PTE_PRESENT = 1 << 0;
/** The NUMA hint (or mprotect(PROT_NONE)): hardware-invalid, software-present, keeps its pfn. */
export const PTE_PROTNONE = 1 << 1;
export const PTE_WRITE = 1 << 2;
export const PTE_YOUNG = 1 << 3;
export const PTE_DIRTY = 1 << 4;
export const PTE_SPECIAL = 1 << 5;
export const PTE_UFFD_WP = 1 << 6;
export const PTE_SOFT_DIRTY = 1 << 7;
export const PMD_HUGE = 1 << 8;
export const PMD_TABLE = 1 << 9;
/** Present-but-invalid: what a huge PMD passes through instead of none. */
export const PMD_INVALID = PMD_HUGE | PMD_TABLE;
export const PFN_SHIFT = 10;
/** pfn 22 bits. */
export const PFN_MAX = (1 << 22) - 1;

/** Swap-type entries: the types (bits 2 to 4). */
export const SWP_MIGRATION_WRITE = 1;
export const SWP_MIGRATION_READ_EXCLUSIVE = 2;
export const SWP_MIGRATION_READ = 3;
export const SWP_SWAP = 4;
export const SWP_SWAP_EXCLUSIVE = 5;
export const SWP_HWPOISON = 6;
export const SWP_MARKER = 7;
export const SWP_YOUNG = 1 << 5;
export const SWP_DIRTY = 1 << 6;

/** The pfn of a PTE, huge PMD or migration entry; the table id of a table PMD; the offset of a swap entry. */
export const entryPfn = (entry: number): number => entry >>> PFN_SHIFT;
/** A PTE (or, with PMD_HUGE in flags, a huge PMD) of `pfn` with `flags`. */
export const mkEntry = (pfn: number, flags: number): number => (pfn << PFN_SHIFT) | flags;
/** A swap-type entry. `extra`: SWP_YOUNG, SWP_DIRTY, PMD_HUGE. */
export const mkSwapEntry = (type: number, pfn: number, extra: number): number =>
  (pfn << PFN_SHIFT) | (type << 2) | extra;

export const isNone = (entry: number): boolean => entry === 0;
/** pte_present: software-present, hints included. */
export const isPresent = (entry: number): boolean => (entry & (PTE_PRESENT | PTE_PROTNONE)) !== 0;
/** Valid for the hardware walker. */
export const isHardwareValid = (entry: number): boolean =>
  (entry & PTE_PRESENT) !== 0 && (entry & PMD_INVALID) !== PMD_INVALID;
export const isProtnone = (entry: number): boolean => (entry & (PTE_PRESENT | PTE_PROTNONE)) === PTE_PROTNONE;
export const isWritable = (entry: number): boolean => (entry & PTE_WRITE) !== 0 && isPresent(entry);
export const isDirty = (entry: number): boolean => (entry & PTE_DIRTY) !== 0 && isPresent(entry);
export const isSpecial = (entry: number): boolean => (entry & PTE_SPECIAL) !== 0 && isPresent(entry);
export const isSwapType = (entry: number): boolean =>
  entry !== 0 && !isPresent(entry) && (entry & PMD_INVALID) !== PMD_TABLE;
export const swapType = (entry: number): number => (isSwapType(entry) ? (entry >> 2) & 7 : 0);
export const isMigrationEntry = (entry: number): boolean => {
  const type = swapType(entry);
  return type >= SWP_MIGRATION_WRITE && type <= SWP_MIGRATION_READ;
};
/** A page that was swapped out; entryPfn is its slot. */
export const isSwapEntry = (entry: number): boolean => {
  const type = swapType(entry);
  return type === SWP_SWAP || type === SWP_SWAP_EXCLUSIVE;
};
export const isHwpoisonEntry = (entry: number): boolean => swapType(entry) === SWP_HWPOISON;

/** A PMD that points to a PTE table. */
export const isTable = (pmd: number): boolean => (pmd & PMD_INVALID) === PMD_TABLE;
/** A huge leaf in any state: present, hint, present-but-invalid, migration. */
export const isHuge = (pmd: number): boolean => (pmd & PMD_HUGE) !== 0;
/** A huge leaf that is software-present (not a huge migration entry). */
export const isTransHuge = (pmd: number): boolean => isHuge(pmd) && isPresent(pmd);
export const isHugeMigration = (pmd: number): boolean => isHuge(pmd) && isMigrationEntry(pmd);
export const mkTable = (table: number): number => (table << PFN_SHIFT) | PMD_TABLE;

/**
 * Stage-2 entries, guest and host (kernel-model 1.4, 1.5):
 *
 *   bit 0 VALID, 1 LOCKED (KVM_INVALID_PTE_LOCKED, with VALID clear), 2 W, 3 X, 4 AF, 5-6 software state
 *   (PKVM_PAGE_*), 8 BLOCK, 9 TABLE, 10+ pfn or table id. R is implied by VALID.
 *   An invalid host leaf with bits 2-4 set carries an owner annotation (owner id in bits 2 to 4).
 */
export const S2_VALID = 1 << 0;
export const S2_LOCKED = 1 << 1;
export const S2_WRITE = 1 << 2;
export const S2_EXEC = 1 << 3;
export const S2_AF = 1 << 4;
export const S2_STATE_SHIFT = 5;
export const S2_BLOCK = 1 << 8;
export const S2_TABLE = 1 << 9;
/** KVM_INVALID_PTE_LOCKED: another walker is in the middle of break-before-make here. */
export const KVM_INVALID_PTE_LOCKED = S2_LOCKED;

export const isS2Leaf = (entry: number): boolean => (entry & (S2_VALID | S2_TABLE)) === S2_VALID;
export const isS2Table = (entry: number): boolean => (entry & (S2_VALID | S2_TABLE)) === (S2_VALID | S2_TABLE);
export const isS2Block = (entry: number): boolean => (entry & (S2_VALID | S2_BLOCK)) === (S2_VALID | S2_BLOCK);
export const mkS2Table = (table: number): number => (table << PFN_SHIFT) | S2_TABLE | S2_VALID;

/** Page-ownership states, 2 bits (kernel-model 1.5). */
export const PKVM_PAGE_OWNED = 0;
export const PKVM_PAGE_SHARED_OWNED = 1;
export const PKVM_PAGE_SHARED_BORROWED = 2;
export const PKVM_NOPAGE = 3;

/** Owner ids of host stage-2 annotations. */
export const PKVM_ID_HOST = 0;
export const PKVM_ID_HYP = 1;
export const PKVM_ID_GUEST = 2;
export const PKVM_ID_FFA = 3;
/** An invalid host stage-2 leaf that says who owns the page. PKVM_ID_HOST is the absent entry, 0. */
export const mkAnnotation = (owner: number): number => owner << 2;
export const annotationOwner = (entry: number): number => ((entry & S2_VALID) === 0 ? (entry >> 2) & 7 : PKVM_ID_HOST);

export const isWritableLeaf = (entry: number): boolean =>
  (entry & (PTE_PRESENT | PTE_WRITE)) === (PTE_PRESENT | PTE_WRITE) && (entry & PMD_INVALID) !== PMD_INVALID;

/**
 * Anonymous huge pages: faults and protection changes (mm/huge_memory.c, v6.18; kernel-model 3.8, 3.17 step 4). Write
 * faults, hint faults, zapping and splitting stand in huge-memory-*.ts and split-huge-page.ts.
 *
 * A huge PMD passes through present-but-invalid (pmdp_invalidate), never through none, except where it is zapped, collapsed
 * or cleared for good (rule PTE-2).
 */
import { setBeside } from '../../machine/words/extra-accesses.js';
import {
  FAULT_FLAG_WRITE,
  PG_MAYBE_SHARED,
  PG_UPTODATE,
  VM_FAULT_FALLBACK,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_SHARED,
  VM_WRITE,
} from '../../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC } from '../../machine/context.js';
import { acquires, reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PFN_SHIFT,
  PMD_HUGE,
  PMD_TABLE,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  entryPfn,
  isHuge,
  isHugeMigration,
  isProtnone,
  isSpecial,
  mkEntry,
  mkSwapEntry,
  swapType,
} from '../../machine/entries.js';
import {
  MMF_OOM_UNSTABLE,
  MM_FLAGS,
  MM_KHUGEPAGED_SLOT,
  PAGE_CONTENT,
  PAGE_FLAGS,
  THP_ENABLED,
  THP_USE_ZERO_PAGE,
  globalWord,
  mmWord,
  pageWord,
  pmdLockOf,
  pmdWord,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { fetchOr, get, peek, readOnce, writeOnce, xchg, set } from '#words';
import { ZERO_PFN, flagsWord, folioMaybeDmaPinned, folioPut, pageAnonExclusive, pinsWord } from '../folio.js';
import { thpVmaAllowable } from '../khugepaged/khugepaged.js';
import { vmfAnonPrepare } from '../memory/anon.js';
import { faultGfp, allocPages } from '../page-alloc.js';
import { enterSlot } from '../vma/mmap.js';
import { protBits } from '../vma/page-prot.js';
import { pgtableDeposit, pmdLock, pteAllocOne, pteFree } from '../pgtable.js';
import { folioAddNewAnonRmap } from '../rmap/rmap.js';
import { folioAddLru } from '../swap.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaAnonVma, vmaFlags } from '../vma/vma.js';

/** The first page of the huge page that covers `vpn`. */
export const thpStart = (ctx: Context, vpn: number): number => vpn & ~(ctx.m.thpPages - 1);

/** thp_vma_allowable_order() for a fault: a hint, since the setting may change at any moment. */
export const thpFaultAllowed = (ctx: Context, vma: number, vpn: number): boolean =>
  peek(ctx.words, globalWord(ctx.m, THP_ENABLED)) !== 0 &&
  (vmaFlags(ctx, vma) & VM_SHARED) === 0 &&
  thpVmaAllowable(ctx, vma, thpStart(ctx, vpn));

/**
 * do_huge_pmd_anonymous_page(): a fault where the PMD is none and THPs are allowed.
 * @returns 0, VM_FAULT_FALLBACK (no huge page: use small ones), _OOM, _SIGBUS or _RETRY (see vmfAnonPrepare)
 */
export function* doHugePmdAnonymousPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const prepared = yield* vmfAnonPrepare(ctx, mm, vma, flags);
  if (prepared !== 0) return prepared;
  // khugepaged_enter_vma()
  const slot = mmWord(m, mm, MM_KHUGEPAGED_SLOT);
  if (--ctx.quantum < 0) yield reads(slot);
  if (readOnce(words, slot) === 0) yield* enterSlot(ctx, mm, MM_KHUGEPAGED_SLOT);
  const zero = (flags & FAULT_FLAG_WRITE) === 0 && peek(words, globalWord(m, THP_USE_ZERO_PAGE)) !== 0;
  let head = ZERO_PFN;
  if (!zero) {
    head = yield* vmaAllocAnonFolioPmd(ctx, flags);
    if (head < 0) return VM_FAULT_FALLBACK;
  }
  let result = VM_FAULT_OOM;
  // for the split that must not fail
  const table = yield* pteAllocOne(ctx, mm);
  let mapped = false;
  if (table >= 0) {
    const pmdAt = pmdWord(m, mm, vpn);
    const lock = yield* pmdLock(ctx, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    result = 0;
    if (readOnce(words, pmdAt) === 0) {
      const mmFlagsAt = mmWord(m, mm, MM_FLAGS);
      if (--ctx.quantum < 0) yield reads(mmFlagsAt);
      if ((readOnce(words, mmFlagsAt) & MMF_OOM_UNSTABLE) !== 0) {
        result = VM_FAULT_SIGBUS;
      } else {
        pgtableDeposit(ctx, mm, vpn, table);
        yield* mapHuge(ctx, mm, vma, vpn, head, pmdAt);
        mapped = true;
      }
    }
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_PMD);
    if (!mapped) yield* pteFree(ctx, table);
  }
  if (!mapped && !zero) yield* folioPut(ctx, head, REF_ALLOC);
  return result;
}

/** vma_alloc_anon_folio_pmd(): a huge page of zeros, nobody's yet; or -1. */
export function* vmaAllocAnonFolioPmd(ctx: Context, flags: number): Coroutine {
  const { m, words } = ctx;
  const head = yield* allocPages(ctx, m.thpOrder, ctx.node, faultGfp(flags));
  if (head < 0) return -1;
  for (let pfn = head; pfn < head + m.thpPages; pfn++) {
    set(words, pageWord(m, pfn, PAGE_CONTENT), 0);
    ctx.probe.onCopy(ctx, ZERO_PFN, pfn);
  }
  setBeside(words, pageWord(m, head, PAGE_FLAGS), get(words, pageWord(m, head, PAGE_FLAGS)) | PG_UPTODATE);
  return head;
}

/** map_anon_folio_pmd() and set_huge_zero_folio(): the PMD lock is held, the PMD is none. */
export function* mapHuge(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  head: number,
  pmdAt: number,
): Coroutine<void> {
  const start = thpStart(ctx, vpn);
  const prot = protBits(vmaFlags(ctx, vma));
  let entry = mkEntry(ZERO_PFN, PMD_HUGE | prot | PTE_SPECIAL | PTE_YOUNG);
  if (head !== ZERO_PFN) {
    folioAddNewAnonRmap(ctx, head, vmaAnonVma(ctx, vma), mm, start);
    yield* folioAddLru(ctx, head);
    const write = (vmaFlags(ctx, vma) & VM_WRITE) !== 0 ? PTE_WRITE : 0;
    entry = mkEntry(head, PMD_HUGE | prot | PTE_YOUNG | PTE_DIRTY | write);
    countStat(ctx.m, ctx.actor, STAT.thp_faults, 1);
  }
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(ctx.words, pmdAt, entry);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, 0, entry);
  emit(ctx, EVENT.anon_map, mm, start, head, ctx.m.thpOrder);
}

/** huge_pmd_set_accessed(): young, and dirty on a write, if the PMD is still `orig`. */
export function* hugePmdSetAccessed(
  ctx: Context,
  mm: number,
  vpn: number,
  flags: number,
  orig: number,
): Coroutine<void> {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  const lock = pmdLockOf(m, mm, vpn);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_PMD)) yield contended(ctx, lock);
  if (--ctx.quantum < 0) yield updates(pmdAt);
  if (readOnce(words, pmdAt) === orig) {
    const used = orig | PTE_YOUNG | ((flags & FAULT_FLAG_WRITE) !== 0 ? PTE_DIRTY : 0);
    if (used !== orig) {
      fetchOr(words, pmdAt, used);
      ctx.probe.onEntry(ctx, mm, thpStart(ctx, vpn), pmdAt, orig, used);
    }
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
}

/**
 * pmdp_invalidate(): the huge PMD becomes present-but-invalid, and no CPU uses it any more. PMD lock held.
 * @returns the PMD before, with the bits that the hardware had set
 */
export function* pmdpInvalidate(ctx: Context, mm: number, start: number, pmdAt: number): Coroutine {
  if (--ctx.quantum < 0) yield updates(pmdAt);
  const old = fetchOr(ctx.words, pmdAt, PMD_TABLE);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, old, old | PMD_TABLE);
  yield* flushTlbRange(ctx, false, mm, start, start + ctx.m.thpPages);
  return old;
}

/** can_change_pmd_writable(): whether a huge PMD of `head` that is made normal may be writable at once. PMD lock held. */
export function* canChangePmdWritable(ctx: Context, vmFlags: number, head: number, pmd: number): Coroutine<boolean> {
  if ((vmFlags & VM_WRITE) === 0 || (pmd & PTE_UFFD_WP) !== 0) return false;
  if ((vmFlags & VM_SHARED) !== 0) return (pmd & PTE_DIRTY) !== 0;
  if (isSpecial(pmd)) return false;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  return pageAnonExclusive(ctx, head);
}

/**
 * change_huge_pmd(): new protection for a whole huge PMD, as mprotect (`newFlags`: the VMA's new VM_* flags) or as the NUMA
 * scan (`numa`: PROT_NONE, whatever newFlags say). Through 6.18 the scan does not look at pins here (kernel-model 3.17).
 * @returns as the kernel: 0, it is no huge PMD (any more); 1, nothing was to be done; a THP's pages, it was changed
 */
export function* changeHugePmd(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  const { m, words } = ctx;
  const start = thpStart(ctx, vpn);
  const pmdAt = pmdWord(m, mm, vpn);
  const lock = yield* pmdLock(ctx, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  let result = isHuge(pmd) ? 1 : 0;
  if (isHugeMigration(pmd)) {
    if (!numa && swapType(pmd) === SWP_MIGRATION_WRITE) {
      // "a protection check is difficult so just be safe and disable write"
      const extra = pmd & (((1 << PFN_SHIFT) - 1) & ~(7 << 2));
      const readable = mkSwapEntry(SWP_MIGRATION_READ_EXCLUSIVE, entryPfn(pmd), extra);
      if (--ctx.quantum < 0) yield writes(pmdAt);
      writeOnce(words, pmdAt, readable);
      ctx.probe.onEntry(ctx, mm, start, pmdAt, pmd, readable);
    }
  } else if (isHuge(pmd) && !(numa && (yield* skipNumaPmd(ctx, mm, vma, start, pmd)))) {
    const old = yield* ctx.kernel.pmdpInvalidate(ctx, mm, start, pmdAt);
    const head = entryPfn(old);
    let entry = (old & ~(PTE_PRESENT | PTE_PROTNONE | PTE_WRITE)) | (numa ? PTE_PROTNONE : protBits(newFlags));
    // MM_CP_TRY_CHANGE_WRITABLE
    const tries = !numa && ctx.kernel.rules.mprotectWritable > 1;
    if (tries && (yield* canChangePmdWritable(ctx, newFlags, head, entry))) entry |= PTE_WRITE;
    if (--ctx.quantum < 0) yield updates(pmdAt);
    const before = xchg(words, pmdAt, entry);
    ctx.probe.onEntry(ctx, mm, start, pmdAt, before, entry);
    if (numa) emit(ctx, EVENT.numa_protect, mm, start, head, 1);
    else emit(ctx, EVENT.pmd_change, mm, start, old, entry);
    result = m.thpPages;
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  return result;
}

/** What the NUMA scan leaves alone: the huge zero page, hints, and from v6.19 on pinned huge pages. PMD lock held. */
function* skipNumaPmd(ctx: Context, mm: number, vma: number, start: number, pmd: number): Coroutine<boolean> {
  if (isSpecial(pmd) || isProtnone(pmd)) return true;
  if (ctx.kernel.rules.numaBusy !== 'v6.19') return false;
  const head = entryPfn(pmd);
  if ((vmaFlags(ctx, vma) & VM_SHARED) === 0) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    if ((readOnce(ctx.words, flagsWord(ctx, head)) & PG_MAYBE_SHARED) !== 0) return true;
  }
  if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
  if (!folioMaybeDmaPinned(ctx, head)) return false;
  emit(ctx, EVENT.numa_skip_pinned, mm, start, head);
  return true;
}

/**
 * MADV_FREE of huge pages (mm/huge_memory.c madvise_free_huge_pmd, mm/madvise.c madvise_free_pte_range, v6.18). A whole one becomes
 * old, clean and lazyfree under its PMD. A part of one has the folio split first, so that only that part is given up: with the
 * split's own notifier inside the caller's, and refused where somebody holds the folio, a pin for one; then all stays as it is.
 */
import { PG_DIRTY, PG_LRU, PG_MAYBE_SHARED, PG_REFERENCED, PG_SWAPBACKED, PG_SWAPCACHE } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_TEMP } from '../../machine/context.js';
import { reads, releases, tries, updates, writes } from '../../machine/effects.js';
import { PTE_DIRTY, PTE_YOUNG, entryPfn, isHuge, isHugeMigration, isSpecial } from '../../machine/entries.js';
import { PAGE_ENTIRE_MAPS, PAGE_MAPS, pageWord, pmdWord } from '../../machine/layout.js';
import { LOCK_PMD } from '../../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../../locks/exclusive.js';
import { readOnce, writeOnce } from '#words';
import {
  clearFlag,
  flagsWord,
  folioMaps,
  folioOf,
  folioPut,
  folioTestLarge,
  mapsWord,
  refAdd,
  refsWord,
  testFlag,
} from '../folio.js';
import { thpStart } from './huge-memory.js';
import { pmdLock } from '../pgtable.js';

/** folio_maybe_mapped_shared() of a large folio: one that is mapped once is not. */
function* mappedShared(ctx: Context, head: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  if (folioMaps(ctx, head) <= 1) return false;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  return testFlag(ctx, head, PG_MAYBE_SHARED);
}

/** folio_mark_lazyfree(), which the kernel puts off until its LRU batch is drained. */
export function* folioMarkLazyfree(ctx: Context, head: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  if (testFlag(ctx, head, PG_LRU) && testFlag(ctx, head, PG_SWAPBACKED) && !testFlag(ctx, head, PG_SWAPCACHE))
    clearFlag(ctx, head, PG_SWAPBACKED | PG_REFERENCED);
  ctx.probe.onLazyFree(ctx, head);
}

/** split_folio() of a locked folio with a reference (REF_TEMP) for it, and the end of both. 0 or -errno. */
export function* freeSplitLocked(ctx: Context, head: number): Coroutine {
  const result = yield* ctx.kernel.splitHugePage(ctx, head);
  if (--ctx.quantum < 0) yield releases(folioLockWord(ctx, head));
  folioUnlock(ctx, head);
  yield* folioPut(ctx, head, REF_TEMP);
  return result;
}

/**
 * madvise_free_huge_pmd() of [start, end), which lies in one PMD's range.
 * @returns 1: done; 0: it is for the PTEs, if there are any
 */
export function* madviseFreeHugePmd(ctx: Context, mm: number, start: number, end: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, start);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  if (!isHuge(readOnce(words, pmdAt))) return 0;
  const lock = yield* pmdLock(ctx, mm, start);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  const head = entryPfn(pmd);
  let result = 0;
  let part = false;
  if (isHuge(pmd) && !isHugeMigration(pmd) && !isSpecial(pmd) && !(yield* mappedShared(ctx, head))) {
    const page = folioLockWord(ctx, head);
    if (--ctx.quantum < 0) yield tries(page);
    if (folioTrylock(ctx, head)) {
      part = end - start < m.thpPages;
      if (part) {
        if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
        refAdd(ctx, head, 1, REF_TEMP);
      } else {
        if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
        clearFlag(ctx, head, PG_DIRTY);
        if (--ctx.quantum < 0) yield releases(page);
        folioUnlock(ctx, head);
        yield* makeOldAndClean(ctx, mm, start, pmdAt, pmd);
        yield* folioMarkLazyfree(ctx, head);
        result = 1;
      }
    }
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  if (part) yield* freeSplitLocked(ctx, head);
  return result;
}

/** pmdp_invalidate(), pmd_mkold(), pmd_mkclean(). PMD lock held. */
function* makeOldAndClean(ctx: Context, mm: number, vpn: number, pmdAt: number, pmd: number): Coroutine<void> {
  if ((pmd & (PTE_YOUNG | PTE_DIRTY)) === 0) return;
  const start = thpStart(ctx, vpn);
  const old = yield* ctx.kernel.pmdpInvalidate(ctx, mm, start, pmdAt);
  const entry = old & ~(PTE_YOUNG | PTE_DIRTY);
  if (--ctx.quantum < 0) yield writes(pmdAt);
  const invalid = readOnce(ctx.words, pmdAt);
  writeOnce(ctx.words, pmdAt, entry);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, invalid, entry);
}

/** What becomes of a large folio that is mapped by PTEs: all of it is given up; it stays as it is; it is split first. */
const FREE_WHOLE = 0;
export const FREE_LEAVE = 1;
export const FREE_SPLIT = 2;

/**
 * A PTE that maps `pfn` of a large folio. Under the PTL, which has to go for a split.
 * @param whole the range has PTEs for all of its pages, of which this is the first
 * @returns FREE_WHOLE; FREE_LEAVE; or FREE_SPLIT: the folio is locked and has a reference, both for freeSplitLocked()
 */
export function* freeLargePte(ctx: Context, pfn: number, whole: boolean): Coroutine {
  const head = folioOf(ctx, pfn);
  const batch = ctx.kernel.rules.freeLargeBatch;
  if (batch && whole) return FREE_WHOLE;
  if (batch ? yield* mappedShared(ctx, head) : (yield* pageMapcount(ctx, head, pfn)) !== 1) return FREE_LEAVE;
  if (--ctx.quantum < 0) yield tries(folioLockWord(ctx, head));
  if (!folioTrylock(ctx, head)) return FREE_LEAVE;
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refAdd(ctx, head, 1, REF_TEMP);
  return FREE_SPLIT;
}

/** page_mapcount() of a page of a large folio. */
function* pageMapcount(ctx: Context, head: number, pfn: number): Coroutine {
  const mapsAt = pageWord(ctx.m, pfn, PAGE_MAPS);
  if (--ctx.quantum < 0) yield reads(mapsAt);
  const maps = readOnce(ctx.words, mapsAt);
  if (!folioTestLarge(ctx, head)) return maps;
  const entireAt = pageWord(ctx.m, head, PAGE_ENTIRE_MAPS);
  if (--ctx.quantum < 0) yield reads(entireAt);
  return maps + readOnce(ctx.words, entireAt);
}

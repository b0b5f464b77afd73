/**
 * Zapping: taking mappings away for good (mm/memory.c zap_page_range, mm/mmu_gather.c, v6.18; kernel-model 3.18). Nobody
 * looks at pins: the PTE goes, the maps drop, a pinned page survives by its pin.
 *
 *     tlbGatherMmu .. { NOTIFY.start, zapPageRange, NOTIFY.end } .. tlbFinishMmu
 *
 * The gather keeps the mappings' references until the TLBs are flushed, so no page is free while a CPU can still reach it.
 * It stands in the actor's Context: a zap is never inside another one of the same actor.
 */
import { glance } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_GATHER, REF_MAP } from '../../machine/context.js';
import { acquires, reads, releases, updates } from '../../machine/effects.js';
import { entryPfn, isDirty, isHuge, isPresent, isSpecial, isSwapEntry, isTable } from '../../machine/entries.js';
import {
  MM_TLB_FLUSH_BATCHED,
  MM_TLB_FLUSH_PENDING,
  PAGE_COMPOUND,
  PAGE_MAPS,
  mmWord,
  pageWord,
  pmdLockOf,
  pmdWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { GATHER_FOLIOS } from '../../machine/current/gather.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { fetchAdd, get, peek, readOnce, xchg } from '#words';
import { ZERO_PFN, folioOf, refSubAndTest, refsWord } from '../folio.js';
import { ksmMightUnmapZeroPage } from './wp.js';
import { freeFolio, freePcpPage } from '../page-alloc.js';
import { pgtableWithdraw, pteFree } from '../pgtable.js';
import { folioChangeRmapPmd, folioChangeRmapPte } from '../rmap/rmap.js';
import { freeSwapAndCache, freeSwapCache } from '../swap/swap-state.js';
import { lruAddDrain, lruBatchUsed } from '../swap.js';
import { flushTlbRange } from '../tlb-flush.js';

/** The word that tlbGatherMmu counts in, for the point before it. */
export const tlbFlushPendingWord = (ctx: Context, mm: number): number => mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING);

/** tlb_gather_mmu() for [start, end): one update of tlbFlushPendingWord, from here on KSM and others must flush. */
export function tlbGatherMmu(ctx: Context, mm: number, start: number, end: number): void {
  fetchAdd(ctx.words, mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING), 1);
  const { gather } = ctx;
  gather.count = 0;
  gather.from = end;
  gather.to = start;
  gather.start = start;
  gather.end = end;
}

/** tlb_finish_mmu(): flushes, frees, and closes the gather. */
export const tlbFinishMmu = (ctx: Context, mm: number): Coroutine<void> => flushAndFree(ctx, mm, true);
/** tlb_flush_mmu(): flushes and frees what was gathered so far. */
export const tlbFlushMmu = (ctx: Context, mm: number): Coroutine<void> => flushAndFree(ctx, mm, false);

/**
 * The TLBs first, the references after. When at the end another gather of this mm is open (mm_tlb_flush_nested), it may have
 * cleared entries of our range that it has not flushed: then the whole range asked for is flushed, since our caller's
 * promise is about the range and not about who cleared what (99baac21e458, Z18).
 */
function* flushAndFree(ctx: Context, mm: number, finish: boolean): Coroutine<void> {
  const pending = tlbFlushPendingWord(ctx, mm);
  if (finish) {
    if (yield* ctx.kernel.mmTlbFlushNested(ctx, mm)) {
      ctx.gather.from = ctx.gather.start;
      ctx.gather.to = ctx.gather.end;
    }
  }
  if (ctx.gather.from < ctx.gather.to) {
    yield* flushTlbRange(ctx, false, mm, ctx.gather.from, ctx.gather.to);
    ctx.gather.from = ctx.gather.end;
    ctx.gather.to = ctx.gather.start;
  }
  // free_pages_and_swap_cache(): what waits in our own batch could not be freed otherwise
  if (ctx.gather.count > 0 && lruBatchUsed(ctx)) yield* lruAddDrain(ctx);
  while (ctx.gather.count > 0) {
    const head = ctx.gather.folios[--ctx.gather.count] as number;
    if (ctx.m.swapSlots > 0) yield* freeSwapCache(ctx, head);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    if (refSubAndTest(ctx, head, 1, REF_GATHER) && !freePcpPage(ctx, head)) yield* freeFolio(ctx, head);
  }
  if (finish) {
    // writes through entries that were stale until now are lost too
    ctx.probe.onZapped(ctx, mm, ctx.gather.start, ctx.gather.end);
    if (--ctx.quantum < 0) yield updates(pending);
    fetchAdd(ctx.words, pending, -1);
  }
}

/** tlb_remove_tlb_entry(): [start, end) was cleared. */
function gatherRange(ctx: Context, start: number, end: number): void {
  if (start < ctx.gather.from) ctx.gather.from = start;
  if (end > ctx.gather.to) ctx.gather.to = end;
}

/** __tlb_remove_folio_pages(): the mapping's reference becomes the gather's. */
function gatherFolio(ctx: Context, head: number): void {
  ctx.gather.folios[ctx.gather.count++] = head;
  ctx.probe.onRef(ctx, head, -1, REF_MAP);
  ctx.probe.onRef(ctx, head, 1, REF_GATHER);
}

/**
 * unmap_page_range() of [start, end) of `vma`, between the caller's NOTIFY.start and .end and into his gather. The VMA is
 * locked (VMA lock or mmap_lock, for reading at least).
 */
export function* zapPageRange(ctx: Context, mm: number, vma: number, start: number, end: number): Coroutine<void> {
  let pages = 0;
  let vpn = start;
  while (vpn < end) {
    const pmdAt = pmdWord(ctx.m, mm, vpn);
    const next = Math.min(end, (vpn | (ctx.m.thpPages - 1)) + 1);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(ctx.words, pmdAt);
    if (isTable(pmd)) {
      const ptl = ptlOf(ctx.m, entryPfn(pmd));
      if (--ctx.quantum < 0) yield acquires(ptl);
      while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
      // pte_offset_map_lock(): khugepaged may have taken the table away meanwhile
      if (--ctx.quantum < 0) yield reads(pmdAt);
      if (readOnce(ctx.words, pmdAt) === pmd) {
        // what a batched unmap has cleared here may not be flushed yet (Z19)
        if (flushIsBatched(ctx, mm)) yield* ctx.kernel.flushTlbBatchedPending(ctx, mm);
        for (; vpn < next && ctx.gather.count < GATHER_FOLIOS; vpn++) {
          const pteAt = pteWord(ctx.m, entryPfn(pmd), vpn);
          if (--ctx.quantum < 0) yield updates(pteAt);
          // none stays none under the PTL
          if (peek(ctx.words, pteAt) === 0) continue;
          const entry = clearPte(ctx, mm, vpn, pteAt);
          pages++;
          if (!isPresent(entry)) {
            if (isSwapEntry(entry)) yield* freeSwapAndCache(ctx, entryPfn(entry));
            continue;
          }
          if (isSpecial(entry)) {
            if (isDirty(entry)) yield* ksmMightUnmapZeroPage(ctx, entry);
            continue;
          }
          if (isSmallPage(ctx, entryPfn(entry))) {
            if (--ctx.quantum < 0) yield updates(pageWord(ctx.m, entryPfn(entry), PAGE_MAPS));
            removeRmapPte(ctx, mm, vpn, entryPfn(entry));
          } else {
            yield* folioChangeRmapPte(ctx, folioOf(ctx, entryPfn(entry)), entryPfn(entry), mm, vpn, -1);
          }
          gatherFolio(ctx, folioOf(ctx, entryPfn(entry)));
        }
      }
      if (--ctx.quantum < 0) yield releases(ptl);
      spinUnlock(ctx, ptl, LOCK_PTL);
      if (ctx.gather.count === GATHER_FOLIOS) yield* tlbFlushMmu(ctx, mm);
    } else if (pmd === 0) {
      vpn = next;
    } else if (next - vpn < ctx.m.thpPages) {
      yield* ctx.kernel.splitHugePmd(ctx, mm, vma, vpn);
    } else if (yield* zapHugePmd(ctx, mm, vpn)) {
      pages += ctx.m.thpPages;
      vpn = next;
      if (ctx.gather.count === GATHER_FOLIOS) yield* tlbFlushMmu(ctx, mm);
    }
  }
  emit(ctx, EVENT.zap, mm, start, end, pages);
}

/** tlb_flush_batched: not 0 once an unmap of this mm was batched. A hint: flushTlbBatchedPending looks for itself. */
const flushIsBatched = (ctx: Context, mm: number): boolean =>
  glance(ctx.words, mmWord(ctx.m, mm, MM_TLB_FLUSH_BATCHED)) !== 0;

/** Whether `pfn` is a folio of its own. Under the PTL of a table that maps it. */
const isSmallPage = (ctx: Context, pfn: number): boolean => get(ctx.words, pageWord(ctx.m, pfn, PAGE_COMPOUND)) === 0;

/** ptep_get_and_clear() with tlb_remove_tlb_entry(): the hardware may have set bits, so what counts is what this returns. */
function clearPte(ctx: Context, mm: number, vpn: number, pteAt: number): number {
  const entry = xchg(ctx.words, pteAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, entry, 0);
  ctx.probe.onZapped(ctx, mm, vpn, vpn + 1);
  if (isPresent(entry)) gatherRange(ctx, vpn, vpn + 1);
  return entry;
}

/** folio_remove_rmap_pte() of a small page. */
function removeRmapPte(ctx: Context, mm: number, vpn: number, pfn: number): void {
  fetchAdd(ctx.words, pageWord(ctx.m, pfn, PAGE_MAPS), -1);
  ctx.probe.onMap(ctx, mm, vpn, pfn, -1);
}

/** zap_huge_pmd(): a whole huge PMD, in any state. Returns false when it is none any more. */
function* zapHugePmd(ctx: Context, mm: number, start: number): Coroutine<boolean> {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, start);
  const lock = pmdLockOf(m, mm, start);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_PMD)) yield contended(ctx, lock);
  if (--ctx.quantum < 0) yield updates(pmdAt);
  const huge = isHuge(readOnce(words, pmdAt));
  if (huge) {
    const pmd = xchg(words, pmdAt, 0);
    const end = start + m.thpPages;
    ctx.probe.onEntry(ctx, mm, start, pmdAt, pmd, 0);
    ctx.probe.onZapped(ctx, mm, start, end);
    gatherRange(ctx, start, end);
    if (isPresent(pmd) && entryPfn(pmd) !== ZERO_PFN) {
      yield* folioChangeRmapPmd(ctx, entryPfn(pmd), mm, start, -1);
      gatherFolio(ctx, entryPfn(pmd));
    }
    // zap_deposited_table(): no walker has ever seen it
    yield* pteFree(ctx, pgtableWithdraw(ctx, mm, start));
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  return huge;
}

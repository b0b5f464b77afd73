/**
 * Zapping: taking mappings away for good (mm/memory.c zap_page_range, mm/mmu_gather.c, v6.18; kernel-model 3.18). Nobody
 * looks at pins: the PTE goes, the maps drop, a pinned page survives by its pin.
 *
 *     tlbGatherMmu .. { NOTIFY.start, zapPageRange, NOTIFY.end } .. tlbFinishMmu
 *
 * The gather keeps the mappings' references until the TLBs are flushed, so no page is free while a CPU can still reach it.
 * It stands in the actor's Context: a zap is never inside another one of the same actor.
 */
import { type Context, type Coroutine, GATHER_FOLIOS, REF_GATHER, REF_MAP } from '../machine/context.js';
import { acquires, reads, releases, updates } from '../machine/effects.js';
import { entryPfn, isHuge, isPresent, isSpecial, isTable } from '../machine/entries.js';
import {
  CPU_LRU_COUNT, MM_TLB_FLUSH_BATCHED, MM_TLB_FLUSH_PENDING, PAGE_MAPS, mmWord, pageWord, pmdLockOf, pmdWord, pteWord, ptlOf,
} from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { fetchAdd, peek, readOnce, xchg } from '#words';
import { ZERO_PFN, folioOf, folioTestLarge, refSubAndTest, refsWord } from './folio.js';
import { ksmMightUnmapZeroPage } from './memory-wp.js';
import { flushTlbBatchedPending } from './migrate-flush.js';
import { freeFolio } from './page-alloc.js';
import { pgtableWithdraw, pteFree } from './pgtable.js';
import { folioChangeRmapPmd, folioChangeRmapPte } from './rmap.js';
import { lruAddDrain } from './swap.js';
import { flushTlbRange } from './tlb-flush.js';

/** The word that tlbGatherMmu counts in, for the point before it. */
export const tlbFlushPendingWord = (ctx: Context, mm: number): number => mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING);

/** tlb_gather_mmu() for [start, end): one update of tlbFlushPendingWord, from here on KSM and others must flush. */
export function tlbGatherMmu(ctx: Context, mm: number, start: number, end: number): void {
  fetchAdd(ctx.words, mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING), 1);
  ctx.gatherCount = 0;
  ctx.gatherFrom = end;
  ctx.gatherTo = start;
  ctx.gatherStart = start;
  ctx.gatherEnd = end;
}

/**
 * tlb_finish_mmu(): flushes, then frees. When another gather of this mm is open (mm_tlb_flush_nested), it may have cleared
 * entries of our range that it has not flushed: then the whole range asked for is flushed, since our caller's promise is
 * about the range and not about who cleared what (99baac21e458, Z18).
 */
export function* tlbFinishMmu(ctx: Context, mm: number): Coroutine<void> {
  const pending = mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING);
  if (--ctx.quantum < 0) yield reads(pending);
  if (readOnce(ctx.words, pending) > 1) {
    ctx.gatherFrom = ctx.gatherStart;
    ctx.gatherTo = ctx.gatherEnd;
  }
  yield* tlbFlushMmu(ctx, mm);
  // writes through entries that were stale until now are lost too
  ctx.probe.onZapped(ctx, mm, ctx.gatherStart, ctx.gatherEnd);
  if (--ctx.quantum < 0) yield updates(pending);
  fetchAdd(ctx.words, pending, -1);
}

/** tlb_flush_mmu(): the TLBs first, the references after. */
export function* tlbFlushMmu(ctx: Context, mm: number): Coroutine<void> {
  if (ctx.gatherFrom < ctx.gatherTo) {
    yield* flushTlbRange(ctx, false, mm, ctx.gatherFrom, ctx.gatherTo);
    ctx.gatherFrom = ctx.gatherEnd;
    ctx.gatherTo = ctx.gatherStart;
  }
  const count = ctx.gatherCount;
  if (count === 0) return;
  // free_pages_and_swap_cache(): what waits in our own batch could not be freed otherwise
  if (peek(ctx.words, ctx.cpuAt + CPU_LRU_COUNT) !== 0) yield* lruAddDrain(ctx);
  for (let i = 0; i < count; i++) {
    const head = ctx.gatherFolios[i] as number;
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    if (refSubAndTest(ctx, head, 1, REF_GATHER)) yield* freeFolio(ctx, head);
  }
  ctx.gatherCount = 0;
}

/** tlb_remove_tlb_entry(): [start, end) was cleared. */
function gatherRange(ctx: Context, start: number, end: number): void {
  if (start < ctx.gatherFrom) ctx.gatherFrom = start;
  if (end > ctx.gatherTo) ctx.gatherTo = end;
}

/** __tlb_remove_folio_pages(): the mapping's reference becomes the gather's. */
function gatherFolio(ctx: Context, head: number): void {
  ctx.gatherFolios[ctx.gatherCount++] = head;
  ctx.probe.onRef(ctx, head, -1, REF_MAP);
  ctx.probe.onRef(ctx, head, 1, REF_GATHER);
}

/**
 * unmap_page_range() of [start, end) of `vma`, between the caller's NOTIFY.start and .end and into his gather. The VMA is
 * locked (VMA lock or mmap_lock, for reading at least).
 */
export function* zapPageRange(ctx: Context, mm: number, vma: number, start: number, end: number): Coroutine<void> {
  const { m, words } = ctx;
  let pages = 0;
  for (let vpn = start; vpn < end; ) {
    const next = Math.min(end, (vpn | (m.thpPages - 1)) + 1);
    const pmdAt = pmdWord(m, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    if (isHuge(pmd)) {
      if (next - vpn < m.thpPages) {
        yield* ctx.kernel.splitHugePmd(ctx, mm, vma, vpn);
      } else if (yield* zapHugePmd(ctx, mm, vpn)) {
        pages += m.thpPages;
        if (ctx.gatherCount === GATHER_FOLIOS) yield* tlbFlushMmu(ctx, mm);
        vpn = next;
      }
      // if it was no huge PMD any more, or has been split: look again
      continue;
    }
    while (vpn < next && pmd !== 0) {
      const from = vpn;
      vpn = yield* zapPteRange(ctx, mm, vpn, next);
      pages += vpn - from;
      if (ctx.gatherCount === GATHER_FOLIOS) yield* tlbFlushMmu(ctx, mm);
    }
    vpn = next;
  }
  emit(ctx, EVENT.zap, mm, start, end, pages);
}

/** zap_pte_range(): clears PTEs from `vpn` on until `end` or a full gather. Returns where it stopped. */
function* zapPteRange(ctx: Context, mm: number, from: number, end: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, from);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  // pte_offset_map_lock() finds no table: somebody has collapsed or zapped it
  if (!isTable(pmd)) return end;
  const table = entryPfn(pmd);
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  // what a batched unmap has cleared here may not be flushed yet (Z19)
  if (peek(words, mmWord(m, mm, MM_TLB_FLUSH_BATCHED)) !== 0) yield* flushTlbBatchedPending(ctx, mm);
  let vpn = from;
  for (; vpn < end && ctx.gatherCount < GATHER_FOLIOS; vpn++) {
    const pteAt = pteWord(m, table, vpn);
    if (--ctx.quantum < 0) yield updates(pteAt);
    // none stays none under the PTL; anything else may be changed by the hardware, so what counts is what xchg returns
    if (readOnce(words, pteAt) === 0) continue;
    const entry = xchg(words, pteAt, 0);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, entry, 0);
    ctx.probe.onZapped(ctx, mm, vpn, vpn + 1);
    if (!isPresent(entry)) continue;
    gatherRange(ctx, vpn, vpn + 1);
    if (isSpecial(entry)) {
      yield* ksmMightUnmapZeroPage(ctx, entry);
      continue;
    }
    const pfn = entryPfn(entry);
    const head = folioOf(ctx, pfn);
    if (folioTestLarge(ctx, head)) {
      yield* folioChangeRmapPte(ctx, head, pfn, mm, vpn, -1);
    } else {
      const maps = pageWord(m, pfn, PAGE_MAPS);
      if (--ctx.quantum < 0) yield updates(maps);
      fetchAdd(words, maps, -1);
      ctx.probe.onMap(ctx, mm, vpn, pfn, -1);
    }
    gatherFolio(ctx, head);
  }
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return vpn;
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

/**
 * MADV_FREE (mm/madvise.c madvise_free_single_vma, v6.18): the pages stay, but their content need not: entries become old and
 * clean, folios lazyfree, so that reclaim may drop them without swapping, unless they are written again. Such a folio is not
 * swapbacked, which others take for a page of the page cache (pkvm_mem_abort).
 *
 * Left out: large folios, which are split at their PMD and then left alone.
 */
import {
  EINVAL,
  ENOMEM,
  MECH_ZAP,
  MMU_NOTIFY_CLEAR,
  PG_DIRTY,
  PG_LRU,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_SHARED,
} from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, releases, tries, updates, writes } from '../machine/effects.js';
import { PTE_DIRTY, PTE_YOUNG, entryPfn, isPresent, isSpecial, isSwapEntry } from '../machine/entries.js';
import { pteWord, ptlOf } from '../machine/layout.js';
import { LOCK_PTL } from '../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../locks/vma-lock.js';
import { fetchAnd, readOnce, writeOnce } from '#words';
import { clearFlag, flagsWord, folioMaps, folioOf, folioTestLarge, mapsWord, testFlag } from './folio.js';
import { splitHugePmdIfNeeded } from './huge-memory-split.js';
import { pteOffsetMapLock } from './pgtable.js';
import { folioFreeSwap, freeSwapAndCache } from './swap-state.js';
import { findVmaFrom, vmaEnd, vmaFlags, vmaStart } from './vma.js';
import { tlbFinishMmu, tlbFlushPendingWord, tlbGatherMmu } from './zap.js';

/** vma_is_anonymous() and can_madv_lru_vma(). */
const mayFree = (ctx: Context, vma: number): boolean =>
  (vmaFlags(ctx, vma) & (VM_SHARED | VM_PFNMAP | VM_IO | VM_LOCKED)) === 0;

/**
 * MADV_FREE of [start, end).
 * @returns 0, -EINVAL (a VMA that is not anonymous) or -ENOMEM (part of the range is not mapped; the rest was done)
 */
export function* madviseFree(ctx: Context, mm: number, start: number, end: number): Coroutine {
  const outer = ctx.mechanism;
  ctx.mechanism = MECH_ZAP;
  yield* mmapReadLock(ctx, mm);
  if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
  tlbGatherMmu(ctx, mm, start, end);
  let result = 0;
  for (let vpn = start; vpn < end;) {
    const vma = findVmaFrom(ctx, mm, vpn);
    if (vma < 0 || vmaStart(ctx, vma) >= end) {
      result = -ENOMEM;
      break;
    }
    if (vmaStart(ctx, vma) > vpn) result = -ENOMEM;
    if (!mayFree(ctx, vma)) {
      result = -EINVAL;
      break;
    }
    const from = Math.max(vpn, vmaStart(ctx, vma));
    const to = Math.min(end, vmaEnd(ctx, vma));
    yield* splitHugePmdIfNeeded(ctx, mm, vma, from);
    yield* splitHugePmdIfNeeded(ctx, mm, vma, to);
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, from, to, MMU_NOTIFY_CLEAR, true);
    yield* freePteRange(ctx, mm, from, to);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, from, to);
    vpn = to;
  }
  yield* tlbFinishMmu(ctx, mm);
  yield* mmapReadUnlock(ctx, mm);
  ctx.mechanism = outer;
  return result;
}

/** madvise_free_pte_range() over [start, end). */
function* freePteRange(ctx: Context, mm: number, start: number, end: number): Coroutine<void> {
  for (let vpn = start; vpn < end;) {
    const next = Math.min(end, (vpn | (ctx.m.thpPages - 1)) + 1);
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (table >= 0) {
      for (; vpn < next; vpn++) yield* freePte(ctx, mm, vpn, pteWord(ctx.m, table, vpn));
      const ptl = ptlOf(ctx.m, table);
      if (--ctx.quantum < 0) yield releases(ptl);
      spinUnlock(ctx, ptl, LOCK_PTL);
    }
    vpn = next;
  }
}

/** One entry, under the PTL. */
function* freePte(ctx: Context, mm: number, vpn: number, pteAt: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield reads(pteAt);
  const entry = readOnce(ctx.words, pteAt);
  if (isSwapEntry(entry)) {
    if (--ctx.quantum < 0) yield writes(pteAt);
    writeOnce(ctx.words, pteAt, 0);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, entry, 0);
    ctx.probe.onZapped(ctx, mm, vpn, vpn + 1);
    yield* freeSwapAndCache(ctx, entryPfn(entry));
    return;
  }
  if (!isPresent(entry) || isSpecial(entry)) return;
  const head = folioOf(ctx, entryPfn(entry));
  if (folioTestLarge(ctx, head)) return;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if (testFlag(ctx, head, PG_SWAPCACHE | PG_DIRTY) && !(yield* cleanFolio(ctx, head))) return;
  if ((entry & (PTE_YOUNG | PTE_DIRTY)) !== 0) {
    // the hardware may have set bits meanwhile: what counts is what this returns
    if (--ctx.quantum < 0) yield updates(pteAt);
    const before = fetchAnd(ctx.words, pteAt, ~(PTE_YOUNG | PTE_DIRTY));
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, before, before & ~(PTE_YOUNG | PTE_DIRTY));
    if (vpn < ctx.gatherFrom) ctx.gatherFrom = vpn;
    if (vpn + 1 > ctx.gatherTo) ctx.gatherTo = vpn + 1;
  }
  // folio_mark_lazyfree(), which the kernel puts off until its LRU batch is drained
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  if (testFlag(ctx, head, PG_LRU) && testFlag(ctx, head, PG_SWAPBACKED) && !testFlag(ctx, head, PG_SWAPCACHE))
    clearFlag(ctx, head, PG_SWAPBACKED | PG_REFERENCED);
}

/** A dirty folio, or one with a swap slot: only where nobody else maps it. False: left alone. */
function* cleanFolio(ctx: Context, head: number): Coroutine<boolean> {
  const lock = folioLockWord(ctx, head);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!folioTrylock(ctx, head)) return false;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  const alone = folioMaps(ctx, head) === 1;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const clean = alone && (!testFlag(ctx, head, PG_SWAPCACHE) || (yield* folioFreeSwap(ctx, head)));
  if (clean) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    clearFlag(ctx, head, PG_DIRTY);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, head);
  return clean;
}

/**
 * MADV_FREE (mm/madvise.c madvise_free_single_vma, v6.18): the pages stay, but their content need not: entries become old and
 * clean, folios lazyfree, so that reclaim may drop them without swapping, unless they are written again. Such a folio is not
 * swapbacked, which others take for a page of the page cache (pkvm_mem_abort).
 */
import {
  EINVAL,
  ENOMEM,
  MMU_NOTIFY_CLEAR,
  PG_DIRTY,
  PG_SWAPCACHE,
  VM_IO,
  VM_LOCKED,
  VM_PFNMAP,
  VM_SHARED,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { reads, releases, tries, updates, writes } from '../../machine/effects.js';
import { PTE_DIRTY, PTE_YOUNG, entryPfn, isPresent, isSpecial, isSwapEntry } from '../../machine/entries.js';
import { pteWord, ptlOf } from '../../machine/layout.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../../locks/vma-lock.js';
import { fetchAnd, readOnce, writeOnce } from '#words';
import { clearFlag, flagsWord, folioMaps, folioOf, folioTestLarge, mapsWord, testFlag } from '../folio.js';
import {
  FREE_LEAVE,
  FREE_SPLIT,
  folioMarkLazyfree,
  freeLargePte,
  freeSplitLocked,
  madviseFreeHugePmd,
} from '../huge_memory/free.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { folioFreeSwap, freeSwapAndCache } from '../swap/swap-state.js';
import { findVmaFrom, vmaEnd, vmaFlags, vmaStart } from '../vma/vma.js';
import { tlbFinishMmu, tlbFlushPendingWord, tlbGatherMmu } from '../memory/zap.js';

/** vma_is_anonymous() and can_madv_lru_vma(). */
const mayFree = (ctx: Context, vma: number): boolean =>
  (vmaFlags(ctx, vma) & (VM_SHARED | VM_PFNMAP | VM_IO | VM_LOCKED)) === 0;

/**
 * MADV_FREE of [start, end).
 * @returns 0, -EINVAL (a VMA that is not anonymous) or -ENOMEM (part of the range is not mapped; the rest was done)
 */
export function* madviseFree(ctx: Context, mm: number, start: number, end: number): Coroutine {
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.zap;
  yield* mmapReadLock(ctx, mm);
  if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
  tlbGatherMmu(ctx, mm, start, end);
  ctx.probe.onLazyFreeBegin(ctx, mm, start, end);
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
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, from, to, MMU_NOTIFY_CLEAR, true);
    yield* freePteRange(ctx, mm, from, to);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, from, to);
    vpn = to;
  }
  yield* tlbFinishMmu(ctx, mm);
  ctx.probe.onLazyFreeEnd(ctx, mm, start, end);
  yield* mmapReadUnlock(ctx, mm);
  ctx.task.mechanism = outer;
  return result;
}

/** madvise_free_pte_range() over [start, end). */
function* freePteRange(ctx: Context, mm: number, start: number, end: number): Coroutine<void> {
  for (let vpn = start; vpn < end;) {
    const next = Math.min(end, (vpn | (ctx.m.thpPages - 1)) + 1);
    if ((yield* madviseFreeHugePmd(ctx, mm, vpn, next)) === 0) {
      // after a split the walk goes on where it was; `vpn` is behind the range where there are no PTEs
      while (vpn < next) vpn = yield* freePtes(ctx, mm, vpn, next);
    }
    vpn = next;
  }
}

/** The PTEs of [vpn, next) under one hold of their lock. Returns how far it came: not to `next` where the lock went for a split. */
function* freePtes(ctx: Context, mm: number, start: number, next: number): Coroutine {
  const table = yield* pteOffsetMapLock(ctx, mm, start);
  if (table < 0) return next;
  let vpn = start;
  let split = -1;
  let run = 0;
  while (vpn < next && split < 0) {
    const pteAt = pteWord(ctx.m, table, vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const entry = readOnce(ctx.words, pteAt);
    let pages = 1;
    if (isPresent(entry) && !isSpecial(entry) && folioTestLarge(ctx, folioOf(ctx, entryPfn(entry)))) {
      const head = folioOf(ctx, entryPfn(entry));
      run = yield* batchHere(ctx, table, vpn, next, entryPfn(entry));
      const fate = yield* freeLargePte(ctx, entryPfn(entry), run === ctx.m.thpPages);
      if (fate === FREE_SPLIT) split = head;
      // before v6.10 that was the end of the walk
      else if (fate === FREE_LEAVE) pages = ctx.kernel.rules.freeLargeBatch ? run : next - vpn;
      else pages = yield* freeLarge(ctx, mm, table, vpn, head);
    } else {
      yield* freePte(ctx, mm, vpn, pteAt, entry);
    }
    if (split < 0) vpn += pages;
  }
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  if (split < 0) return vpn;
  if ((yield* freeSplitLocked(ctx, split)) !== 0) return ctx.kernel.rules.freeLargeBatch ? vpn + run : next;
  return vpn;
}

/** madvise_folio_pte_batch(): how many PTEs from `vpn` on, within the range, map `pfn` and what follows it. Under the PTL. */
function* batchHere(ctx: Context, table: number, vpn: number, next: number, pfn: number): Coroutine {
  const end = Math.min(next, vpn + folioOf(ctx, pfn) + ctx.m.thpPages - pfn);
  let page = vpn + 1;
  for (; page < end; page++) {
    const pteAt = pteWord(ctx.m, table, page);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const entry = readOnce(ctx.words, pteAt);
    if (!isPresent(entry) || isSpecial(entry) || entryPfn(entry) !== pfn + page - vpn) break;
  }
  return page - vpn;
}

/** A large folio, all of whose PTEs are from `vpn` on in this table. Under the PTL. Returns its pages. */
function* freeLarge(ctx: Context, mm: number, table: number, vpn: number, head: number): Coroutine {
  const { thpPages } = ctx.m;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if (testFlag(ctx, head, PG_SWAPCACHE | PG_DIRTY) && !(yield* cleanFolio(ctx, head, thpPages))) return thpPages;
  for (let i = 0; i < thpPages; i++) yield* makeOldAndClean(ctx, mm, vpn + i, pteWord(ctx.m, table, vpn + i));
  yield* folioMarkLazyfree(ctx, head);
  return thpPages;
}

/** One entry that maps no large folio, under the PTL. */
function* freePte(ctx: Context, mm: number, vpn: number, pteAt: number, entry: number): Coroutine<void> {
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
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if (testFlag(ctx, head, PG_SWAPCACHE | PG_DIRTY) && !(yield* cleanFolio(ctx, head, 1))) return;
  if ((entry & (PTE_YOUNG | PTE_DIRTY)) !== 0) yield* makeOldAndClean(ctx, mm, vpn, pteAt);
  yield* folioMarkLazyfree(ctx, head);
}

/** clear_young_dirty_ptes() of one PTE: the hardware may have set bits meanwhile, what counts is what this finds. */
function* makeOldAndClean(ctx: Context, mm: number, vpn: number, pteAt: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield updates(pteAt);
  const before = fetchAnd(ctx.words, pteAt, ~(PTE_YOUNG | PTE_DIRTY));
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, before, before & ~(PTE_YOUNG | PTE_DIRTY));
  if (vpn < ctx.gather.from) ctx.gather.from = vpn;
  if (vpn + 1 > ctx.gather.to) ctx.gather.to = vpn + 1;
}

/** A dirty folio, or one with swap slots: only where nobody else maps any of its `pages`. False: left alone. */
function* cleanFolio(ctx: Context, head: number, pages: number): Coroutine<boolean> {
  const lock = folioLockWord(ctx, head);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!folioTrylock(ctx, head)) return false;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  const alone = folioMaps(ctx, head) === pages;
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

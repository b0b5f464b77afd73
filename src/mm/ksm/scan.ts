/** ksmd's cursor (mm/ksm.c scan_get_next_rmap_item, should_skip_rmap_item, v6.18; kernel-model 3.16 step 1). */
import { VM_MERGEABLE } from '../../machine/abi.js';
import { glance } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_TEMP } from '../../machine/context.js';
import { reads, releases, updates } from '../../machine/effects.js';
import { entryPfn, isHuge, isPresent, isSpecial, isTable, isTransHuge } from '../../machine/entries.js';
import {
  KSM_ITEM_AGE,
  KSM_ITEM_REMAINING_SKIPS,
  KSM_SCAN_ADDRESS,
  KSM_SCAN_MM,
  KSM_SMART_SCAN,
  MMF_EXITING,
  MM_FLAGS,
  MM_KSM_SLOT,
  PAGE_MAPPING,
  globalWord,
  ksmItem,
  ksmItemWord,
  mmWord,
  pageWord,
  pmdLockOf,
  pmdWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../../locks/vma-lock.js';
import { get, peek, readOnce, set } from '#words';
import { ZERO_PFN, folioMapping, folioOf, folioPut, mappingIsAnon, mappingIsKsm, refAdd, refsWord } from '../folio.js';
import { endFullScan, removeRmapItemFromTree } from './tree.js';
import { pmdLock, pteOffsetMapLock } from '../pgtable.js';
import { findVmaFrom, vmaEnd, vmaFlags, vmaStart } from '../vma/vma.js';

const AGE_MAX = 255;

/**
 * scan_get_next_rmap_item(): moves the cursor past the next anonymous page of a mergeable VMA and takes a reference to its
 * folio.
 * @returns the page; -1 when a full scan has ended instead
 */
export function* scanGetNextRmapItem(ctx: Context): Coroutine {
  const { m, words } = ctx;
  const mmAt = globalWord(m, KSM_SCAN_MM);
  const addressAt = globalWord(m, KSM_SCAN_ADDRESS);
  for (;;) {
    const mm = get(words, mmAt);
    if (mm >= m.mms) {
      set(words, mmAt, 0);
      set(words, addressAt, 0);
      yield* endFullScan(ctx);
      return -1;
    }
    if (glance(words, mmWord(m, mm, MM_KSM_SLOT)) !== 0) {
      yield* mmapReadLock(ctx, mm);
      // ksm_test_exit() comes after the lock and before the first VMA is looked at (Z31)
      const found = ctx.kernel.ksmTestExit(ctx, mm) ? -1 : yield* nextAnonPage(ctx, mm, addressAt);
      yield* mmapReadUnlock(ctx, mm);
      if (found >= 0) return found;
    }
    set(words, mmAt, mm + 1);
    set(words, addressAt, 0);
  }
}

/** ksm_test_exit(): `mm` is dying, its VMAs are going or gone. mmap_lock is held. */
export const ksmTestExit = (ctx: Context, mm: number): boolean =>
  (glance(ctx.words, mmWord(ctx.m, mm, MM_FLAGS)) & MMF_EXITING) !== 0;

/** The rest of `mm`: the next such page, or -1. Under mmap_lock. */
function* nextAnonPage(ctx: Context, mm: number, addressAt: number): Coroutine {
  const { m, words } = ctx;
  for (;;) {
    ctx.probe.onKsmVmaWalk(ctx, mm);
    const vma = findVmaFrom(ctx, mm, get(words, addressAt));
    if (vma < 0) return -1;
    if ((vmaFlags(ctx, vma) & VM_MERGEABLE) === 0) {
      set(words, addressAt, vmaEnd(ctx, vma));
      continue;
    }
    let vpn = Math.max(get(words, addressAt), vmaStart(ctx, vma));
    const end = vmaEnd(ctx, vma);
    while (vpn < end) {
      const pmd = glance(words, pmdWord(m, mm, vpn));
      if (pmd === 0) {
        vpn = Math.min(end, (vpn | (m.thpPages - 1)) + 1);
        continue;
      }
      const pfn = yield* ctx.kernel.folioWalk(ctx, mm, vpn);
      if (pfn > 0) {
        const item = ksmItem(m, mm, vpn);
        set(words, addressAt, vpn + 1);
        countStat(m, ctx.actor, STAT.ksm_pages_scanned, 1);
        if (!(yield* shouldSkipRmapItem(ctx, item, pfn))) return pfn;
        yield* folioPut(ctx, folioOf(ctx, pfn), REF_TEMP);
      } else {
        ctx.probe.onKsmPassed(ctx, mm, vpn);
      }
      vpn++;
    }
    set(words, addressAt, end);
  }
}

/** folio_walk_start() for an anonymous page: its pfn with a reference to its folio, or -1. Under mmap_lock. */
export function* folioWalk(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  let pfn = -1;
  if (isHuge(pmd)) {
    const lock = yield* pmdLock(ctx, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const now = readOnce(words, pmdAt);
    if (isTransHuge(now) && entryPfn(now) !== ZERO_PFN) {
      pfn = entryPfn(now) + (vpn & (m.thpPages - 1));
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, entryPfn(now)));
      refAdd(ctx, entryPfn(now), 1, REF_TEMP);
    }
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, pmdLockOf(m, mm, vpn), LOCK_PMD);
    return pfn;
  }
  if (!isTable(pmd)) return -1;
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return -1;
  const pteAt = pteWord(m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const entry = readOnce(words, pteAt);
  if (isPresent(entry) && !isSpecial(entry)) {
    const folio = folioOf(ctx, entryPfn(entry));
    if (--ctx.quantum < 0) yield reads(pageWord(m, folio, PAGE_MAPPING));
    if (mappingIsAnon(folioMapping(ctx, folio))) {
      pfn = entryPfn(entry);
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
      refAdd(ctx, folio, 1, REF_TEMP);
    }
  }
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return pfn;
}

/** should_skip_rmap_item() (6.7+): a page that has failed for long is looked at less and less often. */
function* shouldSkipRmapItem(ctx: Context, item: number, pfn: number): Coroutine<boolean> {
  const { m, words } = ctx;
  if (peek(words, globalWord(m, KSM_SMART_SCAN)) === 0) return false;
  const folio = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(pageWord(m, folio, PAGE_MAPPING));
  if (mappingIsKsm(folioMapping(ctx, folio))) return false;
  const ageAt = ksmItemWord(m, item, KSM_ITEM_AGE);
  const age = get(words, ageAt);
  if (age !== AGE_MAX) set(words, ageAt, age + 1);
  // the first scans are needed to get through checksum and trees
  if (age < 3) return false;
  const skipsAt = ksmItemWord(m, item, KSM_ITEM_REMAINING_SKIPS);
  const skips = get(words, skipsAt);
  if (skips === 0) {
    set(words, skipsAt, age <= 3 ? 1 : age <= 5 ? 2 : age <= 8 ? 4 : 8);
    return false;
  }
  set(words, skipsAt, skips - 1);
  yield* removeRmapItemFromTree(ctx, item);
  return true;
}

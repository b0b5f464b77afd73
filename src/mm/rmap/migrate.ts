/**
 * try_to_migrate: every mapping of a locked folio becomes a migration entry (mm/rmap.c, v6.18; kernel-model 3.11 step
 * 4). The notifier is sent to each VMA before anything is known of pins: the thread's complaint.
 */
import {
  folioTryShareAnonRmap,
  RMAP_WALK_LOCKED,
  folioChangeRmapPte,
  rmapWalkEnd,
  rmapWalkNext,
  rmapWalkStart,
} from './rmap.js';
import { mkMigrationEntry } from '../migrate/entries.js';
import { MMU_NOTIFY_CLEAR, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_HWPOISON } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  SWP_HWPOISON,
  entryPfn,
  isHuge,
  isPresent,
  isSpecial,
  isTable,
  isTransHuge,
  mkSwapEntry,
} from '../../machine/entries.js';
import { PAGE_MAPPING, pageWord, pmdWord, pteWord, ptlOf } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { readOnce, writeOnce, xchg } from '#words';
import {
  flagsWord,
  folioIndex,
  folioMapping,
  folioMaps,
  folioPages,
  mapsWord,
  refSubAndTest,
  refsWord,
  setFlag,
} from '../folio.js';
import { splitHugePmdLocked } from '../huge_memory/split.js';
import { thpStart } from '../huge_memory/huge-memory.js';
import { setTlbUbcFlushPending, shouldDeferFlush } from './flush.js';
import { setPmdMigrationEntry } from '../huge_memory/migrate.js';
import { pmdLock, pteOffsetMapLock } from '../pgtable.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaEnd, vmaMm } from '../vma/vma.js';

/* enum ttu_flags (include/linux/rmap.h) */
/** A huge PMD is split into migration PTEs instead of becoming one huge migration entry. */
export const TTU_SPLIT_HUGE_PMD = 1 << 0;
/** The CPU flush is deferred to tryToUnmapFlush (TTU_BATCH_FLUSH). */
export const TTU_BATCH = 1 << 1;
/**
 * Entries are looked at under their lock only: waits for a zap that has cleared one and not yet dropped its mapcount.
 */
export const TTU_SYNC = 1 << 2;
/** The caller holds the anon_vma's rwsem. */
export const TTU_RMAP_LOCKED = 1 << 3;

const RESTART = -1;

/**
 * try_to_migrate() of the locked folio with head `head`.
 * @param flags TTU_*
 * @returns true when nothing maps it any more
 */
export function* tryToMigrate(ctx: Context, head: number, flags: number): Coroutine<boolean> {
  const mappingAt = pageWord(ctx.m, head, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, head);
  if (mapping !== 0) {
    const index = folioIndex(ctx, head);
    const pages = folioPages(ctx, head);
    const locked = (flags & TTU_RMAP_LOCKED) !== 0;
    let cursor = locked ? RMAP_WALK_LOCKED : yield* rmapWalkStart(ctx, mapping);
    while ((cursor = yield* rmapWalkNext(ctx, mapping, cursor, index, pages)) !== 0) {
      if ((yield* ctx.kernel.tryToMigrateOne(ctx, head, ctx.out.rmapVma, ctx.out.rmapVpn, flags)) === 0) break;
      // done: folio_not_mapped()
      if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
      if (folioMaps(ctx, head) === 0) break;
    }
    if (!locked) yield* rmapWalkEnd(ctx, mapping, cursor);
  }
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  return folioMaps(ctx, head) === 0;
}

/**
 * try_to_migrate_one(): the mappings of a folio in one VMA, between NOTIFY.start and NOTIFY.end.
 * @param vpn where the folio begins in this VMA
 * @returns 1, or 0: a mapping stays (pinned), the walk stops
 */
export function* tryToMigrateOne(ctx: Context, head: number, vma: number, vpn: number, flags: number): Coroutine {
  const mm = vmaMm(ctx, vma);
  const pages = folioPages(ctx, head);
  const end = pages === 1 ? vpn + 1 : Math.min(folioIndex(ctx, head) + pages, vmaEnd(ctx, vma));
  // through 6.15 the split of the PMD was a call of its own, with a notifier pair of its own
  if ((flags & TTU_SPLIT_HUGE_PMD) !== 0 && pages > 1 && ctx.kernel.rules.splitNotifierPairs === 2) {
    yield* splitHugePmdAddress(ctx, mm, vma, thpStart(ctx, vpn), head, true);
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, end, MMU_NOTIFY_CLEAR, true);
  const result = yield* unmapMapping(ctx, mm, vma, head, vpn, end, flags);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, end);
  return result;
}

/** What try_to_migrate_one() does between its notifier calls. Returns as that. */
export function* unmapMapping(
  ctx: Context,
  mm: number,
  vma: number,
  head: number,
  vpn: number,
  end: number,
  flags: number,
): Coroutine {
  let result = RESTART;
  while (result === RESTART) result = yield* unmapFolio(ctx, mm, vma, head, vpn, end, flags);
  return result;
}

/** split_huge_pmd_address() of a folio: with a notifier pair over the whole huge page, whatever the PMD is. */
export function* splitHugePmdAddress(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  head: number,
  freeze: boolean,
): Coroutine<void> {
  const end = start + ctx.m.thpPages;
  const pmdAt = pmdWord(ctx.m, mm, start);
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_CLEAR, true);
  const lock = yield* pmdLock(ctx, mm, start);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(ctx.words, pmdAt);
  if (isHuge(pmd) && entryPfn(pmd) === head) yield* splitHugePmdLocked(ctx, mm, vma, start, freeze);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
}

/** page_vma_mapped_walk() over [vpn, end) with what is to be done at each mapping. 1, 0 (stays mapped) or RESTART. */
function* unmapFolio(
  ctx: Context,
  mm: number,
  vma: number,
  head: number,
  vpn: number,
  end: number,
  flags: number,
): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  if (isTable(pmd)) return yield* unmapPtes(ctx, mm, head, vpn, end, flags, entryPfn(pmd));
  if (!isHuge(pmd)) return 1;
  const lock = yield* pmdLock(ctx, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const now = readOnce(words, pmdAt);
  let result = isTable(now) ? RESTART : 1;
  if (isTransHuge(now) && entryPfn(now) === head) {
    if ((flags & TTU_SPLIT_HUGE_PMD) !== 0) {
      yield* splitHugePmdLocked(ctx, mm, vma, thpStart(ctx, vpn), true);
      // from v6.16 to v6.19 that ended the walk, so that a huge page which others map as well was never split
      result = ctx.kernel.rules.splitShared ? RESTART : 0;
    } else {
      result = (yield* setPmdMigrationEntry(ctx, mm, thpStart(ctx, vpn), head)) === 0 ? 1 : 0;
    }
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  return result;
}

function* unmapPtes(
  ctx: Context,
  mm: number,
  head: number,
  vpn: number,
  end: number,
  flags: number,
  hint: number,
): Coroutine {
  const { m, words } = ctx;
  const pages = folioPages(ctx, head);
  let table = -1;
  let result = 1;
  for (let page = vpn; page < end && result === 1; page++) {
    if (table < 0) {
      // map_pte(): no lock is taken for an entry that is not present
      const peekAt = pteWord(m, hint, page);
      if ((flags & TTU_SYNC) === 0) {
        if (--ctx.quantum < 0) yield reads(peekAt);
        ctx.probe.onTableWalk(ctx, mm, page, hint);
        if (!isPresent(readOnce(words, peekAt))) continue;
      }
      table = yield* pteOffsetMapLock(ctx, mm, page);
      if (table < 0) return RESTART;
    }
    const pteAt = pteWord(m, table, page);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const pte = readOnce(words, pteAt);
    const pfn = entryPfn(pte);
    if (!isPresent(pte) || isSpecial(pte) || pfn < head || pfn >= head + pages) continue;
    if (!(yield* unmapPte(ctx, mm, page, head, pfn, pteAt, flags))) result = 0;
  }
  if (table >= 0) {
    const ptl = ptlOf(m, table);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
  }
  return result;
}

/** Steps c to h at one PTE, under its PTL. False: pinned, and the PTE is what it was. */
function* unmapPte(
  ctx: Context,
  mm: number,
  vpn: number,
  head: number,
  pfn: number,
  pteAt: number,
  flags: number,
): Coroutine<boolean> {
  const { words } = ctx;
  if (--ctx.quantum < 0) yield updates(pteAt);
  const pte = xchg(words, pteAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, pte, 0);
  if ((flags & TTU_BATCH) !== 0 && shouldDeferFlush(ctx))
    yield* setTlbUbcFlushPending(ctx, mm, vpn, vpn + 1, (pte & PTE_DIRTY) !== 0);
  else yield* flushTlbRange(ctx, false, mm, vpn, vpn + 1);
  if ((pte & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_DIRTY);
  }
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  const pageFlags = readOnce(words, flagsWord(ctx, pfn));
  let entry = mkSwapEntry(SWP_HWPOISON, pfn, 0);
  if ((pageFlags & PG_HWPOISON) === 0) {
    const exclusive = (pageFlags & PG_ANON_EXCLUSIVE) !== 0 && ctx.kernel.rules.wpReuse === 'v5.19';
    if (exclusive && !(yield* folioTryShareAnonRmap(ctx, head, pfn))) {
      if (--ctx.quantum < 0) yield writes(pteAt);
      writeOnce(words, pteAt, pte);
      ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, pte);
      return false;
    }
    entry = mkMigrationEntry(pte, pfn, exclusive, 0);
  }
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
  emit(ctx, EVENT.migration_entry, mm, vpn, pfn, 1);
  yield* folioChangeRmapPte(ctx, head, pfn, mm, vpn, -1);
  // the isolation holds one more: never the last
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refSubAndTest(ctx, head, 1, REF_MAP);
  return true;
}

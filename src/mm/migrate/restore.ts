/**
 * remove_migration_ptes: every migration entry of `src` becomes an ordinary entry of `dst`; with dst = src a migration,
 * or the split of a huge page, is undone (mm/migrate.c, v6.18; kernel-model 3.11 step 10). No notifier: nothing was
 * mapped.
 */
import { noteShared, restoredExclusive, presentFromMigration } from './entries.js';
import { PG_ANON_EXCLUSIVE, PG_HWPOISON, PG_MLOCKED, VM_LOCKED } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_SPECIAL,
  entryPfn,
  isHuge,
  isHugeMigration,
  isMigrationEntry,
  isNone,
  mkEntry,
} from '../../machine/entries.js';
import { PAGE_MAPPING, pageWord, pmdWord, pteWord, ptlOf } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { peek, readOnce, writeOnce } from '#words';
import {
  ZERO_PFN,
  flagsWord,
  folioIndex,
  folioMapping,
  folioPages,
  folioTestLarge,
  mappingIsAnon,
  refAdd,
  refsWord,
  setFlag,
} from '../folio.js';
import { thpStart } from '../huge_memory/huge-memory.js';
import { kernelLoad } from '../kernel-map.js';
import { removeMigrationPmd } from '../huge_memory/migrate.js';
import { protBits } from '../vma/page-prot.js';
import { pmdLock, pteOffsetMapLock } from '../pgtable.js';
import { RMAP_WALK_LOCKED, folioChangeRmapPte, rmapWalkEnd, rmapWalkNext, rmapWalkStart } from '../rmap/rmap.js';
import { vmaEnd, vmaFlags, vmaMm } from '../vma/vma.js';

/** The caller holds the anon_vma's rwsem. */
export const RMP_LOCKED = 1 << 0;
/** A page of zeros becomes the zero page instead (after a split, v6.12+). */
export const RMP_USE_SHARED_ZEROPAGE = 1 << 1;

/** remove_migration_ptes(). Both folios are locked (they may be one); `dst` has the mapping. */
export function* removeMigrationPtes(ctx: Context, src: number, dst: number, flags = 0): Coroutine<void> {
  const mappingAt = pageWord(ctx.m, dst, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, dst);
  if (mapping === 0) return;
  const index = folioIndex(ctx, dst);
  const pages = folioPages(ctx, dst);
  const locked = (flags & RMP_LOCKED) !== 0;
  let cursor = locked ? RMAP_WALK_LOCKED : yield* rmapWalkStart(ctx, mapping);
  while ((cursor = yield* rmapWalkNext(ctx, mapping, cursor, index, pages)) !== 0) {
    const vma = ctx.out.rmapVma;
    const vpn = ctx.out.rmapVpn;
    const end = pages === 1 ? vpn + 1 : Math.min(index + pages, vmaEnd(ctx, vma));
    yield* removeMigrationPte(ctx, vma, vpn, end, src, dst, flags);
  }
  if (!locked) yield* rmapWalkEnd(ctx, mapping, cursor);
}

/** remove_migration_pte(): [vpn, end) of one VMA, looked at under the entries' locks (PVMW_SYNC). */
function* removeMigrationPte(
  ctx: Context,
  vma: number,
  vpn: number,
  end: number,
  src: number,
  dst: number,
  flags: number,
): Coroutine<void> {
  const { m, words } = ctx;
  const mm = vmaMm(ctx, vma);
  const pages = folioPages(ctx, dst);
  const pmdAt = pmdWord(m, mm, vpn);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    if (isNone(pmd)) return;
    if (isHuge(pmd)) {
      const lock = yield* pmdLock(ctx, mm, vpn);
      if (--ctx.quantum < 0) yield reads(pmdAt);
      const now = readOnce(words, pmdAt);
      if (isHugeMigration(now) && entryPfn(now) === src) {
        yield* removeMigrationPmd(ctx, mm, vmaFlags(ctx, vma), thpStart(ctx, vpn), dst, now);
      }
      if (--ctx.quantum < 0) yield releases(lock);
      spinUnlock(ctx, lock, LOCK_PMD);
      if (isHuge(now) || isNone(now)) return;
    }
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (table < 0) continue;
    for (let page = vpn; page < end; page++) {
      const pteAt = pteWord(m, table, page);
      if (--ctx.quantum < 0) yield reads(pteAt);
      const old = readOnce(words, pteAt);
      const offset = entryPfn(old) - src;
      if (!isMigrationEntry(old) || offset < 0 || offset >= pages) continue;
      yield* restorePte(ctx, mm, vmaFlags(ctx, vma), page, dst, dst + offset, pteAt, old, flags);
    }
    const ptl = ptlOf(m, table);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
    return;
  }
}

/** One migration PTE becomes a PTE of subpage `pfn` of the folio `head`. Under the PTL. */
function* restorePte(
  ctx: Context,
  mm: number,
  vmFlags: number,
  vpn: number,
  head: number,
  pfn: number,
  pteAt: number,
  old: number,
  flags: number,
): Coroutine<void> {
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const headFlags = readOnce(ctx.words, flagsWord(ctx, head));
  let entry = presentFromMigration(ctx, vmFlags, old, pfn, headFlags);
  const mayDrop = (flags & RMP_USE_SHARED_ZEROPAGE) !== 0 && ctx.kernel.rules.splitZeropage !== 'never';
  if (mayDrop && (yield* isUnused(ctx, vmFlags, head, headFlags))) {
    // try_to_map_unused_to_zeropage(): the page goes when the split drops its reference
    entry = mkEntry(ZERO_PFN, PTE_SPECIAL | protBits(vmFlags));
  } else {
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    refAdd(ctx, head, 1, REF_MAP);
    // stable: the folio is locked, or was just split off by us
    if (restoredExclusive(ctx, old) && mappingIsAnon(peek(ctx.words, pageWord(ctx.m, head, PAGE_MAPPING)))) {
      if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
      setFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
    }
    yield* noteShared(ctx, head, old);
    yield* folioChangeRmapPte(ctx, head, pfn, mm, vpn, 1);
  }
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, old, entry);
  // of the zero page, which comes in the place of an unused one, the entry says so
  emit(ctx, EVENT.migration_entry, mm, vpn, entryPfn(entry), 0);
}

/** Whether a small page holds only zeros and may be given up for the zero page. */
function* isUnused(ctx: Context, vmFlags: number, head: number, headFlags: number): Coroutine<boolean> {
  if (folioTestLarge(ctx, head) || (headFlags & PG_MLOCKED) !== 0 || (vmFlags & VM_LOCKED) !== 0) return false;
  // a broken page is not read (v6.18)
  if ((headFlags & PG_HWPOISON) !== 0 && ctx.kernel.rules.splitZeropage === 'v6.18') return false;
  return (yield* kernelLoad(ctx, head)) === 0 && ctx.accessValue === 0;
}

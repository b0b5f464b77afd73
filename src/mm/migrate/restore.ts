/**
 * remove_migration_ptes: every migration entry of `src` becomes an ordinary entry of `dst`; with dst = src a migration,
 * or the split of a huge page, is undone (mm/migrate.c, v6.18; kernel-model 3.11 step 10). No notifier: nothing was
 * mapped.
 */
import { PG_ANON_EXCLUSIVE, PG_DIRTY, PG_HWPOISON, PG_MAYBE_SHARED, PG_MLOCKED, VM_LOCKED } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_DIRTY,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_WRITE,
  SWP_YOUNG,
  entryPfn,
  isHuge,
  isHugeMigration,
  isMigrationEntry,
  isNone,
  mkEntry,
  swapType,
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
import { pageProt, protBits } from '../vma/page-prot.js';
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
    const vma = ctx.rmapVma;
    const vpn = ctx.rmapVpn;
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

/**
 * A fork may have copied the entry while the folio was mapped nowhere, and nobody could note a second mm in it then. An entry that
 * is not exclusive may have been: "maybe shared" errs on that side.
 */
export function* noteShared(ctx: Context, head: number, old: number): Coroutine<void> {
  if (swapType(old) !== SWP_MIGRATION_READ || !folioTestLarge(ctx, head)) return;
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  setFlag(ctx, head, PG_MAYBE_SHARED);
}

/** Whether a small page holds only zeros and may be given up for the zero page. */
function* isUnused(ctx: Context, vmFlags: number, head: number, headFlags: number): Coroutine<boolean> {
  if (folioTestLarge(ctx, head) || (headFlags & PG_MLOCKED) !== 0 || (vmFlags & VM_LOCKED) !== 0) return false;
  // a broken page is not read (v6.18)
  if ((headFlags & PG_HWPOISON) !== 0 && ctx.kernel.rules.splitZeropage === 'v6.18') return false;
  return (yield* kernelLoad(ctx, head)) === 0 && ctx.accessValue === 0;
}

/** The exclusive bit comes back unless the entry is the plain readable kind (5.19+). */
export const restoredExclusive = (ctx: Context, old: number): boolean =>
  ctx.kernel.rules.wpReuse === 'v5.19' && swapType(old) !== SWP_MIGRATION_READ;

/**
 * The entry that a migration entry becomes: mk_pte with the VMA's protection, so that a NUMA hint is gone; writable
 * only if the entry was; dirty only if the folio is still dirty.
 */
export function presentFromMigration(
  ctx: Context,
  vmFlags: number,
  old: number,
  pfn: number,
  headFlags: number,
): number {
  const prot = pageProt(ctx, vmFlags);
  return mkEntry(
    pfn,
    prot |
      (prot !== PTE_PROTNONE && swapType(old) === SWP_MIGRATION_WRITE ? PTE_WRITE : 0) |
      ((old & SWP_YOUNG) !== 0 ? PTE_YOUNG : 0) |
      ((old & SWP_DIRTY) !== 0 && (headFlags & PG_DIRTY) !== 0 ? PTE_DIRTY : 0) |
      (old & PTE_SOFT_DIRTY),
  );
}

/**
 * migrate_folio_move: an unmapped folio's content, identity and references go to the new folio (mm/migrate.c, v6.18;
 * kernel-model 3.11 steps 7 to 11). The refs test here is the race-free detector of holders that were not found before:
 * plain references, and pins of pages that were not exclusive.
 */
import {
  EAGAIN,
  EFAULT,
  EHWPOISON,
  PG_DIRTY,
  PG_HAS_HWPOISONED,
  PG_HWPOISON,
  PG_MAYBE_SHARED,
  PG_MLOCKED,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  PG_YOUNG,
} from '../../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_ISOLATED, REF_SWAP_CACHE } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  KSM_NODE_KPFN,
  PAGE_CONTENT,
  PAGE_CPUPID,
  PAGE_INDEX,
  PAGE_LRU_NEXT,
  PAGE_MAPPING,
  PAGE_SWAP,
  ksmNodeWord,
  pageWord,
} from '../../machine/layout.js';
import { MC_PAGES_MOVED, countMechanism } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { folioLockWord, folioUnlock } from '../../locks/exclusive.js';
import { get, readOnce, set, writeOnce } from '#words';
import { putAnonVma } from '../rmap/anon-vma.js';
import { mappingIsFile, replaceInPageCache } from '../filemap.js';
import {
  clearFlag,
  flagsWord,
  folioIndex,
  folioMapping,
  folioMaps,
  folioPages,
  folioPut,
  folioRefs,
  mappingId,
  mappingIsKsm,
  mapsWord,
  refAdd,
  refFreeze,
  refUnfreeze,
  refsWord,
  setFlag,
} from '../folio.js';
import { kernelLoad } from '../kernel-map.js';
import { removeMigrationPtes } from './restore.js';
import { folioSwap, lockSwapCache, swapFolioWord, unlockSwapCache } from '../swap/swap-state.js';
import { folioAddLru } from '../swap.js';

/** What folio_migrate_flags() and folio_migrate_mapping() copy. */
const MIGRATED_FLAGS = PG_DIRTY | PG_REFERENCED | PG_YOUNG | PG_SWAPBACKED | PG_UPTODATE | PG_MLOCKED | PG_MAYBE_SHARED;

/** __migrate_folio_record(): what the unmap step leaves for the move step, in dst->private. */
export function migrateFolioRecord(ctx: Context, dst: number, wasMapped: boolean, anonVma: number): void {
  set(ctx.words, pageWord(ctx.m, dst, PAGE_LRU_NEXT), (anonVma << 1) | (wasMapped ? 1 : 0));
}
const record = (ctx: Context, dst: number): number => get(ctx.words, pageWord(ctx.m, dst, PAGE_LRU_NEXT));

/**
 * migrate_folio_move() of a locked, isolated folio that nothing maps. On success both folios are unlocked, `dst` is on
 * the LRU and `src` has been put; on failure nothing has changed, and the migration entries stay for another try or for
 * {@link migrateFolioUndo}.
 * @returns 0; -EAGAIN: somebody holds a reference; -EHWPOISON, -EFAULT: the page cannot be read
 */
export function* migrateFolioMove(ctx: Context, src: number, dst: number): Coroutine {
  // a folio of the swap cache keeps its slot in the same word
  const recorded = record(ctx, dst);
  const result = yield* moveToNewFolio(ctx, src, dst);
  if (result !== 0) return result;
  const pages = folioPages(ctx, src);
  yield* folioAddLru(ctx, dst);
  if ((recorded & 1) !== 0) yield* removeMigrationPtes(ctx, src, dst);
  countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_PAGES_MOVED, pages);
  emit(ctx, EVENT.migrate, src, dst, 0);
  yield* unlock(ctx, dst);
  yield* folioPut(ctx, dst, REF_ALLOC);
  if (recorded >> 1 !== 0) yield* putAnonVma(ctx, recorded >> 1);
  yield* unlock(ctx, src);
  yield* folioPut(ctx, src, REF_ISOLATED);
  return 0;
}

/**
 * migrate_folio_undo_src() and _dst(): the old folio is mapped again and unlocked, the new one goes. `src` stays
 * isolated.
 */
export function* migrateFolioUndo(ctx: Context, src: number, dst: number): Coroutine<void> {
  const recorded = record(ctx, dst);
  if ((recorded & 1) !== 0) yield* removeMigrationPtes(ctx, src, src);
  if (recorded >> 1 !== 0) yield* putAnonVma(ctx, recorded >> 1);
  yield* unlock(ctx, src);
  yield* unlock(ctx, dst);
  yield* folioPut(ctx, dst, REF_ALLOC);
}

export function* unlock(ctx: Context, head: number): Coroutine<void> {
  const lock = folioLockWord(ctx, head);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, head);
}

/** move_to_new_folio(), __migrate_folio(): copies first, then switches the mapping (since 6.11). */
function* moveToNewFolio(ctx: Context, src: number, dst: number): Coroutine {
  const { m, words } = ctx;
  const pages = folioPages(ctx, src);
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, src));
  const before = readOnce(words, flagsWord(ctx, src));
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, src));
  // folio_expected_ref_count(), and the isolation's own
  const inCache = mappingIsFile(get(words, pageWord(m, src, PAGE_MAPPING)));
  const expected = folioMaps(ctx, src) + ((before & PG_SWAPCACHE) !== 0 || inCache ? pages : 0) + 1;
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, src));
  if (folioRefs(ctx, src) !== expected) return -EAGAIN;
  // folio_mc_copy()
  if ((before & (PG_HWPOISON | PG_HAS_HWPOISONED)) !== 0) return -EHWPOISON;
  for (let i = 0; i < pages; i++) {
    if ((yield* kernelLoad(ctx, src + i)) !== 0) return -EFAULT;
    // nobody sees dst yet
    set(words, pageWord(m, dst + i, PAGE_CONTENT), ctx.accessValue);
    ctx.probe.onCopy(ctx, src + i, dst + i);
  }
  if (inCache) {
    if ((yield* replaceInPageCache(ctx, src, dst, expected)) !== 0) return -EAGAIN;
    yield* folioMigrateFlags(ctx, src, dst);
    return 0;
  }
  if ((before & PG_SWAPCACHE) !== 0) {
    if (!(yield* migrateSwapCache(ctx, src, dst, expected))) return -EAGAIN;
  } else {
    // __folio_migrate_mapping() of a page without cache: the count once more; no PTE is left to pin through
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, src));
    if (folioRefs(ctx, src) !== expected) return -EAGAIN;
  }
  const mappingAt = pageWord(m, src, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, src);
  set(words, pageWord(m, dst, PAGE_INDEX), folioIndex(ctx, src));
  const newMappingAt = pageWord(m, dst, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield writes(newMappingAt);
  writeOnce(words, newMappingAt, mapping);
  yield* folioMigrateFlags(ctx, src, dst);
  if (mappingIsKsm(mapping)) yield* ctx.kernel.folioMigrateKsm(ctx, src, dst, mappingId(mapping));
  return 0;
}

/** folio_migrate_flags(). */
function* folioMigrateFlags(ctx: Context, src: number, dst: number): Coroutine<void> {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, src));
  const flags = readOnce(words, flagsWord(ctx, src)) & MIGRATED_FLAGS;
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, dst));
  setFlag(ctx, dst, flags);
  const cpupidAt = pageWord(m, src, PAGE_CPUPID);
  if (--ctx.quantum < 0) yield reads(cpupidAt);
  const cpupid = readOnce(words, cpupidAt);
  const newCpupidAt = pageWord(m, dst, PAGE_CPUPID);
  if (--ctx.quantum < 0) yield writes(newCpupidAt);
  writeOnce(words, newCpupidAt, cpupid);
}

/**
 * __folio_migrate_mapping() of a folio in the swap cache: its references are frozen at what is expected, and the slot is the new
 * folio's from then on. False: somebody holds another.
 */
function* migrateSwapCache(ctx: Context, src: number, dst: number, expected: number): Coroutine<boolean> {
  yield* lockSwapCache(ctx);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, src));
  const frozen = refFreeze(ctx, src, expected);
  if (frozen) {
    const slot = folioSwap(ctx, src);
    const pages = folioPages(ctx, src);
    set(ctx.words, pageWord(ctx.m, dst, PAGE_SWAP), slot);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, dst));
    refAdd(ctx, dst, pages, REF_SWAP_CACHE);
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, dst));
    setFlag(ctx, dst, PG_SWAPCACHE | PG_SWAPBACKED);
    for (let i = 0; i < pages; i++) {
      const at = swapFolioWord(ctx, slot + i);
      if (--ctx.quantum < 0) yield writes(at);
      writeOnce(ctx.words, at, dst);
    }
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, src));
    clearFlag(ctx, src, PG_SWAPCACHE);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, src));
    ctx.probe.onRef(ctx, src, -pages, REF_SWAP_CACHE);
    refUnfreeze(ctx, src, expected - pages);
  }
  yield* unlockSwapCache(ctx);
  return frozen;
}

/**
 * folio_migrate_ksm(): the stable node's keyhole turns to the new folio. ksm_get_folio() that finds the old folio's
 * mapping cleared looks at kpfn again, so kpfn must be written first (Z50).
 */
export function* folioMigrateKsm(ctx: Context, src: number, dst: number, node: number): Coroutine<void> {
  const { m, words } = ctx;
  if (node === 0) return;
  const kpfnAt = ksmNodeWord(m, node, KSM_NODE_KPFN);
  if (--ctx.quantum < 0) yield writes(kpfnAt);
  writeOnce(words, kpfnAt, dst);
  ctx.probe.onReadOnly(ctx, dst, true);
  // smp_wmb()
  const mappingAt = pageWord(m, src, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield writes(mappingAt);
  writeOnce(words, mappingAt, 0);
  ctx.probe.onReadOnly(ctx, src, false);
}

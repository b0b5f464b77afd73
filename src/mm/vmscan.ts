/**
 * Reclaim of anonymous pages to swap: shrink_folio_list, pageout and __remove_mapping (mm/vmscan.c, v6.18; kernel-model 3.12).
 *
 * Three looks at the pins: before the folio enters the swap cache (v5.11+), at each exclusive mapping (v5.19+), and before it is
 * written out (`rules.reclaimPinChecks`). Whatever slips through all of them meets the freeze of the references at the end, and
 * the folio stays. The device is synchronous: a folio is written and reclaimed in one pass.
 */
import {
  COMPOUND_TAIL,
  MAPPING_ANON,
  PG_DIRTY,
  PG_LRU,
  PG_MLOCKED,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  PG_WRITEBACK,
} from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import { glance } from '../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_ISOLATED, REF_SWAP_CACHE } from '../machine/context.js';
import { LOCAL, reads, releases, tries, updates } from '../machine/effects.js';
import { entryPfn, isHuge, isPresent, isSpecial, isTable } from '../machine/entries.js';
import {
  PAGE_COMPOUND,
  PAGE_ENTIRE_MAPS,
  PAGE_MAPPING,
  PAGE_MAPS,
  pageWord,
  pmdWord,
  pteWord,
} from '../machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, MC_PAGES_MOVED, countMechanism } from '../machine/stats.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { folioLockWord, folioTrylock, folioUnlock } from '../locks/exclusive.js';
import { readOnce } from '#words';
import {
  clearFlag,
  flagsWord,
  folioMapping,
  folioMaps,
  folioMaybeDmaPinned,
  folioPages,
  folioPut,
  folioRefs,
  folioTestLarge,
  mapsWord,
  pinsWord,
  refAddUnlessZero,
  refFreeze,
  refUnfreeze,
  refsWord,
  setFlag,
  testFlag,
} from './folio.js';
import { removeFromPageCache } from './filemap.js';
import { flushBeforeRemoval, tryToUnmapFlush, tryToUnmapFlushDirty } from './rmap/flush.js';
import { freeFolio } from './page-alloc.js';
import { REFERENCED_LOCKED, folioReferenced, tryToUnmap } from './rmap/unmap.js';
import {
  addToSwapCache,
  folioFreeSwap,
  folioSwap,
  lockSwapCache,
  swapWriteout,
  takeFromSwapCache,
  unlockSwapCache,
} from './swap/swap-state.js';
import { swapAlloc, swapAllocCluster, swapcacheClear, vmSwapFull } from './swap/swapfile.js';
import { folioPutbackLru } from './swap.js';

/** How one folio fares. */
const FREE = 0;
/** Stays, still locked. */
const KEEP_LOCKED = 1;
/** Stays; the lock was given up for the write-out. */
const KEEP = 2;
/** Stays, still locked, and is no candidate for swapping: its slot is better used otherwise. */
const ACTIVATE = 3;
/** Frozen, as FREE; it was never in the swap cache. */
const DISCARDED = 5;
/** Somebody else has isolated it: it stays, and its place on the LRU is not ours to give back. */
const LOST = 4;

/**
 * isolate_lru_folios() of one folio: a reference, and PG_lru taken away. `pfn` was found without any lock.
 * @returns its head, or -1: it is free, or somebody else has isolated it
 */
function* isolateFolio(ctx: Context, pfn: number): Coroutine {
  const compoundAt = pageWord(ctx.m, pfn, PAGE_COMPOUND);
  if (--ctx.quantum < 0) yield reads(compoundAt);
  const compound = readOnce(ctx.words, compoundAt);
  const folio = compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  if (!refAddUnlessZero(ctx, folio, 1, REF_ISOLATED)) return -1;
  if (--ctx.quantum < 0) yield reads(compoundAt);
  if (readOnce(ctx.words, compoundAt) !== compound) {
    yield* folioPut(ctx, folio, REF_ISOLATED);
    return -1;
  }
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  if ((clearFlag(ctx, folio, PG_LRU) & PG_LRU) !== 0) return folio;
  yield* folioPut(ctx, folio, REF_ISOLATED);
  return -1;
}

/**
 * isolate_lru_folios() of up to `count` folios of this CPU's node. The LRU is no list here: its frames are gone through once around,
 * and a look at PG_lru without a point comes before the isolation, which looks again.
 * @param cursor the frame of the node to begin with
 * @param into receives the heads
 * @returns the next cursor
 */
export function* isolateLruFolios(ctx: Context, cursor: number, count: number, into: number[]): Coroutine {
  const { m, words } = ctx;
  const first = ctx.node * m.framesPerNode;
  for (let i = 0; i < m.framesPerNode && into.length < count; i++) {
    const pfn = first + ((cursor + i) % m.framesPerNode);
    if ((glance(words, flagsWord(ctx, pfn)) & PG_LRU) === 0) continue;
    if (glance(words, pageWord(m, pfn, PAGE_COMPOUND)) < 0) continue;
    const folio = yield* isolateFolio(ctx, pfn);
    if (folio >= 0) into.push(folio);
    if (into.length === count) return cursor + i + 1;
  }
  return cursor;
}

/**
 * Reclaims the page that (mm, vpn) maps, as MADV_PAGEOUT or the LRU would come to it. A huge page goes as a whole where swap has
 * a cluster for it; else it is split, and all of its pages tried.
 * @returns pages reclaimed
 */
export function* reclaimPage(ctx: Context, mm: number, vpn: number, ignoreReferences: boolean): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let entry = readOnce(words, pmdAt);
  if (isTable(entry)) {
    const pteAt = pteWord(m, entryPfn(entry), vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    entry = readOnce(words, pteAt);
  } else if (!isHuge(entry)) {
    return 0;
  }
  if (!isPresent(entry) || isSpecial(entry)) return 0;
  const folio = yield* isolateFolio(ctx, entryPfn(entry));
  return folio < 0 ? 0 : yield* ctx.kernel.shrinkFolioList(ctx, [folio], ignoreReferences);
}

/**
 * shrink_folio_list(). Consumes the isolation of every folio: the reclaimed are free, the others on the LRU again.
 * @param folios heads of isolated folios; grows by the pages of huge ones that are split
 * @param ignoreReferences as for MADV_PAGEOUT; else folios used lately stay
 * @returns pages reclaimed
 */
export function* shrinkFolioList(ctx: Context, folios: number[], ignoreReferences: boolean): Coroutine {
  const { m, actor } = ctx;
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.reclaim;
  const freed: number[] = [];
  const kept: number[] = [];
  for (let i = 0; i < folios.length; i++) {
    const folio = folios[i] as number;
    // cond_resched()
    if (--ctx.quantum < 0) yield LOCAL;
    countMechanism(m, actor, MECH.reclaim, MC_ATTEMPTS, 1);
    const lock = folioLockWord(ctx, folio);
    if (--ctx.quantum < 0) yield tries(lock);
    let result = KEEP;
    if (folioTrylock(ctx, folio)) {
      result = yield* shrinkFolio(ctx, folio, folios, ignoreReferences);
      if (result === ACTIVATE) yield* giveUpSlot(ctx, folio);
      if (result !== KEEP) {
        if (--ctx.quantum < 0) yield releases(lock);
        folioUnlock(ctx, folio);
      }
    }
    if (result === LOST) yield* folioPut(ctx, folio, REF_ISOLATED);
    else (result === FREE || result === DISCARDED ? freed : kept).push(folio);
    if (result === FREE) ctx.probe.onRef(ctx, folio, -folioPages(ctx, folio), REF_SWAP_CACHE);
    emit(ctx, EVENT.reclaim, folio, result, 0);
  }
  // no CPU may use what is about to be free
  yield* tryToUnmapFlush(ctx);
  let pages = 0;
  for (let i = 0; i < freed.length; i++) {
    const folio = freed[i] as number;
    pages += folioPages(ctx, folio);
    ctx.probe.onRef(ctx, folio, -1, REF_ISOLATED);
    yield* freeFolio(ctx, folio);
  }
  countMechanism(m, actor, MECH.reclaim, MC_PAGES_MOVED, pages);
  countMechanism(m, actor, MECH.reclaim, MC_BACKED_OUT, kept.length);
  for (let i = 0; i < kept.length; i++) yield* folioPutbackLru(ctx, kept[i] as number);
  ctx.task.mechanism = outer;
  return pages;
}

/** One locked folio. Returns FREE (frozen, out of the swap cache), KEEP_LOCKED, KEEP, ACTIVATE, DISCARDED or LOST. */
function* shrinkFolio(ctx: Context, folio: number, folios: number[], ignoreReferences: boolean): Coroutine {
  const flagsAt = flagsWord(ctx, folio);
  if (--ctx.quantum < 0) yield reads(flagsAt);
  const flags = readOnce(ctx.words, flagsAt);
  // folio_evictable()
  if ((flags & PG_MLOCKED) !== 0) return ACTIVATE;
  if ((flags & PG_WRITEBACK) !== 0) return KEEP_LOCKED;
  if (!ignoreReferences) {
    const checked = yield* folioCheckReferences(ctx, folio);
    if (checked !== FREE) return checked;
  }
  const mappingAt = pageWord(ctx.m, folio, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  if ((folioMapping(ctx, folio) & MAPPING_ANON) === 0) {
    // the pages of shared memory objects are not swapped here
    return (flags & PG_SWAPBACKED) !== 0 ? ACTIVATE : yield* shrinkFilePage(ctx, folio);
  }
  if ((flags & PG_SWAPBACKED) === 0) return yield* discard(ctx, folio);
  if ((flags & PG_SWAPCACHE) === 0) {
    const added = yield* enterSwapCache(ctx, folio, folios);
    if (added !== FREE) return added;
  }
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  if (folioMaps(ctx, folio) > 0) {
    yield* tryToUnmap(ctx, folio);
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    if (folioMaps(ctx, folio) > 0) return ACTIVATE;
  }
  // a pin that landed between the first look and the unmapping: no use in writing it out
  if (ctx.kernel.rules.reclaimPinChecks === 2) {
    if (--ctx.quantum < 0) yield reads(pinsWord(ctx, folio));
    if (folioMaybeDmaPinned(ctx, folio)) return ACTIVATE;
  }
  if (--ctx.quantum < 0) yield reads(flagsAt);
  if (testFlag(ctx, folio, PG_DIRTY)) {
    const written = yield* pageout(ctx, folio);
    if (written !== FREE) return written;
  }
  yield* flushBeforeRemoval(ctx);
  return (yield* ctx.kernel.removeMapping(ctx, folio)) ? FREE : KEEP_LOCKED;
}

/** A file's page: only clean ones are reclaimed, dirty ones are left to writeback (which there is none of here). */
function* shrinkFilePage(ctx: Context, folio: number): Coroutine {
  yield* tryToUnmap(ctx, folio);
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  if (folioMaps(ctx, folio) > 0) return ACTIVATE;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  if (testFlag(ctx, folio, PG_DIRTY)) return ACTIVATE;
  yield* flushBeforeRemoval(ctx);
  return (yield* removeFromPageCache(ctx, folio)) ? DISCARDED : KEEP_LOCKED;
}

/** A lazily freed folio (MADV_FREE): unmapped and freed without a slot, unless it was written since or somebody holds it. */
function* discard(ctx: Context, folio: number): Coroutine {
  yield* tryToUnmap(ctx, folio);
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  if (folioMaps(ctx, folio) > 0) return ACTIVATE;
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  return refFreeze(ctx, folio, 1) ? DISCARDED : KEEP_LOCKED;
}

/** folio_check_references(). FREE: reclaim it. */
function* folioCheckReferences(ctx: Context, folio: number): Coroutine {
  const referenced = yield* folioReferenced(ctx, folio);
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  const before = clearFlag(ctx, folio, PG_REFERENCED);
  if (referenced >= REFERENCED_LOCKED) return ACTIVATE;
  if (referenced === 0) return FREE;
  // used: once is a second chance, twice is activity
  if ((before & PG_REFERENCED) !== 0 || referenced > 1) return ACTIVATE;
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  setFlag(ctx, folio, PG_REFERENCED);
  return KEEP_LOCKED;
}

/** Step 3: pins, slots, or else the split of a huge page and a slot. FREE: the folio is in the swap cache. */
function* enterSwapCache(ctx: Context, folio: number, folios: number[]): Coroutine {
  if (ctx.kernel.rules.reclaimPinChecks > 0) {
    if (--ctx.quantum < 0) yield reads(pinsWord(ctx, folio));
    if (folioMaybeDmaPinned(ctx, folio)) return KEEP_LOCKED;
  }
  let slot = -1;
  if (folioTestLarge(ctx, folio)) {
    // can_split_folio(): somebody else holds it
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    const maps = folioMaps(ctx, folio);
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
    if (maps !== folioRefs(ctx, folio) - 1) return ACTIVATE;
    if (!(yield* swapsWhole(ctx, folio)) || (slot = yield* swapAllocCluster(ctx)) < 0) {
      const split = yield* splitFolioToList(ctx, folio, folios);
      if (split !== FREE) return split;
    }
  }
  if (slot < 0) slot = yield* swapAlloc(ctx);
  if (slot < 0) return ACTIVATE;
  yield* addToSwapCache(ctx, folio, slot);
  // folio_mark_dirty(): the slot holds nothing of it yet
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  setFlag(ctx, folio, PG_DIRTY | PG_UPTODATE);
  return FREE;
}

/**
 * Whether a huge page may be written out as one, or is split at once: through v4.12 always; then where no PMD maps it, for chances are
 * that some of it need not be written; from v6.10 on where it is partly mapped, so that some of it surely need not.
 */
function* swapsWhole(ctx: Context, folio: number): Coroutine<boolean> {
  const { m, words } = ctx;
  const rule = ctx.kernel.rules.swapOutHuge;
  if (rule === 'v4.12') return false;
  const entireAt = pageWord(m, folio, PAGE_ENTIRE_MAPS);
  if (--ctx.quantum < 0) yield reads(entireAt);
  if (readOnce(words, entireAt) > 0) return true;
  if (rule === 'v4.13') return false;
  for (let pfn = folio; pfn < folio + m.thpPages; pfn++) {
    const mapsAt = pageWord(m, pfn, PAGE_MAPS);
    if (--ctx.quantum < 0) yield reads(mapsAt);
    if (readOnce(words, mapsAt) === 0) return false;
  }
  return true;
}

/**
 * split_folio_to_list() of an isolated, locked huge page: its other pages are isolated too and come to the end of the list.
 * A split leaves pages on the LRU as they were, so the folio is put there for its duration.
 * @returns FREE, ACTIVATE or LOST
 */
function* splitFolioToList(ctx: Context, folio: number, folios: number[]): Coroutine {
  const flagsAt = flagsWord(ctx, folio);
  if (--ctx.quantum < 0) yield updates(flagsAt);
  setFlag(ctx, folio, PG_LRU);
  const split = (yield* ctx.kernel.splitHugePage(ctx, folio)) === 0;
  if (--ctx.quantum < 0) yield updates(flagsAt);
  const ours = (clearFlag(ctx, folio, PG_LRU) & PG_LRU) !== 0;
  for (let pfn = folio + 1; split && pfn < folio + ctx.m.thpPages; pfn++) {
    const tail = yield* isolateFolio(ctx, pfn);
    if (tail > 0) folios.push(tail);
  }
  if (!ours) return LOST;
  return split ? FREE : ACTIVATE;
}

/** pageout(), and the looks after it. FREE: clean, locked again, to be removed. */
function* pageout(ctx: Context, folio: number): Coroutine {
  const flagsAt = flagsWord(ctx, folio);
  // no CPU may write the page while the device reads it
  yield* tryToUnmapFlushDirty(ctx);
  // folio_clear_dirty_for_io()
  if (--ctx.quantum < 0) yield updates(flagsAt);
  clearFlag(ctx, folio, PG_DIRTY);
  yield* swapWriteout(ctx, folio);
  if (--ctx.quantum < 0) yield reads(flagsAt);
  if (testFlag(ctx, folio, PG_WRITEBACK | PG_DIRTY)) return KEEP;
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!folioTrylock(ctx, folio)) return KEEP;
  if (--ctx.quantum < 0) yield reads(flagsAt);
  const flags = readOnce(ctx.words, flagsAt);
  // out of the cache: nobody needed it, the next pass begins anew
  return (flags & (PG_WRITEBACK | PG_DIRTY)) !== 0 || (flags & PG_SWAPCACHE) === 0 ? KEEP_LOCKED : FREE;
}

/** activate_locked: swap that is running short is not wasted on a folio that stays. */
function* giveUpSlot(ctx: Context, folio: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  const flags = readOnce(ctx.words, flagsWord(ctx, folio));
  if ((flags & PG_SWAPCACHE) === 0) return;
  if ((flags & PG_MLOCKED) !== 0 || (yield* vmSwapFull(ctx))) yield* folioFreeSwap(ctx, folio);
}

/**
 * __remove_mapping() of a locked folio in the swap cache: if the cache and the isolation hold the only references, they are
 * frozen to 0 and the folio leaves the cache. This is what no pin gets past.
 */
export function* removeMapping(ctx: Context, folio: number): Coroutine<boolean> {
  const slot = folioSwap(ctx, folio);
  yield* lockSwapCache(ctx);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  const pages = folioPages(ctx, folio);
  const frozen = refFreeze(ctx, folio, 1 + pages);
  let dirty = false;
  if (frozen) {
    // whoever wrote through a reference marked it dirty before he dropped it
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
    dirty = testFlag(ctx, folio, PG_DIRTY);
    if (dirty) {
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
      refUnfreeze(ctx, folio, 1 + pages);
    } else {
      yield* takeFromSwapCache(ctx, folio);
    }
  }
  yield* unlockSwapCache(ctx);
  if (!frozen || dirty) return false;
  for (let i = 0; i < pages; i++) yield* swapcacheClear(ctx, slot + i);
  return true;
}

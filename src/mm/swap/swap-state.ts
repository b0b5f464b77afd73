/**
 * The swap cache: which folio stands for a slot while it is on its way out or in (mm/swap_state.c, mm/swapfile.c, mm/page_io.c,
 * v6.18). A folio in it has PG_swapcache, one reference of the cache's, and its slot in PAGE_SWAP, all under its folio lock; the
 * cache's own lock (i_pages) is a leaf. A huge page that is written out whole has as many slots and references, one after the other; the
 * first slot is in PAGE_SWAP.
 */
import { setBeside } from '../../machine/words/extra-accesses.js';
import { PG_DIRTY, PG_SWAPBACKED, PG_SWAPCACHE, PG_UPTODATE, PG_WRITEBACK } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_SWAP_CACHE, REF_TEMP } from '../../machine/context.js';
import { acquires, reads, releases, tries, updates, writes } from '../../machine/effects.js';
import {
  GLOBAL_SWAP_CACHE_LOCK,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_SWAP,
  SWAP_CONTENT,
  SWAP_FOLIO,
  SWAP_HAS_CACHE,
  globalLock,
  pageWord,
  swapWord,
} from '../../machine/layout.js';
import { contended, wake } from '../../machine/wait.js';
import { LOCK_SWAP_CACHE } from '../../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinLock, spinUnlock } from '../../locks/exclusive.js';
import { get, readOnce, set, writeOnce } from '#words';
import {
  clearFlag,
  flagsWord,
  folioMaps,
  folioPages,
  folioPut,
  folioTestLarge,
  mapsWord,
  refAdd,
  refAddUnlessZero,
  refSubAndTest,
  refsWord,
  setFlag,
  testFlag,
} from '../folio.js';
import { kernelLoad } from '../kernel-map.js';
import { swapCountOf, swapFree, swapMap, swapcacheClear } from './swapfile.js';

/** folio->swap of a folio in the swap cache. Its lock is held. */
export const folioSwap = (ctx: Context, folio: number): number => get(ctx.words, pageWord(ctx.m, folio, PAGE_SWAP));

/** The page of a folio in the swap cache that stands for `slot`. Its lock is held. */
export const swapPage = (ctx: Context, folio: number, slot: number): number =>
  folioTestLarge(ctx, folio) ? folio + slot - folioSwap(ctx, folio) : folio;

/** Whether `slot` is one of those of a folio in the swap cache. Its lock is held. */
export function hasSwapSlot(ctx: Context, folio: number, slot: number): boolean {
  const at = slot - folioSwap(ctx, folio);
  return at >= 0 && at < folioPages(ctx, folio);
}

/** The word that says which folio stands for a slot. */
export const swapFolioWord = (ctx: Context, slot: number): number => swapWord(ctx.m, slot, SWAP_FOLIO);

/** xa_lock_irq() of the swap cache. */
export function* lockSwapCache(ctx: Context): Coroutine<void> {
  const lock = globalLock(ctx.m, GLOBAL_SWAP_CACHE_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_SWAP_CACHE)) yield contended(ctx, lock);
}

export function* unlockSwapCache(ctx: Context): Coroutine<void> {
  const lock = globalLock(ctx.m, GLOBAL_SWAP_CACHE_LOCK);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_SWAP_CACHE);
}

/**
 * swap_cache_get_folio(): the folio that stands for the slot, with a REF_TEMP reference, or 0. It may be another slot's, or
 * nobody's, by the time it is locked.
 */
export function* swapCacheGetFolio(ctx: Context, slot: number): Coroutine {
  const at = swapFolioWord(ctx, slot);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(at);
    const folio = readOnce(ctx.words, at);
    if (folio === 0) return 0;
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
    if (refAddUnlessZero(ctx, folio, 1, REF_TEMP)) {
      // xas_reload(): freed and used elsewhere between the two
      if (--ctx.quantum < 0) yield reads(at);
      if (readOnce(ctx.words, at) === folio) return folio;
      yield* folioPut(ctx, folio, REF_TEMP);
    } else {
      // frozen: reclaim or migration decides what becomes of it, under the lock
      yield* lockSwapCache(ctx);
      yield* unlockSwapCache(ctx);
    }
  }
}

/** add_to_swap_cache() of a locked folio from `slot` on, as many as it has pages, whose SWAP_HAS_CACHE is the caller's. */
export function* addToSwapCache(ctx: Context, folio: number, slot: number): Coroutine<void> {
  const pages = folioPages(ctx, folio);
  yield* lockSwapCache(ctx);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  refAdd(ctx, folio, pages, REF_SWAP_CACHE);
  set(ctx.words, pageWord(ctx.m, folio, PAGE_SWAP), slot);
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  setFlag(ctx, folio, PG_SWAPCACHE);
  for (let i = 0; i < pages; i++) {
    const at = swapFolioWord(ctx, slot + i);
    if (--ctx.quantum < 0) yield writes(at);
    writeOnce(ctx.words, at, folio);
  }
  yield* unlockSwapCache(ctx);
}

/** __delete_from_swap_cache(): the cache's lock is held; its references are the caller's to drop. */
export function* takeFromSwapCache(ctx: Context, folio: number): Coroutine<void> {
  const slot = folioSwap(ctx, folio);
  for (let i = 0; i < folioPages(ctx, folio); i++) {
    const at = swapFolioWord(ctx, slot + i);
    if (--ctx.quantum < 0) yield writes(at);
    writeOnce(ctx.words, at, 0);
  }
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  clearFlag(ctx, folio, PG_SWAPCACHE);
}

/** delete_from_swap_cache() of a locked folio to which the caller holds a reference. */
export function* deleteFromSwapCache(ctx: Context, folio: number): Coroutine<void> {
  const slot = folioSwap(ctx, folio);
  const pages = folioPages(ctx, folio);
  yield* lockSwapCache(ctx);
  yield* takeFromSwapCache(ctx, folio);
  yield* unlockSwapCache(ctx);
  for (let i = 0; i < pages; i++) yield* swapcacheClear(ctx, slot + i);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  refSubAndTest(ctx, folio, pages, REF_SWAP_CACHE);
}

/**
 * folio_free_swap(): a locked folio leaves the swap cache, if no swap entry needs a slot of it and it is not being written there.
 * It is dirty then: nothing else holds its content.
 */
export function* folioFreeSwap(ctx: Context, folio: number): Coroutine<boolean> {
  const flagsAt = flagsWord(ctx, folio);
  if (--ctx.quantum < 0) yield reads(flagsAt);
  if ((readOnce(ctx.words, flagsAt) & (PG_SWAPCACHE | PG_WRITEBACK)) !== PG_SWAPCACHE) return false;
  const slot = folioSwap(ctx, folio);
  for (let i = 0; i < folioPages(ctx, folio); i++) {
    if (swapCountOf(yield* swapMap(ctx, slot + i)) !== 0) return false;
  }
  yield* deleteFromSwapCache(ctx, folio);
  if (--ctx.quantum < 0) yield updates(flagsAt);
  setFlag(ctx, folio, PG_DIRTY);
  return true;
}

/** free_swap_cache(): of a folio whose mapping just went; the caller holds a reference. Does not wait for the folio lock. */
export function* freeSwapCache(ctx: Context, folio: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  if (!testFlag(ctx, folio, PG_SWAPCACHE)) return;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  if (folioMaps(ctx, folio) > 0) return;
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!folioTrylock(ctx, folio)) return;
  yield* folioFreeSwap(ctx, folio);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, folio);
}

/**
 * free_swap_and_cache(): a swap entry was zapped. What stays behind in the swap cache and is mapped nowhere goes too, if its
 * lock is to be had (__try_to_reclaim_swap); else reclaim finds it. Under the PTL.
 */
export function* freeSwapAndCache(ctx: Context, slot: number): Coroutine<void> {
  if ((yield* swapFree(ctx, slot)) !== SWAP_HAS_CACHE) return;
  const folio = yield* swapCacheGetFolio(ctx, slot);
  if (folio === 0) return;
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield tries(lock);
  if (folioTrylock(ctx, folio)) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
    const ours = testFlag(ctx, folio, PG_SWAPCACHE) && hasSwapSlot(ctx, folio, slot);
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    if (ours && folioMaps(ctx, folio) === 0) yield* folioFreeSwap(ctx, folio);
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, folio);
  }
  yield* folioPut(ctx, folio, REF_TEMP);
}

/** swap_read_folio(): a synchronous device. `isPrivate`: nobody else knows the folio yet. */
export function* swapReadFolio(ctx: Context, folio: number, slot: number, isPrivate: boolean): Coroutine<void> {
  const { m, words } = ctx;
  const from = swapWord(m, slot, SWAP_CONTENT);
  if (--ctx.quantum < 0) yield reads(from);
  const content = readOnce(words, from);
  const to = pageWord(m, folio, PAGE_CONTENT);
  if (isPrivate) {
    set(words, to, content);
    const flags = pageWord(m, folio, PAGE_FLAGS);
    setBeside(words, flags, get(words, flags) | PG_UPTODATE | PG_SWAPBACKED);
    return;
  }
  if (--ctx.quantum < 0) yield writes(to);
  writeOnce(words, to, content);
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  setFlag(ctx, folio, PG_UPTODATE | PG_SWAPBACKED);
}

/**
 * swap_writeout(): a locked folio's content goes to its slots. The folio is unlocked before the device begins; writeback is
 * over when this returns. A folio that no swap entry needs is taken out of the cache instead.
 */
export function* swapWriteout(ctx: Context, folio: number): Coroutine<void> {
  const { m, words } = ctx;
  const slot = folioSwap(ctx, folio);
  const flagsAt = flagsWord(ctx, folio);
  const lock = folioLockWord(ctx, folio);
  const pages = folioPages(ctx, folio);
  if (yield* folioFreeSwap(ctx, folio)) {
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, folio);
    return;
  }
  if (--ctx.quantum < 0) yield updates(flagsAt);
  setFlag(ctx, folio, PG_WRITEBACK);
  let broken = false;
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, folio);
  for (let i = 0; i < pages; i++) {
    // the device gets no more of a protected guest's page than the kernel: an I/O error
    broken ||= (yield* kernelLoad(ctx, folio + i)) !== 0;
    if (broken) break;
    const content = ctx.accessValue;
    const to = swapWord(m, slot + i, SWAP_CONTENT);
    if (--ctx.quantum < 0) yield writes(to);
    writeOnce(words, to, content);
  }
  if (broken) {
    if (--ctx.quantum < 0) yield updates(flagsAt);
    setFlag(ctx, folio, PG_DIRTY);
  }
  // folio_end_writeback()
  if (--ctx.quantum < 0) yield updates(flagsAt);
  clearFlag(ctx, folio, PG_WRITEBACK);
  wake(m, flagsAt);
}

/** swapoff, when no process is left: folios that stay behind in the cache, since somebody held them when they were zapped, go. */
export function* dropSwapCache(ctx: Context): Coroutine<void> {
  for (let slot = 0; slot < ctx.m.swapSlots; slot++) {
    const folio = yield* swapCacheGetFolio(ctx, slot);
    if (folio === 0) continue;
    yield* freeSwapCache(ctx, folio);
    yield* folioPut(ctx, folio, REF_TEMP);
  }
}

/** Reading a slot into the swap cache (mm/swap_state.c read_swap_cache_async, v6.18), and waiting for whoever does. */
import { EEXIST } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_TEMP } from '../../machine/context.js';
import { reads, releases, tries } from '../../machine/effects.js';
import { SWAP_HAS_CACHE, SWAP_READS, swapWord } from '../../machine/layout.js';
import { waitWhile } from '../../machine/wait.js';
import { folioLockWord, folioTrylock, folioUnlock } from '../../locks/exclusive.js';
import { mightSleep } from '../../locks/held.js';
import { readOnce } from '#words';
import { folioPut } from '../folio.js';
import { allocPages } from '../page-alloc.js';
import { addToSwapCache, swapFolioWord, swapReadFolio } from './swap-state.js';
import { swapMap, swapcachePrepare, wakeSwapReaders } from './swapfile.js';
import { folioAddLru } from '../swap.js';

/** Somebody else is reading the slot in, or nothing refers to it any more: the fault is tried again. */
export const SWAP_READ_AGAIN = 0;

/** schedule_timeout_uninterruptible(1) on swapcache_wq: until the slot's reader is done. */
export function* waitForSwapReader(ctx: Context, slot: number): Coroutine<void> {
  const at = swapWord(ctx.m, slot, SWAP_READS);
  if (--ctx.quantum < 0) yield reads(at);
  const seen = readOnce(ctx.words, at);
  if (((yield* swapMap(ctx, slot)) & SWAP_HAS_CACHE) === 0) return;
  if (--ctx.quantum < 0) yield reads(swapFolioWord(ctx, slot));
  if (readOnce(ctx.words, swapFolioWord(ctx, slot)) !== 0) return;
  mightSleep(ctx, 'swapcache_wq');
  yield waitWhile(ctx, at, seen);
}

/**
 * read_swap_cache_async(): a folio in the cache for a slot that others refer to as well.
 * @returns it with a REF_TEMP reference, unlocked; SWAP_READ_AGAIN; or -1: no memory
 */
export function* readSwapCacheAsync(ctx: Context, slot: number, gfp: number): Coroutine {
  const folio = yield* allocPages(ctx, 0, ctx.node, gfp);
  if (folio < 0) return -1;
  const prepared = yield* swapcachePrepare(ctx, slot);
  if (prepared < 0) {
    yield* folioPut(ctx, folio, REF_ALLOC);
    if (prepared === -EEXIST) yield* waitForSwapReader(ctx, slot);
    return SWAP_READ_AGAIN;
  }
  if (--ctx.quantum < 0) yield tries(folioLockWord(ctx, folio));
  folioTrylock(ctx, folio);
  yield* addToSwapCache(ctx, folio, slot);
  yield* wakeSwapReaders(ctx, slot);
  ctx.probe.onRef(ctx, folio, -1, REF_ALLOC);
  ctx.probe.onRef(ctx, folio, 1, REF_TEMP);
  yield* swapReadFolio(ctx, folio, slot, false);
  yield* folioAddLru(ctx, folio);
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, folio);
  return folio;
}

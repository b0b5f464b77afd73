/**
 * memory_failure() of a page of private memory (mm/memory-failure.c, v6.18; kernel-model 3.20, table 4 row 17), as MADV_HWPOISON
 * injects it: the caller holds a reference, which is given up here. A pin keeps nobody from being unmapped: the poison comes before
 * the look at the pins. Only a huge page that cannot be split for its pins stays mapped.
 */
import { EBUSY, EHWPOISON, MECH_HWPOISON, PG_HAS_HWPOISONED, PG_HWPOISON } from '../machine/abi.js';
import { type Context, type Coroutine, REF_ISOLATED, REF_TEMP } from '../machine/context.js';
import { acquires, reads, releases, updates } from '../machine/effects.js';
import { GLOBAL_MF_MUTEX, globalLock } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_MF_MUTEX } from '../locks/classes.js';
import { folioLock, folioLockWord, folioUnlock, mutexLock, mutexUnlock } from '../locks/exclusive.js';
import { flagsWord, folioMaps, folioOf, folioPut, folioTestLarge, mapsWord, setFlag } from './folio.js';
import { tryToUnmapFlush } from './migrate-flush.js';
import { tryToUnmap } from './rmap-unmap.js';
import { folioIsolateLru } from './swap.js';

/**
 * memory_failure(MF_COUNT_INCREASED).
 * @param pfn the broken page; its folio has a reference of kind REF_TEMP for us
 * @returns 0: nobody maps it any more, whoever touches it is told; -EHWPOISON: it was known; -EBUSY: a huge page that cannot be
 *   split, or somebody maps it still
 */
export function* memoryFailure(ctx: Context, pfn: number): Coroutine {
  const outer = ctx.mechanism;
  ctx.mechanism = MECH_HWPOISON;
  const mutex = globalLock(ctx.m, GLOBAL_MF_MUTEX);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_MF_MUTEX)) yield contended(ctx, mutex);
  // TestSetPageHWPoison()
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
  const known = (setFlag(ctx, pfn, PG_HWPOISON) & PG_HWPOISON) !== 0;
  const result = known ? -EHWPOISON : yield* handle(ctx, pfn);
  yield* folioPut(ctx, folioOf(ctx, pfn), REF_TEMP);
  if (--ctx.quantum < 0) yield releases(mutex);
  mutexUnlock(ctx, mutex, LOCK_MF_MUTEX);
  ctx.mechanism = outer;
  return result;
}

function* lockFolio(ctx: Context, pfn: number): Coroutine {
  const head = folioOf(ctx, pfn);
  const lock = folioLockWord(ctx, head);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!folioLock(ctx, head)) yield contended(ctx, lock);
  return head;
}

function* unlockFolio(ctx: Context, head: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield releases(folioLockWord(ctx, head));
  folioUnlock(ctx, head);
}

function* handle(ctx: Context, pfn: number): Coroutine {
  const head = folioOf(ctx, pfn);
  if (folioTestLarge(ctx, head)) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_HAS_HWPOISONED);
    // try_to_split_thp_page(): a pinned one stays as it is, mapped; its users are killed (kill_procs_now)
    yield* lockFolio(ctx, pfn);
    const split = yield* ctx.kernel.splitHugePage(ctx, pfn);
    yield* unlockFolio(ctx, folioOf(ctx, pfn));
    if (split !== 0) return -EBUSY;
  }
  const folio = yield* lockFolio(ctx, pfn);
  // hwpoison_user_mappings(): unmap_poisoned_folio(), try_to_unmap(TTU_IGNORE_MLOCK | TTU_SYNC | TTU_HWPOISON)
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  let mapped = folioMaps(ctx, folio) > 0;
  if (mapped) {
    yield* tryToUnmap(ctx, folio);
    yield* tryToUnmapFlush(ctx);
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    mapped = folioMaps(ctx, folio) > 0;
  }
  // identify_page_state(), me_pagecache_clean(): delete_from_lru_cache(); an anonymous page is recovered by that
  if (!mapped && (yield* folioIsolateLru(ctx, folio))) yield* folioPut(ctx, folio, REF_ISOLATED);
  yield* unlockFolio(ctx, folio);
  return mapped ? -EBUSY : 0;
}

/**
 * memory_failure() (mm/memory-failure.c, v6.18; kernel-model 3.20, table 4 row 17), as MADV_HWPOISON injects it: the caller holds a
 * reference, which the broken page keeps for good. A pin keeps nobody from being unmapped: the poison comes before the look at the
 * pins. Only a huge page that cannot be split for its pins stays mapped, and the reference is given back.
 *
 * Signals are not delivered here: who touches the page finds -EHWPOISON instead. Of shared memory the page stays in its object
 * (v5.16), and so does who faults on it meet it.
 */
import {
  EBUSY,
  EHWPOISON,
  PG_DIRTY,
  PG_HAS_HWPOISONED,
  PG_HWPOISON,
  PG_HWPOISON_KEPT,
  PG_SWAPCACHE,
  PG_UPTODATE,
} from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import { type Context, type Coroutine, REF_ISOLATED, REF_TEMP } from '../machine/context.js';
import { acquires, reads, releases, updates } from '../machine/effects.js';
import { GLOBAL_MF_MUTEX, PAGE_MAPPING, globalLock, pageWord } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_MF_MUTEX } from '../locks/classes.js';
import { folioLock, folioLockWord, folioUnlock, mutexLock, mutexUnlock } from '../locks/exclusive.js';
import { readOnce } from '#words';
import { mappingIsFile } from './filemap.js';
import {
  clearFlag,
  flagsWord,
  folioMapping,
  folioMaps,
  folioOf,
  folioPut,
  folioRefs,
  folioTestLarge,
  mapsWord,
  refsWord,
  setFlag,
} from './folio.js';
import { tryToUnmapFlush } from './rmap/flush.js';
import { tryToUnmap } from './rmap/unmap.js';
import { deleteFromSwapCache } from './swap/swap-state.js';
import { folioIsolateLru } from './swap.js';

/**
 * memory_failure(MF_COUNT_INCREASED).
 * @param pfn the broken page; its folio has a reference of kind REF_TEMP for us
 * @returns 0: nobody maps it any more, whoever touches it is told; -EHWPOISON: it was known, or (v6.11) it is part of a huge page that
 *   cannot be split, whose users are killed where they asked to be told early; -EBUSY: such a page of an older kernel, or somebody
 *   maps it still, or (of the swap cache and of shared memory) holds it
 */
export function* memoryFailure(ctx: Context, pfn: number): Coroutine {
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.hwpoison;
  const mutex = globalLock(ctx.m, GLOBAL_MF_MUTEX);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_MF_MUTEX)) yield contended(ctx, mutex);
  // TestSetPageHWPoison()
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
  const known = (setFlag(ctx, pfn, PG_HWPOISON) & PG_HWPOISON) !== 0;
  let result = -EHWPOISON;
  let kept = false;
  if (!known) {
    result = yield* splitLarge(ctx, pfn);
    kept = result === 0;
    if (kept) result = yield* isolate(ctx, pfn);
  }
  if (!kept) yield* folioPut(ctx, folioOf(ctx, pfn), REF_TEMP);
  if (--ctx.quantum < 0) yield releases(mutex);
  mutexUnlock(ctx, mutex, LOCK_MF_MUTEX);
  ctx.task.mechanism = outer;
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

/** try_to_split_thp_page(): 0, also of a small page; or a pinned one stays as it is, mapped, its users told (kill_procs_now). */
function* splitLarge(ctx: Context, pfn: number): Coroutine {
  const head = folioOf(ctx, pfn);
  if (!folioTestLarge(ctx, head)) return 0;
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  setFlag(ctx, head, PG_HAS_HWPOISONED);
  yield* lockFolio(ctx, pfn);
  const split = yield* ctx.kernel.splitHugePage(ctx, pfn);
  yield* unlockFolio(ctx, folioOf(ctx, pfn));
  if (split === 0) return 0;
  return ctx.kernel.rules.poisonUnsplit === 'EBUSY' ? -EBUSY : -EHWPOISON;
}

/** The small page is unmapped and taken out of use. Returns 0 or -EBUSY; our reference stays with it either way. */
function* isolate(ctx: Context, pfn: number): Coroutine {
  const folio = yield* lockFolio(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  const flags = readOnce(ctx.words, flagsWord(ctx, folio));
  // hwpoison_user_mappings(): unmap_poisoned_folio(), try_to_unmap(TTU_IGNORE_MLOCK | TTU_SYNC | TTU_HWPOISON)
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  let mapped = folioMaps(ctx, folio) > 0;
  if (mapped) {
    yield* tryToUnmap(ctx, folio);
    yield* tryToUnmapFlush(ctx);
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    mapped = folioMaps(ctx, folio) > 0;
  }
  const busy = mapped || !(yield* takeOut(ctx, folio, flags));
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
  setFlag(ctx, folio, PG_HWPOISON_KEPT);
  yield* unlockFolio(ctx, folio);
  return busy ? -EBUSY : 0;
}

/**
 * identify_page_state() and its action. An anonymous page is recovered once it is off the LRU (me_pagecache_clean), whoever holds it. One
 * of the swap cache, or of shared memory, is not while anybody else does (has_extra_refcount).
 * @param flags the folio's, from before it was unmapped
 */
function* takeOut(ctx: Context, folio: number, flags: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, folio, PAGE_MAPPING));
  const file = mappingIsFile(folioMapping(ctx, folio));
  const inSwap = (flags & PG_SWAPCACHE) !== 0;
  // me_swapcache_dirty(): it stays there for who holds a swap entry; me_swapcache_clean(): it can be read again
  if (inSwap && (flags & PG_DIRTY) === 0) {
    yield* deleteFromSwapCache(ctx, folio);
  } else if (inSwap) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
    clearFlag(ctx, folio, PG_DIRTY | PG_UPTODATE);
  }
  // delete_from_lru_cache()
  if (yield* folioIsolateLru(ctx, folio)) yield* folioPut(ctx, folio, REF_ISOLATED);
  else if (!file) return false;
  if (!inSwap && !file) return true;
  const cached = file || (flags & PG_DIRTY) !== 0 ? 1 : 0;
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
  return folioRefs(ctx, folio) === 1 + cached;
}

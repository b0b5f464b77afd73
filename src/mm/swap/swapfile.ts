/**
 * Swap slots: who refers to each (mm/swapfile.c, v6.18; kernel-model 3.6, 3.12). A slot's swap_map counts the swap entries in
 * page tables; SWAP_HAS_CACHE says that a folio stands for it in the swap cache, or that somebody is about to read it in.
 * It is free when neither is left. In the kernel the cluster's spinlock guards the byte; every operation here is about one slot
 * and is one atomic step.
 */
import { EEXIST, ENOENT } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { adds, reads, updates } from '../../machine/effects.js';
import { SWAP_FREE_SLOTS, SWAP_HAS_CACHE, SWAP_MAP, SWAP_READS, globalWord, swapWord } from '../../machine/layout.js';
import { wake } from '../../machine/wait.js';
import { cmpxchg, fetchAdd, fetchAnd, readOnce } from '#words';

const swapMapWord = (ctx: Context, slot: number): number => swapWord(ctx.m, slot, SWAP_MAP);

/** folio_alloc_swap(): a free slot, marked as having a folio in the cache; or -1, swap is full. */
export function* swapAlloc(ctx: Context): Coroutine {
  const { m, words } = ctx;
  if (m.swapSlots === 0) return -1;
  const free = globalWord(m, SWAP_FREE_SLOTS);
  if (--ctx.quantum < 0) yield updates(free);
  let left = readOnce(words, free);
  while (left > 0 && cmpxchg(words, free, left, left - 1) !== left) left = readOnce(words, free);
  if (left <= 0) return -1;
  for (let i = 0; ; i++) {
    const slot = (ctx.cpu.swapHint + i) % m.swapSlots;
    const at = swapMapWord(ctx, slot);
    if (--ctx.quantum < 0) yield updates(at);
    if (cmpxchg(words, at, 0, SWAP_HAS_CACHE) !== 0) continue;
    ctx.cpu.swapHint = slot;
    return slot;
  }
}

/**
 * folio_alloc_swap() of a huge page (CONFIG_THP_SWAP): a cluster of slots as long as the page, aligned and all free, which become its
 * pages' in turn, marked as having a folio in the cache.
 * @returns the first slot, or -1: swap is too full, or too fragmented
 */
export function* swapAllocCluster(ctx: Context): Coroutine {
  const { m, words } = ctx;
  const pages = m.thpPages;
  const free = globalWord(m, SWAP_FREE_SLOTS);
  if (m.swapSlots < pages) return -1;
  if (--ctx.quantum < 0) yield updates(free);
  let left = readOnce(words, free);
  while (left >= pages && cmpxchg(words, free, left, left - pages) !== left) left = readOnce(words, free);
  if (left < pages) return -1;
  for (let first = 0; first + pages <= m.swapSlots; first += pages) {
    let taken = 0;
    for (; taken < pages; taken++) {
      const at = swapMapWord(ctx, first + taken);
      if (--ctx.quantum < 0) yield updates(at);
      if (cmpxchg(words, at, 0, SWAP_HAS_CACHE) !== 0) break;
    }
    if (taken === pages) return first;
    for (let i = 0; i < taken; i++) {
      const at = swapMapWord(ctx, first + i);
      if (--ctx.quantum < 0) yield updates(at);
      fetchAnd(words, at, ~SWAP_HAS_CACHE);
    }
  }
  if (--ctx.quantum < 0) yield adds(free);
  fetchAdd(words, free, pages);
  return -1;
}

/**
 * swap_duplicate(): one more swap entry refers to the slot. The caller holds an entry of it under its PTL, or its folio's
 * lock. (The kernel's counts continue elsewhere beyond 62, and may want memory for that; these do not.)
 */
export function* swapDuplicate(ctx: Context, slot: number): Coroutine<void> {
  const at = swapMapWord(ctx, slot);
  if (--ctx.quantum < 0) yield updates(at);
  if (fetchAdd(ctx.words, at, 1) === 0) ctx.probe.onWarn(ctx, 'I-REF', 'free swap slot was duplicated', -1);
}

/** swap_free(): an entry is gone. Returns what is left in the map: 0 (the slot is free now), SWAP_HAS_CACHE, or entries. */
export function* swapFree(ctx: Context, slot: number): Coroutine {
  const at = swapMapWord(ctx, slot);
  if (--ctx.quantum < 0) yield updates(at);
  const before = fetchAdd(ctx.words, at, -1);
  if ((before & ~SWAP_HAS_CACHE) === 0) ctx.probe.onWarn(ctx, 'I-REF', 'swap slot freed once too often', -1);
  if (before === 1) yield* slotFreed(ctx);
  return before - 1;
}

/** put_swap_folio(), swapcache_clear(): no folio stands for the slot any more. */
export function* swapcacheClear(ctx: Context, slot: number): Coroutine<void> {
  const at = swapMapWord(ctx, slot);
  if (--ctx.quantum < 0) yield updates(at);
  const before = fetchAnd(ctx.words, at, ~SWAP_HAS_CACHE);
  yield* wakeSwapReaders(ctx, slot);
  if (before === SWAP_HAS_CACHE) yield* slotFreed(ctx);
}

/** wake_up(&swapcache_wq): a folio stands for the slot now, or nobody reads it any more. */
export function* wakeSwapReaders(ctx: Context, slot: number): Coroutine<void> {
  const at = swapWord(ctx.m, slot, SWAP_READS);
  if (--ctx.quantum < 0) yield adds(at);
  fetchAdd(ctx.words, at, 1);
  wake(ctx.m, at);
}

function* slotFreed(ctx: Context): Coroutine<void> {
  const free = globalWord(ctx.m, SWAP_FREE_SLOTS);
  if (--ctx.quantum < 0) yield adds(free);
  fetchAdd(ctx.words, free, 1);
}

/**
 * swapcache_prepare(): this task alone may read the slot in until swapcacheClear or a folio in the cache (Z21).
 * @returns 0; -EEXIST: somebody else does, or a folio is there; -ENOENT: nothing refers to the slot any more
 */
export function* swapcachePrepare(ctx: Context, slot: number): Coroutine {
  const at = swapMapWord(ctx, slot);
  if (--ctx.quantum < 0) yield updates(at);
  const map = readOnce(ctx.words, at);
  if ((map & SWAP_HAS_CACHE) !== 0) return -EEXIST;
  if (map === 0) return -ENOENT;
  return cmpxchg(ctx.words, at, map, map | SWAP_HAS_CACHE) === map ? 0 : -EEXIST;
}

/** The map of a slot: entries, | SWAP_HAS_CACHE. What it says may change at once unless a lock keeps it. */
export function* swapMap(ctx: Context, slot: number): Coroutine {
  const at = swapMapWord(ctx, slot);
  if (--ctx.quantum < 0) yield reads(at);
  return readOnce(ctx.words, at);
}

/** __swap_count(). */
export const swapCountOf = (map: number): number => map & ~SWAP_HAS_CACHE;

/** vm_swap_full(): less than half of swap is left, so that slots whose pages are in memory are given back early. */
export function* vmSwapFull(ctx: Context): Coroutine<boolean> {
  const free = globalWord(ctx.m, SWAP_FREE_SLOTS);
  if (--ctx.quantum < 0) yield reads(free);
  return readOnce(ctx.words, free) * 2 < ctx.m.swapSlots;
}

/**
 * The page allocator (mm/page_alloc.c) with the two orders that exist here: single pages and THPs. Each node has one zone,
 * whose lock guards lists of page blocks of 2^thpOrder frames: wholly free ones, and ones with some frames free (a block's
 * frames merge back when the last of them comes home: a buddy system of two levels). In front of it stand per-CPU lists of
 * single pages, private to their CPU; with `pcpBatch` 1 they are not used, so that litmus tests see every free at once.
 */
import {
  COMPOUND_HEAD,
  COMPOUND_TAIL,
  PG_BUDDY,
  PG_HWPOISON,
  PG_NO_MAP,
  PG_PCP,
  PG_RESERVED,
  PG_UNPINNABLE_ZONE,
  FAULT_FLAG_PIN_ALLOC,
} from '../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC } from '../machine/context.js';
import { setBeside } from '../machine/words/extra-accesses.js';
import { acquires, releases } from '../machine/effects.js';
import {
  BLOCK_FREE_COUNT,
  BLOCK_FREE_HEAD,
  BLOCK_NEXT,
  BLOCK_PREV,
  CPU_PCP_COUNT,
  CPU_PCP_HEAD,
  type Machine,
  NODE_FREE_BLOCKS,
  NODE_FREE_FRAMES,
  NODE_PARTIAL_BLOCKS,
  NODE_ZONE_LOCK,
  PAGE_COMPOUND,
  PAGE_CPUPID,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_LARGE_MAPS,
  PAGE_LRU_NEXT,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  blockWord,
  nodeWord,
  pageWord,
} from '../machine/layout.js';
import { STAT } from '../machine/stats.js';
import { contended } from '../machine/wait.js';
import { LOCK_ZONE } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { get, look, set } from '#words';

/** Flags that belong to the frame rather than to its use. */
const FRAME_FLAGS = PG_HWPOISON | PG_UNPINNABLE_ZONE | PG_NO_MAP | PG_RESERVED;

/** __GFP_THISNODE: no fallback to other nodes. */
export const GFP_THISNODE = 1;
/** Only frames that FOLL_LONGTERM may pin: not ZONE_MOVABLE, not CMA (memalloc_pin_save). */
export const GFP_PINNABLE = 2;

/**
 * alloc_pages(): one folio with refs 1 and nothing else set; its content is the caller's to write.
 * @param order 0 or the machine's thpOrder
 * @returns its pfn, or -1 when no memory is left (or fault injection says so)
 */
export function* allocPages(ctx: Context, order: number, node: number, gfp: number): Coroutine {
  if (ctx.task.failAllocation > 0 && --ctx.task.failAllocation === 0) {
    countOne(ctx, STAT.alloc_failures);
    return -1;
  }
  const m = ctx.m;
  for (let i = 0; i < m.nodes; i++) {
    const nid = (node + i) % m.nodes;
    if (order === 0 && m.config.pcpBatch > 1 && (gfp & GFP_PINNABLE) === 0) {
      if (get(ctx.words, ctx.cpuAt + CPU_PCP_HEAD + nid) === 0) yield* refillPcp(ctx, nid);
      const pfn = takePcpPage(ctx, nid);
      if (pfn > 0) return pfn;
    } else {
      const lock = nodeWord(m, nid, NODE_ZONE_LOCK);
      if (--ctx.quantum < 0) yield acquires(lock);
      while (!spinLock(ctx, lock, LOCK_ZONE)) yield contended(ctx, lock);
      const pfn = order === 0 ? takeFrame(m, nid, gfp) : takeBlock(m, nid, gfp);
      if (--ctx.quantum < 0) yield releases(lock);
      spinUnlock(ctx, lock, LOCK_ZONE);
      if (pfn > 0) return prepNewFolio(ctx, pfn, order);
    }
    if ((gfp & GFP_THISNODE) !== 0) break;
  }
  countOne(ctx, STAT.alloc_failures);
  return -1;
}

/**
 * rmqueue_pcplist(): a page of the CPU's own list, as allocPages would give it. The list is private: no schedule point.
 * @returns its pfn, or 0: nothing there, or not to be had this way; call allocPages
 */
export function allocPcpPage(ctx: Context, node: number, gfp: number): number {
  if (ctx.task.failAllocation > 0 || (gfp & GFP_PINNABLE) !== 0 || ctx.m.config.pcpBatch <= 1) return 0;
  return takePcpPage(ctx, node);
}

function takePcpPage(ctx: Context, node: number): number {
  const { m, words } = ctx;
  const head = ctx.cpuAt + CPU_PCP_HEAD + node;
  const pfn = get(words, head);
  if (pfn === 0) return 0;
  set(words, head, get(words, pageWord(m, pfn, PAGE_LRU_NEXT)));
  const count = ctx.cpuAt + CPU_PCP_COUNT + node;
  set(words, count, get(words, count) - 1);
  return prepNewFolio(ctx, pfn, 0);
}

/**
 * free_frozen_page() of a small page to the CPU's own list, as freeFolio would do it. Private: no schedule point.
 * @returns false: not to be had this way (large, poisoned, the list is full); call freeFolio
 */
export function freePcpPage(ctx: Context, pfn: number): boolean {
  const { m, words } = ctx;
  const batch = m.config.pcpBatch;
  if (batch <= 1) return false;
  const node = (pfn / m.framesPerNode) | 0;
  const count = ctx.cpuAt + CPU_PCP_COUNT + node;
  const large = (get(words, pageWord(m, pfn, PAGE_COMPOUND)) & COMPOUND_HEAD) !== 0;
  const flags = pageWord(m, pfn, PAGE_FLAGS);
  if (large || (get(words, flags) & PG_HWPOISON) !== 0 || get(words, count) >= 4 * batch) return false;
  ctx.probe.onFree(ctx, pfn, 0);
  countOne(ctx, STAT.page_frees);
  resetFrame(m, pfn);
  set(words, flags, get(words, flags) | PG_PCP);
  const head = ctx.cpuAt + CPU_PCP_HEAD + node;
  set(words, pageWord(m, pfn, PAGE_LRU_NEXT), get(words, head));
  set(words, head, pfn);
  set(words, count, get(words, count) + 1);
  return true;
}

/** Gives a folio whose last reference is gone back to its zone or to the CPU's list. */
export function* freeFolio(ctx: Context, head: number): Coroutine<void> {
  if (freePcpPage(ctx, head)) return;
  const { m, words } = ctx;
  const order = (get(words, pageWord(m, head, PAGE_COMPOUND)) & COMPOUND_HEAD) !== 0 ? m.thpOrder : 0;
  ctx.probe.onFree(ctx, head, order);
  countOne(ctx, STAT.page_frees);
  const node = (head / m.framesPerNode) | 0;
  let poisoned = false;
  for (let pfn = head; pfn < head + (1 << order); pfn++) {
    poisoned ||= (get(words, pageWord(m, pfn, PAGE_FLAGS)) & PG_HWPOISON) !== 0;
    resetFrame(m, pfn);
  }
  if (order === 0 && m.config.pcpBatch > 1 && !poisoned) {
    const at = ctx.cpuAt + CPU_PCP_HEAD + node;
    set(words, pageWord(m, head, PAGE_FLAGS), get(words, pageWord(m, head, PAGE_FLAGS)) | PG_PCP);
    set(words, pageWord(m, head, PAGE_LRU_NEXT), get(words, at));
    set(words, at, head);
    const count = get(words, ctx.cpuAt + CPU_PCP_COUNT + node) + 1;
    set(words, ctx.cpuAt + CPU_PCP_COUNT + node, count);
    if (count > 4 * m.config.pcpBatch) yield* drainPcp(ctx, node, 2 * m.config.pcpBatch);
    return;
  }
  const lock = nodeWord(m, node, NODE_ZONE_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_ZONE)) yield contended(ctx, lock);
  for (let pfn = head; pfn < head + (1 << order); pfn++) giveFrame(m, node, pfn);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_ZONE);
}

/** drain_pages(): gives `count` frames of the CPU's list for `node` back to its zone. */
export function* drainPcp(ctx: Context, node: number, count: number): Coroutine<void> {
  const { m, words } = ctx;
  const head = ctx.cpuAt + CPU_PCP_HEAD + node;
  const countAt = ctx.cpuAt + CPU_PCP_COUNT + node;
  const lock = nodeWord(m, node, NODE_ZONE_LOCK);
  if (get(words, head) === 0) return;
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_ZONE)) yield contended(ctx, lock);
  for (let i = 0; i < count; i++) {
    const pfn = get(words, head);
    if (pfn === 0) break;
    set(words, head, get(words, pageWord(m, pfn, PAGE_LRU_NEXT)));
    set(words, countAt, get(words, countAt) - 1);
    giveFrame(m, node, pfn);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_ZONE);
}

function* refillPcp(ctx: Context, node: number): Coroutine<void> {
  const { m, words } = ctx;
  const head = ctx.cpuAt + CPU_PCP_HEAD + node;
  const lock = nodeWord(m, node, NODE_ZONE_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_ZONE)) yield contended(ctx, lock);
  let taken = 0;
  for (; taken < m.config.pcpBatch; taken++) {
    const pfn = takeFrame(m, node, 0);
    if (pfn === 0) break;
    const flags = pageWord(m, pfn, PAGE_FLAGS);
    set(words, flags, (get(words, flags) & FRAME_FLAGS) | PG_PCP);
    set(words, pageWord(m, pfn, PAGE_LRU_NEXT), get(words, head));
    set(words, head, pfn);
  }
  set(words, ctx.cpuAt + CPU_PCP_COUNT + node, get(words, ctx.cpuAt + CPU_PCP_COUNT + node) + taken);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_ZONE);
}

/** The frames are nobody's yet; but GUP-fast may have an old entry that leads here, and looks at what it is part of and at its count. */
function prepNewFolio(ctx: Context, head: number, order: number): number {
  const { m, words } = ctx;
  const flags = pageWord(m, head, PAGE_FLAGS);
  set(words, flags, get(words, flags) & FRAME_FLAGS);
  if (order > 0) {
    setBeside(words, pageWord(m, head, PAGE_COMPOUND), COMPOUND_HEAD | (order << 24));
    for (let pfn = head + 1; pfn < head + (1 << order); pfn++) {
      const tail = pageWord(m, pfn, PAGE_FLAGS);
      set(words, tail, get(words, tail) & FRAME_FLAGS);
      setBeside(words, pageWord(m, pfn, PAGE_COMPOUND), COMPOUND_TAIL | head);
    }
  }
  // set_page_refcounted(): from here on who finds it by an old entry can have a reference, until the entry is looked at again
  setBeside(words, pageWord(m, head, PAGE_REFS), 1);
  countOne(ctx, STAT.page_allocs);
  ctx.probe.onAlloc(ctx, head, order);
  ctx.probe.onRef(ctx, head, 1, REF_ALLOC);
  return head;
}

/**
 * free_pages_prepare(): no reference is left, so what is plain here is nobody else's; whether it was part of a large folio, GUP-fast looks,
 * and ksm_get_folio() at what it was mapped as.
 */
function resetFrame(m: Machine, pfn: number): void {
  const at = pageWord(m, pfn, 0);
  const words = m.words;
  clear(words, at + PAGE_REFS);
  clear(words, at + PAGE_MAPS);
  const flags = get(words, at + PAGE_FLAGS);
  if ((flags & ~FRAME_FLAGS) !== 0) set(words, at + PAGE_FLAGS, flags & FRAME_FLAGS);
  clear(words, at + PAGE_PINCOUNT);
  clear(words, at + PAGE_ENTIRE_MAPS);
  clear(words, at + PAGE_LARGE_MAPS);
  if (get(words, at + PAGE_COMPOUND) !== 0) setBeside(words, at + PAGE_COMPOUND, 0);
  if (get(words, at + PAGE_MAPPING) !== 0) setBeside(words, at + PAGE_MAPPING, 0);
  clear(words, at + PAGE_CPUPID);
}

function clear(words: Int32Array, index: number): void {
  if (get(words, index) !== 0) set(words, index, 0);
}

function countOne(ctx: Context, stat: number): void {
  ctx.words[ctx.statsAt + stat] = (ctx.words[ctx.statsAt + stat] as number) + 1;
}

/* ---- the zone's lists, under the zone lock: plain accesses; the count of free frames is looked at without it (zone_watermark_ok()) ---- */

function unlink(m: Machine, list: number, block: number): void {
  const w = m.words;
  const next = get(w, blockWord(m, block, BLOCK_NEXT));
  const prev = get(w, blockWord(m, block, BLOCK_PREV));
  if (prev === 0) set(w, list, next);
  else set(w, blockWord(m, prev - 1, BLOCK_NEXT), next);
  if (next !== 0) set(w, blockWord(m, next - 1, BLOCK_PREV), prev);
}

function link(m: Machine, list: number, block: number): void {
  const w = m.words;
  const first = get(w, list);
  set(w, blockWord(m, block, BLOCK_NEXT), first);
  set(w, blockWord(m, block, BLOCK_PREV), 0);
  if (first !== 0) set(w, blockWord(m, first - 1, BLOCK_PREV), block + 1);
  set(w, list, block + 1);
}

/** Whether the block's zone allows a request that wants pinnable memory. Blocks are of one zone. */
function suits(m: Machine, block: number, gfp: number): boolean {
  if ((gfp & GFP_PINNABLE) === 0) return true;
  const last = ((block + 1) << m.thpOrder) - 1;
  // where a frame lies is the same for ever; whose it is, and its other flags, are not looked at
  return (look(m.words, pageWord(m, last, PAGE_FLAGS)) & PG_UNPINNABLE_ZONE) === 0;
}

function findBlock(m: Machine, list: number, gfp: number): number {
  const w = m.words;
  let block = get(w, list);
  while (block !== 0 && !suits(m, block - 1, gfp)) block = get(w, blockWord(m, block - 1, BLOCK_NEXT));
  return block - 1;
}

/** One free frame of `node`, or 0. */
function takeFrame(m: Machine, node: number, gfp: number): number {
  const w = m.words;
  const partial = nodeWord(m, node, NODE_PARTIAL_BLOCKS);
  let block = findBlock(m, partial, gfp);
  if (block < 0) {
    const free = nodeWord(m, node, NODE_FREE_BLOCKS);
    block = findBlock(m, free, gfp);
    if (block < 0) return 0;
    unlink(m, free, block);
    link(m, partial, block);
  }
  const headAt = blockWord(m, block, BLOCK_FREE_HEAD);
  const pfn = get(w, headAt);
  set(w, headAt, get(w, pageWord(m, pfn, PAGE_LRU_NEXT)));
  const count = get(w, blockWord(m, block, BLOCK_FREE_COUNT)) - 1;
  set(w, blockWord(m, block, BLOCK_FREE_COUNT), count);
  if (count === 0) unlink(m, partial, block);
  setBeside(w, nodeWord(m, node, NODE_FREE_FRAMES), get(w, nodeWord(m, node, NODE_FREE_FRAMES)) - 1);
  return pfn;
}

/** The first frame of a wholly free block of `node`, or 0. */
function takeBlock(m: Machine, node: number, gfp: number): number {
  const w = m.words;
  const free = nodeWord(m, node, NODE_FREE_BLOCKS);
  const block = findBlock(m, free, gfp);
  if (block < 0) return 0;
  unlink(m, free, block);
  set(w, blockWord(m, block, BLOCK_FREE_COUNT), 0);
  set(w, blockWord(m, block, BLOCK_FREE_HEAD), 0);
  setBeside(w, nodeWord(m, node, NODE_FREE_FRAMES), get(w, nodeWord(m, node, NODE_FREE_FRAMES)) - m.thpPages);
  return block << m.thpOrder;
}

/** Puts one frame back into its block. Poisoned frames never come back. Also used at boot. */
export function giveFrame(m: Machine, node: number, pfn: number): void {
  const w = m.words;
  const flagsAt = pageWord(m, pfn, PAGE_FLAGS);
  const flags = get(w, flagsAt) & FRAME_FLAGS;
  if ((flags & PG_HWPOISON) !== 0) {
    set(w, flagsAt, flags);
    return;
  }
  set(w, flagsAt, flags | PG_BUDDY);
  const block = pfn >> m.thpOrder;
  set(w, pageWord(m, pfn, PAGE_LRU_NEXT), get(w, blockWord(m, block, BLOCK_FREE_HEAD)));
  set(w, blockWord(m, block, BLOCK_FREE_HEAD), pfn);
  const count = get(w, blockWord(m, block, BLOCK_FREE_COUNT)) + 1;
  set(w, blockWord(m, block, BLOCK_FREE_COUNT), count);
  const partial = nodeWord(m, node, NODE_PARTIAL_BLOCKS);
  if (count === m.thpPages) {
    if (count > 1) unlink(m, partial, block);
    link(m, nodeWord(m, node, NODE_FREE_BLOCKS), block);
  } else if (count === 1) {
    link(m, partial, block);
  }
  setBeside(w, nodeWord(m, node, NODE_FREE_FRAMES), get(w, nodeWord(m, node, NODE_FREE_FRAMES)) + 1);
}

/** memalloc_pin_save() as far as it matters here: what a fault on behalf of FOLL_LONGTERM may allocate. */
export const faultGfp = (flags: number): number => ((flags & FAULT_FLAG_PIN_ALLOC) !== 0 ? GFP_PINNABLE : 0);

/**
 * Memory of a driver's in a process: remap_pfn_range() (mm/memory.c, v6.18). The driver has allocated it as one piece of a
 * higher order without __GFP_COMP, as many do: only the first page has a reference, the others' counts are 0, and nobody
 * may touch either. VM_PFNMAP and the special PTEs say so: GUP refuses, zapping drops no map and no reference.
 *
 * The memory is the device's for as long as the machine runs: mapped once more at the same place, it is the same.
 */
import { ENOMEM, PG_DRIVER, VM_WRITE } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { releases, writes } from '../../machine/effects.js';
import { PTE_DIRTY, PTE_PRESENT, PTE_SPECIAL, PTE_WRITE, PTE_YOUNG, mkEntry } from '../../machine/entries.js';
import { PAGE_COMPOUND, PAGE_CONTENT, PAGE_FLAGS, PAGE_INDEX, pageWord, pteWord, ptlOf } from '../../machine/layout.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { get, look, peek, set, writeOnce } from '#words';
import { allocPages } from '../page-alloc.js';
import { pteAlloc, pteOffsetMapLock } from '../pgtable.js';

/** Which page of the device a virtual page shows: PAGE_INDEX of the driver's frames. */
const devicePage = (ctx: Context, mm: number, vpn: number): number => mm * ctx.m.mmPages + vpn;

/** The driver's frame behind a page, or -1: it has allocated none yet. */
function driverFrame(ctx: Context, mm: number, vpn: number): number {
  const { m, words } = ctx;
  for (let pfn = 1; pfn < m.frames; pfn++) {
    // the driver's own knowledge: the flag is set under the mmap_lock that is held, and other frames' flags are nothing to it
    if ((look(words, pageWord(m, pfn, PAGE_FLAGS)) & PG_DRIVER) === 0) continue;
    if (peek(words, pageWord(m, pfn, PAGE_INDEX)) === devicePage(ctx, mm, vpn)) return pfn;
  }
  return -1;
}

/** Memory for `pages` pages, 1 or a whole block: the first frame, or -1. */
function* allocDriverMemory(ctx: Context, mm: number, vpn: number, pages: number): Coroutine {
  const { m, words } = ctx;
  const first = yield* allocPages(ctx, pages === 1 ? 0 : m.thpOrder, ctx.node, 0);
  if (first < 0) return -1;
  for (let i = 0; i < pages; i++) {
    set(words, pageWord(m, first + i, PAGE_COMPOUND), 0);
    const flags = pageWord(m, first + i, PAGE_FLAGS);
    set(words, flags, get(words, flags) | PG_DRIVER);
    set(words, pageWord(m, first + i, PAGE_INDEX), devicePage(ctx, mm, vpn + i));
    set(words, pageWord(m, first + i, PAGE_CONTENT), 0);
  }
  return first;
}

/**
 * The driver's mmap(): its memory at [start, start + pages), by VM_* `flags`. mmap_lock is held for writing.
 * @returns 0 or -ENOMEM
 */
export function* remapPfnRange(ctx: Context, mm: number, start: number, pages: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const end = start + pages;
  const bits = PTE_PRESENT | PTE_SPECIAL | PTE_YOUNG | ((flags & VM_WRITE) !== 0 ? PTE_WRITE | PTE_DIRTY : 0);
  for (let vpn = start; vpn < end; vpn++) {
    let pfn = driverFrame(ctx, mm, vpn);
    if (pfn < 0) {
      const block = (vpn & (m.thpPages - 1)) === 0 && vpn + m.thpPages <= end;
      pfn = yield* allocDriverMemory(ctx, mm, vpn, block ? m.thpPages : 1);
      if (pfn < 0) return -ENOMEM;
    }
    if ((yield* pteAlloc(ctx, mm, vpn)) !== 0) return -ENOMEM;
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    const pteAt = pteWord(m, table, vpn);
    const entry = mkEntry(pfn, bits);
    if (--ctx.quantum < 0) yield writes(pteAt);
    writeOnce(words, pteAt, entry);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
    const ptl = ptlOf(m, table);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
  }
  return 0;
}

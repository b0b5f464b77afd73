/**
 * Per-CPU TLBs as hardware. An entry is two words, written by its own CPU (value first, then tag) and removed by
 * anybody by compare-and-swap on the tag:
 *
 *   tag    page << 8 | (space + 1) << 1 | guest        0 = empty; space = the mm (ASID) or the VM (VMID), up to 126
 *   value  pfn << 2 | dirty << 1 | writable
 *
 * TLBI posts nothing in our model: the entry stays usable until the DSB, which removes what is left on each CPU in
 * turn (each a step) and then waits for a CPU that is inside a translated access. An earlier removal could not be
 * told from an eviction, and entries may be evicted at any time; so the agent of each CPU is the step that removes.
 * Entries are page-sized: blocks are fractured, as a TLB may do.
 */
import type { Context } from './context.js';
import { updates } from './effects.js';
import { CPU_IN_USE, type Machine, cpuWord, tlbBase } from './layout.js';
import { wake } from './wait.js';
import { rawCmpxchg, rawLoad, rawStore, rawXchg, touched } from '#words';

export const TLB_WRITABLE = 1;
export const TLB_DIRTY = 2;

export const tlbTag = (guest: boolean, space: number, page: number): number =>
  (page << 8) | ((space + 1) << 1) | (guest ? 1 : 0);
export const tagPage = (tag: number): number => tag >>> 8;
export const tagSpace = (tag: number): number => ((tag >> 1) & 127) - 1;
export const tagGuest = (tag: number): boolean => (tag & 1) !== 0;
export const tlbPfn = (value: number): number => value >>> 2;

/** The word of the tag that `page` would have in the TLB of `cpu`; the value stands beside it. */
export const tlbSlot = (m: Machine, cpu: number, page: number): number => tlbBase(m, cpu) + ((page & m.tlbMask) << 1);

/** The CPU enters a translated access: from here on a DSB that has removed one of its entries waits for it. */
export function enterAccess(ctx: Context): void {
  const sequence = (ctx.accessSequence + 1) & 0x3fffffff;
  ctx.accessSequence = sequence;
  touched(updates(ctx.cpuAt + CPU_IN_USE));
  rawStore(ctx.words, ctx.cpuAt + CPU_IN_USE, sequence + 1);
}

/** The access is over. */
export function leaveAccess(ctx: Context): void {
  const at = ctx.cpuAt + CPU_IN_USE;
  touched(updates(at));
  if (rawXchg(ctx.words, at, 0) < 0) wake(ctx.m, at);
}

/** Looks up `tag` in the CPU's own TLB. Inside a translated access only. Returns the value word + 1, or 0. */
export function tlbLookup(ctx: Context, tag: number): number {
  const slot = tlbSlot(ctx.m, ctx.actor, tag >>> 8);
  return rawLoad(ctx.words, slot) === tag ? (ctx.words[slot + 1] as number) + 1 : 0;
}

/** Fills an entry of the CPU's own TLB. Inside a translated access only. */
export function tlbInsert(ctx: Context, tag: number, pfn: number, flags: number): void {
  const slot = tlbSlot(ctx.m, ctx.actor, tag >>> 8);
  // others only ever empty it
  if (rawLoad(ctx.words, slot) !== 0) rawStore(ctx.words, slot, 0);
  ctx.words[slot + 1] = (pfn << 2) | flags;
  rawStore(ctx.words, slot, tag);
}

/** Removes the entry of one page from the TLB of `cpu`. Returns whether there was one. */
export function tlbRemove(m: Machine, cpu: number, tag: number): boolean {
  const slot = tlbSlot(m, cpu, tag >>> 8);
  return rawLoad(m.words, slot) === tag && rawCmpxchg(m.words, slot, tag, 0) === tag;
}

/** Removes all entries of [start, end) of a space from the TLB of `cpu`. */
export function tlbRemoveRange(
  m: Machine,
  cpu: number,
  guest: boolean,
  space: number,
  start: number,
  end: number,
): void {
  if (end - start <= m.tlbMask) {
    for (let page = start; page < end; page++) tlbRemove(m, cpu, tlbTag(guest, space, page));
    return;
  }
  const low = tlbTag(guest, space, 0) & 255;
  const base = tlbBase(m, cpu);
  for (let slot = base, last = base + 2 * m.tlbMask; slot <= last; slot += 2) {
    const tag = rawLoad(m.words, slot);
    if (tag !== 0 && (tag & 255) === low && tag >>> 8 >= start && tag >>> 8 < end) {
      rawCmpxchg(m.words, slot, tag, 0);
    }
  }
}

/** The in-use word of `cpu`. */
export const inUseWord = (m: Machine, cpu: number): number => cpuWord(m, cpu, CPU_IN_USE);

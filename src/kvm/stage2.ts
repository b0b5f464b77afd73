/**
 * The guest's stage-2 table where the host owns it (arch/arm64/kvm/hyp/pgtable.c, v6.18): two levels, a root of
 * blocks or tables and tables of pages.
 *
 * Fault handlers map in parallel, holding mmu_lock for reading: every change of an entry is a compare-and-swap, and
 * break-before-make goes through KVM_INVALID_PTE_LOCKED, so that the loser of a race backs off with -EAGAIN and lets
 * its vCPU fault again. Unmapping holds mmu_lock for writing: entries then change for nobody else, and the hardware
 * only reads.
 */
import { COMPOUND_TAIL, EAGAIN, ENOMEM, GUP_PIN_COUNTING_BIAS } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, updates, writes } from '../machine/effects.js';
import {
  KVM_INVALID_PTE_LOCKED,
  S2_AF,
  S2_BLOCK,
  S2_EXEC,
  S2_VALID,
  S2_WRITE,
  entryPfn,
  isS2Block,
  isS2Leaf,
  isS2Table,
  mkEntry,
  mkS2Table,
} from '../machine/entries.js';
import {
  PAGE_COMPOUND,
  PAGE_PINCOUNT,
  PAGE_REFS,
  TABLE_POOL_NEXT,
  TABLE_REFS,
  pageWord,
  s2PteWord,
  s2RootWord,
  s2TableWord,
} from '../machine/layout.js';
import { MC_STAGE2_UNMAPS, MC_STAGE2_UNMAPS_PINNED, countMechanism, countStage2Map } from '../machine/stats.js';
import { tlbRemove, tlbSlot, tlbTag } from '../machine/tlb.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { cmpxchg, fetchAdd, get, look, readOnce, set, writeOnce, xchg } from '#words';
import { deferS2Table, freeS2Tables, returnCachedTable, takeCachedTable } from './s2-tables.js';

const PERMISSIONS = S2_WRITE | S2_EXEC;

/**
 * kvm_pgtable_stage2_map() as a shared walk.
 * @param gfn any page; a block is the one around it
 * @param pfn the page behind `gfn`; for a block, its place in the huge page is the same as that of `gfn`
 * @returns 0; -EAGAIN (lost a race, or the same page is mapped already); -ENOMEM (the memcache is empty)
 */
export function* stage2Map(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  pfn: number,
  block: boolean,
  writable: boolean,
): Coroutine {
  const { m, words } = ctx;
  const root = s2RootWord(m, vm, gfn);
  const first = gfn & ~(m.thpPages - 1);
  const flags = S2_VALID | S2_AF | (writable ? S2_WRITE : 0);
  if (--ctx.quantum < 0) yield reads(root);
  let entry = readOnce(words, root);
  if (block) {
    const leaf = mkEntry(pfn & ~(m.thpPages - 1), flags | S2_BLOCK);
    return yield* mapLeaf(ctx, vm, root, -1, entry, leaf, first, m.thpPages);
  }
  if (!isS2Table(entry)) {
    const table = takeCachedTable(ctx, vm, vcpu);
    if (table < 0) return -ENOMEM;
    if (--ctx.quantum < 0) yield updates(root);
    if (!tryLock(ctx, root, entry)) {
      returnCachedTable(ctx, vm, vcpu, table);
      return -EAGAIN;
    }
    if ((entry & S2_VALID) !== 0) yield* breakTranslation(ctx, vm, entry, first, m.thpPages);
    // a block that stood here is gone whole: its other pages are faulted back one by one
    entry = mkS2Table(table);
    if (--ctx.quantum < 0) yield writes(root);
    writeOnce(words, root, entry);
  }
  const table = entryPfn(entry);
  const at = s2PteWord(m, table, gfn);
  if (--ctx.quantum < 0) yield reads(at);
  return yield* mapLeaf(ctx, vm, at, table, readOnce(words, at), mkEntry(pfn, flags), gfn, 1);
}

/**
 * stage2_map_walker_try_leaf(): `old`, seen at `at`, becomes `leaf`. `table` is the page that holds `at`, -1 = the
 * root.
 */
function* mapLeaf(
  ctx: Context,
  vm: number,
  at: number,
  table: number,
  old: number,
  leaf: number,
  gfn: number,
  pages: number,
): Coroutine {
  // the same page again, or only other permissions: the next fault goes through relax_perms if it must
  if (isS2Leaf(old) && ((old ^ leaf) & ~PERMISSIONS) === 0) return -EAGAIN;
  if (--ctx.quantum < 0) yield updates(at);
  if (!tryLock(ctx, at, old)) return -EAGAIN;
  if ((old & S2_VALID) !== 0) yield* breakTranslation(ctx, vm, old, gfn, pages);
  if (table >= 0 && old === 0) {
    const refs = s2TableWord(ctx.m, table, TABLE_REFS);
    if (--ctx.quantum < 0) yield updates(refs);
    fetchAdd(ctx.words, refs, 1);
  }
  if (--ctx.quantum < 0) yield writes(at);
  if (table >= 0) ctx.probe.onStage2Leaf(ctx, table, vm, gfn);
  writeOnce(ctx.words, at, leaf);
  countStage2Map(ctx, vm, gfn, pages);
  ctx.probe.onStage2Map(ctx, vm, gfn, entryPfn(leaf), pages, (leaf & S2_WRITE) !== 0);
  emit(ctx, EVENT.stage2_map, vm, gfn, entryPfn(leaf), (leaf & S2_WRITE) !== 0 ? 1 : 0);
  if (isS2Table(old)) yield* deferS2Table(ctx, vm, entryPfn(old));
  return 0;
}

/** stage2_try_break_pte(), first half: locks the entry. A marked access. False: somebody else was first. */
const tryLock = (ctx: Context, at: number, old: number): boolean =>
  old !== KVM_INVALID_PTE_LOCKED && cmpxchg(ctx.words, at, old, KVM_INVALID_PTE_LOCKED) === old;

/** Second half, if the entry was valid: its translations leave every TLB. */
function* breakTranslation(ctx: Context, vm: number, old: number, gfn: number, pages: number): Coroutine<void> {
  if (isS2Table(old)) tellTableUnmapped(ctx, vm, entryPfn(old), gfn);
  else tellUnmapped(ctx, vm, gfn, old);
  yield* ctx.kernel.tlbFlushGuest(ctx, vm, gfn, gfn + pages);
}

function tellTableUnmapped(ctx: Context, vm: number, table: number, first: number): void {
  for (let i = 0; i < ctx.m.thpPages; i++) {
    const leaf = look(ctx.words, s2PteWord(ctx.m, table, i));
    if (isS2Leaf(leaf)) tellUnmapped(ctx, vm, first + i, leaf);
  }
}

function tellUnmapped(ctx: Context, vm: number, gfn: number, leaf: number): boolean {
  const pinned = looksPinned(ctx, entryPfn(leaf));
  ctx.probe.onStage2Unmap(ctx, vm, gfn, entryPfn(leaf), isS2Block(leaf) ? ctx.m.thpPages : 1);
  emit(ctx, EVENT.stage2_unmap, vm, gfn, entryPfn(leaf), pinned ? 1 : 0);
  return pinned;
}

/** folio_maybe_dma_pinned() for statistics: racy, as nothing rests on it. */
function looksPinned(ctx: Context, pfn: number): boolean {
  const { m, words } = ctx;
  if (pfn === 0) return false;
  const compound = look(words, pageWord(m, pfn, PAGE_COMPOUND));
  if (compound === 0) return look(words, pageWord(m, pfn, PAGE_REFS)) >= GUP_PIN_COUNTING_BIAS;
  const head = compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
  return look(words, pageWord(m, head, PAGE_PINCOUNT)) > 0;
}

/** How a permission fault found its entry: the granule that the syndrome names. */
export const GRANULE_NONE = 0;
const GRANULE_PAGE = 1;
export const GRANULE_BLOCK = 2;

/** The level at which `gfn` is mapped now: GRANULE_*. A marked read of the root entry; a point comes before. */
export function faultGranule(ctx: Context, vm: number, gfn: number): number {
  const entry = readOnce(ctx.words, s2RootWord(ctx.m, vm, gfn));
  if (isS2Table(entry)) return GRANULE_PAGE;
  return isS2Block(entry) ? GRANULE_BLOCK : GRANULE_NONE;
}

/**
 * kvm_pgtable_stage2_relax_perms() to writable, shared walk. 0, or -EAGAIN when the entry is gone or was lost to a
 * race.
 */
export function* stage2RelaxPerms(ctx: Context, vm: number, gfn: number): Coroutine {
  const { m, words } = ctx;
  let at = s2RootWord(m, vm, gfn);
  if (--ctx.quantum < 0) yield reads(at);
  let entry = readOnce(words, at);
  if (isS2Table(entry)) {
    at = s2PteWord(m, entryPfn(entry), gfn);
    if (--ctx.quantum < 0) yield reads(at);
    entry = readOnce(words, at);
  }
  if (!isS2Leaf(entry)) return -EAGAIN;
  if ((entry & S2_WRITE) === 0) {
    if (--ctx.quantum < 0) yield updates(at);
    if (cmpxchg(words, at, entry, entry | S2_WRITE) !== entry) return -EAGAIN;
    const pages = isS2Block(entry) ? m.thpPages : 1;
    ctx.probe.onStage2Perm(ctx, vm, gfn & ~(pages - 1), entryPfn(entry), pages, true);
  }
  // a weaker entry in another CPU's TLB faults once more there: only ours has to go
  if (--ctx.quantum < 0) yield updates(tlbSlot(m, ctx.actor, gfn));
  tlbRemove(m, ctx.actor, tlbTag(true, vm, gfn));
  return 0;
}

/**
 * kvm_pgtable_stage2_unmap() of [start, end): every entry that the range touches goes, a block whole. TLBs are clean
 * and empty tables free when it returns. mmu_lock held for writing.
 * @returns the entries removed
 */
export function* stage2Unmap(ctx: Context, vm: number, start: number, end: number): Coroutine {
  const { m, words } = ctx;
  let removed = 0;
  let low = end;
  let high = start;
  let freed = 0;
  for (let gfn = start; gfn < end;) {
    const first = gfn & ~(m.thpPages - 1);
    const next = Math.min(end, first + m.thpPages);
    const root = s2RootWord(m, vm, gfn);
    const entry = get(words, root);
    if (isS2Block(entry)) {
      if (--ctx.quantum < 0) yield updates(root);
      countUnmap(ctx, tellUnmapped(ctx, vm, first, xchg(words, root, 0)));
      removed++;
      low = Math.min(low, first);
      high = first + m.thpPages;
    } else if (isS2Table(entry)) {
      const table = entryPfn(entry);
      const refs = s2TableWord(m, table, TABLE_REFS);
      for (; gfn < next; gfn++) {
        const at = s2PteWord(m, table, gfn);
        if (get(words, at) === 0) continue;
        if (--ctx.quantum < 0) yield updates(at);
        countUnmap(ctx, tellUnmapped(ctx, vm, gfn, xchg(words, at, 0)));
        set(words, refs, get(words, refs) - 1);
        removed++;
        low = Math.min(low, gfn);
        high = gfn + 1;
      }
      if (get(words, refs) === 1) {
        if (--ctx.quantum < 0) yield writes(root);
        writeOnce(words, root, 0);
        set(words, s2TableWord(m, table, TABLE_POOL_NEXT), freed);
        freed = table + 1;
      }
    }
    gfn = next;
  }
  if (low < high) yield* ctx.kernel.tlbFlushGuest(ctx, vm, low, high);
  // only now: a hardware walker may have stood between the root and one of these, and the flush has waited for it
  if (freed !== 0) yield* freeS2Tables(ctx, freed);
  return removed;
}

function countUnmap(ctx: Context, pinned: boolean): void {
  countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_STAGE2_UNMAPS, 1);
  if (pinned) countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_STAGE2_UNMAPS_PINNED, 1);
}

/** kvm_pgtable_stage2_wrprotect() of [start, end), blocks whole, for dirty logging. mmu_lock held for writing. */
export function* stage2Wrprotect(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  const { m } = ctx;
  yield* wrprotectLeaves(ctx, vm, start, end);
  yield* ctx.kernel.tlbFlushGuest(ctx, vm, start & ~(m.thpPages - 1), (end + m.thpPages - 1) & ~(m.thpPages - 1));
}

/** Its walk; the TLBs still hold what the entries allowed. */
export function* wrprotectLeaves(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  const { m, words } = ctx;
  for (let gfn = start; gfn < end;) {
    const first = gfn & ~(m.thpPages - 1);
    const root = s2RootWord(m, vm, gfn);
    const entry = get(words, root);
    if (isS2Block(entry)) {
      if ((entry & S2_WRITE) !== 0) yield* wrprotectLeaf(ctx, vm, root, first, m.thpPages);
    } else if (isS2Table(entry)) {
      for (const next = Math.min(end, first + m.thpPages); gfn < next; gfn++) {
        const at = s2PteWord(m, entryPfn(entry), gfn);
        if ((get(words, at) & S2_WRITE) !== 0) yield* wrprotectLeaf(ctx, vm, at, gfn, 1);
      }
    }
    gfn = first + m.thpPages;
  }
}

function* wrprotectLeaf(ctx: Context, vm: number, at: number, gfn: number, pages: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield writes(at);
  const entry = get(ctx.words, at) & ~S2_WRITE;
  writeOnce(ctx.words, at, entry);
  ctx.probe.onStage2Perm(ctx, vm, gfn, entryPfn(entry), pages, false);
}

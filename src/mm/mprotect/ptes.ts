/**
 * change_pte_range: new protection for the PTEs of one table, as mprotect or as the NUMA scan, which gives up some
 * pages (mm/mprotect.c, v6.18; kernel-model 3.17 steps 5 and 6). The scan's look at pins comes here, under the PTL,
 * long after the notifier.
 */
import { EAGAIN, NUMA_NO_NODE, PG_DIRTY, PG_MAYBE_SHARED, VM_SHARED } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PFN_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  entryPfn,
  isPresent,
  isProtnone,
  isSpecial,
  mkSwapEntry,
  swapType,
} from '../../machine/entries.js';
import {
  MM_USERS,
  PAGE_ENTIRE_MAPS,
  PAGE_MAPPING,
  PAGE_MAPS,
  mmWord,
  pageWord,
  ptlOf,
  pteWord,
} from '../../machine/layout.js';
import { MC_BACKED_OUT, countMechanism, noteAt } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { readOnce, writeOnce, xchg } from '#words';
import { isFileObject, mappingIsFile } from '../filemap.js';
import {
  flagsWord,
  folioMapping,
  folioMaps,
  folioMaybeDmaPinned,
  folioOf,
  folioRefs,
  folioTestLarge,
  mappingIsKsm,
  mapsWord,
  pageNode,
  pinsWord,
  refsWord,
  testFlag,
} from '../folio.js';
import { isCowMapping } from '../gup/checks.js';
import { canChangeWritable } from '../memory/numa.js';
import { pageProt } from '../vma/page-prot.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { vmaFlags } from '../vma/vma.js';

/**
 * change_pte_range() of [start, end), which lies in one table.
 * @param newFlags the VMA's new VM_* flags (the scan ignores them)
 * @param numa the NUMA scan: PROT_NONE as a hint
 * @returns PTEs changed, or -EAGAIN: there is no table any more
 */
export function* changePteRange(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  const { m, words } = ctx;
  const table = yield* pteOffsetMapLock(ctx, mm, start);
  if (table < 0) return -EAGAIN;
  const local = numa ? yield* localNode(ctx, mm, vma) : NUMA_NO_NODE;
  yield* ctx.kernel.flushTlbBatchedPending(ctx, mm);
  let pages = 0;
  for (let vpn = start; vpn < end; vpn++) {
    const pteAt = pteWord(m, table, vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const pte = readOnce(words, pteAt);
    if (numa && isPresent(pte)) {
      const decision = yield* numaDecision(ctx, mm, vma, vpn, pte, local);
      // its range was announced all the same: stage 2 has lost it already
      if (decision === NUMA_PINNED) countMechanism(m, ctx.actor, ctx.task.mechanism, MC_BACKED_OUT, 1);
      if (decision !== NUMA_CHANGE) continue;
    }
    if (yield* changePte(ctx, mm, vma, vpn, pteAt, pte, newFlags, numa)) pages++;
  }
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return pages;
}

/** The node whose pages the scan of a single-threaded process leaves alone: they are local already. */
export function* localNode(ctx: Context, mm: number, vma: number): Coroutine {
  if ((vmaFlags(ctx, vma) & VM_SHARED) !== 0) return NUMA_NO_NODE;
  const users = mmWord(ctx.m, mm, MM_USERS);
  if (--ctx.quantum < 0) yield reads(users);
  return readOnce(ctx.words, users) === 1 ? ctx.node : NUMA_NO_NODE;
}

/** What the scan does with an entry: makes it a hint; leaves it, because somebody holds the page; leaves it anyway. */
export const NUMA_CHANGE = 0;
export const NUMA_PINNED = 1;
export const NUMA_LEAVE = 2;

/** Step 5, for the present entry `pte` at `vpn`. Under the PTL. Returns NUMA_*. */
export function* numaDecision(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  pte: number,
  local: number,
): Coroutine {
  noteAt(ctx, mm, vpn);
  // a hint already; the zero page (no normal folio)
  if (isProtnone(pte) || isSpecial(pte)) return NUMA_LEAVE;
  const pfn = entryPfn(pte);
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, head, PAGE_MAPPING));
  const mapping = folioMapping(ctx, head);
  if (mappingIsKsm(mapping)) return NUMA_LEAVE;
  if (mappingIsFile(mapping) && isFileObject(ctx)) {
    // a dirty page of a file could not be moved asynchronously
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    if (testFlag(ctx, head, PG_DIRTY)) return NUMA_LEAVE;
  }
  const busy = yield* numaBusy(ctx, vma, head, pfn);
  if (busy === NUMA_PINNED) emit(ctx, EVENT.numa_skip_pinned, mm, vpn, pfn);
  if (busy !== NUMA_CHANGE) return busy;
  return pageNode(ctx, pfn) === local ? NUMA_LEAVE : NUMA_CHANGE;
}

/** The busy test, by version (kernel-model 3.17, table): which pages the scan leaves to somebody else. */
function* numaBusy(ctx: Context, vma: number, head: number, pfn: number): Coroutine {
  const { m } = ctx;
  const rule = ctx.kernel.rules.numaBusy;
  const cow = isCowMapping(vmaFlags(ctx, vma));
  if (!cow && rule !== 'v6.19') return NUMA_CHANGE;
  if (rule === 'v5.16') {
    // page_mapcount(): the subpage's own and, with it, the PMD's
    const maps = pageWord(m, pfn, PAGE_MAPS);
    if (--ctx.quantum < 0) yield reads(maps);
    let count = readOnce(ctx.words, maps);
    if (folioTestLarge(ctx, head)) {
      const entire = pageWord(m, head, PAGE_ENTIRE_MAPS);
      if (--ctx.quantum < 0) yield reads(entire);
      count += readOnce(ctx.words, entire);
    }
    return count === 1 ? NUMA_CHANGE : NUMA_LEAVE;
  }
  if (rule === 'v5.17') {
    // any reference at all: a pin's 1024, or the one of a FOLL_GET
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
    return folioRefs(ctx, head) === 1 ? NUMA_CHANGE : NUMA_PINNED;
  }
  if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
  if (folioMaybeDmaPinned(ctx, head)) return NUMA_PINNED;
  return cow && (yield* maybeMappedShared(ctx, head)) ? NUMA_LEAVE : NUMA_CHANGE;
}

/** folio_maybe_mapped_shared(). */
function* maybeMappedShared(ctx: Context, head: number): Coroutine<boolean> {
  if (folioTestLarge(ctx, head)) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    return testFlag(ctx, head, PG_MAYBE_SHARED);
  }
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  return folioMaps(ctx, head) > 1;
}

/**
 * ptep_modify_prot_start() .. _commit() of one PTE, or the loss of write in a migration entry. Under the PTL. The CPUs
 * are flushed at the end of the whole change.
 * @returns whether the PTE was one to change
 */
export function* changePte(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  pteAt: number,
  pte: number,
  newFlags: number,
  numa: boolean,
): Coroutine<boolean> {
  const { words } = ctx;
  if (!isPresent(pte)) {
    if (swapType(pte) !== SWP_MIGRATION_WRITE) return false;
    // "a protection check is difficult so just be safe and disable write"
    const kept = pte & (((1 << PFN_SHIFT) - 1) & ~(7 << 2));
    const readable = mkSwapEntry(SWP_MIGRATION_READ_EXCLUSIVE, entryPfn(pte), kept);
    if (--ctx.quantum < 0) yield writes(pteAt);
    writeOnce(words, pteAt, readable);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, pte, readable);
    return true;
  }
  if (--ctx.quantum < 0) yield updates(pteAt);
  const old = xchg(words, pteAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, old, 0);
  // pte_modify(): a private mapping's protection has no write bit, a hint or PROT_NONE never has
  let entry = (old & ~(PTE_PRESENT | PTE_PROTNONE | PTE_WRITE)) | (numa ? PTE_PROTNONE : pageProt(ctx, newFlags));
  // MM_CP_TRY_CHANGE_WRITABLE
  const tries = !numa && (entry & PTE_WRITE) === 0 && ctx.kernel.rules.mprotectWritable > 0;
  if (tries && (yield* canChangeWritable(ctx, vma, entryPfn(entry), entry))) entry |= PTE_WRITE;
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
  if (numa) emit(ctx, EVENT.numa_protect, mm, vpn, entryPfn(entry), 0);
  else emit(ctx, EVENT.pte_change, mm, vpn, old, entry);
  return true;
}

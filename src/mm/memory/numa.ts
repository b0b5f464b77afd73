/**
 * NUMA hint faults (mm/memory.c do_numa_page, mm/migrate.c migrate_misplaced_folio, mm/mempolicy.c mpol_misplaced, v6.18;
 * kernel-model 3.5): migrate the page to the node that touches it, or give the PTE its permissions back.
 */
import { MIGRATE_ASYNC, NUMA_NO_NODE, VM_NUMA_BOUND, VM_SHARED, VM_WRITE } from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { glance } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine } from '../../machine/context.js';
import { acquires, reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  entryPfn,
  isProtnone,
  isSpecial,
} from '../../machine/entries.js';
import {
  CPU_NODE,
  NODE_FREE_FRAMES,
  PAGE_CPUPID,
  cpuWord,
  nodeWord,
  pageWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { get, readOnce, writeOnce, xchg } from '#words';
import { ZERO_PFN, flagsWord, folioOf, folioPages, folioTestLarge, pageAnonExclusive, pageNode } from '../folio.js';
import { pageProt } from '../vma/page-prot.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { folioIsolateLru } from '../swap.js';
import { vmaEnd, vmaFlags, vmaStart } from '../vma/vma.js';

/**
 * do_numa_page(): a fault on a hint PTE of an accessible VMA.
 * @param orig the hint PTE that was seen
 * @returns 0
 */
export function* doNumaPage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  orig: number,
  table: number,
): Coroutine {
  const { m, words } = ctx;
  const pteAt = pteWord(m, table, vpn);
  let ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  if (--ctx.quantum < 0) yield reads(pteAt);
  // before anything is counted (Z53)
  if (readOnce(words, pteAt) === orig) {
    const pfn = entryPfn(orig);
    const head = isSpecial(orig) ? ZERO_PFN : folioOf(ctx, pfn);
    taskNumaFault(ctx, mm, vpn, pfn);
    const node = head === ZERO_PFN ? NUMA_NO_NODE : yield* numaMigrateCheck(ctx, vma, head);
    if (node !== NUMA_NO_NODE && (yield* migrateMisplacedFolioPrepare(ctx, head, node))) {
      if (--ctx.quantum < 0) yield releases(ptl);
      spinUnlock(ctx, ptl, LOCK_PTL);
      // the hint was replaced by a migration entry and that by the new page's entry
      if ((yield* migrateMisplacedFolio(ctx, head, node)) === 0) return 0;
      const again = yield* pteOffsetMapLock(ctx, mm, vpn);
      if (again < 0) return 0;
      ptl = ptlOf(m, again);
      const nowAt = pteWord(m, again, vpn);
      if (--ctx.quantum < 0) yield reads(nowAt);
      if (readOnce(words, nowAt) === orig) yield* rebuild(ctx, mm, vma, vpn, again, head);
    } else {
      yield* rebuild(ctx, mm, vma, vpn, table, head);
    }
  }
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return 0;
}

/** task_numa_fault(): the fault counts for where the task's memory is. Under the lock of the entry. */
export function taskNumaFault(ctx: Context, mm: number, vpn: number, pfn: number): void {
  countStat(ctx.m, ctx.actor, STAT.numa_hint_faults, 1);
  emit(ctx, EVENT.numa_hint_fault, mm, vpn, pfn, ctx.node);
  ctx.probe.onHintFault(ctx, mm, vpn);
}

/**
 * numa_migrate_check() and mpol_misplaced() for the default policy: the faulting CPU's node, unless the page is there.
 * should_numa_migrate_memory()'s two-stage filter: the first fault on a page decides, later ones must come from the same
 * node twice in a row. PTL or PMD lock held.
 * @returns the node to migrate to, or NUMA_NO_NODE
 */
export function* numaMigrateCheck(ctx: Context, vma: number, head: number): Coroutine {
  const { m, words } = ctx;
  if ((vmaFlags(ctx, vma) & VM_NUMA_BOUND) !== 0) return NUMA_NO_NODE;
  const cpupidAt = pageWord(m, head, PAGE_CPUPID);
  if (--ctx.quantum < 0) yield updates(cpupidAt);
  const last = xchg(words, cpupidAt, ctx.actor + 1);
  if (pageNode(ctx, head) === ctx.node) return NUMA_NO_NODE;
  if (last !== 0 && get(words, cpuWord(m, last - 1, CPU_NODE)) !== ctx.node) return NUMA_NO_NODE;
  return ctx.node;
}

/**
 * migrate_misplaced_folio_prepare(): isolates the folio while the PTL keeps it mapped.
 * @returns false when the node is nearly full or somebody else has isolated the folio
 */
export function* migrateMisplacedFolioPrepare(ctx: Context, head: number, node: number): Coroutine<boolean> {
  // migrate_balanced_pgdat(): a racy look at the watermark, as in the kernel
  const free = glance(ctx.words, nodeWord(ctx.m, node, NODE_FREE_FRAMES));
  if (free < folioPages(ctx, head) + (ctx.m.framesPerNode >> 7)) return false;
  return yield* folioIsolateLru(ctx, head);
}

/** migrate_misplaced_folio(): the folio is isolated; it is no more on return. Returns 0, or not 0: it stayed. */
export function* migrateMisplacedFolio(ctx: Context, head: number, node: number): Coroutine {
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.numa_migrate;
  const left = yield* ctx.kernel.migratePages(ctx, [head], node, MIGRATE_ASYNC);
  ctx.task.mechanism = outer;
  return left;
}

/** can_change_pte_writable() of a hint that is made normal: whether it may be writable at once. Under the PTL. */
export function* canChangeWritable(ctx: Context, vma: number, pfn: number, entry: number): Coroutine<boolean> {
  const vmFlags = vmaFlags(ctx, vma);
  if ((vmFlags & VM_WRITE) === 0 || (entry & PTE_UFFD_WP) !== 0) return false;
  if ((vmFlags & VM_SHARED) !== 0) return (entry & PTE_DIRTY) !== 0;
  if (isSpecial(entry)) return false;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  return pageAnonExclusive(ctx, pfn);
}

/** The out_map part: normal permissions again, for a PTE-mapped large folio at all its hints. Under the PTL of `table`. */
function* rebuild(ctx: Context, mm: number, vma: number, vpn: number, table: number, head: number): Coroutine<void> {
  if (head === ZERO_PFN || !folioTestLarge(ctx, head)) {
    yield* ctx.kernel.numaRebuildSingleMapping(ctx, mm, vma, vpn, table);
    return;
  }
  // numa_rebuild_large_mapping()
  const { m, words } = ctx;
  const first = vpn & ~(m.thpPages - 1);
  const end = Math.min(first + m.thpPages, vmaEnd(ctx, vma));
  for (let page = Math.max(first, vmaStart(ctx, vma)); page < end; page++) {
    const pteAt = pteWord(m, table, page);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const entry = readOnce(words, pteAt);
    if (!isProtnone(entry) || isSpecial(entry) || folioOf(ctx, entryPfn(entry)) !== head) continue;
    yield* ctx.kernel.numaRebuildSingleMapping(ctx, mm, vma, page, table);
  }
}

/** numa_rebuild_single_mapping(): no notifier and no remote flush, for permission is only gained. Under the PTL. */
export function* numaRebuildSingleMapping(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  table: number,
): Coroutine<void> {
  const { m, words } = ctx;
  const pteAt = pteWord(m, table, vpn);
  // ptep_modify_prot_start() .. _commit()
  if (--ctx.quantum < 0) yield updates(pteAt);
  const before = xchg(words, pteAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, before, 0);
  // pte_modify(vm_page_prot); since 6.2 a private mapping's write bit is not remembered but worked out again
  const prot = pageProt(ctx, vmaFlags(ctx, vma));
  const writable = (prot & PTE_WRITE) === 0 && (yield* canChangeWritable(ctx, vma, entryPfn(before), before));
  const entry = (before & ~(PTE_PROTNONE | PTE_WRITE)) | prot | PTE_YOUNG | (writable ? PTE_WRITE : 0);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
}

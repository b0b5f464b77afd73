/** NUMA hint faults on huge PMDs (mm/huge_memory.c do_huge_pmd_numa_page, v6.18; kernel-model 3.9). */
import { NUMA_NO_NODE } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { acquires, reads, releases, writes } from '../../machine/effects.js';
import { PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG, entryPfn } from '../../machine/entries.js';
import { pmdLockOf, pmdWord } from '../../machine/layout.js';
import { contended } from '../../machine/wait.js';
import { LOCK_PMD } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { readOnce, writeOnce } from '#words';
import { ZERO_PFN } from '../folio.js';
import { canChangePmdWritable, thpStart } from './huge-memory.js';
import {
  migrateMisplacedFolio,
  migrateMisplacedFolioPrepare,
  numaMigrateCheck,
  taskNumaFault,
} from '../memory/numa.js';
import { vmaFlags } from '../vma/vma.js';

/**
 * do_huge_pmd_numa_page(): migrates the whole folio, or gives the PMD its permissions back.
 * @param orig the hint PMD that was seen
 * @returns 0
 */
export function* doHugePmdNumaPage(ctx: Context, mm: number, vma: number, vpn: number, orig: number): Coroutine {
  const { m, words } = ctx;
  const start = thpStart(ctx, vpn);
  const pmdAt = pmdWord(m, mm, vpn);
  const lock = pmdLockOf(m, mm, vpn);
  const head = entryPfn(orig);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_PMD)) yield contended(ctx, lock);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let same = readOnce(words, pmdAt) === orig;
  if (same) {
    taskNumaFault(ctx, mm, start, head);
    const node = head === ZERO_PFN ? NUMA_NO_NODE : yield* numaMigrateCheck(ctx, vma, head);
    if (node !== NUMA_NO_NODE && (yield* migrateMisplacedFolioPrepare(ctx, head, node))) {
      if (--ctx.quantum < 0) yield releases(lock);
      spinUnlock(ctx, lock, LOCK_PMD);
      if ((yield* migrateMisplacedFolio(ctx, head, node)) === 0) return 0;
      if (--ctx.quantum < 0) yield acquires(lock);
      while (!spinLock(ctx, lock, LOCK_PMD)) yield contended(ctx, lock);
      if (--ctx.quantum < 0) yield reads(pmdAt);
      same = readOnce(words, pmdAt) === orig;
    }
  }
  if (same) {
    const writable = yield* canChangePmdWritable(ctx, vmaFlags(ctx, vma), head, orig);
    const entry = (orig & ~(PTE_PROTNONE | PTE_WRITE)) | PTE_PRESENT | PTE_YOUNG | (writable ? PTE_WRITE : 0);
    // permission is only gained: neither notifier nor flush
    if (--ctx.quantum < 0) yield writes(pmdAt);
    writeOnce(words, pmdAt, entry);
    ctx.probe.onEntry(ctx, mm, start, pmdAt, orig, entry);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  return 0;
}

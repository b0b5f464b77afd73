/**
 * The NUMA scan: task_numa_work and change_prot_numa (kernel/sched/fair.c, mm/mempolicy.c, v6.18; kernel-model 3.17). A
 * process's own task work makes stretches of its memory inaccessible, so that the next access tells which node uses
 * them. The filter by which threads have touched a VMA (6.4+) is not modelled: the balancer's actor stands for any of
 * them.
 */
import { VM_IO, VM_MIXEDMAP, VM_NUMA_BOUND, VM_PFNMAP } from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { LOCAL, reads, tries, updates, writes } from '../machine/effects.js';
import {
  MMF_EXITING,
  MM_FLAGS,
  MM_NUMA_NEXT_SCAN,
  MM_NUMA_SCAN_OFFSET,
  MM_NUMA_SCAN_SEQ,
  mmWord,
} from '../machine/layout.js';
import { MC_ATTEMPTS, STAT, countMechanism, countStat, noteGone } from '../machine/stats.js';
import { LOCK_MMAP } from '../locks/classes.js';
import { downReadTrylock } from '../locks/rw.js';
import { mmapLockWord, mmapReadUnlock } from '../locks/vma-lock.js';
import { cmpxchg, fetchAdd, readOnce, writeOnce } from '#words';
import { vmaIsAccessible } from './gup/checks.js';
import { findVmaFrom, vmaEnd, vmaFlags, vmaStart } from './vma/vma.js';

/** sysctl_numa_balancing_scan_size: 256 MiB, in pages. */
export const NUMA_SCAN_PAGES = 65_536;
/** Virtual pages looked at for each page that may be changed. */
const VIRTUAL_FACTOR = 8;

/** vma_migratable(), vma_policy_mof() and the other reasons to pass a VMA by. */
const skipsVma = (vmFlags: number): boolean =>
  (vmFlags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_NUMA_BOUND)) !== 0 || !vmaIsAccessible(vmFlags);

/**
 * task_numa_work(): one scan of `mm` from where the last one stopped. Gives up when another thread has begun this scan,
 * or when mmap_lock is not to be had at once.
 * @param scanPages pages that may be changed in one go
 * @returns PTEs (and pages of huge PMDs) that were made hints
 */
export function* taskNumaWork(ctx: Context, mm: number, scanPages = NUMA_SCAN_PAGES): Coroutine {
  const { m, words } = ctx;
  const mmFlagsAt = mmWord(m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(mmFlagsAt);
  if ((readOnce(words, mmFlagsAt) & MMF_EXITING) !== 0 || scanPages <= 0) return 0;
  const nextScan = mmWord(m, mm, MM_NUMA_NEXT_SCAN);
  if (--ctx.quantum < 0) yield reads(nextScan);
  const scan = readOnce(words, nextScan);
  if (--ctx.quantum < 0) yield updates(nextScan);
  if (cmpxchg(words, nextScan, scan, (scan + 1) | 0) !== scan) return 0;
  const lock = mmapLockWord(ctx, mm);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!downReadTrylock(ctx, lock, LOCK_MMAP)) return 0;
  const changed = yield* scanVmas(ctx, mm, scanPages);
  yield* mmapReadUnlock(ctx, mm);
  noteGone(ctx);
  countStat(m, ctx.actor, STAT.numa_scans, 1);
  return changed;
}

function* scanVmas(ctx: Context, mm: number, scanPages: number): Coroutine {
  const { m, words } = ctx;
  const offsetAt = mmWord(m, mm, MM_NUMA_SCAN_OFFSET);
  if (--ctx.quantum < 0) yield reads(offsetAt);
  let start = readOnce(words, offsetAt);
  let vma = findVmaFrom(ctx, mm, start);
  if (vma < 0) {
    yield* resetPteNumaScan(ctx, mm);
    start = 0;
    vma = findVmaFrom(ctx, mm, 0);
  }
  let pages = scanPages;
  let virtualPages = scanPages * VIRTUAL_FACTOR;
  let changed = 0;
  while (vma >= 0) {
    const last = vmaEnd(ctx, vma);
    if (!skipsVma(vmaFlags(ctx, vma))) {
      start = Math.max(start, vmaStart(ctx, vma));
      while (start < last) {
        const end = Math.min(((start + pages + m.thpPages - 1) >> m.thpOrder) << m.thpOrder, last);
        const updated = yield* changeProtNuma(ctx, mm, vma, start, end);
        changed += updated;
        // a stretch without anything to change costs only virtual pages
        if (updated > 0) pages -= end - start;
        virtualPages -= end - start;
        start = end;
        if (pages <= 0 || virtualPages <= 0) {
          if (--ctx.quantum < 0) yield writes(offsetAt);
          writeOnce(words, offsetAt, start);
          return changed;
        }
        // cond_resched()
        if (--ctx.quantum < 0) yield LOCAL;
      }
    }
    vma = findVmaFrom(ctx, mm, last);
  }
  yield* resetPteNumaScan(ctx, mm);
  return changed;
}

/** reset_ptenuma_scan(): the next scan begins at the first VMA, in a new sequence. */
function* resetPteNumaScan(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  const seqAt = mmWord(m, mm, MM_NUMA_SCAN_SEQ);
  if (--ctx.quantum < 0) yield updates(seqAt);
  fetchAdd(words, seqAt, 1);
  const offsetAt = mmWord(m, mm, MM_NUMA_SCAN_OFFSET);
  if (--ctx.quantum < 0) yield writes(offsetAt);
  writeOnce(words, offsetAt, 0);
}

/** change_prot_numa() of [start, end) of `vma`, mmap_lock held for reading. Returns the pages made hints. */
export function* changeProtNuma(ctx: Context, mm: number, vma: number, start: number, end: number): Coroutine {
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.numa_scan;
  countMechanism(ctx.m, ctx.actor, MECH.numa_scan, MC_ATTEMPTS, 1);
  const pages = yield* ctx.kernel.changeProtection(ctx, mm, vma, start, end, vmaFlags(ctx, vma), true);
  ctx.task.mechanism = outer;
  return pages;
}

/** Litmus operations on a process's memory: what a task, a driver or a kernel thread does. */
import {
  EAGAIN,
  EFAULT,
  EHWPOISON,
  ENOMEM,
  MIGRATE_SYNC,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
} from '../../src/machine/abi.js';
import { MECH } from '../../src/machine/mechanisms.js';
import { ACCESS_DONE, hostAccess } from '../../src/machine/access.js';
import { type Context, type Coroutine, REF_TEMP } from '../../src/machine/context.js';
import { acquires, reads, releases, updates } from '../../src/machine/effects.js';
import { entryPfn, isHuge, isPresent, isSpecial, isTable, isTransHuge } from '../../src/machine/entries.js';
import { pmdWord, pteWord, ptlOf } from '../../src/machine/layout.js';
import { contended } from '../../src/machine/wait.js';
import { LOCK_PMD, LOCK_PTL } from '../../src/locks/classes.js';
import { folioLock, folioLockWord, folioUnlock, spinUnlock } from '../../src/locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../../src/locks/vma-lock.js';
import { exitMmap } from '../../src/mm/exit.js';
import { folioOf, folioPut, refAddUnlessZero, refsWord } from '../../src/mm/folio.js';
import { dupMm } from '../../src/mm/fork.js';
import { khugepagedScan } from '../../src/mm/khugepaged/khugepaged.js';
import { ksmDoScan } from '../../src/mm/ksm/ksm.js';
import { madvise } from '../../src/mm/madvise/madvise.js';
import { NUMA_SCAN_PAGES, taskNumaWork } from '../../src/mm/mempolicy.js';
import { mmapRegion } from '../../src/mm/vma/mmap.js';
import { mprotect } from '../../src/mm/mprotect/mprotect.js';
import { munmap } from '../../src/mm/vma/munmap.js';
import { oomReapTaskMm } from '../../src/mm/oom-kill.js';
import { pmdLock, pteOffsetMapLock } from '../../src/mm/pgtable.js';
import { folioIsolateLru, lruAddDrainAll } from '../../src/mm/swap.js';
import { findVma } from '../../src/mm/vma/vma.js';
import { reclaimPage } from '../../src/mm/vmscan.js';
import { readOnce } from '#words';
import type { LitmusOperation } from './row.js';
import { LITMUS_PINS } from './pins.js';
import type { LitmusTask } from '../../src/plan/litmus.js';
import { touchUser } from '../user-access.js';

type Args = readonly number[];
const at = (args: Args, i: number): number => args[i] as number;

/** What a task that is killed by a signal leaves as its operation's result. */
export const SIGSEGV = 1011;
export const SIGBUS = 1007;

/** VM_FAULT_* as an operation's result. */
function signalOf(fault: number): number {
  if ((fault & VM_FAULT_OOM) !== 0) return -ENOMEM;
  if ((fault & VM_FAULT_HWPOISON) !== 0) return -EHWPOISON;
  return (fault & VM_FAULT_SIGBUS) !== 0 ? -SIGBUS : -SIGSEGV;
}

function* read(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const fault = yield* touchUser(ctx, at(args, 0), at(args, 1), false, 0);
  return fault === 0 ? ctx.accessValue : signalOf(fault);
}

/** copy_from_user_nofault(): a load with page faults disabled. */
function* readNofault(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const { protectedKvm } = ctx.kernel.rules;
  const result = yield* hostAccess(ctx, at(args, 0), at(args, 1), false, 0, protectedKvm);
  return result === ACCESS_DONE ? ctx.accessValue : -EFAULT;
}

function* write(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const fault = yield* touchUser(ctx, at(args, 0), at(args, 1), true, at(args, 2));
  return fault === 0 ? 0 : signalOf(fault);
}

function* map(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* mmapRegion(ctx, at(args, 0), at(args, 1), at(args, 2), at(args, 3));
}

function* unmap(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* munmap(ctx, at(args, 0), at(args, 1), at(args, 2));
}

function* protect(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* mprotect(ctx, at(args, 0), at(args, 1), at(args, 2), at(args, 3));
}

function* advise(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* madvise(ctx, at(args, 0), at(args, 1), at(args, 2), at(args, 3));
}

function* fork(ctx: Context, task: LitmusTask, args: Args): Coroutine {
  return yield* dupMm(ctx, task.mm, at(args, 0));
}

function* exit(ctx: Context, task: LitmusTask): Coroutine {
  yield* exitMmap(ctx, task.mm);
  return 0;
}

/**
 * The page at (mm, vpn) with a temporary reference, or -EFAULT: folio_walk_start() under mmap_lock, as move_pages() and the debugfs
 * split file do. The reference is taken while the entry's lock keeps the page mapped, hence its folio what it is.
 */
export function* getMappedPage(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  yield* mmapReadLock(ctx, mm);
  let pfn = -EFAULT;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let pmd = readOnce(words, pmdAt);
  if (isHuge(pmd)) {
    const lock = yield* pmdLock(ctx, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    pmd = readOnce(words, pmdAt);
    // every page of the huge zero page is the zero page
    if (isTransHuge(pmd) && !isSpecial(pmd)) {
      pfn = yield* referenced(ctx, entryPfn(pmd) + (vpn & (m.thpPages - 1)));
    }
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_PMD);
  }
  if (isTable(pmd)) {
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (table >= 0) {
      const pteAt = pteWord(m, table, vpn);
      if (--ctx.quantum < 0) yield reads(pteAt);
      const pte = readOnce(words, pteAt);
      if (isPresent(pte) && !isSpecial(pte)) pfn = yield* referenced(ctx, entryPfn(pte));
      const ptl = ptlOf(m, table);
      if (--ctx.quantum < 0) yield releases(ptl);
      spinUnlock(ctx, ptl, LOCK_PTL);
    }
  }
  yield* mmapReadUnlock(ctx, mm);
  return pfn;
}

/** folio_get() of a page that an entry maps whose lock is held. Returns the page, or -EFAULT. */
function* referenced(ctx: Context, pfn: number): Coroutine {
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  return refAddUnlessZero(ctx, head, 1, REF_TEMP) ? pfn : -EFAULT;
}

/** move_pages() of one page (mm/migrate.c add_folio_for_migration, v6.18). */
function* migrate(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const pfn = yield* getMappedPage(ctx, at(args, 0), at(args, 1));
  if (pfn < 0) return pfn;
  const head = folioOf(ctx, pfn);
  yield* lruAddDrainAll(ctx);
  const isolated = yield* folioIsolateLru(ctx, head);
  yield* folioPut(ctx, head, REF_TEMP);
  if (!isolated) return -EAGAIN;
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.numa_migrate;
  const left = yield* ctx.kernel.migratePages(ctx, [head], at(args, 2), MIGRATE_SYNC);
  ctx.task.mechanism = outer;
  return left;
}

/** What debugfs' split_huge_pages does with one page (mm/huge_memory.c split_huge_pages_pid, v6.18). */
function* splitFolio(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const pfn = yield* getMappedPage(ctx, at(args, 0), at(args, 1));
  if (pfn < 0) return pfn;
  const lock = folioLockWord(ctx, folioOf(ctx, pfn));
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!folioLock(ctx, folioOf(ctx, pfn))) yield contended(ctx, lock);
  const result = yield* ctx.kernel.splitHugePage(ctx, pfn);
  const folio = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield releases(folioLockWord(ctx, folio));
  folioUnlock(ctx, folio);
  yield* folioPut(ctx, folio, REF_TEMP);
  return result;
}

function* splitPmd(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const mm = at(args, 0);
  yield* mmapReadLock(ctx, mm);
  const vma = findVma(ctx, mm, at(args, 1));
  if (vma >= 0) yield* ctx.kernel.splitHugePmd(ctx, mm, vma, at(args, 1));
  yield* mmapReadUnlock(ctx, mm);
  return vma < 0 ? -EFAULT : 0;
}

function* numaScan(ctx: Context, task: LitmusTask, args: Args): Coroutine {
  yield* taskNumaWork(ctx, args.length > 0 ? at(args, 0) : task.mm, NUMA_SCAN_PAGES);
  return 0;
}

function* ksmScan(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  // without a number: to the end of the pass, where ksm_do_scan() returns whatever number it was given
  const pages = args.length > 0 ? at(args, 0) : 0x7fffffff;
  yield* ksmDoScan(ctx, pages);
  return args.length > 0 ? pages : 0;
}

function* hugeScan(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  yield* khugepagedScan(ctx, at(args, 0) * ctx.m.thpPages);
  return at(args, 0);
}

function* oomReap(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* oomReapTaskMm(ctx, at(args, 0));
}

/** MADV_PAGEOUT of one page (mm/madvise.c madvise_cold_or_pageout_pte_range, v6.18), as kswapd would come to it. */
function* swapOut(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  yield* lruAddDrainAll(ctx);
  return yield* reclaimPage(ctx, at(args, 0), at(args, 1), true);
}

export const LITMUS_MM: readonly LitmusOperation[] = [
  { name: 'read', params: ['page'], by: 'task', result: 'value', summary: 'a load of the process', run: read },
  {
    name: 'read_nofault',
    params: ['page'],
    by: 'task',
    result: 'value',
    summary: 'a load with page faults disabled: -EFAULT where it would fault',
    run: readNofault,
  },
  {
    name: 'write',
    params: ['page', 'value'],
    by: 'task',
    result: 'errno',
    summary: 'a store of the process',
    run: write,
  },
  ...LITMUS_PINS,
  { name: 'mmap', params: ['mapping'], by: 'task', result: 'errno', summary: 'maps a declared mapping', run: map },
  { name: 'munmap', params: ['range'], by: 'task', result: 'errno', summary: 'munmap()', run: unmap },
  { name: 'mprotect', params: ['range', 'prot'], by: 'task', result: 'errno', summary: 'mprotect()', run: protect },
  { name: 'madvise', params: ['range', 'advice'], by: 'task', result: 'errno', summary: 'madvise()', run: advise },
  { name: 'fork', params: ['process'], by: 'task', result: 'errno', summary: 'dup_mm() for the process', run: fork },
  { name: 'exit', params: [], by: 'task', result: 'errno', summary: 'exit_mmap() of the process', run: exit },
  {
    name: 'migrate',
    params: ['page', 'node'],
    by: 'any',
    getsMm: true,
    result: 'count',
    summary: 'move_pages() of one page: how many stayed',
    run: migrate,
  },
  {
    name: 'split_folio',
    params: ['page'],
    by: 'any',
    getsMm: true,
    result: 'errno',
    summary: 'split_huge_page()',
    run: splitFolio,
  },
  {
    name: 'split_pmd',
    params: ['page'],
    by: 'any',
    getsMm: true,
    result: 'errno',
    summary: 'split_huge_pmd()',
    run: splitPmd,
  },
  {
    name: 'swap_out',
    params: ['page'],
    by: 'any',
    result: 'count',
    summary: 'reclaim of one page to swap: how many were reclaimed',
    run: swapOut,
  },
  {
    name: 'oom_reap',
    params: ['process'],
    by: 'any',
    result: 'errno',
    summary: 'oom_reap_task_mm() of the process, once',
    run: oomReap,
  },
  {
    name: 'numa_scan',
    params: ['process'],
    optional: 1,
    by: 'any',
    getsMm: true,
    result: 'errno',
    summary: 'task_numa_work()',
    run: numaScan,
  },
  {
    name: 'ksm_scan',
    params: ['count'],
    optional: 1,
    by: 'any',
    result: 'count',
    summary: 'ksm_do_scan() of so many pages, or to the end of the pass',
    run: ksmScan,
  },
  {
    name: 'khugepaged_scan',
    params: ['count'],
    by: 'any',
    result: 'count',
    summary: 'khugepaged looks at so many page tables',
    run: hugeScan,
  },
];

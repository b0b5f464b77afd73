/**
 * Z53: a hint fault is counted of an entry that another has changed meanwhile.
 *
 *     CPU: fault: reads the hint                  another CPU: takes the same hint fault: PTE normal again
 *     CPU: PTL; the PTE is another                -
 *     CPU: counts a hint fault for this page      the figures that tasks are moved by are wrong
 */
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, reads, releases } from '../machine/effects.js';
import { entryPfn } from '../machine/entries.js';
import { pteWord, ptlOf } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_PTL } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { doNumaPage, taskNumaFault } from '../mm/memory/numa.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** do_numa_page() (mm/memory.c, v6.11): `out` is where a changed PTE led, and the accounting stood there. */
function* countsFirst(ctx: Context, mm: number, vma: number, vpn: number, orig: number, table: number): Coroutine {
  const pteAt = pteWord(ctx.m, table, vpn);
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const same = readOnce(ctx.words, pteAt) === orig;
  if (!same) taskNumaFault(ctx, mm, vpn, entryPfn(orig));
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return same ? yield* doNumaPage(ctx, mm, vma, vpn, orig, table) : 0;
}

export const z53: Bug = {
  id: 'Z53',
  title: 'a NUMA hint fault is counted although the entry has changed',
  commit: '40b760cfd445 ("mm/numa: no task_numa_fault() call if PTE is changed")',
  fixedIn: 'v6.12',
  story:
    'do_numa_page() reads the entry, takes the lock and looks whether it is still the same. Where it was not, the way out passed by ' +
    'task_numa_fault() with what had been sampled before: a fault was counted that another thread had handled and counted already.',
  policy: 'classic',
  replace: { doNumaPage: countsFirst },
  expect: ['I-ACCT'],
  litmus: 'z53-stale-hint.litmus',
  clash: {
    steps: [looksAt('PTE', 'handleMmFault'), changes('PTE', 'numaRebuildSingleMapping')],
    follows: '40b760cfd445',
  },
};

/**
 * Z03: khugepaged does not wait for GUP-fast before it puts a page table to another use.
 *
 *     GUP-fast: interrupts off; reads the PMD     khugepaged: PMD := none, TLBI
 *     -                                           deposits (later frees, reuses) the table
 *     GUP-fast: reads a PTE from it: garbage      -
 *
 * Looking at the PMD again (Z04's repair) keeps the wrong page from being returned; it does not keep the table from being read, nor
 * a stranger's count from being raised. Where a TLB flush interrupts every CPU it waits for GUP-fast by the way; arm64's does not.
 */
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { tlbRemoveTableSyncOne } from '../mm/khugepaged/khugepaged.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** tlb_remove_table_sync_one() of munmap only: collapse (mm/khugepaged.c, v6.0) has no such call. */
export function* syncOfMunmapOnly(ctx: Context): Coroutine<void> {
  if (ctx.task.mechanism !== MECH.khugepaged) yield* tlbRemoveTableSyncOne(ctx);
}

export const z03: Bug = {
  id: 'Z03',
  title: 'collapse does not wait for GUP-fast before it reuses the page table',
  commit: '2ba99c5e0881 ("mm/khugepaged: fix GUP-fast interaction by sending IPI")',
  fixedIn: 'v6.1',
  story:
    'GUP-fast walks page tables with interrupts off and no lock. collapse_huge_page() clears the PMD, flushes and takes the page ' +
    'table for something else; on architectures whose TLB flush sends no interrupt nothing made it wait for a walker inside.',
  policy: 'classic',
  replace: { tlbRemoveTableSyncOne: syncOfMunmapOnly },
  expect: ['I-UAFNODE'],
  litmus: 'z03-collapse-vs-gup-fast.litmus',
  clash: {
    steps: [looksAt('PMD', 'gupFast'), changes('PMD', 'collapseHugePage')],
    follows: '2ba99c5e0881',
  },
};

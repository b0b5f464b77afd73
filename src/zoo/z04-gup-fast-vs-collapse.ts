/**
 * Z04: GUP-fast looks only at the PTE again, and collapse changes only the PMD.
 *
 *     GUP-fast: reads PMD and PTE                 khugepaged: PMD := none, flush; refs as expected: isolates, copies
 *     GUP-fast: pins the page; PTE as it was: ok  clears the PTE, maps the huge page
 *     the driver writes the pinned page           the process reads the huge page: the write is not there
 *
 * As in v6.0, collapse does not wait for GUP-fast either (Z03): with that wait the pin would land before the refs test.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';
import { syncOfMunmapOnly } from './z03-collapse-vs-gup-fast.js';

/** gup_pte_range() through v6.0: for a PTE, nobody asks whether its table still belongs there. */
function* gupFastUnchanged(
  ctx: Context,
  _pmdAt: number,
  _pmd: number,
  entryAt: number,
  entry: number,
): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(entryAt);
  return readOnce(ctx.words, entryAt) === entry;
}

export const z04: Bug = {
  id: 'Z04',
  title: 'GUP-fast does not look at the PMD again: it pins a page that collapse has just copied',
  commit: '70cbc3cc78a9 ("mm: gup: fix the fast GUP race against THP collapse")',
  fixedIn: 'v6.1',
  story:
    'After raising the count GUP-fast compared the PTE only. collapse_huge_page() detaches the whole table by clearing the PMD and ' +
    'leaves its PTEs alone until the pages are copied, so a pin could succeed on a page that the process was about to lose.',
  policy: 'classic',
  replace: { gupFastUnchanged, tlbRemoveTableSyncOne: syncOfMunmapOnly },
  // the walk of the detached table may be seen first
  expect: ['I-PIN', 'I-LOST', 'I-UAFNODE'],
  litmus: 'z04-gup-fast-vs-collapse.litmus',
  clash: {
    steps: [looksAt('PMD', 'gupFast'), changes('PMD', 'collapseHugePage')],
    or: [looksAt('refs', 'collapseHugePage'), changes('refs', 'gupFast')],
    follows: '70cbc3cc78a9',
  },
};

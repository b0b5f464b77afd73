/**
 * Z05: a page table is taken out while an rmap walk is inside.
 *
 *     reclaim: rmap walk: reads the PMD: a table  khugepaged: PMD := none; the table is its own from here on
 *     reclaim: looks for its page in that table   deposits it, or frees it
 *
 * Whoever walks page tables holds one of mmap_lock, i_mmap_rwsem and the anon_vma's lock, for reading at least: who takes a table out
 * needs all of them for writing. The history is of collapse_file(), which held too few; the table of an anonymous collapse here lies
 * on the same path.
 */
import type { Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** retract_page_tables() (mm/khugepaged.c, v6.0) under mmap_lock and i_mmap_rwsem alone. */
function* anonVmaLeftOpen(): Coroutine<void> {}

export const z05: Bug = {
  id: 'Z05',
  title: 'khugepaged takes a page table away under an rmap walk',
  commit: '8d3c106e19e8 ("mm/khugepaged: take the right locks for page table retraction")',
  fixedIn: 'v6.1',
  story:
    'Page tables may be walked under any one of three locks, so they may only be taken out under all three. khugepaged did without the lock of ' +
    'the anon_vma: an rmap walk that had read the PMD before looked for its page in a table that was freed or in use elsewhere.',
  policy: 'classic',
  replace: { collapseRmapLock: anonVmaLeftOpen, collapseRmapUnlock: anonVmaLeftOpen },
  expect: ['I-UAFNODE'],
  litmus: 'z05-rmap-unlocked.litmus',
  clash: {
    steps: [looksAt('PMD', 'tryToUnmapOne'), changes('PMD', 'collapseHugePage')],
    follows: '8d3c106e19e8',
  },
};

/**
 * Z21: two faults read the same slot into pages of their own, and the slower one maps what is old by then.
 *
 *     CPU 1: read fault: reads slot 0: page P     CPU 2: write fault: reads slot 0: page Q, maps and writes it
 *     -                                           Q is swapped out again: into slot 0, which was free
 *     CPU 1: the PTE is what it was: maps P       what CPU 2 wrote is lost
 *
 * An ABA: pte_same() cannot tell two stays of a page in the same slot apart.
 */
import type { Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** do_swap_page() (mm/memory.c, v6.7) for a synchronous device asked nobody. Nothing was taken: nothing is to be given back. */
function* everybodyMayRead(): Coroutine {
  return 1;
}

export const z21: Bug = {
  id: 'Z21',
  title: 'two faults read one swap slot past the swap cache; a write between them is lost',
  commit: '13ddaf26be32 ("mm/swap: fix race when skipping swapcache")',
  fixedIn: 'v6.8',
  story:
    'Swap-in from a synchronous device skipped the swap cache, and with it the lock that keeps a second reader out. While one thread read, ' +
    'another could read, map, write and swap out again into the same slot: the first found its entry unchanged and mapped old data.',
  policy: 'classic',
  replace: { swapcachePrepare: everybodyMayRead },
  expect: ['I-LOST'],
  litmus: 'z21-double-swap-in.litmus',
  clash: {
    steps: [looksAt('PTE', 'doSwapPage'), changes('PTE', ['doSwapPage', 'tryToUnmapOne'])],
    or: [looksAt('content of swap slot', 'doSwapPage'), changes('content of swap slot', 'pageout')],
    follows: '13ddaf26be32',
  },
};

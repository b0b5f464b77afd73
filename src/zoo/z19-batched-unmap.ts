/**
 * Z19: mprotect finds an entry gone that reclaim has cleared, and flushes nothing, as reclaim's own flush is still to come.
 *
 *     reclaim: PTE := swap entry, flush put off   CPU: mprotect to read-only: nothing there to change, no flush
 *     -                                           CPU: writes through its TLB: no signal
 *     reclaim: flushes, writes out                -
 *
 * The batched unmap's flush before the write-out keeps the data right; what breaks is the promise of mprotect (and of MADV_FREE,
 * mremap and munmap, which lose data).
 */
import type { Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** Nobody remembered batched unmaps for others (mm/mprotect.c, mm/memory.c, v4.12). */
function* noBatchKnown(): Coroutine<void> {}

export const z19: Bug = {
  id: 'Z19',
  title: 'mprotect returns while a CPU can still write a page that reclaim is unmapping',
  commit:
    '3ea277194daa ("mm, mprotect: flush TLB if potentially racing with a parallel reclaim leaving stale TLB entries")',
  fixedIn: 'v4.13',
  story:
    'Reclaim clears many entries and flushes the TLBs once for all of them. An mprotect in between found the entries gone, had nothing to ' +
    'change and hence nothing to flush: the process took its memory for read-only and went on writing it through the TLB.',
  policy: 'classic',
  replace: { flushTlbBatchedPending: noBatchKnown },
  expect: ['I-TLB'],
  litmus: 'z19-batched-unmap.litmus',
  clash: {
    steps: [looksAt('PTE', 'changePteRange'), changes('PTE', 'tryToUnmapOne')],
    follows: '3ea277194daa',
  },
};

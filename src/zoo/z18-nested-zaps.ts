/**
 * Z18-nested: the second of two zaps finds nothing to do, flushes nothing, and returns before the first has flushed.
 *
 *     madvise 1: MADV_DONTNEED: the PTE is none   madvise 2: finds no PTE: nothing to flush, returns
 *     -                                           reads through its TLB: what was zapped is still there
 *     madvise 1: flushes                          -
 */
import type { Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** tlb_finish_mmu() (mm/memory.c, v4.12) knew of no other gather. */
function* neverNested(): Coroutine<boolean> {
  return false;
}

export const z18Nested: Bug = {
  id: 'Z18-nested',
  title: 'MADV_DONTNEED returns while another caller has yet to flush what it cleared',
  commit: '99baac21e458 ("mm: fix MADV_[FREE|DONTNEED] TLB flush miss problem")',
  fixedIn: 'v4.13',
  story:
    'Each caller of MADV_DONTNEED or MADV_FREE flushed what it had cleared itself. The second of two on one range found the entries none ' +
    'or clean already and returned at once, its promise resting on a flush that the first had still before it.',
  policy: 'classic',
  replace: { mmTlbFlushNested: neverNested },
  expect: ['I-LOST'],
  litmus: 'z18-nested-zaps.litmus',
  clash: {
    steps: [looksAt('PTE', 'zapPageRange'), changes('PTE', 'zapPageRange')],
    follows: '99baac21e458',
  },
};

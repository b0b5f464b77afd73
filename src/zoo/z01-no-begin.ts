/**
 * Z01-no-begin: a notifier's start takes the guest's pages and holds nobody off.
 *
 *     VMM: munmap: start: page A out of stage 2          vCPU: -
 *     -                                                  faults: seq 4; A is in the page table still; maps it
 *     VMM: clears the PTE, frees A; end: seq 5           the guest goes on with A
 *
 * The sequence alone tells a fault of invalidations that have ended meanwhile; that one is under way is what the count says.
 */
import type { Context } from '../machine/context.js';
import { VM_INVALIDATE_SEQ, vmWord } from '../machine/layout.js';
import { get, writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** kvm_mmu_invalidate_end() where no count has been raised. */
function onlySequence(ctx: Context, vm: number): void {
  const seqAt = vmWord(ctx.m, vm, VM_INVALIDATE_SEQ);
  writeOnce(ctx.words, seqAt, (get(ctx.words, seqAt) + 1) | 0);
}

export const z01NoBegin: Bug = {
  id: 'Z01-no-begin',
  title: "a notifier's start does not raise the count that holds faults off",
  commit: '',
  fixedIn: '',
  story:
    'From start to end of an invalidation mmu_invalidate_in_progress is above zero, and faults retry. Without it a fault that begins ' +
    'behind start finds the old page in the page table, an unchanged sequence, and maps what is freed before end comes.',
  policy: 'classic',
  replace: { kvmMmuInvalidateBegin: () => {}, kvmMmuInvalidateEnd: onlySequence },
  expect: ['I-STALE', 'I-FREE'],
  litmus: 'z01-no-begin.litmus',
  clash: {
    steps: [looksAt('PTE', 'hvaToPfn'), changes('PTE', 'zapPageRange')],
    or: [
      looksAt('mmu_invalidate_seq', 'userMemAbort'),
      changes('mmu_invalidate_seq', 'kvmMmuNotifierInvalidateRangeEnd'),
    ],
    follows: 'story',
  },
};

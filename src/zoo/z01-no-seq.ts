/**
 * Z01-no-seq: an invalidation that has ended leaves no trace.
 *
 *     vCPU: seq 4; looks page A up                   VMM: -
 *     -                                              munmap: start, PTE cleared, A freed, end: count 0 again, seq still 4
 *     vCPU: mmu_lock: nothing in progress, seq 4     -
 *     vCPU: maps A
 *
 * The other half of the pair (Z01-no-begin): the count tells of invalidations under way, the sequence of those that are over.
 */
import type { Context } from '../machine/context.js';
import { VM_INVALIDATE_SEQ, vmWord } from '../machine/layout.js';
import { kvmMmuInvalidateEnd } from '../kvm/notifier.js';
import { get, set } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** kvm_mmu_invalidate_end() that lowers the count only; the sequence is put back under the same mmu_lock. */
function onlyCount(ctx: Context, vm: number): void {
  const seqAt = vmWord(ctx.m, vm, VM_INVALIDATE_SEQ);
  const seq = get(ctx.words, seqAt);
  kvmMmuInvalidateEnd(ctx, vm);
  set(ctx.words, seqAt, seq);
}

export const z01NoSeq: Bug = {
  id: 'Z01-no-seq',
  title: 'the end of an invalidation does not advance the sequence',
  commit: '',
  fixedIn: '',
  story:
    'A fault looks its page up without any lock, and asks under mmu_lock whether an invalidation is under way or has been since. With an ' +
    'end that only lowers the count, one that began and ended between the two goes unnoticed, and the page it freed is mapped.',
  policy: 'classic',
  replace: { kvmMmuInvalidateEnd: onlyCount },
  expect: ['I-STALE', 'I-FREE', 'I-PERM'],
  litmus: 'z01-no-seq.litmus',
  clash: {
    steps: [looksAt('PTE', 'hvaToPfn'), changes('PTE', 'zapPageRange')],
    follows: 'story',
  },
};

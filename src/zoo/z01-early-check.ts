/**
 * Z01-early-check: a sibling of Z01: the sequence is checked before mmu_lock is taken.
 *
 *     vCPU: looks page A up; in_progress 0, seq unchanged: good     VMM: -
 *     -                                                             madvise(DONTNEED): start .. end, A's PTE gone
 *     vCPU: mmu_lock; maps A                                        -
 *
 * Count and sequence are guarded by mmu_lock: what was read of them before it was taken says nothing about now.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { acquiresRead, reads } from '../machine/effects.js';
import { VM_INVALIDATE_IN_PROGRESS, VM_INVALIDATE_SEQ, VM_MMU_LOCK, vmWord } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { kvmFaultLock } from '../kvm/mmu.js';
import { peek, readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, locks, looksAt } from './bug-clash.js';

/** kvm_fault_lock() and the check, in the wrong order. */
function* checkThenLock(ctx: Context, vm: number, seq: number): Coroutine<boolean> {
  const { m, words } = ctx;
  const lock = vmWord(m, vm, VM_MMU_LOCK);
  // the count changes in the step that takes the lock, or with the sequence
  if (--ctx.quantum < 0) yield reads(lock);
  let retry = peek(words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0;
  const seqAt = vmWord(m, vm, VM_INVALIDATE_SEQ);
  if (--ctx.quantum < 0) yield reads(seqAt);
  retry ||= readOnce(words, seqAt) !== seq;
  if (--ctx.quantum < 0) yield acquiresRead(lock);
  while (!kvmFaultLock(ctx, lock)) yield contended(ctx, lock);
  return retry;
}

export const z01EarlyCheck: Bug = {
  id: 'Z01-early-check',
  title: 'a stage-2 fault checks the invalidation sequence before it takes mmu_lock',
  commit: '',
  fixedIn: '',
  story:
    'mmu_invalidate_retry() is asked before mmu_lock is taken. A whole invalidation fits between the answer and the lock, finds ' +
    'nothing mapped, and the stale page is mapped after it.',
  policy: 'classic',
  replace: { faultLockAndCheck: checkThenLock },
  expect: ['I-STALE', 'I-FREE', 'I-PERM'],
  litmus: 'z01-early-check.litmus',
  clash: {
    steps: [
      looksAt(['mmu_invalidate_seq', 'mmu_lock'], 'userMemAbort'),
      changes('mmu_invalidate_seq', 'kvmMmuNotifierInvalidateRangeEnd'),
    ],
    or: [looksAt('mmu_lock', 'userMemAbort'), locks('mmu_lock', 'kvmMmuNotifierInvalidateRangeStart')],
    follows: 'story',
  },
};

/**
 * Z26: memslots change between an invalidation's start and its end.
 *
 *     zap: start: the slot is there: in_progress = 1    VMM: deletes the slot
 *     zap: end: no slot overlaps: nothing to do         -
 *     in_progress stays 1 for ever: every fault of the VM retries for ever
 *
 * The other way round, a slot that appears in between makes the count negative, and later faults are not held off when they
 * should be. Since v5.15 a range without a slot does not even take mmu_lock, so start and end must see the same slots: the
 * swap waits until none is open (mn_active_invalidate_count).
 */
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, releases, writes } from '../machine/effects.js';
import { VM_MN_INVALIDATE_LOCK, vmWord } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { activeSetWord } from '../kvm/memslots.js';
import { LOCK_MN_INVALIDATE } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { readOnce, writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** kvm_swap_active_memslots() without the wait. */
function* swapAtOnce(ctx: Context, vm: number): Coroutine<void> {
  const lock = vmWord(ctx.m, vm, VM_MN_INVALIDATE_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_MN_INVALIDATE)) yield contended(ctx, lock);
  const at = activeSetWord(ctx, vm);
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(ctx.words, at, readOnce(ctx.words, at) ^ 1);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_MN_INVALIDATE);
}

export const z26: Bug = {
  id: 'Z26',
  title: 'memslots are swapped while an invalidation is open',
  commit: '52ac8b358b0c ("KVM: Block memslot updates across range_start() and range_end()")',
  fixedIn: 'v5.15',
  story:
    'An invalidation counts itself in at its start if a memslot overlaps the range, and out at its end if one does. When the slot is ' +
    'deleted or moved in between, the two disagree: mmu_invalidate_in_progress never comes back to 0 and all faults of the VM retry ' +
    'for ever, or it falls below 0. The swap has to wait until no invalidation is open.',
  policy: 'classic',
  replace: { kvmSwapActiveMemslots: swapAtOnce },
  expect: ['I-BAL', 'I-LOCKORD', 'I-LIVE'],
  litmus: 'z26-memslot-swap.litmus',
  clash: {
    steps: [
      looksAt('active memslots', ['kvmMmuNotifierInvalidateRangeStart', 'kvmMmuNotifierInvalidateRangeEnd']),
      changes('active memslots', 'kvmActivateSet'),
    ],
    follows: '52ac8b358b0c',
  },
};

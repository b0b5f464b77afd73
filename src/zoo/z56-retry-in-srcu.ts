/**
 * Z56: a fault that finds its memslot invalid tries again without leaving SRCU, and the deletion waits for SRCU.
 *
 *     VMM:  deletes the slot: invalid; synchronize_srcu()              vCPU: faults, inside kvm->srcu: the slot is invalid
 *     -     waits for the vCPU to leave                                "somebody changes it: try again"
 *     -                                                                the slot is invalid: try again ...
 */
import type { Context, Coroutine } from '../machine/context.js';
import { RETRY, reads } from '../machine/effects.js';
import { activeSet, activeSetWord, gfnToSlot, slotInvalid } from '../kvm/memslots.js';
import { userMemAbort } from '../kvm/mmu.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** The prefault loop: RET_PF_RETRY for an invalid slot, and around again in the same SRCU section. */
function* retriesInSrcu(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  permission: boolean,
): Coroutine {
  ctx.task.loops++;
  for (;;) {
    if (--ctx.quantum < 0) yield reads(activeSetWord(ctx, vm));
    const slot = gfnToSlot(ctx, activeSet(ctx, vm), gfn);
    if (slot < 0 || !slotInvalid(ctx, slot)) return yield* userMemAbort(ctx, vm, vcpu, gfn, write, permission);
    ctx.probe.onRetry(ctx, vm, gfn);
    if (--ctx.quantum < 0) yield RETRY;
  }
}

export const z56: Bug = {
  id: 'Z56',
  title: 'a fault on an invalid memslot is tried again inside SRCU, for which the deletion waits',
  commit: 'KVM: x86/mmu: Return -EAGAIN if userspace deletes/moves memslot during prefault',
  fixedIn: 'v6.18',
  story:
    'A fault that finds its memslot invalid answers "retry", and the prefault loop went round without leaving kvm->srcu. The deletion of the slot ' +
    'waits for all readers of that SRCU to leave before it goes on, so each waited for the other.',
  policy: 'classic',
  replace: { stage2Fault: retriesInSrcu },
  expect: ['I-LIVE'],
  litmus: 'z56-retry-in-srcu.litmus',
  clash: {
    steps: [
      looksAt(['active memslots', 'SRCU index'], ['retriesInSrcu', 'kvmHandleGuestAbort']),
      changes('active memslots', 'kvmSwapActiveMemslots'),
    ],
    follows: 'story',
  },
};

/**
 * Z48: EL2 checks a page and gives it away under two holds of the lock.
 *
 *     EL2 on cpu0: P is the host's; unlocks          EL2 on cpu1: -
 *     -                                              P is the host's; donates it to VM 2
 *     EL2 on cpu0: locks; donates P to VM 1          -
 *     two guests own P
 *
 * EL2 runs on every CPU at once; one instance being uninterruptible keeps none of the others out.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '../hyp/locks.js';
import { checkHostGivesGuest, doDonateGuest } from '../hyp/mem-protect.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** __pkvm_host_donate_guest() that lets go between its phases. */
function* donateInTwoHolds(ctx: Context, vm: number, vcpu: number, pfn: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostGivesGuest(ctx, vm, vcpu, pfn, gfn);
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  if (result !== 0) return result;
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  yield* doDonateGuest(ctx, vm, vcpu, pfn, gfn);
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return 0;
}

export const z48: Bug = {
  id: 'Z48',
  title: 'EL2 checks who owns a page under one hold of the lock and donates it under another',
  commit: '',
  fixedIn: '',
  story:
    'A donation has a check phase, which writes nothing, and a do phase, which must not fail. Both have to be under the same hold of ' +
    'host_mmu.lock and of the VM lock: with a gap in between two CPUs find the same page free to give and give it to two guests.',
  policy: 'pkvm-2022',
  replace: { hostDonateGuest: donateInTwoHolds },
  expect: ['I-OWN'],
  litmus: 'z48-check-then-do.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'donateInTwoHolds'),
      changes('host stage-2 entry', 'doDonateGuest'),
    ],
    or: [locks('EL2 host_mmu.lock', 'donateInTwoHolds'), locks('EL2 host_mmu.lock', 'donateInTwoHolds')],
    follows: 'story',
  },
};

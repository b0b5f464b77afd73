/**
 * Z44-no-wipe: a sibling of Z44: a reclaimed page is not wiped at all.
 *
 *     EL2:  reclaims a dying guest's page P: unmapped, TLBI; it was the guest's own, which nobody asks; the host owns it
 *     host: reads P: the guest's secret
 */
import type { Context, Coroutine } from '../machine/context.js';
import { unmapGuest } from '../hyp/stage2.js';
import { giveToHost } from '../hyp/teardown.js';
import type { Bug } from './bug.js';
import { changes, locks, looksAt } from './bug-clash.js';

/** The do phase of a reclaim that takes every page for a shared one. */
function* unmapAndGive(ctx: Context, vm: number, pfn: number, gfn: number): Coroutine<void> {
  yield* unmapGuest(ctx, vm, gfn);
  yield* giveToHost(ctx, pfn, gfn, true);
}

export const z44NoWipe: Bug = {
  id: 'Z44-no-wipe',
  title: "a dying guest's own page goes back to the host as it is",
  commit: '',
  fixedIn: '',
  story:
    'Pages that a guest has shared go back to the host unchanged, since the host could read them anyway; pages of its own are wiped first. If the ' +
    "two are not told apart, the end of the VM shows the host all of the guest's memory.",
  policy: 'pkvm-2022',
  replace: { doReclaim: unmapAndGive },
  expect: ['I-WIPE'],
  litmus: 'z44-no-wipe.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'reclaimDyingGuestPage'),
      changes('host stage-2 entry', 'unmapAndGive'),
    ],
    or: [
      changes('host stage-2 entry', 'unmapAndGive'),
      looksAt(['host stage-2 entry', 'content of pfn'], 'hostAccess'),
    ],
    alone: true,
    follows: 'story',
  },
};

/**
 * Z35: EL2 runs out of table pages half-way through a donation.
 *
 *     host: __pkvm_host_donate_guest(P), for a block that the guest has no table for; its memcache is empty
 *     EL2:  checks: P is the host's, gfn is free; P is the host's no more
 *     EL2:  guest table: no page left: -ENOMEM
 *     P is owned by nobody
 *
 * A do phase must not fail, so whether there is memory for it belongs into the check phase.
 */
import { EPERM } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { checkGuestNoPage } from '../hyp/mem-protect.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** The guest's half of the check phase, without the question for capacity. */
export function onlyNoPage(ctx: Context, vm: number, _vcpu: number, gfn: number): number {
  if (gfn < 0 || gfn >= ctx.m.vmPages) return -EPERM;
  return checkGuestNoPage(ctx, vm, gfn);
}

export const z35: Bug = {
  id: 'Z35',
  title: 'EL2 finds out that it has no page for the table after it has taken the page from the host',
  commit: 'mended in 7.1 ("enough capacity before engaging"), cleaned up in 7.2',
  fixedIn: 'v7.1',
  story:
    "A donation first takes the page out of the host's stage 2, then enters it in the guest's, for which it may need a table page. When the " +
    "vCPU's memcache was empty the second half failed, after the first was done: a WARN, and a page that belongs to nobody.",
  policy: 'pkvm-2022',
  replace: { checkGuestTakes: onlyNoPage },
  expect: ['I-OWN'],
  litmus: 'z35-no-table.litmus',
  clash: {
    steps: [changes('host stage-2 entry', 'hostDonateGuest'), locks('EL2 hyp_pool lock', 'zallocTablePage')],
    or: [
      locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'hostDonateGuest'),
      changes('host stage-2 entry', 'hostDonateGuest'),
    ],
    alone: true,
    follows: 'story',
  },
};

/**
 * Z42-live: a sibling of Z42: EL2 gives pages back of a guest that is alive.
 *
 *     guest: writes its secret to page P       host: __pkvm_reclaim_dying_guest_page(P), though no teardown has begun
 *     -                                        EL2: unmaps P, wipes it, gives it to the host
 *     guest: faults on P, and finds another page, or none
 */
import { HYP_VM_NONE } from '../hyp/vm.js';
import type { Context } from '../machine/context.js';
import { VM_HYP_STATE, vmWord } from '../machine/layout.js';
import { get } from '#words';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** Whether EL2 knows the VM; that it is dying is not asked. */
const exists = (ctx: Context, vm: number): boolean => get(ctx.words, vmWord(ctx.m, vm, VM_HYP_STATE)) !== HYP_VM_NONE;

export const z42Live: Bug = {
  id: 'Z42-live',
  title: 'EL2 gives the host a page back of a guest that is not dying',
  commit: '',
  fixedIn: '',
  story:
    'The host may have the pages of a guest back once its teardown has begun: from then on no vCPU can be loaded. If EL2 does not ask ' +
    "for that, the host can take any page from a running guest, whose data is wiped under it: its mapping's pin was to exclude just that.",
  policy: 'pkvm-2022',
  replace: { isDying: exists },
  expect: ['I-PINNED-S2', 'I-LOST', 'I-LIVE'],
  litmus: 'z42-live.litmus',
  clash: {
    steps: [
      changes(['entry of stage-2 table', 'host stage-2 entry'], 'hostDonateGuest'),
      changes(['entry of stage-2 table', 'host stage-2 entry'], 'reclaimDyingGuestPage'),
    ],
    or: [
      locks(['EL2 vm_table_lock', 'EL2 host_mmu.lock', 'hyp_vm.lock'], 'reclaimDyingGuestPage'),
      changes(['entry of stage-2 table', 'host stage-2 entry'], 'reclaimDyingGuestPage'),
    ],
    follows: 'story',
  },
};

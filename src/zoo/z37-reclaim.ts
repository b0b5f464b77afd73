/**
 * Z37-reclaim: a sibling of Z37: the host says which page it wants back, and EL2 believes it.
 *
 *     host: destroys the VM: dying; its guest has page P at gfn 0
 *     host: __pkvm_reclaim_dying_guest_page(gfn 0, Q)
 *     EL2:  gfn 0 is mapped: unmaps it, wipes Q, gives Q to the host
 *     P is owned by nobody; Q, whoever had it, is empty
 */
import { EINVAL } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { isS2Leaf } from '../machine/entries.js';
import { guestLeaf } from '../hyp/stage2.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** The check phase without a look at which page it is. */
const checkMapped = (ctx: Context, vm: number, _pfn: number, gfn: number): number =>
  isS2Leaf(guestLeaf(ctx, vm, gfn)) ? 0 : -EINVAL;

export const z37Reclaim: Bug = {
  id: 'Z37-reclaim',
  title: 'EL2 does not ask whether the page that the host reclaims is the one that the guest has there',
  commit: '',
  fixedIn: '',
  story:
    'A dying guest gives its pages back one by one; the host names the guest page and the frame. EL2 must find that frame at that place. ' +
    'If it does not look, it unmaps one page and wipes another: the first is lost, the data of the second too.',
  policy: 'pkvm-2022',
  replace: { checkReclaim: checkMapped },
  expect: ['I-OWN', 'I-LOST', 'I-WIPE'],
  litmus: 'z37-reclaim.litmus',
  clash: {
    steps: [
      locks(['EL2 vm_table_lock', 'EL2 host_mmu.lock', 'hyp_vm.lock'], 'reclaimDyingGuestPage'),
      changes(['entry of stage-2 table', 'content of pfn', 'host stage-2 entry'], 'reclaimDyingGuestPage'),
    ],
    or: [locks('EL2 vm_table_lock', 'startTeardown'), locks('EL2 vm_table_lock', 'reclaimDyingGuestPage')],
    alone: true,
    follows: 'story',
  },
};

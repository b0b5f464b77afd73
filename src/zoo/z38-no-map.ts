/**
 * Z38: EL2 takes reserved carve-outs for memory like any other.
 *
 *     host: __pkvm_host_donate_hyp(a frame that the device tree reserves with no-map)
 *     EL2:  it is in a memory region; absent from the host's stage 2, so the host's: the donation is made
 *
 * What is marked no-map belongs to firmware or a device: the host may not map it, so it may not give it away either. The memory
 * regions that EL2 is told of include it, flagged, and the flag has to be looked at (memblock's MEMBLOCK_NOMAP).
 */
import { EPERM } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { PKVM_ID_HOST, PKVM_PAGE_OWNED } from '../machine/entries.js';
import { hostS2Owner, hostState } from '../hyp/page-state.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** __host_check_page_state_range() that asks only whether there is memory at all (addr_is_memory()). */
function checkIsMemory(ctx: Context, pfn: number): number {
  if (pfn <= 0 || pfn >= ctx.m.frames) return -EPERM;
  return hostState(ctx, pfn) === PKVM_PAGE_OWNED && hostS2Owner(ctx, pfn) === PKVM_ID_HOST ? 0 : -EPERM;
}

export const z38: Bug = {
  id: 'Z38',
  title: 'memory that is reserved with no-map can be donated',
  commit: '43c1ff8b7501 ("KVM: arm64: Prevent unconditional donation of unmapped regions from the host", its series)',
  fixedIn: 'v6.3',
  story:
    "EL2 asked of a donated page whether it lies in memory. Carve-outs that firmware or a device uses lie there too, marked no-map, and the host's " +
    'stage 2 never has them: they looked like pages that the host has not touched yet, and could be given to EL2 or a guest.',
  policy: 'pkvm-2022',
  replace: { checkHostOwned: checkIsMemory },
  expect: ['I-OWN'],
  litmus: 'z38-no-map.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'EL2 pkvm_pgd_lock'], 'hostDonateHyp'),
      changes('host stage-2 entry', 'hostDonateHyp'),
    ],
    alone: true,
    follows: '43c1ff8b7501',
  },
};

/**
 * Z37: EL2 lets the host give away what is no memory.
 *
 *     host: __pkvm_host_donate_hyp(address of a carve-out or a device, which its stage 2 has never mapped)
 *     EL2:  the entry is invalid, so there is no address in it: 0, which nobody objects to
 *     EL2:  an invalid entry without an annotation is the host's: the donation is made
 *
 * The host's stage 2 is filled on demand: absent means "the host's, not used yet" only for memory. The test must ask about the
 * address of the request, not about what the entry holds.
 */
import { EPERM } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { PKVM_ID_HOST, PKVM_PAGE_OWNED, S2_VALID, entryPfn } from '../machine/entries.js';
import { PAGE_HOST_S2, pageWord } from '../machine/layout.js';
import { hostS2Owner, hostState, isAllowedMemory } from '../hyp/page-state.js';
import { get } from '#words';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** __host_check_page_state_range() by the address in the entry. */
function checkByEntry(ctx: Context, pfn: number): number {
  const entry = get(ctx.words, pageWord(ctx.m, pfn, PAGE_HOST_S2));
  if ((entry & S2_VALID) !== 0 && !isAllowedMemory(ctx, entryPfn(entry))) return -EPERM;
  return hostState(ctx, pfn) === PKVM_PAGE_OWNED && hostS2Owner(ctx, pfn) === PKVM_ID_HOST ? 0 : -EPERM;
}

export const z37: Bug = {
  id: 'Z37',
  title: 'the host may donate addresses that are no memory',
  commit: '09cce60bddd6 ("KVM: arm64: Fix unconditional donation of unmapped regions from the host")',
  fixedIn: 'v6.4',
  story:
    "Before a page leaves the host EL2 checks its state. The check took the address from the host's stage-2 entry, which for a page " +
    'that the host has never touched is empty, found nothing wrong with address 0, and took an absent entry for one that the host ' +
    'owns: devices and carve-outs could be given to EL2 or to a guest.',
  policy: 'pkvm-2022',
  replace: { checkHostOwned: checkByEntry },
  expect: ['I-OWN'],
  litmus: 'z37-not-memory.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'EL2 pkvm_pgd_lock'], 'hostDonateHyp'),
      changes('host stage-2 entry', 'hostDonateHyp'),
    ],
    alone: true,
    follows: '09cce60bddd6',
  },
};

/**
 * Z49: a page that the host has lent to EL2 is lent to a guest as well.
 *
 *     host: __pkvm_host_share_hyp(P): SHARED_OWNED, no guest has it: count 0      vCPU: -
 *     -                                                                           faults on P: __pkvm_host_share_guest(P)
 *     EL2:  P is SHARED_OWNED, so it may be shared once more: count 1             -
 *
 * Several guests may borrow one page, and nobody else beside them: SHARED_OWNED with a count of 0 means that it is lent to somebody
 * who is not counted, EL2 or FF-A.
 */
import { EBUSY, EPERM } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { PKVM_PAGE_SHARED_OWNED } from '../machine/entries.js';
import { SHARES_MAX, hostState, shareCount } from '../hyp/page-state.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** The check phase without the question to how many. */
function checkState(ctx: Context, pfn: number): number {
  if (ctx.kernel.checkHostOwned(ctx, pfn) === 0) return 0;
  if (hostState(ctx, pfn) !== PKVM_PAGE_SHARED_OWNED) return -EPERM;
  return shareCount(ctx, pfn) === SHARES_MAX ? -EBUSY : 0;
}

export const z49: Bug = {
  id: 'Z49',
  title: 'a page that is shared with EL2 may be shared with a guest, too',
  commit: 'the rule of v6.14 to v6.18',
  fixedIn: '',
  story:
    'From v6.14 on the host may share one page with several guests that are not protected, and EL2 counts them. The count is also what tells such a ' +
    'page from one that EL2 itself or the firmware has borrowed: without that test a guest can write what EL2 relies on.',
  policy: 'pkvm-np-upstream',
  replace: { checkHostShares: checkState },
  expect: ['I-OWN', 'I-SHARECNT'],
  litmus: 'z49-shared-elsewhere.litmus',
  clash: {
    steps: [locks('EL2 host_mmu.lock', 'hostShareGuest'), changes('host stage-2 entry', 'hostShareHyp')],
    or: [locks('EL2 host_mmu.lock', 'hostShareGuest'), locks('EL2 host_mmu.lock', 'hostShareHyp')],
    follows: 'story',
  },
};

/**
 * Z48-share-hyp: a sibling of Z48: a share with EL2 in two holds of the lock.
 *
 *     EL2 on cpu0: P is the host's alone; unlocks      EL2 on cpu1: -
 *     -                                                donates P to a guest
 *     EL2 on cpu0: locks; shares P with EL2            -
 *     the guest's own page is the host's and EL2's, too
 */
import { EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { PKVM_NOPAGE, PKVM_PAGE_SHARED_BORROWED, PKVM_PAGE_SHARED_OWNED } from '../machine/entries.js';
import { lockHost, lockHyp, unlockHost, unlockHyp } from '../hyp/locks.js';
import { changedOwner, hostMapShared } from '../hyp/mem-protect.js';
import { hypState, setHypState } from '../hyp/page-state.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** __pkvm_host_share_hyp() that lets go between its phases. */
function* shareInTwoHolds(ctx: Context, pfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  const free = ctx.kernel.checkHostOwned(ctx, pfn) === 0 && hypState(ctx, pfn) === PKVM_NOPAGE;
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  if (!free) return -EPERM;
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  yield* hostMapShared(ctx, pfn, PKVM_PAGE_SHARED_OWNED);
  setHypState(ctx, pfn, PKVM_PAGE_SHARED_BORROWED);
  changedOwner(ctx, pfn, -1);
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  return 0;
}

export const z48ShareHyp: Bug = {
  id: 'Z48-share-hyp',
  title: 'EL2 checks who owns a page under one hold of the lock and borrows it under another',
  commit: '',
  fixedIn: '',
  story:
    'Every transition of a page has its check and its do phase under one hold of the locks of both sides. If a share with EL2 lets go in between, the ' +
    'page may have been donated to a guest by the time it is shared: the host gets a mapping of what is no longer its own.',
  policy: 'pkvm-2022',
  replace: { hostShareHyp: shareInTwoHolds },
  expect: ['I-OWN'],
  litmus: 'z48-share-hyp.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'EL2 pkvm_pgd_lock'], 'shareInTwoHolds'),
      changes('host stage-2 entry', 'hostDonateGuest'),
    ],
    or: [locks('EL2 host_mmu.lock', 'shareInTwoHolds'), locks('EL2 host_mmu.lock', 'hostDonateGuest')],
    follows: 'story',
  },
};

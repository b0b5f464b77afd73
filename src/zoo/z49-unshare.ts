/**
 * Z49-unshare: a sibling of Z49: the first guest that gives a page back ends the loan to all.
 *
 *     guests G and H: have P: SHARED_OWNED, count 2      VMM: madvise(DONTNEED): start
 *     -                                                  EL2: takes P from G; P is the host's alone
 *     H still has P                                      EL2: H's turn: P is not lent at all: -EPERM
 */
import type { Context, Coroutine } from '../machine/context.js';
import { PKVM_PAGE_OWNED, entryPfn } from '../machine/entries.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '../hyp/locks.js';
import { changedOwner, hostMapShared } from '../hyp/mem-protect.js';
import { setShareCount } from '../hyp/page-state.js';
import { checkHostSharedGuest } from '../hyp/share-guest.js';
import { guestLeaf, unmapGuest } from '../hyp/stage2.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** __pkvm_host_unshare_guest() as of a time when one guest at most could have a page. */
function* unshareForAll(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostSharedGuest(ctx, vm, gfn);
  if (result === 0) {
    const pfn = entryPfn(guestLeaf(ctx, vm, gfn));
    yield* unmapGuest(ctx, vm, gfn);
    setShareCount(ctx, pfn, 0);
    yield* hostMapShared(ctx, pfn, PKVM_PAGE_OWNED);
    changedOwner(ctx, pfn, gfn);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

export const z49Unshare: Bug = {
  id: 'Z49-unshare',
  title: "a page that two guests have borrowed is the owner's alone when one gives it back",
  commit: '',
  fixedIn: '',
  story:
    "A page lent to several guests is the host's alone again only after the last has given it back. If the first does, EL2 lets the host donate or free " +
    'a page that another guest still maps, and refuses to take it from that one, since by its books nobody has it.',
  policy: 'pkvm-np-upstream',
  replace: { hostUnshareGuest: unshareForAll },
  expect: ['I-OWN', 'I-SHARECNT'],
  litmus: 'z49-unshare.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'unshareForAll'),
      changes('host stage-2 entry', 'unshareForAll'),
    ],
    alone: true,
    follows: 'story',
  },
};

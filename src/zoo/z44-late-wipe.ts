/**
 * Z44-late-wipe: a sibling of Z44: the page is the host's before it is wiped.
 *
 *     EL2:  reclaims a dying guest's page P: unmapped, TLBI; the host owns it      host: -
 *     -                                                                            reads P: the guest's secret
 *     EL2:  zeroes P                                                               -
 */
import type { Context, Coroutine } from '../machine/context.js';
import { PKVM_PAGE_OWNED } from '../machine/entries.js';
import { guestLeaf, guestPageState, unmapGuest } from '../hyp/stage2.js';
import { giveToHost, poisonPage } from '../hyp/teardown.js';
import type { Bug } from './bug.js';
import { changes, locks, looksAt } from './bug-clash.js';

/** The do phase of a reclaim with its last two steps exchanged. */
function* giveThenWipe(ctx: Context, vm: number, pfn: number, gfn: number): Coroutine<void> {
  const owned = guestPageState(guestLeaf(ctx, vm, gfn)) === PKVM_PAGE_OWNED;
  yield* unmapGuest(ctx, vm, gfn);
  yield* giveToHost(ctx, pfn, gfn, owned);
  if (owned) yield* poisonPage(ctx, pfn);
}

export const z44LateWipe: Bug = {
  id: 'Z44-late-wipe',
  title: "a dying guest's page is wiped after it has become the host's",
  commit: '',
  fixedIn: '',
  story:
    "The wipe of a reclaimed page belongs between two steps: out of the guest's reach, not yet in the host's. Done after the host owns the page, it " +
    'leaves a window in which the host can read what the guest has left there.',
  policy: 'pkvm-2022',
  replace: { doReclaim: giveThenWipe },
  expect: ['I-WIPE'],
  litmus: 'z44-late-wipe.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'reclaimDyingGuestPage'),
      changes('host stage-2 entry', 'giveThenWipe'),
    ],
    or: [
      changes('host stage-2 entry', 'giveThenWipe'),
      looksAt(['host stage-2 entry', 'content of pfn'], 'hostAccess'),
    ],
    alone: true,
    follows: 'story',
  },
};

/**
 * Z42: the host unpins a guest's page before EL2 has given it back.
 *
 *     teardown: unpin: it was the last reference; the page is freed    anybody: -
 *     -                                                                gets the page, maps it
 *     -                                                                touches it: EL2 says no: killed
 *     teardown: __pkvm_reclaim_dying_guest_page: EL2 wipes it          the new owner's data is gone
 *
 * The pin is what keeps the host from using a page that is not its own, so it is the last thing to go.
 */
import { glance } from '../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../machine/context.js';
import { VM_HANDLE, VM_MM, pinnedPageWord, vmWord } from '../machine/layout.js';
import { HYP_RECLAIM_PAGE } from '../hyp/hypercalls.js';
import { kvmCallHyp } from '../kvm/call-hyp.js';
import { accountLockedVm } from '../mm/util.js';
import { get, set } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** One page of the teardown loop with its two ends exchanged. */
function* unpinThenReclaim(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  const { m, words } = ctx;
  const at = pinnedPageWord(m, vm, gfn);
  const pfn = get(words, at) - 1;
  if (pfn < 0) return;
  set(words, at, 0);
  ctx.probe.onStage2Unpinned(ctx, vm, gfn, pfn);
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
  yield* accountLockedVm(ctx, get(words, vmWord(m, vm, VM_MM)), 1, false);
  const handle = glance(words, vmWord(m, vm, VM_HANDLE));
  const result = yield* kvmCallHyp(ctx, HYP_RECLAIM_PAGE, handle, pfn, gfn, 0);
  if (result !== 0) ctx.probe.onWarn(ctx, 'I-OWN', 'EL2 did not return a page', pfn);
}

export const z42: Bug = {
  id: 'Z42',
  title: "a guest's page is unpinned before EL2 has given it back",
  commit: '',
  fixedIn: '',
  story:
    'At the end of a protected VM each page is reclaimed from EL2, uncharged and unpinned, in this order. With the first and the last ' +
    "exchanged the page may be freed and handed out while it is still the guest's: its new owner is killed by EL2 at his first access, " +
    'and what he would have written is wiped when the reclaim comes at last.',
  policy: 'pkvm-2022',
  replace: { pkvmReclaimPinnedPage: unpinThenReclaim },
  expect: ['I-OWN', 'I-FREE', 'I-WIPE'],
  litmus: 'z42-unpin-first.litmus',
  clash: {
    steps: [looksAt('flags', 'unpinThenReclaim'), changes('refs', 'unpinThenReclaim')],
    or: [
      changes('refs', 'unpinThenReclaim'),
      changes(['refs', 'PTE', 'host stage-2 entry'], ['doAnonymousPage', 'reclaimDyingGuestPage']),
    ],
    alone: true,
    follows: 'story',
  },
};

/**
 * Z39: the length of a range wraps, and nothing is checked.
 *
 *     host: __pkvm_host_donate_hyp(frame 20, 2147483647 pages)
 *     EL2:  end = 20 + 2147483647, which is below 20: the check loop has nothing to look at
 *     EL2:  the do phase takes page after page, whoever has it
 *
 * The kernel's sum is of 64-bit addresses; ours is of frame numbers with 31 bits. The do phase goes on to the end of memory, where the
 * kernel's page-table walker stops it too.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { PKVM_ID_HYP, PKVM_NOPAGE, PKVM_PAGE_OWNED } from '../machine/entries.js';
import { EPERM } from '../machine/abi.js';
import { lockHost, lockHyp, unlockHost, unlockHyp } from '../hyp/locks.js';
import { changedOwner, hostSetOwner } from '../hyp/mem-protect.js';
import { hypState, setHypState } from '../hyp/page-state.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** __pkvm_host_donate_hyp() without pfn_range_is_valid(). */
function* donateUnchecked(ctx: Context, pfn: number, pages: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  let result = 0;
  const end = (pfn + pages) | 0;
  for (let page = pfn; page < end && result === 0; page++) {
    result = ctx.kernel.checkHostOwned(ctx, page);
    if (result === 0 && hypState(ctx, page) !== PKVM_NOPAGE) result = -EPERM;
  }
  for (let page = pfn; page - pfn < pages && page < ctx.m.frames && result === 0; page++) {
    yield* hostSetOwner(ctx, page, PKVM_ID_HYP);
    setHypState(ctx, page, PKVM_PAGE_OWNED);
    changedOwner(ctx, page, -1);
  }
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  return result;
}

export const z39: Bug = {
  id: 'Z39',
  title: 'a range whose length wraps around escapes the check of a donation',
  commit: 'f71f7afd0a0c ("KVM: arm64: Check range args for pKVM mem transitions")',
  fixedIn: 'v6.18',
  story:
    'Hypercalls that take a range computed its end from two numbers of the host. A length near the top of the number range makes the end lie below ' +
    'the beginning: the loop of the check phase looks at no page, and the do phase then takes pages that the host does not own.',
  policy: 'pkvm-2022',
  replace: { hostDonateHyp: donateUnchecked },
  expect: ['I-OWN'],
  litmus: 'z39-range.litmus',
  clash: {
    steps: [
      locks(['EL2 host_mmu.lock', 'EL2 pkvm_pgd_lock'], 'donateUnchecked'),
      changes('host stage-2 entry', 'donateUnchecked'),
    ],
    alone: true,
    follows: 'f71f7afd0a0c',
  },
};

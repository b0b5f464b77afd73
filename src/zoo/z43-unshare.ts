/**
 * Z43-unshare: a sibling of Z43: a page is taken back from the host, and the host still reaches it.
 *
 *     cpu0: has (process, page) -> P in its TLB, as the guest has shared P      guest: MEM_UNSHARE(P)
 *     -                                                                         EL2: P is the guest's alone; no TLBI of the host's VMID
 *     cpu0: reads the guest's secret                                            guest: writes a secret to P
 */
import { EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import {
  PKVM_ID_GUEST,
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  entryPfn,
  mkAnnotation,
} from '../machine/entries.js';
import { PAGE_HOST_S2, pageWord } from '../machine/layout.js';
import { checkGuest, setGuestState } from '../hyp/guest-calls.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '../hyp/locks.js';
import { changedOwner } from '../hyp/mem-protect.js';
import { hostState, setHostState } from '../hyp/page-state.js';
import { guestLeaf } from '../hyp/stage2.js';
import { writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** MEM_UNSHARE without the invalidation. */
function* unshareUnflushed(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  let result = checkGuest(ctx, vm, gfn, PKVM_PAGE_SHARED_OWNED);
  const pfn = entryPfn(guestLeaf(ctx, vm, gfn));
  if (result === 0 && hostState(ctx, pfn) !== PKVM_PAGE_SHARED_BORROWED) result = -EPERM;
  if (result === 0) {
    yield* setGuestState(ctx, vm, gfn, PKVM_PAGE_OWNED);
    const at = pageWord(ctx.m, pfn, PAGE_HOST_S2);
    if (--ctx.quantum < 0) yield writes(at);
    writeOnce(ctx.words, at, mkAnnotation(PKVM_ID_GUEST));
    setHostState(ctx, pfn, PKVM_NOPAGE);
    changedOwner(ctx, pfn, gfn);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

export const z43Unshare: Bug = {
  id: 'Z43-unshare',
  title: "a guest's unshare returns before the host's TLBs have dropped the page",
  commit: '',
  fixedIn: '',
  story:
    'A guest that takes back a page which it had shared with the host goes on to use it for secrets. The hypercall must not return before no CPU of ' +
    'the host can use an old translation: the entry in the table alone does not stop one that has the page in its TLB.',
  policy: 'pkvm-2022',
  replace: { guestUnshareHost: unshareUnflushed },
  expect: ['I-TLB', 'I-OWN'],
  litmus: 'z43-unshare.litmus',
  clash: {
    steps: [looksAt('host stage-2 entry', 'hostAccess'), changes('host stage-2 entry', 'unshareUnflushed')],
    follows: 'story',
  },
};

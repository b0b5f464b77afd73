/**
 * Z44: EL2 wipes a page while its guest can still write it.
 *
 *     vCPU 0: MEM_RELINQUISH: EL2 zeroes the page     vCPU 1: -
 *     -                                               writes a secret to it
 *     EL2: unmaps it, TLBI; the host owns it          -
 *     host: reads the secret
 *
 * Android 14 has this order; it holds that a guest that writes to a page it is giving up has only itself to blame. We ask
 * for what a dying guest's pages get: unmapped first, TLBs included, then wiped.
 */
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { PKVM_PAGE_OWNED, entryPfn } from '../machine/entries.js';
import { checkRelinquish } from '../hyp/guest-calls.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '../hyp/locks.js';
import { guestLeaf, guestPageState, unmapGuest } from '../hyp/stage2.js';
import { giveToHost, poisonPage } from '../hyp/teardown.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** MEM_RELINQUISH with the wipe first. */
function* wipeThenUnmap(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkRelinquish(ctx, vm, gfn);
  if (result === 0) {
    const leaf = guestLeaf(ctx, vm, gfn);
    const owned = guestPageState(leaf) === PKVM_PAGE_OWNED;
    if (owned) yield* poisonPage(ctx, entryPfn(leaf));
    const outer = ctx.task.mechanism;
    ctx.task.mechanism = MECH.relinquish;
    yield* unmapGuest(ctx, vm, gfn);
    ctx.task.mechanism = outer;
    yield* giveToHost(ctx, entryPfn(leaf), gfn, owned);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

export const z44: Bug = {
  id: 'Z44',
  title: "a relinquished page is wiped before it is out of the guest's reach",
  commit: '',
  fixedIn: '',
  story:
    "A page that leaves a protected guest is wiped, so that the host cannot read the guest's data. If that is done while the guest still " +
    'maps it, another vCPU may write between the wipe and the unmap, and the host gets that.',
  policy: 'pkvm-2022',
  replace: { guestRelinquish: wipeThenUnmap },
  expect: ['I-WIPE'],
  litmus: 'z44-wipe-first.litmus',
  clash: {
    steps: [changes('content of pfn', 'wipeThenUnmap'), changes('content of pfn', 'guestAccess')],
    or: [changes('entry of stage-2 table', 'wipeThenUnmap'), looksAt('entry of stage-2 table', 'guestAccess')],
    follows: 'story',
  },
};

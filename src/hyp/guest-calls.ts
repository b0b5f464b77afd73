/**
 * What a protected guest asks EL2 for (arch/arm64/kvm/hyp/nvhe/mem_protect.c, A14; kernel-model 3.29): to share a page of
 * its own with the host, to take it back, to give it up for good. The host is asked for nothing, but it may have to map
 * the page first.
 */
import { EFAULT, EPERM } from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import {
  PKVM_ID_GUEST,
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  S2_STATE_SHIFT,
  entryPfn,
  isS2Leaf,
} from '../machine/entries.js';
import { VM_PROTECTED, s2PteWord, s2RootWord, vmWord } from '../machine/layout.js';
import { get, writeOnce } from '#words';
import { lockGuest, lockHost, unlockGuest, unlockHost } from './locks.js';
import { changedOwner, hostMapShared, hostSetOwner } from './mem-protect.js';
import { hostState } from './page-state.js';
import { guestLeaf, guestPageState, unmapGuest } from './stage2.js';
import { giveToHost, poisonPage } from './teardown.js';

/** What of MEM_SHARE, MEM_UNSHARE and MEM_RELINQUISH is asked: `wanted` is the state that the page has to be in. */
export function checkGuest(ctx: Context, vm: number, gfn: number, wanted: number): number {
  if (gfn < 0 || gfn >= ctx.m.vmPages) return -EPERM;
  const leaf = guestLeaf(ctx, vm, gfn);
  // leaves to the host as a data abort: the page is mapped, and the guest asks again
  if (!isS2Leaf(leaf)) return -EFAULT;
  return guestPageState(leaf) === wanted ? 0 : -EPERM;
}

/** The guest's leaf at `gfn` gets another state: software bits only, which no TLB holds. */
export function* setGuestState(ctx: Context, vm: number, gfn: number, state: number): Coroutine<void> {
  const at = s2PteWord(ctx.m, entryPfn(get(ctx.words, s2RootWord(ctx.m, vm, gfn))), gfn);
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(ctx.words, at, (get(ctx.words, at) & ~(3 << S2_STATE_SHIFT)) | (state << S2_STATE_SHIFT));
}

/** MEM_SHARE: the host may use the page too. 0, -EFAULT (not mapped yet) or -EPERM (not the guest's own). */
export function* guestShareHost(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  let result = checkGuest(ctx, vm, gfn, PKVM_PAGE_OWNED);
  const pfn = entryPfn(guestLeaf(ctx, vm, gfn));
  if (result === 0 && hostState(ctx, pfn) !== PKVM_NOPAGE) result = -EPERM;
  if (result === 0) {
    yield* setGuestState(ctx, vm, gfn, PKVM_PAGE_SHARED_OWNED);
    yield* hostMapShared(ctx, pfn, PKVM_PAGE_SHARED_BORROWED);
    changedOwner(ctx, pfn, gfn);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/** MEM_UNSHARE: when it returns the host reaches the page through no TLB either. 0, -EFAULT or -EPERM (not shared). */
export function* guestUnshareHost(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  let result = checkGuest(ctx, vm, gfn, PKVM_PAGE_SHARED_OWNED);
  const pfn = entryPfn(guestLeaf(ctx, vm, gfn));
  if (result === 0 && hostState(ctx, pfn) !== PKVM_PAGE_SHARED_BORROWED) result = -EPERM;
  if (result === 0) {
    yield* setGuestState(ctx, vm, gfn, PKVM_PAGE_OWNED);
    yield* hostSetOwner(ctx, pfn, PKVM_ID_GUEST);
    changedOwner(ctx, pfn, gfn);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/** What MEM_RELINQUISH asks of the page: a protected guest's own, or one that the host has lent. Both locks held. */
export function checkRelinquish(ctx: Context, vm: number, gfn: number): number {
  const isProtected = get(ctx.words, vmWord(ctx.m, vm, VM_PROTECTED)) !== 0;
  const result = checkGuest(ctx, vm, gfn, isProtected ? PKVM_PAGE_OWNED : PKVM_PAGE_SHARED_BORROWED);
  if (result !== 0) return result;
  const state = hostState(ctx, entryPfn(guestLeaf(ctx, vm, gfn)));
  return state === (isProtected ? PKVM_NOPAGE : PKVM_PAGE_SHARED_OWNED) ? 0 : -EPERM;
}

/**
 * MEM_RELINQUISH: the page is the host's again, wiped if it was the guest's own. Not in A14's order, which wipes before it unmaps: another vCPU of
 * the guest may write in between, and the host would read that (Z44).
 * @returns 0, -EFAULT (nothing is mapped there) or -EPERM (shared with the host: to be taken back first)
 */
export function* guestRelinquish(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkRelinquish(ctx, vm, gfn);
  if (result === 0) {
    const leaf = guestLeaf(ctx, vm, gfn);
    const owned = guestPageState(leaf) === PKVM_PAGE_OWNED;
    const outer = ctx.task.mechanism;
    ctx.task.mechanism = MECH.relinquish;
    yield* unmapGuest(ctx, vm, gfn);
    ctx.task.mechanism = outer;
    if (owned) yield* poisonPage(ctx, entryPfn(leaf));
    yield* giveToHost(ctx, entryPfn(leaf), gfn, owned);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

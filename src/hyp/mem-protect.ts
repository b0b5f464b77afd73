/**
 * Who owns a page (arch/arm64/kvm/hyp/nvhe/mem_protect.c; A14, with v6.18's hyp_page as storage): the transitions
 * between the host, EL2 and guests. Each takes the locks of both sides, checks everything (no writes), then does it
 * (must not fail). Check and do phase are functions of their own, so that a planted bug can compose them wrongly.
 *
 *   case                       host            hyp       guest             host stage-2 entry
 *   -----------------------    ------------    ------    --------------    -------------------
 *   host private               OWNED           NOPAGE    NOPAGE            absent or RWX
 *   shared with a guest        SHARED_OWNED    NOPAGE    SHARED_BORROWED   RWX
 *   donated to a guest         NOPAGE          NOPAGE    OWNED             annotation GUEST
 *   hyp private                NOPAGE          OWNED     NOPAGE            annotation HYP
 */
import { EAGAIN, EBUSY, EINVAL, ENOMEM, EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import {
  PKVM_ID_GUEST,
  PKVM_ID_HOST,
  PKVM_ID_HYP,
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  S2_AF,
  S2_EXEC,
  S2_STATE_SHIFT,
  S2_VALID,
  S2_WRITE,
  mkAnnotation,
  mkEntry,
} from '../machine/entries.js';
import { PAGE_HOST_S2, pageWord } from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { get, writeOnce, xchg } from '#words';
import { lockGuest, lockHost, lockHyp, unlockGuest, unlockHost, unlockHyp } from './locks.js';
import {
  SHARES_MAX,
  hostS2Owner,
  hostState,
  hypState,
  isAllowedMemory,
  setHostState,
  setHypState,
  setShareCount,
  shareCount,
} from './page-state.js';
import { canMapGuest, guestLeaf, guestPageState, mapGuest } from './stage2.js';

const HOST_RWX = S2_VALID | S2_WRITE | S2_EXEC | S2_AF;

const hostS2Word = (ctx: Context, pfn: number): number => pageWord(ctx.m, pfn, PAGE_HOST_S2);

/** Tells that the ownership of `pfn` has changed; `gfn` of the guest, or -1. */
export function changedOwner(ctx: Context, pfn: number, gfn: number): void {
  ctx.probe.onOwnership(ctx, pfn);
  emit(ctx, EVENT.ownership, pfn, hostState(ctx, pfn), hypState(ctx, pfn), gfn);
}

/** __host_check_page_state_range(PKVM_PAGE_OWNED): memory that the host alone owns. 0 or -EPERM. Host lock held. */
export function checkHostOwned(ctx: Context, pfn: number): number {
  const owned =
    isAllowedMemory(ctx, pfn) && hostState(ctx, pfn) === PKVM_PAGE_OWNED && hostS2Owner(ctx, pfn) === PKVM_ID_HOST;
  return owned ? 0 : -EPERM;
}

/** __guest_check_page_state_range(PKVM_NOPAGE): nothing is mapped at `gfn` yet. 0 or -EPERM. Guest lock held. */
export const checkGuestNoPage = (ctx: Context, vm: number, gfn: number): number =>
  guestPageState(guestLeaf(ctx, vm, gfn)) === PKVM_NOPAGE ? 0 : -EPERM;

/**
 * host_stage2_set_owner_locked(): the host's entry names another owner, or none (the host's again, mapped at its next
 * access). When it returns the host's TLBs hold nothing of the page.
 */
export function* hostSetOwner(ctx: Context, pfn: number, owner: number): Coroutine<void> {
  const at = hostS2Word(ctx, pfn);
  if (--ctx.quantum < 0) yield writes(at);
  const before = xchg(ctx.words, at, mkAnnotation(owner));
  if ((before & S2_VALID) !== 0) yield* ctx.kernel.tlbFlushHost(ctx, pfn);
  // last: a host access that had begun before may have gone on until here
  setHostState(ctx, pfn, owner === PKVM_ID_HOST ? PKVM_PAGE_OWNED : PKVM_NOPAGE);
  setShareCount(ctx, pfn, 0);
}

/** The host may use the page: mapped RWX in its own stage 2, with `state`. */
export function* hostMapShared(ctx: Context, pfn: number, state: number): Coroutine<void> {
  const at = hostS2Word(ctx, pfn);
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(ctx.words, at, mkEntry(pfn, HOST_RWX | (state << S2_STATE_SHIFT)));
  setHostState(ctx, pfn, state);
}

/** The do phase of a donation: out of the host's reach first, then into the guest's. In between it is in no table. */
export function* doDonateGuest(ctx: Context, vm: number, vcpu: number, pfn: number, gfn: number): Coroutine<void> {
  yield* hostSetOwner(ctx, pfn, PKVM_ID_GUEST);
  if (!(yield* mapGuest(ctx, vm, vcpu, gfn, pfn, PKVM_PAGE_OWNED))) {
    ctx.probe.onWarn(ctx, 'I-OWN', 'donated page owned by nobody', pfn);
  }
  changedOwner(ctx, pfn, gfn);
}

/**
 * The check phase of a donation: 0, -EPERM or -ENOMEM. Both locks held; nothing is written.
 */
export function checkHostGivesGuest(ctx: Context, vm: number, vcpu: number, pfn: number, gfn: number): number {
  const result = ctx.kernel.checkHostOwned(ctx, pfn);
  return result === 0 ? ctx.kernel.checkGuestTakes(ctx, vm, vcpu, gfn) : result;
}

/** The guest's half of it: 0, -EPERM or -ENOMEM. hyp_vm.lock held. */
export function checkGuestTakes(ctx: Context, vm: number, vcpu: number, gfn: number): number {
  if (gfn < 0 || gfn >= ctx.m.vmPages) return -EPERM;
  if (checkGuestNoPage(ctx, vm, gfn) !== 0) return -EPERM;
  // enough capacity before engaging: a do phase must not run out of table pages (7.1; Z35)
  return canMapGuest(ctx, vm, vcpu, gfn) ? 0 : -ENOMEM;
}

/** __pkvm_host_donate_guest(): a page becomes the guest's own. 0, -EPERM or -ENOMEM. */
export function* hostDonateGuest(ctx: Context, vm: number, vcpu: number, pfn: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostGivesGuest(ctx, vm, vcpu, pfn, gfn);
  if (result === 0) yield* doDonateGuest(ctx, vm, vcpu, pfn, gfn);
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/**
 * What the host must be able to show of a page that it shares with a guest: its own alone; or, where guests follow notifiers
 * (v6.14), shared with such guests only. 0, -EPERM or -EBUSY (too many leaves).
 */
export function checkHostShares(ctx: Context, pfn: number): number {
  if (ctx.kernel.checkHostOwned(ctx, pfn) === 0) return 0;
  // frame 0, the zero page, is memory that never leaves the host
  if (!ctx.kernel.rules.pkvmNotifiers || (pfn !== 0 && !isAllowedMemory(ctx, pfn))) return -EPERM;
  if (pfn === 0 && hostState(ctx, pfn) === PKVM_PAGE_OWNED) return 0;
  // count 0: EL2 itself or somebody else has borrowed it
  const shares = shareCount(ctx, pfn);
  if (hostState(ctx, pfn) !== PKVM_PAGE_SHARED_OWNED || shares === 0) return -EPERM;
  return shares === SHARES_MAX ? -EBUSY : 0;
}

/**
 * __pkvm_host_share_guest(): for guests that are not protected. A14 has one guest to a page, v6.14 any number.
 * @returns 0, -EPERM, -EBUSY or -ENOMEM
 */
export function* hostShareGuest(
  ctx: Context,
  vm: number,
  vcpu: number,
  pfn: number,
  gfn: number,
  writable = true,
): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  let result = ctx.kernel.checkHostShares(ctx, pfn);
  if (result === 0) result = ctx.kernel.checkGuestTakes(ctx, vm, vcpu, gfn);
  if (result === 0) {
    // only software bits change, which no TLB holds
    if (shareCount(ctx, pfn) === 0) yield* hostMapShared(ctx, pfn, PKVM_PAGE_SHARED_OWNED);
    setShareCount(ctx, pfn, shareCount(ctx, pfn) + 1);
    if (!(yield* mapGuest(ctx, vm, vcpu, gfn, pfn, PKVM_PAGE_SHARED_BORROWED, writable))) {
      ctx.probe.onWarn(ctx, 'I-OWN', 'shared page mapped nowhere', pfn);
    }
    changedOwner(ctx, pfn, gfn);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/**
 * The range of a host<->hyp transition: a count that wraps would make the check loop empty and the do phase run
 * (Z39).
 */
const rangeIsSane = (ctx: Context, pfn: number, pages: number): boolean =>
  pages > 0 && pfn >= 0 && pages <= ctx.m.frames && pfn + pages <= ctx.m.frames;

/** __pkvm_host_donate_hyp(): pages become EL2's own. 0, -EINVAL or -EPERM, all or nothing. */
export function* hostDonateHyp(ctx: Context, pfn: number, pages: number): Coroutine {
  if (!rangeIsSane(ctx, pfn, pages)) return -EINVAL;
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  let result = 0;
  for (let i = 0; i < pages && result === 0; i++) {
    result = ctx.kernel.checkHostOwned(ctx, pfn + i);
    if (result === 0 && hypState(ctx, pfn + i) !== PKVM_NOPAGE) result = -EPERM;
  }
  for (let i = 0; i < pages && result === 0; i++) {
    yield* hostSetOwner(ctx, pfn + i, PKVM_ID_HYP);
    setHypState(ctx, pfn + i, PKVM_PAGE_OWNED);
    changedOwner(ctx, pfn + i, -1);
  }
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  return result;
}

/** __pkvm_hyp_donate_host(): EL2 gives pages of its own back. 0, -EINVAL or -EPERM. */
export function* hypDonateHost(ctx: Context, pfn: number, pages: number): Coroutine {
  if (!rangeIsSane(ctx, pfn, pages)) return -EINVAL;
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  let result = 0;
  for (let i = 0; i < pages && result === 0; i++) {
    const theirs = hypState(ctx, pfn + i) === PKVM_PAGE_OWNED && hostState(ctx, pfn + i) === PKVM_NOPAGE;
    if (!theirs) result = -EPERM;
  }
  for (let i = 0; i < pages && result === 0; i++) {
    setHypState(ctx, pfn + i, PKVM_NOPAGE);
    yield* hostSetOwner(ctx, pfn + i, PKVM_ID_HOST);
    changedOwner(ctx, pfn + i, -1);
  }
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  return result;
}

/** __pkvm_host_share_hyp(): EL2 may use a page of the host's too. 0 or -EPERM (not the host's alone). */
export function* hostShareHyp(ctx: Context, pfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  const free = ctx.kernel.checkHostOwned(ctx, pfn) === 0 && hypState(ctx, pfn) === PKVM_NOPAGE;
  if (free) {
    yield* hostMapShared(ctx, pfn, PKVM_PAGE_SHARED_OWNED);
    setHypState(ctx, pfn, PKVM_PAGE_SHARED_BORROWED);
    changedOwner(ctx, pfn, -1);
  }
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  return free ? 0 : -EPERM;
}

/** __pkvm_host_unshare_hyp(). 0 or -EPERM (EL2 has not borrowed it). */
export function* hostUnshareHyp(ctx: Context, pfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockHyp(ctx);
  const shared =
    isAllowedMemory(ctx, pfn) &&
    hostState(ctx, pfn) === PKVM_PAGE_SHARED_OWNED &&
    hypState(ctx, pfn) === PKVM_PAGE_SHARED_BORROWED;
  if (shared) {
    yield* hostMapShared(ctx, pfn, PKVM_PAGE_OWNED);
    setHypState(ctx, pfn, PKVM_NOPAGE);
    changedOwner(ctx, pfn, -1);
  }
  yield* unlockHyp(ctx);
  yield* unlockHost(ctx);
  return shared ? 0 : -EPERM;
}

/**
 * handle_host_mem_abort(): the host touched a page that its stage 2 does not map. Its identity map is built here,
 * lazily, by the largest block of pages that are all its own and unmapped.
 * @returns 0; -EAGAIN (mapped meanwhile: the access is tried again); -EPERM (not the host's: an abort is injected)
 */
export function* handleHostMemAbort(ctx: Context, pfn: number): Coroutine {
  const { m, words } = ctx;
  countStat(m, ctx.actor, STAT.host_stage2_faults, 1);
  yield* lockHost(ctx);
  let result = 0;
  if (pfn < 0 || pfn >= m.frames) {
    result = -EPERM;
  } else if ((get(words, hostS2Word(ctx, pfn)) & S2_VALID) !== 0) {
    result = -EAGAIN;
  } else if (hostS2Owner(ctx, pfn) !== PKVM_ID_HOST || (pfn !== 0 && !isAllowedMemory(ctx, pfn))) {
    result = -EPERM;
  } else {
    const block = pfn & ~(m.thpPages - 1);
    const whole = isWholeBlock(ctx, block);
    for (let page = whole ? block : pfn; page < (whole ? block + m.thpPages : pfn + 1); page++) {
      const at = hostS2Word(ctx, page);
      if (--ctx.quantum < 0) yield writes(at);
      writeOnce(words, at, mkEntry(page, HOST_RWX));
    }
  }
  emit(ctx, EVENT.host_stage2_fault, pfn, result);
  yield* unlockHost(ctx);
  return result;
}

function isWholeBlock(ctx: Context, block: number): boolean {
  for (let pfn = block; pfn < block + ctx.m.thpPages; pfn++) {
    if (get(ctx.words, hostS2Word(ctx, pfn)) !== 0 || checkHostOwned(ctx, pfn) !== 0) return false;
  }
  return true;
}

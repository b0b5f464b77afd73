/**
 * The rest of what the host has EL2 do to the table of a guest that is not protected and follows its notifiers
 * (arch/arm64/kvm/hyp/nvhe/mem_protect.c, v6.14; kernel-model 3.31). Sharing itself is in mem-protect.ts.
 */
import { EAGAIN, ENOENT, EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import {
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  S2_WRITE,
  entryPfn,
  isS2Leaf,
} from '../machine/entries.js';
import { VM_PROTECTED, s2PteWord, s2RootWord, vmWord } from '../machine/layout.js';
import { get, writeOnce } from '#words';
import { lockGuest, lockHost, unlockGuest, unlockHost } from './locks.js';
import { changedOwner, hostMapShared } from './mem-protect.js';
import { hostState, setShareCount, shareCount } from './page-state.js';
import { guestLeaf, guestPageState, unmapGuest } from './stage2.js';

/** __check_host_shared_guest(): a page that the host has lent to this guest. 0, -ENOENT or -EPERM. Both locks held. */
export function checkHostSharedGuest(ctx: Context, vm: number, gfn: number): number {
  if (get(ctx.words, vmWord(ctx.m, vm, VM_PROTECTED)) !== 0 || gfn < 0 || gfn >= ctx.m.vmPages) return -EPERM;
  const leaf = guestLeaf(ctx, vm, gfn);
  if (!isS2Leaf(leaf)) return -ENOENT;
  const pfn = entryPfn(leaf);
  const lent = guestPageState(leaf) === PKVM_PAGE_SHARED_BORROWED && hostState(ctx, pfn) === PKVM_PAGE_SHARED_OWNED;
  return lent && shareCount(ctx, pfn) > 0 ? 0 : -EPERM;
}

/** __pkvm_host_unshare_guest(): out of the guest's reach, TLBs included; the host's alone after the last. */
export function* hostUnshareGuest(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostSharedGuest(ctx, vm, gfn);
  if (result === 0) {
    const pfn = entryPfn(guestLeaf(ctx, vm, gfn));
    yield* unmapGuest(ctx, vm, gfn);
    const shares = shareCount(ctx, pfn) - 1;
    setShareCount(ctx, pfn, shares);
    if (shares === 0) yield* hostMapShared(ctx, pfn, PKVM_PAGE_OWNED);
    changedOwner(ctx, pfn, gfn);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/** __pkvm_host_wrprotect_guest(): TLBs are clean when it returns. 0, -ENOENT or -EPERM (a protected guest's). */
export function* hostWrprotectGuest(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostSharedGuest(ctx, vm, gfn);
  if (result === 0) {
    yield* setWritable(ctx, vm, gfn, false);
    yield* ctx.kernel.tlbFlushGuest(ctx, vm, gfn, gfn + 1);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/** __pkvm_host_relax_perms_guest() to writable, for the loaded vCPU's VM. 0, -EAGAIN (gone) or -EPERM. */
export function* hostRelaxPermsGuest(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  let result = checkHostSharedGuest(ctx, vm, gfn);
  if (result === 0) yield* setWritable(ctx, vm, gfn, true);
  if (result === -ENOENT) result = -EAGAIN;
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

/** Makes the leaf at `gfn` writable or read-only; what the TLBs hold is up to the caller. Both locks held. */
export function* setWritable(ctx: Context, vm: number, gfn: number, writable: boolean): Coroutine<void> {
  const at = s2PteWord(ctx.m, entryPfn(get(ctx.words, s2RootWord(ctx.m, vm, gfn))), gfn);
  if (--ctx.quantum < 0) yield writes(at);
  const leaf = get(ctx.words, at);
  writeOnce(ctx.words, at, writable ? leaf | S2_WRITE : leaf & ~S2_WRITE);
  ctx.probe.onStage2Perm(ctx, vm, gfn, entryPfn(leaf), 1, writable);
}

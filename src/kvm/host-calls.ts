/**
 * Hypercalls about one page that a host may make at any time, outside KVM's own order of things: EL2 must judge each by
 * what it knows. Tests of EL2, other parties that pages are shared with (FF-A's place is taken by EL2 itself), and a host
 * that misbehaves.
 */
import { glance } from '../machine/words/extra-accesses.js';
import { EAGAIN, EFAULT, EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, updates } from '../machine/effects.js';
import { entryPfn, isHuge, isPresent, isTable } from '../machine/entries.js';
import { VCPU_HOST_MC_HEAD, VM_HANDLE, pmdWord, pteWord, vcpuWord, vmWord } from '../machine/layout.js';
import {
  HYP_DONATE_GUEST,
  HYP_DONATE_HYP,
  HYP_RECLAIM_PAGE,
  HYP_SHARE_HYP,
  HYP_UNSHARE_HYP,
} from '../hyp/hypercalls.js';
import { cmpxchg, readOnce } from '#words';
import { kvmCallHyp } from './call-hyp.js';
import { mmuLock, mmuUnlock } from './mmu.js';

/** The frame that `mm` maps at `vpn` now, or -1: two lockless loads. What it is worth is the caller's business. */
function* lookUpFrame(ctx: Context, mm: number, vpn: number): Coroutine {
  const pmdAt = pmdWord(ctx.m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let entry = readOnce(ctx.words, pmdAt);
  let within = 0;
  if (isTable(entry)) {
    const pteAt = pteWord(ctx.m, entryPfn(entry), vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    entry = readOnce(ctx.words, pteAt);
  } else if (isHuge(entry)) {
    within = vpn & (ctx.m.thpPages - 1);
  }
  return isPresent(entry) ? entryPfn(entry) + within : -1;
}

/** A hypercall of a kernel without EL2 has nobody to answer it. */
function* hostCall(ctx: Context, fn: number, a: number, b: number, c: number): Coroutine {
  if (!ctx.kernel.rules.protectedKvm) return -EPERM;
  return yield* kvmCallHyp(ctx, fn, a, b, c, 0);
}

const handleOf = (ctx: Context, vm: number): number => glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE));

/** __pkvm_host_donate_guest() of the page at (mm, vpn): 0, -EFAULT (no page there), -EPERM, -ENOMEM. */
export function* hostDonate(ctx: Context, vm: number, gfn: number, mm: number, vpn: number): Coroutine {
  const pfn = yield* lookUpFrame(ctx, mm, vpn);
  return pfn < 0 ? -EFAULT : yield* hostCall(ctx, HYP_DONATE_GUEST, handleOf(ctx, vm), pfn, gfn);
}

/** __pkvm_reclaim_dying_guest_page() of the page at (mm, vpn), said to be `gfn`: 0, -EFAULT, -EINVAL, -EPERM. */
export function* hostReclaim(ctx: Context, vm: number, gfn: number, mm: number, vpn: number): Coroutine {
  const pfn = yield* lookUpFrame(ctx, mm, vpn);
  return pfn < 0 ? -EFAULT : yield* hostCall(ctx, HYP_RECLAIM_PAGE, handleOf(ctx, vm), pfn, gfn);
}

/** __pkvm_host_share_hyp() of the page at (mm, vpn): 0, -EFAULT or -EPERM. */
export function* hostShareWithHyp(ctx: Context, mm: number, vpn: number): Coroutine {
  const pfn = yield* lookUpFrame(ctx, mm, vpn);
  return pfn < 0 ? -EFAULT : yield* hostCall(ctx, HYP_SHARE_HYP, pfn, 0, 0);
}

/** __pkvm_host_unshare_hyp(): 0, -EFAULT or -EPERM. */
export function* hostUnshareFromHyp(ctx: Context, mm: number, vpn: number): Coroutine {
  const pfn = yield* lookUpFrame(ctx, mm, vpn);
  return pfn < 0 ? -EFAULT : yield* hostCall(ctx, HYP_UNSHARE_HYP, pfn, 0, 0);
}

/** __pkvm_host_donate_hyp() of `pages` frames from `pfn` on, whatever they are: 0, -EINVAL or -EPERM. */
export const hostDonateFramesToHyp = (ctx: Context, pfn: number, pages: number): Coroutine =>
  hostCall(ctx, HYP_DONATE_HYP, pfn, pages, 0);

/**
 * A host that misbehaves: the head of its memcache of the VM's first vCPU names another frame for a moment. It is put right under
 * mmu_lock, when no fault of a guest that follows notifiers has EL2 at work on the list.
 * @returns 0; -EAGAIN (the list is empty, or somebody else has just changed it)
 */
export function* hostForgeMemcache(ctx: Context, vm: number, pfn: number): Coroutine {
  const head = vcpuWord(ctx.m, vm, 0, VCPU_HOST_MC_HEAD);
  if (--ctx.quantum < 0) yield reads(head);
  const before = readOnce(ctx.words, head);
  if (before === 0) return -EAGAIN;
  if (--ctx.quantum < 0) yield updates(head);
  if (cmpxchg(ctx.words, head, before, pfn) !== before) return -EAGAIN;
  yield* mmuLock(ctx, vm);
  if (--ctx.quantum < 0) yield updates(head);
  cmpxchg(ctx.words, head, pfn, before);
  yield* mmuUnlock(ctx, vm);
  return 0;
}

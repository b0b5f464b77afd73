/**
 * A vCPU's hypercalls to EL2 (A14; kernel-model 3.29): the guest shares a page of its own with the host, takes it back, gives
 * it up. They go past the host; where the page is not mapped yet, the vCPU leaves to the host as for a data abort and asks
 * again when it is there.
 */
import { EFAULT, EHWPOISON, EINTR, EINVAL } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { RETRY } from '../machine/effects.js';
import { VCPU_ENTERED, VM_MM, VM_PROTECTED, pinnedPageWord, vcpuWord, vmWord } from '../machine/layout.js';
import { HYP_GUEST_RELINQUISH, HYP_GUEST_SHARE, HYP_GUEST_UNSHARE } from '../hyp/hypercalls.js';
import { accountLockedVm } from '../mm/util.js';
import { get, set } from '#words';
import { kvmCallHyp } from './call-hyp.js';
import { mmuLock, mmuUnlock } from './mmu.js';
import { kvmHandleGuestAbort } from './vcpu.js';

/** MEM_SHARE of `gfn`: 0, -EPERM (not the guest's own), -EHWPOISON (SIGBUS: the page is poisoned), or what the fault exits to user space with. */
export const vcpuShare = (ctx: Context, vm: number, vcpu: number, gfn: number): Coroutine =>
  guestCall(ctx, vm, vcpu, HYP_GUEST_SHARE, gfn);

/** MEM_UNSHARE: 0, -EPERM (not shared), or as {@link vcpuShare}. */
export const vcpuUnshare = (ctx: Context, vm: number, vcpu: number, gfn: number): Coroutine =>
  guestCall(ctx, vm, vcpu, HYP_GUEST_UNSHARE, gfn);

/**
 * MEM_RELINQUISH, and the host's part of it (pkvm_host_reclaim_page): its record of the page goes, then the charge, then
 * the pin. 0, -EPERM, or -EFAULT (nothing is mapped there: nothing to give).
 */
export function* vcpuRelinquish(ctx: Context, vm: number, vcpu: number, gfn: number): Coroutine {
  const result = yield* callOnce(ctx, vm, vcpu, HYP_GUEST_RELINQUISH, gfn);
  if (result !== 0) return result;
  const at = pinnedPageWord(ctx.m, vm, gfn);
  yield* mmuLock(ctx, vm);
  const pfn = get(ctx.words, at) - 1;
  set(ctx.words, at, 0);
  if (pfn >= 0) ctx.probe.onStage2Unpinned(ctx, vm, gfn, pfn);
  yield* mmuUnlock(ctx, vm);
  if (pfn < 0) return 0;
  yield* accountLockedVm(ctx, get(ctx.words, vmWord(ctx.m, vm, VM_MM)), 1, false);
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
  return 0;
}

function* guestCall(ctx: Context, vm: number, vcpu: number, fn: number, gfn: number): Coroutine {
  for (let tries = 1; ; tries++) {
    const result = yield* callOnce(ctx, vm, vcpu, fn, gfn);
    if (result !== -EFAULT) return result;
    if (ctx.task.fatalSignal) return -EINTR;
    const mapped = yield* kvmHandleGuestAbort(ctx, vm, vcpu, gfn, true, false);
    if (mapped !== 0) return mapped;
    if (ctx.task.sigbus) {
      ctx.task.sigbus = false;
      return -EHWPOISON;
    }
    ctx.retries = tries;
    if (--ctx.quantum < 0 || ctx.queues) yield RETRY;
  }
}

/**
 * One HVC of the guest, whose vCPU is loaded on this CPU. -EINVAL: nobody knows such a call. There is no EL2 that would take it; or, as
 * protected KVM went upstream, EL2 takes those of protected guests only (kvm_handle_pvm_hvc64), and another guest's goes on to the host,
 * which does not support it: what EL2 maps for that guest is the host's to take back.
 */
function* callOnce(ctx: Context, vm: number, vcpu: number, fn: number, gfn: number): Coroutine {
  const { protectedKvm, pkvmNotifiers } = ctx.kernel.rules;
  if (!protectedKvm || (pkvmNotifiers && get(ctx.words, vmWord(ctx.m, vm, VM_PROTECTED)) === 0)) return -EINVAL;
  if (get(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_ENTERED)) !== ctx.actor + 1) {
    const loaded = yield* ctx.kernel.vcpuLoad(ctx, vm, vcpu);
    if (loaded !== 0) return loaded;
  }
  return yield* kvmCallHyp(ctx, fn, gfn, 0, 0, 0);
}

/**
 * A vCPU's run loop, the part that matters here (arch/arm64/kvm/arm.c, mmu.c kvm_handle_guest_abort, v6.18): a guest
 * access is tried by the hardware, and every stage-2 abort is handled until it is done.
 *
 * An access that hits the TLB needs none of this: `accessHit` of machine/access.ts, a plain function.
 */
import { glance } from '../machine/words/extra-accesses.js';
import { EHWPOISON, EINTR } from '../machine/abi.js';
import { ACCESS_DONE, ACCESS_PERMISSION, guestAccess } from '../machine/access.js';
import type { Context, Coroutine } from '../machine/context.js';
import { RETRY, adds, reads } from '../machine/effects.js';
import { VCPU_ENTERED, VM_HANDLE, VM_SRCU, vcpuWord, vmWord } from '../machine/layout.js';
import { LATENCY, STAT, countStat } from '../machine/stats.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { srcuEnter, srcuLeave, srcuSide } from '../locks/srcu.js';
import { HYP_VCPU_LOAD, HYP_VCPU_PUT } from '../hyp/hypercalls.js';
import { get, set } from '#words';
import { kvmCallHyp } from './call-hyp.js';

/**
 * One load (`write` false) or store of `value` by the guest at `gfn`; `ctx.accessValue` holds what was read or
 * replaced.
 * @returns 0; -EHWPOISON (SIGBUS: the page is poisoned); -EINTR (a fatal signal); or what the fault handler exits to
 *   user space with: -EFAULT, -ENOMEM, -EIO
 */
export function* vcpuAccess(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  value: number,
): Coroutine {
  const entered = vcpuWord(ctx.m, vm, vcpu, VCPU_ENTERED);
  for (let tries = 0; ; tries++) {
    const access = yield* guestAccess(ctx, vm, gfn, write, value);
    if (access === ACCESS_DONE) return 0;
    if (ctx.task.fatalSignal) return -EINTR;
    if (get(ctx.words, entered) !== ctx.actor + 1) {
      const loaded = yield* ctx.kernel.vcpuLoad(ctx, vm, vcpu);
      if (loaded !== 0) return loaded;
    }
    if (tries > 0) {
      if (tries === 1) ctx.task.loops++;
      countStat(ctx.m, ctx.actor, STAT.stage2_retries, 1);
      ctx.probe.onRetry(ctx, vm, gfn);
      // the guest faults again at once: strategies see by this point that it is a retry; real threads look here at each turn whether
      // others need the CPU (cond_resched() in kvm_arch_vcpu_ioctl_run)
      ctx.retries = tries;
      if (--ctx.quantum < 0 || ctx.queues) yield RETRY;
    }
    const result = yield* kvmHandleGuestAbort(ctx, vm, vcpu, gfn, write, access === ACCESS_PERMISSION);
    if (result !== 0) return result;
    if (ctx.task.sigbus) {
      ctx.task.sigbus = false;
      return -EHWPOISON;
    }
  }
}

/**
 * kvm_handle_guest_abort(): the VM's fault handler, under kvm->srcu.
 * @param permission the syndrome says that there is an entry, which does not allow the access (fault_is_perm)
 */
export function* kvmHandleGuestAbort(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  permission: boolean,
): Coroutine {
  countStat(ctx.m, ctx.actor, STAT.stage2_faults, 1);
  ctx.probe.onOperation(ctx, LATENCY.stage2_fault + 1, true);
  const srcu = vmWord(ctx.m, vm, VM_SRCU);
  if (--ctx.quantum < 0) yield reads(srcu);
  const side = srcuSide(ctx, srcu);
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuEnter(ctx, srcu, side);
  ctx.probe.onStage2Fault(ctx, vm, gfn, true);
  const result = yield* ctx.kernel.stage2Fault(ctx, vm, vcpu, gfn, write, permission);
  ctx.probe.onStage2Fault(ctx, vm, gfn, false);
  emit(ctx, EVENT.stage2_fault, vm, gfn, write ? 1 : 0, result);
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuLeave(ctx, srcu, side);
  ctx.probe.onOperation(ctx, LATENCY.stage2_fault + 1, false);
  return result;
}

/**
 * vcpu_load(): this CPU runs that vCPU from now on; under protected KVM it is loaded at EL2 too.
 * @returns 0, or EL2's -ENOENT, -EINVAL (the VM is dying), -EBUSY (loaded elsewhere)
 */
export function* vcpuLoad(ctx: Context, vm: number, vcpu: number): Coroutine {
  if (ctx.kernel.rules.protectedKvm) {
    const handle = glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE));
    const loaded = yield* kvmCallHyp(ctx, HYP_VCPU_LOAD, handle, vcpu, 0, 0);
    if (loaded !== 0) return loaded;
  }
  ctx.cpu.loadedVm = vm;
  ctx.cpu.loadedVcpu = vcpu;
  set(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_ENTERED), ctx.actor + 1);
  return 0;
}

/** vcpu_put(): before the actor ends. A vCPU that is still loaded keeps its VM from being torn down (-EBUSY at EL2). */
export function* vcpuPut(ctx: Context, vm: number, vcpu: number): Coroutine {
  const entered = vcpuWord(ctx.m, vm, vcpu, VCPU_ENTERED);
  let result = 0;
  if (get(ctx.words, entered) === ctx.actor + 1) {
    set(ctx.words, entered, 0);
    if (ctx.kernel.rules.protectedKvm) {
      result = yield* kvmCallHyp(ctx, HYP_VCPU_PUT, glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE)), vcpu, 0, 0);
    }
  }
  ctx.cpu.loadedVm = -1;
  ctx.cpu.loadedVcpu = -1;
  return result;
}

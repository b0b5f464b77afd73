/**
 * EL2's front door (arch/arm64/kvm/hyp/nvhe/hyp-main.c): hypercalls by number, and the host's own stage-2 aborts,
 * which enter EL2 the same way. Arguments come from the host and are believed only after they have been checked.
 */
import { EINVAL, ENOENT } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { VM_PROTECTED, vmWord } from '../machine/layout.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { get } from '#words';
import { hostUnshareHyp } from './mem-protect.js';
import { hostRelaxPermsGuest } from './share-guest.js';
import { finalizeTeardown, startTeardown } from './teardown.js';
import { initVm, isLoaded, loadVcpu, putVcpu, vmOfHandle } from './vm.js';

/** Hypercalls, in the order of {@link HYPERCALLS}. */
export const HYP_INIT_VM = 1;
export const HYP_VCPU_LOAD = 2;
export const HYP_VCPU_PUT = 3;
export const HYP_MAP_GUEST = 4;
export const HYP_START_TEARDOWN = 5;
export const HYP_RECLAIM_PAGE = 6;
export const HYP_FINALIZE_TEARDOWN = 7;
export const HYP_HOST_MEM_ABORT = 8;
export const HYP_DONATE_GUEST = 9;
export const HYP_SHARE_HYP = 10;
export const HYP_UNSHARE_HYP = 11;
export const HYP_DONATE_HYP = 12;
/** Of the guest that runs on the calling CPU. */
export const HYP_GUEST_SHARE = 13;
export const HYP_GUEST_UNSHARE = 14;
export const HYP_GUEST_RELINQUISH = 15;
export const HYP_SHARE_GUEST = 16;
export const HYP_UNSHARE_GUEST = 17;
export const HYP_WRPROTECT_GUEST = 18;
export const HYP_RELAX_PERMS_GUEST = 19;
export const HYP_TLB_FLUSH_VMID = 20;
export const HYPERCALLS = [
  'none',
  '__pkvm_init_vm',
  '__pkvm_vcpu_load',
  '__pkvm_vcpu_put',
  '__pkvm_host_map_guest',
  '__pkvm_start_teardown_vm',
  '__pkvm_reclaim_dying_guest_page',
  '__pkvm_finalize_teardown_vm',
  'handle_host_mem_abort',
  '__pkvm_host_donate_guest',
  '__pkvm_host_share_hyp',
  '__pkvm_host_unshare_hyp',
  '__pkvm_host_donate_hyp',
  'guest MEM_SHARE',
  'guest MEM_UNSHARE',
  'guest MEM_RELINQUISH',
  '__pkvm_host_share_guest',
  '__pkvm_host_unshare_guest',
  '__pkvm_host_wrprotect_guest',
  '__pkvm_host_relax_perms_guest',
  '__pkvm_tlb_flush_vmid',
] as const;

/**
 * Runs one hypercall to its end: never preempted, never sleeping.
 * @param cpu the CPU that called; `loaded` is vm << 8 | vcpu of the vCPU that it has loaded, or -1
 * @param fn HYP_*; what a to d mean stands with each case
 */
export function* handleHostHcall(
  ctx: Context,
  cpu: number,
  loaded: number,
  fn: number,
  a: number,
  b: number,
  c: number,
  d: number,
): Coroutine {
  const result = yield* dispatch(ctx, cpu, loaded, fn, a, b, c, d);
  emit(ctx, EVENT.hypercall, fn, a, b, result);
  return result;
}

function* dispatch(
  ctx: Context,
  cpu: number,
  loaded: number,
  fn: number,
  a: number,
  b: number,
  c: number,
  _d: number,
): Coroutine {
  if (fn === HYP_MAP_GUEST) return yield* hostMapGuest(ctx, cpu, loaded, a, b, true);
  if (fn === HYP_SHARE_GUEST) return yield* hostMapGuest(ctx, cpu, loaded, a, b, c !== 0);
  switch (fn) {
    case HYP_HOST_MEM_ABORT:
      return yield* ctx.kernel.handleHostMemAbort(ctx, a);
    case HYP_SHARE_HYP:
      return yield* ctx.kernel.hostShareHyp(ctx, a);
    case HYP_UNSHARE_HYP:
      return yield* hostUnshareHyp(ctx, a);
    case HYP_DONATE_HYP:
      return yield* ctx.kernel.hostDonateHyp(ctx, a, b);
    case HYP_RELAX_PERMS_GUEST:
      return loaded < 0 ? -EINVAL : yield* hostRelaxPermsGuest(ctx, loaded >> 8, a);
    case HYP_GUEST_SHARE:
      return loaded < 0 ? -EINVAL : yield* ctx.kernel.guestShareHost(ctx, loaded >> 8, a);
    case HYP_GUEST_UNSHARE:
      return loaded < 0 ? -EINVAL : yield* ctx.kernel.guestUnshareHost(ctx, loaded >> 8, a);
    case HYP_GUEST_RELINQUISH:
      return loaded < 0 ? -EINVAL : yield* ctx.kernel.guestRelinquish(ctx, loaded >> 8, a);
  }
  // all others name a VM by its handle
  const vm = vmOfHandle(ctx, a);
  if (vm < 0) return -ENOENT;
  switch (fn) {
    case HYP_INIT_VM:
      return yield* initVm(ctx, vm, b);
    case HYP_VCPU_LOAD:
      return yield* loadVcpu(ctx, vm, b, cpu);
    case HYP_VCPU_PUT:
      return yield* putVcpu(ctx, vm, b, cpu);
    case HYP_START_TEARDOWN:
      return yield* startTeardown(ctx, vm);
    case HYP_RECLAIM_PAGE:
      return yield* ctx.kernel.hostReclaimPage(ctx, vm, b, c);
    case HYP_DONATE_GUEST:
      // A13's: for the VM's first vCPU, loaded or not
      return yield* ctx.kernel.hostDonateGuest(ctx, vm, 0, b, c);
    case HYP_UNSHARE_GUEST:
      return yield* ctx.kernel.hostUnshareGuest(ctx, vm, b);
    case HYP_WRPROTECT_GUEST:
      return yield* ctx.kernel.hostWrprotectGuest(ctx, vm, b);
    case HYP_TLB_FLUSH_VMID:
      yield* ctx.kernel.tlbFlushGuest(ctx, vm, 0, ctx.m.vmPages);
      return 0;
    case HYP_FINALIZE_TEARDOWN:
      return yield* finalizeTeardown(ctx, vm);
    default:
      return -EINVAL;
  }
}

/**
 * handle___pkvm_host_map_guest(pfn, gfn): for the vCPU loaded on the calling CPU; donates or shares by the VM's kind.
 */
function* hostMapGuest(
  ctx: Context,
  cpu: number,
  loaded: number,
  pfn: number,
  gfn: number,
  writable: boolean,
): Coroutine {
  const vm = loaded >> 8;
  const vcpu = loaded & 255;
  if (loaded < 0 || !isLoaded(ctx, vm, vcpu, cpu)) return -EINVAL;
  const refilled = yield* ctx.kernel.pkvmRefillMemcache(ctx, vm, vcpu);
  if (refilled !== 0) return refilled;
  const isProtected = get(ctx.words, vmWord(ctx.m, vm, VM_PROTECTED)) !== 0;
  return yield* isProtected
    ? ctx.kernel.hostDonateGuest(ctx, vm, vcpu, pfn, gfn)
    : ctx.kernel.hostShareGuest(ctx, vm, vcpu, pfn, gfn, writable);
}

/**
 * VMs as EL2 knows them (arch/arm64/kvm/hyp/nvhe/pkvm.c, A14): handles, and the vCPU that is loaded on each CPU.
 */
import { EBUSY, EEXIST, EINVAL, ENOENT } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import {
  VCPUS_MAX,
  VCPU_LOADED,
  VM_HYP_LOADED,
  VM_HYP_META,
  VM_HYP_STATE,
  VM_HYP_USERS,
  vcpuWord,
  vmWord,
} from '../machine/layout.js';
import { get, set } from '#words';
import { lockVmTable, unlockVmTable } from './locks.js';
import { hypDonateHost } from './mem-protect.js';
import { MC_PLACE_HOST, MC_PLACE_META, moved } from './memcache.js';

/** VM_HYP_STATE. Under vm_table_lock. */
export const HYP_VM_NONE = 0;
export const HYP_VM_LIVE = 1;
export const HYP_VM_DYING = 2;

/** Handles begin here, so that 0 is none (HANDLE_OFFSET). */
export const HANDLE_OFFSET = 0x1000;

/** vm_handle_to_idx(): the VM of a handle, or -1. */
export function vmOfHandle(ctx: Context, handle: number): number {
  const vm = handle - HANDLE_OFFSET;
  return vm >= 0 && vm < ctx.m.vms ? vm : -1;
}

/**
 * __pkvm_init_vm(): EL2 takes a page of the host's for its records and knows the VM from then on.
 * @returns 0, -EPERM (the page is not the host's), -EEXIST
 */
export function* initVm(ctx: Context, vm: number, metaPfn: number): Coroutine {
  const donated = yield* ctx.kernel.hostDonateHyp(ctx, metaPfn, 1);
  if (donated !== 0) return donated;
  yield* lockVmTable(ctx);
  const fresh = get(ctx.words, vmWord(ctx.m, vm, VM_HYP_STATE)) === HYP_VM_NONE;
  if (fresh) {
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_STATE), HYP_VM_LIVE);
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_META), metaPfn);
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_USERS), 0);
    moved(ctx, metaPfn, MC_PLACE_HOST, MC_PLACE_META);
  }
  yield* unlockVmTable(ctx);
  if (fresh) return 0;
  yield* hypDonateHost(ctx, metaPfn, 1);
  return -EEXIST;
}

/** __pkvm_vcpu_load() on CPU `cpu`. 0, -ENOENT, -EINVAL (dying) or -EBUSY (loaded on some CPU). */
export function* loadVcpu(ctx: Context, vm: number, vcpu: number, cpu: number): Coroutine {
  if (vcpu < 0 || vcpu >= VCPUS_MAX) return -EINVAL;
  const loaded = vcpuWord(ctx.m, vm, vcpu, VCPU_LOADED);
  const state = vmWord(ctx.m, vm, VM_HYP_STATE);
  yield* lockVmTable(ctx);
  let result = 0;
  if (get(ctx.words, state) === HYP_VM_NONE) result = -ENOENT;
  else if (get(ctx.words, state) === HYP_VM_DYING) result = -EINVAL;
  else if (get(ctx.words, loaded) !== 0) result = -EBUSY;
  if (result === 0) {
    set(ctx.words, loaded, cpu + 1);
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_LOADED), get(ctx.words, vmWord(ctx.m, vm, VM_HYP_LOADED)) + 1);
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_USERS), get(ctx.words, vmWord(ctx.m, vm, VM_HYP_USERS)) + 1);
  }
  yield* unlockVmTable(ctx);
  return result;
}

/** __pkvm_vcpu_put() on CPU `cpu`. 0 or -EINVAL. */
export function* putVcpu(ctx: Context, vm: number, vcpu: number, cpu: number): Coroutine {
  if (vcpu < 0 || vcpu >= VCPUS_MAX) return -EINVAL;
  const loaded = vcpuWord(ctx.m, vm, vcpu, VCPU_LOADED);
  yield* lockVmTable(ctx);
  const ours = get(ctx.words, loaded) === cpu + 1;
  if (ours) {
    set(ctx.words, loaded, 0);
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_LOADED), get(ctx.words, vmWord(ctx.m, vm, VM_HYP_LOADED)) - 1);
    set(ctx.words, vmWord(ctx.m, vm, VM_HYP_USERS), get(ctx.words, vmWord(ctx.m, vm, VM_HYP_USERS)) - 1);
  }
  yield* unlockVmTable(ctx);
  return ours ? 0 : -EINVAL;
}

/** Whether `vcpu` is the one that CPU `cpu` has loaded. Only that CPU's own calls change it, one at a time. */
export const isLoaded = (ctx: Context, vm: number, vcpu: number, cpu: number): boolean =>
  vm >= 0 &&
  vm < ctx.m.vms &&
  vcpu >= 0 &&
  vcpu < VCPUS_MAX &&
  get(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_LOADED)) === cpu + 1;

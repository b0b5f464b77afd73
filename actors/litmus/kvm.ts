/** Litmus operations on guests: what a vCPU and the VMM do. */
import { KVM_MEM_LOG_DIRTY_PAGES } from '../../src/machine/abi.js';
import type { Context, Coroutine } from '../../src/machine/context.js';
import { VM_MM, VM_PROTECTED, vmWord } from '../../src/machine/layout.js';
import { vcpuRelinquish, vcpuShare, vcpuUnshare } from '../../src/kvm/guest-calls.js';
import {
  hostDonate,
  hostDonateFramesToHyp,
  hostForgeMemcache,
  hostReclaim,
  hostShareWithHyp,
  hostUnshareFromHyp,
} from '../../src/kvm/host-calls.js';
import { accessRemoteVm } from '../../src/kvm/kernel-access.js';
import { vcpuAccess } from '../../src/kvm/vcpu.js';
import { kvmCreateVm, kvmSetMemslot } from '../../src/kvm/vm.js';
import { glance } from '../../src/machine/words/extra-accesses.js';
import type { LitmusOperation } from './row.js';
import type { LitmusTask } from '../../src/plan/litmus.js';

type Args = readonly number[];
const at = (args: Args, i: number): number => args[i] as number;

function* guestRead(ctx: Context, task: LitmusTask, args: Args): Coroutine {
  const result = yield* vcpuAccess(ctx, task.vm, task.vcpu, at(args, 0), false, 0);
  return result === 0 ? ctx.accessValue : result;
}

function* guestWrite(ctx: Context, task: LitmusTask, args: Args): Coroutine {
  return yield* vcpuAccess(ctx, task.vm, task.vcpu, at(args, 0), true, at(args, 1));
}

/** The VM's process and kind are what its block says; set-up has written them down. */
function* createVm(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const vm = at(args, 0);
  const mm = glance(ctx.words, vmWord(ctx.m, vm, VM_MM));
  return yield* kvmCreateVm(ctx, vm, mm, glance(ctx.words, vmWord(ctx.m, vm, VM_PROTECTED)) !== 0);
}

function* destroyVm(ctx: Context, task: LitmusTask, args: Args): Coroutine {
  // whoever drops the last reference need not be the VMM
  ctx.task.currentMm = task.mm;
  yield* ctx.kernel.kvmDestroyVm(ctx, at(args, 0));
  return 0;
}

function* setMemslot(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* kvmSetMemslot(ctx, at(args, 0), at(args, 1), at(args, 2), at(args, 3), at(args, 4), at(args, 5));
}

/** A flag of a slot that stays where it is: dirty logging begins. */
function* logMemslot(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const [vm, id, gfn, pages, vpn, flags] = args as [number, number, number, number, number, number];
  return yield* kvmSetMemslot(ctx, vm, id, gfn, pages, vpn, flags | KVM_MEM_LOG_DIRTY_PAGES);
}

function* deleteMemslot(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return yield* kvmSetMemslot(ctx, at(args, 0), at(args, 1), 0, 0, 0, 0);
}

const guestShare = (ctx: Context, task: LitmusTask, args: Args): Coroutine =>
  vcpuShare(ctx, task.vm, task.vcpu, at(args, 0));
const guestUnshare = (ctx: Context, task: LitmusTask, args: Args): Coroutine =>
  vcpuUnshare(ctx, task.vm, task.vcpu, at(args, 0));
const guestRelinquish = (ctx: Context, task: LitmusTask, args: Args): Coroutine =>
  vcpuRelinquish(ctx, task.vm, task.vcpu, at(args, 0));
const donate = (ctx: Context, _task: LitmusTask, args: Args): Coroutine =>
  hostDonate(ctx, at(args, 0), at(args, 1), at(args, 2), at(args, 3));
const reclaimPage = (ctx: Context, _task: LitmusTask, args: Args): Coroutine =>
  hostReclaim(ctx, at(args, 0), at(args, 1), at(args, 2), at(args, 3));
const shareHyp = (ctx: Context, _task: LitmusTask, args: Args): Coroutine =>
  hostShareWithHyp(ctx, at(args, 0), at(args, 1));
const unshareHyp = (ctx: Context, _task: LitmusTask, args: Args): Coroutine =>
  hostUnshareFromHyp(ctx, at(args, 0), at(args, 1));
const donateHyp = (ctx: Context, _task: LitmusTask, args: Args): Coroutine =>
  hostDonateFramesToHyp(ctx, at(args, 0), args[1] ?? 1);
const forgeMemcache = (ctx: Context, _task: LitmusTask, args: Args): Coroutine =>
  hostForgeMemcache(ctx, at(args, 0), at(args, 1));

/** /proc/PID/mem, a debugger, a core dump: the kernel looks at the page, not the process. */
function* memRead(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const result = yield* accessRemoteVm(ctx, at(args, 0), at(args, 1));
  return result === 0 ? ctx.accessValue : result;
}

export const LITMUS_KVM: readonly LitmusOperation[] = [
  { name: 'guest_read', params: ['gfn'], by: 'vcpu', result: 'value', summary: 'a load of the guest', run: guestRead },
  {
    name: 'guest_write',
    params: ['gfn', 'value'],
    by: 'vcpu',
    result: 'errno',
    summary: 'a store of the guest',
    run: guestWrite,
  },
  { name: 'create_vm', params: ['vm'], by: 'task', result: 'errno', summary: 'KVM_CREATE_VM', run: createVm },
  {
    name: 'destroy_vm',
    params: ['vm'],
    by: 'task',
    result: 'errno',
    summary: 'the last reference to the VM goes',
    run: destroyVm,
  },
  {
    name: 'set_memslot',
    params: ['slot'],
    by: 'task',
    result: 'errno',
    summary: 'KVM_SET_USER_MEMORY_REGION of a declared slot',
    run: setMemslot,
  },
  {
    name: 'log_memslot',
    params: ['slot'],
    by: 'task',
    result: 'errno',
    summary: 'the same with KVM_MEM_LOG_DIRTY_PAGES: dirty logging begins',
    run: logMemslot,
  },
  {
    name: 'delete_memslot',
    params: ['slot'],
    by: 'task',
    result: 'errno',
    summary: 'the same with size 0',
    run: deleteMemslot,
  },
  {
    name: 'guest_share',
    params: ['gfn'],
    by: 'vcpu',
    result: 'errno',
    summary: 'MEM_SHARE: the host may use a page of the guest',
    run: guestShare,
  },
  {
    name: 'guest_unshare',
    params: ['gfn'],
    by: 'vcpu',
    result: 'errno',
    summary: 'MEM_UNSHARE: it may no more',
    run: guestUnshare,
  },
  {
    name: 'guest_relinquish',
    params: ['gfn'],
    by: 'vcpu',
    result: 'errno',
    summary: 'MEM_RELINQUISH: the guest gives a page up',
    run: guestRelinquish,
  },
  {
    name: 'donate',
    params: ['vm', 'gfn', 'page'],
    by: 'any',
    result: 'errno',
    summary: '__pkvm_host_donate_guest by hand',
    run: donate,
  },
  {
    name: 'reclaim_page',
    params: ['vm', 'gfn', 'page'],
    by: 'any',
    result: 'errno',
    summary: '__pkvm_reclaim_dying_guest_page by hand',
    run: reclaimPage,
  },
  {
    name: 'share_hyp',
    params: ['page'],
    by: 'any',
    result: 'errno',
    summary: '__pkvm_host_share_hyp: EL2 may use a page of the host',
    run: shareHyp,
  },
  {
    name: 'unshare_hyp',
    params: ['page'],
    by: 'any',
    result: 'errno',
    summary: '__pkvm_host_unshare_hyp: it may no more',
    run: unshareHyp,
  },
  {
    name: 'donate_hyp',
    params: ['value', 'value'],
    optional: 1,
    by: 'any',
    result: 'errno',
    summary: '__pkvm_host_donate_hyp of a frame, by its number, or of so many from there on',
    run: donateHyp,
  },
  {
    name: 'forge_memcache',
    params: ['vm', 'value'],
    by: 'any',
    result: 'errno',
    summary: "the head of the host's memcache of vCPU 0 names this frame, and then again what it did",
    run: forgeMemcache,
  },
  {
    name: 'mem_read',
    params: ['page'],
    by: 'any',
    getsMm: true,
    result: 'value',
    summary: 'the kernel reads the page (/proc/PID/mem, ptrace, a core dump); -EFAULT: it may not',
    run: memRead,
  },
];

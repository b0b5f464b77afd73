/**
 * Z34: a notifier comes before EL2 knows the VM.
 *
 *     VMM: KVM_CREATE_VM: a table to invalidate, subscribed; no handle yet     vCPU: not run yet
 *     VMM: madvise(DONTNEED): start: flush of the VM with handle 0             -
 *     EL2: no such VM                                                          first run: EL2 makes the VM, here is its handle
 *
 * The handle was what EL2 gave when it made its own VM, at the first run of a vCPU; what notifiers test, the table, was there
 * from the beginning. Our unmap flushes page by page, for what the host has on record, so that there would be no call to make
 * without a handle: the bug's unmap also has the whole VM flushed, as v6.17's does.
 */
import { glance } from '../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../machine/context.js';
import { VM_HANDLE, vmWord } from '../machine/layout.js';
import { HYP_TLB_FLUSH_VMID } from '../hyp/hypercalls.js';
import { kvmCallHyp } from '../kvm/call-hyp.js';
import { pkvmStage2Unmap } from '../kvm/pkvm-pgtable.js';
import { pkvmCreateHypVm } from '../kvm/pkvm-vm.js';
import { vcpuLoad } from '../kvm/vcpu.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

// eslint-disable-next-line require-yield
function* notYet(): Coroutine {
  return 0;
}

/** pkvm_create_hyp_vm() at the first run. */
function* createThenLoad(ctx: Context, vm: number, vcpu: number): Coroutine {
  if (glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE)) === 0) {
    const made = yield* pkvmCreateHypVm(ctx, vm);
    if (made !== 0) return made;
  }
  return yield* vcpuLoad(ctx, vm, vcpu);
}

function* unmapAndFlush(ctx: Context, vm: number, start: number, end: number): Coroutine {
  const removed = yield* pkvmStage2Unmap(ctx, vm, start, end);
  const handle = glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE));
  if ((yield* kvmCallHyp(ctx, HYP_TLB_FLUSH_VMID, handle, 0, 0, 0)) !== 0)
    ctx.probe.onWarn(ctx, 'I-OWN', 'flush of a VM that EL2 does not know', -1);
  return removed;
}

export const z34: Bug = {
  id: 'Z34',
  title: 'a notifier calls EL2 for a VM that has no handle yet',
  commit: '07aeb70707b1, ebe37eefb309 ("KVM: arm64: Reserve pKVM handle during pkvm_init_host_vm()")',
  fixedIn: 'v6.18',
  story:
    'A guest that follows notifiers can be told of an invalidation from the moment it is created. EL2 made its VM, and gave the handle, only ' +
    'at the first run of a vCPU: a notifier in between called EL2 with an invalid handle. v6.18 reserves the handle at creation.',
  policy: 'pkvm-np-upstream',
  replace: { pkvmCreateHypVm: notYet, vcpuLoad: createThenLoad, stage2Unmap: unmapAndFlush },
  expect: ['I-OWN'],
  litmus: 'z34-late-handle.litmus',
  clash: {
    steps: [
      locks('mmu_lock', 'kvmMmuNotifierInvalidateRangeStart'),
      changes(['handle', 'request slot'], 'pkvmCreateHypVm'),
    ],
    or: [
      changes('request slot', 'kvmMmuNotifierInvalidateRangeStart'),
      changes(['handle', 'request slot'], ['pkvmCreateHypVm', 'el2']),
    ],
    follows: '07aeb70707b1',
  },
};

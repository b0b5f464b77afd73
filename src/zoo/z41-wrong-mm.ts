/**
 * Z41: the pages of a VM are uncharged from whoever ends it.
 *
 *     process A: runs the VM; its pinned pages are charged to A (locked_vm 1)
 *     process B: has the last reference, closes it: locked_vm of B: 0 -> -1; A keeps 1 for ever
 *
 * A reference to a VM is a file descriptor: it goes to other processes by fork and by socket. What was charged to kvm->mm must
 * be uncharged from kvm->mm, not from current->mm.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { VM_MM, vmWord } from '../machine/layout.js';
import { pkvmReleasePinnedPage } from '../kvm/pkvm-vm.js';
import { accountLockedVm } from '../mm/util.js';
import { get } from '#words';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** One page of the teardown loop, uncharged from the task that runs it. */
function* reclaimFromCurrent(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  const pfn = yield* pkvmReleasePinnedPage(ctx, vm, gfn);
  if (pfn < 0) return;
  const current = ctx.task.currentMm >= 0 ? ctx.task.currentMm : get(ctx.words, vmWord(ctx.m, vm, VM_MM));
  yield* accountLockedVm(ctx, current, 1, false);
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
}

export const z41: Bug = {
  id: 'Z41',
  title: "a VM's pages are uncharged from the process that ends it, not from the one that was charged",
  commit: '04512258010d (Android; later trees use kvm->mm)',
  fixedIn: '',
  story:
    'pkvm_mem_abort() charges each page that it pins to the process that runs the VM. The teardown loop of Android 14 uncharges ' +
    'current->mm. When the last reference to the VM is dropped by another process, locked_vm of the first stays up for ever and that ' +
    'of the second falls below zero.',
  policy: 'pkvm-2022',
  replace: { pkvmReclaimPinnedPage: reclaimFromCurrent },
  expect: ['I-ACCT'],
  litmus: 'z41-wrong-mm.litmus',
  clash: {
    steps: [locks('mmap_lock', 'reclaimFromCurrent'), changes('locked_vm', 'reclaimFromCurrent')],
    or: [changes('host stage-2 entry', 'reclaimDyingGuestPage'), changes('locked_vm', 'reclaimFromCurrent')],
    alone: true,
    follows: '04512258010d',
  },
};

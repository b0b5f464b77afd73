/**
 * Z52: a stage-2 fault that fails late keeps its page.
 *
 *     vCPU: looks page P up: refs + 1
 *     vCPU: finds that it cannot map P: returns the error, and P stays referenced
 *     VMM:  runs the vCPU again: refs + 1 once more
 *
 * No race is needed, only a reason to fail behind __kvm_faultin_pfn(). The kernel's were of memory types and MTE; ours is that
 * EL2 refuses a page which the host has shared with EL2 itself.
 */
import { EAGAIN } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { releaseFaultinPage } from '../kvm/faultin.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** Every exit gives the page back but those with an error. */
function* releaseUnlessFailed(ctx: Context, pfn: number, result: number, dirty: boolean): Coroutine<void> {
  if (result === 0 || result === -EAGAIN) yield* releaseFaultinPage(ctx, pfn, result, dirty);
}

export const z52: Bug = {
  id: 'Z52',
  title: 'error exits of user_mem_abort() leak the reference of the page',
  commit: '5f9466b50c1b, again e07fc9e2da91 ("KVM: arm64: Fix page leak in user_mem_abort()")',
  fixedIn: 'v6.18, again v7.0',
  story:
    'The fault handler takes a reference of the page for as long as it handles the fault. Exits with an error that were added behind that point ' +
    'returned at once instead of going by the release: each such KVM_RUN leaves a reference behind, and the page can never be freed.',
  policy: 'pkvm-np-upstream',
  replace: { releaseFaultinPage: releaseUnlessFailed },
  expect: ['I-REF'],
  litmus: 'z52-early-exit.litmus',
  clash: {
    steps: [changes('refs', 'gupFast'), locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'hostShareGuest')],
    or: [locks('EL2 host_mmu.lock', 'hostShareGuest'), changes('host stage-2 entry', 'hostShareHyp')],
    follows: '5f9466b50c1b',
  },
};

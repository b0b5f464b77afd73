/**
 * Z40: pages are uncharged where nobody may sleep.
 *
 *     VMM: madvise(DONTNEED): mmap_lock for reading; start: KVM unmaps, mmu_lock held     anybody: reads /proc: mmap_lock, waits
 *     VMM: account_locked_vm(): mmap_lock for writing: waits for its own read lock         -
 *
 * account_locked_vm() takes mmap_lock for writing. An unmap is reached from notifiers, whose callers hold that lock already,
 * and from under mmu_lock, which spins.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { VM_MM, vmWord } from '../machine/layout.js';
import { pkvmStage2Unmap } from '../kvm/pkvm-pgtable.js';
import { accountLockedVm } from '../mm/util.js';
import { get } from '#words';
import type { Bug } from './bug.js';
import { locks } from './bug-clash.js';

/** The unmap loop with the charge taken back in it. */
function* unmapAndUncharge(ctx: Context, vm: number, start: number, end: number): Coroutine {
  const removed = yield* pkvmStage2Unmap(ctx, vm, start, end);
  if (removed > 0) yield* accountLockedVm(ctx, get(ctx.words, vmWord(ctx.m, vm, VM_MM)), removed, false);
  return removed;
}

export const z40: Bug = {
  id: 'Z40',
  title: "pages are uncharged inside the unmap, under the caller's mmap_lock and mmu_lock",
  commit: 'reported of Android 15-6.6; related: 246414094770, 78adeb53eea1',
  fixedIn: '',
  story:
    'The unmap path of guests that are not protected took the charge of each page back as it went. The function takes mmap_lock for writing, while the ' +
    'caller holds it for reading and mmu_lock besides: it sleeps in atomic context, and waits for itself, with every later reader behind it.',
  policy: 'pkvm-np-upstream',
  replace: { stage2Unmap: unmapAndUncharge },
  expect: ['I-LOCKORD'],
  litmus: 'z40-account.litmus',
  clash: {
    steps: [locks(['mmu_lock', 'mmap_lock'], 'munmap'), locks('mmap_lock', 'accountLockedVm')],
    alone: true,
    follows: 'story',
  },
};

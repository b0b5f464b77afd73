/**
 * Z47: a fault under protected KVM does not look whether its page was invalidated meanwhile.
 *
 *     vCPU: looks page A up                          VMM: -
 *     -                                              munmap, or madvise(DONTNEED): start: no mapping on record; end
 *     vCPU: mmu_lock; __pkvm_host_share_guest(A)     A is freed; the guest has it
 *
 * pkvm_mem_abort() of 2022 pins and has no mmu_invalidate_retry(): its guest gets a page that is stale from birth, though not
 * a freed one, and its policy promises no more. Where the guest follows notifiers the same omission breaks the promise, so
 * this is where it is planted.
 */
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

const neverRetry = (): boolean => false;

export const z47: Bug = {
  id: 'Z47',
  title: 'protected KVM maps a page whose invalidation it has missed',
  commit: 'pkvm_mem_abort() as posted in May 2022 and in Android 14',
  fixedIn: 'v6.14, with the upstream fault path',
  story:
    'pkvm_mem_abort() pins the page, then takes mmu_lock and has EL2 map it, without the check of the invalidation sequence. A page that ' +
    'the VMM has unmapped or replaced in between is mapped all the same. With the pin it is only stale from birth; for a guest that ' +
    'follows notifiers, and holds no pin, it is a page that will be freed under it.',
  policy: 'pkvm-np-upstream',
  replace: { mmuInvalidateRetry: neverRetry },
  expect: ['I-STALE', 'I-FREE', 'I-PERM', 'I-OWN'],
  litmus: 'z47-no-retry.litmus',
  clash: {
    steps: [looksAt('PTE', 'hvaToPfn'), changes('PTE', 'zapPageRange')],
    follows: 'story',
  },
};

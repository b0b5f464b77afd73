/**
 * Z01-no-retry: a sibling of Z01: nobody looks at the invalidation sequence.
 *
 *     vCPU: looks page A up, takes a reference      VMM: -
 *     -                                             madvise(DONTNEED): start (nothing is mapped), A's PTE gone, end
 *     vCPU: mmu_lock; maps A; drops the reference   -
 *     guest: uses A                                 A is freed, and is somebody else's
 *
 * KVM holds no reference after the fault, so from here on only a notifier could take A away, and the one there was has been.
 */
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** mmu_invalidate_retry(), deleted. */
const neverRetry = (): boolean => false;

export const z01NoRetry: Bug = {
  id: 'Z01-no-retry',
  title: 'a stage-2 fault does not look whether its page was invalidated meanwhile',
  commit: '',
  fixedIn: '',
  story:
    'The fault handler looks the page up without any lock of KVM, so an invalidation may run between that and the mapping. Without ' +
    'the check of count and sequence under mmu_lock the page is mapped after its notifier has been, and no other will come.',
  policy: 'classic',
  replace: { mmuInvalidateRetry: neverRetry },
  expect: ['I-STALE', 'I-FREE', 'I-PERM'],
  litmus: 'z01-no-retry.litmus',
  clash: {
    steps: [looksAt('PTE', 'hvaToPfn'), changes('PTE', 'zapPageRange')],
    follows: 'story',
  },
};

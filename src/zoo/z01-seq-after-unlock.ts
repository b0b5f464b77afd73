/**
 * Z01: a stage-2 fault samples the invalidation sequence too late.
 *
 *     vCPU: finds the VMA: a device's, whole block       VMM: -
 *     vCPU: drops mmap_lock                              -
 *     -                                                  munmap of half of it: start .. end, seq 4 -> 5
 *     vCPU: seq = 5; looks the page up (still there)     -
 *     vCPU: retry? 5 == 5: no; maps the block            the other half is mapped although it is gone
 *
 * What KVM reads of the VMA (here: how much of it one entry may map) is as good as the sequence that vouches for it, so the
 * sequence has to be read under the same hold of mmap_lock. The page itself is not in question: it is looked up afterwards.
 * In our model, as on arm64 since v5.13, only a device's mapping (VM_PFNMAP) takes its size from the VMA; hugetlbfs, the
 * other case and the one of the report, is left out.
 */
import { RULES_V6_18 } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, locks, looksAt } from './bug-clash.js';

export const z01: Bug = {
  id: 'Z01',
  title: 'the invalidation sequence is sampled after mmap_lock was dropped',
  commit: '13ec9308a857 ("KVM: arm64: Retry fault if vma_lookup() results become invalid")',
  fixedIn: 'v6.3',
  story:
    'user_mem_abort() reads from the VMA how large a mapping may be, drops mmap_lock, and only then samples mmu_invalidate_seq. A ' +
    'munmap or a mapping of something else in between goes unnoticed: the sequence is already the new one, and a block is mapped ' +
    'that reaches into pages which are not there any more.',
  policy: 'classic',
  replace: { rules: { ...RULES_V6_18, seqAfterUnlock: true } },
  expect: ['I-STALE'],
  litmus: 'z01-seq-after-unlock.litmus',
  clash: {
    steps: [
      looksAt('mmu_invalidate_seq', 'userMemAbort'),
      changes('mmu_invalidate_seq', 'kvmMmuNotifierInvalidateRangeEnd'),
    ],
    or: [locks('mmap_lock', 'userMemAbort'), locks('mmap_lock', 'munmap')],
    follows: '13ec9308a857',
  },
};

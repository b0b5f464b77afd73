/**
 * Z43-logging: a sibling of Z43: dirty logging begins without a flush.
 *
 *     vCPU: gfn -> P, writable, in its TLB      VMM: KVM_MEM_LOG_DIRTY_PAGES: all entries read-only; no TLBI
 *     vCPU: writes P through its TLB            -
 *     no fault, no bit in the bitmap: the page is not sent again, and the migrated guest misses the write
 */
import { wrprotectLeaves } from '../kvm/stage2.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

export const z43Logging: Bug = {
  id: 'Z43-logging',
  title: 'dirty logging write-protects stage 2 and does not flush the TLBs',
  commit: '',
  fixedIn: '',
  story:
    "When dirty logging begins every page's entry is made read-only, so that its first write is a fault that marks it dirty. A vCPU that still has " +
    'the writable entry in its TLB writes without a fault, and live migration loses what it wrote.',
  policy: 'classic',
  replace: { stage2Wrprotect: wrprotectLeaves },
  expect: ['I-TLB'],
  litmus: 'z43-logging.litmus',
  clash: {
    steps: [looksAt('entry of stage-2 table', 'guestAccess'), changes('entry of stage-2 table', 'wrprotectLeaves')],
    follows: 'story',
  },
};

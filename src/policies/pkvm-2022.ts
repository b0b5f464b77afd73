/**
 * (c) pkvm-2022: pinned, and notifiers ignored at EL2 (kernel-model 5 (c), 3.26; pKVM series of May 2022, patch
 * 24/89).
 *
 * What its authors said: the hypervisor owns the guest's stage 2, so the host cannot take a page back; it pins each
 * page FOLL_LONGTERM|FOLL_WRITE as it maps it, refuses page-cache pages, and charges RLIMIT_MEMLOCK. Notifiers have
 * nothing to do: the guest's pages stay until teardown. What the reviewers said: a pin does not stop the kernel from
 * changing the page table.
 *
 * What the model predicts: no stage-2 entry ever disappears and no page moves, whatever sends notifiers (I-PINNED-S2
 * for the mapping's own pin). The price: nothing is merged, migrated, collapsed or overcommitted; and host and guest
 * diverge wherever the process itself lets go of a page (MADV_DONTNEED, munmap, a mapping made over it), which is
 * counted and is no violation here. A pin that was taken before such a change and mapped after it is stale from
 * birth, as nothing looks at the invalidation sequence. -EPERM from EL2 is taken for "another vCPU was first": if it
 * means anything else, the vCPU faults for ever (I-LIVE).
 */
import { RULES_V6_18 } from '../machine/context.js';
import { pkvmMemAbort } from '../kvm/pkvm.js';
import type { Policy } from './policy.js';

export const pkvm2022: Policy = {
  id: 'pkvm-2022',
  title: '(c) pinned, notifiers ignored at EL2: protected KVM as posted in 2022',
  replace: { rules: { ...RULES_V6_18, protectedKvm: true }, stage2Fault: pkvmMemAbort },
  claims: { stage2FollowsHost: false, pinnedKeepsStage2: 'mapping', mappingPins: true, el2: true },
};

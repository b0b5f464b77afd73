/**
 * (a) classic: notifiers and retry, no references (kernel-model 5 (a); virt/kvm/kvm_main.c, arch/arm64/kvm/mmu.c, v6.18).
 *
 * A stage-2 fault samples the invalidation sequence, looks the page up with FOLL_GET, checks the sequence again under
 * mmu_lock, maps, and drops its reference: only notifiers keep the mapping honest. It is what the thread starts from.
 * The model predicts: I-STALE holds, overcommit works, the guest may fault at any time. It replaces nothing.
 */
import type { Policy } from './policy.js';

export const classic: Policy = {
  id: 'classic',
  title: '(a) notifiers and retry, no references: what KVM does for a normal guest',
  replace: {},
  claims: { stage2FollowsHost: true, pinnedKeepsStage2: 'none', mappingPins: false, el2: false },
};

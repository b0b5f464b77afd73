/** KVM's and EL2's part of the base kernel record. */
import type { Kernel } from '../machine/context.js';
import { guestRelinquish } from '../hyp/guest-calls.js';
import {
  checkHostOwned,
  handleHostMemAbort,
  hostDonateGuest,
  hostDonateHyp,
  hostShareGuest,
} from '../hyp/mem-protect.js';
import { pkvmRefillMemcache } from '../hyp/memcache.js';
import { hostUnshareGuest } from '../hyp/share-guest.js';
import { tlbFlushGuest, tlbFlushHost } from '../hyp/tlb.js';
import { hostReclaimPage } from '../hyp/teardown.js';
import { hvaToPfnRemapped } from './faultin.js';
import { faultLockAndCheck, kvmUnmapGfnRange, mmuInvalidateRetry, userMemAbort } from './mmu.js';
import { pkvmRefusePage } from './pkvm.js';
import { pkvmReclaimPinnedPage } from './pkvm-vm.js';
import { stage2Map, stage2RelaxPerms, stage2Unmap, stage2Wrprotect } from './stage2.js';
import { vcpuLoad, vcpuPut } from './vcpu.js';
import { kvmDestroyVm, kvmSwapActiveMemslots } from './vm.js';

/** Which functions of the record live in `src/kvm` and `src/hyp`. */
export type KvmFunctions = Pick<
  Kernel,
  | 'userMemAbort'
  | 'hvaToPfnRemapped'
  | 'faultLockAndCheck'
  | 'mmuInvalidateRetry'
  | 'stage2Fault'
  | 'stage2Map'
  | 'stage2RelaxPerms'
  | 'stage2Unmap'
  | 'stage2Wrprotect'
  | 'kvmUnmapGfnRange'
  | 'kvmSwapActiveMemslots'
  | 'vcpuLoad'
  | 'vcpuPut'
  | 'kvmDestroyVm'
  | 'pkvmRefusePage'
  | 'pkvmReclaimPinnedPage'
  | 'checkHostOwned'
  | 'hostDonateGuest'
  | 'hostShareGuest'
  | 'hostUnshareGuest'
  | 'hostReclaimPage'
  | 'hostDonateHyp'
  | 'pkvmRefillMemcache'
  | 'handleHostMemAbort'
  | 'guestRelinquish'
  | 'tlbFlushGuest'
  | 'tlbFlushHost'
>;

/** For the base kernel record, beside `subscribers[SUBSCRIBER_KVM] = KVM_SUBSCRIBER` (notifier.ts). */
export const KVM_FUNCTIONS: KvmFunctions = {
  userMemAbort,
  hvaToPfnRemapped,
  faultLockAndCheck,
  mmuInvalidateRetry,
  stage2Fault: userMemAbort,
  stage2Map,
  stage2RelaxPerms,
  stage2Unmap,
  stage2Wrprotect,
  kvmUnmapGfnRange,
  kvmSwapActiveMemslots,
  vcpuLoad,
  vcpuPut,
  kvmDestroyVm,
  pkvmRefusePage,
  pkvmReclaimPinnedPage,
  checkHostOwned,
  hostDonateGuest,
  hostShareGuest,
  hostUnshareGuest,
  hostReclaimPage,
  hostDonateHyp,
  pkvmRefillMemcache,
  handleHostMemAbort,
  guestRelinquish,
  tlbFlushGuest,
  tlbFlushHost,
};

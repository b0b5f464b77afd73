/** KVM's and EL2's part of the base kernel record. */
import type { Kernel } from '../machine/context.js';
import { guestRelinquish, guestShareHost, guestUnshareHost } from '../hyp/guest-calls.js';
import {
  checkGuestTakes,
  checkHostOwned,
  checkHostShares,
  handleHostMemAbort,
  hostDonateGuest,
  hostDonateHyp,
  hostShareGuest,
  hostShareHyp,
} from '../hyp/mem-protect.js';
import { pkvmRefillMemcache } from '../hyp/memcache.js';
import { hostUnshareGuest, hostWrprotectGuest } from '../hyp/share-guest.js';
import { tlbFlushGuest, tlbFlushHost } from '../hyp/tlb.js';
import { checkReclaim, doReclaim, hostReclaimPage, isDying } from '../hyp/teardown.js';
import { hvaToPfnRemapped, releaseFaultinPage } from './faultin.js';
import { pkvmKernelAbort, pkvmKernelRead } from './kernel-access.js';
import { faultLockAndCheck, kvmUnmapGfnRange, mmuInvalidateRetry, userMemAbort } from './mmu.js';
import { kvmMmuInvalidateBegin, kvmMmuInvalidateEnd } from './notifier.js';
import { pkvmRefusePage, pkvmUncharge } from './pkvm.js';
import { pkvmCreateHypVm, pkvmReclaimPinnedPage } from './pkvm-vm.js';
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
  | 'kvmMmuInvalidateBegin'
  | 'kvmMmuInvalidateEnd'
  | 'releaseFaultinPage'
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
  | 'pkvmCreateHypVm'
  | 'pkvmRefusePage'
  | 'pkvmUncharge'
  | 'pkvmKernelAbort'
  | 'pkvmKernelRead'
  | 'pkvmReclaimPinnedPage'
  | 'checkHostOwned'
  | 'checkHostShares'
  | 'checkGuestTakes'
  | 'hostDonateGuest'
  | 'hostShareGuest'
  | 'hostUnshareGuest'
  | 'hostWrprotectGuest'
  | 'hostReclaimPage'
  | 'isDying'
  | 'checkReclaim'
  | 'doReclaim'
  | 'hostDonateHyp'
  | 'hostShareHyp'
  | 'pkvmRefillMemcache'
  | 'handleHostMemAbort'
  | 'guestShareHost'
  | 'guestUnshareHost'
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
  kvmMmuInvalidateBegin,
  kvmMmuInvalidateEnd,
  releaseFaultinPage,
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
  pkvmCreateHypVm,
  pkvmRefusePage,
  pkvmUncharge,
  pkvmKernelAbort,
  pkvmKernelRead,
  pkvmReclaimPinnedPage,
  checkHostOwned,
  checkHostShares,
  checkGuestTakes,
  hostDonateGuest,
  hostShareGuest,
  hostUnshareGuest,
  hostWrprotectGuest,
  hostReclaimPage,
  isDying,
  checkReclaim,
  doReclaim,
  hostDonateHyp,
  hostShareHyp,
  pkvmRefillMemcache,
  handleHostMemAbort,
  guestShareHost,
  guestUnshareHost,
  guestRelinquish,
  tlbFlushGuest,
  tlbFlushHost,
};

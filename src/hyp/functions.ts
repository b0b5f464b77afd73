/** EL2's part of the kernel record: called by the EL2 actor with the request's arguments. */
import { type FunctionsOf, kernelFunction } from '../machine/kernel-record.js';
import { guestRelinquish, guestShareHost, guestUnshareHost } from './guest-calls.js';
import {
  checkGuestTakes,
  checkHostOwned,
  checkHostShares,
  handleHostMemAbort,
  hostDonateGuest,
  hostDonateHyp,
  hostShareGuest,
  hostShareHyp,
} from './mem-protect.js';
import { pkvmRefillMemcache } from './memcache.js';
import { hostUnshareGuest, hostWrprotectGuest } from './share-guest.js';
import { checkReclaim, doReclaim, hostReclaimPage, isDying } from './teardown.js';
import { tlbFlushGuest, tlbFlushHost } from './tlb.js';

export const HYP_FUNCTIONS = {
  checkHostOwned: kernelFunction(
    checkHostOwned,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__host_check_page_state_range',
    'Memory that the host alone owns? 0 or -EPERM. host_mmu.lock held.',
  ),
  checkHostShares: kernelFunction(
    checkHostShares,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_host_share_guest',
    'A page that the host may share with a guest? 0, -EPERM or -EBUSY. host_mmu.lock held.',
  ),
  checkGuestTakes: kernelFunction(
    checkGuestTakes,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__guest_check_page_state_range',
    'Is `gfn` free, and is there memory for its table? 0, -EPERM or -ENOMEM. hyp_vm.lock held.',
  ),
  hostDonateGuest: kernelFunction(
    hostDonateGuest,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_host_donate_guest',
    '',
    'android14-6.1',
  ),
  hostShareGuest: kernelFunction(hostShareGuest, 'arch/arm64/kvm/hyp/nvhe/mem_protect.c', '__pkvm_host_share_guest'),
  hostUnshareGuest: kernelFunction(
    hostUnshareGuest,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_host_unshare_guest',
  ),
  hostWrprotectGuest: kernelFunction(
    hostWrprotectGuest,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_host_wrprotect_guest',
  ),
  hostReclaimPage: kernelFunction(
    hostReclaimPage,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_host_reclaim_page',
    '',
    'android14-6.1',
  ),
  isDying: kernelFunction(
    isDying,
    'arch/arm64/kvm/hyp/nvhe/pkvm.c',
    '__pkvm_reclaim_dying_guest_page',
    'Its first part: for the locks see hyp/teardown.ts.',
    'android14-6.1',
  ),
  checkReclaim: kernelFunction(
    checkReclaim,
    'arch/arm64/kvm/hyp/nvhe/pkvm.c',
    '__pkvm_reclaim_dying_guest_page',
    'Its second part.',
    'android14-6.1',
  ),
  doReclaim: kernelFunction(
    doReclaim,
    'arch/arm64/kvm/hyp/nvhe/pkvm.c',
    '__pkvm_reclaim_dying_guest_page',
    'Its third part.',
    'android14-6.1',
  ),
  hostDonateHyp: kernelFunction(hostDonateHyp, 'arch/arm64/kvm/hyp/nvhe/mem_protect.c', '__pkvm_host_donate_hyp'),
  hostShareHyp: kernelFunction(hostShareHyp, 'arch/arm64/kvm/hyp/nvhe/mem_protect.c', '__pkvm_host_share_hyp'),
  pkvmRefillMemcache: kernelFunction(pkvmRefillMemcache, 'arch/arm64/kvm/hyp/nvhe/mm.c', 'refill_memcache'),
  handleHostMemAbort: kernelFunction(
    handleHostMemAbort,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    'handle_host_mem_abort',
  ),
  guestShareHost: kernelFunction(
    guestShareHost,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_guest_share_host',
    'MEM_SHARE of the guest `vm`: 0, -EFAULT or -EPERM.',
    'android14-6.1',
  ),
  guestUnshareHost: kernelFunction(
    guestUnshareHost,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_guest_unshare_host',
    'MEM_UNSHARE: 0, -EFAULT or -EPERM.',
    'android14-6.1',
  ),
  guestRelinquish: kernelFunction(
    guestRelinquish,
    'arch/arm64/kvm/hyp/nvhe/mem_protect.c',
    '__pkvm_guest_relinquish_to_host',
    'MEM_RELINQUISH: 0, -EFAULT or -EPERM.',
    'android14-6.1',
  ),
  tlbFlushGuest: kernelFunction(
    tlbFlushGuest,
    'arch/arm64/kvm/hyp/nvhe/tlb.c',
    '__kvm_tlb_flush_vmid_ipa',
    'TLBI by IPA, with the DSB: returns when no CPU can use an old translation.',
  ),
  tlbFlushHost: kernelFunction(
    tlbFlushHost,
    'arch/arm64/kvm/hyp/nvhe/tlb.c',
    '__kvm_tlb_flush_vmid_ipa',
    'The same of a host page.',
  ),
};

declare module '../machine/kernel-record.js' {
  interface Kernel extends FunctionsOf<typeof HYP_FUNCTIONS> {}
}

/** KVM's part of the kernel record. */
import { type FunctionsOf, kernelFunction } from '../machine/kernel-record.js';
import { hvaToPfnRemapped, releaseFaultinPage } from './faultin.js';
import { pkvmKernelAbort, pkvmKernelRead } from './kernel-access.js';
import { faultLockAndCheck, kvmUnmapGfnRange, mmuInvalidateRetry, userMemAbort } from './mmu.js';
import { kvmMmuInvalidateBegin, kvmMmuInvalidateEnd } from './notifier.js';
import { pkvmCreateHypVm, pkvmReclaimPinnedPage } from './pkvm-vm.js';
import { pkvmRefusePage, pkvmUncharge } from './pkvm.js';
import { stage2Map, stage2RelaxPerms, stage2Unmap, stage2Wrprotect } from './stage2.js';
import { vcpuLoad, vcpuPut } from './vcpu.js';
import { kvmDestroyVm, kvmSwapActiveMemslots } from './vm.js';

export const KVM_FUNCTIONS = {
  userMemAbort: kernelFunction(userMemAbort, 'arch/arm64/kvm/mmu.c', 'user_mem_abort'),
  hvaToPfnRemapped: kernelFunction(
    hvaToPfnRemapped,
    'virt/kvm/kvm_main.c',
    'hva_to_pfn_remapped',
    'A page of a VM_PFNMAP or VM_IO mapping, mmap_lock held: 2 (a frame without a reference), 1 (with one) or -errno.',
  ),
  faultLockAndCheck: kernelFunction(
    faultLockAndCheck,
    'arch/arm64/kvm/mmu.c',
    'user_mem_abort',
    'Its kvm_fault_lock(). Takes mmu_lock for a fault and asks mmuInvalidateRetry under it. True: to be tried again. It is held either way.',
  ),
  mmuInvalidateRetry: kernelFunction(mmuInvalidateRetry, 'include/linux/kvm_host.h', 'mmu_invalidate_retry'),
  kvmMmuInvalidateBegin: kernelFunction(
    kvmMmuInvalidateBegin,
    'virt/kvm/kvm_main.c',
    'kvm_mmu_invalidate_begin',
    "A notifier's start: faults retry from here on. mmu_lock held for writing.",
  ),
  kvmMmuInvalidateEnd: kernelFunction(
    kvmMmuInvalidateEnd,
    'virt/kvm/kvm_main.c',
    'kvm_mmu_invalidate_end',
    "A notifier's end: faults see another sequence. mmu_lock held for writing.",
  ),
  releaseFaultinPage: kernelFunction(
    releaseFaultinPage,
    'include/linux/kvm_host.h',
    'kvm_release_faultin_page',
    'Gives the reference of a fault back, whose mapping ended with `result`. mmu_lock held.',
  ),
  stage2Fault: kernelFunction(
    userMemAbort,
    'arch/arm64/kvm/mmu.c',
    'kvm_handle_guest_abort',
    "The VM's stage-2 fault handler: userMemAbort or pkvmMemAbort.",
  ),
  stage2Map: kernelFunction(
    stage2Map,
    'arch/arm64/kvm/hyp/pgtable.c',
    'kvm_pgtable_stage2_map',
    'kvm_pgtable_stage2_map() of one page, or of the block around it; 0, -EAGAIN or -ENOMEM. mmu_lock held.',
  ),
  stage2RelaxPerms: kernelFunction(
    stage2RelaxPerms,
    'arch/arm64/kvm/hyp/pgtable.c',
    'kvm_pgtable_stage2_relax_perms',
    'kvm_pgtable_stage2_relax_perms() to writable: 0 or -EAGAIN (gone, or lost to a race). mmu_lock held.',
  ),
  stage2Unmap: kernelFunction(
    stage2Unmap,
    'arch/arm64/kvm/hyp/pgtable.c',
    'kvm_pgtable_stage2_unmap',
    'kvm_pgtable_stage2_unmap(): the entries removed. mmu_lock held for writing.',
  ),
  stage2Wrprotect: kernelFunction(
    stage2Wrprotect,
    'arch/arm64/kvm/hyp/pgtable.c',
    'kvm_pgtable_stage2_wrprotect',
    'kvm_pgtable_stage2_wrprotect(). mmu_lock held for writing.',
  ),
  kvmUnmapGfnRange: kernelFunction(
    kvmUnmapGfnRange,
    'arch/arm64/kvm/mmu.c',
    'kvm_unmap_gfn_range',
    'mmu_lock held for writing; dropped and retaken between chunks if `mayBlock`.',
  ),
  kvmSwapActiveMemslots: kernelFunction(
    kvmSwapActiveMemslots,
    'virt/kvm/kvm_main.c',
    'kvm_swap_active_memslots',
    'Waits for mn_active_invalidate_count == 0, then makes the other set of memslots the active one.',
  ),
  vcpuLoad: kernelFunction(
    vcpuLoad,
    'virt/kvm/kvm_main.c',
    'vcpu_load',
    "What a vCPU's actor does before its first guest access. 0 or -errno.",
  ),
  vcpuPut: kernelFunction(vcpuPut, 'virt/kvm/kvm_main.c', 'vcpu_put', 'What it does after its last.'),
  kvmDestroyVm: kernelFunction(kvmDestroyVm, 'virt/kvm/kvm_main.c', 'kvm_destroy_vm'),
  pkvmCreateHypVm: kernelFunction(
    pkvmCreateHypVm,
    'arch/arm64/kvm/pkvm.c',
    'pkvm_create_hyp_vm',
    'The VM gets its handle, and EL2 knows it. 0 or -errno.',
  ),
  pkvmRefusePage: kernelFunction(
    pkvmRefusePage,
    'arch/arm64/kvm/mmu.c',
    'pkvm_mem_abort',
    'A page that pkvm_mem_abort has pinned and may not map: the exit with -EIO.',
    'android14-6.1',
  ),
  pkvmUncharge: kernelFunction(
    pkvmUncharge,
    'arch/arm64/kvm/mmu.c',
    'pkvm_mem_abort',
    'Takes the charge of a fault back that has failed since.',
    'android14-6.1',
  ),
  pkvmKernelRead: kernelFunction(
    pkvmKernelRead,
    'arch/arm64/mm/fault.c',
    'do_sea',
    "A load of the kernel's own through its map of all memory: 0 and `ctx.accessValue`, or -EFAULT.",
    'android14-6.1',
  ),
  pkvmKernelAbort: kernelFunction(
    pkvmKernelAbort,
    'arch/arm64/mm/fault.c',
    'is_pkvm_stage2_abort',
    "An access of the kernel's own to a page that EL2 keeps from it: -EFAULT, or an oops.",
    'android14-6.1',
  ),
  pkvmReclaimPinnedPage: kernelFunction(
    pkvmReclaimPinnedPage,
    'arch/arm64/kvm/pkvm.c',
    'pkvm_destroy_hyp_vm',
    'One pinned page of a VM that ends: given back by EL2, uncharged, unpinned.',
    'android14-6.1',
  ),
};

declare module '../machine/kernel-record.js' {
  interface Kernel extends FunctionsOf<typeof KVM_FUNCTIONS> {}
}

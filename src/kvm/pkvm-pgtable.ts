/**
 * The page-table calls of KVM where EL2 owns the table and the guest follows the host's notifiers (arch/arm64/kvm/pkvm.c,
 * v6.14: KVM_PGT_FN; kernel-model 3.31). Each is a hypercall, and the host keeps a record of what it has had mapped
 * (pkvm_mapping), by which it knows what to take back. Pages only, where the kernel also shares whole blocks. mmu_lock is held
 * for writing throughout.
 */
import { glance } from '../machine/words/extra-accesses.js';
import { EAGAIN } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { VM_HANDLE, mappedPageWord, vmWord } from '../machine/layout.js';
import { MC_STAGE2_UNMAPS, countMechanism } from '../machine/stats.js';
import { tlbRemove, tlbSlot, tlbTag } from '../machine/tlb.js';
import { HYP_RELAX_PERMS_GUEST, HYP_SHARE_GUEST, HYP_UNSHARE_GUEST, HYP_WRPROTECT_GUEST } from '../hyp/hypercalls.js';
import { get, set } from '#words';
import { kvmCallHyp } from './call-hyp.js';

/** pkvm_pgtable_stage2_map() of one page: 0, -EAGAIN (mapped already), or EL2's -EPERM, -EBUSY, -ENOMEM. */
export function* pkvmStage2Map(
  ctx: Context,
  vm: number,
  _vcpu: number,
  gfn: number,
  pfn: number,
  _block: boolean,
  writable: boolean,
): Coroutine {
  const at = mappedPageWord(ctx.m, vm, gfn);
  if (get(ctx.words, at) !== 0) return -EAGAIN;
  const result = yield* kvmCallHyp(ctx, HYP_SHARE_GUEST, pfn, gfn, writable ? 1 : 0, 0);
  if (result === 0) set(ctx.words, at, pfn + 1);
  return result;
}

/** pkvm_pgtable_stage2_unmap(): every mapping of [start, end) is taken back. Returns how many. */
export function* pkvmStage2Unmap(ctx: Context, vm: number, start: number, end: number): Coroutine {
  let removed = 0;
  for (let gfn = start; gfn < end; gfn++) {
    const at = mappedPageWord(ctx.m, vm, gfn);
    const pfn = get(ctx.words, at) - 1;
    if (pfn < 0) continue;
    const handle = glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE));
    if ((yield* kvmCallHyp(ctx, HYP_UNSHARE_GUEST, handle, gfn, 0, 0)) !== 0) {
      // the mapping stays, in both records
      ctx.probe.onWarn(ctx, 'I-OWN', 'EL2 refused to unshare', pfn);
      continue;
    }
    set(ctx.words, at, 0);
    countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_STAGE2_UNMAPS, 1);
    removed++;
  }
  return removed;
}

/** pkvm_pgtable_stage2_wrprotect(). */
export function* pkvmStage2Wrprotect(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  for (let gfn = start; gfn < end; gfn++) {
    const pfn = get(ctx.words, mappedPageWord(ctx.m, vm, gfn)) - 1;
    if (pfn < 0) continue;
    const handle = glance(ctx.words, vmWord(ctx.m, vm, VM_HANDLE));
    if ((yield* kvmCallHyp(ctx, HYP_WRPROTECT_GUEST, handle, gfn, 0, 0)) !== 0) {
      ctx.probe.onWarn(ctx, 'I-OWN', 'EL2 refused to write-protect', pfn);
    }
  }
}

/** pkvm_pgtable_stage2_relax_perms(), for the vCPU that is loaded on this CPU. 0 or -EAGAIN. */
export function* pkvmStage2RelaxPerms(ctx: Context, vm: number, gfn: number): Coroutine {
  const result = yield* kvmCallHyp(ctx, HYP_RELAX_PERMS_GUEST, gfn, 0, 0, 0);
  if (result !== 0) return result;
  // a weaker entry in another CPU's TLB faults once more there: only ours has to go
  if (--ctx.quantum < 0) yield updates(tlbSlot(ctx.m, ctx.actor, gfn));
  tlbRemove(ctx.m, ctx.actor, tlbTag(true, vm, gfn));
  return 0;
}

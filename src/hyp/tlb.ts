/**
 * TLB invalidation at EL2 (arch/arm64/kvm/hyp/nvhe/tlb.c, v6.18): by IPA for a guest, by page for the host's own VMID.
 * KVM's own invalidations come here too: they are hypercalls on real hardware.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { VM_CPUMASK, vmWord } from '../machine/layout.js';
import { shootDownFrame, shootDownRange } from '../machine/tlb-shootdown.js';

/**
 * __kvm_tlb_flush_vmid_ipa() / _range(): no CPU uses an old translation of [start, end) of `vm` when it returns.
 * Stage 2 first, then everything combined from it: one entry of ours is both.
 */
export const tlbFlushGuest = (ctx: Context, vm: number, start: number, end: number): Coroutine<void> =>
  shootDownRange(ctx, vmWord(ctx.m, vm, VM_CPUMASK), true, vm, start, end);

/** TLBI of the host's VMID for one page: no process's entry leads to frame `pfn` when it returns. */
export const tlbFlushHost = (ctx: Context, pfn: number): Coroutine<void> => shootDownFrame(ctx, pfn);

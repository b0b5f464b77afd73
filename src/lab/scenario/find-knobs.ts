/** The knobs of the finds (lab/finds) by the names that scenarios and litmus files give them. */
import type { KnobSpec } from '../../plan/plan.js';
import { FIX_FAULT, FIX_NONE, FIX_REMOVAL, FIX_RETRY } from '../../machine/layout.js';

/**
 * none: kernels as they are. x03: fault: do_swap_page() and other faults flush what is pending; removal: reclaim flushes before
 * __remove_mapping(). b14c: retry: pkvm_mem_abort() tries a pin again that failed with -ENOMEM.
 */
export const KERNEL_FIXES = ['none', 'fault', 'removal', 'retry'] as const;
export type KernelFix = (typeof KERNEL_FIXES)[number];

const FIXES: Readonly<Record<KernelFix, number>> = {
  none: FIX_NONE,
  fault: FIX_FAULT,
  removal: FIX_REMOVAL,
  retry: FIX_RETRY,
};

export const fixName = (fix: number): KernelFix => KERNEL_FIXES.find((name) => FIXES[name] === fix) ?? 'none';

/** What a plan says of them: nothing where all is as usual. */
export function findKnobs(tlbBatch: boolean, fix: KernelFix, migratePasses?: number): Partial<KnobSpec> {
  return {
    ...(tlbBatch ? {} : { tlbBatch }),
    ...(fix === 'none' ? {} : { kernelFix: FIXES[fix] }),
    ...(migratePasses === undefined ? {} : { migratePasses }),
  };
}

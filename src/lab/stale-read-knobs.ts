/** The knobs of deferred TLB flushes by the names that scenarios and litmus files give them (lab/finds/x03-stale-read.md). */
import type { KnobSpec } from '../engine/plan.js';
import { FIX_FAULT, FIX_NONE, FIX_REMOVAL } from '../machine/layout.js';

/** none: kernels as they are. fault: do_swap_page() and other faults flush what is pending. removal: reclaim flushes before __remove_mapping(). */
export const STALE_READ_FIXES = ['none', 'fault', 'removal'] as const;
export type StaleReadFix = (typeof STALE_READ_FIXES)[number];

const FIXES: Readonly<Record<StaleReadFix, number>> = { none: FIX_NONE, fault: FIX_FAULT, removal: FIX_REMOVAL };

export const fixName = (fix: number): StaleReadFix => STALE_READ_FIXES.find((name) => FIXES[name] === fix) ?? 'none';

/** What a plan says of them: nothing where all is as usual. */
export function staleReadKnobs(tlbBatch: boolean, fix: StaleReadFix): Partial<KnobSpec> {
  return { ...(tlbBatch ? {} : { tlbBatch }), ...(fix === 'none' ? {} : { staleReadFix: FIXES[fix] }) };
}

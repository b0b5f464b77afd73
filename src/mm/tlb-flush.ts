/** flush_tlb_range() and its like (arch/arm64/include/asm/tlbflush.h, v6.18): TLBI, and the DSB that completes it. */
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { MM_CPUMASK, MM_TLB_FLUSH_PENDING, VM_CPUMASK, mmWord, vmWord } from '../machine/layout.js';
import { shootDownRange } from '../machine/tlb-shootdown.js';
import { readOnce } from '#words';

/**
 * Removes [start, end) of an mm (`guest` false) or VM from every TLB that may hold it.
 * Returns when no CPU can use an old translation any more.
 */
export function flushTlbRange(
  ctx: Context,
  guest: boolean,
  space: number,
  start: number,
  end: number,
): Coroutine<void> {
  const mask = guest ? vmWord(ctx.m, space, VM_CPUMASK) : mmWord(ctx.m, space, MM_CPUMASK);
  return shootDownRange(ctx, mask, guest, space, start, end);
}

/**
 * mm_tlb_flush_nested(): another gather of `mm` is open beside the caller's, which may have changed entries of the caller's range
 * without having flushed them yet (99baac21e458, Z18).
 */
export function* mmTlbFlushNested(ctx: Context, mm: number): Coroutine<boolean> {
  const pending = mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING);
  if (--ctx.quantum < 0) yield reads(pending);
  return readOnce(ctx.words, pending) > 1;
}

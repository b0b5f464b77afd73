/** flush_tlb_range() and its like (arch/arm64/include/asm/tlbflush.h, v6.18): TLBI, and the DSB that completes it. */
import type { Context, Coroutine } from '../machine/context.js';
import { MM_CPUMASK, VM_CPUMASK, mmWord, vmWord } from '../machine/layout.js';
import { shootDownRange } from '../machine/tlb-shootdown.js';

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

/**
 * TLB invalidation with its completion (arch/arm64/include/asm/tlbflush.h: TLBI ...; DSB). A broadcast TLBI leaves remote
 * entries usable; the DSB makes each CPU's removal a step of its own and then waits for a CPU inside a translated access.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { LOCAL, reads, updates } from '../machine/effects.js';
import { MM_CPUMASK, VM_CPUMASK, mmWord, vmWord } from '../machine/layout.js';
import { STAT } from '../machine/stats.js';
import { inUseWord, tlbRemoveRange } from '../machine/tlb.js';
import { contended, lockValue } from '../machine/wait.js';
import { get, readOnce, set } from '#words';

/**
 * flush_tlb_range() / __tlb_flush_vmid_ipa: removes [start, end) of an mm (`guest` false) or VM from every TLB.
 * Returns when no CPU can use an old translation any more.
 */
export function* flushTlbRange(ctx: Context, guest: boolean, space: number, start: number, end: number): Coroutine<void> {
  const { m, words } = ctx;
  const mask = guest ? vmWord(m, space, VM_CPUMASK) : mmWord(m, space, MM_CPUMASK);
  for (let group = 0; group * 32 < m.cpus; group++) {
    if (--ctx.quantum < 0) yield reads(mask + group);
    for (let cpus = readOnce(words, mask + group); cpus !== 0; cpus &= cpus - 1) {
      const cpu = group * 32 + 31 - Math.clz32(cpus & -cpus);
      const inUse = inUseWord(m, cpu);
      if (--ctx.quantum < 0) yield updates(inUse);
      tlbRemoveRange(m, cpu, guest, space, start, end);
      if (cpu === ctx.actor) continue;
      const seen = lockValue(readOnce(words, inUse));
      while (seen !== 0 && lockValue(readOnce(words, inUse)) === seen) {
        const wait = contended(ctx, inUse);
        if (wait !== LOCAL && ctx.waitValue === seen) yield wait;
      }
    }
  }
  set(words, ctx.statsAt + STAT.tlb_flushes, get(words, ctx.statsAt + STAT.tlb_flushes) + 1);
  ctx.probe.onTlbFlushed(ctx, guest, space, start, end);
}

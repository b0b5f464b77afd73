/**
 * TLB invalidation at EL2 (arch/arm64/kvm/hyp/nvhe/tlb.c, v6.18): TLBI by IPA for a guest, by host page for the host's own
 * VMID, each with the DSB that completes it. KVM's own invalidations come here too: they are hypercalls on real hardware.
 *
 * The table entry has changed before. For each CPU: wait until an access that was under way is over (its walk may have read
 * the old entry and may still fill the TLB from it), remove what is there, and wait once more for an access that hit the
 * entry just before it went. Removing first and waiting once would leave behind what a walk filled in between.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { LOCAL, reads, updates } from '../machine/effects.js';
import { VM_CPUMASK, type Machine, tlbBase, vmWord } from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { inUseWord, tagGuest, tlbPfn, tlbRemoveRange } from '../machine/tlb.js';
import { contended, lockValue } from '../machine/wait.js';
import { cmpxchg, peek, readOnce } from '#words';

/**
 * __kvm_tlb_flush_vmid_ipa() / _range(): no CPU uses an old translation of [start, end) of `vm` when it returns.
 * Stage 2 first, then everything combined from it: one entry of ours is both.
 */
export function* tlbFlushGuest(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  const { m, words } = ctx;
  const mask = vmWord(m, vm, VM_CPUMASK);
  for (let group = 0; group * 32 < m.cpus; group++) {
    // a CPU enters itself before it walks: one that is not in here yet will read the changed entry
    if (--ctx.quantum < 0) yield reads(mask + group);
    for (let cpus = readOnce(words, mask + group); cpus !== 0; cpus &= cpus - 1) {
      const cpu = group * 32 + 31 - Math.clz32(cpus & -cpus);
      const inUse = inUseWord(m, cpu);
      if (--ctx.quantum < 0) yield updates(inUse);
      if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
      tlbRemoveRange(m, cpu, true, vm, start, end);
      if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
    }
  }
  countStat(m, ctx.actor, STAT.tlb_flushes, 1);
  ctx.probe.onTlbFlushed(ctx, true, vm, start, end);
}

/**
 * TLBI of the host's VMID for one page: every entry of any process that leads to `pfn`, on every CPU. By address it cannot
 * be found (entries are tagged by process and vpn, as combined entries are), so the whole TLB of each CPU is looked at.
 */
export function* tlbFlushHost(ctx: Context, pfn: number): Coroutine<void> {
  const { m, words } = ctx;
  for (let cpu = 0; cpu < m.cpus; cpu++) {
    const inUse = inUseWord(m, cpu);
    if (--ctx.quantum < 0) yield updates(inUse);
    if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
    removeHostEntries(m, cpu, pfn);
    if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
  }
  countStat(m, ctx.actor, STAT.tlb_flushes, 1);
}

/** Waits for the end of the translated access that the CPU with this in-use word is inside now, and for no later one. */
function* waitForAccess(ctx: Context, inUse: number): Coroutine<void> {
  const seen = lockValue(readOnce(ctx.words, inUse));
  while (seen !== 0 && lockValue(readOnce(ctx.words, inUse)) === seen) {
    const wait = contended(ctx, inUse);
    if (wait !== LOCAL && ctx.waitValue === seen) yield wait;
  }
}

function removeHostEntries(m: Machine, cpu: number, pfn: number): void {
  const base = tlbBase(m, cpu);
  for (let slot = base, last = base + 2 * m.tlbMask; slot <= last; slot += 2) {
    const tag = peek(m.words, slot);
    // the value was written before its tag; whoever replaces the entry meanwhile fills from the changed table
    if (tag !== 0 && !tagGuest(tag) && tlbPfn(peek(m.words, slot + 1)) === pfn) cmpxchg(m.words, slot, tag, 0);
  }
}

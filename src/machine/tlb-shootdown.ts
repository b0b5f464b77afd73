/**
 * TLBI with the DSB that completes it. The table entry has changed before. For each CPU: wait until an access that
 * was under way is over (its walk may have read the old entry and may still fill the TLB from it), remove what is
 * there, and wait once more for an access that hit an entry just before it went. Removing first and waiting once
 * would leave behind what a walk filled in between.
 */
import type { Context, Coroutine } from './context.js';
import { LOCAL, reads, updates } from './effects.js';
import { type Machine, tlbBase } from './layout.js';
import { STAT, countStat } from './stats.js';
import { inUseWord, tagGuest, tlbPfn, tlbRemoveRange } from './tlb.js';
import { contended, lockValue } from './wait.js';
import { rawCmpxchg, rawLoad, readOnce } from '#words';

/**
 * Removes [start, end) of a VM (`guest`) or an mm from the TLBs of the CPUs in the mask that begins at word `mask`
 * (MM_CPUMASK, VM_CPUMASK). Returns when none of them can use an old translation any more, counted and told to oracles.
 */
export function* shootDownRange(
  ctx: Context,
  mask: number,
  guest: boolean,
  space: number,
  start: number,
  end: number,
): Coroutine<void> {
  const { m, words } = ctx;
  for (let group = 0; group * 32 < m.cpus; group++) {
    // a CPU enters itself before it walks: one that is not in here yet will read the changed entry
    if (--ctx.quantum < 0) yield reads(mask + group);
    for (let cpus = readOnce(words, mask + group); cpus !== 0; cpus &= cpus - 1) {
      const cpu = group * 32 + 31 - Math.clz32(cpus & -cpus);
      const inUse = inUseWord(m, cpu);
      if (--ctx.quantum < 0) yield updates(inUse);
      if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
      tlbRemoveRange(m, cpu, guest, space, start, end);
      if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
    }
  }
  countStat(m, ctx.actor, STAT.tlb_flushes, 1);
  ctx.probe.onTlbFlushed(ctx, guest, space, start, end);
}

/**
 * Removes every entry of any process that leads to frame `pfn` from the TLB of every CPU: by address they cannot be
 * found, as they are tagged by process and vpn, so the whole of each TLB is looked at.
 */
export function* shootDownFrame(ctx: Context, pfn: number): Coroutine<void> {
  const { m, words } = ctx;
  for (let cpu = 0; cpu < m.cpus; cpu++) {
    const inUse = inUseWord(m, cpu);
    if (--ctx.quantum < 0) yield updates(inUse);
    if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
    removeFrame(m, cpu, pfn);
    if (cpu !== ctx.actor && lockValue(readOnce(words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
  }
  countStat(m, ctx.actor, STAT.tlb_flushes, 1);
}

/** The DSB's part for one CPU: if it is inside a translated access now, waits for its end. A marked access. */
export function* waitWhileAccess(ctx: Context, cpu: number): Coroutine<void> {
  const inUse = inUseWord(ctx.m, cpu);
  if (cpu !== ctx.actor && lockValue(readOnce(ctx.words, inUse)) !== 0) yield* waitForAccess(ctx, inUse);
}

/**
 * Waits for the end of the translated access that the CPU with this in-use word is inside now, and for no later one.
 */
function* waitForAccess(ctx: Context, inUse: number): Coroutine<void> {
  const seen = lockValue(readOnce(ctx.words, inUse));
  while (seen !== 0 && lockValue(readOnce(ctx.words, inUse)) === seen) {
    const wait = contended(ctx, inUse);
    if (wait !== LOCAL && ctx.waitValue === seen) yield wait;
  }
}

/** Removes every entry of any process that leads to frame `pfn` from the TLB of `cpu`. */
export function removeFrame(m: Machine, cpu: number, pfn: number): void {
  const base = tlbBase(m, cpu);
  for (let slot = base, last = base + 2 * m.tlbMask; slot <= last; slot += 2) {
    const tag = rawLoad(m.words, slot);
    // the value was written before its tag; whoever replaces the entry meanwhile fills from the changed table
    if (tag !== 0 && !tagGuest(tag) && tlbPfn(rawLoad(m.words, slot + 1)) === pfn) rawCmpxchg(m.words, slot, tag, 0);
  }
}

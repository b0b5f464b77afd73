/**
 * Z43-guest: a sibling of Z43: an unmap of a guest's page returns before every CPU has dropped it.
 *
 *     vCPU: has gfn -> P in its TLB     madvise(DONTNEED): start: stage-2 entry cleared, TLBI; does not wait for that CPU
 *     -                                 P is freed, and is somebody else's
 *     vCPU: writes P through its TLB
 *
 * The other sibling one could think of, stage 1 invalidated before stage 2, cannot be told in our model: a walk fills the
 * TLB in the step that reads its last entry, so nothing can come between the two.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads, updates } from '../machine/effects.js';
import { VM_CPUMASK, vmWord } from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { inUseWord, tlbRemoveRange } from '../machine/tlb.js';
import { waitWhileAccess } from '../machine/tlb-shootdown.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';
import { LAZY_CPU } from './z43-lazy-tlbi.js';

/** __kvm_tlb_flush_vmid_ipa() on all CPUs of the mask but one. */
function* flushAllButOne(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  const mask = vmWord(ctx.m, vm, VM_CPUMASK);
  for (let group = 0; group * 32 < ctx.m.cpus; group++) {
    if (--ctx.quantum < 0) yield reads(mask + group);
    for (let cpus = readOnce(ctx.words, mask + group); cpus !== 0; cpus &= cpus - 1) {
      const cpu = group * 32 + 31 - Math.clz32(cpus & -cpus);
      if (cpu === LAZY_CPU) continue;
      if (--ctx.quantum < 0) yield updates(inUseWord(ctx.m, cpu));
      yield* waitWhileAccess(ctx, cpu);
      tlbRemoveRange(ctx.m, cpu, true, vm, start, end);
      yield* waitWhileAccess(ctx, cpu);
    }
  }
  countStat(ctx.m, ctx.actor, STAT.tlb_flushes, 1);
  ctx.probe.onTlbFlushed(ctx, true, vm, start, end);
}

export const z43Guest: Bug = {
  id: 'Z43-guest',
  title: "an unmap of a guest's page returns before one CPU has dropped its translation of it",
  commit: '',
  fixedIn: '',
  story:
    "A notifier's start takes the page out of stage 2 and invalidates the TLBs before it returns. Here one CPU is left out: its vCPU " +
    'goes on using the page after it has been freed.',
  policy: 'classic',
  replace: { tlbFlushGuest: flushAllButOne },
  expect: ['I-TLB', 'I-FREE'],
  litmus: 'z43-guest.litmus',
  clash: {
    steps: [looksAt('entry of stage-2 table', 'guestAccess'), changes('entry of stage-2 table', 'stage2Unmap')],
    follows: 'story',
  },
};

/**
 * Z43: EL2 goes on before every CPU has dropped its old translation.
 *
 *     cpu0: has (process, page) -> P in its TLB     EL2: donates P to a guest: annotation, TLBI
 *     -                                             EL2: does not wait for cpu0's DSB; the guest gets P
 *     cpu0: writes P through its TLB                guest: reads what the host wrote
 *
 * A TLBI is a broadcast, and complete only after the DSB: until then a CPU may use what it has, and a page must not change
 * hands.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { inUseWord } from '../machine/tlb.js';
import { removeFrame, waitWhileAccess } from '../machine/tlb-shootdown.js';
import { STAT, countStat } from '../machine/stats.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** The CPU that nobody waits for. */
export const LAZY_CPU = 0;

/** The invalidation of a host page on all CPUs but one. */
function* flushAllButOne(ctx: Context, pfn: number): Coroutine<void> {
  for (let cpu = 0; cpu < ctx.m.cpus; cpu++) {
    if (cpu === LAZY_CPU) continue;
    const inUse = inUseWord(ctx.m, cpu);
    if (--ctx.quantum < 0) yield updates(inUse);
    yield* waitWhileAccess(ctx, cpu);
    removeFrame(ctx.m, cpu, pfn);
    yield* waitWhileAccess(ctx, cpu);
  }
  countStat(ctx.m, ctx.actor, STAT.tlb_flushes, 1);
}

export const z43: Bug = {
  id: 'Z43',
  title: 'EL2 gives a page away before one CPU has dropped its translation of it',
  commit: '',
  fixedIn: '',
  story:
    "A donation takes the page out of the host's stage 2 and invalidates the TLBs before the guest gets it. Here one CPU is left out: " +
    "it goes on reading and writing the guest's page through the old entry.",
  policy: 'pkvm-2022',
  replace: { tlbFlushHost: flushAllButOne },
  expect: ['I-TLB', 'I-OWN'],
  litmus: 'z43-lazy-tlbi.litmus',
  clash: {
    steps: [looksAt('host stage-2 entry', 'hostAccess'), changes('host stage-2 entry', 'hostDonateGuest')],
    follows: 'story',
  },
};

/**
 * Z43-vmid: a sibling of Z43: a VM is gone, and its VMID still translates.
 *
 *     vCPU: gfn -> P in its TLB; ends      host: the last reference goes: EL2 destroys the VM, its leaves first, one by one
 *     -                                    EL2: does not flush the VMID before it gives pages and VMID back
 *     the next VM with that VMID on this CPU reads P
 *
 * Android 14's teardown invalidates page by page, so that its flush at the end finds nothing; the one posted in 2022 clears all
 * leaves and has only this one: the bug is planted there.
 */
import { RULES_V6_18 } from '../machine/context.js';
import type { Context, Coroutine } from '../machine/context.js';
import { tlbFlushGuest } from '../hyp/tlb.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** All invalidations but that of a whole VMID. */
function* flushPagesOnly(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  if (start !== 0 || end !== ctx.m.vmPages) yield* tlbFlushGuest(ctx, vm, start, end);
}

export const z43Vmid: Bug = {
  id: 'Z43-vmid',
  title: 'EL2 gives back the pages of a VM whose VMID it has not flushed',
  commit: '',
  fixedIn: '',
  story:
    'The end of a VM clears its stage 2 and then flushes its VMID, once, before any page or the VMID itself is used again. Without that flush old ' +
    'translations stay on the CPUs that ran the VM, and lead the next one with this VMID to the pages of others.',
  policy: 'pkvm-2022',
  replace: {
    rules: { ...RULES_V6_18, protectedKvm: true, pkvmTeardown: 'v2022' },
    tlbFlushGuest: flushPagesOnly,
  },
  expect: ['I-TLB', 'I-FREE'],
  litmus: 'z43-vmid.litmus',
  clash: {
    steps: [looksAt('entry of stage-2 table', 'guestAccess'), changes('entry of stage-2 table', 'finalizeTeardown')],
    follows: 'story',
  },
};

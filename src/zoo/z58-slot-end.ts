/**
 * Z58: the deletion of a memslot leaves its last page mapped.
 *
 *     VMM:  deletes the slot of gfns 0 and 1: unmaps [0, 1)                   guest: still reads and writes gfn 1
 *     VMM:  munmap of the memory: no slot, so no notifier reaches stage 2     guest: uses a page that is somebody else's by now
 */
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { kvmUnmapGfnRange } from '../kvm/mmu.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';

/** kvm_arch_flush_shadow_memslot() that takes the last gfn for the end. */
function* takesLastForEnd(ctx: Context, vm: number, start: number, end: number, mayBlock: boolean): Coroutine<void> {
  yield* kvmUnmapGfnRange(ctx, vm, start, ctx.task.mechanism === MECH.memslot ? end - 1 : end, mayBlock);
}

export const z58: Bug = {
  id: 'Z58',
  title: 'the last page of a deleted memslot stays mapped at stage 2, where no notifier reaches it',
  commit: '',
  fixedIn: '',
  story:
    'Deleting a memslot unmaps all of its pages before the slot is gone. If the end of the range is off by one, the last page stays: from then on ' +
    'nobody knows a slot for it, so no notifier takes it away when the memory behind it is freed.',
  policy: 'classic',
  replace: { kvmUnmapGfnRange: takesLastForEnd },
  expect: ['I-SLOT'],
  litmus: 'z58-slot-end.litmus',
  clash: {
    steps: [locks('mmu_lock', 'setMemoryRegion'), changes('active memslots', 'kvmSwapActiveMemslots')],
    alone: true,
    follows: 'story',
  },
};

/**
 * Z42-no-pin: a sibling of Z42: the fault gives its pin back as soon as the page is mapped.
 *
 *     vCPU: pins P, has EL2 map it; unpins: stage 2 has it now      VMM: -
 *     -                                                             munmap: the last reference: P is free, and the guest's
 *
 * That is what user_mem_abort() does, whose guest follows notifiers. Where notifiers reach nothing the pin is all there is.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { VM_MM, pinnedPageWord, vmWord } from '../machine/layout.js';
import { mmuLock, mmuUnlock } from '../kvm/mmu.js';
import { pkvmMemAbort } from '../kvm/pkvm.js';
import { accountLockedVm } from '../mm/util.js';
import { get, set } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** pkvm_mem_abort() that keeps neither pin, nor charge, nor record. */
function* mapAndUnpin(ctx: Context, vm: number, vcpu: number, gfn: number, write: boolean): Coroutine {
  const result = yield* pkvmMemAbort(ctx, vm, vcpu, gfn, write);
  if (result !== 0) return result;
  const at = pinnedPageWord(ctx.m, vm, gfn);
  yield* mmuLock(ctx, vm);
  const pfn = get(ctx.words, at) - 1;
  set(ctx.words, at, 0);
  if (pfn >= 0) ctx.probe.onStage2Unpinned(ctx, vm, gfn, pfn);
  yield* mmuUnlock(ctx, vm);
  if (pfn < 0) return 0;
  yield* accountLockedVm(ctx, get(ctx.words, vmWord(ctx.m, vm, VM_MM)), 1, false);
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
  return 0;
}

export const z42NoPin: Bug = {
  id: 'Z42-no-pin',
  title: "a fault unpins the guest's page as soon as EL2 has mapped it",
  commit: '',
  fixedIn: '',
  story:
    'An ordinary stage-2 fault drops its reference once the page is mapped: notifiers keep the mapping honest. A protected guest is not ' +
    'reached by notifiers, so its pages must stay pinned; without that the host frees a page, and hands it out, that the guest owns.',
  policy: 'pkvm-2022',
  replace: { stage2Fault: mapAndUnpin },
  expect: ['I-FREE', 'I-OWN'],
  litmus: 'z42-no-pin.litmus',
  clash: {
    steps: [changes('refs', 'mapAndUnpin'), changes('refs', 'munmap')],
    or: [looksAt('PTE', 'pinUserPages'), changes('PTE', 'zapPageRange')],
    follows: 'story',
  },
};

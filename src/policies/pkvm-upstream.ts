/**
 * (g) pkvm-np-upstream: protected KVM as it went upstream for guests that are not protected, v6.14 to v6.18 (kernel-model 5 (g),
 * 3.31).
 *
 * What its authors did: EL2 owns the table, but the host decides what is in it and takes it back by hypercall when a notifier
 * says so: (a) with another table. EL2 only keeps account: a page that the host shares stays the host's, counted once for
 * each guest leaf, and a page of somebody else's is refused. Nothing is pinned and nothing charged.
 *
 * What the model predicts: all of (a)'s promises hold, I-STALE first of all, and all of its faults are there; besides, the
 * host's record of mappings and EL2's leaves are the same set, and the share count is the number of leaves (I-SHARECNT). Where
 * EL2 refuses a page, KVM_RUN ends with -EPERM. A protected guest is served as under (c), and judged by (c)'s claims.
 */
import { type Context, type Coroutine, RULES_V6_18 } from '../machine/context.js';
import { VM_PROTECTED, vmWord } from '../machine/layout.js';
import { userMemAbort } from '../kvm/mmu.js';
import { pkvmMemAbort } from '../kvm/pkvm.js';
import { pkvmStage2Map, pkvmStage2RelaxPerms, pkvmStage2Unmap, pkvmStage2Wrprotect } from '../kvm/pkvm-pgtable.js';
import { get } from '#words';
import type { Policy } from './policy.js';

function* stage2FaultByKind(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  permission: boolean,
): Coroutine {
  return get(ctx.words, vmWord(ctx.m, vm, VM_PROTECTED)) !== 0
    ? yield* pkvmMemAbort(ctx, vm, vcpu, gfn, write)
    : yield* userMemAbort(ctx, vm, vcpu, gfn, write, permission);
}

export const pkvmUpstream: Policy = {
  id: 'pkvm-np-upstream',
  title:
    '(g) EL2 owns the table, notifiers reach it by hypercall: protected KVM upstream, guests that are not protected',
  replace: {
    rules: { ...RULES_V6_18, protectedKvm: true, pkvmNotifiers: true },
    stage2Fault: stage2FaultByKind,
    stage2Map: pkvmStage2Map,
    stage2Unmap: pkvmStage2Unmap,
    stage2RelaxPerms: pkvmStage2RelaxPerms,
    stage2Wrprotect: pkvmStage2Wrprotect,
  },
  claims: {
    stage2FollowsHost: true,
    pinnedKeepsStage2: 'none',
    mappingPins: false,
    el2: true,
    // pkvmMemAbort(): as under (c)
    protectedGuests: { stage2FollowsHost: false, pinnedKeepsStage2: 'mapping' },
  },
};

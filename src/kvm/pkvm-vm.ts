/**
 * A protected VM's beginning and end on the host's side (arch/arm64/kvm/pkvm.c, A14; kernel-model 3.30). A guest's
 * page comes back in this order only: EL2 returns it, it is uncharged, it is unpinned (Z42).
 */
import { glance, setBeside } from '../machine/words/extra-accesses.js';
import { ENOMEM } from '../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC } from '../machine/context.js';
import {
  TABLE_POOL_NEXT,
  VCPUS_MAX,
  VCPU_HOST_MC_HEAD,
  VM_HANDLE,
  VM_HYP_TABLES,
  VM_MM,
  pinnedPageWord,
  s2TableWord,
  vcpuWord,
  vmWord,
} from '../machine/layout.js';
import { HYP_FINALIZE_TEARDOWN, HYP_INIT_VM, HYP_RECLAIM_PAGE, HYP_START_TEARDOWN } from '../hyp/hypercalls.js';
import { MC_PLACE_HOST_MC, MC_PLACE_TEARDOWN_MC, teardownMemcache } from '../hyp/memcache.js';
import { HANDLE_OFFSET } from '../hyp/vm.js';
import { folioPut } from '../mm/folio.js';
import { allocPages } from '../mm/page-alloc.js';
import { accountLockedVm } from '../mm/util.js';
import { get, set } from '#words';
import { kvmCallHyp } from './call-hyp.js';
import { freeHypMemcache } from './pkvm.js';
import { allocS2Table, freeS2Tables } from './s2-tables.js';

/**
 * pkvm_init_host_vm() and pkvm_create_hyp_vm(): reserves the handle, gives EL2 a page for its records and the VM its
 * table records. The handle exists before any notifier can come (v6.18, Z34).
 * @returns 0, -ENOMEM or what EL2 said
 */
export function* pkvmCreateHypVm(ctx: Context, vm: number): Coroutine {
  const { m, words } = ctx;
  const handle = HANDLE_OFFSET + vm;
  setBeside(words, vmWord(m, vm, VM_HANDLE), handle);
  const meta = yield* allocPages(ctx, 0, ctx.node, 0);
  if (meta < 0) return -ENOMEM;
  const result = yield* kvmCallHyp(ctx, HYP_INIT_VM, handle, meta, 0, 0);
  if (result !== 0) {
    yield* folioPut(ctx, meta, REF_ALLOC);
    return result;
  }
  const chain = vmWord(m, vm, VM_HYP_TABLES);
  for (let i = 0; i < m.vmBlocks; i++) {
    const table = yield* allocS2Table(ctx);
    if (table < 0) return -ENOMEM;
    set(words, s2TableWord(m, table, TABLE_POOL_NEXT), get(words, chain));
    set(words, chain, table + 1);
  }
  return 0;
}

/**
 * One page of the teardown loop: EL2 gives it back, then it is uncharged and unpinned. An error of EL2's only warns.
 * Uncharged from the process that was charged, whoever ends the VM (Z41).
 */
export function* pkvmReclaimPinnedPage(ctx: Context, vm: number, gfn: number): Coroutine<void> {
  const pfn = yield* pkvmReleasePinnedPage(ctx, vm, gfn);
  if (pfn < 0) return;
  yield* accountLockedVm(ctx, get(ctx.words, vmWord(ctx.m, vm, VM_MM)), 1, false);
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
}

/** Its first half: the page is the host's again, and the VM's record of it is gone. The page, or -1: none there. */
export function* pkvmReleasePinnedPage(ctx: Context, vm: number, gfn: number): Coroutine {
  const { m, words } = ctx;
  const at = pinnedPageWord(m, vm, gfn);
  const pfn = get(words, at) - 1;
  if (pfn < 0) return -1;
  const handle = glance(words, vmWord(m, vm, VM_HANDLE));
  const result = yield* kvmCallHyp(ctx, HYP_RECLAIM_PAGE, handle, pfn, gfn, 0);
  if (result !== 0) ctx.probe.onWarn(ctx, 'I-OWN', 'EL2 did not return a page', pfn);
  set(words, at, 0);
  ctx.probe.onStage2Unpinned(ctx, vm, gfn, pfn);
  return pfn;
}

/** pkvm_destroy_hyp_vm(), in the order of the kernel's rules: A14's, or the one posted in 2022. No vCPU is loaded. */
export function* pkvmDestroyHypVm(ctx: Context, vm: number): Coroutine<void> {
  const { m, words } = ctx;
  const handle = glance(words, vmWord(m, vm, VM_HANDLE));
  const first = ctx.kernel.rules.pkvmTeardown === 'A14' ? HYP_START_TEARDOWN : HYP_FINALIZE_TEARDOWN;
  const started = yield* kvmCallHyp(ctx, first, handle, 0, 0, 0);
  if (started !== 0) ctx.probe.onWarn(ctx, 'I-OWN', 'EL2 refused the teardown', -1);
  for (let gfn = 0; gfn < m.vmPages; gfn++) yield* ctx.kernel.pkvmReclaimPinnedPage(ctx, vm, gfn);
  if (first === HYP_START_TEARDOWN) {
    const result = yield* kvmCallHyp(ctx, HYP_FINALIZE_TEARDOWN, handle, 0, 0, 0);
    if (result !== 0) ctx.probe.onWarn(ctx, 'I-OWN', 'EL2 refused to finalize the teardown', -1);
  }
  setBeside(words, vmWord(m, vm, VM_HANDLE), 0);
  yield* freeHypMemcache(ctx, teardownMemcache(ctx, vm), MC_PLACE_TEARDOWN_MC);
  for (let vcpu = 0; vcpu < VCPUS_MAX; vcpu++) {
    yield* freeHypMemcache(ctx, vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD), MC_PLACE_HOST_MC);
  }
  const chain = vmWord(m, vm, VM_HYP_TABLES);
  yield* freeS2Tables(ctx, get(words, chain));
  set(words, chain, 0);
}

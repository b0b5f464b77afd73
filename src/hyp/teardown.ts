/**
 * How EL2 lets go of a VM (arch/arm64/kvm/hyp/nvhe/pkvm.c; kernel-model 3.30): Android 14's teardown (dying, page by page,
 * finalize), and the one posted in 2022 (destroyed at once, its pages asked for afterwards).
 */
import { EBUSY, EINVAL, ENOENT, EPERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import { PKVM_ID_HOST, PKVM_NOPAGE, PKVM_PAGE_OWNED, entryPfn, isS2Leaf, isS2Table } from '../machine/entries.js';
import {
  PAGE_CONTENT,
  VCPUS_MAX,
  VCPU_HYP_MC_HEAD,
  VM_HYP_META,
  VM_HYP_POOL_HEAD,
  VM_HYP_STATE,
  VM_HYP_USERS,
  pageWord,
  s2RootWord,
  vcpuWord,
  vmWord,
} from '../machine/layout.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { get, set, writeOnce } from '#words';
import {
  lockGuest,
  lockHost,
  lockPool,
  lockVmTable,
  unlockGuest,
  unlockHost,
  unlockPool,
  unlockVmTable,
} from './locks.js';
import { hostSetOwner, hypDonateHost } from './mem-protect.js';
import {
  MC_PLACE_HYP_MC,
  MC_PLACE_META,
  MC_PLACE_POOL,
  MC_PLACE_TEARDOWN_MC,
  moved,
  popMemcache,
  pushMemcache,
  teardownMemcache,
} from './memcache.js';
import {
  HYP_NEED_POISON,
  HYP_PENDING_RECLAIM,
  hostState,
  hypFlags,
  hypState,
  isAllowedMemory,
  setHypFlags,
} from './page-state.js';
import { clearGuestLeaf, freeTableIfEmpty, guestLeaf, guestPageState, unmapGuest } from './stage2.js';
import { HYP_VM_DYING, HYP_VM_NONE } from './vm.js';

/**
 * __pkvm_start_teardown_vm(): no vCPU is loaded from here on. 0, -ENOENT, -EINVAL (already dying), -EBUSY (vCPU
 * loaded).
 */
export function* startTeardown(ctx: Context, vm: number): Coroutine {
  const state = vmWord(ctx.m, vm, VM_HYP_STATE);
  yield* lockVmTable(ctx);
  let result = 0;
  if (get(ctx.words, state) === HYP_VM_NONE) result = -ENOENT;
  else if (get(ctx.words, state) === HYP_VM_DYING) result = -EINVAL;
  else if (get(ctx.words, vmWord(ctx.m, vm, VM_HYP_USERS)) > 0) result = -EBUSY;
  if (result === 0) set(ctx.words, state, HYP_VM_DYING);
  yield* unlockVmTable(ctx);
  return result;
}

/** hyp_poison_page(): zeroes, cleaned to the point of coherency. */
export function* poisonPage(ctx: Context, pfn: number): Coroutine<void> {
  const content = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield writes(content);
  writeOnce(ctx.words, content, 0);
}

/** The host owns the page from the step that this makes: I-WIPE is judged there. Host lock held. */
export function* giveToHost(ctx: Context, pfn: number, gfn: number, wipeDemanded: boolean): Coroutine<void> {
  yield* hostSetOwner(ctx, pfn, PKVM_ID_HOST);
  ctx.probe.onHostOwner(ctx, pfn, wipeDemanded);
  ctx.probe.onOwnership(ctx, pfn);
  emit(ctx, EVENT.ownership, pfn, hostState(ctx, pfn), hypState(ctx, pfn), gfn);
}

/** Whether the VM is being torn down: pages are reclaimed from dying guests only. vm_table_lock held. */
export const isDying = (ctx: Context, vm: number): boolean =>
  get(ctx.words, vmWord(ctx.m, vm, VM_HYP_STATE)) === HYP_VM_DYING;

/** The check phase of a reclaim: 0, -EINVAL (nothing is mapped at `gfn`) or -EPERM (another page is, or the host's side disagrees). */
export function checkReclaim(ctx: Context, vm: number, pfn: number, gfn: number): number {
  const leaf = guestLeaf(ctx, vm, gfn);
  if (!isS2Leaf(leaf)) return -EINVAL;
  const owned = guestPageState(leaf) === PKVM_PAGE_OWNED;
  return entryPfn(leaf) === pfn && (!owned || hostState(ctx, pfn) === PKVM_NOPAGE) ? 0 : -EPERM;
}

/** Its do phase: unmapped with its TLB entries, wiped if it was the guest's own, then the host's. Both locks held. */
export function* doReclaim(ctx: Context, vm: number, pfn: number, gfn: number): Coroutine<void> {
  const owned = guestPageState(guestLeaf(ctx, vm, gfn)) === PKVM_PAGE_OWNED;
  yield* unmapGuest(ctx, vm, gfn);
  if (owned) yield* poisonPage(ctx, pfn);
  yield* giveToHost(ctx, pfn, gfn, owned);
}

/**
 * __pkvm_reclaim_dying_guest_page().
 * @returns 0, -EINVAL (not dying, or nothing mapped at `gfn`), -EPERM (another page is, or the host's side disagrees)
 */
function* reclaimDyingGuestPage(ctx: Context, vm: number, pfn: number, gfn: number): Coroutine {
  yield* lockVmTable(ctx);
  let result = -EINVAL;
  if (ctx.kernel.isDying(ctx, vm) && gfn >= 0 && gfn < ctx.m.vmPages) {
    yield* lockHost(ctx);
    yield* lockGuest(ctx, vm);
    result = ctx.kernel.checkReclaim(ctx, vm, pfn, gfn);
    if (result === 0) yield* ctx.kernel.doReclaim(ctx, vm, pfn, gfn);
    yield* unlockGuest(ctx, vm);
    yield* unlockHost(ctx);
  }
  yield* unlockVmTable(ctx);
  return result;
}

/** __pkvm_host_reclaim_page() as posted in 2022: a page of a VM that is gone already. 0 or -EPERM. */
function* reclaimPendingPage(ctx: Context, pfn: number, gfn: number): Coroutine {
  if (!isAllowedMemory(ctx, pfn)) return -EPERM;
  yield* lockHost(ctx);
  const flags = hypFlags(ctx, pfn);
  const pending = (flags & HYP_PENDING_RECLAIM) !== 0;
  if (pending) {
    const poison = (flags & HYP_NEED_POISON) !== 0;
    if (poison) yield* poisonPage(ctx, pfn);
    setHypFlags(ctx, pfn, 0);
    yield* giveToHost(ctx, pfn, gfn, poison);
  }
  yield* unlockHost(ctx);
  return pending ? 0 : -EPERM;
}

/** The hypercall behind both: the kernel's rules say which teardown is in force. */
export const hostReclaimPage = (ctx: Context, vm: number, pfn: number, gfn: number): Coroutine =>
  ctx.kernel.rules.pkvmTeardown === 'A14'
    ? reclaimDyingGuestPage(ctx, vm, pfn, gfn)
    : reclaimPendingPage(ctx, pfn, gfn);

/** reclaim_guest_pages() of 2022: the guest's stage 2 goes at once; its pages wait for the host to ask for each. */
function* markPagesPending(ctx: Context, vm: number): Coroutine<void> {
  const { m, words } = ctx;
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  for (let gfn = 0; gfn < m.vmPages; gfn++) {
    if (!isS2Table(get(words, s2RootWord(m, vm, gfn)))) {
      gfn |= m.thpPages - 1;
      continue;
    }
    const leaf = guestLeaf(ctx, vm, gfn);
    if (!isS2Leaf(leaf)) continue;
    const poison = guestPageState(leaf) === PKVM_PAGE_OWNED ? HYP_NEED_POISON : 0;
    yield* clearGuestLeaf(ctx, vm, gfn);
    setHypFlags(ctx, entryPfn(leaf), HYP_PENDING_RECLAIM | poison);
  }
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
}

/**
 * __pkvm_finalize_teardown_vm(): TLBs of the VMID flushed before anything is reused, the handle gone, tables, pool,
 * vCPU memcaches and metadata given back to the host through the teardown memcache. 0 or -EINVAL (not dying).
 */
export function* finalizeTeardown(ctx: Context, vm: number): Coroutine {
  const { m, words } = ctx;
  const state = vmWord(m, vm, VM_HYP_STATE);
  if (ctx.kernel.rules.pkvmTeardown === 'v2022') {
    const started = yield* startTeardown(ctx, vm);
    if (started !== 0) return started;
    yield* markPagesPending(ctx, vm);
  }
  yield* lockVmTable(ctx);
  const dying = get(words, state) === HYP_VM_DYING;
  yield* unlockVmTable(ctx);
  if (!dying) return -EINVAL;
  yield* ctx.kernel.tlbFlushGuest(ctx, vm, 0, m.vmPages);
  yield* lockVmTable(ctx);
  set(words, state, HYP_VM_NONE);
  const meta = get(words, vmWord(m, vm, VM_HYP_META));
  set(words, vmWord(m, vm, VM_HYP_META), 0);
  yield* unlockVmTable(ctx);

  yield* lockGuest(ctx, vm);
  // what the host did not ask for is still mapped: those tables stay out of the tree's reach, their pages with the
  // guest
  for (let gfn = 0; gfn < m.vmPages; gfn += m.thpPages) yield* freeTableIfEmpty(ctx, vm, gfn);
  yield* unlockGuest(ctx, vm);

  for (;;) {
    yield* lockPool(ctx);
    const page = yield* popMemcache(ctx, vmWord(m, vm, VM_HYP_POOL_HEAD));
    yield* unlockPool(ctx);
    if (page === 0) break;
    yield* giveBack(ctx, vm, page, MC_PLACE_POOL);
  }
  for (let vcpu = 0; vcpu < VCPUS_MAX; vcpu++) {
    for (;;) {
      const page = yield* popMemcache(ctx, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_HEAD));
      if (page === 0) break;
      yield* giveBack(ctx, vm, page, MC_PLACE_HYP_MC);
    }
  }
  yield* giveBack(ctx, vm, meta, MC_PLACE_META);
  return 0;
}

/** teardown_donated_memory(): zeroed, linked into the teardown memcache, then the host's. */
function* giveBack(ctx: Context, vm: number, pfn: number, from: number): Coroutine<void> {
  yield* poisonPage(ctx, pfn);
  yield* pushMemcache(ctx, teardownMemcache(ctx, vm), pfn);
  moved(ctx, pfn, from, MC_PLACE_TEARDOWN_MC);
  if ((yield* hypDonateHost(ctx, pfn, 1)) !== 0) ctx.probe.onWarn(ctx, 'I-OWN', 'host refused its own page', pfn);
}

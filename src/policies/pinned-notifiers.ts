/**
 * (b) pinned-notifiers: pinned, and notifiers respected (kernel-model 5 (b), 3.25; KVM's statistical profiling, SPE).
 *
 * What its authors said: the profiling unit writes through guest addresses and cannot replay a store, so the guest's
 * buffer is pinned in the VMM (charged, FOLL_LONGTERM) and mapped at stage 2 up front; pinned memory should then stay
 * mapped. What the thread found: GUP raises the reference count under the page-table lock, but nobody has to look at
 * it before the invalidation is announced, and KVM unmaps whatever is announced.
 *
 * What the model predicts: the page never moves, its content is never lost, and I-STALE holds; yet NUMA scans, KSM
 * and THP splits keep taking its stage-2 entry away (counted, no violation), each time a window in which the unit's
 * records are lost. This is variant b1: the pin outlives the unmap. After MADV_DONTNEED it keeps a page that no one
 * maps any more, so a new mapping always comes from a new GUP call, and the old pin goes.
 *
 * Pages outside the VM's pinned range (VM_PIN_BASE, VM_PIN_PAGES) are those of a normal guest: userMemAbort.
 */
import {
  EAGAIN,
  EFAULT,
  EHWPOISON,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_WRITE,
} from '../machine/abi.js';
import { glance } from '../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, acquiresRead, reads, releases, releasesRead, updates } from '../machine/effects.js';
import {
  VM_INVALIDATE_SEQ,
  VM_MM,
  VM_MMU_LOCK,
  VM_PIN_BASE,
  VM_PIN_PAGES,
  pinnedPageWord,
  vmWord,
} from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { contended } from '../machine/wait.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { mmapReadLock, mmapReadUnlock } from '../locks/vma-lock.js';
import { accountLockedVm } from '../mm/util.js';
import { activeSet, activeSetWord, gfnToSlot, gfnToVpn, slotInvalid, slotReadonly } from '../kvm/memslots.js';
import { kvmFaultLock, kvmFaultUnlock } from '../kvm/mmu.js';
import { topupMmuCache } from '../kvm/s2-tables.js';
import { stage2RelaxPerms } from '../kvm/stage2.js';
import { kvmHandleGuestAbort, vcpuLoad } from '../kvm/vcpu.js';
import { kvmDestroyVm } from '../kvm/vm.js';
import { get, peek, readOnce, xchg } from '#words';
import type { Policy } from './policy.js';

const GUP_FLAGS = FOLL_WRITE | FOLL_LONGTERM | FOLL_HWPOISON | FOLL_HONOR_NUMA_FAULT;
/**
 * Faults that pinning a page at VM entry may take; an invalidation that stays open longer leaves it to the first
 * access.
 */
const ENTRY_TRIES = 16;

/** Whether the VM keeps `gfn` pinned. */
function inPinRange(ctx: Context, vm: number, gfn: number): boolean {
  const offset = gfn - get(ctx.words, vmWord(ctx.m, vm, VM_PIN_BASE));
  return offset >= 0 && offset < get(ctx.words, vmWord(ctx.m, vm, VM_PIN_PAGES));
}

function* stage2Fault(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  permission: boolean,
): Coroutine {
  if (!inPinRange(ctx, vm, gfn)) return yield* ctx.kernel.userMemAbort(ctx, vm, vcpu, gfn, write, permission);
  return yield* pinnedMemAbort(ctx, vm, vcpu, gfn, write, permission);
}

/** user_mem_abort() with a pin instead of a reference, kept by gfn. Same results. */
function* pinnedMemAbort(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  write: boolean,
  permission: boolean,
): Coroutine {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield reads(activeSetWord(ctx, vm));
  const slot = gfnToSlot(ctx, activeSet(ctx, vm), gfn);
  if (slot < 0 || slotInvalid(ctx, slot) || (write && slotReadonly(ctx, slot))) return -EFAULT;
  const filled = yield* topupMmuCache(ctx, vm, vcpu);
  if (filled !== 0) return filled;
  const mm = get(words, vmWord(m, vm, VM_MM));
  const pinnedAt = pinnedPageWord(m, vm, gfn);
  // a hint: another vCPU may be at the same page, which is put right below
  const first = glance(words, pinnedAt) === 0;
  if (first) {
    const charged = yield* accountLockedVm(ctx, mm, 1, true);
    if (charged !== 0) return charged;
  }
  const vpn = gfnToVpn(ctx, slot, gfn);
  const seqAt = vmWord(m, vm, VM_INVALIDATE_SEQ);
  yield* mmapReadLock(ctx, mm);
  if (--ctx.quantum < 0) yield reads(seqAt);
  const seq = readOnce(words, seqAt);
  const pfn = yield* ctx.kernel.pinUserPages(ctx, mm, vpn, GUP_FLAGS);
  yield* mmapReadUnlock(ctx, mm);
  if (pfn < 0) {
    if (first) yield* accountLockedVm(ctx, mm, 1, false);
    if (pfn !== -EHWPOISON) return -EFAULT;
    ctx.task.sigbus = true;
    countStat(m, ctx.actor, STAT.sigbus, 1);
    return 0;
  }
  ctx.probe.onLongtermPin(ctx, pfn);
  const lock = vmWord(ctx.m, vm, VM_MMU_LOCK);
  if (--ctx.quantum < 0) yield ctx.kernel.rules.protectedKvm ? acquires(lock) : acquiresRead(lock);
  while (!kvmFaultLock(ctx, lock)) yield contended(ctx, lock);
  let result = -EAGAIN;
  if (!ctx.kernel.mmuInvalidateRetry(ctx, vm, seq)) {
    emit(ctx, EVENT.stage2_check, vm, gfn, seq, get(ctx.words, vmWord(ctx.m, vm, VM_INVALIDATE_SEQ)));
    result = permission
      ? yield* stage2RelaxPerms(ctx, vm, gfn)
      : yield* ctx.kernel.stage2Map(ctx, vm, vcpu, gfn, pfn, false, true);
  }
  // of the two pins one goes: the older one, or ours if it maps nothing
  let surplus = pfn;
  let fresh = false;
  if (result === 0) {
    if (--ctx.quantum < 0) yield updates(pinnedAt);
    surplus = xchg(words, pinnedAt, pfn + 1) - 1;
    fresh = surplus < 0;
    if (!fresh) {
      // its entry had been taken away although it was pinned: whatever the unit wrote meanwhile is lost
      countStat(m, ctx.actor, STAT.lost_records, 1);
      emit(ctx, EVENT.lost_record, vm, gfn);
      ctx.probe.onStage2Unpinned(ctx, vm, gfn, surplus);
    }
    ctx.probe.onStage2Pinned(ctx, vm, gfn, pfn);
  }
  if (--ctx.quantum < 0) yield ctx.kernel.rules.protectedKvm ? releases(lock) : releasesRead(lock);
  kvmFaultUnlock(ctx, lock);
  if (surplus >= 0) yield* ctx.kernel.unpinUserPage(ctx, surplus, result === 0);
  if (first !== fresh) yield* accountLockedVm(ctx, mm, 1, fresh, true);
  return result === -EAGAIN ? 0 : result;
}

/** VM entry with profiling enabled: the whole buffer is pinned and mapped before the guest runs. */
function* enterWithBuffer(ctx: Context, vm: number, vcpu: number): Coroutine {
  const loaded = yield* vcpuLoad(ctx, vm, vcpu);
  const base = get(ctx.words, vmWord(ctx.m, vm, VM_PIN_BASE));
  const end = base + get(ctx.words, vmWord(ctx.m, vm, VM_PIN_PAGES));
  for (let gfn = base; gfn < end && loaded === 0; gfn++) {
    const at = pinnedPageWord(ctx.m, vm, gfn);
    for (let tries = 0; tries < ENTRY_TRIES && glance(ctx.words, at) === 0; tries++) {
      // a page that cannot be had is the guest's to find out: a buffer-management event when it writes there
      if ((yield* kvmHandleGuestAbort(ctx, vm, vcpu, gfn, true, false)) !== 0) break;
    }
  }
  return loaded;
}

/** The VM's end: its entries first, then the pins and their charge. */
function* destroyAndUnpin(ctx: Context, vm: number): Coroutine<void> {
  yield* kvmDestroyVm(ctx, vm);
  const mm = get(ctx.words, vmWord(ctx.m, vm, VM_MM));
  for (let gfn = 0; gfn < ctx.m.vmPages; gfn++) {
    const at = pinnedPageWord(ctx.m, vm, gfn);
    if (peek(ctx.words, at) === 0) continue;
    if (--ctx.quantum < 0) yield updates(at);
    const pfn = xchg(ctx.words, at, 0) - 1;
    ctx.probe.onStage2Unpinned(ctx, vm, gfn, pfn);
    yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
    yield* accountLockedVm(ctx, mm, 1, false);
  }
}

export const pinnedNotifiers: Policy = {
  id: 'pinned-notifiers',
  title: '(b) pinned, notifiers respected: the buffer of KVM profiling (SPE)',
  replace: { stage2Fault, vcpuLoad: enterWithBuffer, kvmDestroyVm: destroyAndUnpin },
  claims: { stage2FollowsHost: true, pinnedKeepsStage2: 'none', mappingPins: true, el2: false },
};

/**
 * KVM as a subscriber of MMU notifiers (virt/kvm/kvm_main.c, v6.18; kernel-model 3.22). Between start and end faults
 * are held off by mmu_invalidate_in_progress, after it by mmu_invalidate_seq; mn_active_invalidate_count keeps
 * memslots from changing, so that end finds a slot exactly if start did.
 */
import { touches } from '../machine/words/extra-accesses.js';
import type { Context, Coroutine, SubscriberOps } from '../machine/context.js';
import { acquires, adds, reads, releases, writes } from '../machine/effects.js';
import {
  VM_INVALIDATE_END,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_INVALIDATE_START,
  VM_MMU_LOCK,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_MN_INVALIDATE_LOCK,
  VM_SRCU,
  vmWord,
} from '../machine/layout.js';
import { contended, wake } from '../machine/wait.js';
import { LOCK_MMU, LOCK_MN_INVALIDATE } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { writeLock, writeUnlock } from '../locks/rw.js';
import { srcuEnter, srcuLeave, srcuSide } from '../locks/srcu.js';
import { get, look, set, writeOnce } from '#words';
import { activeSet, activeSetWord, slotAt, slotBase, slotCount, slotPages, slotVpn } from './memslots.js';
import { kvmFlushShadowAll } from './shadow.js';

/** kvm_mmu_notifier_ops. */
export const KVM_SUBSCRIBER: SubscriberOps = {
  invalidateRangeStart: kvmMmuNotifierInvalidateRangeStart,
  invalidateRangeEnd: kvmMmuNotifierInvalidateRangeEnd,
  release: kvmFlushShadowAll,
};

/** kvm_mmu_notifier_invalidate_range_start(): never fails; [start, end) of the VMM is in no stage 2 when it returns. */
function* kvmMmuNotifierInvalidateRangeStart(
  ctx: Context,
  vm: number,
  start: number,
  end: number,
  _event: number,
  blockable: boolean,
): Coroutine {
  const { m } = ctx;
  const mnLock = vmWord(m, vm, VM_MN_INVALIDATE_LOCK);
  if (--ctx.quantum < 0) yield acquires(mnLock);
  while (!spinLock(ctx, mnLock, LOCK_MN_INVALIDATE)) yield contended(ctx, mnLock);
  changeActiveCount(ctx, vm, 1);
  if (--ctx.quantum < 0) yield releases(mnLock);
  spinUnlock(ctx, mnLock, LOCK_MN_INVALIDATE);

  const srcu = vmWord(m, vm, VM_SRCU);
  if (--ctx.quantum < 0) yield reads(srcu);
  const side = srcuSide(ctx, srcu);
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuEnter(ctx, srcu, side);
  if (--ctx.quantum < 0) yield reads(activeSetWord(ctx, vm));
  const slots = activeSet(ctx, vm);
  const mmuLock = vmWord(m, vm, VM_MMU_LOCK);
  let locked = false;
  for (let i = 0; i < slotCount(ctx, slots); i++) {
    const slot = slotAt(slots, i);
    const offset = slotBase(ctx, slot) - slotVpn(ctx, slot);
    const first = Math.max(start, slotVpn(ctx, slot));
    const last = Math.min(end, slotVpn(ctx, slot) + slotPages(ctx, slot));
    if (first >= last) continue;
    if (!locked) {
      // only a range that has guest pages takes mmu_lock at all (071064f14d87)
      locked = true;
      if (--ctx.quantum < 0) yield acquires(mmuLock);
      while (!writeLock(ctx, mmuLock, LOCK_MMU)) yield contended(ctx, mmuLock);
      ctx.kernel.kvmMmuInvalidateBegin(ctx, vm);
    }
    kvmMmuInvalidateRangeAdd(ctx, vm, first + offset, last + offset);
    yield* ctx.kernel.kvmUnmapGfnRange(ctx, vm, first + offset, last + offset, blockable);
  }
  if (locked) {
    if (--ctx.quantum < 0) yield releases(mmuLock);
    writeUnlock(ctx, mmuLock, LOCK_MMU);
  }
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuLeave(ctx, srcu, side);
  return 0;
}

/** kvm_mmu_notifier_invalidate_range_end(). */
function* kvmMmuNotifierInvalidateRangeEnd(ctx: Context, vm: number, start: number, end: number): Coroutine<void> {
  const { m } = ctx;
  const srcu = vmWord(m, vm, VM_SRCU);
  if (--ctx.quantum < 0) yield reads(srcu);
  const side = srcuSide(ctx, srcu);
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuEnter(ctx, srcu, side);
  if (--ctx.quantum < 0) yield reads(activeSetWord(ctx, vm));
  if (overlapsSlot(ctx, activeSet(ctx, vm), start, end)) {
    const mmuLock = vmWord(m, vm, VM_MMU_LOCK);
    if (--ctx.quantum < 0) yield acquires(mmuLock);
    while (!writeLock(ctx, mmuLock, LOCK_MMU)) yield contended(ctx, mmuLock);
    if (--ctx.quantum < 0) yield writes(vmWord(m, vm, VM_INVALIDATE_SEQ));
    ctx.kernel.kvmMmuInvalidateEnd(ctx, vm);
    if (--ctx.quantum < 0) yield releases(mmuLock);
    writeUnlock(ctx, mmuLock, LOCK_MMU);
  }
  if (--ctx.quantum < 0) yield adds(srcu + 1 + side);
  srcuLeave(ctx, srcu, side);

  const mnLock = vmWord(m, vm, VM_MN_INVALIDATE_LOCK);
  if (--ctx.quantum < 0) yield acquires(mnLock);
  while (!spinLock(ctx, mnLock, LOCK_MN_INVALIDATE)) yield contended(ctx, mnLock);
  changeActiveCount(ctx, vm, -1);
  if (--ctx.quantum < 0) yield releases(mnLock);
  spinUnlock(ctx, mnLock, LOCK_MN_INVALIDATE);
}

function overlapsSlot(ctx: Context, slots: number, start: number, end: number): boolean {
  for (let i = 0; i < slotCount(ctx, slots); i++) {
    const slot = slotAt(slots, i);
    if (start < slotVpn(ctx, slot) + slotPages(ctx, slot) && end > slotVpn(ctx, slot)) return true;
  }
  return false;
}

/** mn_active_invalidate_count, mn_invalidate_lock held; the memslot updater waits for it to be 0. */
function changeActiveCount(ctx: Context, vm: number, delta: number): void {
  const at = vmWord(ctx.m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT);
  const before = get(ctx.words, at);
  const active = before + delta;
  // the updater waits for the word itself
  touches(writes(at), before);
  writeOnce(ctx.words, at, active);
  wake(ctx.m, at);
  ctx.probe.onInvalidateCount(ctx, vm, look(ctx.words, vmWord(ctx.m, vm, VM_INVALIDATE_IN_PROGRESS)), active);
}

/** kvm_mmu_invalidate_begin(): faults retry from here on. mmu_lock held for writing; only its holders look. */
export function kvmMmuInvalidateBegin(ctx: Context, vm: number): void {
  const at = vmWord(ctx.m, vm, VM_INVALIDATE_IN_PROGRESS);
  const inProgress = get(ctx.words, at) + 1;
  set(ctx.words, at, inProgress);
  if (inProgress === 1) {
    set(ctx.words, vmWord(ctx.m, vm, VM_INVALIDATE_START), -1);
    set(ctx.words, vmWord(ctx.m, vm, VM_INVALIDATE_END), -1);
  }
  tellCounts(ctx, vm, inProgress);
}

/** kvm_mmu_invalidate_range_add(): one merged interval, for the retry test that looks at a range. */
function kvmMmuInvalidateRangeAdd(ctx: Context, vm: number, start: number, end: number): void {
  const startAt = vmWord(ctx.m, vm, VM_INVALIDATE_START);
  const endAt = vmWord(ctx.m, vm, VM_INVALIDATE_END);
  const low = get(ctx.words, startAt);
  set(ctx.words, startAt, low < 0 ? start : Math.min(low, start));
  set(ctx.words, endAt, Math.max(get(ctx.words, endAt), end));
}

/**
 * kvm_mmu_invalidate_end(): the sequence first, which faults read without a lock (the one marked access; a point comes
 * before), then the count. mmu_lock held for writing.
 */
export function kvmMmuInvalidateEnd(ctx: Context, vm: number): void {
  const seqAt = vmWord(ctx.m, vm, VM_INVALIDATE_SEQ);
  writeOnce(ctx.words, seqAt, (get(ctx.words, seqAt) + 1) | 0);
  const at = vmWord(ctx.m, vm, VM_INVALIDATE_IN_PROGRESS);
  const inProgress = get(ctx.words, at) - 1;
  set(ctx.words, at, inProgress);
  if (inProgress < 0) ctx.probe.onWarn(ctx, 'I-BAL', 'mmu_invalidate_in_progress went below zero', -1);
  tellCounts(ctx, vm, inProgress);
}

function tellCounts(ctx: Context, vm: number, inProgress: number): void {
  ctx.probe.onInvalidateCount(ctx, vm, inProgress, look(ctx.words, vmWord(ctx.m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT)));
}

/** A VM from KVM_CREATE_VM to its end (virt/kvm/kvm_main.c, v6.18): creation, memslots, destruction. */
import { glance, setBeside } from '../machine/words/extra-accesses.js';
import {
  EEXIST,
  EINVAL,
  EPERM,
  KVM_MEM_LOG_DIRTY_PAGES,
  SUBSCRIBER_KVM,
  VM_STATE_CREATING,
  VM_STATE_DEAD,
  VM_STATE_DYING,
  VM_STATE_LIVE,
  VM_STATE_NONE,
} from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, releases, updates, writes } from '../machine/effects.js';
import {
  MM_VMA_COUNT,
  MM_VMA_LIST,
  type Machine,
  VCPUS_MAX,
  VM_HANDLE,
  VM_HAS_PGT,
  VM_INVALIDATE_END,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_START,
  VM_MEMSLOTS,
  VM_MM,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_MN_INVALIDATE_LOCK,
  VM_PIN_BASE,
  VM_PIN_PAGES,
  VM_PROTECTED,
  VM_SLOTS_LOCK,
  VM_SRCU,
  VM_STATE,
  VM_USERS,
  VM_VMID,
  dirtyWord,
  mmWord,
  vmWord,
} from '../machine/layout.js';
import { contended, waitWhile } from '../machine/wait.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { LOCK_MN_INVALIDATE, LOCK_SLOTS } from '../locks/classes.js';
import { mutexLock, mutexUnlock, spinLock, spinUnlock } from '../locks/exclusive.js';
import { synchronizeSrcu } from '../locks/srcu.js';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from '../locks/vma-lock.js';
import { mmuNotifierRegister, mmuNotifierUnregister } from '../mm/mmu-notifier.js';
import { dropAllRmapLocks, takeAllRmapLocks } from '../mm/vma/take-all-locks.js';
import { type Words, cmpxchg, get, readOnce, set, writeOnce } from '#words';
import {
  KVM_MEMSLOT_INVALID,
  activeSetWord,
  checkSlot,
  copySet,
  replaceSlot,
  setAt,
  slotBase,
  slotById,
  slotFlags,
  slotPages,
  slotVpn,
} from './memslots.js';
import { mmuLock, mmuUnlock } from './mmu.js';
import { pkvmDestroyHypVm } from './pkvm-vm.js';
import { freeMmuCache } from './s2-tables.js';

/**
 * kvm_create_vm(): VM `vm` of process `mm`, without memory yet; subscribes to the process's notifiers.
 * @param isProtected under protected KVM: its pages are donated rather than shared
 * @returns 0, -EEXIST, -ENOMEM or what EL2 said
 */
export function* kvmCreateVm(ctx: Context, vm: number, mm: number, isProtected: boolean): Coroutine {
  const { m, words } = ctx;
  const stateAt = vmWord(m, vm, VM_STATE);
  if (--ctx.quantum < 0) yield updates(stateAt);
  const was = readOnce(words, stateAt);
  // the kernel's VM is a new one each time; ours is one of a few, and who asks first has it
  if (was !== VM_STATE_NONE && was !== VM_STATE_DEAD) return -EEXIST;
  if (cmpxchg(words, stateAt, was, VM_STATE_CREATING) !== was) return -EEXIST;
  const el2 = ctx.kernel.rules.protectedKvm;
  change(words, vmWord(m, vm, VM_MM), mm);
  set(words, vmWord(m, vm, VM_VMID), vm + 1);
  change(words, vmWord(m, vm, VM_PROTECTED), el2 && isProtected ? 1 : 0);
  set(words, vmWord(m, vm, VM_HAS_PGT), hostHasTable(ctx, isProtected) ? 1 : 0);
  set(words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS), 0);
  set(words, vmWord(m, vm, VM_INVALIDATE_START), -1);
  set(words, vmWord(m, vm, VM_INVALIDATE_END), -1);
  set(words, vmWord(m, vm, VM_MEMSLOTS), 0);
  set(words, setAt(m, vm, 0), 0);
  set(words, setAt(m, vm, 1), 0);
  if (el2) {
    const result = yield* ctx.kernel.pkvmCreateHypVm(ctx, vm);
    if (result !== 0) {
      if (--ctx.quantum < 0) yield writes(stateAt);
      writeOnce(words, stateAt, was);
      return result;
    }
  }
  yield* mmapWriteLock(ctx, mm);
  yield* takeAllVmaLocks(ctx, mm);
  yield* takeAllRmapLocks(ctx, mm);
  mmuNotifierRegister(ctx, mm, SUBSCRIBER_KVM, vm);
  yield* dropAllRmapLocks(ctx, mm);
  yield* mmapWriteUnlock(ctx, mm);
  if (--ctx.quantum < 0) yield writes(stateAt);
  writeOnce(words, stateAt, VM_STATE_LIVE);
  // kvm_dev_ioctl_create_vm(), fd_install(): from here on others can name it
  setBeside(words, vmWord(m, vm, VM_USERS), 1);
  emit(ctx, EVENT.vm_create, vm, mm, isProtected ? 1 : 0);
  return 0;
}

/** A word that another's KVM_CREATE_VM looks at: told to the search where it changes. */
function change(words: Words, index: number, value: number): void {
  if (get(words, index) !== value) setBeside(words, index, value);
}

/** Whether stage 2 of such a VM is the host's to change: directly, or by hypercalls for guests that follow notifiers. */
const hostHasTable = (ctx: Context, isProtected: boolean): boolean =>
  !ctx.kernel.rules.protectedKvm || (ctx.kernel.rules.pkvmNotifiers && !isProtected);

/** mm_take_all_locks(), the VMAs' half: MADV_DONTNEED sends notifiers under a VMA's lock alone (v6.17). */
function* takeAllVmaLocks(ctx: Context, mm: number): Coroutine<void> {
  const count = get(ctx.words, mmWord(ctx.m, mm, MM_VMA_COUNT));
  for (let i = 0; i < count; i++) yield* vmaStartWrite(ctx, mm, get(ctx.words, mmWord(ctx.m, mm, MM_VMA_LIST) + i));
}

/**
 * The gfns that policy pinned-notifiers keeps pinned (a profiling buffer), before actors run. Widened to whole
 * blocks, so that no block mapping of the pages beside them covers any.
 */
export function kvmSetPinRange(m: Machine, vm: number, base: number, pages: number): void {
  const mask = m.thpPages - 1;
  const first = base & ~mask;
  const last = Math.min(m.vmPages, (base + pages + mask) & ~mask);
  set(m.words, vmWord(m, vm, VM_PIN_BASE), first);
  set(m.words, vmWord(m, vm, VM_PIN_PAGES), pages === 0 ? 0 : last - first);
}

/**
 * KVM_SET_USER_MEMORY_REGION: creates slot `id` (0 to 2), moves it, changes its flags, or deletes it (`pages` 0).
 * @param base first gfn; `vpn` the VMM's first page; `flags` KVM_MEM_*
 * @returns 0, -EINVAL (bounds, no such slot, size changed), -EEXIST (guest pages taken), -EPERM (pKVM: not once it
 *   has a handle)
 */
export function* kvmSetMemslot(
  ctx: Context,
  vm: number,
  id: number,
  base: number,
  pages: number,
  vpn: number,
  flags: number,
): Coroutine {
  const lock = vmWord(ctx.m, vm, VM_SLOTS_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!mutexLock(ctx, lock, LOCK_SLOTS)) yield contended(ctx, lock);
  const result = yield* setMemoryRegion(ctx, vm, id, base, pages, vpn, flags);
  if (--ctx.quantum < 0) yield releases(lock);
  mutexUnlock(ctx, lock, LOCK_SLOTS);
  return result;
}

function* setMemoryRegion(
  ctx: Context,
  vm: number,
  id: number,
  base: number,
  pages: number,
  vpn: number,
  flags: number,
): Coroutine {
  const { m } = ctx;
  const active = currentSet(ctx, vm);
  const old = slotById(ctx, active, id);
  if (pages === 0 && old < 0) return -EINVAL;
  const checked = pages === 0 ? 0 : checkSlot(ctx, active, id, base, pages, vpn);
  if (checked !== 0) return checked;
  const oldBase = old < 0 ? 0 : slotBase(ctx, old);
  const oldPages = old < 0 ? 0 : slotPages(ctx, old);
  const oldFlags = old < 0 ? 0 : slotFlags(ctx, old);
  const moves = old >= 0 && pages > 0 && (base !== oldBase || vpn !== slotVpn(ctx, old));
  if (old >= 0 && pages > 0 && pages !== oldPages) return -EINVAL;
  if (pages === 0 || moves) {
    // kvm_arch_prepare_memory_region: the pages belong to EL2's side by now
    const isProtected = get(ctx.words, vmWord(m, vm, VM_PROTECTED)) !== 0;
    if (!hostHasTable(ctx, isProtected) && glance(ctx.words, vmWord(m, vm, VM_HANDLE)) !== 0) return -EPERM;
    yield* invalidateMemslot(ctx, vm, id, active, old);
  }
  const next = inactiveSet(ctx, vm);
  copySet(ctx, currentSet(ctx, vm), next);
  replaceSlot(ctx, next, id, base, pages, vpn, flags);
  yield* kvmActivateSet(ctx, vm);
  const starts = (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0 && (oldFlags & KVM_MEM_LOG_DIRTY_PAGES) === 0;
  if (starts && pages > 0) yield* startLogging(ctx, vm, base, pages);
  return 0;
}

/** kvm_invalidate_memslot(): no new mapping through the slot can begin, then what is mapped goes. */
function* invalidateMemslot(ctx: Context, vm: number, id: number, active: number, old: number): Coroutine<void> {
  const base = slotBase(ctx, old);
  const pages = slotPages(ctx, old);
  const next = inactiveSet(ctx, vm);
  copySet(ctx, active, next);
  replaceSlot(ctx, next, id, base, pages, slotVpn(ctx, old), slotFlags(ctx, old) | KVM_MEMSLOT_INVALID);
  yield* kvmActivateSet(ctx, vm);
  // kvm_arch_flush_shadow_memslot()
  const mechanism = ctx.task.mechanism;
  ctx.task.mechanism = MECH.memslot;
  yield* mmuLock(ctx, vm);
  yield* ctx.kernel.kvmUnmapGfnRange(ctx, vm, base, base + pages, true);
  yield* mmuUnlock(ctx, vm);
  ctx.task.mechanism = mechanism;
}

/** kvm_mmu_wp_memory_region(): from here on each page's first write is seen. */
function* startLogging(ctx: Context, vm: number, base: number, pages: number): Coroutine<void> {
  yield* mmuLock(ctx, vm);
  if (get(ctx.words, vmWord(ctx.m, vm, VM_HAS_PGT)) !== 0)
    yield* ctx.kernel.stage2Wrprotect(ctx, vm, base, base + pages);
  yield* mmuUnlock(ctx, vm);
}

/** Under slots_lock nobody else swaps: plain. */
const currentSet = (ctx: Context, vm: number): number => setAt(ctx.m, vm, get(ctx.words, activeSetWord(ctx, vm)));
const inactiveSet = (ctx: Context, vm: number): number => setAt(ctx.m, vm, get(ctx.words, activeSetWord(ctx, vm)) ^ 1);

function* kvmActivateSet(ctx: Context, vm: number): Coroutine<void> {
  yield* ctx.kernel.kvmSwapActiveMemslots(ctx, vm);
  yield* synchronizeSrcu(ctx, vmWord(ctx.m, vm, VM_SRCU));
}

/**
 * kvm_swap_active_memslots(): waits until no invalidation is between its start and its end (LK4), then makes the
 * other set the active one. Otherwise an end could find a slot that its start did not, and in_progress would never
 * come back to 0 (Z26).
 */
export function* kvmSwapActiveMemslots(ctx: Context, vm: number): Coroutine<void> {
  const { m, words } = ctx;
  const lock = vmWord(m, vm, VM_MN_INVALIDATE_LOCK);
  const active = vmWord(m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT);
  for (;;) {
    if (--ctx.quantum < 0) yield acquires(lock);
    while (!spinLock(ctx, lock, LOCK_MN_INVALIDATE)) yield contended(ctx, lock);
    const open = get(words, active);
    if (open === 0) break;
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_MN_INVALIDATE);
    yield waitWhile(ctx, active, open);
  }
  const at = activeSetWord(ctx, vm);
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(words, at, readOnce(words, at) ^ 1);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_MN_INVALIDATE);
}

/**
 * kvm_destroy_vm(): the last reference is gone, no vCPU runs. Unsubscribes (its release frees the host's table),
 * takes the guest's pages back from EL2, frees what the vCPUs had reserved. Takes mmap_lock for writing.
 */
export function* kvmDestroyVm(ctx: Context, vm: number): Coroutine<void> {
  const { m, words } = ctx;
  const mechanism = ctx.task.mechanism;
  ctx.task.mechanism = MECH.teardown;
  const stateAt = vmWord(m, vm, VM_STATE);
  const mm = get(words, vmWord(m, vm, VM_MM));
  if (--ctx.quantum < 0) yield writes(stateAt);
  writeOnce(words, stateAt, VM_STATE_DYING);
  yield* mmapWriteLock(ctx, mm);
  yield* takeAllVmaLocks(ctx, mm);
  yield* mmuNotifierUnregister(ctx, mm, SUBSCRIBER_KVM, vm);
  yield* mmapWriteUnlock(ctx, mm);
  // unregistered between a start and its end: no end will come
  if (get(words, vmWord(m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT)) !== 0) {
    set(words, vmWord(m, vm, VM_MN_ACTIVE_INVALIDATE_COUNT), 0);
    set(words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS), 0);
    ctx.probe.onInvalidateCount(ctx, vm, 0, 0);
  } else if (get(words, vmWord(m, vm, VM_INVALIDATE_IN_PROGRESS)) !== 0) {
    ctx.probe.onWarn(ctx, 'I-BAL', 'VM ends with invalidations in progress', -1);
  }
  if (ctx.kernel.rules.protectedKvm) yield* pkvmDestroyHypVm(ctx, vm);
  for (let vcpu = 0; vcpu < VCPUS_MAX; vcpu++) yield* freeMmuCache(ctx, vm, vcpu);
  set(words, setAt(m, vm, get(words, activeSetWord(ctx, vm))), 0);
  for (let gfn = 0; gfn < m.vmPages; gfn += 32) set(words, dirtyWord(m, vm, gfn), 0);
  setBeside(words, vmWord(m, vm, VM_USERS), 0);
  if (--ctx.quantum < 0) yield writes(stateAt);
  writeOnce(words, stateAt, VM_STATE_DEAD);
  emit(ctx, EVENT.vm_destroy, vm);
  ctx.task.mechanism = mechanism;
}

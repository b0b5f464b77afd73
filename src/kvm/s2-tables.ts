/**
 * Stage-2 table pages of VMs whose tables the host owns: the pool, the vCPU's memcache (arch/arm64/kvm/mmu.c
 * kvm_mmu_topup_memory_cache, v6.18), and tables that a block has replaced.
 *
 * Another fault handler may still walk a replaced table, since faults hold mmu_lock only for reading: the kernel
 * frees it by RCU. Here it waits on the VM's deferred list until somebody holds mmu_lock for writing, when no walker
 * is inside.
 */
import { ENOMEM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, releases, updates } from '../machine/effects.js';
import {
  GLOBAL_S2_POOL_LOCK,
  S2_POOL_FREE,
  S2_POOL_HEAD,
  TABLE_HEADER,
  TABLE_POOL_NEXT,
  TABLE_REFS,
  VCPU_MMU_CACHE,
  VM_MMU_LOCK,
  VM_S2_DEFERRED,
  globalLock,
  globalWord,
  s2TableWord,
  vcpuWord,
  vmWord,
} from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_MMU, LOCK_POOL } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { mightSleep } from '../locks/held.js';
import { writeLock, writeUnlock } from '../locks/rw.js';
import { cmpxchg, get, peek, readOnce, set, xchg } from '#words';

/** Takes a table out of the pool, where all are empty: its number, or -1. Its refcount is 1. */
export function* allocS2Table(ctx: Context): Coroutine {
  const { m, words } = ctx;
  const lock = globalLock(m, GLOBAL_S2_POOL_LOCK);
  const head = globalWord(m, S2_POOL_HEAD);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_POOL)) yield contended(ctx, lock);
  const table = get(words, head) - 1;
  if (table >= 0) {
    set(words, head, get(words, s2TableWord(m, table, TABLE_POOL_NEXT)));
    set(words, globalWord(m, S2_POOL_FREE), get(words, globalWord(m, S2_POOL_FREE)) - 1);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_POOL);
  if (table < 0) return -1;
  set(words, s2TableWord(m, table, TABLE_REFS), 1);
  ctx.probe.onStage2Table(ctx, table, true);
  return table;
}

/** Gives a chain of empty tables back: `first` is a number + 1, 0 ends it, linked by TABLE_POOL_NEXT. */
export function* freeS2Tables(ctx: Context, first: number): Coroutine<void> {
  if (first === 0) return;
  const { m, words } = ctx;
  const lock = globalLock(m, GLOBAL_S2_POOL_LOCK);
  const head = globalWord(m, S2_POOL_HEAD);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_POOL)) yield contended(ctx, lock);
  for (let table = first - 1; table >= 0;) {
    const link = s2TableWord(m, table, TABLE_POOL_NEXT);
    const next = get(words, link) - 1;
    ctx.probe.onStage2Table(ctx, table, false);
    set(words, link, get(words, head));
    set(words, head, table + 1);
    set(words, globalWord(m, S2_POOL_FREE), get(words, globalWord(m, S2_POOL_FREE)) + 1);
    table = next;
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_POOL);
}

/**
 * kvm_mmu_topup_memory_cache(): one table in the vCPU's cache, which is all that one fault can need. May sleep.
 * @returns 0 or -ENOMEM
 */
export function* topupMmuCache(ctx: Context, vm: number, vcpu: number): Coroutine {
  mightSleep(ctx, 'kvm_mmu_topup_memory_cache');
  const cache = vcpuWord(ctx.m, vm, vcpu, VCPU_MMU_CACHE);
  if (hasCachedTable(ctx, vm, vcpu)) return 0;
  if (ctx.task.failAllocation > 0 && --ctx.task.failAllocation === 0) return -ENOMEM;
  let table = yield* allocS2Table(ctx);
  if (table < 0) {
    // what waits for its grace period is memory that reclaim would get at
    yield* reapDeferredTables(ctx, vm);
    table = yield* allocS2Table(ctx);
    if (table < 0) return -ENOMEM;
  }
  set(ctx.words, cache, table + 1);
  return 0;
}

/** Whether the vCPU's cache is full, so that nothing has to be topped up. */
export const hasCachedTable = (ctx: Context, vm: number, vcpu: number): boolean =>
  get(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_MMU_CACHE)) !== 0;

/** kvm_mmu_memory_cache_alloc(): the table in the vCPU's cache, or -1. Under mmu_lock: nothing is allocated there. */
export function takeCachedTable(ctx: Context, vm: number, vcpu: number): number {
  const cache = vcpuWord(ctx.m, vm, vcpu, VCPU_MMU_CACHE);
  const table = get(ctx.words, cache) - 1;
  if (table >= 0) set(ctx.words, cache, 0);
  return table;
}

/** Puts a table that lost its race back into the vCPU's cache. */
export function returnCachedTable(ctx: Context, vm: number, vcpu: number, table: number): void {
  set(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_MMU_CACHE), table + 1);
}

/** kvm_mmu_free_memory_cache(). */
export function* freeMmuCache(ctx: Context, vm: number, vcpu: number): Coroutine<void> {
  const table = takeCachedTable(ctx, vm, vcpu);
  if (table < 0) return;
  set(ctx.words, s2TableWord(ctx.m, table, TABLE_POOL_NEXT), 0);
  yield* freeS2Tables(ctx, table + 1);
}

/**
 * free_unlinked_table(): a table that is out of the tree, though other walkers may be inside. mmu_lock held for
 * reading.
 */
export function* deferS2Table(ctx: Context, vm: number, table: number): Coroutine<void> {
  const list = vmWord(ctx.m, vm, VM_S2_DEFERRED);
  for (;;) {
    if (--ctx.quantum < 0) yield updates(list);
    const first = readOnce(ctx.words, list);
    set(ctx.words, s2TableWord(ctx.m, table, TABLE_POOL_NEXT), first);
    if (cmpxchg(ctx.words, list, first, table + 1) === first) return;
  }
}

/** Whether tables wait on the deferred list. mmu_lock held for writing, without which nobody adds to it. */
export const hasDeferredTables = (ctx: Context, vm: number): boolean =>
  peek(ctx.words, vmWord(ctx.m, vm, VM_S2_DEFERRED)) !== 0;

/** Frees what waits on the deferred list. mmu_lock held for writing. */
export function* freeDeferredTables(ctx: Context, vm: number): Coroutine<void> {
  const list = vmWord(ctx.m, vm, VM_S2_DEFERRED);
  if (!hasDeferredTables(ctx, vm)) return;
  if (--ctx.quantum < 0) yield updates(list);
  const first = xchg(ctx.words, list, 0);
  for (let table = first - 1; table >= 0; table = get(ctx.words, s2TableWord(ctx.m, table, TABLE_POOL_NEXT)) - 1) {
    for (let i = 0; i < ctx.m.thpPages; i++) set(ctx.words, s2TableWord(ctx.m, table, TABLE_HEADER + i), 0);
  }
  yield* freeS2Tables(ctx, first);
}

function* reapDeferredTables(ctx: Context, vm: number): Coroutine<void> {
  const lock = vmWord(ctx.m, vm, VM_MMU_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!writeLock(ctx, lock, LOCK_MMU)) yield contended(ctx, lock);
  yield* freeDeferredTables(ctx, vm);
  if (--ctx.quantum < 0) yield releases(lock);
  writeUnlock(ctx, lock, LOCK_MMU);
}

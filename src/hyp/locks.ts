/**
 * EL2's locks (kernel-model 2.2): vm_table_lock > host_mmu.lock > pkvm_pgd_lock or hyp_vm.lock > pool lock. They
 * spin.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, releases } from '../machine/effects.js';
import {
  GLOBAL_HOST_MMU_LOCK,
  GLOBAL_HYP_POOL_LOCK,
  GLOBAL_PKVM_PGD_LOCK,
  GLOBAL_VM_TABLE_LOCK,
  VM_HYP_LOCK,
  globalLock,
  vmWord,
} from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_HOST_MMU, LOCK_HYP_POOL, LOCK_HYP_VM, LOCK_PKVM_PGD, LOCK_VM_TABLE } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';

function* lock(ctx: Context, word: number, lockClass: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield acquires(word);
  while (!spinLock(ctx, word, lockClass)) yield contended(ctx, word);
}

function* unlock(ctx: Context, word: number, lockClass: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield releases(word);
  spinUnlock(ctx, word, lockClass);
}

export const lockVmTable = (ctx: Context): Coroutine<void> =>
  lock(ctx, globalLock(ctx.m, GLOBAL_VM_TABLE_LOCK), LOCK_VM_TABLE);
export const unlockVmTable = (ctx: Context): Coroutine<void> =>
  unlock(ctx, globalLock(ctx.m, GLOBAL_VM_TABLE_LOCK), LOCK_VM_TABLE);

/** host_lock_component(). */
export const lockHost = (ctx: Context): Coroutine<void> =>
  lock(ctx, globalLock(ctx.m, GLOBAL_HOST_MMU_LOCK), LOCK_HOST_MMU);
export const unlockHost = (ctx: Context): Coroutine<void> =>
  unlock(ctx, globalLock(ctx.m, GLOBAL_HOST_MMU_LOCK), LOCK_HOST_MMU);

/** hyp_lock_component(). */
export const lockHyp = (ctx: Context): Coroutine<void> =>
  lock(ctx, globalLock(ctx.m, GLOBAL_PKVM_PGD_LOCK), LOCK_PKVM_PGD);
export const unlockHyp = (ctx: Context): Coroutine<void> =>
  unlock(ctx, globalLock(ctx.m, GLOBAL_PKVM_PGD_LOCK), LOCK_PKVM_PGD);

/** guest_lock_component(). */
export const lockGuest = (ctx: Context, vm: number): Coroutine<void> =>
  lock(ctx, vmWord(ctx.m, vm, VM_HYP_LOCK), LOCK_HYP_VM);
export const unlockGuest = (ctx: Context, vm: number): Coroutine<void> =>
  unlock(ctx, vmWord(ctx.m, vm, VM_HYP_LOCK), LOCK_HYP_VM);

export const lockPool = (ctx: Context): Coroutine<void> =>
  lock(ctx, globalLock(ctx.m, GLOBAL_HYP_POOL_LOCK), LOCK_HYP_POOL);
export const unlockPool = (ctx: Context): Coroutine<void> =>
  unlock(ctx, globalLock(ctx.m, GLOBAL_HYP_POOL_LOCK), LOCK_HYP_POOL);

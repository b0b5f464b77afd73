/** kvm_flush_shadow_all() (arch/arm64/kvm/mmu.c kvm_free_stage2_pgd, v6.18): the end of a VM's stage-2 table. */
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { VM_HAS_PGT, vmWord } from '../machine/layout.js';
import { get, set } from '#words';
import { mmuLock, mmuUnlock } from './mmu.js';
import { freeDeferredTables } from './s2-tables.js';

/**
 * Detaches and frees the VM's table, if it has one. Called by the notifier's release: when the VM ends, or its process.
 * The VMID's TLB entries go with it; the kernel leaves them until the VMID is recycled, since no vCPU runs any more.
 */
export function* kvmFlushShadowAll(ctx: Context, vm: number): Coroutine<void> {
  const hasTable = vmWord(ctx.m, vm, VM_HAS_PGT);
  const mechanism = ctx.task.mechanism;
  if (mechanism === MECH.none) ctx.task.mechanism = MECH.teardown;
  yield* mmuLock(ctx, vm);
  if (get(ctx.words, hasTable) !== 0) {
    set(ctx.words, hasTable, 0);
    yield* ctx.kernel.stage2Unmap(ctx, vm, 0, ctx.m.vmPages);
    yield* freeDeferredTables(ctx, vm);
  }
  yield* mmuUnlock(ctx, vm);
  ctx.task.mechanism = mechanism;
}

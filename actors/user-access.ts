/** A process's own load or store: the hardware's translation, and the faults that it takes until the access is done. */
import { FAULT_FLAG_WRITE, VM_FAULT_SIGSEGV } from '../src/machine/abi.js';
import { ACCESS_DONE, ACCESS_HOST_STAGE2, hostAccess } from '../src/machine/access.js';
import type { Context, Coroutine } from '../src/machine/context.js';
import { RETRY } from '../src/machine/effects.js';
import { LATENCY, STAT, countStat } from '../src/machine/stats.js';
import { hostStage2Abort } from '../src/kvm/call-hyp.js';
import { doUserAddrFault } from '../src/mm/memory/memory.js';
import { noteLatency } from './latency.js';

/**
 * Loads from, or stores `value` to, page `vpn` of process `mm`, faulting where it must.
 * @returns 0, with what was read or replaced in `ctx.accessValue`; or the signal that the task would get:
 *   VM_FAULT_SIGSEGV (no such memory, or it is a guest's own), _SIGBUS, _HWPOISON, _OOM
 */
export function* touchUser(ctx: Context, mm: number, vpn: number, write: boolean, value: number): Coroutine {
  const { protectedKvm } = ctx.kernel.rules;
  countStat(ctx.m, ctx.actor, STAT.host_accesses, 1);
  for (let tries = 0; ; tries++) {
    // an entry whose fault another task handles just now, under the PTL: the access faults again until it is there
    if (tries === 2) ctx.task.loops++;
    if (tries > 1 && --ctx.quantum < 0) yield RETRY;
    const result = yield* hostAccess(ctx, mm, vpn, write, value, protectedKvm);
    if (result === ACCESS_DONE) return 0;
    if (result === ACCESS_HOST_STAGE2) {
      // taken at EL2: it maps the page for the host, or reflects the fault to the task
      if ((yield* hostStage2Abort(ctx, ctx.out.abortPfn)) !== 0) return VM_FAULT_SIGSEGV;
      continue;
    }
    const started = ctx.clock();
    ctx.probe.onOperation(ctx, LATENCY.host_fault + 1, true);
    const fault = yield* doUserAddrFault(ctx, mm, vpn, write ? FAULT_FLAG_WRITE : 0);
    ctx.probe.onOperation(ctx, LATENCY.host_fault + 1, false);
    noteLatency(ctx, LATENCY.host_fault, started);
    if (fault !== 0) return fault;
    if (ctx.task.fatalSignal) return VM_FAULT_SIGSEGV;
  }
}

/**
 * How the host reaches EL2 (kvm_call_hyp_nvhe): a message to the EL2 instance that serves its CPU, whose reply it
 * spins for; or, on a CPU that has none (set-up and teardown outside a run), in place, which is where real hardware
 * runs it.
 */
import { EAGAIN } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { CPU_EL2, type Machine, cpuWord } from '../machine/layout.js';
import { call } from '../machine/mailbox.js';
import { LATENCY, STAT, countStat, noteLatency } from '../machine/stats.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { HYP_HOST_MEM_ABORT, handleHostHcall } from '../hyp/hypercalls.js';
import { get, set } from '#words';

/**
 * Names the EL2 instances before actors run (or with an empty list, after they have ended).
 * @param servers the CPUs of the EL2 actors; CPU n is served by the n-th of them, round and round
 */
export function assignEl2(m: Machine, servers: readonly number[]): void {
  for (let cpu = 0; cpu < m.cpus; cpu++) {
    const server = servers.length === 0 ? -1 : (servers[cpu % servers.length] as number);
    set(m.words, cpuWord(m, cpu, CPU_EL2), server + 1);
  }
}

/** One hypercall HYP_* with its arguments; returns its result. Legal in atomic context: EL2 takes no host lock. */
export function* kvmCallHyp(ctx: Context, fn: number, a: number, b: number, c: number, d: number): Coroutine {
  countStat(ctx.m, ctx.actor, STAT.hypercalls, 1);
  const server = get(ctx.words, ctx.cpuAt + CPU_EL2) - 1;
  if (server >= 0) {
    countStat(ctx.m, ctx.actor, STAT.messages, 1);
    const started = ctx.clock();
    emit(ctx, EVENT.message, server, fn, a, b);
    const answer = yield* call(ctx, server, fn, a, b, c, d);
    noteLatency(ctx, LATENCY.hypercall, started);
    return answer;
  }
  const irqsOff = ctx.cpu.irqsOff;
  ctx.cpu.atEl2 = true;
  ctx.cpu.irqsOff = true;
  const loaded = ctx.cpu.loadedVm < 0 ? -1 : (ctx.cpu.loadedVm << 8) | ctx.cpu.loadedVcpu;
  const result = yield* handleHostHcall(ctx, ctx.actor, loaded, fn, a, b, c, d);
  ctx.cpu.atEl2 = false;
  ctx.cpu.irqsOff = irqsOff;
  return result;
}

/**
 * The host's own stage-2 abort, after `hostAccess` said ACCESS_HOST_STAGE2 for frame `pfn`.
 * @returns 0: access again; -EPERM: EL2 injects an abort, which kills the process that touched a guest's page
 */
export function* hostStage2Abort(ctx: Context, pfn: number): Coroutine {
  const result = yield* kvmCallHyp(ctx, HYP_HOST_MEM_ABORT, pfn, 0, 0, 0);
  return result === -EAGAIN ? 0 : result;
}

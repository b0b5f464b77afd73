/**
 * The teardown that ends every run: VMs are destroyed, processes exit, per-CPU lists go back to their zones. It runs on the
 * caller's thread when all actors have returned, with the plan's EL2 instances served in between, as one task would see it
 * on a machine where nobody else runs.
 */
import { VM_STATE_LIVE } from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { Context, type Coroutine, type Kernel, type Probe } from '../../machine/context.js';
import {
  ACTOR_OPERATION,
  MM_USERS,
  MM_VMA_COUNT,
  type Machine,
  VM_STATE,
  actorWord,
  mmWord,
  vmWord,
} from '../../machine/layout.js';
import { NO_EVENTS } from '../../events/ring.js';
import { endFullScan } from '../../mm/ksm/tree.js';
import { exitMmap } from '../../mm/exit.js';
import { drainPcp } from '../../mm/page-alloc.js';
import { dropSwapCache } from '../../mm/swap/swap-state.js';
import { lruAddDrainAll } from '../../mm/swap.js';
import { shmemPunchHole } from '../../mm/truncate.js';
import { ACTOR_KINDS } from '../../../actors/index.js';
import type { Plan } from '../../plan/plan.js';
import { Driven, runToEnd } from './driven.js';

/** The CPU that tears down: the first actor's, which has returned. */
const CPU = 0;
/**
 * Tears everything down.
 * @param probe watches it as it watched the run
 * @throws Error naming the word it waits for, when nobody is left who could change it
 */
export function tearDown(m: Machine, plan: Plan, kernel: Kernel, probe: Probe): void {
  const contextOf = (cpu: number): Context => {
    const ctx = new Context(m, kernel, probe, NO_EVENTS, cpu, plan.actors[cpu]?.node ?? 0, plan.seed);
    ctx.task.mechanism = MECH.teardown;
    return ctx;
  };
  const servers = plan.actors.flatMap((spec, cpu): Driven[] => {
    const main = ACTOR_KINDS[spec.kind];
    if (spec.tier !== 'server' || main === undefined) return [];
    const ctx = contextOf(cpu);
    return [new Driven(ctx, main(ctx, spec, plan))];
  });
  const ctx = contextOf(CPU);
  const run = (coroutine: Coroutine<unknown>): void => void runToEnd(ctx, coroutine, 'the teardown', servers);
  for (let vm = 0; vm < m.vms; vm++) {
    if (m.words[vmWord(m, vm, VM_STATE)] === VM_STATE_LIVE) run(kernel.kvmDestroyVm(ctx, vm));
  }
  for (let mm = 0; mm < m.mms; mm++) {
    // threads that have ended are users no more, whether or not somebody has ended the memory
    const used =
      (m.words[mmWord(m, mm, MM_USERS)] as number) > 0 || (m.words[mmWord(m, mm, MM_VMA_COUNT)] as number) > 0;
    if (used) run(exitMmap(ctx, mm));
  }
  for (let object = 0; object < m.objects; object++) {
    if (m.objectPages > 0) run(shmemPunchHole(ctx, object, 0, m.objectPages));
  }
  run(lruAddDrainAll(ctx));
  run(dropSwapCache(ctx));
  run(endFullScan(ctx));
  for (let cpu = 0; cpu < m.cpus; cpu++) {
    const owner = contextOf(cpu);
    for (let node = 0; node < m.nodes; node++)
      runToEnd(owner, drainPcp(owner, node, m.frames), 'the teardown', servers);
  }
  for (let cpu = 0; cpu < m.cpus; cpu++) m.words[actorWord(m, cpu, ACTOR_OPERATION)] = 0;
}

/**
 * EL2: the hypervisor's execution on the CPUs that it serves (call-hyp.ts assigns them). It sleeps on its bell, which
 * every message rings, and runs each request to its end: interrupts masked, never preempted by host code, never
 * sleeping.
 *
 * Several instances run in parallel, against each other's locks; with fewer than CPUs, those that share one queue up.
 */
import { glance } from '../src/machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../src/machine/context.js';
import { reads, writes } from '../src/machine/effects.js';
import {
  CPU_BELL,
  CPU_EL2,
  CPU_MAILBOX,
  MAIL_ARGS,
  MAIL_FUNCTION,
  MAIL_STATE,
  MAIL_VCPU,
  cpuWord,
} from '../src/machine/layout.js';
import { MAIL_POSTED, bellAtStart, posted, reply } from '../src/machine/mailbox.js';
import { idleWhile } from '../src/machine/wait.js';
import { handleHostHcall } from '../src/hyp/hypercalls.js';
import { get, readOnce } from '#words';

/** The server's loop. It has no parameters. */
export function* el2(ctx: Context): Coroutine<void> {
  const { m, words } = ctx;
  const bell = cpuWord(m, ctx.actor, CPU_BELL);
  ctx.cpu.atEl2 = true;
  ctx.cpu.irqsOff = true;
  let rung = bellAtStart(ctx);
  let waits = true;
  for (let cpu = 0; cpu < m.cpus; cpu++) if (hasPosted(ctx, cpu)) waits = false;
  for (;;) {
    if (ctx.finish) return;
    // the look at the bell is a wait at once: between two messages there is nothing to do
    if ((--ctx.quantum < 0 || readOnce(words, bell) === rung) && waits) {
      yield idleWhile(ctx, bell, rung);
      if (ctx.finish) return;
    }
    waits = true;
    rung = readOnce(words, bell);
    let served = 0;
    for (let cpu = 0; cpu < m.cpus; cpu++) {
      // whoever posted before the bell was read is seen by a plain look; later posts ring it again
      if (!hasPosted(ctx, cpu)) continue;
      const slot = cpuWord(m, cpu, CPU_MAILBOX);
      if (--ctx.quantum < 0) yield reads(slot + MAIL_STATE);
      if (!posted(ctx, cpu)) continue;
      yield* serve(ctx, cpu, slot);
      served++;
    }
    if (served > 0) ctx.probe.onProgress(ctx);
  }
}

/** A glance: whether a request of `cpu`, one that this instance serves, seems to be waiting. */
function hasPosted(ctx: Context, cpu: number): boolean {
  const { m, words } = ctx;
  if (get(words, cpuWord(m, cpu, CPU_EL2)) !== ctx.actor + 1) return false;
  return glance(words, cpuWord(m, cpu, CPU_MAILBOX) + MAIL_STATE) === MAIL_POSTED;
}

function* serve(ctx: Context, cpu: number, slot: number): Coroutine<void> {
  const { words } = ctx;
  const args = slot + MAIL_ARGS;
  const result = yield* handleHostHcall(
    ctx,
    cpu,
    get(words, slot + MAIL_VCPU),
    get(words, slot + MAIL_FUNCTION),
    get(words, args),
    get(words, args + 1),
    get(words, args + 2),
    get(words, args + 3),
  );
  if (--ctx.quantum < 0) yield writes(slot + MAIL_STATE);
  reply(ctx, cpu, result);
}

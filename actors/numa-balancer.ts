/**
 * The NUMA balancer: the task work that a process runs on its return to user mode when its scan is due
 * (kernel/sched/fair.c task_numa_work). Here it is an actor of its own, a thread of that process that does nothing
 * else.
 *
 *   mm          the process
 *   period_us   microseconds between two scans (the kernel's numa_balancing_scan_period: 1,000,000 to 60,000,000)
 *   scan_pages  pages that one scan may change (the kernel's numa_balancing_scan_size: 256 MiB, 65,536 pages)
 *   ops         ends after so many scans; 0 = runs on (default 0)
 */
import type { Context, Coroutine } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP } from '../src/machine/effects.js';
import { LATENCY } from '../src/machine/stats.js';
import { NUMA_SCAN_PAGES, taskNumaWork } from '../src/mm/mempolicy.js';
import { noteLatency } from './latency.js';
import { type ActorParams, carried, carry, param } from './types.js';

/** The balancer's loop. */
export function* numaBalancer(ctx: Context, params: ActorParams): Coroutine<void> {
  const mm = param(params, 'mm', 0);
  const ops = param(params, 'ops', 0);
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    const started = ctx.clock();
    yield* taskNumaWork(ctx, mm, param(params, 'scan_pages', NUMA_SCAN_PAGES));
    noteLatency(ctx, LATENCY.numa_scan, started);
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'period_us', 1_000_000);
    yield IDLE_SLEEP;
  }
  carry(ctx, { done });
}

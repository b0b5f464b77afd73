/**
 * khugepaged (mm/khugepaged.c): scans a batch of pages for ranges to collapse, and sleeps.
 *
 *   pages_to_scan   pages of a batch (the kernel's default: 8 huge pages)
 *   sleep_us        microseconds between batches (the kernel's: 10,000,000)
 *   ops             ends after so many batches; 0 = runs on (default 0)
 */
import type { Context, Coroutine } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP } from '../src/machine/effects.js';
import { STATS_MECHANISMS_AT, LATENCY, MC_PAGES_MOVED, MECHANISM_COUNTERS } from '../src/machine/stats.js';
import { MECH } from '../src/machine/mechanisms.js';
import { khugepagedScan } from '../src/mm/khugepaged/khugepaged.js';
import { noteLatency } from './latency.js';
import { type ActorParams, carried, carry, param } from './types.js';

/** khugepaged's loop. */
export function* khugepaged(ctx: Context, params: ActorParams): Coroutine<void> {
  const ops = param(params, 'ops', 0);
  const movedAt = ctx.statsAt + STATS_MECHANISMS_AT + MECH.khugepaged * MECHANISM_COUNTERS + MC_PAGES_MOVED;
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    const moved = ctx.words[movedAt];
    const started = ctx.clock();
    yield* khugepagedScan(ctx, param(params, 'pages_to_scan', 8 * ctx.m.thpPages));
    if (ctx.words[movedAt] !== moved) noteLatency(ctx, LATENCY.collapse, started);
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'sleep_us', 10_000_000);
    yield IDLE_SLEEP;
  }
  carry(ctx, { done });
}

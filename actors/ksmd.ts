/**
 * ksmd (mm/ksm.c ksm_scan_thread): scans a batch of pages and sleeps, while ksm/run is 1.
 *
 *   pages_to_scan   pages of a batch (the kernel's default: 100)
 *   sleep_us        microseconds between batches (the kernel's: 20,000)
 *   ops             ends after so many batches; 0 = runs on (default 0)
 */
import type { Context, Coroutine } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP } from '../src/machine/effects.js';
import { KSM_RUN, globalWord } from '../src/machine/layout.js';
import { LATENCY, STAT } from '../src/machine/stats.js';
import { idleWhile } from '../src/machine/wait.js';
import { ksmDoScan } from '../src/mm/ksm/ksm.js';
import { peek } from '#words';
import { noteLatency } from './latency.js';
import { type ActorParams, carried, carry, param } from './types.js';

/** ksmd's loop. */
export function* ksmd(ctx: Context, params: ActorParams): Coroutine<void> {
  const ops = param(params, 'ops', 0);
  const run = globalWord(ctx.m, KSM_RUN);
  const scannedAt = ctx.statsAt + STAT.ksm_pages_scanned;
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    // ksmd_should_run()
    if (peek(ctx.words, run) !== 1) {
      yield idleWhile(ctx, run, peek(ctx.words, run));
      continue;
    }
    const scanned = ctx.words[scannedAt] as number;
    const started = ctx.clock();
    yield* ksmDoScan(ctx, param(params, 'pages_to_scan', 100));
    // the time of one page, on average over the batch
    const batch = (ctx.words[scannedAt] as number) - scanned;
    if (batch > 0) noteLatency(ctx, LATENCY.ksm_page, started, batch);
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'sleep_us', 20_000);
    yield IDLE_SLEEP;
  }
  carry(ctx, { done });
}

/** Latencies of operations, by the host's clock; one-thread runs have no clock and record nothing. */
import type { Context } from '../src/machine/context.js';
import { recordLatency } from '../src/machine/stats.js';

/** Adds the time since `started` (a `ctx.clock()`), shared by `operations`, to histogram LATENCY.<name>. */
export function noteLatency(ctx: Context, latency: number, started: number, operations = 1): void {
  const now = ctx.clock();
  if (now > 0) recordLatency(ctx.m, ctx.actor, latency, (now - started) / operations);
}

/**
 * Where scanners are at work: what a workload asks that brings its pages together with them. It reads the notes that actors make
 * of themselves (machine/stats.ts), without a lock: a wrong one costs nothing, since a workload may touch any page at any time.
 *
 * A real DMA user does not follow scanners; they come to its buffers in turn, once in seconds or minutes. Following them only brings
 * about sooner what would come about anyway.
 */
import { type Context, type Coroutine, randomBelow } from '../src/machine/context.js';
import { reads } from '../src/machine/effects.js';
import { statsBase } from '../src/machine/layout.js';
import { STATS_AT_MM, STATS_AT_VPN } from '../src/machine/stats.js';
import { readOnce } from '#words';

/** A page of `mm` that another actor scans or invalidates at this moment, or -1: none does. */
export function* scannedPage(ctx: Context, mm: number): Coroutine {
  const { m, words } = ctx;
  const first = randomBelow(ctx, m.cpus);
  for (let i = 0; i < m.cpus; i++) {
    const actor = (first + i) % m.cpus;
    if (actor === ctx.actor) continue;
    const mmAt = statsBase(m, actor) + STATS_AT_MM;
    if (--ctx.quantum < 0) yield reads(mmAt);
    if (readOnce(words, mmAt) !== mm + 1) continue;
    const vpnAt = statsBase(m, actor) + STATS_AT_VPN;
    if (--ctx.quantum < 0) yield reads(vpnAt);
    return readOnce(words, vpnAt);
  }
  return -1;
}

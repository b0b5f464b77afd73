/**
 * A subscriber that stands still while everybody works: in lossy mode the simulation goes on without it, in lossless mode it
 * loses nothing. What the subscriber waits for is the simulation's own doing, so no time decides: a simulation that were
 * held up, or that were not, would never let it go on.
 */
import { describe, expect, it } from 'vitest';
import { sumStat } from '#src/lab/report/report.js';
import { Simulation } from '#src/lab/run/simulation.js';
import { STAT } from '#src/machine/stats.js';
import { TINY, scenarioFile } from './tiny.js';

const RING = 256;
const STALLS = 3;
const EVENTS = 4000;

const napping = new Int32Array(new SharedArrayBuffer(4));

/** Stands still, the whole thread with it, until something is so. */
function stallUntil(holds: () => boolean): void {
  while (!holds()) Atomics.wait(napping, 0, 0, 1);
}

interface Seen {
  batches: number;
  received: number;
  /** Events that were to be written and did not come, by the gaps of each worker's count. */
  missing: number;
}

/** Runs everybody on two workers with small rings; `stall` is what the subscriber does with some batches. */
async function run(events: 'lossy' | 'lossless', stall: (simulation: Simulation) => void) {
  const simulation = await Simulation.start({
    scenario: scenarioFile(TINY),
    seed: 3,
    workers: 2,
    events,
    ringRecords: RING,
  });
  const worker = new Map<number, number>();
  for (const { actors, worker: number } of simulation.placement().rows) {
    for (const actor of actors) worker.set(simulation.actorNames.indexOf(actor), number);
  }
  const next = new Map<number, number>();
  const seen: Seen = { batches: 0, received: 0, missing: 0 };
  const enough = new Promise<void>((resolve) => {
    simulation.events$.subscribe((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const from = worker.get(batch.actor(i)) ?? 0;
        seen.missing += (batch.sequence(i) - (next.get(from) ?? 0)) >>> 0;
        next.set(from, batch.sequence(i) + 1);
      }
      seen.received += batch.length;
      if (seen.batches++ < STALLS) stall(simulation);
      if (seen.batches > STALLS && seen.received > EVENTS) resolve();
    });
  });
  await enough;
  const report = await simulation.stop();
  return { report, seen };
}

describe('a subscriber that stands still', () => {
  it('lossy: holds up nobody; what it misses is counted', async () => {
    const { report, seen } = await run('lossy', (simulation) => {
      const accesses = (): number => sumStat(simulation.machine, STAT.accesses);
      const before = { accesses: accesses(), dropped: simulation.eventCounters.dropped };
      stallUntil(() => accesses() > before.accesses + 2000 && simulation.eventCounters.dropped > before.dropped + RING);
    });
    const { written, delivered, dropped, unobserved, waits } = report.events;
    expect(report.ok).toBe(true);
    expect(waits).toBe(0);
    expect(dropped).toBeGreaterThan(STALLS * RING);
    expect([written, delivered, unobserved]).toEqual([seen.received, seen.received, 0]);
    // drops after a worker's last event leave no gap
    expect(seen.missing).toBeGreaterThan(STALLS * RING);
    expect(seen.missing).toBeLessThanOrEqual(dropped);
  });

  it('lossless: loses nothing; workers wait, which is counted', async () => {
    const { report, seen } = await run('lossless', (simulation) => {
      const { written, delivered } = simulation.eventCounters;
      stallUntil(() => simulation.eventCounters.waits > 0);
      // both rings full, and the batch in hand is counted already
      expect(written - delivered).toBeLessThanOrEqual(2 * RING);
    });
    const { written, delivered, dropped, unobserved, waits } = report.events;
    expect(report.ok).toBe(true);
    expect(waits).toBeGreaterThan(0);
    expect([dropped, seen.missing]).toEqual([0, 0]);
    expect([written, delivered, unobserved]).toEqual([seen.received, seen.received, 0]);
    expect(seen.received).toBeGreaterThan(EVENTS);
  });
});

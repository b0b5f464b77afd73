/**
 * Starting, watching and stopping simulations leaves nothing behind: no thread, port, listener, timer or memory.
 * CYCLES says how many (npm run soak:streams: 1,000).
 */
import { syncBuiltinESMExports } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import threads from 'node:worker_threads';
import { expect, it } from 'vitest';
import { Machine } from '#src/machine/layout.js';
import { bootMachine } from '#src/mm/boot.js';
import { TEST_MODULES, actors, planOf, until } from '../engine/threads-plan.js';

const CYCLES = Number(process.env.CYCLES ?? 30);
/** Cycles until code is compiled and pools have their size. */
const WARM_UP = Math.min(10, CYCLES >> 1);
const GROWTH_MAX = 8 << 20;

const open = { workers: 0, ports: 0 };

/** Ports that have been made and not closed. Before anything else is imported that makes some. */
class CountedChannel extends threads.MessageChannel {
  constructor() {
    super();
    for (const port of [this.port1, this.port2]) {
      open.ports++;
      // a port that is transferred closes here
      port.once('close', () => open.ports--);
    }
  }
}
threads.MessageChannel = CountedChannel;
syncBuiltinESMExports();
const { Simulation } = await import('#src/lab/run/simulation.js');

process.on('worker', (worker) => {
  open.workers++;
  worker.once('exit', () => open.workers--);
});
setFlagsFromString('--expose_gc');
const gc = runInNewContext('gc') as () => void;

async function cycle(n: number): Promise<void> {
  const plan = planOf(actors(2, 'locks', { rounds: 200 }));
  const machine = new Machine(plan.machine);
  bootMachine(machine);
  const simulation = await Simulation.run(plan, machine, {
    modules: TEST_MODULES,
    workers: 1 + (n % 2),
    events: n % 3 === 0 ? 'lossy' : 'lossless',
    ringRecords: 256,
    metricsMs: 5,
    auditSeconds: 10,
  });
  let got = 0;
  const early = [
    simulation.events$.subscribe((batch) => (got += batch.length)),
    simulation.merged$.subscribe(),
    simulation.metrics$.subscribe(),
    simulation.violations$.subscribe(),
    simulation.nearMisses$.subscribe(),
  ];
  // some leave early, some stay to the end
  const late = [simulation.merged$.subscribe(), simulation.metrics$.subscribe(), simulation.nearMisses$.subscribe()];
  await until(() => got > 0);
  for (const subscription of early) subscription.unsubscribe();
  if (n % 5 === 0) await simulation.setWorkers(2 - (n % 2));
  const report = await simulation.stop();
  // actors that only lock ask nothing of memory: nothing else is wrong
  expect(report.violation_count).toBe(0);
  expect(['finished', 'scenario-over']).toContain(report.end.kind);
  expect(late.every((subscription) => subscription.closed)).toBe(true);
}

const listeners = (): number =>
  process.eventNames().reduce((sum, name) => sum + process.listenerCount(name as NodeJS.Signals), 0);
const resources = (): string =>
  process
    .getActiveResourcesInfo()
    .filter((name) => name !== 'Immediate')
    .toSorted()
    .join(' ');

async function memory(): Promise<number> {
  for (let n = 0; n < 3; n++) {
    gc();
    await new Promise((resolve) => void setTimeout(resolve, 10));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

it(
  `${CYCLES} simulations, several at once, leave nothing behind`,
  async () => {
    let before = { memory: 0, listeners: 0, resources: '' };
    for (let n = 0; n < CYCLES;) {
      // one, two or three at once
      const together = Math.min(1 + (n % 3), CYCLES - n);
      await Promise.all(Array.from({ length: together }, (_, k) => cycle(n + k)));
      n += together;
      if (before.memory === 0 && n >= WARM_UP)
        before = { memory: await memory(), listeners: listeners(), resources: resources() };
    }
    await until(() => open.workers === 0 && open.ports === 0);
    const after = { memory: await memory(), listeners: listeners(), resources: resources() };
    expect(open).toEqual({ workers: 0, ports: 0 });
    expect(after.listeners).toBe(before.listeners);
    expect(after.resources).toBe(before.resources);
    expect(after.memory - before.memory).toBeLessThan(GROWTH_MAX);
    // oxlint-disable-next-line no-console -- the soak's result
    if (CYCLES > 100) console.log({ cycles: CYCLES, grown: after.memory - before.memory, ...open });
  },
  120_000 + CYCLES * 1000,
);

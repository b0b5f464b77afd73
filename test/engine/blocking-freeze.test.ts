/** A freeze of workers in the blocking form: nobody waits for an actor that retries until a frozen one goes on. */
import { expect, it } from 'vitest';
import { BENCH_STAGE2_REFAULT } from '#actors/bench.js';
import { prepareMachine } from '#src/engine/machine/setup.js';
import { startThreads } from '#src/engine/threads/threads.js';
import { benchPlan } from '#src/lab/bench/plans.js';
import { statsBase } from '#src/machine/layout.js';
import { MEASURED_GO, MEASURED_OPERATIONS, STATS_MEASURED_AT } from '#src/machine/stats.js';

// A vCPU's fault is retried while an invalidation of its VM is under way, also one that a freeze has caught in the middle.
it('comes about while vCPUs of one VM fault and unmap', async () => {
  const plan = benchPlan({ operation: BENCH_STAGE2_REFAULT, actors: 3, pages: 64, guests: true });
  const machine = prepareMachine(plan);
  const measured = (field: number): number[] =>
    plan.actors.map((_, actor) => statsBase(machine, actor) + STATS_MEASURED_AT + field);
  for (const word of measured(MEASURED_GO)) machine.words[word] = 1;
  const run = await startThreads(plan, machine, { events: 'off', timeouts: false });
  for (let round = 0; round < 25; round++) {
    await run.pause();
    const done = measured(MEASURED_OPERATIONS).map((word) => machine.words[word]);
    await new Promise((resolve) => void setTimeout(resolve, 4));
    expect(measured(MEASURED_OPERATIONS).map((word) => machine.words[word])).toEqual(done);
    await run.resume();
    await new Promise((resolve) => void setTimeout(resolve, 4));
  }
  expect(Math.min(...measured(MEASURED_OPERATIONS).map((word) => machine.words[word] as number))).toBeGreaterThan(0);
  const end = await run.finish();
  expect(end.text).toBe('finished');
});

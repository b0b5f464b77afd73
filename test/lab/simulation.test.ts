/** The library's face, over synthetic actors: observables, knobs, pause, reports of every way to end. */
import { firstValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { ActorSpec } from '#src/plan/plan.js';
import { TOKEN_AT } from '#test/fixtures/lock-actors.js';
import { ACTOR_STEPS, Machine, actorWord, globalWord } from '#src/machine/layout.js';
import { InputError } from '#src/errors/errors.js';
import { type RunOptions, Simulation } from '#src/lab/run/simulation.js';
import { bootMachine } from '#src/mm/boot.js';
import { ofType } from '#src/trace/observables.js';
import { TEST_MODULES, actor, actors, planOf, until } from '../engine/threads-plan.js';

function simulate(specs: readonly ActorSpec[], options: RunOptions = {}): Promise<Simulation> {
  const plan = planOf(specs);
  const machine = new Machine(plan.machine);
  bootMachine(machine);
  return Simulation.run(plan, machine, { modules: TEST_MODULES, ...options });
}

describe('a simulation', () => {
  it('delivers every event, reports, and completes its observables', async () => {
    const simulation = await simulate(actors(3, 'locks', { rounds: 3000 }), { workers: 2, ringRecords: 256 });
    const seen = [0, 0, 0];
    let disorder = 0;
    const last = firstValueFrom(simulation.merged$.pipe(ofType('mark'), toArray()));
    simulation.events$.subscribe((batch) => {
      for (let i = 0; i < batch.length; i++) {
        if (batch.a(i) !== seen[batch.actor(i)]) disorder++;
        seen[batch.actor(i)] = batch.a(i) + 1;
      }
    });
    await until(() => seen.every((count) => count === 3000));
    const report = await simulation.stop();
    expect(disorder).toBe(0);
    expect(seen).toEqual([3000, 3000, 3000]);
    expect((await last).length).toBe(9000);
    expect(report.events).toMatchObject({ written: 9000, delivered: 9000, dropped: 0, unobserved: 0, late: 0 });
    expect(report).toMatchObject({
      schema: 'pinfall.report/1',
      workers: 2,
      // they have no memory to access, and have all returned
      asked: false,
      ok: false,
      end: { kind: 'scenario-over', detail: 'all actors had ended' },
    });
    expect(report.threads.flatMap((row) => row.actors).toSorted()).toEqual(['a0', 'a1', 'a2']);
    expect(await simulation.stop()).toBe(report);
  });

  it('drops and counts in lossy mode, never waits', async () => {
    const specs = actors(2, 'spinner', { events: 3 });
    const simulation = await simulate(specs, { workers: 2, ringRecords: 64, events: 'lossy' });
    let got = 0;
    simulation.events$.subscribe((batch) => (got += batch.length));
    await until(() => simulation.eventCounters.dropped > 1000 && got > 0);
    const { events } = await simulation.stop(true);
    expect(events.dropped).toBeGreaterThan(1000);
    expect(events.waits).toBe(0);
    expect(events.delivered).toBe(got);
    expect(events.delivered + events.unobserved).toBe(events.written);
  });

  it('measures while it runs; a pause stands everything still', async () => {
    const simulation = await simulate(actors(2, 'spinner'), { workers: 2, metricsMs: 20, events: 'off' });
    const metrics = await firstValueFrom(simulation.metrics$);
    expect(metrics.interval_s).toBeGreaterThan(0);
    expect(metrics.rates.accesses).toBe(0);
    await simulation.pause();
    const steps = (): number => simulation.machine.words[actorWord(simulation.machine, 0, ACTOR_STEPS)] as number;
    const before = steps();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(steps()).toBe(before);
    await simulation.resume();
    await until(() => steps() !== before);
    await simulation.setKnob('quantum', 10);
    await expect(simulation.setKnob('warp', 9)).rejects.toThrow(InputError);
    const report = await simulation.stop(true);
    expect(report.end.kind).toBe('interrupted');
    expect(report.not_asked).toBe('no guest and no process accessed memory');
    expect(report.ok).toBe(false);
  });

  // A sleeper whose time came while the drain held it must not sleep on for ever.
  it('goes on after an audit, sleepers too', async () => {
    const specs = [actor('t', 'ticker', { sleep_us: 200 }, 'daemon'), ...actors(1, 'spinner')];
    const simulation = await simulate(specs, { workers: 2, events: 'off', watchdog: false });
    const token = (): number => simulation.machine.words[globalWord(simulation.machine, TOKEN_AT)] as number;
    for (let round = 0; round < 5; round++) {
      const before = token();
      await until(() => token() > before + 3);
      expect(token()).toBeGreaterThan(before + 3);
      expect(await simulation.audit()).toBe(0);
    }
    await simulation.stop();
  });

  it('draws what led to a violation, also for those who subscribe late', async () => {
    const specs = [actor('culprit', 'doomed', { how: 4, rounds: 50 }), ...actors(1, 'locks', { rounds: 2000 })];
    const simulation = await simulate(specs, { workers: 2, events: 'recorder' });
    const violation = await firstValueFrom(simulation.violations$);
    expect(violation).toMatchObject({ invariant: 'I-TEST', what: 'planted: a violation', pfn: 3 });
    expect(violation.diagram).toContain('*** I-TEST: planted: a violation (culprit)');
    expect(violation.at_s).toBeGreaterThan(0);
    expect(await firstValueFrom(simulation.violations$)).toBe(violation);
    const report = await simulation.stop();
    expect(report.ok).toBe(false);
    expect(report.violation_count).toBe(1);
    expect(report.events.unobserved).toBe(report.events.written);
  });

  it('ends by itself when a worker dies, with a report that says who', async () => {
    const simulation = await simulate([actor('culprit', 'doomed', { how: 0, rounds: 50 })], { events: 'lossless' });
    const events = firstValueFrom(simulation.events$.pipe(toArray()));
    await simulation.ended;
    await events;
    const report = await simulation.stop();
    expect(report.ok).toBe(false);
    expect(report.end.kind).toBe('worker-died');
    expect(report.end.detail).toContain('culprit');
    expect(report.end.detail).toContain('PTL');
  });

  it('runs a scenario under its kernel and oracles, audits it on the way, and tears it down', async () => {
    const simulation = await Simulation.start({
      scenario: 'two-processes',
      policy: 'classic',
      seed: 4,
      oracles: 'all',
      workers: 2,
    });
    let maps = 0;
    simulation.events$.pipe(ofType('stage2_map')).subscribe(() => maps++);
    // until a page was taken from somebody the run has asked nothing
    await until(() => maps > 50 && simulation.reportSoFar().asked);
    expect(await simulation.audit()).toBe(0);
    const report = await simulation.stop();
    expect(report.violations).toEqual([]);
    expect(report).toMatchObject({
      ok: true,
      policy: 'classic',
      scenario: 'two-processes',
      seed: 4,
      end: { kind: 'finished' },
    });
    expect(report.events.delivered).toBe(report.events.written);
    expect(maps).toBeGreaterThan(50);
  });

  it('refuses what it does not know, before anything starts', async () => {
    await expect(Simulation.start({ scenario: 'no-such' })).rejects.toThrow(InputError);
  });
});

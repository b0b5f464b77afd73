/** A running simulation, looked at and turned while it runs. */
import { firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { InputError } from '#src/errors/errors.js';
import { type NearMiss, PAGE_STATES } from '#src/lab/live/types.js';
import { Simulation } from '#src/lab/run/simulation.js';
import type { SimulationOptions } from '#src/lab/run/run-options.js';
import { actor, actors, planOf, until, TEST_MODULES } from '../engine/threads-plan.js';
import { Machine } from '#src/machine/layout.js';
import { bootMachine } from '#src/mm/boot.js';
import { TINY, scenarioFile } from './tiny.js';

const start = (options: SimulationOptions = {}): Promise<Simulation> =>
  Simulation.start({
    scenario: scenarioFile(TINY),
    policy: 'classic',
    seed: 2,
    events: 'lossy',
    workers: 2,
    ...options,
  });

const accesses = (simulation: Simulation): number => simulation.reportSoFar().ops.accesses;

describe('placement', () => {
  it('changes while it runs, and the report says where everybody ended', async () => {
    const simulation = await start();
    expect(simulation.placement()).toMatchObject({ workers: 2, workersMax: 7 });
    const moved = await simulation.moveActor('dma', 3);
    expect(moved).toMatchObject({ moved: ['dma'], violations: 0, placement: { workers: 3 } });
    expect(moved.placement.rows.at(-1)).toMatchObject({ worker: 3, form: 'blocking', actors: ['dma'] });
    await until(() => accesses(simulation) > 500);
    const spread = await simulation.setWorkers(4, 'apart');
    expect(spread.violations).toBe(0);
    expect(spread.placement.rows.map((row) => row.actors)).toEqual([
      ['vcpu0', 'vmm'],
      ['vcpu1', 'dma'],
      ['ksmd', 'numa-balancer'],
      ['khugepaged'],
    ]);
    const named = await simulation.setPlacement({ vcpu0: 0, vcpu1: 0 });
    expect(named.moved).toContain('vcpu1');
    await expect(simulation.moveActor('nobody', 0)).rejects.toThrow('no actor nobody; there are vcpu0');
    await expect(simulation.moveActor('dma', 7)).rejects.toThrow('dma on worker 7: expected 0 to 6');
    await expect(simulation.setWorkers(0)).rejects.toThrow('expected a whole number from 1 to 7, got 0');
    const before = accesses(simulation);
    await until(() => accesses(simulation) > before + 200);
    const report = await simulation.stop();
    expect(report).toMatchObject({ ok: true, workers: 4, violation_count: 0 });
    expect(report.events.delivered + report.events.unobserved + report.events.dropped).toBeGreaterThan(0);
    expect(report.events.late).toBe(0);
  });

  it('loses no event and keeps merged order when workers come and go', async () => {
    const plan = planOf(actors(3, 'locks', { rounds: 4000 }));
    const machine = new Machine(plan.machine);
    bootMachine(machine);
    const simulation = await Simulation.run(plan, machine, {
      modules: TEST_MODULES,
      workers: 1,
      events: 'lossless',
      ringRecords: 512,
    });
    let last = -1;
    let disorder = 0;
    const seen = [0, 0, 0];
    simulation.merged$.subscribe((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const order = batch.time(i) * 8 + batch.actor(i);
        if (order < last) disorder++;
        last = order;
        seen[batch.actor(i)] = (seen[batch.actor(i)] as number) + 1;
      }
    });
    for (const worker of [1, 2, 0, 2]) await simulation.moveActor('a1', worker);
    const report = await simulation.stop();
    expect(disorder).toBe(0);
    expect(report.events).toMatchObject({ dropped: 0, unobserved: 0, late: 0 });
    expect(report.events.delivered).toBe(report.events.written);
    expect(seen.reduce((sum, count) => sum + count)).toBe(report.events.written);
  });
});

describe('pause and step', () => {
  it('a step does one thing, and says what, where and what it wrote', async () => {
    const simulation = await start();
    await until(() => accesses(simulation) > 300);
    expect(simulation.state).toBe('running');
    const first = await simulation.step('vmm');
    expect(simulation.state).toBe('stepping');
    expect(first).toMatchObject({ actor: 'vmm', moved: true });
    const told: string[] = [];
    for (let n = 0; n < 300 && told.length === 0; n++) {
      const step = await simulation.step('vmm');
      if (step.moved) expect(step.stack.at(-1)).toBe('vmm');
      else expect(step.waits).not.toBeNull();
      told.push(...step.events);
    }
    expect(told[0]).toMatch(/[a-z_]+\(/);
    await expect(simulation.step('nobody')).rejects.toThrow(InputError);
    // knobs are heard while all stand still
    await simulation.setKnob('ksmd.sleep_us', 777);
    expect(simulation.knobs().find(({ name }) => name === 'ksmd.sleep_us')?.value).toBe(777);
    await simulation.stepMode(false);
    expect(simulation.state).toBe('paused');
    await simulation.resume();
    const before = accesses(simulation);
    await until(() => accesses(simulation) > before + 200);
    const report = await simulation.stop();
    expect(report.violations).toEqual([]);
    expect(simulation.state).toBe('ended');
  });

  it('nobody moves between two steps, whatever is due, and a run can end there', async () => {
    const simulation = await start({ auditSeconds: 0.02 });
    await simulation.stepMode(true);
    await simulation.step('vmm');
    const steps = (): number[] => simulation.actors().map((lane) => lane.steps);
    const before = steps();
    await new Promise((resolve) => void setTimeout(resolve, 100));
    expect(steps()).toEqual(before);
    const report = await simulation.stop();
    expect(report).toMatchObject({ ok: true, end: { kind: 'finished' } });
  });

  it('a knob is set although actors are frozen in the middle of operations', async () => {
    const simulation = await start({ workers: 4 });
    await until(() => accesses(simulation) > 300);
    await simulation.pause();
    await simulation.setKnob('quantum', 16);
    await simulation.setKnob('numa-balancer.period_us', 500);
    await simulation.setKnob('thp_enabled', 0);
    const moved = await simulation.moveActor('vmm', 0);
    expect(moved.violations).toBe(0);
    expect(simulation.state).toBe('paused');
    await simulation.resume();
    expect((await simulation.stop()).violations).toEqual([]);
    const late = await simulation.moveActor('vmm', 0).catch((error: unknown) => error);
    expect(late).toEqual(new Error('the run has ended: finished'));
    expect(late).not.toBeInstanceOf(InputError);
  });
});

describe('knobs', () => {
  it('are listed with unit and range, and refused by name', async () => {
    const simulation = await start({ events: 'off' });
    const knobs = simulation.knobs();
    const find = (name: string) => knobs.find((knob) => knob.name === name);
    expect(find('quantum')).toMatchObject({ group: 'engine', unit: 'schedule points', takes: 'live', value: 64 });
    expect(find('ksm_run')).toMatchObject({ group: 'kernel', min: 0, max: 1, value: 1 });
    expect(find('numa-balancer.period_us')).toMatchObject({ value: 2000, unit: 'us', takes: 'live' });
    expect(find('dma.batch_pages')).toMatchObject({ takes: 'restart', value: 2 });
    for (const knob of knobs) {
      expect(knob.description).not.toBe('');
      expect(knob.value).toBeGreaterThanOrEqual(knob.min);
      expect(knob.value).toBeLessThanOrEqual(knob.max);
    }
    await expect(simulation.setKnob('quantum', 0)).rejects.toThrow('expected a whole number from 1 to 1000000, got 0');
    await expect(simulation.setKnob('dma.batch_pages', 1)).rejects.toThrow('takes a restart');
    await expect(simulation.setKnob('dma.nothing', 1)).rejects.toThrow('no knob dma.nothing');
    await simulation.setKnob('ksm_run', 0);
    expect(simulation.knobs().find(({ name }) => name === 'ksm_run')?.value).toBe(0);
    await simulation.stop();
  });
});

describe('lanes', () => {
  it('say who waits for what, who holds it, and since when', async () => {
    const plan = planOf([actor('a', 'crossed'), actor('b', 'crossed', { first: 1 }), actor('c', 'spinner')]);
    const machine = new Machine(plan.machine);
    bootMachine(machine);
    const simulation = await Simulation.run(plan, machine, {
      modules: TEST_MODULES,
      events: 'off',
      watchdog: false,
      rendezvousMs: 200,
    });
    // both: each has waited for the other to take its first lock before, blocked too
    await until(() => simulation.actors().filter(({ waits }) => waits?.lock === true).length === 2);
    const [a, b, c] = simulation.actors();
    expect(a).toMatchObject({
      name: 'a',
      alive: true,
      state: 'blocked',
      held: [{ name: 'ksm_thread_mutex', mode: 'write' }],
      waits: { what: 'driver mutex', lock: true, idle: false, holders: [{ name: 'b', mode: 'write' }] },
    });
    expect(b?.waits?.holders).toEqual([{ name: 'a', mode: 'write' }]);
    expect(c).toMatchObject({ state: 'runnable', waits: null, stuckSinceMs: null });
    await until(() => simulation.actors()[0]?.stuckSinceMs !== null);
    expect(simulation.actors()[0]?.stuckSinceMs).toBeGreaterThan(0);
    expect((await simulation.stop()).end.kind).toBe('drain-timeout');
  });

  it('say what each did last, in the words of its newest event', async () => {
    const simulation = await start({ events: 'recorder' });
    await until(() => accesses(simulation) > 500);
    await until(() => simulation.actors().some(({ doing }) => /\(/.test(doing)));
    const doing = simulation.actors().map((lane) => lane.doing);
    expect(doing.some((text) => /[a-z_]+\(/.test(text))).toBe(true);
    expect(simulation.actors().every((lane) => lane.alive)).toBe(true);
    await simulation.stop();
    expect(simulation.actors().every((lane) => !lane.alive)).toBe(true);
  });
});

describe('memory and races', () => {
  it('near-misses come with diagrams, pages with states and histories', async () => {
    const simulation = await start({ watch: true, metricsMs: 50 });
    const misses: NearMiss[] = [];
    simulation.nearMisses$.subscribe((miss) => misses.push(miss));
    await until(() => misses.some(({ kind }) => kind === 'pinned_unmap') && simulation.races().pairsBothOrders > 3);
    const miss = misses.find(({ kind }) => kind === 'pinned_unmap') as NearMiss;
    expect(miss.diagram).toContain('near-miss');
    expect(miss.actors.length).toBeGreaterThan(0);
    const history = simulation.pageHistory(miss.vm, miss.gfn);
    expect(history.length).toBeGreaterThan(0);
    expect(history.map(({ time }) => time)).toEqual(history.map(({ time }) => time).toSorted((x, y) => x - y));
    const map = simulation.memoryMap(0);
    expect(map.length).toBe(256);
    expect([...map].every((state) => PAGE_STATES[state] !== undefined)).toBe(true);
    expect(PAGE_STATES).toContain(simulation.page(miss.vm, miss.gfn).state);
    const metrics = await firstValueFrom(simulation.metrics$);
    expect(metrics.races.total).toBeGreaterThan(0);
    const { races } = metrics;
    expect(races.pairs).toBeGreaterThanOrEqual(races.pairsBothOrders);
    expect(simulation.ringFill().length).toBe(2);
    expect((await simulation.stop()).violations).toEqual([]);
  });

  it('a page has a history also where nobody watched', async () => {
    const simulation = await start({ events: 'recorder' });
    await until(() => accesses(simulation) > 1000);
    await simulation.pause();
    const found = Array.from({ length: 256 }, (_, gfn) => simulation.pageHistory(0, gfn).length);
    expect(Math.max(...found)).toBeGreaterThan(0);
    await simulation.resume();
    await simulation.stop();
  });
});

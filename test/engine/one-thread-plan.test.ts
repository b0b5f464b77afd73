/** The simulated kernel on one thread: it ends, goes back to its start, repeats itself exactly, and its deadlocks are named. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { EventLog, RECORD_WORDS, recordType } from '#src/events/record.js';
import { EVENT } from '#src/events/table.js';
import { END_FINISHED, OneThread } from '#src/engine/one-thread/one-thread.js';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import type { Plan } from '#src/plan/plan.js';
import { recheck } from '#src/engine/one-thread/determinism-check.js';
import { STRATEGIES, strategyKind } from '#src/engine/strategies/index.js';
import { explore } from '#src/lab/explore/explore.js';
import { readSchedule, replay } from '#src/lab/replay/replay.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { planSubject, subjectOf } from '#src/lab/explore/subject.js';
import { ACTOR_HELD, actorWord, statsBase } from '#src/machine/layout.js';
import { STATS_LATENCIES_AT, STATS_MEASURED_AT } from '#src/machine/stats.js';

const plan = (over: Partial<Plan> = {}): Plan => ({
  ...makePlan(loadScenario('pin-race'), { policy: 'classic', seed: 5, oracles: 'all', opsEach: 4 }),
  ...over,
});

/** Runs one random schedule; the choices as text. */
function runOnce(thread: OneThread, schedule: number, variation = 0): string {
  const strategy = strategyKind('random')?.create({ seed: 1, depth: 1 });
  strategy?.begin(schedule, thread.program.actors.length);
  if (strategy !== undefined) thread.run(strategy, variation);
  return thread.choices.subarray(0, thread.steps).join(' ');
}

/** The events of one schedule under a seed and a variation. */
function events(seed: number, variation: number): Int32Array {
  const program = new PlanProgram(plan({ seed }));
  const log = new EventLog();
  program.recordEvents(log);
  runOnce(new OneThread(program, 20_000), 0, variation);
  return log.view().slice();
}

describe('a plan as a program', () => {
  test.each(STRATEGIES)('the correct kernel finishes and breaks nothing under $name', ({ create }) => {
    const thread = new OneThread(new PlanProgram(plan()), 20_000);
    const strategy = create({ seed: 3, depth: 3 });
    for (let schedule = 0; schedule < 150; schedule++) {
      strategy.begin(schedule, thread.program.actors.length);
      expect(thread.run(strategy, schedule), JSON.stringify(thread.breaches[0])).toBe(END_FINISHED);
    }
    expect(recheck(thread, 149)).toBeNull();
  });

  test('a reset leaves nothing of the schedule before, but locks beyond the count of those held, and latencies', () => {
    const program = new PlanProgram(plan());
    const { machine } = program;
    const read = (): Int32Array => {
      const words = program.words.slice();
      for (let actor = 0; actor < machine.cpus; actor++) {
        words.fill(0, actorWord(machine, actor, ACTOR_HELD), actorWord(machine, actor + 1, 0));
        const stats = statsBase(machine, actor);
        words.fill(0, stats + STATS_LATENCIES_AT, stats + STATS_MEASURED_AT);
      }
      return words;
    };
    const fresh = read();
    const thread = new OneThread(program, 20_000);
    const first = runOnce(thread, 7);
    for (let schedule = 0; schedule < 20; schedule++) runOnce(thread, schedule);
    expect(runOnce(thread, 7)).toBe(first);
    program.reset(0);
    expect(read()).toEqual(fresh);
  });

  test('variations are other workloads of the same plan; 0 is the one that the seed names', () => {
    expect(events(5, 0)).toEqual(events(5, 0));
    expect(events(5, 3)).toEqual(events(5, 3));
    expect(events(5, 3)).not.toEqual(events(5, 0));
    expect(events(6, 0)).not.toEqual(events(5, 0));
  });

  test('event times are step numbers, and never go back', () => {
    const program = new PlanProgram(plan());
    const log = new EventLog();
    program.recordEvents(log);
    const thread = new OneThread(program, 20_000);
    runOnce(thread, 0);
    const times = Array.from({ length: log.count }, (_, i) => log.records[i * 8] as number);
    expect(times.length).toBeGreaterThan(10);
    expect(times).toEqual(times.toSorted((x, y) => x - y));
    expect(times.at(-1)).toBeLessThanOrEqual(thread.steps);
  });

  test('daemons that would run on for ever are told to return when the clients are done', () => {
    const base = plan();
    // not the NUMA balancer: one that never sleeps takes the stage-2 entries away faster than the vCPU can use them
    const actors = base.actors.map((actor) =>
      actor.kind === 'ksmd' ? { ...actor, params: { ...actor.params, ops: 0 } } : actor,
    );
    const thread = new OneThread(new PlanProgram({ ...base, actors }), 50_000);
    for (let schedule = 0; schedule < 20; schedule++) {
      runOnce(thread, schedule);
      expect(thread.endText).toBe('finished');
    }
  });

  test('with EL2 actors as servers it ends too', () => {
    const pkvm = makePlan(loadScenario('pin-race'), { policy: 'pkvm-2022', seed: 5, oracles: 'all', opsEach: 4 });
    expect(pkvm.actors.some(({ tier }) => tier === 'server')).toBe(true);
    const thread = new OneThread(new PlanProgram(pkvm), 50_000);
    for (let schedule = 0; schedule < 20; schedule++) {
      runOnce(thread, schedule);
      expect(thread.endText, JSON.stringify(thread.breaches[0])).toBe('finished');
    }
  });

  test('stacks of coroutines and nested generators take the same steps', () => {
    const flat = new PlanProgram(plan());
    Object.defineProperty(flat, 'deep', { value: false });
    const [one, other] = [new OneThread(flat, 20_000), new OneThread(new PlanProgram(plan()), 20_000)];
    for (let schedule = 0; schedule < 20; schedule++) expect(runOnce(one, schedule)).toBe(runOnce(other, schedule));
  });
});

/** The kinds of events that one schedule writes. */
function kindsOfEvents(lockEvents: boolean): Set<number> {
  const program = new PlanProgram(plan({ lockEvents }));
  const log = new EventLog();
  program.recordEvents(log);
  runOnce(new OneThread(program, 20_000), 0);
  const records = log.view();
  return new Set(Array.from({ length: records.length / RECORD_WORDS }, (_, n) => recordType(records, n)));
}

describe('its oracles are told what those of real threads are', () => {
  test('who wants the local ones under a policy about pins gets those that know all pins', () => {
    const program = new PlanProgram(plan({ kernel: 'check-then-notify', oracles: 'local', seed: 1 }));
    const thread = new OneThread(program, 20_000);
    const strategy = strategyKind('random')?.create({ seed: 1, depth: 1 });
    const broken = new Set<string>();
    for (let schedule = 0; schedule < 400 && broken.size === 0; schedule++) {
      strategy?.begin(schedule, program.actors.length);
      if (strategy !== undefined) thread.run(strategy, schedule);
      for (const { invariant } of thread.breaches) broken.add(invariant);
    }
    expect([...broken]).toEqual(['I-PINNED-S2']);
  });

  test('who wants events of locks gets them', () => {
    expect(kindsOfEvents(true).has(EVENT.lock_acquire)).toBe(true);
    expect(kindsOfEvents(false).has(EVENT.lock_acquire)).toBe(false);
  });
});

describe('explored', () => {
  test('the deadlock of notifiers under the PTL is found, named and drawn', async () => {
    // without oracles: the lock rules would end it before, at the callback that sleeps
    const base = makePlan(loadScenario('driver-deadlock'), { policy: 'notify-under-ptl', seed: 1, opsEach: 4 });
    const { report } = await explore({
      subject: planSubject({ ...base, oracles: 'off' }),
      strategy: 'random',
      schedules: 2000,
    });
    const [violation] = report.violations;
    expect(violation?.invariant).toBe('deadlock');
    expect(violation?.what).toMatch(/waits for PTL of table \d+, held by numa-balancer/);
    expect(violation?.what).toContain('numa-balancer waits for driver mutex, held by driver');
    expect(violation?.what).toContain('circle:');
    expect(violation?.diagram).toContain('invalidate_range_start');
  });

  test('one seed gives one event file in every process, and replay gives it again', async () => {
    const dist = new URL('../../dist/src/', import.meta.url).href;
    const code = `
      const { explore } = await import(${JSON.stringify(`${dist}lab/explore/explore.js`)});
      const { subjectOf } = await import(${JSON.stringify(`${dist}lab/explore/subject.js`)});
      const subject = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 42 });
      const { report, events } = await explore({ subject, strategy: 'random', schedules: 20 });
      process.stdout.write(JSON.stringify({ ...report, elapsed_s: 0 }) + '\\n' + events);`;
    const run = (): string => execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    const there = run();
    expect(run()).toBe(there);

    const subject = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 42 });
    const { report, events } = await explore({ subject, strategy: 'random', schedules: 20 });
    expect(`${JSON.stringify({ ...report, elapsed_s: 0 })}\n${events}`).toBe(there);
    const [usual] = report.outcomes;
    expect(usual?.state).toBe('finished');
    const again = replay(readSchedule(usual?.schedule ?? '', 'f'), subject, 'f');
    expect(again.report).toMatchObject({ reproduced: true, same_plan: true, ok: true });
    expect(again.events).toBe(events);
  });
});

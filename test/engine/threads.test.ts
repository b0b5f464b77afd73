/** The real-thread engine: rendezvous, control, placement, events, and ends of every kind. */
import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import {
  ACTOR_PROGRESS,
  ACTOR_STEPS,
  ACTOR_WORKER,
  KSM_RUN,
  WORKER_PARKED,
  actorWord,
  globalWord,
  workerWord,
} from '#src/machine/layout.js';
import { RingReader } from '#src/events/ring.js';
import { COUNTERS, TOKEN_AT, counterWord } from '#test/fixtures/lock-actors.js';
import type { ThreadRun } from '#src/engine/threads/run.js';
import { TEST_MODULES, actor, actors, start, until } from './threads-plan.js';

const steps = (run: ThreadRun, n: number): number =>
  run.machine.words[actorWord(run.machine, n, ACTOR_STEPS)] as number;
const progress = (run: ThreadRun, n: number): number =>
  run.machine.words[actorWord(run.machine, n, ACTOR_PROGRESS)] as number;
const token = (run: ThreadRun): number => run.machine.words[globalWord(run.machine, TOKEN_AT)] as number;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

describe('rendezvous', () => {
  it('freeze: nothing moves until resume', async () => {
    const run = await start([...actors(4, 'locks'), actor('t', 'ticker', { sleep_us: 100 }, 'daemon')], { workers: 3 });
    for (let round = 0; round < 5; round++) {
      await until(() => progress(run, 0) > round * 100);
      await run.pause();
      const before = run.machine.words.slice();
      await sleep(5);
      const after = run.machine.words;
      const changed = before.findIndex((word, at) => at >= run.machine.actorsAt && word !== after[at]);
      expect(changed).toBe(-1);
      await run.resume();
    }
    expect((await run.finish()).kind).toBe('finished');
  });

  it('drain: every actor at an idle point, no lock held, and they go on afterwards', async () => {
    let audits = 0;
    const run = await start(
      [
        ...actors(4, 'locks'),
        actor('t', 'ticker', { sleep_us: 200 }, 'daemon'),
        actor('s', 'token', { idle: 1, ring: 1 << 20, me: 1 << 19 }, 'server'),
      ],
      {
        workers: 3,
        timeouts: false,
        audit: (m, plan, where) => {
          audits++;
          const held = plan.actors.map((_, n) => m.words[actorWord(m, n, 10)]);
          return held.every((count) => count === 0)
            ? []
            : [{ invariant: where, what: `locks held: ${held.join(' ')}` }];
        },
      },
    );
    for (let round = 0; round < 10; round++) {
      const before = progress(run, 0);
      await until(() => progress(run, 0) > before);
      expect(await run.drain()).toEqual([]);
    }
    const end = await run.finish();
    expect(end.kind).toBe('finished');
    expect(end.actors.map((report) => report.state)).toEqual(end.actors.map(() => 'returned'));
    expect(audits).toBe(11);
    expect(end.violations).toEqual([]);
  });

  it('a rendezvous that does not come about ends in the waits-for graph', async () => {
    const run = await start([actor('stuck', 'waits-for-ever'), actor('t', 'ticker', { sleep_us: 500 }, 'daemon')], {
      rendezvousMs: 150,
      watchdog: false,
    });
    await until(() => steps(run, 0) > 0);
    expect(await run.drain()).toEqual([]);
    const end = await run.ended;
    expect(end.kind).toBe('hang');
    expect(end.text).toMatch(/(time limit|starved): stuck did not stop/);
    expect(end.hang?.graph.lines.join('\n')).toMatch(/stuck waits for a change of padding \(word 113\) of GLOBAL_DATA/);
  });
});

describe('control', () => {
  it('answers within milliseconds while the simulation runs, with time-outs off', async () => {
    const run = await start([...actors(2, 'spinner'), actor('t', 'ticker', { sleep_us: 1e9 }, 'daemon')], {
      timeouts: false,
    });
    for (let round = 0; round < 20; round++) {
      const stats = await run.stats();
      expect(stats.map((host) => host.actors)).toEqual([[0], [1], [2]]);
    }
    expect(new Set((await run.stats()).map((host) => host.threadId)).size).toBe(3);
    await run.finish();
  });

  it('sets knobs of the kernel, of hosts and of actors', async () => {
    const run = await start([actor('t', 'ticker', { sleep_us: 1e9 }), actor('u', 'ticker', { sleep_us: 200 })]);
    expect(await run.setKnob('ksm_run', 2)).toBe(true);
    expect(run.machine.words[globalWord(run.machine, KSM_RUN)]).toBe(2);
    expect(await run.setKnob('quantum', 7)).toBe(true);
    expect(await run.setKnob('u.sleep_us', 1e9)).toBe(true);
    expect(await run.setKnob('u.nonsense', 1)).toBe(false);
    expect(await run.setKnob('constructor', 1)).toBe(false);
    await sleep(20);
    const before = token(run);
    await sleep(20);
    expect(token(run)).toBe(before);
    await run.finish();
  });

  it('pauses one worker alone', async () => {
    const run = await start(actors(2, 'spinner'), { timeouts: false });
    await until(() => steps(run, 0) > 10 && steps(run, 1) > 10);
    await run.pauseWorker(0);
    await until(() => run.machine.words[workerWord(run.machine, 0, WORKER_PARKED)] !== 0);
    const [first, second] = [steps(run, 0), steps(run, 1)];
    await until(() => steps(run, 1) > second + 10);
    expect(steps(run, 0)).toBe(first);
    await run.drain();
    await run.resumeWorker(0);
    await until(() => steps(run, 0) > first + 10);
    await run.pauseWorker(1);
    expect((await run.finish()).kind).toBe('finished');
  });

  it('moves an actor to another worker, retires one and starts it again', async () => {
    const run = await start(actors(4, 'locks'), { workers: 2 });
    await until(() => progress(run, 0) > 100);
    expect(run.threads.map((thread) => thread.actors)).toEqual([
      ['a0', 'a2'],
      ['a1', 'a3'],
    ]);
    await run.move(0, 1);
    expect(run.threads.map((thread) => thread.actors)).toEqual([['a2'], ['a0', 'a1', 'a3']]);
    expect(run.machine.words[actorWord(run.machine, 0, ACTOR_WORKER)]).toBe(1);
    const moved = progress(run, 0);
    await until(() => progress(run, 0) > moved + 100);
    expect(progress(run, 0)).toBeGreaterThan(moved);
    await run.retire(2);
    const retired = steps(run, 2);
    await sleep(10);
    expect(steps(run, 2)).toBe(retired);
    expect((await run.stats()).map((host) => host.actors)).toEqual([[], [1, 3, 0]]);
    await run.spawn(2, 0);
    await until(() => steps(run, 2) > retired);
    expect((await run.finish()).kind).toBe('finished');
    const { machine: m } = run;
    COUNTERS.forEach((_, kind) =>
      expect(m.words[counterWord({ m }, kind)]).toBe(m.words[counterWord({ m }, kind) + 2]),
    );
  });

  it('moves the only actor of a worker, with time-outs off', async () => {
    const run = await start(actors(2, 'locks'), { timeouts: false });
    await run.move(0, 1);
    await run.move(0, 0);
    expect((await run.finish()).kind).toBe('finished');
  });

  it('tells a violation while the run goes on', async () => {
    const run = await start([actor('bad', 'doomed', { how: 4 }), actor('t', 'ticker', {}, 'daemon')]);
    const seen = await new Promise((resolve) => void run.onViolation(resolve));
    expect(seen).toEqual({ invariant: 'I-TEST', what: 'planted: a violation', pfn: 3, actor: 0, actors: [0] });
    const end = await run.finish();
    expect(end.violations).toEqual([seen]);
  });
});

describe('events', () => {
  it('lossless: a slow reader gets every record; waits are counted', async () => {
    const run = await start(actors(2, 'spinner', { events: 8 }), { events: 'lossless', ringRecords: 512 });
    const readers = run.rings.map((ring) => new RingReader(ring));
    let taken = 0;
    const drain = (): void => {
      for (const reader of readers) taken += reader.drain(() => {});
    };
    for (let round = 0; round < 20; round++) {
      await sleep(3);
      drain();
    }
    const timer = setInterval(drain, 2);
    const end = await run.finish();
    clearInterval(timer);
    drain();
    expect(end.kind).toBe('finished');
    const counters = readers.map((reader) => reader.counters);
    expect(counters.map((counter) => counter.dropped)).toEqual([0, 0]);
    expect(counters.reduce((sum, counter) => sum + counter.written, 0)).toBe(taken);
    expect(taken).toBeGreaterThan(5000);
    expect(counters.every((counter) => counter.waits > 0)).toBe(true);
    expect(end.hosts.every((host) => host.ringWaits > 0)).toBe(true);
  });

  it('merging never waits for an idle worker: bounds follow the busy one', async () => {
    const run = await start(
      [actor('busy', 'spinner', { events: 1 }), actor('t', 'ticker', { sleep_us: 1e9 }, 'daemon')],
      {
        events: 'lossy',
        timeouts: false,
      },
    );
    const readers = run.rings.map((ring) => new RingReader(ring));
    await until(() => readers.every((reader) => reader.lowerBound(1e6) >= 1e6));
    expect(readers.map((reader) => reader.lowerBound(1e6) >= 1e6)).toEqual([true, true]);
    await run.finish();
    expect(readers.map((reader) => reader.lowerBound(1e6))).toEqual([Infinity, Infinity]);
  });
});

describe('ends', () => {
  const company = [...actors(2, 'locks'), actor('t', 'ticker', {}, 'daemon')];

  it.each([
    ['throws', 0, /planted: the actor throws/],
    ['exits', 1, /exited with code: 7/],
    ['runs out of memory', 2, /memory/i],
  ])('a worker that %s: which actor, where, what it held', async (_, how, error) => {
    const run = await start([actor('bad', 'doomed', { how }), ...company], { workerMemoryMb: 32 });
    const end = await run.ended;
    expect(end.kind).toBe('worker-died');
    expect(end.death?.error).toMatch(error);
    expect(end.death?.actor?.name).toBe('bad');
    expect(end.death?.actor?.last).toBe('update PTL of table 0');
    expect(end.death?.actor?.held.map((lock) => [lock.name, lock.mode])).toEqual([
      ['mm0 mmap_lock', 'read'],
      ['PTL of table 0', 'write'],
    ]);
    expect(end.text).toMatch(/worker 0 died: .*bad .*holds mm0 mmap_lock \(read\), PTL of table 0/);
    // whoever asks afterwards is answered
    expect(await run.finish()).toBe(end);
    await expect(run.stats()).rejects.toThrow();
  });

  it.each([0, 30, 90, 200, 500])('a thread that is ended %i ms after it was made, set up or not', async (ms) => {
    const kill = (thread: Worker): void => void setTimeout(() => void thread.terminate(), ms);
    process.once('worker', kill);
    const run = await start([actor('one', 'ticker'), actor('two', 'ticker'), actor('three', 'ticker')], {});
    const end = await run.ended;
    expect(end.kind).toBe('worker-died');
    expect(['start', 'run']).toContain(end.death?.phase);
    expect(end.text).toMatch(/^worker \d died/);
    expect(await run.finish()).toBe(end);
  });

  it('a thread that is ended when all have returned', async () => {
    const threads: Worker[] = [];
    const note = (thread: Worker): void => void threads.push(thread);
    process.on('worker', note);
    const run = await start([actor('one', 'ticker'), actor('two', 'ticker')], {});
    process.off('worker', note);
    const ended = run.finish();
    await Promise.all(threads.map((thread) => thread.terminate()));
    const end = await ended;
    // or it had ended by itself before
    expect(['worker-died', 'finished']).toContain(end.kind);
    if (end.kind === 'worker-died') expect(end.death?.phase).toBe('end');
  });

  it('a deadlock: who waits for what, who holds it, the circle', async () => {
    const run = await start(
      [actor('one', 'crossed'), actor('two', 'crossed', { first: 1 }), actor('t', 'ticker', {}, 'daemon')],
      {
        watchdog: { periodMs: 20 },
      },
    );
    const end = await run.ended;
    expect(end.kind).toBe('hang');
    expect(end.hang?.reason).toBe('deadlock');
    expect(end.hang?.graph.lines).toEqual([
      'one waits for driver mutex, held by two',
      'two waits for ksm_thread_mutex, held by one',
      'circle: one -> two -> one',
    ]);
  });

  it('a wait for a lock whose holder has returned', async () => {
    const run = await start(
      [actor('one', 'forgetful'), actor('two', 'forgetful'), actor('t', 'ticker', {}, 'daemon')],
      {
        workers: 1,
        watchdog: { periodMs: 20 },
      },
    );
    const end = await run.ended;
    expect(end.text).toBe('deadlock: two waits for ksm_thread_mutex, and one, who holds it, has returned');
  });

  it('a standstill: everybody waits for what nobody will do', async () => {
    const run = await start([actor('a', 'waits-for-ever'), actor('b', 'waits-for-ever')], {
      watchdog: { periodMs: 20 },
    });
    const end = await run.ended;
    expect(end.hang?.reason).toBe('standstill');
    expect(end.text).toBe('standstill: a, b wait, and nobody is left who could run');
  });

  it('a loop without a schedule point', async () => {
    const run = await start([actor('bad', 'doomed', { how: 3, rounds: 1 }), actor('t', 'ticker', {}, 'daemon')], {
      watchdog: { periodMs: 20, cpuMs: 100 },
    });
    const end = await run.ended;
    expect(end.hang?.reason).toBe('no step');
    expect(end.hang?.actors).toEqual([0]);
  });

  it('a wait that nobody ends while others work', async () => {
    const run = await start([actor('stuck', 'waits-for-ever'), actor('busy', 'spinner')], {
      watchdog: { periodMs: 20, cpuMs: 100 },
    });
    const end = await run.ended;
    expect(end.hang?.reason).toBe('no step');
    expect(end.hang?.actors).toEqual([0]);
  });

  it('an audit that throws: the drain rejects and actors go on; the last one ends the run', async () => {
    const run = await start(actors(2, 'spinner'), {
      audit: () => {
        throw new Error('planted: the audit throws');
      },
    });
    await until(() => steps(run, 0) > 0);
    await expect(run.drain()).rejects.toThrow('planted');
    const before = steps(run, 0);
    await until(() => steps(run, 0) > before);
    const end = await run.finish();
    expect([end.kind, end.text]).toEqual(['aborted', 'the last audit failed: Error: planted: the audit throws']);
  });

  it('abort from outside, in the middle', async () => {
    const run = await start(actors(3, 'locks'));
    await until(() => progress(run, 0) > 10);
    const end = await run.abort('enough');
    expect([end.kind, end.text]).toEqual(['aborted', 'enough']);
  });

  it('a set-up that fails rejects with its reason', async () => {
    await expect(start([actor('x', 'no such kind')])).rejects.toThrow('actor x: unknown kind "no such kind"');
    await expect(
      start(actors(1, 'locks'), { modules: { ...TEST_MODULES, kernel: 'file:///nowhere.js' } }),
    ).rejects.toThrow(/nowhere/);
    await expect(start(actors(2, 'locks'), { placement: [0, 2] })).rejects.toThrow(
      'placement: worker 1 hosts no actor',
    );
  });
});

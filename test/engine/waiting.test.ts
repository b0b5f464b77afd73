/**
 * The waiting protocol (src/machine/wait.ts) under real threads: whoever waits for a lock or a word is woken, without
 * any timed wait. Counters raised by plain loads and stores under each kind of lock are exact if and only if the lock
 * excludes; the run's end shows that no wake-up was lost. A lost one shows as a standstill, found within half a second.
 */
import { describe, expect, it } from 'vitest';
import { globalWord } from '#src/machine/layout.js';
import { COUNTERS, TOKEN_AT, TORN_AT, counterWord } from '#test/fixtures/lock-actors.js';
import type { ThreadOptions } from '#src/engine/threads/run.js';
import { actor, actors, start } from './threads-plan.js';

const WATCHDOG = { periodMs: 100, patienceMs: 3000 };

/** Runs lock users to their end, and compares what the counters hold with what the actors say that they added. */
async function conserve(count: number, rounds: number, options: ThreadOptions): Promise<void> {
  const run = await start(actors(count, 'locks', { rounds }), { timeouts: false, watchdog: WATCHDOG, ...options });
  await run.clientsDone;
  const end = await run.finish();
  expect(end.hang?.graph.lines ?? end.text).toBe('finished');
  const m = run.machine;
  COUNTERS.forEach((name, kind) => {
    const at = counterWord({ m }, kind);
    expect({ name, count: m.words[at] }).toEqual({ name, count: m.words[at + 2] });
    expect(m.words[at]).toBeGreaterThan(0);
  });
  expect(m.words[globalWord(m, TORN_AT)]).toBe(0);
  expect(end.actors.map((report) => report.held.length)).toEqual(end.actors.map(() => 0));
}

describe('all lock kinds, time-outs off', () => {
  it.each([2, 3, 5, 8])('%i workers, one actor each', (workers) => conserve(workers, 6000, {}));
  it.each([2, 4, 8])('%i workers, several actors each', (workers) => conserve(3 * workers + 1, 3000, { workers }));
  it('one worker, eight actors', () => conserve(8, 6000, { workers: 1 }));
  it('every point yields', () => conserve(6, 3000, { workers: 3, quantum: 1 }));
  it('without spinning: each wait is a sleep', () => conserve(4, 1500, { spinTurns: 0 }));
});

describe('plain words, time-outs off', () => {
  it.each([0, 1, 2])('a token goes round 6 actors (workers: %i)', async (workers) => {
    const ring = 6;
    const run = await start(
      Array.from({ length: ring }, (_, n) => actor(`a${n}`, 'token', { ring, rounds: 300 })),
      { workers, timeouts: false, watchdog: WATCHDOG },
    );
    await run.clientsDone;
    const end = await run.finish();
    expect(end.hang?.graph.lines ?? end.text).toBe('finished');
    expect(run.machine.words[globalWord(run.machine, TOKEN_AT)]).toBe(ring * 300);
  });

  it('a token between a worker that sleeps at once and one that never does', async () => {
    const run = await start([actor('a0', 'token', { rounds: 2000 }), actor('a1', 'token', { rounds: 2000 })], {
      timeouts: false,
      spinTurns: 0,
      watchdog: WATCHDOG,
    });
    await run.clientsDone;
    expect((await run.finish()).text).toBe('finished');
  });
});

describe('rwsem fairness', () => {
  // Readers overlap on purpose. Once the writer's first attempt has failed, PENDING holds all later readers back: only
  // a reader that had the lock already may still be counted (it counts itself after it got in), each once at most.
  it.each([
    [3, 0],
    [4, 2],
  ])('%i readers cannot starve a writer (workers: %i)', async (readers, workers) => {
    const rounds = 40;
    const run = await start(
      [actor('writer', 'fair-writer', { rounds }), ...actors(readers, 'fair-reader', { rounds })],
      {
        workers,
        timeouts: false,
        watchdog: WATCHDOG,
      },
    );
    await run.clientsDone;
    expect((await run.finish()).text).toBe('finished');
    const { machine: m } = run;
    const turns = counterWord({ m }, 3);
    expect(m.words[turns]).toBe(rounds);
    expect(m.words[turns + 2]).toBeLessThanOrEqual(readers);
    expect(m.words[globalWord(m, TORN_AT)]).toBe(0);
  });
});

/** What POS, SURW, the bounded search and the portfolio promise of their own. */
import { describe, expect, test } from 'vitest';
import type { Coroutine } from '#src/machine/context.js';
import { LOCAL, acquires, reads, releases, updates, writes } from '#src/machine/effects.js';
import { END_VIOLATION, OneThread } from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import { pinVsWriteProtectBuggy } from '#src/engine/programs/pin-vs-write-protect.js';
import { profileOf } from '#src/engine/campaign/runner.js';
import { dfs } from '#src/engine/strategies/dfs.js';
import { portfolio } from '#src/engine/strategies/portfolio.js';
import { pos } from '#src/engine/strategies/pos.js';
import { races } from '#src/engine/strategies/races.js';
import type { Strategy } from '#src/engine/strategies/strategy.js';
import { surw } from '#src/engine/strategies/surw.js';
import { small } from './one-thread-programs.js';

/** Runs schedules until there are no more, at most `schedules`; counts them by their choices. */
function counted(program: Program, strategy: Strategy, schedules: number, only = (_: number): boolean => true) {
  const thread = new OneThread(program, 2000);
  const counts = new Map<string, number>();
  let done = 0;
  for (let schedule = 0; schedule < schedules; schedule++) {
    if (!only(schedule)) continue;
    if (!strategy.begin(schedule, program.actors.length)) break;
    thread.run(strategy, 0);
    const key = thread.choices.subarray(0, thread.steps).join('');
    counts.set(key, (counts.get(key) ?? 0) + 1);
    done++;
  }
  return { counts, done };
}

/** Actors that read words of their own, so many times each. */
const readers = (...steps: readonly number[]): Program =>
  small('readers', {
    actors: Object.fromEntries(
      steps.map((times, actor) => [
        `r${actor}`,
        function* (): Coroutine<void> {
          for (let i = 0; i < times; i++) yield reads(actor + 1);
        },
      ]),
    ),
  });

/** `late` steps 20 times on a word of its own before it writes word 1; `early` writes it at once. Word 2: who was first. */
const lateAndEarly = (): Program =>
  small('late and early', {
    observe: (words) => words[2] as number,
    actors: {
      *late(s): Coroutine<void> {
        for (let i = 0; i < 20; i++) yield reads(5);
        yield writes(1);
        if (s.words[1] === 0) s.words[2] = 1;
        s.words[1] = 1;
      },
      *early(s): Coroutine<void> {
        yield writes(1);
        if (s.words[1] === 0) s.words[2] = 2;
        s.words[1] = 1;
      },
    },
  });

/** In how many of the schedules `late` was first all the same. */
function lateFirst(strategy: Strategy, schedules: number, only?: (schedule: number) => boolean): number {
  const program = lateAndEarly();
  const thread = new OneThread(program, 100);
  let found = 0;
  for (let schedule = 0; schedule < schedules; schedule++) {
    if (only?.(schedule) === false) continue;
    strategy.begin(schedule, 2);
    thread.run(strategy, 0);
    if (program.observe() === 1) found++;
  }
  return found;
}

describe('races', () => {
  test('one word, one of them changes it; a release orders nothing', () => {
    expect(races(reads(1), writes(1))).toBe(true);
    expect(races(writes(1), writes(2))).toBe(false);
    expect(races(reads(1), reads(1))).toBe(false);
    expect(races(updates(1), reads(1))).toBe(true);
    expect(races(acquires(1), acquires(1))).toBe(true);
    expect(races(acquires(1), releases(1))).toBe(false);
    expect(races(releases(1), reads(1))).toBe(true);
    expect(races(LOCAL, LOCAL)).toBe(false);
  });
});

describe('pos', () => {
  test('an order that many steps stand before comes up far more often than with a random walk', () => {
    // late has to win 20 draws against one of early's: a chance of 1 in 22 at least, 91 of 2000, standard deviation 9.3; a random walk
    // needs 21 times heads
    expect(lateFirst(pos.create({ seed: 1, depth: 1 }), 2000)).toBeGreaterThan(91 - 47);
  });
});

describe('surw', () => {
  test('without contended words every interleaving is equally likely', () => {
    // 10 interleavings of 2 and 3 steps; 10,000 schedules: 1000 each, standard deviation 30; five of them are 150
    const program = readers(2, 3);
    const profile = profileOf(new OneThread(program, 100), 1, false);
    const { counts } = counted(program, surw.create({ seed: 1, depth: 1, profile }), 10_000);
    expect(counts.size).toBe(10);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test('of the steps on a contended word every order is equally likely, whatever stands before them', () => {
    // every fourth schedule is uniform over all steps instead. 1500 others: 750 expected, standard deviation 19.4
    const profile = profileOf(new OneThread(lateAndEarly(), 100), 1, false);
    expect([...profile.words]).toEqual([1]);
    expect([...profile.accesses]).toEqual([1, 1]);
    const strategy = surw.create({ seed: 1, depth: 1, profile });
    const found = lateFirst(strategy, 2000, (schedule) => schedule % 4 !== 0);
    expect(Math.abs(found - 750)).toBeLessThan(97);
  });

  test('one that waits for those held back does not hold them for ever', () => {
    // the contended words are 1 and 2; when only one of them is interesting, an actor may be held before it that others wait for
    const program = small('crossed', {
      actors: {
        *one(s): Coroutine<void> {
          yield writes(1);
          s.words[1] = 1;
          do yield reads(2);
          while (s.words[2] === 0);
        },
        *other(s): Coroutine<void> {
          do yield reads(1);
          while (s.words[1] === 0);
          yield writes(2);
          s.words[2] = 1;
        },
      },
    });
    const thread = new OneThread(program, 5000);
    thread.fair = false;
    const strategy = surw.create({ seed: 1, depth: 1, profile: profileOf(thread, 1, false) });
    for (let schedule = 0; schedule < 200; schedule++) {
      strategy.begin(schedule, 2);
      thread.run(strategy, 0);
      expect(thread.outcomeText).toBe('state 0');
    }
  });
});

/** Of a schedule of two actors. */
const preemptions = (choices: string): number => choices.replace(/(.)\1*/g, '$1').length - 2;

describe('dfs', () => {
  test.each([
    [[2, 2], 6],
    [[3, 2], 10],
    [[2, 2, 2], 90],
    [[1, 1, 1, 1], 24],
  ])('tries every schedule of actors with %j steps: %d', (steps, schedules) => {
    const strategy = dfs.create({ seed: 1, depth: 1 });
    const { counts } = counted(readers(...steps), strategy, 100_000);
    expect(counts.size).toBe(schedules);
    expect(strategy.exhausted).toBe(true);
    expect(strategy.guarantee(1)).toBe('every schedule was tried');
  });

  test('few preemptions come first, and it says how far it is', () => {
    const strategy = dfs.create({ seed: 1, depth: 1 });
    const { counts } = counted(readers(6, 6), strategy, 20);
    // two schedules without a preemption, then 10 more with one (and the two again), then those with two
    const most = [...counts.keys()].map(preemptions);
    expect(most.slice(0, 12)).toEqual(most.slice(0, 12).toSorted());
    expect(Math.max(...most)).toBe(2);
    expect(strategy.guarantee(20)).toBe('every schedule with at most 1 preemptions was tried');
  });

  test('a retry without end is not gone into, and then nothing is called exhausted', () => {
    const program = small('retry', {
      actors: {
        *spins(s): Coroutine<void> {
          while (s.words[1] === 0) {
            yield LOCAL;
            yield reads(1);
          }
        },
        *sets(s): Coroutine<void> {
          yield writes(1);
          s.words[1] = 1;
        },
      },
    });
    const strategy = dfs.create({ seed: 1, depth: 1 });
    const { counts, done } = counted(program, strategy, 5000);
    expect(done).toBeLessThan(5000);
    expect(strategy.over).toBe(true);
    expect(strategy.exhausted).toBe(false);
    expect(counts.size).toBeGreaterThan(8);
    expect(strategy.guarantee(done)).toContain('but for retries');
  });

  test('a program that its choices do not decide does not break it', () => {
    let runs = 0;
    const fickle = small('fickle', {
      start: () => void runs++,
      actors: {
        *one(): Coroutine<void> {
          for (let i = 0; i < 1 + (runs % 3); i++) yield reads(1);
        },
        *other(): Coroutine<void> {
          for (let i = 0; i < 1 + (runs % 5); i++) yield reads(2);
        },
      },
    });
    counted(fickle, dfs.create({ seed: 1, depth: 1 }), 2000);
  });
});

describe('portfolio', () => {
  test('its members have fixed shares, by schedule number', () => {
    const strategy = portfolio.create({ seed: 1, depth: 4 });
    const program = pinVsWriteProtectBuggy();
    const thread = new OneThread(program, 1000);
    const counts: Record<string, number> = {};
    const found = new Set<string>();
    for (let schedule = 0; schedule < 1600; schedule++) {
      strategy.begin(schedule, 3);
      const end = thread.run(strategy, 0);
      const member = strategy.member ?? '';
      counts[member] = (counts[member] ?? 0) + 1;
      if (end === END_VIOLATION) found.add(member);
      expect(strategy.keeps?.(schedule)).toBe(member === 'dfs');
    }
    expect(counts).toEqual({ random: 400, surw: 300, pos: 300, 'pct-4': 300, 'pct-2': 200, dfs: 100 });
    expect(found.size).toBeGreaterThanOrEqual(4);
  });

  test('tells what PCT and the search say, for their shares', () => {
    const strategy = portfolio.create({ seed: 1, depth: 3 });
    counted(pinVsWriteProtectBuggy(), strategy, 1600);
    expect(strategy.guarantee(1600)).toMatch(
      /^pct-2: a bug of depth d = 2 .* N = 100 schedules; pct-3: .* N = 150 schedules; dfs: every schedule with at most \d/,
    );
  });

  test('ends when its search has tried everything', () => {
    const strategy = portfolio.create({ seed: 1, depth: 3 });
    const { done } = counted(readers(2, 2), strategy, 10_000);
    expect(done).toBeLessThan(500);
    expect(strategy.exhausted).toBe(true);
  });
});

/** Exhaustive search against brute force, on generated programs. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { ExactScript } from '#src/engine/strategies/script.js';
import {
  Everything,
  ExecutionKey,
  type Features,
  type Op,
  bruteForce,
  generated,
  hasEnded,
  operations,
  outcome,
} from './exhaustive-programs.js';

const RUNS = Number(process.env['EXHAUSTIVE_RUNS'] ?? 25);

/** What the search finds. */
function search(actors: readonly (readonly Op[])[]): { outcomes: Set<string>; blocked: number; executions: number } {
  const { program, logs } = generated(actors);
  const outcomes = new Set<string>();
  const found = searchWhole(program, {
    stepsMax: 300,
    executionsMax: 10_000,
    onExecution: (thread, firsts) => {
      if (!hasEnded(thread)) return;
      if (firsts.length === 0) outcomes.add(outcome(thread, logs));
      for (const { index } of firsts) outcomes.add(outcome(thread, logs, index));
    },
  });
  expect({ stray: found.stray, end: found.end }).toEqual({ stray: '', end: found.cut > 0 ? 'over' : 'exhausted' });
  return { outcomes, blocked: found.blocked, executions: found.executions };
}

/** Executions among all schedules of a program; null = too many. */
function countExecutions(actors: readonly (readonly Op[])[]): number | null {
  const { program } = generated(actors);
  const thread = new OneThread(program, 300);
  thread.goesOn = true;
  const key = new ExecutionKey(program.words);
  thread.observer = key;
  const everything = new Everything();
  const keys = new Set<string>();
  for (let schedules = 0; everything.begin(); schedules++) {
    if (schedules > 3000) return null;
    key.begin();
    thread.run(everything, 0);
    keys.add(key.key);
  }
  return keys.size;
}

const two = (features: Features, count: number): fc.Arbitrary<(readonly Op[])[]> =>
  fc.array(operations(features, count), { minLength: 2, maxLength: 2 });
const three = (features: Features, count: number): fc.Arbitrary<(readonly Op[])[]> =>
  fc.array(operations(features, count), { minLength: 3, maxLength: 3 });

const ALL: Features = { locks: true, tries: true, readers: true, waits: true, spins: true, asserts: true };

describe('the outcomes that brute force finds', () => {
  test.each<[string, fc.Arbitrary<(readonly Op[])[]>]>([
    ['loads, stores, atomics', three({}, 3)],
    ['locks', three({ locks: true }, 3)],
    ['locks and trylocks', three({ locks: true, tries: true }, 3)],
    ['reader-writer locks', three({ readers: true }, 3)],
    ['waits', three({ waits: true, locks: true }, 3)],
    ['broken assertions', three({ asserts: true }, 3)],
    ['broken assertions and locks', three({ asserts: true, locks: true, tries: true }, 3)],
    ['retry loops', three({ spins: true, locks: true }, 3)],
    ['everything, two actors', two(ALL, 4)],
    ['everything, three actors', three(ALL, 2)],
  ])('%s', (_, actors) => {
    fc.assert(
      fc.property(actors, (ops) => {
        expect([...search(ops).outcomes].toSorted()).toEqual([...bruteForce(ops)].toSorted());
      }),
      { numRuns: RUNS },
    );
  });
});

describe('schedules that break an assertion', () => {
  test('are given for each that can be the first', () => {
    fc.assert(
      fc.property(three({ asserts: true, locks: true, waits: true }, 3), (ops) => {
        const { program } = generated(ops);
        const again = new OneThread(generated(ops).program, 300);
        const script = new ExactScript();
        searchWhole(program, {
          stepsMax: 300,
          executionsMax: 500,
          onExecution: ({ breaches }, firsts) => {
            for (const { index, choices } of firsts) {
              script.load(choices, choices.length).begin();
              again.run(script, 0);
              expect(again.breaches[0]).toEqual(breaches[index]);
              expect(again.steps).toBe(choices.length);
            }
          },
        });
      }),
      { numRuns: RUNS },
    );
  });
});

describe('one schedule for each execution', () => {
  test.each<[string, fc.Arbitrary<(readonly Op[])[]>]>([
    ['loads, stores, atomics', three({}, 2)],
    ['locks', three({ locks: true }, 2)],
    ['locks and trylocks', two({ locks: true, tries: true }, 3)],
    ['waits', two({ waits: true, locks: true }, 3)],
    ['broken assertions', two({ asserts: true, locks: true }, 3)],
  ])('%s', (_, actors) => {
    let compared = 0;
    fc.assert(
      fc.property(actors, (ops) => {
        const count = countExecutions(ops);
        if (count === null) return;
        compared++;
        const { blocked, executions } = search(ops);
        expect({ blocked, executions }).toEqual({ blocked: 0, executions: count });
      }),
      { numRuns: RUNS },
    );
    expect(compared).toBeGreaterThan(RUNS / 4);
  });
});

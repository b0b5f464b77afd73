/** The one-thread engine: how schedules end, who can run when, and that nothing but the choices decides. */
import { describe, expect, test } from 'vitest';
import type { Coroutine } from '#src/machine/context.js';
import { IDLE_SLEEP, IDLE_WORD, WAIT_WORD, acquires, reads, releases, writes } from '#src/machine/effects.js';
import {
  END_DEADLOCK,
  END_EXCEPTION,
  END_FINISHED,
  END_STEP_LIMIT,
  END_VIOLATION,
  OneThread,
  type StepObserver,
} from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import type { Violation } from '#src/oracle/violation.js';
import { lock, type TinyState, unlock, waitsFor } from '#src/engine/programs/tiny-lock.js';
import { recheck } from '#src/engine/one-thread/determinism-check.js';
import { strategyKind } from '#src/engine/strategies/index.js';
import { ExactScript, GuidedScript } from '#src/engine/strategies/script.js';
import { small } from './one-thread-programs.js';

const A = 1;
const B = 2;

/** Takes two locks in the given order and gives them back. */
function* takesBoth(s: TinyState, actor: number, first: number, second: number): Coroutine<void> {
  yield acquires(first);
  while (!lock(s, first, actor)) yield waitsFor(first);
  yield acquires(second);
  while (!lock(s, second, actor)) yield waitsFor(second);
  yield releases(second);
  unlock(s, second);
  yield releases(first);
  unlock(s, first);
}

const abba = (): Program =>
  small('abba', {
    words: ['', 'lock A', 'lock B'],
    actors: {
      ab: (s, actor) => takesBoth(s, actor, A, B),
      ba: (s, actor) => takesBoth(s, actor, B, A),
    },
  });

/** Runs the steps of the given actors, then whoever can. */
function guided(thread: OneThread, ...choices: number[]): number {
  const script = new GuidedScript().load(Uint8Array.from(choices), choices.length);
  script.begin();
  return thread.run(script, 0);
}

describe('how a schedule ends', () => {
  test('all actors have returned: finished', () => {
    const thread = new OneThread(abba(), 100);
    expect(guided(thread, 0, 0, 0, 0)).toBe(END_FINISHED);
    expect([thread.steps, thread.isDone(0), thread.isDone(1)]).toEqual([8, true, true]);
    expect([...thread.choices.subarray(0, 8)]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  });

  test('nobody can run: a deadlock, which names who waits for what and who holds it', () => {
    const thread = new OneThread(abba(), 100);
    expect(guided(thread, 0, 1)).toBe(END_DEADLOCK);
    expect(thread.program.explain(thread.waiting())).toEqual([
      'ab waits for lock B, held by ba',
      'ba waits for lock A, held by ab',
    ]);
  });

  test('an actor that waits for a lock cannot run, and costs no steps, until it is released', () => {
    const thread = new OneThread(abba(), 100);
    // ab takes both; ba tries B once, and A once later, and stands still in between although it is asked for again and again
    expect(guided(thread, 0, 0, 1, 1, 1, 1, 0, 1)).toBe(END_FINISHED);
    expect([...thread.choices.subarray(0, thread.steps)]).toEqual([0, 0, 1, 0, 1, 1, 0, 1, 1, 1]);
  });

  test('a schedule that goes on for too long ends at its limit', () => {
    const thread = new OneThread(
      small('spins', {
        actors: {
          *spinner(): Coroutine<void> {
            for (;;) yield IDLE_SLEEP;
          },
        },
      }),
      50,
    );
    thread.fair = false;
    expect(guided(thread)).toBe(END_STEP_LIMIT);
    expect([thread.steps, thread.endText]).toEqual([50, 'step-limit']);
  });

  test('an actor that throws ends the schedule, with its error', () => {
    const thread = new OneThread(
      small('throws', {
        actors: {
          *fine(): Coroutine<void> {
            yield reads(A);
          },
          *broken(): Coroutine<void> {
            yield reads(A);
            throw new RangeError('refcount of a free page');
          },
        },
      }),
      100,
    );
    expect(guided(thread, 0, 1)).toBe(END_EXCEPTION);
    expect([thread.errorActor, String(thread.error), thread.steps]).toEqual([
      1,
      'RangeError: refcount of a free page',
      2,
    ]);
    expect(guided(thread, 0, 1), 'and the thread can be used again').toBe(END_EXCEPTION);
  });

  test("an error of the strategy is not an actor's", () => {
    const thread = new OneThread(abba(), 100);
    const script = new GuidedScript();
    script.pick = () => {
      throw new RangeError('no idea');
    };
    expect(() => thread.run(script, 0)).toThrow('no idea');
  });

  test('a rule that breaks during a step ends it there; one that the final audit finds, at the end', () => {
    const violations: Violation[] = [];
    const program = small('breaks', {
      violations,
      audit: (words) => (words[A] === 2 ? [{ invariant: 'I-B', what: 'found at the end' }] : []),
      actors: {
        *writer(s): Coroutine<void> {
          yield writes(A);
          s.words[A] = 1;
          yield writes(A);
          s.words[A] = 2;
        },
        *judge(s, actor): Coroutine<void> {
          yield reads(A);
          if (s.words[A] === 1) violations.push({ invariant: 'I-A', what: 'seen at once', actor });
          yield reads(A);
        },
      },
    });
    const thread = new OneThread(program, 100);
    expect(guided(thread, 0, 1)).toBe(END_VIOLATION);
    expect([thread.endText, thread.steps]).toEqual(['violation I-A', 2]);
    expect(guided(thread, 0, 0)).toBe(END_VIOLATION);
    expect([thread.endText, thread.steps]).toEqual(['violation I-B', 4]);
  });

  test('servers and endless daemons return when those before them have', () => {
    const BELL = 3;
    const told: number[] = [];
    let finished = 0;
    function* serves(s: TinyState, actor: number, tier: number): Coroutine<void> {
      for (;;) {
        if (finished >= tier) return;
        s.waitValues[actor] = s.words[BELL] as number;
        yield (BELL << 4) | IDLE_WORD;
      }
    }
    const program = small('tiers', {
      tiers: [2, 1, 0],
      start: () => {
        finished = 0;
        told.length = 0;
      },
      finish: (_s, tier) => {
        finished = tier;
        told.push(tier);
      },
      actors: {
        server: (s, actor) => serves(s, actor, 2),
        daemon: (s, actor) => serves(s, actor, 1),
        *client(s): Coroutine<void> {
          yield writes(BELL);
          s.words[BELL] = 1;
          yield reads(A);
        },
      },
    });
    const thread = new OneThread(program, 100);
    expect(guided(thread)).toBe(END_FINISHED);
    expect(told).toEqual([1, 2]);
    expect(thread.steps).toBeLessThan(8);
  });

  test('a waiting actor that nobody will wake is a deadlock, also beside one that is idle', () => {
    const program = small('stuck', {
      tiers: [0, 2],
      words: ['', 'flag'],
      actors: {
        *waiter(s, actor): Coroutine<void> {
          s.waitValues[actor] = 0;
          yield (A << 4) | WAIT_WORD;
        },
        *server(s, actor): Coroutine<void> {
          s.waitValues[actor] = 0;
          yield (B << 4) | IDLE_WORD;
        },
      },
    });
    const thread = new OneThread(program, 100);
    expect(guided(thread)).toBe(END_DEADLOCK);
    expect(thread.program.explain(thread.waiting())[0]).toBe('waiter waits for a change of flag');
  });
});

describe('steps', () => {
  test('a step performs the effect that was declared before it; starting is no step', () => {
    const seen: string[] = [];
    const observer: StepObserver = {
      beforeStep: (actor, effect, step) => void seen.push(`${step}: ${actor} ${effect >>> 4}`),
      afterStep: (actor, effect, step) => void seen.push(`${step}: ${actor} -> ${effect < 0 ? 'done' : effect >>> 4}`),
    };
    const thread = new OneThread(abba(), 100);
    thread.observer = observer;
    guided(thread, 0, 0, 0, 0);
    expect(seen.slice(0, 8)).toEqual([
      '0: 0 0',
      '0: 0 -> 1',
      '0: 1 0',
      '0: 1 -> 2',
      '1: 0 1',
      '1: 0 -> 2',
      '2: 0 2',
      '2: 0 -> 2',
    ]);
    expect(seen.at(-1)).toBe('8: 1 -> done');
  });

  test('the WAITERS bit of a lock word is no change of it', () => {
    const program = small('waiters', {
      actors: {
        *setsBit(s): Coroutine<void> {
          yield writes(A);
          s.words[A] = (s.words[A] as number) | (1 << 31);
          yield writes(A);
          s.words[A] = 0;
        },
        *waits(s, actor): Coroutine<void> {
          s.waitValues[actor] = 5;
          yield waitsFor(A);
        },
      },
      start: (words) => {
        words[A] = 5;
      },
    });
    const thread = new OneThread(program, 100);
    guided(thread, 1, 0, 1, 0, 1);
    expect([...thread.choices.subarray(0, 3)]).toEqual([0, 0, 1]);
  });
});

describe('nothing but the choices decides', () => {
  test('a schedule run again by its choices is the same, whatever it ends as', () => {
    const random = strategyKind('random');
    const strategy = random?.create({ seed: 11, depth: 1 });
    if (strategy === undefined) throw new Error('no random strategy');
    const thread = new OneThread(abba(), 100);
    const ends = new Set<number>();
    for (let schedule = 0; schedule < 200; schedule++) {
      strategy.begin(schedule, 2);
      const end = thread.run(strategy, 0);
      ends.add(end);
      const choices = thread.choices.slice(0, thread.steps);
      const script = new ExactScript().load(choices, choices.length);
      script.begin();
      expect(thread.run(script, 0)).toBe(end);
      expect([...thread.choices.subarray(0, thread.steps)]).toEqual([...choices]);
      expect(recheck(thread, 0)).toBeNull();
    }
    expect(ends).toEqual(new Set([END_FINISHED, END_DEADLOCK]));
  });

  test('a program that keeps something over a reset is caught, with the first step that differs', () => {
    let runs = 0;
    const program = small('forgetful', {
      words: ['', 'a', 'b'],
      start: () => {
        runs++;
      },
      actors: {
        *one(): Coroutine<void> {
          yield reads(A);
          yield runs % 2 === 0 ? reads(A) : writes(B);
        },
      },
    });
    const thread = new OneThread(program, 100);
    guided(thread, 0, 0);
    expect(recheck(thread, 0)).toEqual({ step: 2, what: "one stood before 'read a' and, run again, before 'write b'" });
  });

  test('so is one that ends another way', () => {
    let runs = 0;
    const program = small('fickle', {
      start: () => {
        runs++;
      },
      audit: () => (runs === 1 ? [] : [{ invariant: 'I-X', what: 'only later' }]),
      actors: {
        *one(): Coroutine<void> {
          yield reads(A);
        },
      },
    });
    const thread = new OneThread(program, 100);
    guided(thread, 0);
    expect(recheck(thread, 0)?.what).toBe('ended as finished after 1 steps and, run again, as violation after 1');
  });
});

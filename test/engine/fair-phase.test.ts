/** What follows a schedule that was cut off: a fair one, which finishes or goes round in circles. */
import { describe, expect, test } from 'vitest';
import type { Coroutine } from '#src/machine/context.js';
import { IDLE_SLEEP, LOCAL, acquires, reads, releases, writes } from '#src/machine/effects.js';
import { periodOf } from '#src/engine/one-thread/fair-phase.js';
import {
  END_DEADLOCK,
  END_DRAINED,
  END_STEP_LIMIT,
  END_VIOLATION,
  OneThread,
} from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import { lock, unlock, waitsFor } from '#src/engine/programs/tiny-lock.js';
import { recheck } from '#src/engine/one-thread/determinism-check.js';
import { shrinkLivelock } from '#src/engine/campaign/shrink.js';
import { ExactScript, GuidedScript } from '#src/engine/strategies/script.js';
import { small } from './one-thread-programs.js';

/** Prefers the first actor: as unfair as can be. */
function unfair(thread: OneThread): number {
  const script = new GuidedScript().load(new Uint8Array(thread.stepsMax), thread.stepsMax);
  script.begin();
  return thread.run(script, 0);
}

/** Each retries until the other has gone on, which neither does. */
const polite = (): Program =>
  small('polite', {
    words: ['', 'left', 'right', 'turns'],
    actors: {
      *left(s): Coroutine<void> {
        do {
          yield LOCAL;
          yield reads(2);
        } while (s.words[2] === 0);
        yield writes(1);
        s.words[1] = 1;
      },
      *right(s): Coroutine<void> {
        do {
          yield reads(1);
          yield writes(3);
          s.words[3] = (s.words[3] as number) + 1;
        } while (s.words[1] === 0);
        yield writes(2);
        s.words[2] = 1;
      },
    },
  });

/** The first actor spins until the second one has set word 1; which must not be 7. */
const spin = (value: number): Program =>
  small('spin', {
    actors: {
      *spins(s): Coroutine<void> {
        do yield reads(1);
        while (s.words[1] === 0);
      },
      *sets(s): Coroutine<void> {
        yield writes(1);
        s.words[1] = value;
      },
    },
    audit: (words) => (words[1] === 7 ? [{ invariant: 'I-X', what: 'seven' }] : []),
  });

describe('after the step limit', () => {
  test('a spin that a fair schedule ends is no livelock', () => {
    const thread = new OneThread(spin(1), 100);
    expect(unfair(thread)).toBe(END_DRAINED);
    expect(thread.outcomeText).toBe('step-limit, then drained');
    expect(thread.steps).toBe(100);
    expect(thread.choices.slice(0, 100)).toEqual(new Uint8Array(100));
    expect(recheck(thread, 0)).toBeNull();
  });

  test('its final state is audited', () => {
    const thread = new OneThread(spin(7), 10);
    expect(unfair(thread)).toBe(END_VIOLATION);
    expect(thread.endText).toBe('violation I-X');
  });

  test('two that retry for ever are a livelock, told once', () => {
    const thread = new OneThread(polite(), 100);
    expect(unfair(thread)).toBe(END_VIOLATION);
    expect(thread.breaches).toEqual([
      { invariant: 'I-LIVE', what: 'livelock: left, right go round for ever, though all run in turn' },
    ]);
    expect(thread.steps).toBe(100);
    const [title, ...turn] = thread.livelock;
    expect(title).toBe('left, again and again:');
    expect(turn.slice(0, 2).toSorted()).toEqual(['  local', '  read right']);
    expect(turn.slice(2)).toEqual([
      'right, again and again:',
      ...['  read left', '  write turns'].toSorted((x) => (turn[3] === x ? -1 : 1)),
      'after a turn only turns changed',
    ]);
    expect(recheck(thread, 0)).toBeNull();
  });

  test('its schedule is cut down to nothing, and a replay of that ends the same', () => {
    const program = polite();
    const thread = new OneThread(program, 500);
    unfair(thread);
    const small = shrinkLivelock(program, 0, thread.choices.slice(0, 500), thread.endText);
    expect(small.choices).toHaveLength(0);
    expect(small.thread.run(new ExactScript().load(small.choices, 0), 0)).toBe(END_VIOLATION);
    expect(small.thread.livelock).toEqual(thread.livelock);
  });

  test('one that needs a prefix keeps it', () => {
    // they only go round when both have looked before either wrote: the fair phase from the start finishes
    const program = small('once', {
      actors: {
        *one(s): Coroutine<void> {
          yield reads(2);
          yield reads(2);
          yield reads(2);
          const late = s.words[2] === 1;
          yield writes(1);
          s.words[1] = 1;
          while (late) yield LOCAL;
        },
        *other(s): Coroutine<void> {
          yield reads(1);
          yield reads(1);
          yield reads(1);
          yield reads(1);
          yield writes(2);
          s.words[2] = 1;
        },
      },
    });
    const thread = new OneThread(program, 64);
    const choices = new Uint8Array(64);
    choices.fill(1, 0, 5);
    const script = new ExactScript().load(choices, 64);
    script.begin();
    expect(thread.run(script, 0)).toBe(END_VIOLATION);
    const small_ = shrinkLivelock(program, 0, choices, thread.endText);
    expect(small_.choices).toHaveLength(4);
    expect(new OneThread(program, 2).run(new GuidedScript().load(new Uint8Array(2), 2), 0)).toBe(END_DRAINED);
  });

  test('daemons are told to stop, clients go on to their end, servers stay for both', () => {
    const finished: number[] = [];
    const program = small('tiers', {
      tiers: [0, 1, 2],
      finish: (s, tier) => {
        finished.push(tier);
        s.words[10 + tier] = 1;
      },
      actors: {
        // goes on only when the daemon leaves it alone
        *client(s): Coroutine<void> {
          do {
            yield writes(1);
            s.words[1] = 1;
            yield reads(1);
            yield reads(1);
            yield reads(1);
          } while (s.words[1] !== 1);
        },
        *daemon(s): Coroutine<void> {
          while (s.words[11] === 0) {
            yield IDLE_SLEEP;
            yield writes(1);
            s.words[1] = 2;
          }
        },
        *server(s): Coroutine<void> {
          while (s.words[12] === 0) yield IDLE_SLEEP;
        },
      },
    });
    const thread = new OneThread(program, 40);
    // in turn: the daemon is always in between
    const script = new ExactScript().load(
      Uint8Array.from({ length: 40 }, (_, i) => i % 3),
      40,
    );
    script.begin();
    expect(thread.run(script, 0)).toBe(END_DRAINED);
    expect(finished).toEqual([1, 2]);
  });

  test('a deadlock is one there too', () => {
    const program = small('abba', {
      actors: Object.fromEntries(
        [
          [1, 2],
          [2, 1],
        ].map(([first, second], actor) => [
          `a${actor}`,
          function* (s): Coroutine<void> {
            for (let i = 0; i < 9; i++) yield reads(5);
            for (const word of [first as number, second as number]) {
              yield acquires(word);
              while (!lock(s, word, actor)) yield waitsFor(word);
            }
            yield releases(first as number);
            unlock(s, first as number);
          },
        ]),
      ),
    });
    expect(unfair(new OneThread(program, 3))).toBe(END_DEADLOCK);
  });

  test('a long way that is no circle stays undecided', () => {
    const program = small('long', {
      actors: {
        *walks(): Coroutine<void> {
          for (let i = 0; i < 1e6; i++) yield reads(1 + ((Math.imul(i, i ^ 0x9e37) >>> 7) % 30));
        },
      },
    });
    const thread = new OneThread(program, 10);
    expect(unfair(thread)).toBe(END_STEP_LIMIT);
    expect(thread.outcomeText).toBe('step-limit');
  });
});

describe('the period of a list', () => {
  test.each([
    [[1, 2, 1, 2, 1], 2],
    [[1, 1, 1], 1],
    [[1, 2, 3], 3],
    [[1, 2, 3, 1, 2, 3, 1], 3],
    [[1, 1, 2, 1, 1, 2, 1, 1], 3],
  ])('%j: %d', (list, period) => {
    expect(periodOf(list)).toBe(period);
  });
});

/** Coroutines as explicit stacks behave as `yield*` does, at any depth, and leave other generators alone. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Coroutine } from '#src/machine/context.js';
import { reads } from '#src/machine/effects.js';
import { CoroutineStack, stopRunning } from '#src/engine/one-thread/coroutine-stack.js';
import { END_EXCEPTION, END_FINISHED, OneThread } from '#src/engine/one-thread/one-thread.js';
import { strategyKind } from '#src/engine/strategies/index.js';
import { small } from './one-thread-programs.js';

/** What a coroutine does: yield a number, or call another coroutine and yield what it returned. */
type Body = readonly (number | Body)[];

const body = fc.letrec<{ body: Body }>((tie) => ({
  body: fc.array(fc.oneof({ maxDepth: 6, withCrossShrink: true }, fc.nat(9), tie('body')), {
    maxLength: 5,
  }) as fc.Arbitrary<Body>,
})).body;

function* perform(actions: Body): Coroutine {
  let sum = 0;
  for (const action of actions) {
    if (typeof action === 'number') {
      yield reads(action);
      sum += action;
    } else {
      const result = yield* perform(action);
      yield reads(100 + result);
      sum += result;
    }
  }
  return sum;
}

/** All it yields, then what it returns. */
function collect(step: () => IteratorResult<number, unknown>): unknown[] {
  const seen: unknown[] = [];
  for (;;) {
    const { done, value } = step();
    if (done === true) return [...seen, { returned: value }];
    seen.push(value);
  }
}

function* descends(levels: number): Coroutine {
  if (levels === 0) {
    yield reads(1);
    return 0;
  }
  return 1 + (yield* descends(levels - 1));
}

function* fails(): Coroutine {
  yield reads(1);
  throw new RangeError('broken');
}

function* calls(): Coroutine {
  return yield* fails();
}

describe('a coroutine stack', () => {
  test('yields and returns what plain generators do, for any tree of calls', () => {
    const stack = new CoroutineStack();
    fc.assert(
      fc.property(body, (actions) => {
        const plain = perform(actions);
        const expected = collect(() => plain.next());
        stack.start(perform(actions));
        expect(collect(() => stack.step())).toEqual(expected);
        expect(stack.depth).toBe(1);
      }),
      { numRuns: 300 },
    );
  });

  test('two stacks in turns do not disturb each other', () => {
    const bodies: Body[] = [
      [1, [2, [3]], 4],
      [[[[5], 6], 7], 8],
    ];
    const expected = bodies.map((actions) => {
      const plain = perform(actions);
      return collect(() => plain.next());
    });
    const stacks = bodies.map((actions) => {
      const stack = new CoroutineStack();
      stack.start(perform(actions));
      return stack;
    });
    const seen: unknown[][] = [[], []];
    const open = new Set([0, 1]);
    while (open.size > 0) {
      for (const i of open) {
        const step = stacks[i]?.step();
        seen[i]?.push(step?.done === true ? { returned: step.value } : step?.value);
        if (step?.done === true) open.delete(i);
      }
    }
    expect(seen).toEqual(expected);
  });

  test('can be started again in the middle of a deep call', () => {
    const stack = new CoroutineStack();
    stack.start(descends(20));
    expect(stack.step().value).toBe(reads(1));
    expect(stack.depth).toBe(21);
    stack.start(descends(2));
    expect(collect(() => stack.step())).toEqual([reads(1), { returned: 2 }]);
  });

  test('refuses endless recursion', () => {
    const stack = new CoroutineStack();
    stack.start(descends(1000));
    expect(() => stack.step()).toThrow('nested more than 100 deep');
    stopRunning();
  });

  test('leaves generators outside it as they were', () => {
    const stack = new CoroutineStack();
    stack.start(perform([1]));
    stack.step();
    const generator = perform([1, [2], 3]);
    expect(generator[Symbol.iterator]()).toBe(generator);
    expect([...generator]).toEqual([1, 2, 102, 3].map(reads));
  });
});

/** Who ran when in 50 random schedules of two actors. */
function choicesOf(deep: boolean): string[] {
  const actors = {
    one: () => asVoid([1, [2, [3], 4], 5]),
    other: () => asVoid([[[6, 7]], 8]),
  };
  const thread = new OneThread(small('calls', { deep, actors }), 100);
  const strategy = strategyKind('random')?.create({ seed: 3, depth: 1 });
  return Array.from({ length: 50 }, (_, schedule) => {
    strategy?.begin(schedule, 2);
    if (strategy !== undefined) expect(thread.run(strategy, 0)).toBe(END_FINISHED);
    return thread.choices.subarray(0, thread.steps).join('');
  });
}

describe('deep programs', () => {
  test('take the same steps as flat ones under the same strategy', () => {
    expect(choicesOf(true)).toEqual(choicesOf(false));
  });

  test('an error in a callee ends the schedule, and the next one runs as if nothing had been', () => {
    let broken = true;
    const program = small('fails', {
      deep: true,
      actors: {
        *one(): Coroutine<void> {
          yield reads(1);
          yield* broken ? calls() : descends(3);
        },
      },
    });
    const thread = new OneThread(program, 100);
    const strategy = strategyKind('random')?.create({ seed: 1, depth: 1 });
    if (strategy === undefined) throw new Error('no random strategy');
    strategy.begin(0, 1);
    expect(thread.run(strategy, 0)).toBe(END_EXCEPTION);
    expect(String(thread.error)).toBe('RangeError: broken');
    expect([...perform([1, [2]])]).toEqual([1, 2, 102].map(reads));
    broken = false;
    strategy.begin(1, 1);
    expect(thread.run(strategy, 0)).toBe(END_FINISHED);
  });
});

function* asVoid(actions: Body): Coroutine<void> {
  yield* perform(actions);
}

/** Campaigns in ranges: whatever the ranges are, and whoever runs them, they come to the same. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Coroutine } from '#src/machine/context.js';
import { acquires, reads, writes } from '#src/machine/effects.js';
import { Conductor, type Executor } from '#src/engine/campaign/conductor.js';
import { OrderObserver, OrderTable, isSampled } from '#src/engine/campaign/orders.js';
import { LANE_FREE, type RangeResult, type RangeTask } from '#src/engine/campaign/range.js';
import { type CampaignSpec, RangeRunner } from '#src/engine/campaign/runner.js';
import { type Tally, curve, newPerThousand } from '#src/engine/campaign/tally.js';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import { pinVsWriteProtect, pinVsWriteProtectBuggy } from '#src/engine/programs/pin-vs-write-protect.js';
import { lock, unlock, waitsFor } from '#src/engine/programs/tiny-lock.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { ExactScript } from '#src/engine/strategies/script.js';
import { small } from './one-thread-programs.js';

const SPEC: CampaignSpec = {
  strategy: 'portfolio',
  seed: 3,
  depth: 3,
  stepsMax: 1000,
  varies: false,
  keepGoing: false,
  lookOn: 100,
  until: null,
};

const classify = (thread: OneThread): { invariant: string; kind: string } => ({
  invariant: thread.breaches[0]?.invariant ?? thread.endText,
  kind: thread.endText,
});

/** As a pool of threads: some runners, whose ranges come back in another order and end early now and then. */
class Shuffled implements Executor {
  readonly width: number;
  readonly #runners: RangeRunner[];
  readonly #free: RangeRunner[];
  readonly #waiting: (() => void)[] = [];
  #draws: number;

  constructor(make: () => Program, spec: CampaignSpec, threads: number, seed: number) {
    this.width = 2 * threads;
    this.#runners = Array.from({ length: threads }, () => new RangeRunner(make(), spec, classify));
    this.#free = [...this.#runners];
    this.#draws = seed;
  }

  async run(task: RangeTask): Promise<RangeResult> {
    while (this.#free.length === 0) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    const runner = this.#free.pop() as RangeRunner;
    this.#draws = (Math.imul(this.#draws, 1103515245) + 12345) >>> 1;
    const cut = this.#draws % 3 === 0 && task.ms !== Infinity;
    const result = runner.run(cut ? { ...task, ms: 0 } : task, () => false);
    for (let turns = this.#draws % 7; turns >= 0; turns--) await new Promise((resolve) => void setImmediate(resolve));
    this.#free.push(runner);
    this.#waiting.shift()?.();
    return result;
  }

  stop(): void {}
}

async function campaign(make: () => Program, spec: CampaignSpec, schedules: number, executor: Executor) {
  const { strategy } = new RangeRunner(make(), spec, classify);
  const keeps = strategy.keeps === undefined ? null : (schedule: number) => strategy.keeps?.(schedule) === true;
  const conductor = new Conductor({
    spec,
    executor,
    keeps,
    state: strategy.save?.(),
    schedules,
    stop: () => '',
    onProgress: () => {},
  });
  const end = await conductor.run();
  return { end, ...told(conductor.tally), state: conductor.state };
}

/** All that a report is made of. */
function told(tally: Tally) {
  const { schedules, steps, rechecked, violations } = tally;
  return {
    schedules,
    steps,
    rechecked,
    violations,
    outcomes: tally.sortedOutcomes(),
    finds: tally.sortedFinds(),
    members: [...tally.members.values()].toSorted((x, y) => (x.name < y.name ? -1 : 1)),
    orders: tally.orders.summary().firsts.toSorted((x, y) => x - y),
    newIn: tally.newIn(),
  };
}

/** One range after the other, on one thread. */
const oneByOne = (make: () => Program, spec: CampaignSpec): Executor => {
  const runner = new RangeRunner(make(), spec, classify);
  return { width: 1, run: (task) => Promise.resolve(runner.run(task, () => false)), stop: () => {} };
};

describe.each(STRATEGIES.map(({ name }) => name))('a campaign of %s', (strategy) => {
  test.each([
    ['up to its first find and so many more', {}],
    ['through all finds', { keepGoing: true }],
    ['until a rule breaks', { until: 'I-RO' }],
    ['until one breaks that never does', { until: 'I-STALE' }],
  ])('comes to the same on any threads: %s', async (_, more) => {
    const spec = { ...SPEC, ...more, strategy };
    const once = await campaign(pinVsWriteProtectBuggy, spec, 3000, oneByOne(pinVsWriteProtectBuggy, spec));
    for (const threads of [1, 3]) {
      const shuffled = new Shuffled(pinVsWriteProtectBuggy, spec, threads, threads);
      expect(await campaign(pinVsWriteProtectBuggy, spec, 3000, shuffled)).toEqual(once);
    }
    expect(once.finds.length).toBeGreaterThan(0);
    expect(once.outcomes.reduce((sum, { count }) => sum + count, 0)).toBe(once.schedules);
    if (once.end === 'violation' && spec.until === null) {
      expect(once.schedules).toBe((once.finds[0]?.number ?? 0) + 1 + spec.lookOn);
    }
  });

  test('every find and every first outcome is what its choices come to', async () => {
    const spec = { ...SPEC, keepGoing: true, strategy };
    const { finds, outcomes } = await campaign(
      pinVsWriteProtectBuggy,
      spec,
      2000,
      new Shuffled(pinVsWriteProtectBuggy, spec, 2, 5),
    );
    const thread = new OneThread(pinVsWriteProtectBuggy(), 1000);
    const ends = (choices: Uint8Array): string => {
      const script = new ExactScript().load(choices, choices.length);
      script.begin();
      thread.run(script, 0);
      return thread.outcomeText;
    };
    for (const { choices, end } of finds) expect(ends(choices)).toBe(end);
    for (const { choices, state } of outcomes) expect(ends(choices)).toBe(state);
  });
});

/** Six schedules. */
const short = (): Program =>
  small('short', {
    actors: {
      *one(): Coroutine<void> {
        yield reads(1);
        yield reads(1);
      },
      *other(): Coroutine<void> {
        yield writes(1);
        yield writes(1);
      },
    },
  });

describe('a campaign', () => {
  test('any number of schedules, find or none, threads and cuts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        fc.boolean(),
        fc.nat({ max: 200 }),
        async (schedules, threads, seed, buggy, lookOn) => {
          const make = buggy ? pinVsWriteProtectBuggy : pinVsWriteProtect;
          const spec = { ...SPEC, seed, lookOn };
          const once = await campaign(make, spec, schedules, oneByOne(make, spec));
          expect(await campaign(make, spec, schedules, new Shuffled(make, spec, threads, seed))).toEqual(once);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('of a program that a search gets through ends there, on any threads', async () => {
    for (const strategy of ['dfs', 'portfolio']) {
      const spec = { ...SPEC, strategy };
      const once = await campaign(short, spec, 1e6, oneByOne(short, spec));
      expect(once.end).toBe('exhausted');
      expect(once.schedules).toBeLessThan(1000);
      expect(await campaign(short, spec, 1e6, new Shuffled(short, spec, 3, 1))).toEqual(once);
    }
  });

  test('stops when asked to, with what was done', async () => {
    const spec = { ...SPEC, strategy: 'random' };
    let asked = 0;
    const conductor = new Conductor({
      spec,
      executor: new Shuffled(pinVsWriteProtect, spec, 2, 1),
      keeps: null,
      state: undefined,
      schedules: 1e9,
      stop: () => (++asked === 4 ? 'interrupted' : ''),
      onProgress: () => {},
    });
    expect(await conductor.run()).toBe('interrupted');
    expect(conductor.tally.schedules).toBe(conductor.schedules);
    expect(conductor.tally.schedules).toBeGreaterThan(0);
  });

  test('a thread that fails ends it, with its error', async () => {
    let ranges = 0;
    const good = oneByOne(pinVsWriteProtect, SPEC);
    const executor: Executor = {
      width: 2,
      run: (task) => (++ranges === 3 ? Promise.reject(new Error('out of memory')) : good.run(task)),
      stop: () => {},
    };
    await expect(campaign(pinVsWriteProtect, SPEC, 1e6, executor)).rejects.toThrow('out of memory');
  });
});

/** The summary after schedules of these choices. */
function seen(program: Program, ...schedules: readonly (readonly number[])[]) {
  const observer = new OrderObserver();
  const thread = new OneThread(program, 100);
  thread.observer = observer;
  schedules.forEach((choices, number) => {
    const script = new ExactScript().load(Uint8Array.from(choices), choices.length);
    script.begin();
    observer.begin(number);
    thread.run(script, 0);
  });
  return observer.table.summary();
}

/** Steps with these effects. */
const steps = (...effects: readonly number[]) =>
  function* (): Coroutine<void> {
    for (const effect of effects) yield effect;
  };

/** A writer and a reader; two writers and a reader. */
const writerReader = (): Program =>
  small('w-r', { actors: { w: steps(writes(1), reads(2)), r: steps(reads(1), reads(2)) } });
const three = (): Program =>
  small('three', { actors: { a: steps(writes(1)), b: steps(writes(1)), c: steps(reads(1)) } });

/** A table's rows as text, in order. */
function rows(table: OrderTable): string[] {
  const all = [...table.toArray()];
  return Array.from({ length: all.length / 3 }, (_, i) => all.slice(3 * i, 3 * i + 3).join(' ')).toSorted();
}

describe('coverage', () => {
  test('counts conflicting accesses, by the orders they were seen in', () => {
    expect(seen(writerReader(), [0, 0, 1, 1])).toEqual({ both: 0, one: 1, firsts: [0] });
    expect(seen(writerReader(), [0, 0, 1, 1], [0, 0, 1, 1])).toEqual({ both: 0, one: 1, firsts: [0] });
    expect(seen(writerReader(), [0, 0, 1, 1], [1, 1, 0, 0])).toEqual({
      both: 1,
      one: 0,
      firsts: expect.arrayContaining([0, 1]),
    });
  });

  test('two changes are a pair; a change between two accesses parts them', () => {
    // a-b and b-c, not a-c
    expect(seen(three(), [0, 1, 2])).toMatchObject({ both: 0, one: 2 });
    expect(seen(three(), [0, 1, 2], [2, 1, 0])).toMatchObject({ both: 2, one: 0 });
    // c's load comes between: a-c, c-b, and a-b all the same
    expect(seen(three(), [0, 2, 1])).toMatchObject({ both: 0, one: 3 });
  });

  test('of a lock the acquisitions count, not the attempts that had to wait', () => {
    const program = small('lock', {
      actors: Object.fromEntries(
        [0, 1].map((actor) => [
          `a${actor}`,
          function* (s): Coroutine<void> {
            yield acquires(1);
            while (!lock(s, 1, actor)) yield waitsFor(1);
            yield writes(2);
            unlock(s, 1);
          },
        ]),
      ),
    });
    // a1 tries while a0 holds it: one order of the lock, one of the word (its release goes with the write)
    expect(seen(program, [0, 1, 0, 1, 1])).toMatchObject({ both: 0, one: 2 });
  });

  test('tables put together hold the first schedules of both, whatever their sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.nat({ max: 1 }), fc.nat())), (notes) => {
        const whole = new OrderTable();
        const halves = [new OrderTable(), new OrderTable()] as const;
        notes.forEach(([key, order, schedule], i) => {
          whole.note(key, order, schedule);
          halves[i % 2 === 0 ? 0 : 1].note(key, order, schedule);
        });
        const together = new OrderTable();
        for (const half of halves) together.add(half.toArray());
        expect(rows(together)).toEqual(rows(whole));
        expect(whole.size).toBe(new Set(notes.map(([key]) => key)).size);
      }),
      { numRuns: 50 },
    );
  });

  test('the first schedules are looked at, then every 16th', () => {
    const sampled = Array.from({ length: 1024 }, (_, i) => i).filter(isSampled);
    expect(sampled).toHaveLength(64 + 60);
    expect(sampled.slice(64, 67)).toEqual([72, 88, 104]);
  });

  test('the curve of what was new', () => {
    const newIn = [0, 0, 3, 40, 700, 999];
    expect(curve(newIn, 1000)).toEqual([
      { schedules: 1, behaviours: 2 },
      { schedules: 10, behaviours: 3 },
      { schedules: 100, behaviours: 4 },
      { schedules: 1000, behaviours: 6 },
    ]);
    expect(newPerThousand(newIn, 1000)).toBe(4);
    expect([curve([], 0), newPerThousand([], 0)]).toEqual([[], 0]);
  });
});

describe('a range', () => {
  test('ends early when its time is over, and says where', () => {
    const spec = { ...SPEC, strategy: 'random' };
    const runner = new RangeRunner(pinVsWriteProtect(), spec, classify);
    const task: RangeTask = { from: 100, to: 1_000_000, lane: LANE_FREE, state: undefined, ms: 0 };
    const first = runner.run(task, () => false);
    expect(first.to).toBeGreaterThan(100);
    expect(first.to).toBeLessThan(1000);
    expect(first.schedules).toBe(first.to - 100);
    expect(runner.run({ ...task, ms: 1e6 }, () => true).schedules).toBe(first.schedules);
  });

  test('run again comes to the same: a campaign’s end is, sometimes by the thread that ran it last', () => {
    const runner = new RangeRunner(pinVsWriteProtect(), { ...SPEC, strategy: 'random' }, classify);
    // one schedule that is looked at, so that no other comes between the two times
    const task: RangeTask = { from: 136, to: 137, lane: LANE_FREE, state: undefined, ms: Infinity };
    const once = runner.run(task, () => false);
    expect(once.orders.length).toBeGreaterThan(0);
    expect({ ...runner.run(task, () => false), ms: 0 }).toEqual({ ...once, ms: 0 });
  });
});

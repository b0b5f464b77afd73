/** explore and replay as the library and the commands call them, on the peer model and on programs that end otherwise. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { Coroutine } from '#src/machine/context.js';
import { LOCAL, acquires, reads, writes } from '#src/machine/effects.js';
import type { Program } from '#src/engine/one-thread/program.js';
import { programKind } from '#src/engine/programs/index.js';
import { type TinyState, lock, waitsFor } from '#src/engine/programs/tiny-lock.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { toRuns } from '#src/engine/one-thread/schedule-file.js';
import { type ExploreProgress, explore } from '#src/lab/explore/explore.js';
import { InputError } from '#src/errors/errors.js';
import { readSchedule, replay } from '#src/lab/replay/replay.js';
import { moduleSubject, programSubject, subjectOf } from '#src/lab/explore/subject.js';
import type { Subject } from '#src/lab/explore/explored.js';
import { small } from '../engine/one-thread-programs.js';

function model(name: string, seed = 1): Subject {
  const kind = programKind(name);
  if (kind === undefined) throw new Error(`no program ${name}`);
  return programSubject(name, 'classic', seed, kind.create);
}
const FIXED = 'pin-vs-write-protect';
const BUGGY = 'pin-vs-write-protect-buggy';

/** Takes two words' locks in the given order, then gives both back in one step. */
function* takesBoth(s: TinyState, actor: number, first: number, second: number): Coroutine<void> {
  for (const word of [first, second]) {
    yield acquires(word);
    while (!lock(s, word, actor)) yield waitsFor(word);
  }
  s.words[first] = 0;
  s.words[second] = 0;
}

const abba = (): Program =>
  small('abba', {
    words: ['', 'A', 'B'],
    actors: {
      ab: (s, actor) => takesBoth(s, actor, 1, 2),
      ba: (s, actor) => takesBoth(s, actor, 2, 1),
    },
  });

const throws = (): Program =>
  small('throws', {
    actors: {
      *one(s): Coroutine<void> {
        yield reads(1);
        if (s.words[1] === 1) throw new RangeError('no such page');
      },
      *other(s): Coroutine<void> {
        yield writes(1);
        s.words[1] = 1;
      },
    },
  });

/** The schedule of a violation. */
async function recorded(): Promise<string> {
  const { report } = await explore({ subject: model(BUGGY), strategy: 'pct', schedules: 5000 });
  return report.violations[0]?.schedule ?? '';
}

const withoutTime = (report: object): object => ({ ...report, elapsed_s: 0 });

/** The first waits for the second to have looked, and the second for the first: both by asking again and again. */
const retries = (): Program =>
  small('retries', {
    words: ['', 'left', 'right'],
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
        do yield reads(1);
        while (s.words[1] === 0);
        yield writes(2);
        s.words[2] = 1;
      },
    },
  });

/** Looks three times whether the other has been there; ends in any case, after many steps. */
const slow = (): Program =>
  small('slow', {
    actors: {
      *slow(s): Coroutine<void> {
        for (let i = 0; i < 3 || s.words[1] === 0; i++) yield reads(1);
      },
      *other(s): Coroutine<void> {
        yield writes(1);
        s.words[1] = 1;
      },
    },
  });

describe('explore', () => {
  test('reports what a correct program does, with the outcomes and their schedules', async () => {
    const { report } = await explore({ subject: model(FIXED), strategy: 'random', schedules: 2000 });
    expect(report).toMatchObject({
      schema: 'pinfall.report/1',
      command: 'explore',
      scenario: FIXED,
      policy: 'classic',
      seed: 1,
      workers: 1,
      strategy: 'random',
      schedules: 2000,
      exhaustive: false,
      violations: [],
      violation_count: 0,
      end: { kind: 'done' },
      ok: true,
    });
    expect(report.steps).toBeGreaterThan(2000 * 20);
    expect(report.outcomes.reduce((sum, { count }) => sum + count, 0)).toBe(2000);
    expect(report.rechecked).toBeGreaterThanOrEqual(10);
    for (const { state, schedule } of report.outcomes) {
      const again = replay(readSchedule(schedule, 'outcome'), model(FIXED), 'outcome');
      expect(again.report).toMatchObject({ reproduced: true, outcomes: [{ state, count: 1 }], ok: true });
    }
  });

  test.each(['random', 'pct'])(
    'stops at the first violation under %s, minimised, with a diagram and a schedule',
    async (strategy) => {
      const { report, events } = await explore({ subject: model(BUGGY, 5), strategy, schedules: 5000, lookOn: 0 });
      expect(report).toMatchObject({ violation_count: 1, end: { kind: 'violation' }, ok: false });
      expect(report.schedules).toBeLessThan(5000);
      const [violation] = report.violations;
      expect(violation).toMatchObject({
        invariant: 'I-RO',
        what: 'page was merged while pinned',
        actor: 'ksmd',
        seed: 5,
      });
      const schedule = readSchedule(violation?.schedule ?? '', 'schedule');
      expect(toRuns(schedule.choices).length).toBeLessThanOrEqual(4);
      expect(violation?.diagram).toContain('*** I-RO: page was merged while pinned');

      const again = replay(schedule, model(BUGGY, 5), 'schedule');
      expect(again.events).toBe(events);
      expect(again.report.diagram).toBe(violation?.diagram);
      expect(again.report).toMatchObject({
        reproduced: true,
        same_plan: true,
        recorded_end: 'violation I-RO',
        ok: false,
      });
    },
  );

  test('the diagram shows the race: the reference is taken after the check', async () => {
    const { report } = await explore({ subject: model(BUGGY, 5), strategy: 'pct', schedules: 5000, lookOn: 0 });
    const lines = (report.violations[0]?.diagram ?? '').split('\n').map((line) => line.trim());
    const at = (text: string): number => lines.indexOf(text);
    expect(at('refcount == 1')).toBeGreaterThan(at('pte == 3'));
    expect(at('merged = 1')).toBeGreaterThan(at('refcount == 1'));
    expect(at('refcount = 2')).toBeGreaterThan(at('merged = 1'));
  });

  test('goes on after violations when asked to, counts all and reports each kind once', async () => {
    const { report } = await explore({ subject: model(BUGGY), strategy: 'random', schedules: 3000, keepGoing: true });
    expect(report.schedules).toBe(3000);
    // about 1 in 80: 38 expected
    expect(report.violation_count).toBeGreaterThan(10);
    expect(report.violations).toHaveLength(1);
    expect(report.outcomes.find(({ state }) => state === 'violation I-RO')?.count).toBe(report.violation_count);
  });

  test('looks for one invariant on request, and passes others by', async () => {
    const options = { subject: model(BUGGY), strategy: 'random', schedules: 3000 };
    const found = await explore({ ...options, until: 'I-RO' });
    expect(found.report).toMatchObject({ violation_count: 1, end: { kind: 'violation' } });
    const passed = await explore({ ...options, until: 'I-STALE' });
    expect(passed.report).toMatchObject({ schedules: 3000, end: { kind: 'done' }, ok: false });
  });

  test('reports a deadlock with who waits for what, and an exception with what was thrown', async () => {
    const stuck = await explore({
      subject: programSubject('abba', 'classic', 1, abba),
      strategy: 'pct',
      schedules: 1000,
    });
    expect(stuck.report.violations[0]).toMatchObject({
      invariant: 'deadlock',
      what: 'ab waits for B, held by ba; ba waits for A, held by ab',
      details: ['ab waits for B, held by ba', 'ba waits for A, held by ab'],
    });
    expect(stuck.report.outcomes.map(({ state }) => state)).toContain('deadlock');

    const thrown = await explore({
      subject: programSubject('throws', 'classic', 1, throws),
      strategy: 'random',
      schedules: 100,
    });
    expect(thrown.report.violations[0]).toMatchObject({
      invariant: 'exception',
      what: 'RangeError: no such page',
      actor: 'one',
    });
    expect(thrown.report.ok).toBe(false);
  });

  test('a step limit is an outcome, not a violation; a fair schedule goes on from there', async () => {
    const { report } = await explore({ subject: model(FIXED), strategy: 'random', schedules: 10, stepsMax: 5 });
    expect(report).toMatchObject({
      asked: false,
      not_asked: 'all 10 schedules were cut off before the end',
      ok: false,
      violation_count: 0,
      outcomes: [{ state: 'step-limit, then drained', count: 10, verdict: 'cut', first: 0 }],
    });
    expect(report.guarantee).toBe('10 of 10 schedules were cut off after 5 steps; a fair one then finished');
  });

  test('two that retry for ever are a livelock, whose circle is told and whose schedule is replayed', async () => {
    const subject = programSubject('retries', 'classic', 1, retries);
    const { report } = await explore({ subject, schedules: 50, stepsMax: 200 });
    const [violation] = report.violations;
    expect(violation).toMatchObject({
      invariant: 'I-LIVE',
      what: 'livelock: left, right go round for ever, though all run in turn',
    });
    expect(violation?.['details']).toEqual([
      'left, again and again:',
      expect.stringMatching(/^ {2}(local|read right)$/),
      expect.stringMatching(/^ {2}(local|read right)$/),
      'right, again and again:',
      '  read left',
      'after a turn all words are as before',
    ]);
    const schedule = readSchedule(violation?.schedule ?? '', 'f.schedule');
    expect(schedule.choices).toHaveLength(0);
    const again = replay(schedule, subject, 'f.schedule');
    expect(again.report).toMatchObject({ reproduced: true, recorded_end: 'violation I-LIVE', ok: false });
  });

  test('a slow one is none', async () => {
    const subject = programSubject('slow', 'classic', 1, slow);
    const { report } = await explore({ subject, strategy: 'random', schedules: 50, stepsMax: 2 });
    expect(report).toMatchObject({ violation_count: 0, asked: false });
    expect(report.outcomes.map(({ state }) => state)).toEqual(['step-limit, then drained']);
  });

  test.each(STRATEGIES.map(({ name }) => name))(
    'a program that its choices do not decide is an error: %s',
    async (strategy) => {
      let runs = 0;
      const fickle = (): Program =>
        small('fickle', {
          words: ['', 'a', 'b'],
          start: () => {
            runs++;
          },
          actors: {
            *one(): Coroutine<void> {
              yield reads(1);
              yield runs % 2 === 0 ? reads(1) : writes(2);
            },
          },
        });
      const subject = programSubject('fickle', 'classic', 1, fickle);
      const { report } = await explore({ subject, strategy, schedules: 100 });
      expect(report.violations[0]?.invariant).toBe('determinism');
      expect(report.violations[0]?.what).toContain('went another way at step 2: one stood before');
      expect(report.ok).toBe(false);
    },
  );

  test('so is one whose steps are the same, but not what they come to', async () => {
    let runs = 0;
    const fickle = (): Program =>
      small('fickle', {
        start: () => void runs++,
        observe: (words) => words[1] as number,
        actors: {
          *one(s): Coroutine<void> {
            yield writes(1);
            s.words[1] = runs % 3;
          },
        },
      });
    const { report } = await explore({ subject: programSubject('fickle', 'classic', 1, fickle), schedules: 20 });
    expect(report.violations[0]?.invariant).toBe('determinism');
    expect(report.violations[0]?.what).toMatch(/at step 1: came to state \d and, run again, to state \d$/);
  });

  test('stops when asked to, with the report so far', async () => {
    let asked = 0;
    const { report } = await explore({
      subject: model(FIXED),
      strategy: 'random',
      schedules: 1e9,
      stop: () => ++asked === 2,
    });
    expect(report.end).toEqual({ kind: 'interrupted' });
    expect(report.schedules).toBeGreaterThan(0);
    expect(report.ok).toBe(true);
  });

  test.each([
    [{ strategy: 'luck' }, "--strategy: no 'luck'; expected one of portfolio, random, pct, pos, surw, dfs"],
    [{ workers: 0 }, '--workers: expected a whole number from 1 to 256, got 0'],
    [
      { workers: 2, subject: programSubject('abba', 'classic', 1, abba) },
      '--workers: abba is a program of this thread',
    ],
    [{ schedules: 0 }, '--schedules: expected a whole number from 1'],
    [{ schedules: 1e99 }, '--schedules: expected a whole number from 1'],
    [{ depth: 0 }, '--depth: expected a whole number from 1 to 100, got 0'],
    [{ stepsMax: 1.5 }, '--steps: expected a whole number from 1'],
  ])('refuses %j', async (wrong, message) => {
    const options = { subject: model(FIXED), strategy: 'random', schedules: 10, ...wrong };
    await expect(explore(options)).rejects.toThrow(InputError);
    await expect(explore(options)).rejects.toThrow(message);
  });
});

describe('what was seen', () => {
  test('outcomes have a verdict and the number of their first schedule', async () => {
    const { report } = await explore({ subject: model(BUGGY), strategy: 'random', schedules: 2000, keepGoing: true });
    for (const { state, verdict, first, schedule } of report.outcomes) {
      expect(verdict).toBe(state.startsWith('violation') ? 'forbidden' : 'allowed');
      expect(first).toBeLessThan(2000);
      expect(schedule).toMatch(/^pinfall\.schedule\/1/);
    }
    const [violation] = report.violations;
    const row = report.outcomes.find(({ verdict }) => verdict === 'forbidden');
    expect(violation?.['found_in_schedule']).toBe(row?.first);
    expect(violation?.['found_by']).toBe('random');
  });

  test('the portfolio says who did what, and who found it', async () => {
    const { report } = await explore({ subject: model(BUGGY), schedules: 1600, keepGoing: true });
    expect(report.strategy).toBe('portfolio');
    expect(report.depth).toBe(3);
    expect(report.members.map(({ name }) => name).toSorted()).toEqual([
      'dfs',
      'pct-2',
      'pct-3',
      'pos',
      'random',
      'surw',
    ]);
    expect(report.members.reduce((sum, { violations }) => sum + violations, 0)).toBe(report.violation_count);
    const by = report.violations[0]?.['found_by'];
    expect(report.members.find(({ name }) => name === by)?.violations).toBeGreaterThan(0);
    expect(report.violations[0]?.schedule).toContain(`\nstrategy: ${String(by)}\n`);
  });

  test('coverage: pairs by the orders seen, and behaviours as they came up', async () => {
    const { report } = await explore({ subject: model(FIXED), schedules: 20_000 });
    const { pairs_both_orders: both, pairs_one_order: one, behaviours, curve } = report.coverage;
    // by hand: mmu_lock, PTL (3 pairs of actors), seq, stage2, active, pte, ...: most can come either way round
    expect(both).toBeGreaterThanOrEqual(7);
    expect(behaviours).toBe(2 * both + one + report.outcomes.length);
    expect(curve.map(({ schedules }) => schedules)).toEqual([1, 10, 100, 1000, 10_000, 20_000]);
    expect(curve.at(-1)?.behaviours).toBe(behaviours);
    expect(report.coverage.new_per_thousand).toBeLessThan(1);
  });

  test('progress says what is left', async () => {
    const told: ExploreProgress[] = [];
    const { report } = await explore({
      subject: model(FIXED),
      schedules: 1e9,
      seconds: 0.3,
      onProgress: (progress) => void told.push(progress),
    });
    expect(report.end).toEqual({ kind: 'duration' });
    expect(report.ok).toBe(true);
    expect(told.length).toBeGreaterThan(0);
    for (const { leftSeconds, leftSchedules, schedules, schedulesMax } of told) {
      expect(leftSeconds).toBeGreaterThanOrEqual(0);
      expect(leftSeconds).toBeLessThanOrEqual(0.3);
      expect(leftSchedules).toBeLessThanOrEqual(schedulesMax - schedules);
    }
  });

  test('a program that is tried out is proved', async () => {
    const { report } = await explore({
      subject: programSubject('abba', 'classic', 1, abba),
      strategy: 'dfs',
      schedules: 1e6,
      keepGoing: true,
    });
    expect(report).toMatchObject({ exhaustive: true, end: { kind: 'exhausted' } });
    expect(report.violations.map(({ invariant }) => invariant)).toEqual(['deadlock']);
  });
});

describe('two workers', () => {
  test('report what one does, schedule by schedule', async () => {
    for (const options of [
      { subject: model(BUGGY), schedules: 50_000 },
      { subject: model(FIXED), schedules: 3000 },
    ]) {
      const one = await explore(options);
      const two = await explore({ ...options, workers: 2 });
      expect(two.report.workers).toBe(2);
      expect(withoutTime({ ...two.report, workers: 1 })).toEqual(withoutTime(one.report));
      expect(two.events).toBe(one.events);
    }
  });

  test('of a scenario too, whose workload varies', async () => {
    const subject = subjectOf({ scenario: 'pin-race', policy: 'check-then-notify', seed: 3 });
    const options = { subject, schedules: 150, lookOn: 20 };
    const one = await explore(options);
    expect(one.report.violation_count).toBeGreaterThan(0);
    const two = await explore({ ...options, workers: 2 });
    expect(withoutTime({ ...two.report, workers: 1 })).toEqual(withoutTime(one.report));
  });

  test('notice a program that its choices do not decide', async () => {
    const url = new URL('../engine/modules/fickle.mjs', import.meta.url).href;
    const { report } = await explore({
      subject: await moduleSubject(url, 'fickle', 1),
      strategy: 'random',
      schedules: 100,
      workers: 2,
    });
    expect(report.violations[0]?.invariant).toBe('determinism');
    expect(report.violations[0]?.what).toContain('went another way at step 2: one stood before');
  });

  test('an error there is an error here', async () => {
    const subject = await moduleSubject(new URL('../engine/modules/fickle.mjs', import.meta.url).href, 'fickle', 1);
    const description = { kind: 'module', url: 'file:///no/such/module.mjs', name: 'fickle', seed: 1 } as const;
    await expect(explore({ subject: { ...subject, description }, schedules: 10, workers: 2 })).rejects.toThrow(
      'no/such/module.mjs',
    );
  });
});

describe('after a find', () => {
  test('a design that breaks two rules is reported with both, each with a schedule', async () => {
    const subject = subjectOf({ scenario: 'pin-race', policy: 'check-then-notify-range', seed: 3 });
    const { report } = await explore({ subject, strategy: 'random', schedules: 20_000 });
    expect(report.violations.map(({ invariant }) => invariant).toSorted()).toEqual(['I-PINNED-S2', 'I-STALE']);
    for (const { schedule } of report.violations) expect(schedule).toMatch(/^pinfall\.schedule\/1/);
  });
});

describe('one seed, one result', () => {
  test('the same report twice, but for the time it took', async () => {
    const reports = [];
    for (const seed of [7, 7, 8]) {
      const options = { subject: model(BUGGY, seed), strategy: 'pct', schedules: 3000, keepGoing: true };
      reports.push(withoutTime((await explore(options)).report));
    }
    expect(reports[0]).toEqual(reports[1]);
    expect(reports[0]).not.toEqual(reports[2]);
  });

  test('in another process too, byte for byte, events included', async () => {
    const dist = new URL('../../dist/src/', import.meta.url).href;
    const code = `
      const { explore } = await import(${JSON.stringify(`${dist}lab/explore/explore.js`)});
      const { subjectOf } = await import(${JSON.stringify(`${dist}lab/explore/subject.js`)});
      const subject = subjectOf({ scenario: ${JSON.stringify(BUGGY)}, policy: 'classic', seed: 7 });
      const { report, events } = await explore({ subject, strategy: 'pct', schedules: 3000 });
      process.stdout.write(JSON.stringify({ ...report, elapsed_s: 0 }) + '\\n' + events);`;
    const there = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    const { report, events } = await explore({ subject: model(BUGGY, 7), strategy: 'pct', schedules: 3000 });
    expect(there).toBe(`${JSON.stringify(withoutTime(report))}\n${events}`);
  });
});

describe('replay', () => {
  test('says at which step a record stopped matching, and stops there', async () => {
    // in the correct model gup takes the PTL first: its steps come to mean other things, and it returns later
    const schedule = readSchedule(await recorded(), 'f.schedule');
    const { report } = replay(schedule, model(FIXED), 'f.schedule');
    expect(report).toMatchObject({ reproduced: false, same_plan: false, ok: false, end: { kind: 'mismatch' } });
    expect(report.steps).toBeLessThanOrEqual(report.steps_recorded);
    expect(report.end.detail).toMatch(/^(step \d+: the record names \w+, which|the record ends after step \d+, but)/);
  });

  test('refuses a file that is none, and one of another program', async () => {
    expect(() => readSchedule('\u0000\u0001', 'r.bin')).toThrow(
      new InputError("r.bin:1:1: expected 'pinfall.schedule/1', got '??'"),
    );
    expect(() =>
      subjectOf({ scenario: 'x.litmus', seed: 1, litmus: 'litmus x', within: { path: 'f.schedule', lines: 12 } }),
    ).toThrow(/^f\.schedule:13:9: expected a sentence in quotation marks/);
    const schedule = readSchedule(await recorded(), 'f.schedule');
    const other = programSubject('other', 'classic', 1, () =>
      small('other', {
        actors: {
          *one(): Coroutine<void> {
            yield reads(1);
          },
        },
      }),
    );
    expect(() => replay(schedule, other, 'f.schedule')).toThrow(
      new InputError('f.schedule: recorded with the actors ksmd gup vcpu; pin-vs-write-protect-buggy has one'),
    );
  });
});

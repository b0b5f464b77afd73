/** Exhaustive search: the peer model, tiers, observed words, mistakes in declarations; in pieces and in parts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IDLE_WORD, RETRY, acquires, reads, releases, writes } from '#src/machine/effects.js';
import { ExhaustiveRun, searchExhaustively, searchWhole } from '#src/engine/exhaustive/driver.js';
import { Search } from '#src/engine/exhaustive/search.js';
import { type SearchPart, searchPart, splitExhaustive } from '#src/engine/exhaustive/split.js';
import { END_EXCEPTION, END_FINISHED, END_VIOLATION, OneThread } from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import type { Violation } from '#src/oracle/violation.js';
import { type TinyState, lock, unlock, waitsFor } from '#src/engine/programs/tiny-lock.js';
import { pinVsWriteProtect, pinVsWriteProtectBuggy } from '#src/engine/programs/pin-vs-write-protect.js';
import { type Features, generated, operations, outcome } from './exhaustive-programs.js';
import { small } from './one-thread-programs.js';

/** Searches in parts of a few executions each, every message as plain data; the last part that is there first. */
function inParts(make: () => Program, onExecution: (thread: OneThread) => void): ReturnType<typeof splitExhaustive> {
  const shared = splitExhaustive(make(), 3, { stepsMax: 300, onExecution });
  for (let rounds = 0; !shared.isDone; rounds++) {
    if (rounds > 20_000) throw new Error('no end');
    while (shared.open < 4 && shared.split());
    const parts: SearchPart[] = [];
    while (parts.length < 4) {
      const part = shared.take();
      if (part === null) break;
      parts.push(part);
    }
    expect(shared.estimate).toBeGreaterThanOrEqual(0);
    for (const part of parts.toReversed()) {
      const result = searchPart(make(), structuredClone(part), { executionsMax: 2, stepsMax: 300, onExecution });
      shared.report(part, structuredClone(result));
    }
  }
  return shared;
}

describe('the peer model', () => {
  test('takes the 17 executions that are the optimum, none given up', () => {
    const found = searchWhole(pinVsWriteProtect());
    expect(found).toMatchObject({ executions: 17, blocked: 0, exhaustive: true, end: 'exhausted', estimate: 0 });
  });

  test('shows its four final states', () => {
    const states = new Set<string>();
    searchWhole(pinVsWriteProtect(), { onExecution: (thread) => states.add(thread.outcomeText) });
    expect([...states].toSorted()).toEqual([
      'merged=0 pinned=1 stage2=0',
      'merged=0 pinned=1 stage2=2',
      'merged=1 pinned=0 stage2=0',
      'merged=1 pinned=0 stage2=1',
    ]);
  });

  test('the buggy twin breaks its rule', () => {
    const ends = new Set<string>();
    const found = searchWhole(pinVsWriteProtectBuggy(), { onExecution: (thread) => ends.add(thread.endText) });
    expect([...ends].toSorted()).toEqual(['finished', 'violation I-RO']);
    // found by the audit at the end: nothing was cut
    expect(found.exhaustive).toBe(true);
  });

  test('is the same in parts, no execution run twice', () => {
    let executions = 0;
    const shared = inParts(pinVsWriteProtect, () => executions++);
    expect(executions).toBe(17);
    expect(shared.counts).toMatchObject({ executions: 17, blocked: 0 });
    expect(shared.estimate).toBe(0);
    expect(shared.exhausted).toBe(true);
    expect(shared.guarantee()).toContain('17 executions');
  });

  test('can be stopped and gone on with elsewhere', () => {
    const steps: number[] = [];
    let search = new Search(pinVsWriteProtect());
    let thread = new OneThread(pinVsWriteProtect(), 300);
    while (search.begin()) {
      thread.run(search, 0);
      steps.push(thread.steps);
      const state = structuredClone(search.save());
      const program = pinVsWriteProtect();
      search = new Search(program);
      thread = new OneThread(program, 300);
      search.restore(state);
    }
    expect(search.counts.executions).toBe(17);
    expect(steps).toHaveLength(17);
  });

  test('a limit ends it, and an interruption', async () => {
    expect(searchWhole(pinVsWriteProtect(), { executionsMax: 5 })).toMatchObject({
      executions: 5,
      exhaustive: false,
      end: 'done',
    });
    const run = new ExhaustiveRun(pinVsWriteProtect(), { executionsMax: 8 });
    run.slice(Infinity);
    expect(run.search.estimate).toBeGreaterThan(2);
    expect(run.search.estimate).toBeLessThan(60);
    expect((await searchExhaustively(pinVsWriteProtect(), { stop: () => true })).end).toBe('exhausted');
  });

  test('a step limit cuts, and is told', () => {
    const found = searchWhole(pinVsWriteProtect(), { stepsMax: 20 });
    expect(found).toMatchObject({ exhaustive: false, end: 'over' });
    expect(found.cut).toBeGreaterThan(0);
  });
});

describe('parts', () => {
  const all: Features = { locks: true, waits: true, tries: true, readers: true, spins: true, asserts: true };
  test.each<[string, Features, number, boolean]>([
    ['are the whole, execution by execution', { locks: true, waits: true, tries: true, asserts: true }, 3, true],
    ['have the outcomes of the whole, also of retry loops and fair reader-writer locks', all, 2, false],
  ])('together %s', (_, features, count, exact) => {
    const actors = fc.array(operations(features, count), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(actors, (ops) => {
        const whole = new Set<string>();
        const { program, logs } = generated(ops);
        const found = searchWhole(program, {
          stepsMax: 300,
          executionsMax: 400,
          onExecution: (thread) => whole.add(outcome(thread, logs)),
        });
        if (found.executions === 400) return;
        const parts = new Set<string>();
        const logsOf = new Map<Program, number[][]>();
        const make = (): Program => {
          const made = generated(ops);
          logsOf.set(made.program, made.logs);
          return made.program;
        };
        const shared = inParts(make, (thread) => parts.add(outcome(thread, logsOf.get(thread.program) ?? [])));
        expect([...parts].toSorted()).toEqual([...whole].toSorted());
        if (exact) expect(shared.counts).toMatchObject({ executions: found.executions, blocked: 0, strayed: 0 });
      }),
      { numRuns: Number(process.env['EXHAUSTIVE_RUNS'] ?? 25) },
    );
  });
});

/** x and y are each written once; between the two writes both could be seen. */
const passing = (observed?: readonly number[]): number => {
  const seen: string[] = [];
  const program = small('passing', {
    actors: {
      a: function* (s) {
        yield writes(1);
        s.words[1] = 1;
      },
      b: function* (s) {
        yield writes(2);
        s.words[2] = 1;
      },
    },
  });
  const found = searchWhole(program, {
    ...(observed !== undefined && { observed }),
    onExecution: (thread) => seen.push(thread.choices.slice(0, thread.steps).join('')),
  });
  expect(found.exhaustive).toBe(true);
  return seen.length;
};

describe('what the search must be told', () => {
  test('words of which every state on the way counts', () => {
    expect(passing()).toBe(1);
    expect(passing([1])).toBe(1);
    expect(passing([1, 2])).toBe(2);
  });

  test('a trylock that is declared as an acquisition is noticed, and nothing is proved', () => {
    const program = small('trylock', {
      actors: {
        a: function* (s) {
          yield acquires(1);
          if (!lock(s, 1, 0)) return;
          yield releases(1);
          unlock(s, 1);
        },
        b: function* (s) {
          yield acquires(1);
          while (!lock(s, 1, 1)) yield waitsFor(1);
          yield writes(2);
          s.words[2] = 1;
          yield reads(3);
          yield releases(1);
          unlock(s, 1);
        },
        c: function* (s) {
          yield acquires(1);
          if (!lock(s, 1, 2)) return;
          yield reads(2);
          yield releases(1);
          unlock(s, 1);
        },
      },
    });
    // who holds it while another tries: forced by a word that both want
    const found = searchWhole(program, { stepsMax: 100 });
    expect(found.exhaustive || found.stray.includes('trylock') || found.strayed > 0).toBe(true);
  });
});

describe('actors that end when others have', () => {
  test('both orders of the last end and an idle look are tried, and no wait is taken for a deadlock', () => {
    let told = false;
    const outcomes = new Set<number>();
    const program = small('server', {
      actors: {
        client: function* (s) {
          yield writes(1);
          s.words[1] = 1;
        },
        server: function* (s, actor) {
          for (let seen = 0; ;) {
            s.waitValues[actor] = seen;
            yield (1 << 4) | IDLE_WORD;
            if (told) return;
            seen = s.words[1] as number;
            yield writes(2);
            s.words[2] = (s.words[2] as number) + 1;
          }
        },
      },
      tiers: [0, 2],
      start: () => {
        told = false;
      },
      finish: (_, tier) => {
        if (tier === 2) told = true;
      },
      observe: (words) => words[2] as number,
    });
    const found = searchWhole(program, {
      onExecution: (thread) => {
        expect(thread.end).toBe(END_FINISHED);
        outcomes.add(program.observe());
      },
    });
    expect(found.exhaustive).toBe(true);
    // the server has looked before it was told to end, or only then
    expect([...outcomes].toSorted()).toEqual([0]);
  });
});

/** `b` writes, `a` looks, and breaks a rule when it sees that; `c` breaks one of its own. */
const breaking = (then: (s: TinyState) => void): Program => {
  const violations: Violation[] = [];
  return small('alarm', {
    violations,
    actors: {
      a: function* (s) {
        yield reads(1);
        if (s.words[1] === 1) violations.push({ invariant: 'I-X', what: 'seen' });
        yield reads(2);
        if (s.words[1] === 1) then(s);
      },
      b: function* (s) {
        yield writes(1);
        s.words[1] = 1;
      },
      c: function* () {
        yield reads(3);
        violations.push({ invariant: 'I-Y', what: 'always' });
      },
    },
    observe: (words) => words[1] as number,
  });
};

describe('broken rules on the way', () => {
  test('are gone past, and each that can be the first is told', () => {
    const seen: string[] = [];
    const found = searchWhole(
      breaking(() => {}),
      {
        onExecution: ({ breaches, ended, outcomeText: state }, firsts) => {
          expect(ended).toBe(END_FINISHED);
          seen.push(`${state}: ${firsts.map(({ index }) => breaches[index]?.invariant).toSorted()}`);
        },
      },
    );
    expect(seen.length).toBe(2);
    expect(seen.some((text) => text.endsWith(', then state 1: I-X,I-Y'))).toBe(true);
    expect(seen.some((text) => text.endsWith(', then state 1: I-Y'))).toBe(true);
    expect(found).toMatchObject({ exhaustive: true, cut: 0, executions: 2 });
  });

  test('cut the execution where it cannot go on, which proves nothing', () => {
    const ends: string[] = [];
    const program = breaking(() => {
      throw new RangeError('no such frame');
    });
    const found = searchWhole(program, { onExecution: (thread) => ends.push(`${thread.end} ${thread.ended}`) });
    expect(ends.toSorted()).toEqual(
      [`${END_VIOLATION} ${END_FINISHED}`, `${END_VIOLATION} ${END_EXCEPTION}`].toSorted(),
    );
    expect(found).toMatchObject({ exhaustive: false, cut: 1, end: 'over' });
  });

  test('a livelock that all who can run are in is an end like a deadlock', () => {
    const program = small('livelock', {
      actors: {
        a: function* (s) {
          for (;;) {
            yield RETRY;
            yield reads(1);
            if (s.words[1] !== 1) return;
          }
        },
        b: function* (s) {
          yield writes(1);
          s.words[1] = 1;
        },
      },
    });
    const ends: string[] = [];
    const found = searchWhole(program, { stepsMax: 200, onExecution: (thread) => ends.push(thread.outcomeText) });
    expect(ends.toSorted()).toEqual(['state 0', 'violation I-LIVE']);
    expect(found).toMatchObject({ exhaustive: true, cut: 0, executions: 2 });
  });
});

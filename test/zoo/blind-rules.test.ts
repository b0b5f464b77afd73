/**
 * The rules that release 0.1 was blind for, and the bugs that they catch: each is found within a few schedules, and no execution of the
 * kernel without it breaks anything. Beside them what the rules must leave alone.
 */
import { describe, expect, it } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { findOf, isAnswerOf, wantedAnswer } from '#src/lab/zoo/finds.js';
import { zooSubject } from '#src/lab/zoo/zoo.js';
import { bugById } from '#src/zoo/index.js';
import { testOf } from '../lab/litmus-texts.js';
import { programOf, search } from './searching.js';

/** Rules broken in any execution, as `I-DMA what`. */
function brokenBy(program: LitmusProgram): string[] {
  const broken = new Set<string>();
  searchWhole(program, {
    executionsMax: 20_000,
    onExecution: ({ breaches }) => breaches.forEach(({ invariant, what }) => broken.add(`${invariant} ${what}`)),
  });
  return [...broken].toSorted();
}

const bug = (id: string) => {
  const found = bugById(id);
  if (found === undefined) throw new Error(`no bug ${id}`);
  return found;
};

describe.each([
  ['Z54', 'I-LOST', 100],
  ['Z55', 'I-MAP', 2000],
  ['Z56', 'I-LIVE', 1000],
  ['Z57', 'I-LIVE', 50],
  ['Z58', 'I-SLOT', 10],
  ['Z59', 'I-MOVABLE', 10],
  ['Z60', 'I-DMA', 50],
  ['Z61', 'I-SECRET', 50],
] as const)('%s', (id, rule, schedules) => {
  it(`is found as ${rule}`, () => {
    const program = programOf(bug(id), true);
    const [schedule, found] = search(program, 'pos', schedules);
    expect(schedule).toBeGreaterThan(0);
    expect(found).toBe(rule);
    expect(bug(id).expect).toContain(rule);
  });

  it('is proved not to be in the kernel that it is planted in', () => {
    expect(brokenBy(programOf(bug(id), false))).toEqual([]);
  });
});

describe('a deadlock by SRCU', () => {
  it('names the deleter and the reader that never leaves', () => {
    const program = programOf(bug('Z56'), true);
    const lines: (readonly string[])[] = [];
    searchWhole(program, { onExecution: ({ livelock, breaches }) => breaches.length > 0 && lines.push(livelock) });
    expect(lines.flat()).toContain('vmm waits for a change of vm0 SRCU readers 0, inside of which is vcpu0');
    expect(lines.flat().filter((line) => /\bword \d+/.test(line))).toEqual([]);
  });

  it('names them in every schedule that ends so, one after the other', () => {
    const thread = new OneThread(programOf(bug('Z56'), true), 20_000);
    const random = STRATEGIES.find(({ name }) => name === 'random')?.create({ seed: 1, depth: 3 });
    if (random === undefined) throw new Error('no random strategy');
    const told: (readonly string[])[] = [];
    for (let schedule = 1; schedule <= 40; schedule++) {
      random.begin(schedule, 2);
      thread.run(random, 0);
      if (thread.livelock.length > 0 && thread.breaches.length > 0) told.push(thread.livelock);
    }
    expect(told.length).toBeGreaterThan(1);
    expect(told.filter((lines) => !lines.some((line) => line.includes('inside of which is vcpu0')))).toEqual([]);
  });
});

describe('a find under another name', () => {
  const z55 = bug('Z55');
  const { test } = zooSubject(z55, true);
  const forbidden = { invariant: 'forbidden', what: '(v != 1) holds' };

  it('is a find, the expected first', () => {
    expect(findOf(z55, test, [])).toBeNull();
    expect(findOf(z55, test, [{ invariant: 'I-FREE', what: '' }])).toBe('I-FREE');
    expect(findOf(z55, test, [{ invariant: 'I-FREE', what: '' }, forbidden])).toBe('forbidden 2');
    expect([isAnswerOf(test, 'forbidden 2'), isAnswerOf(test, 'forbidden 1'), isAnswerOf(test, 'I-MAP')]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('may be an answer that no rule is', () => {
    expect(wantedAnswer(z55, test)).toBeNull();
    expect(wantedAnswer({ ...z55, expect: ['exists 1'] }, test)).toBe('(v == 1)');
    expect(findOf({ ...z55, expect: ['exists 1'] }, test, [{ invariant: 'outcome', what: 'v=1' }])).toBe('exists 1');
  });
});

describe('devices and references', () => {
  const HEAD = `litmus x "s"\nprocess A { a: anon 1 read write }\ninit { A: write(a, 1); p = A: pin(a, WRITE); q = A: get(a); }\n`;

  it.each([
    ['after the release', 'd@A;\nunpin(p); pin_write(p, 2);', ['I-DMA device uses what was released']],
    ['before it', 'd@A;\npin_write(p, 2); unpin(p);', []],
    ['beside it', 'd@A | e@A;\nunpin(p) | pin_write(p, 2);', ['I-DMA device uses what was released']],
    ['through another pin', 'd@A;\nunpin(p); r = pin(a, WRITE); pin_write(r, 2);', []],
    ['through what was put', 'd@A;\nput(q); pin_read(q);', ['I-DMA device uses what was released']],
    ['of a pipe', 'd@A;\nunpin(p); pin_read(q);', []],
  ])('%s', (_, columns, broken) => {
    expect(brokenBy(new LitmusProgram(testOf(HEAD + columns)))).toEqual(broken);
  });
});

/** Two small pages or a huge one, that nobody else has. */
const text = (init: string, columns: string): string =>
  `litmus x "s"\nmachine thp_order 1, swap 2\nprocess A { a: anon 2 read write hugepage }\nprocess B;\ninit { ${init} }\n${columns}`;

describe('lazily freed pages', () => {
  it.each([
    ['unwritten since', 'A: write(a, 1); A: madvise(a, FREE);', 'k@A | kswapd;\nfork(B) | swap_out(A.a);'],
    [
      'written since',
      'A: write(a, 1); A: madvise(a, FREE); A: write(a, 2);',
      'k@A | kswapd;\nread(a) | swap_out(A.a);',
    ],
    ['written meanwhile', 'A: write(a, 1);', 'k@A | c@A;\nmadvise(a, FREE) | write(a, 2);\nswap_out(a) | ;'],
  ])('%s', (_, init, columns) => {
    const program = new LitmusProgram(testOf(text(init, columns)));
    const broken = new Set<string>();
    searchWhole(program, {
      executionsMax: 1500,
      onExecution: ({ breaches }) => breaches.forEach(({ invariant }) => broken.add(invariant)),
    });
    expect([...broken]).toEqual([]);
  });
});

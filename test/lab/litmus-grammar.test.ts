import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Condition, LitmusFile, Value } from '#src/lab/litmus/language/ast.js';
import { LITMUS_CHARS_MAX, parseLitmus } from '#src/lab/litmus/language/parse.js';
import { printLitmus } from '#src/lab/litmus/language/print.js';
import { EVERYTHING, HEAD, mistakesOf, testOf, told } from './litmus-texts.js';

/** A file's parts without their places. */
const bare = (part: unknown): unknown =>
  JSON.parse(JSON.stringify(part, (key, value: unknown) => (key === 'at' ? undefined : value)));

function parsed(text: string): LitmusFile {
  const { file, mistakes } = parseLitmus(text);
  if (file === null) throw new Error(told(mistakes).join('\n'));
  return file;
}

describe('the grammar of litmus files', () => {
  it('reads every construct', () => {
    const file = parsed(EVERYTHING);
    expect(file).toMatchObject({ name: { text: 'good_everything' }, sentence: 'All there is, over two lines.' });
    expect(file.headers.map(({ kind }) => kind)).toEqual([
      'kernel',
      'policy',
      'machine',
      'knobs',
      'inject',
      'inject',
      'expect',
      'steps',
    ]);
    expect(file.headers[0]).toMatchObject({ name: { text: 'v5.17', at: { line: 4, column: 8 } } });
    expect(file.headers[5]).toMatchObject({ actor: { text: 'ksmd' }, nth: { value: 3 } });
    expect(file.processes.map(({ mappings }) => mappings.length)).toEqual([5, 0]);
    expect(file.processes[0]?.mappings[2]).toMatchObject({
      kind: 'shared',
      object: { text: 'obj' },
      pages: { value: 1 },
    });
    expect(file.vms[0]?.slots[2]?.flags.map(({ text }) => text)).toEqual(['log-dirty-pages', 'unset']);
    expect(file.vms[1]?.words.map(({ text }) => text)).toEqual(['protected', 'unborn']);
    expect(file.frames.map(({ kind }) => kind)).toEqual(['poison', 'unpinnable', 'nomap']);
    expect(file.init).toHaveLength(5);
    expect(file.actors.map(({ name, of, node }) => [name.text, of?.name.text, of?.vcpu?.value, node?.value])).toEqual([
      ['cpu0', 'A', undefined, 0],
      ['vcpu0', 'G', 1, undefined],
      ['ksmd', undefined, undefined, 1],
      ['numa-balancer', 'A', undefined, undefined],
    ]);
    expect(file.rows.map(({ cells }) => cells.map((cell) => cell?.call.name.text ?? ''))).toEqual([
      ['pin_fast', 'guest_read', 'ksm_scan', 'numa_scan'],
      ['unpin', '', '', ''],
      ['madvise', 'guest_write', 'migrate', ''],
      ['mprotect', '', 'split_folio', 'read'],
      ['fork'],
    ]);
    expect(file.questions.map(({ word, during }) => `${word}${during ? ' during' : ''}`)).toEqual([
      'exists',
      'forbidden',
      'sometimes',
      'always during',
      'exists',
      'exists',
      'exists',
    ]);
  });

  it('gives and its strength over or, and not over both', () => {
    const [question] = parsed(
      `${HEAD}cpu0@A; p = pin(a);\nexists (~p == 1 /\\ p == 2 \\/ not (p == 3 or p == 4))`,
    ).questions;
    expect(bare(question?.condition)).toMatchObject({
      kind: 'or',
      of: [
        { kind: 'and', of: [{ kind: 'not', of: { kind: 'compare' } }, { kind: 'compare' }] },
        { kind: 'not', of: { kind: 'or' } },
      ],
    });
  });

  it('takes keywords for names where a name stands', () => {
    const text = `litmus litmus "s"
process process { slot: anon 1 read at: anon 1 node }
vm vm of process { slot 0: gfn 0 pages 1 at slot slot 1: gfn 1 pages 1 at process.at }
init@process | exists@vm node 0 ;
always = read(slot) | init = guest_read(0) ;
exists (init:always == 1 /\\ refs(slot) > 0)`;
    const file = parsed(text);
    expect(file.vms[0]?.slots.map(({ page }) => page.name.text)).toEqual(['slot', 'at']);
    expect(file.actors.map(({ name }) => name.text)).toEqual(['init', 'exists']);
    expect(file.rows[0]?.cells.map((cell) => cell?.result?.text)).toEqual(['always', 'init']);
  });

  it('takes any line ends, tabs, a missing last line end and a byte order mark', () => {
    const usual = bare(parsed(EVERYTHING));
    for (const text of [
      EVERYTHING.replaceAll('\n', '\r\n'),
      EVERYTHING.replaceAll('\n', '\r'),
      EVERYTHING.replaceAll('  ', '\t'),
      EVERYTHING.trimEnd(),
      `\ufeff${EVERYTHING}`,
    ]) {
      expect(bare(parsed(text))).toEqual(usual);
    }
  });

  it('prints what it reads again to the same', () => {
    const file = parsed(EVERYTHING);
    const text = printLitmus(file);
    expect(bare(parsed(text))).toEqual(bare(file));
    expect(printLitmus(parsed(text))).toBe(text);
  });
});

const AT = { line: 0, column: 0, endLine: 0, endColumn: 0 };
const name = fc.constantFrom(
  'a',
  'B',
  'cpu0',
  'numa-balancer',
  'x_1',
  'slot',
  'vm',
  'init',
  'exists',
  'none',
  'orange',
);
const word = name.map((text) => ({ text, at: AT }));
const whole = fc.nat(1 << 20).map((value) => ({ value, at: AT }));
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });
const page = fc
  .record({ process: maybe(word), name: word, from: maybe(whole), to: maybe(whole) })
  .map((each) => Object.assign(each, { kind: 'page' as const, to: each.from === null ? null : each.to, at: AT }));
const number = fc.integer({ min: -99, max: 99 }).map((value) => ({ kind: 'number' as const, value, at: AT }));
const verb = fc.constantFrom('read', 'pin_fast', 'slot', 'init').map((text) => ({ text, at: AT }));
const call = fc
  .record({ name: verb, args: fc.array(fc.oneof(page, number), { maxLength: 3 }) })
  .map((each) => Object.assign(each, { at: AT }));
const operation = fc.record({ result: maybe(word), call }).map((each) => Object.assign(each, { at: AT }));
const value = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    number,
    page,
    word.map((each) => ({ kind: 'minus' as const, name: each, at: AT })),
    fc.record({ actor: word, name: word }).map((each) => Object.assign(each, { kind: 'result' as const, at: AT })),
    fc
      .record({ name: word, args: fc.array(tie('value'), { maxLength: 2 }) })
      .map((each) => Object.assign(each, { kind: 'term' as const, at: AT })),
  ),
})).value;
const compare = fc
  .record({ left: value, relation: fc.constantFrom('==', '!=', '<', '<=', '>', '>='), right: value })
  .map((each) => Object.assign(each, { kind: 'compare' as const, at: AT }));
/** `and` of `and`s is written flat, so it is generated flat; `or` likewise. */
const condition = fc.letrec<{ any: Condition }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    compare,
    tie('any').map((of) => ({ kind: 'not' as const, of })),
    fc
      .record({ kind: fc.constantFrom('and', 'or'), of: fc.array(tie('any'), { minLength: 2, maxLength: 3 }) })
      .map(({ kind, of }) => ({ kind, of: of.filter((each) => each.kind !== kind) }))
      .filter(({ of }) => of.length > 1) as fc.Arbitrary<Condition>,
  ),
})).any;
const file = fc.record({
  name: word,
  sentence: fc.constantFrom('S.', 'A # is no comment here.'),
  headers: fc.array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom('policy' as const, 'bug' as const), name: word, at: fc.constant(AT) }),
      fc.record({
        kind: fc.constantFrom('machine' as const, 'knobs' as const),
        settings: fc.array(fc.record({ name: word, value: fc.oneof(word, whole) }), { minLength: 1, maxLength: 3 }),
        at: fc.constant(AT),
      }),
      fc.record({ kind: fc.constant('inject' as const), actor: word, nth: whole, at: fc.constant(AT) }),
      fc.record({ kind: fc.constant('steps' as const), steps: whole, at: fc.constant(AT) }),
    ),
    { maxLength: 4 },
  ),
  processes: fc.array(
    fc.record({
      name: word,
      memlock: maybe(whole),
      mappings: fc.array(
        fc
          .record({ name: word, object: fc.constant(null), pages: whole, flags: fc.array(word, { maxLength: 2 }) })
          .map((each) => Object.assign(each, { kind: 'anon' as const })),
        { maxLength: 3 },
      ),
    }),
    { maxLength: 2 },
  ),
  vms: fc.array(
    fc.record({
      name: word,
      process: word,
      vcpus: maybe(whole),
      words: fc.constantFrom([], [{ text: 'protected', at: AT }], [{ text: 'unborn', at: AT }]),
      slots: fc.array(
        fc.record({ id: whole, gfn: whole, pages: whole, page, flags: fc.array(word, { maxLength: 2 }) }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
  frames: fc.array(
    fc.oneof(
      page.map((each) => ({ kind: 'poison' as const, page: each })),
      fc.record({ kind: fc.constantFrom('unpinnable' as const, 'nomap' as const), from: whole, to: maybe(whole) }),
    ),
    { maxLength: 2 },
  ),
  init: fc.array(fc.record({ result: maybe(word), who: fc.record({ name: word, vcpu: maybe(whole) }), call }), {
    maxLength: 3,
  }),
  actors: fc.array(
    fc.record({
      name: word,
      of: maybe(fc.record({ name: word, vcpu: maybe(whole) })),
      node: maybe(whole),
      at: fc.constant(AT),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  rows: fc.array(
    fc.record({ cells: fc.array(maybe(operation), { minLength: 1, maxLength: 3 }), at: fc.constant(AT) }),
    { maxLength: 3 },
  ),
  questions: fc.array(
    fc.record({
      word: fc.constantFrom('exists' as const, 'forbidden' as const, 'sometimes' as const, 'always' as const),
      during: fc.boolean(),
      condition,
      at: fc.constant(AT),
    }),
    { maxLength: 3 },
  ),
});

describe('any litmus file', () => {
  it('is printed as what is read to the same parts', () => {
    fc.assert(
      fc.property(file, (made) => {
        expect(bare(parsed(printLitmus(made as LitmusFile)))).toEqual(bare(made));
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it('cut or changed anywhere is refused or read, with places inside of it, and never breaks the reader', () => {
    const letters = fc.constantFrom(...'(){}[];|:@=,.~#"\\/<>-\0 xé1&$'.split(''), 'exists', 'process', '..', '\n');
    fc.assert(
      fc.property(fc.nat(EVERYTHING.length), fc.nat(20), fc.array(letters, { maxLength: 3 }), (at, length, put) => {
        const text = EVERYTHING.slice(0, at) + put.join('') + EVERYTHING.slice(at + length);
        const { file: read, mistakes } = parseLitmus(text);
        expect(read === null).toBe(mistakes.length > 0);
        const lines = text.split('\n').length;
        for (const { line, column, message } of mistakes) {
          expect(line).toBeGreaterThan(0);
          expect(line).toBeLessThanOrEqual(lines);
          expect(column).toBeGreaterThan(0);
          expect(message).toMatch(/^expected .+, got .+$/);
        }
      }),
      { numRuns: 200, seed: 2 },
    );
  });
});

describe('mistakes of syntax', () => {
  const cases: readonly (readonly [what: string, text: string, mistakes: readonly string[]])[] = [
    ['an empty file', '', ["1:1 expected 'litmus', got an empty file"]],
    ['nothing but space', ' \n\t\n', ["1:1 expected 'litmus', got an empty file"]],
    ['binary data', 'litmus\0x', ['1:1 expected a litmus file, got binary data']],
    ['another kind of file', 'title: x', ["1:1 expected 'litmus', got 'title'"]],
    ['no sentence', 'litmus x\nprocess A;', ["2:1 expected a sentence in quotation marks, got 'process'"]],
    [
      'an open sentence',
      'litmus x "s\n',
      [`1:10 expected a closing '"' for the one that opens here, got the end of the file`],
    ],
    ['a letter that no name has', 'litmus x "s"\n\u00e9;', ["2:1 expected a name, a number or a sign, got '\u00e9'"]],
    [
      'a sign that a terminal would act on',
      'litmus x "s"\n\u001b;',
      ["2:1 expected a name, a number or a sign, got '?'"],
    ],
    [
      'a sign of mathematics',
      `${HEAD}cpu0@A;\np = pin(a);\nexists (p == 1 \u2227 p == 2)`,
      ["10:16 expected '/\\' or 'and', got '\u2227'"],
    ],
    [
      'parentheses without end',
      `${HEAD}cpu0@A;\np = pin(a);\nexists ${'('.repeat(50_000)}p == 1`,
      [`10:108 expected at most 100 '(' and '~' inside one another`],
    ],
    [
      'a question of another kind',
      'litmus x "s"\ncpu0@A;\nread(a);\neventually (r == 1)',
      ["4:1 expected an operation, or exists, forbidden, sometimes or always, got 'eventually'"],
    ],
    [
      'a name without end',
      `litmus ${'x'.repeat(5000)} "s"`,
      [`1:8 expected a name of at most 100 characters, got '${'x'.repeat(29)}...'`],
    ],
    ['a version without v', 'litmus x "s"\nkernel 5.17\n', ["2:8 expected a kernel version such as 'v5.17', got '5'"]],
    [
      'a kind of mapping',
      'litmus x "s"\nprocess A { a: anno 1 }',
      ["2:16 expected 'anon', 'shared' or 'pfnmap', got 'anno'"],
    ],
    ['a mapping without pages', 'litmus x "s"\nprocess A { a: anon read }', ["2:21 expected a number, got 'read'"]],
    ['a process without braces', 'litmus x "s"\nprocess A\ncpu0@A;', ["3:1 expected ';' or '{', got 'cpu0'"]],
    ['an open process', 'litmus x "s"\nprocess A { a: anon 1\ncpu0@A;\nread(a);', ["3:5 expected '}', got '@'"]],
    ['no actors', HEAD, ["7:41 expected an actor such as 'cpu0@A', got the end of the file"]],
    ['a first row without its end', `${HEAD}cpu0@A\nread(a);`, ["9:1 expected ';', got 'read'"]],
    ['a row without its end', `${HEAD}cpu0@A;\nread(a)\nread(b);`, ["10:1 expected ';', got 'read'"]],
    [
      'several rows',
      `${HEAD}cpu0@A;\nread(a;\nread(b);\nread a);`,
      ["9:7 expected ')', got ';'", "11:6 expected '(', got 'a'"],
    ],
    [
      'set-up',
      `${HEAD}init { A write(a, 1);\n A: read(a)\n }\ncpu0@A;\nread(a);`,
      ["8:10 expected ':', got 'write'", "10:2 expected ';', got '}'"],
    ],
    [
      'several questions',
      `${HEAD}cpu0@A;\np = pin(a);\nexists p > 0\nforbidden (p = 1)\nexists (p)\nexist (p == 1)`,
      [
        "10:8 expected '(', got 'p'",
        "11:14 expected a comparison ('==', '!=', '<', '<=', '>' or '>='), got '='",
        "12:10 expected a comparison ('==', '!=', '<', '<=', '>' or '>='), got ')'",
        "13:1 expected a question or the end of the file, got 'exist'",
      ],
    ],
    [
      'signs of other languages',
      `${HEAD}cpu0@A;\np = pin(a);\nexists (p > 0 && p < 4)\nexists (!(p == 4))`,
      ["10:15 expected '/\\' or 'and', got '&&'", "11:9 expected '~' or 'not', got '!'"],
    ],
  ];
  it.each(cases)('%s', (_, text, mistakes) => expect(mistakesOf(text)).toEqual(mistakes));

  it('refuses a huge file at once', () => {
    const [mistake] = mistakesOf(`${HEAD}${'# filler\n'.repeat(LITMUS_CHARS_MAX / 8)}`);
    expect(mistake).toMatch(/^1:1 expected a litmus file of at most 1048576 characters, got \d+$/);
  });

  it('tells where a mistake ends, for editors', () => {
    const { mistakes } = parseLitmus(`${HEAD}cpu0@A;\nread a;`);
    expect(mistakes).toMatchObject([{ line: 9, column: 6, endLine: 9, endColumn: 7 }]);
  });
});

/** A test of a policy with an EL2. */
const withEl2 = (machine: string): string =>
  `litmus x "s"\npolicy pkvm-2022\n${machine}\nprocess A { a: anon 1 read write }\ncpu0@A | cpu1@A ;\nread(a)|read(a);`;

const servers = (machine: string): string[] =>
  testOf(withEl2(machine)).plan.actors.flatMap(({ name: each, tier }) => (tier === 'server' ? [each] : []));

describe('a litmus test', () => {
  it('comes to a small machine with one CPU for each actor', () => {
    const { plan } = testOf(`${HEAD}cpu0@A node 1 | ksmd ;\nread(b) | migrate(a, 2) ;`);
    expect(plan.machine).toMatchObject({
      nodes: 3,
      framesPerNode: 24,
      thpOrder: 1,
      cpus: 2,
      mms: 1,
      mmPages: 3,
      vms: 1,
      vmPages: 2,
    });
    expect(plan.actors.map(({ name: each, kind, node }) => [each, kind, node])).toEqual([
      ['cpu0', 'litmus', 1],
      ['ksmd', 'litmus', 0],
    ]);
    expect(plan.mappings.map(({ start, pages }) => [start, pages])).toEqual([
      [0, 2],
      [2, 1],
    ]);
  });

  it('has EL2 instances where the policy has an EL2', () => {
    expect(servers('')).toEqual(['el2-0']);
    expect(servers('machine el2 0')).toEqual(['el2-0', 'el2-1']);
    expect(testOf(`${HEAD}cpu0@A;\nread(a);`).plan.actors).toHaveLength(1);
  });
});

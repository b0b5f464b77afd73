import { describe, expect, it } from 'vitest';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { GuidedScript } from '#src/engine/strategies/script.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { TERMS } from '#src/lab/litmus/language/terms.js';
import { testOf } from './litmus-texts.js';

const asked = new Set<string>();

/** The values that `text`'s questions see when its actors run one after the other. */
function seen(text: string, terms: readonly string[]): Record<string, string> {
  for (const term of terms) asked.add(term.slice(0, term.indexOf('(')));
  const questions = terms.map((term) => `exists (${term} == ${term})`).join('\n');
  const program = new LitmusProgram(testOf(`litmus x "s"\n${text}\n${questions}`));
  const thread = new OneThread(program, 20_000);
  const script = new GuidedScript().load(new Uint8Array(0), 0);
  script.begin();
  thread.run(script, 0);
  expect(thread.endText).toBe('finished');
  return Object.fromEntries(program.observation().values);
}

/** As {@link seen}, of terms with the values that they must have. */
function check(text: string, values: Readonly<Record<string, string>>): void {
  expect(
    seen(
      text,
      Object.keys(values).filter((name) => name.includes('(')),
    ),
  ).toMatchObject(values);
}

/** A huge page, and what a task does with it. */
const huge = (operations: string): string =>
  `process A { a: anon 2 read write }
      init { A: write(a, 7); A: write(a[1], 8); c = A: madvise(a, COLLAPSE); }
      cpu0@A; ${operations}`;

describe('comparisons', () => {
  const CASES = [
    ['1 == 1', true],
    ['1 == 2', false],
    ['1 != 1', false],
    ['1 != 2', true],
    ['1 < 1', false],
    ['1 < 2', true],
    ['2 < 1', false],
    ['1 <= 1', true],
    ['2 <= 1', false],
    ['1 > 1', false],
    ['2 > 1', true],
    ['1 > 2', false],
    ['1 >= 1', true],
    ['1 >= 2', false],
    ['-1 < 0', true],
    ['-EFAULT == -14', true],
    // what is not there is neither more nor less than a number, and no number
    ['pfn(a) == none', true],
    ['pfn(a) != 0', true],
    ['pfn(a) < 0', false],
    ['pfn(a) >= 0', false],
    ['0 > pfn(a)', false],
    ['none == pfn(a)', true],
    ['pte(a) == pmd(a)', true],
    // what was not reached is unlike everything
    ['r == 0', false],
    ['r != 0', true],
    ['r != r', true],
    ['r < 0', false],
    ['~(r == 0) /\\ 1 == 1', true],
    ['1 == 2 \\/ 1 == 1', true],
    ['1 == 2 \\/ 1 == 1 /\\ 1 == 2', false],
    ['(1 == 1 \\/ 1 == 1) /\\ 1 == 2', false],
  ] as const;

  it('of numbers, words and results', () => {
    const questions = CASES.map(([condition]) => `exists (${condition})`).join('\n');
    const test = testOf(`litmus x "s"\nprocess A { a: anon 1 read }\ncpu0@A; r = read(a);\n${questions}`);
    const program = new LitmusProgram(test);
    program.reset(0);
    const { yes } = program.observation();
    expect(CASES.map(([condition], index) => [condition, yes[index]])).toEqual(CASES);
  });
});

describe('terms', () => {
  it('of pages, entries and TLBs', () => {
    check(
      `process A { a: anon 2 read write b: anon 1 read }
      vm G of A { slot 0: gfn 0 pages 2 at a slot 1: gfn 4 pages 1 at b }
      init { A: write(a, 1); A: read(b); G: guest_read(0); }
      cpu0@A; r = read(a); w = write(a[1], 5); p = pin(a, LONGTERM); e = write(b, 1);`,
      {
        r: '1',
        w: '0',
        p: 'pfn0(a[0])',
        e: '-SIGSEGV',
        'pfn(a)': 'pfn0(a[0])',
        'pfn(a[1])': 'new',
        'pfn(b)': '0',
        'pte(a)': 'rw',
        'pte(b)': 'zero',
        'pmd(a)': 'table',
        'refs(a)': '1025',
        'pins(a)': '1',
        'pins(p)': '1',
        'maps(a)': '1',
        'maps(pfn0(a))': '1',
        'content(a[1])': '5',
        'content(p)': '1',
        'node(a)': '0',
        'flag(a, anon)': '1',
        'flag(a, anon_exclusive)': '1',
        'flag(a, swapbacked)': '1',
        'flag(a, lru)': '1',
        'flag(a, ksm)': '0',
        'flag(a, huge)': '0',
        'flag(a, free)': '0',
        'flag(a, locked)': '0',
        'stage2(G, 0)': 'rw',
        'stage2(G, 1)': 'none',
        'stage2(G, 4)': 'none',
        'stage2_pfn(G, 0)': 'pfn0(a[0])',
        'stage2_pfn(G, 1)': 'none',
        'refs(stage2_pfn(G, 0))': '1025',
        'owner(a)': 'host',
        'tlb(cpu0, a[1])': 'rw',
        'tlb(cpu0, b)': 'none',
        'guest_tlb(cpu0, G, 0)': 'none',
        'done(cpu0)': '1',
        'lock(mmap_lock, A)': 'free',
        'lock(mmu_lock, G)': 'free',
        'lock(ptl, a)': 'free',
        'lock(folio, p)': 'free',
        'in_progress(G)': '0',
        'seq(G)': '0',
        'locked_vm(A)': '0',
      },
    );
  });

  it('of pages that are not there', () => {
    check('process A { a: anon 1 read }\ncpu0@A; u = munmap(a); p = pin(a);', {
      u: '0',
      p: '-EFAULT',
      'pfn(a)': 'none',
      'pte(a)': 'none',
      'pmd(a)': 'none',
      'refs(a)': '0',
      'pins(p)': '0',
      'content(a)': 'none',
      'node(p)': 'none',
      'owner(a)': 'none',
      'flag(a, lru)': '0',
      'lock(ptl, a)': 'free',
      'lock(folio, a)': 'free',
    });
  });

  it('of counters: by mechanism and by page', () => {
    check(
      `process A { a: anon 2 read write }
      vm G of A { slot 0: gfn 0 pages 2 at a }
      init { A: write(a, 1); A: write(a[1], 1); G: guest_write(0, 2); }
      cpu0@A node 1 | vcpu0@G node 1 | ksmd ;
      q = get(a)        |               | ;
      m = migrate(a, 1) |               | ;
      put(q)            |               | ;
      n = migrate(a, 1) |               | ;
                        | guest_read(0) | l = migrate(a[1], 1) ;`,
      {
        m: '1',
        n: '0',
        l: '0',
        'notifier_starts(numa_migrate, a)': '3',
        'notifier_starts(numa_migrate, a[1])': '1',
        'notifier_starts(numa_migrate)': '4',
        'notifier_starts(any)': '4',
        'notifier_starts(ksm)': '0',
        'notifier_starts(ksm, a)': '0',
        'pages_moved(numa_migrate)': '2',
        'pages_moved(any)': '2',
        'backed_out(numa_migrate)': '1',
        'stage2_unmaps(G, 0)': '1',
        'stage2_unmaps(G, 1)': '0',
        'stage2_unmaps(numa_migrate)': '1',
        'stage2_unmaps(ksm)': '0',
        'stage2_faults(G)': '1',
        'stage2(G, 0)': 'rw',
        'node(a)': '1',
      },
    );
  });

  it('of hints, migration targets and forked pages', () => {
    check(
      `process A { a: anon 1 read write }
      process B;
      init { A: write(a, 7); A: fork(B); A: write(a, 8); }
      cpu0@B | cpu1@A node 1; r = read(a) | numa_scan();`,
      {
        r: '7',
        'pfn(B.a)': 'pfn0(B.a)',
        'pfn(a)': 'pfn0(a)',
        'pte(A.a)': 'protnone',
        'content(A.a)': '8',
        'maps(B.a)': '1',
        'flag(B.a, anon_exclusive)': '0',
        'flag(A.a, anon_exclusive)': '1',
      },
    );
  });

  it('of merged pages', () => {
    check(
      `process A { a: anon 2 read write mergeable }
      init { A: write(a, 7); A: write(a[1], 7); ksmd: ksm_scan(9); ksmd: ksm_scan(9); }
      cpu0@A; w = write(a, 8);`,
      {
        'flag(a[1], ksm)': '1',
        'flag(a[1], anon)': '0',
        'flag(a, ksm)': '0',
        'pte(a[1])': 'ro',
        'content(a)': '8',
        'content(a[1])': '7',
        'maps(a[1])': '1',
        'pfn(a[1])': 'pfn0(a[0])',
      },
    );
  });

  it('of huge pages', () => {
    check(huge('r = read(a[1]);'), {
      r: '8',
      'pmd(a)': 'huge',
      'pte(a)': 'rw',
      'pfn(a[1])': 'pfn0(a[1])',
      'flag(a, huge)': '1',
      'maps(a)': '1',
      'refs(a)': '1',
      'tlb(cpu0, a[1])': 'rw',
    });
    check(huge('p = pin_fast(a[1]); s = split_folio(a); t = split_pmd(a);'), {
      s: '-EAGAIN',
      t: '0',
      'pmd(a)': 'table',
      'flag(a, huge)': '1',
      'pins(a)': '1',
      'pins(p)': '1',
      'maps(a)': '1',
      'refs(a)': '3',
    });
    check(huge('s = split_folio(a[1]);'), { s: '0', 'flag(a, huge)': '0', 'pmd(a)': 'table', 'refs(a)': '1' });
  });

  it('of ownership', () => {
    check(
      `policy pkvm-2022
      process A { a: anon 2 read write b: anon 1 read write }
      vm G of A protected { slot 0: gfn 0 pages 2 at a }
      vm H of A { slot 0: gfn 0 pages 1 at b }
      init { G: guest_write(0, 2); G: guest_write(1, 2); H: guest_write(0, 1); }
      vcpu0@G; g = guest_share(0);`,
      {
        g: '0',
        'owner(a)': 'guest_shared',
        'owner(a[1])': 'guest',
        'owner(b)': 'shared',
        'stage2(G, 0)': 'rw',
        'locked_vm(A)': '3',
      },
    );
  });

  it('of broken pages and of pages without struct page', () => {
    check(
      `process A { a: anon 1 read write d: pfnmap 1 read write }
      poison a;
      init { A: write(a, 7); }
      cpu0@A; r = pin(a, HWPOISON); u = munmap(a); s = write(d, 4); t = pin(d);`,
      {
        s: '0',
        t: '-EFAULT',
        'pfn(a)': 'none',
        'flag(pfn0(a), hwpoison)': '1',
        'flag(pfn0(a), free)': '0',
        'content(d)': '4',
      },
    );
  });

  it('of shared memory', () => {
    check(
      `process A { s: shared o 1 read write }
      process B { t: shared o 1 read write }
      init { A: write(s, 7); B: read(t); }
      cpu0@B; w = write(t, 9);`,
      { w: '0', 'pfn(s)': 'pfn0(s)', 'pfn(t)': 'pfn0(s)', 'maps(s)': '2', 'content(s)': '9', 'flag(s, anon)': '0' },
    );
  });

  it('of pages that were swapped out', () => {
    check(
      `process A { a: anon 1 read write b: anon 1 read write }
      init { A: write(a, 3); A: write(b, 4); s = ksmd: swap_out(a); }
      cpu0@A; t = swap_out(b); r = read(b);`,
      { t: '1', r: '4', 'pte(a)': 'swap', 'pfn(a)': 'none', 'content(a)': 'none', 'content(b)': '4' },
    );
  });

  it('are all tested here', () => {
    expect([...asked].toSorted()).toEqual(
      [...new Set(TERMS.map(({ name }) => name))].filter((name) => name !== 'pfn0').toSorted(),
    );
  });
});

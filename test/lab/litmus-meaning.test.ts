import { describe, expect, it } from 'vitest';
import { HEAD, mistakesOf, testOf } from './litmus-texts.js';

type Case = readonly [what: string, text: string, mistakes: readonly string[]];

/** A file whose header is `lines`. */
const header = (lines: string): string => `litmus x "s"\n${lines}\nprocess A { a: anon 1 read }\ncpu0@A;\nread(a);`;
/** A file with one column of a task and these rows below it, from line 9 on. */
const rows = (...lines: string[]): string => `${HEAD}cpu0@A;\n${lines.join('\n')}`;
/** A file with a pin `p` and these questions, from line 10 on. */
const asks = (...conditions: string[]): string =>
  `${HEAD}cpu0@A; p = pin(a); r = read(a);\n\n${conditions.map((each) => `exists (${each})`).join('\n')}`;

describe('mistakes in the header', () => {
  const cases: readonly Case[] = [
    ['a policy', header('policy clasic'), ["2:8 no policy 'clasic'; did you mean 'classic'?"]],
    ['a bug', header('bug unheard'), [expect.stringMatching(/^2:5 no bug 'unheard'; expected Z01, /)]],
    [
      'a bug and a policy',
      header('bug Z04\npolicy classic'),
      ["2:5 'bug' and 'policy' in one file; expected one of them: a bug names its policy"],
    ],
    ['a release', header('kernel v9.1'), ["2:8 expected a kernel version such as v5.17, got 'v9.1'"]],
    ['an invariant', header('expect violation I-PINN'), ["2:18 no invariant 'I-PINN'; did you mean 'I-PIN'?"]],
    [
      'a machine setting',
      header('machine nodes 2, fames 3'),
      ["2:18 no machine setting 'fames'; did you mean 'frames'?"],
    ],
    [
      'limits',
      header('machine nodes 9, thp_order 0'),
      ['2:15 nodes: expected 1 to 8, got 9', '2:28 thp_order: expected 1 to 9, got 0'],
    ],
    [
      'a knob',
      header('knobs thp_enabled on, max_ptes_none never'),
      [
        "2:19 thp_enabled: expected never, madvise or always, got 'on'",
        "2:37 max_ptes_none: expected 0 to 511, got 'never'",
      ],
    ],
    ['a line twice', header('steps 5\nsteps 6'), ["3:1 a second 'steps' line"]],
    ['steps', header('steps 0'), ['2:7 steps: expected 1 to 1000000, got 0']],
    [
      'a fault',
      header('inject alloc cpu9 0'),
      ["2:14 no actor 'cpu9'; did you mean 'cpu0'?", '2:19 expected which allocation fails, from 1, got 0'],
    ],
  ];
  it.each(cases)('%s', (_, text, mistakes) => expect(mistakesOf(text)).toEqual(mistakes));
});

/** A file with these declarations. */
const memory = (lines: string): string => `litmus x "s"\n${lines}\ncpu0@A;\nread(a);`;

describe('mistakes in processes, guests and frames', () => {
  const cases: readonly Case[] = [
    [
      'flags',
      memory('process A { a: anon 1 raed wirte read read }'),
      [
        "2:23 no mapping flag 'raed'; did you mean 'read'?",
        "2:28 no mapping flag 'wirte'; did you mean 'write'?",
        "2:39 'read' twice",
      ],
    ],
    [
      'names twice',
      memory('process A { a: anon 1 read a: anon 1 read }\nprocess A;'),
      ["2:28 a second mapping of process A 'a'", "3:9 a second process 'A'"],
    ],
    [
      'sizes',
      memory('process A { a: anon 0 read b: anon 99999 read }'),
      ['2:21 pages: expected 1 to 16384, got 0', '2:36 pages: expected 1 to 16384, got 99999'],
    ],
    [
      'slots',
      memory(
        'process A { a: anon 2 read }\nvm G of A { slot 0: gfn 0 pages 3 at a\n slot 0: gfn 1 pages 1 at c\n slot 5: gfn 0 pages 1 at a }',
      ),
      [
        "3:33 the slot has 3 pages, but 'a' ends after 2 of them",
        "4:27 no mapping of process A 'c'; expected a",
        '5:7 slot: expected 0 to 2, got 5',
      ],
    ],
    [
      'slots that overlap',
      memory('process A { a: anon 2 read }\nvm G of A { slot 0: gfn 0 pages 2 at a\n slot 1: gfn 1 pages 1 at a }'),
      ['4:14 gfn 1 to 1 overlap slot 0'],
    ],
    [
      'a VM of nothing',
      memory('process A { a: anon 2 read }\nvm G of B { }\nvm A of A { }'),
      ["3:9 no process 'B'; expected A", "4:4 'A' is a process already; a VM needs a name of its own"],
    ],
    ['vCPUs', memory('process A { a: anon 2 read }\nvm G of A vcpus 9 { }'), ['3:17 vcpus: expected 1 to 8, got 9']],
    [
      'frames',
      memory('process A { a: anon 1 read }\nunpinnable 3..4;\nnomap 99;\npoison z;'),
      [
        '3:12 expected whole huge pages of 2 frames, got 3..4',
        '4:7 nomap: expected 1 to 23, got 99',
        "5:8 no mapping 'z'; expected a",
      ],
    ],
    [
      'a machine that is too big',
      memory('machine frames 65536, nodes 8\nprocess A memlock 4 { a: anon 1 read }').replace(
        'frames 65536',
        'frames 65537',
      ),
      ['2:16 frames: expected 4 to 65536, got 65537'],
    ],
  ];
  it.each(cases)('%s', (_, text, mistakes) => expect(mistakesOf(text)).toEqual(mistakes));
});

describe('mistakes in columns and set-up', () => {
  const cases: readonly Case[] = [
    ['an operation', rows('raed(a);'), ["9:1 no operation 'raed'; did you mean 'read'?"]],
    ['too many arguments', rows('read(a, 3);'), ['9:1 read(PAGE): expected 1 argument, got 2']],
    [
      'too few',
      rows('pin();', 'write(a);'),
      [
        '9:1 pin(PAGE, FLAGS...): expected 1 or more arguments, got 0',
        '10:1 write(PAGE, VALUE): expected 2 arguments, got 1',
      ],
    ],
    ['a mapping', rows('read(c);'), ["9:6 no mapping of process A 'c'; expected a or b"]],
    [
      'an index',
      rows('read(a[2]);', 'read(b[1]);', 'munmap(a[1..2]);'),
      [
        "9:8 page 2 is outside 'a', which has 2 pages (0 to 1)",
        "10:8 page 1 is outside 'b', which has 1 page (0)",
        "11:13 page 2 is outside 'a', which has 2 pages (0 to 1)",
      ],
    ],
    [
      'a range for a page',
      rows('read(a[0..1]);', 'munmap(a[1..0]);'),
      ['9:6 expected one page, got the range a[0..1]', '10:8 expected a range that goes up, got 1..0'],
    ],
    ['an advice', rows('madvise(a, DONTNED);'), ["9:12 no advice 'DONTNED'; did you mean 'DONTNEED'?"]],
    [
      'a flag',
      rows('pin(a, LONG);', 'pin(a, 4);'),
      [
        "9:8 no flag 'LONG'; expected WRITE, LONGTERM, FORCE, HONOR_NUMA_FAULT, HWPOISON or GET",
        '10:8 expected a flag, got 4',
      ],
    ],
    [
      'numbers',
      rows('write(a, 99999999999);', 'write(a, -1);', 'write(a, a);', 'migrate(a, 9);', 'ksm_scan(0);'),
      [
        '9:10 value: expected a number from 0 to 2147483647, got 99999999999',
        '10:10 value: expected a number from 0 to 2147483647, got -1',
        "11:10 value: expected a number from 0 to 2147483647, got 'a'",
        '12:12 node: expected a number from 0 to 0, got 9',
        '13:10 count: expected a number from 1 to 1000000, got 0',
      ],
    ],
    [
      "a vCPU's operation in a task's column",
      rows('guest_read(0);'),
      ['9:1 guest_read is done by a vCPU; cpu0 is a task of a process'],
    ],
    [
      "a task's elsewhere",
      `${HEAD}v@G | ksmd;\nread(a) | read(a);`,
      [
        '9:1 read is done by a task of a process; v is a vCPU',
        '9:11 read is done by a task of a process; ksmd is a kernel thread',
      ],
    ],
    ['a guest page', `${HEAD}v@G;\nguest_read(7);`, ['9:12 gfn 7 is in no slot of G, which has 0 to 1']],
    [
      'a daemon without a process',
      `${HEAD}ksmd;\nnuma_scan();`,
      ['9:1 numa_scan([PROCESS]): ksmd has no process; expected which process is meant'],
    ],
    [
      'actors',
      `${HEAD}cpu0 | foo@X | el2-0 | v@G.1 ;\nread(a);`,
      [
        "8:1 expected 'cpu0@PROCESS' or 'cpu0@VM'; actors without one are ksmd, khugepaged, kswapd and task",
        "8:12 no process or VM 'X'; expected A or G",
        "8:8 'foo' has no operation",
        "8:16 'el2-0' needs no column: EL2 serves hypercalls by itself ('machine el2 N' says how many)",
        "8:16 'el2-0' has no operation",
        '8:28 vCPU: expected 0 to 0, got 1',
        "8:24 'v' has no operation",
      ],
    ],
    ['an actor twice', `${HEAD}cpu0@A|cpu0@A;\nread(a)|read(a);`, ["8:8 a second actor 'cpu0'"]],
    ['an empty column', `${HEAD}cpu0@A|cpu1@A;\nread(a) ;`, ["8:8 'cpu1' has no operation"]],
    ['a row that is too long', rows('read(a) | read(b) ;'), ['9:11 a row of 2 operations; there is 1 actor']],
    ['a node', `${HEAD}machine nodes 1\ncpu0@A node 1;\nread(a);`, ['9:13 node: expected 0 to 0, got 1']],
    [
      'results',
      `${HEAD}cpu0@A|cpu1@A;\nunpin(p)|unpin(q);\np = pin(a)|unpin(x);\np = pin(a)|y = read(a);\nnone = read(a)|unpin(y);\na = read(a)|unpin(p);`,
      [
        "9:7 'p' is used before it is set",
        "9:16 no result 'q'; there is none",
        "10:18 no result 'x'; there is none",
        "11:1 a second result 'p'; the first is in line 10",
        "12:1 'none' stands for a state; expected another name for the result",
        "12:22 'y' is no pinned page, but a result of line 11",
        "13:1 'a' is a mapping; expected another name for the result",
        "13:19 'p' is a result of another column; cpu1 knows its own and those of init",
      ],
    ],
    [
      "another process's page",
      `${HEAD}process B { c: anon 1 read a: anon 1 read }\ncpu0@A|ksmd;\nread(B.c)|split_folio(a);\nread(c)|split_folio(B.a);\nfork(B)|;`,
      [
        '10:6 B.c is a page of another process; cpu0 is of process A',
        "10:23 'a' is a mapping of several processes; expected A.a or B.a",
        "11:6 'c' is a mapping of process B; cpu0 is of process A",
        "12:6 expected an empty process ('process B;') to fork into",
      ],
    ],
    [
      'set-up',
      `${HEAD}init { Q: write(a, 1);\nvcpu0: guest_read(0);\nA.1: read(a);\nG.3: guest_read(0);\nA: unpin(p); cpu0: read(a); }\ncpu0@A|vcpu0@G;\nread(a)|guest_read(0);`,
      [
        "8:8 no process, VM or kernel thread 'Q'; expected A, G, ksmd, khugepaged, kswapd or task",
        "9:1 'vcpu0' is a column, but no task; set-up is done by a process, its tasks, a VM or a kernel thread",
        "10:3 'A' is a process; expected no vCPU number",
        '11:3 vCPU: expected 0 to 0, got 3',
        "12:10 no result 'p'; there is none",
      ],
    ],
    [
      'set-up that the kernel refuses',
      'litmus x "s"\nprocess A { a: anon 2 read }\nvm G of A { slot 0: gfn 0 pages 1 at a slot 1: gfn 1 pages 1 at a[1] unset }\ncpu0@A;\nset_memslot(G, 2);',
      ['5:16 set_memslot: no slot 2 of G; it declares 0, 1'],
    ],
  ];
  it.each(cases)('%s', (_, text, mistakes) => expect(mistakesOf(text).toSorted()).toEqual(mistakes.toSorted()));
});

describe('mistakes in questions', () => {
  const cases: readonly Case[] = [
    [
      'a number for a state',
      asks('stage2(G, 0) == 5', '5 != stage2(G, 0)'),
      ["10:9 stage2(G, 0) is 'none', 'ro' or 'rw', got '5'", "11:9 stage2(G, 0) is 'none', 'ro' or 'rw', got '5'"],
    ],
    [
      'a state for a number',
      asks('p == none', 'refs(a) == rw'),
      ["10:9 p is a number, got 'none'", "11:9 refs(a) is a number, got 'rw'"],
    ],
    [
      "another term's state",
      asks('stage2(G, 0) == zero', 'pmd(a) == lock(ptl, a)'),
      [
        "10:9 stage2(G, 0) is 'none', 'ro' or 'rw', got 'zero'",
        "11:9 pmd(a) is 'none', 'table' or 'huge', got 'lock(ptl, a)'",
      ],
    ],
    [
      'an order of states',
      asks('pmd(a) < huge'),
      ["10:9 pmd(a) is 'none', 'table' or 'huge'; expected '==' or '!=', got '<'"],
    ],
    [
      'words',
      asks('pte(a) == protnon', 'x == 1', 'p == -EFALT', 'p == EFAULT', 'a == 1'),
      [
        "10:19 no result or state 'protnon'; expected p or r",
        "11:9 no result or state 'x'; expected p or r",
        "12:15 no error 'EFALT'; did you mean 'EFAULT'?",
        "13:14 expected a value, got 'EFAULT'; errors are written -EFAULT",
        "14:9 'a' is a page; expected what of it is meant, such as pfn(a)",
      ],
    ],
    [
      'terms',
      asks('refz(a) == 1', 'refs(a, b) == 1', 'read(a) == 1', 'lock(foo, A) == free'),
      [
        "10:9 no term 'refz'; did you mean 'refs'?",
        '11:9 expected refs(PAGE or RESULT), got 2 arguments',
        "12:9 'read' is an operation; expected a term or the name of its result",
        "13:14 expected lock(mmap_lock, PROCESS), lock(mmu_lock, VM), lock(ptl, PAGE) or lock(folio, PAGE or RESULT), got 'foo'",
      ],
    ],
    [
      'arguments',
      asks(
        'stage2(H, 0) == none',
        'stage2(G, 9) == none',
        'stage2(G, a) == none',
        'refs(z) == 1',
        'refs(r) == 1',
        'refs(99) == 1',
        'flag(a, foo) == 1',
        'notifier_starts(ksmm) > 1',
        'tlb(cpu9, a) == ro',
        'pfn(a[7]) == 1',
        'pfn(p) == 1',
      ),
      [
        "10:16 no VM 'H'; expected G",
        '11:19 gfn 9 is in no slot of G, which has 0 to 1',
        '12:19 expected the number of a guest page',
        "13:14 no mapping 'z'; expected a or b",
        "14:14 expected a page, a frame's number, or a result or term that is one, got 'r'",
        '15:14 frame: expected a number from 0 to 23, got 99',
        "16:17 no flag 'foo'; expected locked, anon_exclusive, swapbacked, swapcache, dirty, lru, ksm, anon, huge, hwpoison or free",
        "17:25 no mechanism 'ksmm'; did you mean 'ksm'?",
        "18:13 no actor 'cpu9'; did you mean 'cpu0'?",
        "19:15 page 7 is outside 'a', which has 2 pages (0 to 1)",
        "20:13 no mapping 'p'; expected a or b",
      ],
    ],
    [
      'results of several columns',
      `${HEAD}cpu0@A|cpu1@A;\np = pin(a)|p = pin(a);\nexists (p > 0)\nexists (cpu2:p > 0 /\\ cpu1:q == 1)`,
      [
        "10:9 'p' is a result of several columns; expected cpu0:p or cpu1:p",
        "11:9 no actor 'cpu2'; did you mean 'cpu0'?",
        "11:28 no result of cpu1 'q'; expected p",
      ],
    ],
  ];
  it.each(cases)('%s', (_, text, mistakes) => expect(mistakesOf(text)).toEqual(mistakes));

  it('lets numbers, results and terms of them be compared, and states with their words', () => {
    const text = asks(
      'p == pfn(a) /\\ pfn(a) == none /\\ 1 < 2',
      'refs(stage2_pfn(G, 0)) <= pins(p)',
      'pte(a) == pte(b)',
      'stage2(G, 0) == pte(a)',
      'r == -SIGSEGV \\/ r == -1',
      'content(p) != none',
    );
    expect(testOf(text).questions).toHaveLength(6);
  });
});

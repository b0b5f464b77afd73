import { describe, expect, it } from 'vitest';
import { END_FINISHED, END_VIOLATION, OneThread } from '#src/engine/one-thread/one-thread.js';
import { parseSchedule } from '#src/engine/one-thread/schedule-file.js';
import { explainLitmus } from '#src/lab/litmus/explain.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { type LitmusReport, runLitmus } from '#src/lab/litmus/run.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';
import { replay } from '#src/lab/replay/replay.js';
import { subjectFrom, subjectOf } from '#src/lab/explore/subject.js';
import { GuidedScript } from '#src/engine/strategies/script.js';
import { PINS, source, testOf } from './litmus-texts.js';

const run = (text: string, schedules = 400, strategy = 'random'): Promise<LitmusReport> =>
  runLitmus({ subject: litmusSubject(source(text)), schedules, strategy, seconds: 100 });
const states = ({ outcomes }: LitmusReport): string[] => outcomes.map(({ state }) => state).toSorted();
const answers = ({ questions }: LitmusReport): string[] => questions.map(({ answer }) => answer);

/** Two writers and a reader of one page. */
const WRITERS = (questions: string): string => `litmus good_writers "Two writers."
process A { a: anon 1 read write }
init { A: write(a, 1); }
cpu0@A      | cpu1@A ;
write(a, 2) | r = read(a) ;
${questions}`;

const bare = ({ elapsed_s: _e, workers: _w, ...rest }: LitmusReport) => rest;
const explain = (outcome: string, text = PINS) =>
  explainLitmus({ source: source(text), outcome, schedules: 300, strategy: 'random' });

describe('a litmus test on one thread', () => {
  it.each([
    ['a read sees what was there or what was written', WRITERS(''), ['r=1', 'r=2']],
    [
      'the first touch of a page by two tasks makes one page',
      `litmus x "s"\nprocess A { a: anon 1 read write }\ncpu0@A | cpu1@A ;\nwrite(a, 2) | r = read(a);\nexists (maps(a) == 1 /\\ refs(a) == 1)`,
      ['r=0 maps(a)=1 refs(a)=1', 'r=2 maps(a)=1 refs(a)=1'],
    ],
    [
      'pin against munmap',
      `litmus x "s"\nprocess A { a: anon 1 read write }\ninit { A: write(a, 1); }\ncpu0@A | cpu1@A ;\np = pin(a) | munmap(a);\nexists (pte(a) == none)`,
      ['p=-EFAULT pte(a)=none', 'p=pfn0(a) pte(a)=none'],
    ],
    [
      'a child keeps what was there when it was forked',
      `litmus x "s"\nprocess A { a: anon 1 read write }\nprocess B;\ninit { A: write(a, 1); }\ncpu0@A | cpu1@A ;\nfork(B) | write(a, 2) ;\nexists (content(B.a) == 1 /\\ content(A.a) == 2)`,
      ['content(B.a)=1 content(A.a)=2', 'content(B.a)=2 content(A.a)=2'],
    ],
    [
      'a fault that has no memory',
      `litmus x "s"\ninject alloc cpu0 1\nprocess A { a: anon 1 read write }\ncpu0@A;\nw = write(a, 1); v = write(a, 1);`,
      ['w=-ENOMEM v=0'],
    ],
    [
      'a pin of the zero page, and one that may not write',
      `litmus x "s"\nprocess A { a: anon 1 read write b: anon 1 read }\ncpu0@A;\nread(a); p = pin(a); q = pin(b, WRITE); r = read(b);`,
      ['p=0 q=-EFAULT r=0'],
    ],
    [
      'references that are kept are no leak',
      `litmus x "s"\nprocess A { a: anon 1 read write }\ninit { A: write(a, 1); A: get(a); }\ncpu0@A;\nq = get(a); p = get_fast(a); put(p);\nexists (refs(a) == 3)`,
      ['q=pfn0(a) p=pfn0(a) refs(a)=3'],
    ],
    [
      'a device writes through its pin',
      `litmus x "s"\nprocess A { a: anon 1 read write }\ninit { A: write(a, 1); p = A: pin(a, LONGTERM, WRITE); }\ncpu0@A | ksmd ;\nr = read(a) | pin_write(p, 9) ;\n| v = pin_read(p) ;\n| unpin(p) ;\nexists (pins(a) == 0)`,
      ['r=1 v=9 pins(a)=0', 'r=9 v=9 pins(a)=0'],
    ],
    [
      'memory that is locked already',
      `litmus x "s"\npolicy pkvm-2022\nprocess A memlock 0 { a: anon 1 read write }\nvm G of A protected { slot 0: gfn 0 pages 1 at a }\nvcpu0@G;\nr = guest_write(0, 1);`,
      ['r=-ENOMEM'],
    ],
    [
      'a VM that is made and taken down',
      `litmus x "s"\nprocess A { a: anon 1 read write }\nvm G of A unborn { slot 0: gfn 0 pages 1 at a }\ninit { A: write(a, 4); A: create_vm(G); A: set_memslot(G, 0); }\nv@G; r = guest_read(0);\nexists (stage2(G, 0) == rw)`,
      ['r=4 stage2(G, 0)=rw'],
    ],
    [
      'a slot that is deleted',
      `litmus x "s"\nprocess A { a: anon 1 read write }\nvm G of A { slot 1: gfn 3 pages 1 at a }\ncpu0@A; d = delete_memslot(G, 1); s = set_memslot(G, 1);\nexists (stage2(G, 3) == none)`,
      ['d=0 s=0 stage2(G, 3)=none'],
    ],
  ])('%s', async (_, text, expected) => {
    const report = await run(text, 300, 'portfolio');
    expect(report.violations).toEqual([]);
    expect(states(report)).toEqual(expected.toSorted());
  });

  it('finds what is expected, and answers', async () => {
    const report = await run(PINS);
    expect(report).toMatchObject({ ok: true, expect: { expected: 'violation I-PINNED-S2', found: true } });
    expect(states(report)).toEqual([
      'p=pfn0(a) stage2(G, 0)=none',
      'p=pfn0(a) stage2(G, 0)=rw',
      'violation I-PINNED-S2',
    ]);
    const none = report.outcomes.find(({ state }) => state.endsWith('=none'));
    expect(none).toMatchObject({ verdict: 'interesting', questions: [1], values: { p: 'pfn0(a)' } });
    expect(report.questions).toMatchObject([
      { answer: 'sometimes', count: none?.count, first: none?.first, proved: false },
    ]);
    expect(report.outcomes.reduce((sum, { count }) => sum + count, 0)).toBe(report.schedules);
    const missed = await run(PINS.replace('I-PINNED-S2', 'I-PIN'), 50);
    expect(missed).toMatchObject({ ok: false, expect: { found: false } });
  });

  it('gives the same report for the same seed, on any number of threads', async () => {
    const one = bare(await run(PINS, 300, 'portfolio'));
    const two = await runLitmus({
      subject: litmusSubject(source(PINS)),
      schedules: 300,
      strategy: 'portfolio',
      workers: 2,
      seconds: 100,
    });
    expect(bare(two)).toEqual(one);
  });

  it.each([
    ['exists (r == 1)', 'sometimes', true],
    ['exists (r == 7)', 'none-tried', true],
    ['exists (r > 0)', 'all-tried', true],
    ['forbidden (r == 7)', 'none-tried', true],
    ['forbidden (r == 1)', 'sometimes', false],
    ['sometimes (r == 2)', 'sometimes', true],
    ['sometimes (r == 7)', 'none-tried', false],
    ['always (r == 1 \\/ r == 2)', 'all-tried', true],
    ['always (r == 1)', 'sometimes', false],
    ['exists during (content(a) == 2 /\\ r == 1)', 'sometimes', true],
    ['exists during (lock(ptl, a) == held)', 'none-tried', true],
    ['sometimes during (r != 1)', 'all-tried', true],
    ['forbidden during (content(a) == 2 /\\ done(cpu1) == 0)', 'sometimes', false],
    ['always during (refs(a) == 1)', 'all-tried', true],
    ['always during (content(a) == 1)', 'none-tried', false],
  ])('%s: %s', async (question, answer, ok) => {
    const report = await run(WRITERS(question), 60);
    expect(answers(report)).toEqual([answer]);
    expect(report.ok).toBe(ok);
    expect(report.outcomes.some(({ verdict }) => verdict === 'forbidden')).toBe(
      !ok && answer !== 'none-tried' ? true : question.startsWith('always during') && !ok,
    );
  });

  it('ends a schedule at the step that a question about every state forbids', () => {
    const program = new LitmusProgram(testOf(WRITERS('forbidden during (content(a) == 2)')));
    const thread = new OneThread(program, 1000);
    const script = new GuidedScript().load(new Uint8Array(0), 0);
    script.begin();
    expect(thread.run(script, 0)).toBe(END_VIOLATION);
    expect(thread.breaches).toMatchObject([{ invariant: 'forbidden', what: 'during (content(a) == 2) holds' }]);
    const steps = thread.steps;
    const whole = new OneThread(new LitmusProgram(testOf(WRITERS(''))), 1000);
    expect(whole.run(script, 0)).toBe(END_FINISHED);
    expect(steps).toBeLessThan(whole.steps);
  });

  it('is cut at its number of steps', async () => {
    const report = await run(WRITERS('').replace('process', 'steps 3\nprocess'), 20);
    expect(report.outcomes.map(({ verdict }) => verdict)).toContain('cut');
  });
});

describe('schedules of litmus tests', () => {
  it('hold the test, and are replayed from it', async () => {
    const report = await run(PINS);
    const text = report.violations[0]?.schedule ?? '';
    const schedule = parseSchedule(text);
    expect(schedule.litmus).toBe(PINS);
    const { scenario, policy, seed, litmus } = schedule;
    const again = replay(schedule, subjectOf({ scenario, policy, seed, litmus }), 'x.schedule').report;
    expect(again).toMatchObject({ reproduced: true, same_plan: true, end: { kind: 'violation' } });
    const forbidden = await run(WRITERS('forbidden (r == 1)'), 20);
    const states2 = parseSchedule(forbidden.violations[0]?.schedule ?? '');
    expect(replay(states2, subjectOf({ ...states2 }), 'x').report).toMatchObject({ reproduced: true });
  });

  it('are of the kernel that was asked for instead', async () => {
    const subject = litmusSubject(source(PINS.replace('policy', 'kernel v5.17\npolicy'), { policy: 'classic' }));
    expect(subject.policy).toBe('classic@v5.17');
    const report = await runLitmus({ subject, schedules: 5, strategy: 'random' });
    const schedule = parseSchedule(report.outcomes[0]?.schedule ?? '');
    expect(subjectOf({ ...schedule }).policy).toBe('classic@v5.17');
    expect(() => litmusSubject(source(PINS, { kernel: 'nothing' }))).toThrow("no policy or bug 'nothing'");
  });

  it('cross to other threads as plain data', async () => {
    const subject = litmusSubject(source(PINS));
    const copy = await subjectFrom(structuredClone(subject.description as never));
    expect(copy.hash).toBe(subject.hash);
  });
});

describe('explain', () => {
  it('draws good outcomes', async () => {
    const { report } = await explain('stage2(G, 0)=none');
    expect(report).toMatchObject({ found: true, outcome: 'p=pfn0(a) stage2(G, 0)=none' });
    expect(report.diagram).toContain('pin_user_pages');
    expect(report.diagram).not.toContain('***');
    expect(replay(parseSchedule(report.schedule), litmusSubject(source(PINS)), 'x').report).toMatchObject({
      reproduced: true,
      same_plan: true,
    });
  });

  it('draws states by a condition, and rules that break', async () => {
    expect((await explain('(p > 0 /\\ stage2(G, 0) == rw)')).report.outcome).toBe('p=pfn0(a) stage2(G, 0)=rw');
    expect((await explain('violation I-PINNED-S2')).report.outcome).toBe('violation I-PINNED-S2');
    expect((await explain('I-PINNED-S2')).report.diagram).toContain('*** I-PINNED-S2');
    expect((await explain('(r == 1)', WRITERS('forbidden (r == 1)'))).report.outcome).toBe('r=1');
  });

  it('says what there was instead, and what is wrong', async () => {
    const { report } = await explain('(r == 7)', WRITERS(''));
    expect(report).toMatchObject({ found: false, ok: false });
    expect(report.outcomes.toSorted()).toEqual(['r=1', 'r=2']);
    await expect(explain('(q == 7)')).rejects.toThrow("--outcome:2: no result or state 'q'; expected p");
    await expect(explain('(p == 7')).rejects.toThrow("--outcome:8: expected ')', got the end of the file");
    await expect(explain('violation I-NONE')).rejects.toThrow("no invariant 'I-NONE'");
  });
});

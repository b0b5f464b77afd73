import { describe, expect, it } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { random } from '#src/engine/strategies/random.js';
import { holds } from '#src/lab/litmus/language/conditions.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { TERMS } from '#src/lab/litmus/language/terms.js';
import { testOf } from './litmus-texts.js';

/** Every term, of a machine on which much happens. */
const FLAGS = ['locked', 'anon_exclusive', 'ksm', 'huge', 'free', 'lru'].map((flag) => `flag(a, ${flag})`);
const NUMBERS =
  'pfn(a) pfn0(a) refs(a) maps(a) pins(p) content(a) node(a) refs(stage2_pfn(G,0)) stage2_pfn(G,1) locked_vm(A) in_progress(G) ' +
  'seq(G) done(cpu0) stage2_faults(G) notifier_starts(any) notifier_starts(zap,a) stage2_unmaps(G,0) stage2_unmaps(zap) ' +
  'pages_moved(any) backed_out(ksm)';
const CONDITIONS = [...FLAGS, ...NUMBERS.split(' ')].map((term) => `${term} > 0`);
const STATES = [
  ...'pte(a) pmd(a) stage2(G,0) owner(a) tlb(cpu0,a) guest_tlb(vcpu0,G,0)'.split(' ').map((term) => `${term} == none`),
  ...'mmap_lock,A mmu_lock,G ptl,a folio,a'.split(' ').map((lock) => `lock(${lock}) == free`),
];
const ALL = [...CONDITIONS, ...STATES];
const TEXT = `litmus x "s"
process A { a: anon 2 read write mergeable }
vm G of A { slot 0: gfn 0 pages 2 at a }
init { A: write(a, 1); A: write(a[1], 1); }
cpu0@A                  | vcpu0@G            | ksmd ;
p = pin(a)              | guest_read(0)      | ksm_scan(9) ;
madvise(a, DONTNEED)    | guest_write(1, 4)  | ksm_scan(9) ;
unpin(p)                |                    | ;
write(a, 1)             |                    | migrate(a[1], 0) ;
${ALL.map((condition) => `exists during (${condition})`).join('\n')}`;

describe('the words that answers rest on', () => {
  it('are of every term', () => {
    for (const { name } of TERMS) expect(ALL.some((condition) => condition.includes(`${name}(`))).toBe(true);
  });

  it('are all that is read, in any state', () => {
    const test = testOf(TEXT);
    const program = new LitmusProgram(test);
    const known = new Set(program.observed);
    const read = new Set<number>();
    const state = {
      ...program.state,
      load: (word: number): number => {
        read.add(word);
        return program.words[word] as number;
      },
    };
    const thread = new OneThread(program, 20_000);
    thread.observer = {
      beforeStep: () => {},
      afterStep: () => {
        for (const { predicate } of test.questions) holds(state, predicate);
      },
    };
    const strategy = random.create({ seed: 1, depth: 1 });
    for (let schedule = 0; schedule < 5; schedule++) {
      strategy.begin(schedule, program.actors.length);
      thread.run(strategy, 0);
    }
    expect(read.size).toBeGreaterThan(100);
    expect([...read].filter((word) => !known.has(word))).toEqual([]);
  });
});

/** Two writers of two pages. */
const text = (question: string): string =>
  `litmus x "s"\nprocess A { a: anon 1 read write b: anon 1 read write }\ninit { A: write(a, 1); A: write(b, 1); }\n` +
  `cpu0@A | cpu1@A ;\nwrite(a, 2) | write(b, 2) ;\n${question}`;

/** In how many executions the question about every state is satisfied. */
const search = (question: string): { readonly seen: number; readonly executions: number } => {
  const program = new LitmusProgram(testOf(text(question)));
  let seen = 0;
  const { executions, exhaustive } = searchWhole(program, {
    onExecution: () => {
      if (program.observation().yes[0] === true) seen++;
    },
  });
  expect(exhaustive).toBe(true);
  return { seen, executions };
};

describe('an exhaustive search', () => {
  it('goes both ways round changes that a question about every state sees', () => {
    // nobody reads both words: without the question the two writes commute
    expect(search('exists (content(a) == 2)').executions).toBe(1);
    expect(search('exists during (content(a) == 2 /\\ content(b) == 1)').seen).toBeGreaterThan(0);
    expect(search('exists during (content(a) == 1 /\\ content(b) == 2)').seen).toBeGreaterThan(0);
    expect(search('exists during (content(a) == 3)').seen).toBe(0);
  });
});

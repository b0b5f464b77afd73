/** exit(): the memory of a process ends when its last user has gone, and nothing follows it in its column. */
import { describe, expect, it } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { mistakesOf, testOf } from './litmus-texts.js';

const HEAD = `litmus x "s"
process A { a: anon 2 read write mergeable }
process B;
vm G of A { slot 0: gfn 0 pages 1 at a }
init { A: write(a, 1); }
`;

/** Final states and broken rules of the columns, in as many executions as are enough. */
function outcomes(columns: string): [states: string[], broken: string[]] {
  const program = new LitmusProgram(testOf(HEAD + columns));
  const states = new Set<string>();
  const broken = new Set<string>();
  searchWhole(program, {
    executionsMax: 1000,
    onExecution: ({ breaches, outcomeText }) => {
      states.add(outcomeText);
      for (const { invariant } of breaches) broken.add(invariant);
    },
  });
  return [[...states].toSorted(), [...broken]];
}

describe('exit()', () => {
  it.each([
    ['another thread', 'cpu0@A | cpu1@A ;\nexit() | w = write(a[1], 1);\n', ['w=0']],
    ['two threads that exit', 'cpu0@A | cpu1@A ;\ne = exit() | w = write(a[1], 1);\n | f = exit();\n', ['e=0 w=0 f=0']],
    ['a vCPU', 'cpu0@A | v@G ;\nexit() | w = guest_write(0, 2);\n', ['w=0']],
    ['a reader from outside', 'cpu0@A | task ;\nexit() | r = mem_read(a);\n', ['r=-EFAULT', 'r=1']],
    ['a move from outside', 'cpu0@A | task ;\nexit() | r = migrate(a, 1);\n', ['r=-EFAULT', 'r=0']],
    ['reclaim', 'cpu0@A | kswapd ;\nexit() | swap_out(a);\n', ['finished']],
    ['a child', 'cpu0@A | cpu1@B ;\nfork(B) | r = read(a);\nexit() | exit();\n', ['r=1']],
  ])('beside %s breaks nothing', (_, columns, states) => {
    expect(outcomes(columns)).toEqual([states, []]);
  });

  it('is the last thing in its column, and set-up ends nobody who goes on', () => {
    expect(mistakesOf(`${HEAD}cpu0@A;\nexit(); read(a);`)).toEqual([
      "7:9 nothing comes after exit(): 'cpu0' has ended",
    ]);
    expect(mistakesOf(`${HEAD}init { A: exit(); }\ncpu0@A;\nread(a);`)).toEqual([
      "6:11 exit() in set-up ends 'A', of which 'cpu0' is",
    ]);
    expect(mistakesOf(`${HEAD}init { A: exit(); G: guest_read(0); }\nksmd;\nksm_scan(1);`)).toEqual([
      "6:22 nothing comes after exit(): 'A' has ended",
    ]);
  });
});

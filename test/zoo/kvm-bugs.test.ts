/**
 * The zoo's bugs of KVM and protected KVM, by their own litmus files: found within a few schedules of either kind; and the same
 * schedules of the kernel that they are planted in break nothing.
 */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { type CompileOptions, compileLitmus } from '#src/lab/litmus/compile.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { readLitmus } from '#src/lab/litmus/subject.js';
import { bugById } from '#src/zoo/index.js';

const FILES = fileURLToPath(new URL('../../src/zoo/litmus/', import.meta.url));

function programOf(file: string, options: CompileOptions): LitmusProgram {
  const { test, mistakes } = compileLitmus(readLitmus(file, FILES), options);
  if (test === null) throw new Error(JSON.stringify(mistakes));
  return new LitmusProgram(test);
}

/** Runs schedules of one strategy until one ends badly: its number from 1 (0: none), and the invariant. */
function search(program: LitmusProgram, strategy: string, schedules: number): [schedule: number, invariant: string] {
  const kind = STRATEGIES.find(({ name }) => name === strategy);
  if (kind === undefined) throw new Error(`no strategy ${strategy}`);
  const thread = new OneThread(program, 20_000);
  const choice = kind.create({ seed: 1, depth: 3 });
  for (let schedule = 1; schedule <= schedules; schedule++) {
    choice.begin(schedule, program.actors.length);
    thread.run(choice, 0);
    if (thread.error !== undefined) throw thread.error;
    const [breach] = thread.breaches;
    if (breach !== undefined) return [schedule, breach.invariant];
    if (thread.endText !== 'finished') return [schedule, thread.endText];
  }
  return [0, ''];
}

/** Schedules within which random and PCT find it; 0: not looked for by that one (a race of few steps in long operations). */
describe.each([
  ['Z01', 0, 4000],
  ['Z01-early-check', 2000, 500],
  ['Z01-no-retry', 1500, 400],
  ['Z25', 1, 1],
  ['Z26', 100, 100],
  ['Z30', 1, 1],
  ['Z37', 1, 1],
  ['Z41', 1, 1],
  ['Z42', 1, 1],
  ['Z43', 20, 50],
  ['Z43-guest', 20, 50],
  ['Z44', 2500, 1500],
  ['Z45', 1, 1],
  ['Z47', 0, 500],
  ['Z48', 100, 200],
] as const)('%s', (id, random, pct) => {
  const bug = bugById(id);
  if (bug === undefined) throw new Error(`no bug ${id}`);

  it.each([
    ['random', random],
    ['pct', pct],
  ] as const)('is found by %s', (strategy, schedules) => {
    if (schedules === 0) return;
    const [schedule, invariant] = search(programOf(bug.litmus, {}), strategy, schedules);
    expect(schedule).toBeGreaterThan(0);
    expect(bug.expect).toContain(invariant);
  });

  it('is not in the kernel that it is planted in', () => {
    const program = programOf(bug.litmus, { policy: bug.cleanOn ?? bug.policy });
    expect(search(program, 'random', 60)).toEqual([0, '']);
    expect(search(program, 'pct', 150)).toEqual([0, '']);
  });
});

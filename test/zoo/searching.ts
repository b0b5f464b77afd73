/** Searches for the zoo's bugs by their litmus files, for tests. */
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { zooSubject } from '#src/lab/zoo/zoo.js';
import type { Bug } from '#src/zoo/bug.js';

/** The bug's litmus test, on the kernel with it or on the one that it is planted in. */
export const programOf = (bug: Bug, planted: boolean): LitmusProgram =>
  new LitmusProgram(zooSubject(bug, planted).test);

/** Runs schedules of one strategy until one ends badly: its number from 1 (0: none), and the invariant, or how it ended. */
export function search(
  program: LitmusProgram,
  strategy: string,
  schedules: number,
): [schedule: number, invariant: string] {
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

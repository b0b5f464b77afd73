/** Litmus texts under a strategy, for tests: the first schedule that ends badly, and how. */
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { type CompileOptions, compileLitmus } from '#src/lab/litmus/compile.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';

/** @throws Error with all mistakes of the text */
export function programOf(text: string, options: CompileOptions = {}): LitmusProgram {
  const { test, mistakes } = compileLitmus(text, options);
  if (test === null) throw new Error(JSON.stringify(mistakes));
  return new LitmusProgram(test);
}

export interface Search {
  /** The first schedule that broke a rule or did not finish, from 1; 0: none. */
  readonly schedule: number;
  /** The invariant, or how it ended otherwise; empty when nothing was wrong. */
  readonly found: string;
  /** The outcomes of those that finished, and how often. */
  readonly outcomes: ReadonlyMap<string, number>;
}

export function search(program: LitmusProgram, strategy: string, schedules: number): Search {
  const kind = STRATEGIES.find(({ name }) => name === strategy);
  if (kind === undefined) throw new Error(`no strategy ${strategy}`);
  const thread = new OneThread(program, 20_000);
  const choice = kind.create({ seed: 1, depth: 3 });
  const outcomes = new Map<string, number>();
  for (let schedule = 1; schedule <= schedules; schedule++) {
    choice.begin(schedule, program.actors.length);
    thread.run(choice, 0);
    if (thread.error !== undefined) throw thread.error;
    const [breach] = thread.breaches;
    if (breach !== undefined) return { schedule, found: breach.invariant, outcomes };
    if (!thread.endText.startsWith('finished')) return { schedule, found: thread.endText, outcomes };
    outcomes.set(thread.outcomeText, (outcomes.get(thread.outcomeText) ?? 0) + 1);
  }
  return { schedule: 0, found: '', outcomes };
}

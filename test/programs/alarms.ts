/** Whether a random program raises an alarm: a broken rule, an access that nothing orders, a deadlock, a livelock, an exception. */
import {
  OneThread,
  END_FINISHED,
  END_NAMES,
  END_STEP_LIMIT,
  END_VIOLATION,
} from '#src/engine/one-thread/one-thread.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { UNDECLARED } from '#src/engine/one-thread/undeclared.js';
import { LitmusProgram } from '#src/lab/litmus/program.js';
import { checkedLitmus } from '#src/lab/litmus/subject.js';
import { type Program, smaller, textOf } from './random-programs.js';

export interface Tried {
  /** `I-PIN pinned page was freed`, `deadlock`; empty: nothing. */
  readonly alarm: string;
  /** Mistakes that the language's checker found: the program did not run. */
  readonly refused: readonly string[];
  readonly schedules: number;
  readonly steps: number;
}

const STEPS_MAX = 20_000;

/** Runs `schedules` schedules of the program, random ones and PCT's by turns. */
export const tryProgram = (program: Program, schedules: number): Tried => tryText(textOf(program), schedules);

/** The same of a litmus file's text. */
export function tryText(text: string, schedules: number, seed = 1): Tried {
  const { test, mistakes } = checkedLitmus(text);
  if (test === null) return { alarm: '', refused: mistakes.map(({ message }) => message), schedules: 0, steps: 0 };
  let steps = 0;
  let made: LitmusProgram;
  try {
    made = new LitmusProgram(test);
  } catch (error) {
    return { alarm: '', refused: [String(error)], schedules: 0, steps: 0 };
  }
  const thread = new OneThread(made, STEPS_MAX);
  const kinds = ['random', 'pct'].map((name) => STRATEGIES.find((each) => each.name === name));
  const choices = kinds.map((kind) => kind?.create({ seed, depth: 3 }));
  for (let schedule = 1; schedule <= schedules; schedule++) {
    const choice = choices[schedule % choices.length];
    if (choice === undefined) throw new Error('no such strategy');
    choice.begin(schedule, made.actors.length);
    thread.run(choice, 0);
    steps += thread.steps;
    const alarm = alarmOf(thread);
    if (alarm !== '') return { alarm, refused: [], schedules: schedule, steps };
  }
  return { alarm: '', refused: [], schedules, steps };
}

function alarmOf(thread: OneThread): string {
  const { end, breaches, error, undeclared } = thread;
  const [access] = undeclared.list;
  if (access !== undefined) return `${UNDECLARED} ${placeOf(access.breach.what)}`;
  if (end === END_FINISHED || end === END_STEP_LIMIT) return '';
  if (end === END_VIOLATION) return `${breaches[0]?.invariant} ${breaches[0]?.what}`;
  return error === undefined ? (END_NAMES[end] as string) : String(error);
}

/** Which kind of word it was and where, without the numbers that differ from program to program, and who else was at it. */
const placeOf = (what: string): string =>
  what.replace(/, and no declared access.*/, '').replace(/\b(0x)?[\da-f]+\b(?=.* at )/g, 'N');

/** The smallest program found that raises the same alarm, by leaving out operations one at a time. */
export function reduced(program: Program, alarm: string, schedules: number): Program {
  const next = smaller(program).find((each) => tryProgram(each, schedules).alarm === alarm);
  return next === undefined ? program : reduced(next, alarm, schedules);
}

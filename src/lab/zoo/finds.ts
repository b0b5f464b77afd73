/**
 * What counts as a find of a planted bug. Its `expect` names rules, and answers of its litmus file by the question's number; whatever else
 * a kernel with the bug breaks is a find as well, under another name: a search that stops at the first broken rule meets one of them first.
 */
import { OUTCOME } from '../litmus/program.js';
import type { LitmusTest } from '../litmus/compile.js';
import type { Bug } from '../../zoo/bug.js';

const ANSWER = /^(exists|forbidden|always|sometimes) (\d+)$/;

/** A broken rule, or a question that was answered as it must not be. */
export interface Finding {
  readonly invariant: string;
  readonly what?: string;
}

/** Whether `expect` may say that: a question of the file's. */
export function isAnswerOf(test: LitmusTest, expected: string): boolean {
  const [, word, number] = ANSWER.exec(expected) ?? [];
  return number !== undefined && test.questions[Number(number) - 1]?.word === word;
}

/**
 * The condition of the question that a bug is found by where no rule catches it: `exists 2` alone, or with others of its kind; null:
 * rules catch it, or questions that are rules themselves.
 */
export function wantedAnswer({ expect }: Bug, test: LitmusTest): string | null {
  if (expect.some((each) => !/^exists \d+$/.test(each))) return null;
  const [, , number] = ANSWER.exec(expect[0] ?? '') ?? [];
  const question = test.questions[Number(number) - 1];
  return question === undefined ? null : question.text.slice(question.word.length + 1);
}

/** What of `findings` found the bug, the expected before others: `I-LOST`, `forbidden 2`; null: nothing was found. */
export function findOf(bug: Bug, test: LitmusTest, findings: readonly Finding[]): string | null {
  const named = findings.map((finding) => nameOf(bug, test, finding));
  return named.find((name) => bug.expect.includes(name)) ?? named[0] ?? null;
}

/** A rule's own name; of a question's answer the word and the number. */
function nameOf(bug: Bug, test: LitmusTest, { invariant, what = '' }: Finding): string {
  if (invariant === OUTCOME) return bug.expect[0] ?? invariant;
  const number = test.questions.findIndex(
    ({ word, text }) => word === invariant && what.startsWith(text.slice(word.length + 1)),
  );
  return number < 0 ? invariant : `${invariant} ${number + 1}`;
}

/** What `pinfall list` tells of litmus files: those that are shipped, the operations, and the terms of questions. */
import { readFileSync } from 'node:fs';
import { LITMUS_OPERATIONS } from '../../../actors/litmus/operations.js';
import { signature } from './language/check-calls.js';
import { termSignature } from './language/check-questions.js';
import { parseLitmus } from './language/parse.js';
import { shippedLitmus } from './subject.js';
import { TERMS } from './language/terms.js';

export interface LitmusRow {
  readonly name: string;
  readonly sentence: string;
  /** By its name: `good_` files never break a rule, `bad_` files can; others belong to a planted bug. */
  readonly verdict: 'good' | 'bad' | 'bug';
  readonly path: string;
}

/** The shipped litmus files. One that cannot be read has its mistake for a sentence. */
export function listLitmus(): LitmusRow[] {
  return shippedLitmus().map((path) => {
    const { file, mistakes } = parseLitmus(readFileSync(path, 'utf8'));
    const name = file?.name.text ?? path;
    const [kind] = name.split(/[_-]/);
    const verdict = kind === 'good' || kind === 'bad' ? kind : 'bug';
    return { name, sentence: file?.sentence ?? mistakes[0]?.message ?? '', verdict, path };
  });
}

export interface OperationRow {
  /** `pin(PAGE, FLAGS...)`. */
  readonly operation: string;
  readonly by: string;
  readonly result: string;
  readonly summary: string;
}

export const listOperations = (): OperationRow[] =>
  LITMUS_OPERATIONS.map((row) => ({
    operation: signature(row),
    by: row.by,
    result: row.result,
    summary: row.summary,
  }));

export interface TermListRow {
  /** `stage2(VM, GFN)`. */
  readonly term: string;
  /** Its values: `number` and words. */
  readonly values: readonly string[];
  readonly summary: string;
}

export const listTerms = (): TermListRow[] =>
  TERMS.map((row) => ({
    term: termSignature(row),
    values: [...(row.numbers ? ['number'] : []), ...row.words],
    summary: row.summary,
  }));

/** Conditions as plain data, and what they come to in a state: a pure function of the machine's words and the tally. */
import { HDR_REGISTERS } from '../../../machine/layout.js';
import { UNSET } from '../../../../actors/litmus/registers.js';
import type { QuestionWord, RelationSign } from './ast.js';
import type { LitmusState } from '../state.js';
import { TERMS, type TermRow } from './terms.js';
import { isNoNumber } from './values.js';

export type Expression =
  /** A number, or a word by its value (values.ts). */
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'register'; readonly register: number }
  /** A row of TERMS; `of` gives its first argument, where that is a frame. */
  | { readonly kind: 'term'; readonly row: number; readonly args: readonly number[]; readonly of: Expression | null };

export type Predicate =
  | { readonly kind: 'or' | 'and'; readonly of: readonly Predicate[] }
  | { readonly kind: 'not'; readonly of: Predicate }
  | {
      readonly kind: 'compare';
      readonly left: Expression;
      readonly relation: RelationSign;
      readonly right: Expression;
    };

export interface Question {
  readonly word: QuestionWord;
  /** About every state between two steps, not only final ones. */
  readonly during: boolean;
  readonly predicate: Predicate;
  /** As the file writes it: `forbidden (p > 0 /\ stage2(G, 0) == none)`. */
  readonly text: string;
}

/** Something that final states are told apart by: a result, or a term of a question. */
export interface Observable {
  readonly text: string;
  readonly expression: Expression;
  /** A page frame: shown by what it was after set-up. */
  readonly frames: boolean;
}

export function evaluate(state: LitmusState, expression: Expression): number {
  switch (expression.kind) {
    case 'constant':
      return expression.value;
    case 'register':
      return state.load(HDR_REGISTERS + expression.register);
    default: {
      const { of, args } = expression;
      const row = TERMS[expression.row] as TermRow;
      return row.read(state, of === null ? args : [evaluate(state, of), ...args]);
    }
  }
}

/**
 * Whether the predicate holds. A result that was not reached is unlike everything: of its comparisons only `!=` holds. `none` is
 * no number, so it is neither more nor less than one.
 */
export function holds(state: LitmusState, predicate: Predicate): boolean {
  switch (predicate.kind) {
    case 'or':
      return predicate.of.some((each) => holds(state, each));
    case 'and':
      return predicate.of.every((each) => holds(state, each));
    case 'not':
      return !holds(state, predicate.of);
    default:
      return compare(predicate.relation, evaluate(state, predicate.left), evaluate(state, predicate.right));
  }
}

function compare(relation: RelationSign, left: number, right: number): boolean {
  if (left === UNSET || right === UNSET) return relation === '!=';
  if (relation === '==') return left === right;
  if (relation === '!=') return left !== right;
  if (isNoNumber(left) || isNoNumber(right)) return false;
  switch (relation) {
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    default:
      return left >= right;
  }
}

/** Whether a term needs the tally of events. */
export function needsTally(predicate: Predicate): boolean {
  if (predicate.kind === 'not') return needsTally(predicate.of);
  if (predicate.kind !== 'compare') return predicate.of.some(needsTally);
  return isTallied(predicate.left) || isTallied(predicate.right);
}

const isTallied = (expression: Expression): boolean =>
  expression.kind === 'term' &&
  (TERMS[expression.row]?.tallied === true || (expression.of !== null && isTallied(expression.of)));

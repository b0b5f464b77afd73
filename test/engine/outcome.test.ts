/** Outcomes are values, and words only where somebody reads them: the words of each kind, and that no code takes them apart. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  END_DEADLOCK,
  END_DRAINED,
  END_FINISHED,
  END_LIVELOCK,
  END_STEP_LIMIT,
  END_VIOLATION,
} from '#src/engine/one-thread/end-kinds.js';
import { type FinalState, outcomeFields, outcomeOf, outcomeText } from '#src/engine/one-thread/outcome.js';
import type { Violation } from '#src/oracle/violation.js';

const broken = (invariant: string, more: Partial<Violation> = {}): Violation => ({ invariant, what: '', ...more });
const state = (words: string, held: number[] = [], known: string[] = []): FinalState => ({ words, held, known });

const text = (end: number, breaches: Violation[], final: FinalState, goesOn = false, ended = end): string =>
  outcomeText(outcomeOf({ end, ended, goesOn, breaches }, () => final));

describe('the words of an outcome', () => {
  it.each([
    ['x=1', text(END_FINISHED, [], state('x=1'))],
    ['finished', text(END_FINISHED, [], state(''))],
    ['x=1 held(2,3) known(I-COHERE)', text(END_FINISHED, [], state('x=1', [2, 3], ['I-COHERE']))],
    ['finished known(I-COHERE)', text(END_FINISHED, [], state('', [], ['I-COHERE']))],
    ['deadlock', text(END_DEADLOCK, [], state('x=1'))],
    ['step-limit, then drained', text(END_DRAINED, [], state('x=1'))],
    ['violation I-RO', text(END_VIOLATION, [broken('I-RO'), broken('I-REF')], state('x=1'))],
    ['x=1', text(END_VIOLATION, [broken('forbidden', { answer: true })], state('x=1'))],
    ['violation I-RO, then x=1', text(END_VIOLATION, [broken('I-RO')], state('x=1'), true, END_FINISHED)],
    ['violation I-RO', text(END_VIOLATION, [broken('I-RO')], state(''), true, END_FINISHED)],
    ['violation I-RO, then deadlock', text(END_VIOLATION, [broken('I-RO')], state(''), true, END_DEADLOCK)],
    ['violation I-LIVE', text(END_VIOLATION, [broken('I-LIVE')], state(''), true, END_LIVELOCK)],
    ['known window I-COHERE', text(END_VIOLATION, [broken('I-COHERE', { known: true })], state(''))],
  ])('%s', (words, said) => {
    expect(said).toBe(words);
  });

  it('are fields in reports', () => {
    const outcome = outcomeOf(
      { end: END_VIOLATION, ended: END_STEP_LIMIT, goesOn: true, breaches: [broken('I-RO')] },
      () => state('x=1'),
    );
    expect(outcomeFields(outcome)).toEqual({
      end: 'violation',
      broken: ['I-RO'],
      after: 'step-limit',
      held: [],
      known: [],
    });
  });

  it('are taken apart by nobody', () => {
    const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
    const parsing = /\/\^?\(?violation |\^violation|known\\\(|startsWith\(KNOWN_WINDOW|held\\\(/;
    const found = sources.filter((name) => parsing.test(readFileSync(`src/${name}`, 'utf8')));
    // what a person writes behind --outcome
    expect(found).toEqual(['lab/litmus/explain.ts']);
  });
});

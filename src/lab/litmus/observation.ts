/**
 * A state as reports print it: `p=-EFAULT pte(a)=protnone`. Frames are named by what they were after set-up, and new ones in the
 * order they appear: which free frame the allocator took is no difference between two outcomes.
 */
import { type FinalState, stateText } from '../../engine/one-thread/outcome.js';
import type { LitmusTest } from './compile.js';
import { evaluate } from './language/conditions.js';
import type { LitmusState } from './state.js';
import { valueText } from './language/values.js';

export interface Observation {
  /** The final state, and in words. */
  readonly state: FinalState;
  readonly text: string;
  /** By question: whether its condition holds; of one about every state, whether it held in one of them (`always`: in all). */
  readonly yes: readonly boolean[];
  /** What the text is made of: term or result, and its value. */
  readonly values: readonly (readonly [name: string, value: string])[];
}

/** @param known rules of known windows that were gone through on the way */
export function observationOf(
  test: LitmusTest,
  state: LitmusState,
  yes: readonly boolean[],
  known: readonly string[] = [],
): Observation {
  const fresh: number[] = [];
  const values = test.observables.map(({ text, expression, frames }) => {
    const value = evaluate(state, expression);
    return [text, frames && value > 0 ? frameText(test, state, value, fresh) : valueText(value)] as const;
  });
  const held = test.questions.flatMap(({ during }, index) => (during && yes[index] === true ? [index + 1] : []));
  // nothing asked: all final states are one
  const words = values.map(([name, value]) => `${name}=${value}`).join(' ');
  const final: FinalState = { words, held, known };
  return { state: final, text: stateText(final), yes, values };
}

/** `pfn0(a)`, or `new`, `new2`, ... */
function frameText(test: LitmusTest, { m, start }: LitmusState, pfn: number, fresh: number[]): string {
  const page = test.pages.find(({ mm, vpn }) => start[mm * m.mmPages + vpn] === pfn);
  if (page !== undefined) return `pfn0(${page.text})`;
  let at = fresh.indexOf(pfn);
  if (at < 0) at = fresh.push(pfn) - 1;
  return at === 0 ? 'new' : `new${at + 1}`;
}

/** Litmus tests by exhaustive search. */
import { ACTORS_MAX } from '../../engine/exhaustive/search.js';
import { EXHAUSTIVE, type Proof, type ProveOptions, prove } from '../explore/prove.js';
import type { LitmusSubject } from './subject.js';

export { EXHAUSTIVE };

/** Whether a search of the test can be begun: sets of actors are bits of an integer. */
export const canProve = ({ test }: LitmusSubject): boolean => test.plan.actors.length <= ACTORS_MAX;

/** Searches until the end, or the budget's. */
export function proveLitmus(
  options: Omit<ProveOptions, 'subject' | 'stepsMax'> & { readonly subject: LitmusSubject },
): Promise<Proof> {
  return prove({ ...options, stepsMax: options.subject.test.stepsMax });
}

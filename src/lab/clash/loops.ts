/** Livelocks: somebody goes round and round, and finds each time what another has left there. */
import { effectWord } from '../../machine/effects.js';
import type { OwnSteps } from './alone.js';
import type { Experiments } from './experiments.js';
import { isLocking } from './pairs.js';
import { CHANGE, LOOK } from './run-trace.js';

/** Times that a word is looked at in vain before that counts as a loop. */
const TURNS = 3;
/** Words that are tried. */
const TRIES = 12;

interface Loop extends OwnSteps {
  /** An entry is cleared before it gets its new value: the first of the changes in a row by whom did the last. */
  readonly since: number;
}

/**
 * The last change of a word by another, and the first look at what it left by the one who has looked at it ever since. What is tried is whether the
 * loop ends if the word, and nothing else, is as it was before that change; the latest change first.
 * @returns null: the rule is another one, or no such word ends the loop
 */
export function loopsOn(experiments: Experiments): OwnSteps | null {
  const { trace, breaches } = experiments;
  const [breach] = breaches;
  if (breach?.invariant !== 'I-LIVE') return null;
  const loops = loopsOf(experiments, breach.actor ?? -1);
  for (const { decided, did, since } of loops.slice(0, TRIES)) {
    if (experiments.budget <= 0) break;
    experiments.withValue(decided, trace.before[since] as number, true);
    if (experiments.isAvoided()) return { decided, did };
  }
  return null;
}

/** The words that `actor` looks at again and again and another one has changed last, the latest change first. */
function loopsOf(experiments: Experiments, actor: number): Loop[] {
  const { trace } = experiments;
  const changes = new Map<number, number>();
  const rows = new Map<number, number>();
  const looks = new Map<number, number[]>();
  trace.effects.forEach((effect, step) => {
    const word = effectWord(effect);
    if (word === 0 || isLocking(experiments, step)) return;
    if (trace.kinds[step] === CHANGE) {
      const last = changes.get(word) ?? step;
      if (trace.operations[last] !== trace.operations[step] || !rows.has(word)) rows.set(word, step);
      changes.set(word, step);
      looks.delete(word);
    } else if (trace.kinds[step] === LOOK && trace.mmu[step] !== true && (actor < 0 || trace.who[step] === actor)) {
      const since = looks.get(word);
      if (since === undefined) looks.set(word, [step]);
      else since.push(step);
    }
  });
  const found: Loop[] = [];
  for (const [word, times] of looks) {
    const did = changes.get(word);
    const since = rows.get(word);
    const [decided] = times;
    if (did === undefined || since === undefined || decided === undefined || times.length < TURNS) continue;
    if (trace.who[did] !== trace.who[decided]) found.push({ decided, did, since });
  }
  return found.toSorted((x, y) => y.did - x.did);
}

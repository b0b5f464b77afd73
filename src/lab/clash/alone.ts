/** Failures that need no race: whatever the others do, one actor's own steps break the rule. What it decided on, and what it did then. */
import { effectKind, effectWord, EFFECT_ADD } from '../../machine/effects.js';
import type { Violation } from '../../oracle/violation.js';
import type { Experiments } from './experiments.js';
import { isLocking } from './pairs.js';
import { CHANGE, LOCK, LOCK_SHARED, LOOK, type RunTrace, UNLOCK } from './run-trace.js';

/** Two steps for one actor. */
export interface OwnSteps {
  readonly decided: number;
  readonly did: number;
}

/** Of a broken lock rule: where the lock was taken that must not be held, and the step that broke it. */
export function lockRule({ trace, breaches }: Experiments): OwnSteps | null {
  const { what = '', held, time = 0 } = (breaches[0] ?? {}) as Partial<Violation>;
  if (!/^LK\d/.test(what) || held === undefined || held.length === 0) return null;
  const did = Math.min(time, trace.actors.length) - 1;
  if (did < 0) return null;
  const words = new Set(held.map(({ lock }) => lock));
  for (let step = did - 1; step >= 0; step--) {
    const kind = trace.kinds[step];
    if (trace.who[step] !== trace.who[did] || (kind !== LOCK && kind !== LOCK_SHARED)) continue;
    if (words.has(effectWord(trace.effects[step] as number))) return { decided: step, did };
  }
  return null;
}

/** Steps in which what was looked at is still in mind. */
const NEAR = 12;

/** Changes that are tried, the latest first. */
const TRIES = 60;

/**
 * A change, and the look that found it: with what had been there before, and all else as it was, that look leads to a good end. The decision
 * was right for what it was taken on, and the earlier step had made that wrong.
 */
export function changedMind(experiments: Experiments): OwnSteps | null {
  const { trace } = experiments;
  const changes = new Map<number, number>();
  const found: OwnSteps[] = [];
  trace.effects.forEach((effect, step) => {
    const word = effectWord(effect);
    if (word === 0 || isLocking(experiments, step)) return;
    const last = changes.get(word);
    if (trace.kinds[step] === LOOK && trace.mmu[step] !== true && last !== undefined) {
      found.push({ decided: step, did: last });
    }
    if (trace.kinds[step] === CHANGE && trace.mmu[step] !== true) changes.set(word, step);
  });
  for (const { decided, did } of found.toReversed().slice(0, TRIES)) {
    if (experiments.budget <= 0) break;
    experiments.withValue(decided, trace.before[did] as number);
    if (experiments.result() === 'well') return { decided, did };
  }
  return null;
}

/**
 * A look of one actor and a later change of another's, in an order that no schedule turns round: had the look found what came later, the rule
 * would hold.
 */
export function toldBefore(experiments: Experiments): OwnSteps | null {
  const { trace } = experiments;
  const found: OwnSteps[] = [];
  const looks = new Map<number, number[]>();
  trace.effects.forEach((effect, step) => {
    const word = effectWord(effect);
    if (word === 0 || isLocking(experiments, step)) return;
    const before = looks.get(word) ?? [];
    looks.set(word, before);
    if (trace.kinds[step] === LOOK) before.push(step);
    if (trace.kinds[step] !== CHANGE) return;
    const decided = before.findLast((look) => trace.who[look] !== trace.who[step]);
    if (decided !== undefined) found.push({ decided, did: step });
  });
  for (const { decided, did } of found.toReversed().slice(0, TRIES)) {
    if (experiments.budget <= 0) break;
    experiments.withValue(decided, trace.after[did] as number);
    if (experiments.result() === 'well') return { decided, did };
  }
  return null;
}

/** A change without which the rule would hold, all else as it was, and what the last change before it was found broken was decided on. */
export function undone(experiments: Experiments): OwnSteps | null {
  const { trace } = experiments;
  const last = ownSteps(experiments);
  if (last === null) return null;
  let tries = TRIES;
  for (let step = last.did - 1; step >= 0 && tries > 0 && experiments.budget > 0; step--) {
    if (trace.kinds[step] !== CHANGE || trace.mmu[step] === true || isPlumbing(experiments, step)) continue;
    tries--;
    experiments.withValue(step, trace.before[step] as number, true);
    if (experiments.result() === 'well') return { decided: step, did: last.decided > step ? last.decided : last.did };
  }
  return null;
}

/**
 * The last change before the rule was found broken, by who broke it, and what that one had looked at before, or which lock it held then
 * that it had taken last. Of words about the page in question, if there are: about its place rather than its frame.
 */
export function ownSteps(experiments: Experiments): OwnSteps | null {
  const { trace } = experiments;
  const about = (of: readonly ('pfn' | 'gfn' | 'vpn')[]) => (step: number) =>
    experiments.isAbout(effectWord(trace.effects[step] as number), of);
  return (
    ownStepsAbout(experiments, about(['gfn', 'vpn'])) ??
    ownStepsAbout(experiments, about(['pfn'])) ??
    ownStepsAbout(experiments, null)
  );
}

function ownStepsAbout(experiments: Experiments, isAbout: ((step: number) => boolean) | null): OwnSteps | null {
  const { trace, breaches } = experiments;
  const { actor = -1, time = 0 } = breaches[0] ?? {};
  const last = time > 0 ? Math.min(time, trace.actors.length) - 1 : trace.actors.length - 1;
  const isOf = (step: number): boolean => actor < 0 || trace.who[step] === actor || trace.actors[step] === actor;
  for (let did = last; did >= 0; did--) {
    if (!isOf(did) || trace.kinds[did] !== CHANGE || trace.mmu[did] === true || isPlumbing(experiments, did)) continue;
    if (isAbout !== null && !isAbout(did)) continue;
    const decided = lookBefore(experiments, did, isAbout);
    if (decided >= 0) return { decided, did };
  }
  return null;
}

/** Words that order steps, and counts that nobody looks at. */
const isPlumbing = (experiments: Experiments, step: number): boolean =>
  isLocking(experiments, step) || effectKind(experiments.trace.effects[step] as number) === EFFECT_ADD;

/** Steps of one actor between two of its own. */
const between = ({ actors }: RunTrace, from: number, to: number): number =>
  actors.slice(from + 1, to).filter((actor) => actor === actors[to]).length;

/** The last look of the same operation before `did`, about the same if there is one; else the last lock that is still held there; -1: none. */
function lookBefore(experiments: Experiments, did: number, isAbout: ((step: number) => boolean) | null): number {
  const { trace } = experiments;
  const goal = effectWord(trace.effects[did] as number);
  const isOther = (step: number): boolean =>
    effectWord(trace.effects[step] as number) !== goal && !isPlumbing(experiments, step) && trace.mmu[step] !== true;
  const released = new Set<number>();
  let lock = -1;
  let look = -1;
  for (let step = did - 1; step >= 0; step--) {
    if (trace.who[step] !== trace.who[did] || trace.actors[step] !== trace.actors[did]) continue;
    if (trace.operations[step] !== trace.operations[did] && trace.actors[did] === trace.who[did]) break;
    if (trace.calls[step] !== trace.calls[did] && trace.actors[did] !== trace.who[did]) break;
    const kind = trace.kinds[step];
    const word = effectWord(trace.effects[step] as number);
    if (kind === UNLOCK) released.add(word);
    else if (kind === LOCK || kind === LOCK_SHARED) {
      if (!released.delete(word) && lock < 0) lock = step;
    } else if (kind === CHANGE && isAbout?.(step) === true && isOther(step)) {
      // what it found before that is no longer so: it has changed it itself
      return step;
    } else if (kind === LOOK && trace.mmu[step] !== true && !isLocking(experiments, step)) {
      if (isAbout?.(step) === true) return step;
      if (look < 0) look = step;
    }
  }
  // far from what was done, and a lock nearer by that is still held: what that protects was looked at last
  return look >= 0 && (lock < 0 || between(trace, look, did) <= NEAR) ? look : lock;
}

/** Whether what a step finds decides what its actor does next: the branch behind a look. */
import { effectWord } from '../../machine/effects.js';
import type { Experiments } from './experiments.js';
import { CHANGE, LOCK, LOOK, NOTHING, type RunTrace } from './run-trace.js';

/** A look decides nothing; it is the last thing that differs before the ways part; with what it finds, the ways part. */
export const NO = 0;
const PROBABLY = 1;
export const SURELY = 2;

/** How far behind a look its branch may lie, in steps of its actor. */
const NEAR = 12;
/** And how far behind a look whose value alone sends it another way. */
const FAR = 60;

/** The steps for an actor that touch something, in their order. */
function stepsFor({ who, effects, kinds }: RunTrace, actor: number): number[] {
  const own: number[] = [];
  who.forEach((each, step) => {
    if (each === actor && kinds[step] !== NOTHING && effectWord(effects[step] as number) !== 0) own.push(step);
  });
  return own;
}

/** How many of their steps, from the first one on, are the same. */
function sameSteps(one: RunTrace, own: readonly number[], other: RunTrace, others: readonly number[]): number {
  let same = 0;
  while (
    same < Math.min(own.length, others.length) &&
    one.effects[own[same] as number] === other.effects[others[same] as number]
  ) {
    same++;
  }
  return same;
}

/**
 * Whether the actor of `step` goes another way in `other`, the schedule with two steps turned round, because of what `step` finds there. Of a look
 * that is tried: with that value, and all else as it was, does it go another way? Under a lock, which protects what has no step of its own: nothing
 * that it looked at since differs.
 */
export function decides(experiments: Experiments, other: RunTrace, step: number): number {
  const { trace } = experiments;
  const kind = trace.kinds[step] as number;
  const actor = trace.who[step] as number;
  const own = stepsFor(trace, actor);
  const others = stepsFor(other, actor);
  const at = own.indexOf(step);
  const same = sameSteps(trace, own, other, others);
  // it never comes there, or goes the same way
  if (at < 0 || same <= at || (same === own.length && same === others.length)) return NO;
  const twin = others[at] as number;
  if (kind === LOOK || kind === CHANGE) {
    const value = other.before[twin] as number;
    if (value === trace.before[step]) return NO;
    if (kind === CHANGE) return same === at + 1 ? SURELY : NO;
    const poked = experiments.withValue(step, value);
    const way = stepsFor(poked, actor);
    const until = sameSteps(trace, own, poked, way);
    if (until > at && until <= at + FAR && (until < own.length || until < way.length)) return SURELY;
    return isLastDifference(trace, other, own, others, at, same) ? PROBABLY : NO;
  }
  return kind >= LOCK && isLastDifference(trace, other, own, others, at, same) ? SURELY : NO;
}

/** Whether no look between a step and where the ways part has found anything else. */
function isLastDifference(
  trace: RunTrace,
  other: RunTrace,
  own: readonly number[],
  others: readonly number[],
  at: number,
  same: number,
): boolean {
  if (same > at + NEAR) return false;
  for (let i = at + 1; i < same; i++) {
    const [mine, its] = [own[i] as number, others[i] as number];
    if (trace.kinds[mine] === LOOK && trace.before[mine] !== other.before[its]) return false;
  }
  return true;
}

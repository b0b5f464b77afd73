/**
 * Whom a server of hypercalls works for, at each of its steps: what it does is done by the one who called, as far as a race is concerned.
 * A server begins with a request slot that is taken; the slot's CPU is the caller.
 */
import type { Step } from './recorder.js';

/** Whose step it is: the caller's, of a server's steps. */
export type Whose = (step: Step) => number;

/** For steps in order. */
export function served(steps: readonly Step[]): Whose {
  const serving = new Map<number, number>();
  const callers = new Map<number, number>();
  for (const { of, actor, after, time } of steps) {
    if (of?.kind === 'request' && of.index !== actor && after !== 0) serving.set(actor, of.index);
    const caller = serving.get(actor);
    if (caller !== undefined) callers.set(time, caller);
  }
  return ({ time, actor }) => callers.get(time) ?? actor;
}

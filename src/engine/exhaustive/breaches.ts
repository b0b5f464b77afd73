/**
 * Which of the rules that an execution has broken some schedule of it breaks first: those before whose step, by the order that the
 * execution gives, no other was broken. Steps that do not depend on each other come in one order in the schedule that ran, and
 * in the other in one that is left out as the same.
 */
import type { Trace } from './trace.js';

/** A rule broken before all others. */
export interface FirstBreach {
  /** Its place among the breaches of the schedule that ran (OneThread.breaches). */
  readonly index: number;
  /** A schedule that breaks it first: who runs in each step up to there. */
  readonly choices: Uint8Array;
}

/** Steps of the schedule under way: who has done each, and by event the step (from 0) that was it. */
interface StepsDone {
  readonly trace: Trace;
  readonly choices: Uint8Array;
  readonly steps: ArrayLike<number>;
}

/** @param breachSteps the step (from 1) of each breach, ascending; 0 = before the first */
export function firstBreaches(done: StepsDone, breachSteps: readonly number[]): FirstBreach[] {
  const found: FirstBreach[] = [];
  breachSteps.forEach((step, index) => {
    if (breachSteps.some((other, i) => i < index && isBefore(done, other, step))) return;
    found.push({ index, choices: index === 0 ? done.choices.slice(0, step) : pastOf(done, step) });
  });
  return found;
}

/** Whether step `one` comes before the later (or same) step `other` in all schedules of the execution. */
function isBefore(done: StepsDone, one: number, other: number): boolean {
  const { trace, choices } = done;
  const actor = choices[one - 1] as number;
  if (one === other || one === 0 || actor === choices[other - 1]) return true;
  const next = eventFrom(done, one, actor);
  const last = eventTo(done, other);
  return next >= 0 && last >= 0 && trace.isBefore(next, last);
}

/** The first event of `actor` at or after step `step`; a step that is no event comes only before its actor's next one. */
function eventFrom({ trace, steps }: StepsDone, step: number, actor: number): number {
  for (let event = 0; event < trace.length; event++) {
    if ((steps[event] as number) >= step - 1 && trace.actor[event] === actor) return event;
  }
  return -1;
}

/** The last event at or before step `step` of the actor that does it. */
function eventTo({ trace, choices, steps }: StepsDone, step: number): number {
  const actor = choices[step - 1] as number;
  for (let event = trace.length - 1; event >= 0; event--) {
    if ((steps[event] as number) < step && trace.actor[event] === actor) return event;
  }
  return -1;
}

/** The steps that come before step `step`, and itself. */
function pastOf(done: StepsDone, step: number): Uint8Array {
  const { trace, choices, steps } = done;
  const last = eventTo(done, step);
  const own = choices[step - 1] as number;
  /** By actor: how many of the schedule's steps, as far as they are its own, are of the past. */
  const until = Array.from({ length: trace.actors }, (_, actor) => {
    if (actor === own) return step;
    const events = last < 0 ? 0 : trace.clock(last, actor);
    return events === 0 ? 0 : (steps[events - 1] as number) + 1;
  });
  return choices.slice(0, step).filter((actor, at) => at < (until[actor] as number));
}

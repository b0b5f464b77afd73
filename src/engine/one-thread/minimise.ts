/**
 * Makes a schedule that breaks a rule easier to read: fewer context switches, and no steps that are not needed, as long as
 * the same rule breaks. After Zeller and Hildebrandt (Simplifying and isolating failure-inducing input, IEEE TSE 28(2),
 * 2002), over runs of steps instead of characters.
 *
 * First the *causal slice*: only the steps that happened before the violation. Then two moves, tried until neither helps or the budget
 * is used up: *leave out* some consecutive runs, halves first, single runs
 * last; *join* a run with the next one of its actor, by moving it there or that one here. A candidate is only a wish (see
 * GuidedScript): what counts is the schedule that it leads to.
 */
import { END_DEADLOCK, type OneThread } from './one-thread.js';
import { HappensBefore, type StepTrace, traceSteps } from './races.js';
import { type Run, fromRuns, toRuns } from './schedule-file.js';
import { GuidedScript } from '../strategies/script.js';

interface MinimiseBudget {
  /** Schedules tried at most. */
  readonly triesMax: number;
  /** Steps run at most, in all tries together. */
  readonly stepsMax: number;
}

const MINIMISE_BUDGET: MinimiseBudget = { triesMax: 2000, stepsMax: 3_000_000 };

/** Searches for smaller schedules with the same end. */
class Minimiser {
  readonly #thread: OneThread;
  readonly #variation: number;
  readonly #end: string;
  readonly #script = new GuidedScript();
  /** The schedule reached the step limit. */
  readonly #isCut: boolean;
  #tries: number;
  #steps: number;
  best: Run[];

  constructor(thread: OneThread, variation: number, choices: Uint8Array, end: string, budget: MinimiseBudget) {
    this.#thread = thread;
    this.#variation = variation;
    this.#end = end;
    this.#tries = budget.triesMax;
    this.#steps = budget.stepsMax;
    this.best = toRuns(choices);
    this.#isCut = choices.length === thread.stepsMax;
  }

  get spent(): boolean {
    return this.#tries <= 0 || this.#steps <= 0;
  }

  /** Takes what `wish` leads to for the best, when it has the same end and is smaller. */
  attempt(wish: readonly Run[]): boolean {
    if (this.spent) return false;
    const thread = this.#thread;
    const choices = fromRuns(wish);
    this.#script.load(choices, choices.length).begin();
    thread.run(this.#script, this.#variation);
    this.#tries--;
    this.#steps -= thread.steps + 1;
    if (thread.endText !== this.#end) return false;
    // broken in the fair phase behind the step limit, whose steps no record holds: fewer switches, and nothing to see
    if (thread.steps === thread.stepsMax && !this.#isCut) return false;
    const runs = toRuns(thread.choices, thread.steps);
    if (!smaller(runs, this.best)) return false;
    this.best = runs;
    return true;
  }
}

const stepsOf = (runs: readonly Run[]): number => runs.reduce((sum, run) => sum + run.steps, 0);

/** Fewer switches; of schedules with equally many, fewer steps. */
function smaller(runs: readonly Run[], than: readonly Run[]): boolean {
  return runs.length < than.length || (runs.length === than.length && stepsOf(runs) < stepsOf(than));
}

/** Leaves out runs: first long stretches of them, then single ones. */
function leaveOut(search: Minimiser): boolean {
  let helped = false;
  for (let size = search.best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < search.best.length && !search.spent;) {
      const { best } = search;
      if (search.attempt([...best.slice(0, at), ...best.slice(at + size)])) helped = true;
      else at += size;
    }
  }
  return helped;
}

/** Leaves out whatever did not happen before the steps that the schedule ends with. */
function slice(search: Minimiser, thread: OneThread, variation: number): void {
  const choices = fromRuns(search.best);
  const trace = traceSteps(thread, variation, choices);
  const lasts = endingSteps(thread, trace);
  if (lasts.length === 0) return;
  const order = new HappensBefore(trace, thread.program.actors.length);
  search.attempt(toRuns(choices.filter((_, step) => lasts.some((last) => order.before(step, last)))));
}

/** The step that broke the rule; of a deadlock the last ones of those who wait. Of rules broken in the final state, none. */
function endingSteps(thread: OneThread, { actors }: StepTrace): number[] {
  if (thread.end === END_DEADLOCK) {
    return thread.waiting().flatMap(({ actor }) => {
      const last = actors.lastIndexOf(actor);
      return last < 0 ? [] : [last];
    });
  }
  return thread.program.alarm.violations.length > 0 ? [actors.length - 1] : [];
}

/** Joins runs of one actor that others stand between. */
function join(search: Minimiser): boolean {
  let helped = false;
  for (let at = 0; at < search.best.length && !search.spent;) {
    const { best } = search;
    const run = best[at] as Run;
    const next = best.findIndex((other, index) => index > at && other.actor === run.actor);
    if (next < 0) {
      at++;
      continue;
    }
    const between = best.slice(at + 1, next);
    const both = { actor: run.actor, steps: run.steps + (best[next] as Run).steps };
    const earlier = best.slice(0, at);
    const later = best.slice(next + 1);
    if (search.attempt([...earlier, both, ...between, ...later])) helped = true;
    else if (search.attempt([...earlier, ...between, both, ...later])) helped = true;
    else at++;
  }
  return helped;
}

/**
 * The smallest schedule found; `choices` itself when nothing smaller was. Deterministic: the budget is counted, not timed.
 * @param thread runs the tries; what it holds of the last schedule is lost
 * @param end what the schedule comes to (`thread.endText`)
 */
export function minimise(
  thread: OneThread,
  variation: number,
  choices: Uint8Array,
  end: string,
  budget: MinimiseBudget = MINIMISE_BUDGET,
): Uint8Array {
  const search = new Minimiser(thread, variation, choices, end, budget);
  slice(search, thread, variation);
  while (!search.spent) {
    const left = leaveOut(search);
    const joined = join(search);
    if (!left && !joined) break;
  }
  return fromRuns(search.best);
}

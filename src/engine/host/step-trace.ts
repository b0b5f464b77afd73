/**
 * Where in the simulated kernel a coroutine stands: the functions from its schedule point outwards. Generators cannot be asked,
 * but at each point a coroutine counts `ctx.quantum` down; while an actor is stepped that is an accessor, which looks at the
 * JavaScript stack. The actor's Context is a slower object from its first step on; it gets a new one when step mode ends.
 */
import type { Context } from '../../machine/context.js';
import { FIRST_IDLE } from '../../machine/effects.js';

/** Levels of the JavaScript stack, two for each function; kernel code is fifteen deep. */
const DEPTH_MAX = 48;

export class StepTrace {
  #quantum: number;
  #at: { stack?: string } = {};

  constructor(ctx: Context) {
    this.#quantum = ctx.quantum;
    Object.defineProperty(ctx, 'quantum', {
      get: () => {
        const depth = Error.stackTraceLimit;
        Error.stackTraceLimit = DEPTH_MAX;
        this.#at = {};
        Error.captureStackTrace(this.#at);
        Error.stackTraceLimit = depth;
        return this.#quantum;
      },
      set: (quantum: number) => {
        this.#quantum = quantum;
      },
      configurable: true,
      enumerable: true,
    });
  }

  /**
   * The functions of the last point passed, innermost first, the actor's loop last.
   * @param kind the kind of effect that it stands before: at an idle point it stands in its loop
   */
  stack(kind: number): string[] {
    const names: string[] = [];
    for (const line of (this.#at.stack ?? '').split('\n')) {
      // "at zapPteRange.next (<anonymous>)" stands beside "at zapPteRange (file)"
      const name = /^ *at (?:Object\.)?(?:\w+\.)?([\w$]+)(?: \[as [\w.]+\])? \(/.exec(line)?.[1];
      if (name === undefined || name === 'next' || name === 'get') continue;
      if (name === 'resumeApart' || name === 'stepOnce') break;
      if (!name.startsWith('#')) names.push(name);
    }
    return kind >= FIRST_IDLE ? names.slice(-1) : names;
  }
}

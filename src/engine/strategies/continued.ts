/**
 * A recorded schedule as far as it fits, and then another strategy: for records of a program that has changed since, or of a search
 * that stopped early. The same record and the same strategy's seed continue in the same way.
 */
import type { ScheduleView, Strategy } from './strategy.js';
import { ExactScript } from './script.js';

export class ContinuedScript implements Strategy {
  readonly name = 'replay';
  readonly exhausted = false;
  readonly exact = new ExactScript();
  /** Steps that followed the record. */
  matched = 0;
  /** The actor that was recorded for the step where it stopped fitting; -1 = the record was at its end. */
  wanted = -1;
  /** The record did not fit, or ended before the program did. */
  left = false;
  readonly #then: Strategy;

  /** @param then goes on after the record */
  constructor(choices: Uint8Array, then: Strategy) {
    this.exact.load(choices, choices.length);
    this.#then = then;
  }

  begin(schedule: number, actors: number): boolean {
    this.exact.begin();
    this.matched = 0;
    this.left = false;
    return this.#then.begin(schedule, actors);
  }

  pick(view: ScheduleView): number {
    if (!this.left) {
      const actor = this.exact.pick(view);
      if (actor >= 0) {
        this.matched++;
        return actor;
      }
      this.wanted = this.exact.wanted;
      this.left = true;
    }
    return this.#then.pick(view);
  }

  end(steps: number): void {
    this.#then.end(steps);
  }

  guarantee(): string {
    return '';
  }
}

/** The undeclared accesses of a thread's schedules, each once: a violation of its own, which ends no schedule. */
import { keyOf } from '../../machine/words/access-order.js';
import { watch } from '../../machine/words/words-ordered.js';
import type { Program } from './program.js';
import type { Violation } from '../../oracle/violation.js';

/** An access that nothing has ordered, and the first schedule that has it. */
export interface Undeclared {
  readonly breach: Violation;
  readonly choices: Uint8Array;
  readonly variation: number;
  /** How the schedule ended. */
  readonly end: string;
}

/** A schedule that has ended. */
interface Ended {
  readonly choices: Uint8Array;
  readonly steps: number;
  readonly outcomeText: string;
}

export class UndeclaredLog {
  /** Those since {@link forget}. */
  readonly list: Undeclared[] = [];
  readonly #program: Program;
  readonly #told = new Set<number>();

  constructor(program: Program) {
    this.#program = program;
  }

  /** A schedule begins, on a program that was reset. */
  begin(): void {
    const { order } = this.#program;
    if (order === undefined) return;
    order.begin();
    watch(order);
  }

  /** Its steps are over. */
  end(): void {
    const { order } = this.#program;
    if (order === undefined) return;
    order.end();
    watch(null);
  }

  /** Puts what it has shown into words. */
  tell(ended: Ended, variation: number): void {
    const { order } = this.#program;
    if (order === undefined || order.found.length === 0) return;
    const choices = ended.choices.slice(0, ended.steps);
    for (const found of order.found) {
      const key = keyOf(found);
      if (this.#told.has(key)) continue;
      this.#told.add(key);
      const breach = this.#program.undeclared?.(found, choices, variation);
      if (breach !== undefined) this.list.push({ breach, choices, variation, end: ended.outcomeText });
    }
  }

  /** What comes from now on is told of again. */
  forget(): void {
    this.list.length = 0;
    this.#told.clear();
  }
}

/**
 * A walk through a recorded schedule, forwards and backwards: the state after any of its steps. A step back is the schedule again
 * from its start, one step shorter.
 */
import { OneThread } from '../engine/one-thread.js';
import { effectText } from '../engine/recheck.js';
import type { Schedule } from '../engine/schedule-file.js';
import { ExactScript } from '../engine/strategies/script.js';
import { Positions } from '../engine/where.js';
import { actorLines, machineLines } from './state-text.js';
import type { Subject } from './subject.js';

export class Stepper {
  readonly thread: OneThread;
  /** Steps of the record. */
  readonly steps: number;
  /** Steps done in the state shown. */
  at = 0;
  readonly #schedule: Schedule;
  readonly #script = new ExactScript();
  readonly #positions = new Positions();

  constructor(schedule: Schedule, subject: Subject) {
    this.#schedule = schedule;
    this.steps = schedule.choices.length;
    this.thread = new OneThread(subject.create(), Math.max(schedule.stepsMax, this.steps));
    this.goTo(0);
  }

  close(): void {
    this.#positions.close();
  }

  /** To the state after `step` steps: 0 to `steps`, or as far as the record fits. */
  goTo(step: number): void {
    const { choices, variation } = this.#schedule;
    const wanted = Math.max(0, Math.min(this.steps, step));
    this.#script.load(choices, wanted).begin();
    this.thread.run(this.#script, variation);
    this.at = this.thread.steps;
  }

  /** To the next step of another actor, or the end: one context switch further. */
  nextSwitch(): void {
    const { choices } = this.#schedule;
    const actor = choices[this.at];
    let to = this.at;
    while (to < this.steps && choices[to] === actor) to++;
    this.goTo(to);
  }

  /** What the state is now, in lines. */
  describe(): string[] {
    const { thread, at } = this;
    const actor = this.#schedule.choices[at];
    const next =
      actor === undefined || at >= this.steps
        ? `the record ends here: ${this.#schedule.end}`
        : `next is ${thread.program.actors[actor]}: ${effectText(thread, thread.view.pending[actor] as number)}`;
    return [
      `step ${at} of ${this.steps}; ${next}`,
      'actors',
      ...actorLines(thread, this.#positions),
      'memory',
      ...machineLines(thread),
    ];
  }
}

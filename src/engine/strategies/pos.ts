/**
 * Partial order sampling (Yuan, Yang, Gu: Partial Order Aware Concurrency Sampling, CAV 2018).
 *
 * Every pending step has a random priority, and the highest that can run runs. When it has run, the pending steps that race
 * with it draw theirs anew, and so does the actor that ran, for its next step. Orders of steps that do not race are not chosen
 * between, so each partial order gets a share that does not shrink with the number of its linearisations.
 *
 * Departure: the paper's programs end whatever the order. Ours poll and retry, and a step of low priority would wait for
 * as long as that goes on, so all priorities are drawn anew every REDRAW_EVERY steps.
 */
import { Prng } from './prng.js';
import { races } from './races.js';
import type { ScheduleView, Strategy, StrategyKind } from './strategy.js';

/** Longer than most schedules. */
const REDRAW_EVERY = 2000;

class PosStrategy implements Strategy {
  readonly name = 'pos';
  readonly exhausted = false;
  readonly #seed: number;
  readonly #prng = new Prng();
  /** By actor: that of the step it stands before. */
  readonly #priority = new Int32Array(256);
  #redrawAt = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  begin(schedule: number): boolean {
    this.#prng.seed(this.#seed, schedule);
    this.#redrawAt = 0;
    return true;
  }

  pick(view: ScheduleView): number {
    const prng = this.#prng;
    const priority = this.#priority;
    const { enabled, pending, actors } = view;
    if (view.step >= this.#redrawAt) {
      for (let actor = 0; actor < actors; actor++) priority[actor] = prng.priority();
      this.#redrawAt = view.step + REDRAW_EVERY;
    }
    let best = enabled[0] as number;
    let high = priority[best] as number;
    for (let i = 1, count = view.enabledCount; i < count; i++) {
      const actor = enabled[i] as number;
      const its = priority[actor] as number;
      if (its > high) {
        high = its;
        best = actor;
      }
    }
    const effect = pending[best] as number;
    for (let actor = 0; actor < actors; actor++) {
      if (actor === best || races(effect, pending[actor] as number)) priority[actor] = prng.priority();
    }
    return best;
  }

  end(): void {}

  guarantee(): string {
    return '';
  }
}

export const pos: StrategyKind = {
  name: 'pos',
  title: 'random priorities of steps, drawn anew where they race: samples partial orders',
  create: ({ seed }) => new PosStrategy(seed),
};

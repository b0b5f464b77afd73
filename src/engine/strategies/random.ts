/**
 * Random walk: at each step any actor that can run, all with the same chance. The plainest strategy, and hard to beat on
 * programs with few steps. What others are measured against (Thomson, Donaldson, Betts: Concurrency testing using
 * controlled schedulers, ACM TOPC 2(4), 2016).
 */
import { Prng } from './prng.js';
import type { ScheduleView, Strategy, StrategyKind } from './strategy.js';

class RandomStrategy implements Strategy {
  readonly name = 'random';
  readonly exhausted = false;
  readonly #seed: number;
  readonly #prng = new Prng();

  constructor(seed: number) {
    this.#seed = seed;
  }

  begin(schedule: number): boolean {
    this.#prng.seed(this.#seed, schedule);
    return true;
  }

  pick(view: ScheduleView): number {
    const count = view.enabledCount;
    return view.enabled[count === 1 ? 0 : this.#prng.below(count)] as number;
  }

  end(): void {}

  guarantee(): string {
    return '';
  }
}

export const random: StrategyKind = {
  name: 'random',
  title: 'at each step any actor that can run, all with the same chance',
  create: ({ seed }) => new RandomStrategy(seed),
};

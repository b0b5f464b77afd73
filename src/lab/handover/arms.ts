/**
 * Which test is searched next, by which strategy: each has its turns, larger ones each time. What a test has cost so far is weighed
 * against what it promises: one that has broken another rule, or still shows behaviour that is new, comes sooner.
 */
import type { Variant } from './variants.js';

/** One search of a test. */
export interface Turn {
  /** As `explore --strategy`. */
  readonly strategy: string;
  /** Of a strategy that has one; undefined: the default. */
  readonly depth: number | undefined;
  /** At most. */
  readonly schedules: number;
}

export const EXHAUSTIVE = 'exhaustive';
const FIRST_SCHEDULES = 500;
const FACTOR = 8;
const SCHEDULES_MAX = 64_000;
/** A mixture first, then a proof where the test is small enough, then each strategy by itself. */
const TURNS: readonly (readonly [strategy: string, depth?: number])[] = [
  ['portfolio'],
  [EXHAUSTIVE],
  ['portfolio', 4],
  ['pct', 2],
  ['surw'],
  ['pct', 5],
  ['pos'],
  ['random'],
];

/** What a turn came to. */
interface Gain {
  /** CPU seconds. */
  readonly spent: number;
  /** Another rule than the one looked for was broken. */
  readonly other: boolean;
  /** Behaviours that were new, by thousand schedules at the end. */
  readonly newPerThousand: number;
}

/** A test with what it has cost. */
export class Arm {
  readonly variant: Variant;
  #turns = 0;
  #spent = 0;
  #promise = 1;

  constructor(variant: Variant) {
    this.variant = variant;
  }

  /** Its next turn. */
  turn(): Turn {
    const [strategy, depth] = TURNS[this.#turns % TURNS.length] as (typeof TURNS)[number];
    const schedules = Math.min(SCHEDULES_MAX, FIRST_SCHEDULES * FACTOR ** this.#turns);
    this.#turns++;
    return { strategy, depth, schedules };
  }

  note({ spent, other, newPerThousand }: Gain): void {
    this.#spent += spent;
    this.#promise = 1 + (other ? 1 : 0) + Math.min(1, newPerThousand / 100);
  }

  /** The least comes first. */
  get price(): number {
    return this.#spent / this.#promise;
  }
}

/** The tests that are left. */
export class Arms {
  readonly #open = new Set<Arm>();

  stays(arm: Arm, gain: Gain): void {
    arm.note(gain);
    this.#open.add(arm);
  }

  leave(arm: Arm): void {
    this.#open.delete(arm);
  }

  /** The one that has cost least for what it promises; null: none is left. */
  next(): Arm | null {
    let best: Arm | null = null;
    for (const arm of this.#open) if (best === null || arm.price < best.price) best = arm;
    return best;
  }
}

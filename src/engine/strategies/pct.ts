/**
 * Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic
 * Guarantees of Finding Bugs, ASPLOS 2010).
 *
 * Actors get random priorities, the highest that can run runs. At d - 1 steps drawn at random from the k of a schedule,
 * the actor that would run falls below all others. A bug of depth d among n actors is found by one schedule with a chance of
 * at least 1 / (n k^(d-1)).
 *
 * Departures: k is that of the profile's longest schedule and a quarter more (without a profile, the longest schedule so far); a
 * bug that needs a change later than that is outside of the bound. As most schedules are shorter and would see fewer changes,
 * every second one takes the mean length instead, and the bound counts the others only. The paper's programs do not
 * spin; ours have retry loops and daemons that poll, which at the highest priority would run for ever. So an actor at a
 * LOCAL point (the top of a retry loop) or between two operations falls to the lowest priority in one case of two, and one that
 * has run BURST_MAX steps in a row always. The bound is that of schedules in which this does not matter.
 */
import { EFFECT_LOCAL, EFFECT_RETRY, IDLE_SLEEP } from '../../machine/effects.js';
import { Prng } from './prng.js';
import type { ScheduleView, Strategy, StrategyKind, StrategyOptions } from './strategy.js';

const BURST_MAX = 1000;
/** Schedules of other orders may be longer than those of the profile. */
const HEADROOM = 1.25;

class PctStrategy implements Strategy {
  readonly name = 'pct';
  readonly exhausted = false;
  readonly #seed: number;
  readonly #depth: number;
  readonly #prng = new Prng();
  /** By actor; all values are distinct. Initial ones are at least the depth, change points give depth - 1 down to 1. */
  readonly #priority = new Int32Array(256);
  /** The steps before which a change happens, ascending; length is depth - 1. */
  readonly #changes: Int32Array;
  #nextChange = 0;
  #changeAt = 0;
  /** Below every priority given so far. */
  #lowest = 0;
  #burst = 0;
  #actors = 1;
  /** k, and the mean length. */
  #longest = 1;
  #mean = 0;
  /** Without a profile: what its own schedules have come to. */
  readonly #learns: boolean;
  #stepsSum = 0;
  #schedules = 0;

  constructor({ seed, depth, profile }: StrategyOptions) {
    this.#seed = seed;
    this.#depth = depth;
    this.#changes = new Int32Array(depth - 1);
    this.#learns = profile === undefined;
    if (profile === undefined) return;
    this.#actors = profile.actors;
    this.#longest = Math.ceil(profile.longest * HEADROOM);
    this.#mean = profile.mean;
  }

  begin(schedule: number, actors: number): boolean {
    const prng = this.#prng;
    const priority = this.#priority;
    prng.seed(this.#seed, schedule);
    this.#actors = actors;
    for (let actor = 0; actor < actors; actor++) {
      const other = prng.below(actor + 1);
      priority[actor] = priority[other] as number;
      priority[other] = this.#depth + actor;
    }
    const changes = this.#changes;
    const steps = schedule % 2 === 1 && this.#mean > 0 ? this.#mean : this.#longest;
    for (let i = 0; i < changes.length; i++) {
      const at = prng.belowLarge(steps);
      let place = i;
      while (place > 0 && (changes[place - 1] as number) > at) {
        changes[place] = changes[place - 1] as number;
        place--;
      }
      changes[place] = at;
    }
    this.#nextChange = 0;
    this.#changeAt = changes.length === 0 ? -1 : (changes[0] as number);
    this.#lowest = 0;
    this.#burst = 0;
    return true;
  }

  pick(view: ScheduleView): number {
    let best = this.#highest(view);
    while (view.step === this.#changeAt) {
      const next = ++this.#nextChange;
      this.#priority[best] = this.#depth - next;
      this.#changeAt = next < this.#changes.length ? (this.#changes[next] as number) : -1;
      best = this.#highest(view);
    }
    this.#burst = best === view.last ? this.#burst + 1 : 0;
    const kind = (view.pending[best] as number) & 15;
    const turn = kind === EFFECT_LOCAL || kind === EFFECT_RETRY || kind >= IDLE_SLEEP;
    const gives = turn ? this.#prng.below(2) === 0 : this.#burst > BURST_MAX;
    if (!gives) return best;
    this.#priority[best] = --this.#lowest;
    this.#burst = 0;
    return this.#highest(view);
  }

  end(steps: number): void {
    if (!this.#learns) return;
    if (steps > this.#longest) this.#longest = steps;
    this.#stepsSum += steps;
    this.#schedules++;
    this.#mean = Math.ceil(this.#stepsSum / this.#schedules);
  }

  guarantee(schedules: number): string {
    const d = this.#depth;
    const n = this.#actors;
    const k = this.#longest;
    const counted = d === 1 ? schedules : Math.ceil(schedules / 2);
    const found = 1 / (n * k ** (d - 1));
    const missed = Math.exp(counted * Math.log1p(-Math.min(found, 1 - 1e-12)));
    return (
      `a bug of depth d = ${d} within k = ${k} steps of n = ${n} actors was missed with probability at most ` +
      `(1 - 1/(n k^(d-1)))^N = ${missed.toPrecision(3)}, N = ${counted} schedules`
    );
  }

  #highest(view: ScheduleView): number {
    const { enabled } = view;
    const priority = this.#priority;
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
    return best;
  }
}

export const pct: StrategyKind = {
  name: 'pct',
  title: 'random priorities with depth - 1 changes: finds bugs of that depth with a known chance',
  profiles: true,
  deep: true,
  create: (options) => new PctStrategy(options),
};

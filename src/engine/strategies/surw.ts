/**
 * Selectively uniform random walk (Zhao, Wolff, Mathur, Roychoudhury: Selectively Uniform Concurrency Testing, ASPLOS 2025).
 *
 * A walk that picks each actor with a chance in proportion to the steps it has left comes to every interleaving equally often;
 * the counts are those of the profile. Narrow windows are missed all the same when most steps do not matter, so a schedule
 * makes a choice of *interesting* steps and is uniform over their orders: an actor is drawn, by its interesting steps left,
 * to do the next of them; the others go on at random up to their own next one, and wait there until it has.
 *
 * What is interesting changes from schedule to schedule: all steps (the paper's URW), all steps on contended words, those on one
 * contended word (every second schedule).
 *
 * Departures: our counts are means, so an actor with more steps than that keeps a weight of 1; and an actor that was drawn and
 * does not get there (it waits for a held-back one, or polls) is drawn again after PATIENCE steps.
 */
import { Prng } from './prng.js';
import { ProfilingWalk } from './profile.js';
import type { Profile, ScheduleView, Strategy, StrategyKind, StrategyOptions } from './strategy.js';
import { isAccess } from './races.js';

const PATIENCE = 64;
/** Without a profile: as many random walks first. */
const LEARNS = 8;

class SurwStrategy implements Strategy {
  readonly name = 'surw';
  readonly exhausted = false;
  readonly #seed: number;
  readonly #prng = new Prng();
  #profile: Profile | null;
  readonly #walk: ProfilingWalk;
  #learned = 0;
  #learning = false;
  /** By word: whether its accesses are interesting in this schedule. Not used where all steps are. */
  #interesting: Uint8Array = new Uint8Array(0);
  #all = false;
  /** By actor: interesting steps left. */
  readonly #left = new Int32Array(256);
  /** Who does the next interesting step; -1 = to be drawn. */
  #drawn = -1;
  #drawnAt = 0;
  /** Enabled actors that may go: the drawn one, and those whose next step is not interesting. */
  readonly #free = new Uint8Array(256);

  constructor({ seed, profile }: StrategyOptions) {
    this.#seed = seed;
    this.#profile = profile ?? null;
    this.#walk = new ProfilingWalk(seed);
    if (profile !== undefined) this.#interesting = wordFlags(profile);
  }

  begin(schedule: number, actors: number): boolean {
    this.#learning = this.#profile === null;
    if (this.#learning) return this.#walk.begin(schedule, actors);
    this.#prng.seed(this.#seed, schedule);
    this.#select(this.#profile as Profile, schedule, actors);
    this.#drawn = -1;
    return true;
  }

  pick(view: ScheduleView): number {
    if (this.#learning) return this.#walk.pick(view);
    const { enabled, pending } = view;
    const count = view.enabledCount;
    if (count === 1) return this.#took(enabled[0] as number, pending);
    if (this.#drawn >= 0 && view.step - this.#drawnAt > PATIENCE) this.#drawn = -1;
    if (this.#drawn < 0) this.#draw(view);
    const free = this.#free;
    let frees = 0;
    for (let i = 0; i < count; i++) {
      const actor = enabled[i] as number;
      if (actor === this.#drawn || !this.#isInteresting(pending[actor] as number)) free[frees++] = actor;
    }
    if (frees > 0) return this.#took(free[frees === 1 ? 0 : this.#prng.below(frees)] as number, pending);
    // all that can run are held back, for one that cannot
    this.#draw(view);
    return this.#took(this.#drawn, pending);
  }

  end(steps: number): void {
    if (!this.#learning) return;
    this.#walk.end(steps);
    if (++this.#learned < LEARNS) return;
    this.#profile = this.#walk.profile();
    this.#interesting = wordFlags(this.#profile);
  }

  guarantee(): string {
    return '';
  }

  #isInteresting(effect: number): boolean {
    return this.#all || (isAccess(effect) && this.#interesting[effect >>> 4] === 1);
  }

  /** `actor` runs: an interesting step is one less, and the next one's actor is to be drawn. */
  #took(actor: number, pending: Int32Array): number {
    if (this.#isInteresting(pending[actor] as number)) {
      if ((this.#left[actor] as number) > 1) this.#left[actor] = (this.#left[actor] as number) - 1;
      this.#drawn = -1;
    }
    return actor;
  }

  /** Draws one of those that can run, by what they have left. */
  #draw(view: ScheduleView): void {
    const { enabled } = view;
    const left = this.#left;
    let sum = 0;
    for (let i = 0; i < view.enabledCount; i++) sum += left[enabled[i] as number] as number;
    let at = sum <= 65_536 ? this.#prng.below(sum) : this.#prng.belowLarge(sum);
    let i = 0;
    while (at >= (left[enabled[i] as number] as number)) at -= left[enabled[i++] as number] as number;
    this.#drawn = enabled[i] as number;
    this.#drawnAt = view.step;
  }

  /** What is interesting in this schedule, and how much of it each actor has. */
  #select({ words, accesses, steps }: Profile, schedule: number, actors: number): void {
    const left = this.#left;
    const flags = this.#interesting;
    const kind = words.length === 0 ? 0 : schedule & 3;
    this.#all = kind === 0;
    if (kind === 0) {
      for (let actor = 0; actor < actors; actor++) left[actor] = Math.max(1, steps[actor] as number);
      return;
    }
    const one = kind === 1 ? -1 : this.#prng.below(words.length);
    for (let actor = 0; actor < actors; actor++) left[actor] = 0;
    for (let row = 0; row < words.length; row++) {
      const chosen = one < 0 || one === row;
      flags[words[row] as number] = chosen ? 1 : 0;
      if (!chosen) continue;
      for (let actor = 0; actor < actors; actor++) {
        left[actor] = (left[actor] as number) + (accesses[row * actors + actor] as number);
      }
    }
    for (let actor = 0; actor < actors; actor++) if (left[actor] === 0) left[actor] = 1;
  }
}

/** Room for a flag for each of the profile's words. */
const wordFlags = ({ words }: Profile): Uint8Array => new Uint8Array((words.at(-1) ?? 0) + 1);

export const surw: StrategyKind = {
  name: 'surw',
  title: 'uniform over the orders of the steps that matter: those on a contended word, or several',
  profiles: true,
  create: (options) => new SurwStrategy(options),
};

/**
 * What first runs show of a program: how long its schedules are, and which words its actors contend for, how often each.
 * PCT and SURW draw from it. Runs under {@link ProfilingWalk}, a random walk that takes notes.
 */
import type { Profile, ScheduleView, Strategy } from './strategy.js';
import { isAccess, isChange } from './races.js';
import { Prng } from './prng.js';

/** Words beyond this many are left out, the least contended first: the profile crosses to workers. */
const WORDS_MAX = 4096;

interface WordRow {
  readonly word: number;
  /** By actor. */
  readonly accesses: Int32Array;
  changed: boolean;
}

const total = (row: WordRow): number => row.accesses.reduce((sum, each) => sum + each, 0);

/** A random walk that takes notes. */
export class ProfilingWalk implements Strategy {
  readonly name = 'profile';
  readonly exhausted = false;
  readonly #seed: number;
  readonly #prng = new Prng();
  readonly #rows = new Map<number, WordRow>();
  #steps = new Int32Array(0);
  #actors = 0;
  #schedules = 0;
  #longest = 0;
  #sum = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  begin(schedule: number, actors: number): boolean {
    if (this.#actors !== actors) this.#steps = new Int32Array(actors);
    this.#actors = actors;
    this.#prng.seed(this.#seed, schedule);
    return true;
  }

  pick(view: ScheduleView): number {
    const actor = view.enabled[this.#prng.below(view.enabledCount)] as number;
    this.note(actor, view.pending[actor] as number);
    return actor;
  }

  /** `actor` is about to perform `effect`. */
  note(actor: number, effect: number): void {
    this.#steps[actor] = (this.#steps[actor] as number) + 1;
    if (!isAccess(effect)) return;
    const word = effect >>> 4;
    let row = this.#rows.get(word);
    if (row === undefined) {
      row = { word, accesses: new Int32Array(this.#actors), changed: false };
      this.#rows.set(word, row);
    }
    row.accesses[actor] = (row.accesses[actor] as number) + 1;
    if (isChange(effect)) row.changed = true;
  }

  end(steps: number): void {
    this.#schedules++;
    this.#sum += steps;
    if (steps > this.#longest) this.#longest = steps;
  }

  guarantee(): string {
    return '';
  }

  profile(): Profile {
    const actors = this.#actors;
    const mean = (sum: number): number => Math.ceil(sum / Math.max(1, this.#schedules));
    const rows = [...this.#rows.values()]
      .filter((row) => row.changed && row.accesses.filter((each) => each > 0).length > 1)
      .toSorted((x, y) => total(y) - total(x) || x.word - y.word)
      .slice(0, WORDS_MAX)
      .toSorted((x, y) => x.word - y.word);
    return {
      actors,
      longest: Math.max(1, this.#longest),
      mean: Math.max(1, mean(this.#sum)),
      steps: this.#steps.map(mean),
      words: Int32Array.from(rows, (row) => row.word),
      accesses: Int32Array.from(rows.flatMap((row) => [...row.accesses].map(mean))),
    };
  }
}

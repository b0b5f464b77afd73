/**
 * What each actor knows of the others' accesses (Mattern, Virtual time and global states of distributed systems, 1989), and what each
 * word's declared accesses have made known: for access-order.ts.
 */

/** Vectors of a word's record: declared stores, reads, additions, accesses of readers of a lock; and plain reads by several actors. */
export const STORES = 0;
export const READS = 1;
export const ADDS = 2;
export const SHARED = 3;
export const PLAIN_READS = 4;
/** By actor, when it last did store by a declared access: an exchange that fails is one of STORES, but stores nothing. */
export const STORED = 5;
const VECTORS = 6;

/** An epoch is a moment of one actor: its clock << 8 | the actor. */
const ACTOR_BITS = 8;
export const actorOf = (epoch: number): number => epoch & 255;
const clockOf = (epoch: number): number => epoch >>> ACTOR_BITS;
const CLOCK_MAX = 1 << 22;

export class VectorClocks {
  /** Whose step it is, and its moment. */
  actor = -1;
  epoch = 0;
  readonly #actors: number;
  /** By actor, its clock; where the clock of the actor of this step begins. */
  readonly #clocks: Int32Array;
  #own = 0;
  /** By word: its record + 1. */
  readonly #record: Int32Array;
  #records: Int32Array;
  #recordCount = 0;

  constructor(words: number, actors: number) {
    this.#actors = actors;
    this.#clocks = new Int32Array(actors * actors);
    this.#record = new Int32Array(words);
    this.#records = new Int32Array(64 * VECTORS * actors);
  }

  /**
   * Everybody knows everything.
   * @returns false: the clocks begin anew, and epochs from before must be forgotten
   */
  meet(): boolean {
    const n = this.#actors;
    const clocks = this.#clocks;
    let most = 0;
    for (let actor = 0; actor < n; actor++) most = Math.max(most, clocks[actor * n + actor] as number);
    const goesOn = most <= CLOCK_MAX;
    if (!goesOn) {
      clocks.fill(0);
      this.#records.fill(0);
    }
    for (let actor = 0; actor < n; actor++) {
      const now = clocks[actor * n + actor] as number;
      for (let other = 0; other < n; other++) clocks[other * n + actor] = now;
    }
    for (let actor = 0; actor < n; actor++) clocks[actor * n + actor] = (clocks[actor * n + actor] as number) + 1;
    this.actor = -1;
    return goesOn;
  }

  /** It is a step of `actor`. */
  select(actor: number): void {
    if (actor === this.actor) return;
    this.actor = actor;
    this.#own = actor * this.#actors;
    this.epoch = ((this.#clocks[this.#own + actor] as number) << ACTOR_BITS) | actor;
  }

  /** A declared access to word `index`: comes after all of other classes before it, and after those of its own if it is a store. */
  sync(index: number, vector: number): void {
    const n = this.#actors;
    const clocks = this.#clocks;
    const own = this.#own;
    const { actor } = this;
    const record = this.#recordOf(index) * VECTORS * n;
    const all = this.#records;
    for (let each = STORES; each <= SHARED; each++) {
      if (each === vector && vector !== STORES) continue;
      for (let i = 0, at = record + each * n; i < n; i++) {
        if ((all[at + i] as number) > (clocks[own + i] as number)) clocks[own + i] = all[at + i] as number;
      }
    }
    for (let i = 0, at = record + vector * n; i < n; i++) {
      if ((clocks[own + i] as number) > (all[at + i] as number)) all[at + i] = clocks[own + i] as number;
    }
    const now = (clocks[own + actor] as number) + 1;
    clocks[own + actor] = now;
    this.epoch = (now << ACTOR_BITS) | actor;
  }

  /** The declared access that was the moment before has stored to the word. */
  noteStored(index: number): void {
    this.#records[this.#vector(index, STORED) + this.actor] = clockOf(this.epoch) - 1;
  }

  /** A plain read of a word that several read; `first` is the epoch of the one before, where that was the only one. */
  noteRead(index: number, first: number): void {
    const at = this.#vector(index, PLAIN_READS);
    if (first > 0) {
      this.#records.fill(0, at, at + this.#actors);
      this.#records[at + actorOf(first)] = clockOf(first);
    }
    this.#records[at + this.actor] = clockOf(this.epoch);
  }

  /** Whether an access at `epoch` is not known to the actor of this step. */
  isOpen(epoch: number): boolean {
    return clockOf(epoch) > (this.#clocks[this.#own + actorOf(epoch)] as number);
  }

  /** Who has accessed the word so, unknown to this step's actor; -1 = nobody. */
  openOf(index: number, vector: number): number {
    const record = this.#record[index] as number;
    if (record === 0) return -1;
    const n = this.#actors;
    const at = ((record - 1) * VECTORS + vector) * n;
    for (let i = 0; i < n; i++) {
      if (i !== this.actor && (this.#records[at + i] as number) > (this.#clocks[this.#own + i] as number)) return i;
    }
    return -1;
  }

  /** Who has accessed it by any declared access. */
  openAccess(index: number): number {
    for (let vector = STORES; vector <= SHARED; vector++) {
      const by = this.openOf(index, vector);
      if (by >= 0) return by;
    }
    return -1;
  }

  #vector(index: number, vector: number): number {
    return (this.#recordOf(index) * VECTORS + vector) * this.#actors;
  }

  #recordOf(index: number): number {
    const known = this.#record[index] as number;
    if (known !== 0) return known - 1;
    const record = this.#recordCount++;
    const size = VECTORS * this.#actors;
    if ((record + 1) * size > this.#records.length) {
      const grown = new Int32Array(this.#records.length * 2);
      grown.set(this.#records);
      this.#records = grown;
    }
    this.#record[index] = record + 1;
    return record;
  }
}

/**
 * Interleaving coverage: which conflicting accesses have been seen in which order.
 *
 * A pair is two accesses of different actors to one word (each a load or a change, one of them a change; of locks the
 * acquisitions), one following the other with no conflicting access of that word between them. A bug that needs a pair the other
 * way round has not had its chance while only one order was seen.
 *
 * Kept as a hash table of integers: an entry is the hash of (word, actor, actor, load or change) and the number of the first
 * schedule that had either order. Looking costs some 10 ns a step, a fifth of a step of a small model, so that only some
 * schedules are looked at (see {@link isSampled}): 1 % of the time.
 */
import { WAIT_LOCK, effectKind } from '../../machine/effects.js';
import type { StepObserver } from '../one-thread/one-thread.js';
import { isAccess, isChange } from '../strategies/races.js';

/** The first ones, where most of what is new comes up, then every so many. */
const SAMPLED_FIRST = 64;
const SAMPLED_EVERY = 16;

export const isSampled = (schedule: number): boolean =>
  schedule < SAMPLED_FIRST || schedule % SAMPLED_EVERY === SAMPLED_EVERY >> 1;

/** No schedule has had it. */
const NEVER = -1;

/** Spreads a word over 32 bits. */
function mix(x: number): number {
  let y = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  y = Math.imul(y ^ (y >>> 13), 0xc2b2ae35);
  return y ^ (y >>> 16);
}

/** The orders seen, with the first schedule that had each. */
export class OrderTable {
  /** Hashes; 0 = free. Two pairs with one hash count as one: 10,000 pairs have 0.01 such. */
  #keys = new Int32Array(256);
  /** Two per entry: the first schedule that had it one way round, and the other; NEVER. */
  #first = new Float64Array(512);
  size = 0;

  clear(): void {
    this.#keys.fill(0);
    this.size = 0;
  }

  /** Schedule `schedule` has had pair `key` in order `order` (0 or 1). */
  note(key: number, order: number, schedule: number): void {
    const at = this.#place(key);
    const first = this.#first[2 * at + order] as number;
    if (first === NEVER || schedule < first) this.#first[2 * at + order] = schedule;
  }

  /** Triples: key, first schedule with order 0, with order 1. */
  toArray(): Float64Array {
    const rows = new Float64Array(this.size * 3);
    let row = 0;
    for (let at = 0; at < this.#keys.length; at++) {
      if (this.#keys[at] === 0) continue;
      rows[row++] = this.#keys[at] as number;
      rows[row++] = this.#first[2 * at] as number;
      rows[row++] = this.#first[2 * at + 1] as number;
    }
    return rows;
  }

  /** Takes in another table's rows. */
  add(rows: Float64Array): void {
    for (let row = 0; row < rows.length; row += 3) {
      for (const order of [0, 1]) {
        const first = rows[row + 1 + order] as number;
        if (first !== NEVER) this.note(rows[row] as number, order, first);
      }
    }
  }

  /** Pairs seen both ways round, and one way only; the first schedules of all orders. */
  summary(): { readonly both: number; readonly one: number; readonly firsts: readonly number[] } {
    let both = 0;
    const firsts: number[] = [];
    for (let at = 0; at < this.#keys.length; at++) {
      if (this.#keys[at] === 0) continue;
      const seen = [this.#first[2 * at] as number, this.#first[2 * at + 1] as number].filter((each) => each !== NEVER);
      if (seen.length === 2) both++;
      firsts.push(...seen);
    }
    return { both, one: this.size - both, firsts };
  }

  /** The entry of `key`, made when there is none. */
  #place(key: number): number {
    const mask = this.#keys.length - 1;
    let at = key & mask;
    while (this.#keys[at] !== 0) {
      if (this.#keys[at] === key) return at;
      at = (at + 1) & mask;
    }
    if (this.size * 2 >= this.#keys.length) {
      this.#grow();
      return this.#place(key);
    }
    this.size++;
    this.#keys[at] = key;
    this.#first[2 * at] = NEVER;
    this.#first[2 * at + 1] = NEVER;
    return at;
  }

  #grow(): void {
    const rows = this.toArray();
    this.#keys = new Int32Array(this.#keys.length * 2);
    this.#first = new Float64Array(this.#keys.length * 2);
    this.size = 0;
    this.add(rows);
  }
}

/** What a schedule has done to one word so far. */
interface WordState {
  /** Of which run this is what was done. */
  run: number;
  /** Who changed it last, -1 = nobody; who has loaded it since, a bit each (actors 32 apart share one). */
  changer: number;
  readers: number;
}

/** Watches a schedule's accesses. */
export class OrderObserver implements StepObserver {
  readonly table = new OrderTable();
  readonly #words = new Map<number, WordState>();
  #schedule = -1;
  /** Counts begin(): a schedule may be run again (the end of a campaign is), and its number does not tell one run from the other. */
  #run = 0;
  #effect = 0;

  /** Schedule number `schedule` begins, maybe not for the first time. */
  begin(schedule: number): void {
    this.#schedule = schedule;
    this.#run++;
  }

  beforeStep(_actor: number, effect: number): void {
    this.#effect = effect;
  }

  afterStep(actor: number, next: number, step: number): void {
    const effect = this.#effect;
    if (step === 0 || !isAccess(effect)) return;
    const word = effect >>> 4;
    // an attempt that has to wait takes nothing
    if (next >= 0 && next >>> 4 === word && effectKind(next) === WAIT_LOCK) return;
    let state = this.#words.get(word);
    if (state === undefined) {
      state = { run: this.#run, changer: -1, readers: 0 };
      this.#words.set(word, state);
    } else if (state.run !== this.#run) {
      state.run = this.#run;
      state.changer = -1;
      state.readers = 0;
    }
    const changes = isChange(effect);
    if (state.changer >= 0 && state.changer !== actor) this.#note(word, state.changer, true, actor, changes);
    if (!changes) {
      state.readers |= 1 << (actor & 31);
      return;
    }
    for (let readers = state.readers & ~(1 << (actor & 31)); readers !== 0; readers &= readers - 1) {
      this.#note(word, 31 - Math.clz32(readers & -readers), false, actor, true);
    }
    state.readers = 0;
    state.changer = actor;
  }

  /** `earlier`'s access came before `later`'s. */
  #note(word: number, earlier: number, earlierChanges: boolean, later: number, laterChanges: boolean): void {
    const one = (earlier << 1) | (earlierChanges ? 1 : 0);
    const two = (later << 1) | (laterChanges ? 1 : 0);
    const swapped = one > two;
    const key = mix(mix(word) ^ (swapped ? (one << 10) | two : (two << 10) | one));
    this.table.note(key === 0 ? 1 : key, swapped ? 1 : 0, this.#schedule);
  }
}

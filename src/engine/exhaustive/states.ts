/**
 * Whether the execution under way has come back to a state that it was in before: several actors that retry on each other's account
 * can go round in turns for ever, and each turn of one changes something for the other.
 *
 * A state is known by a hash of 64 bits: of what the words that events touch have come to hold, and of each actor its events since it
 * stood at the top of its loop, with what they found; before that and outside loops, all of them. (Coroutines cannot be compared; but
 * what one does next is a function of where it began and what it has read.)
 */
import { NO_ACCESS, SLOTS } from './dependence.js';
import type { Trace } from './trace.js';

const mix = (hash: number, value: number): number => {
  const x = Math.imul(hash ^ value, 0x9e3779b1);
  return Math.imul(x ^ (x >>> 15), 0x85ebca6b) ^ (x >>> 13);
};

export class States {
  readonly #trace: Trace;
  readonly #words: Int32Array;
  /** Two numbers for the words, and two for each actor. */
  readonly #now: Int32Array;
  #kept: Int32Array;
  /** By hash: the node; and the hashes by node, so that they can be taken back. */
  readonly #nodes = new Map<number, number>();
  readonly #keys: number[] = [];
  /** Nothing is done before the first loop. */
  #active = false;

  constructor(trace: Trace, words: Int32Array) {
    this.#trace = trace;
    this.#words = words;
    this.#now = new Int32Array(2 + 2 * trace.actors);
    this.#kept = new Int32Array(64 * this.#now.length);
  }

  /** `actor` stands at the top of loop `loop`. */
  atTop(actor: number, loop: number): void {
    this.#active = true;
    this.#now[2 + 2 * actor] = mix(1, loop);
    this.#now[3 + 2 * actor] = mix(2, loop);
  }

  /** `event` has happened. */
  happened(event: number): void {
    if (!this.#active) return;
    const trace = this.#trace;
    const now = this.#now;
    const at = 2 + 2 * (trace.actor[event] as number);
    for (let slot = event * SLOTS; slot < event * SLOTS + SLOTS; slot++) {
      const access = trace.accesses[slot] as number;
      if (access === NO_ACCESS) break;
      const word = access >>> 4;
      const before = trace.before[slot] as number;
      for (let i = 0; i < 2; i++) now[at + i] = mix(mix(now[at + i] as number, access), before);
      if (word >= this.#words.length) continue;
      const after = this.#words[word] as number;
      if (after === before) continue;
      for (let i = 0; i < 2; i++) {
        now[i] = (now[i] as number) ^ mix(mix(word, 3 + i), before) ^ mix(mix(word, 3 + i), after);
      }
    }
  }

  /** The node before in which everything was as it is now, or -1. */
  seen(): number {
    if (!this.#active) return -1;
    let high = 5;
    let low = 7;
    for (let i = 0; i < this.#now.length; i += 2) {
      high = mix(high, this.#now[i] as number);
      low = mix(low, this.#now[i + 1] as number);
    }
    const key = (high >>> 0) * 0x200000 + (low >>> 11);
    const node = this.#trace.length;
    const before = this.#nodes.get(key);
    if (before !== undefined) return before < node ? before : -1;
    // one for each node: null steps lead from one state to another that no event tells apart
    if (this.#keys[node] !== undefined) this.#nodes.delete(this.#keys[node]);
    this.#keys[node] = key;
    this.#nodes.set(key, node);
    return -1;
  }

  keep(node: number): void {
    const size = this.#now.length;
    if ((node + 1) * size > this.#kept.length) {
      const grown = new Int32Array(Math.max(this.#kept.length * 2, (node + 1) * size));
      grown.set(this.#kept);
      this.#kept = grown;
    }
    this.#kept.set(this.#now, node * size);
  }

  restore(node: number): void {
    const size = this.#now.length;
    this.#now.set(this.#kept.subarray(node * size, node * size + size));
    for (let i = node + 1; i < this.#keys.length; i++) {
      const key = this.#keys[i];
      if (key !== undefined) this.#nodes.delete(key);
    }
    this.#keys.length = Math.min(this.#keys.length, node + 1);
  }

  reset(): void {
    this.#active = false;
    this.#now.fill(0);
    this.#nodes.clear();
    this.#keys.length = 0;
  }
}

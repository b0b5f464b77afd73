/**
 * What one-thread runs have in the place of words.ts: the same functions, which tell an {@link AccessOrder} of each access to the words
 * that a schedule is under way on. It is the default of `#words` (package.json, imports); the workers of real threads choose words.ts
 * or words-wasm.ts (condition `pinfall-threads`) and pay nothing.
 */
import type { AccessOrder } from './access-order.js';

export { look, rawCmpxchg, rawLoad, rawStore, rawXchg } from './words.js';

/** The machine's words. Always the Int32Array over the machine's SharedArrayBuffer. */
export type Words = Int32Array;

let watched: Int32Array | null = null;
let order: AccessOrder | null = null;

/** From here on `next` is told of accesses to its words; null: nobody. One schedule is under way on a thread. */
export function watch(next: AccessOrder | null): void {
  order = next;
  watched = next === null ? null : next.words;
}

/** The step under way touches the word of `effect` beside what it has declared. */
export function touched(effect: number): void {
  if (order !== null) order.touches(effect);
}

/** READ_ONCE: a marked load of a word that another actor may change without a lock of ours. */
export function readOnce(words: Words, index: number): number {
  if (words !== watched) return Atomics.load(words, index);
  (order as AccessOrder).load(index);
  return words[index] as number;
}

/** WRITE_ONCE: a marked store that another actor may see without a lock of ours. */
export function writeOnce(words: Words, index: number, value: number): void {
  if (words !== watched) Atomics.store(words, index, value);
  else {
    (order as AccessOrder).store(index);
    words[index] = value;
  }
}

/** cmpxchg: stores `next` if the word holds `expected`; returns what it held. */
export function cmpxchg(words: Words, index: number, expected: number, next: number): number {
  if (words !== watched) return Atomics.compareExchange(words, index, expected, next);
  const before = words[index] as number;
  if (before !== expected) (order as AccessOrder).load(index);
  else {
    (order as AccessOrder).exchange(index, before, next);
    words[index] = next;
  }
  return before;
}

/** xchg: stores `value`, returns what the word held. */
export function xchg(words: Words, index: number, value: number): number {
  if (words !== watched) return Atomics.exchange(words, index, value);
  const before = words[index] as number;
  (order as AccessOrder).exchange(index, before, value);
  words[index] = value;
  return before;
}

/** atomic_fetch_add: returns the value before. */
export function fetchAdd(words: Words, index: number, delta: number): number {
  if (words !== watched) return Atomics.add(words, index, delta);
  (order as AccessOrder).add(index, delta);
  const before = words[index] as number;
  words[index] = before + delta;
  return before;
}

/** atomic_fetch_or: returns the value before. */
export function fetchOr(words: Words, index: number, bits: number): number {
  if (words !== watched) return Atomics.or(words, index, bits);
  (order as AccessOrder).store(index);
  const before = words[index] as number;
  words[index] = before | bits;
  return before;
}

/** atomic_fetch_and: returns the value before. */
export function fetchAnd(words: Words, index: number, bits: number): number {
  if (words !== watched) return Atomics.and(words, index, bits);
  (order as AccessOrder).store(index);
  const before = words[index] as number;
  words[index] = before & bits;
  return before;
}

/** A plain load: a field that a lock of ours protects, or that is private to us. */
export function get(words: Words, index: number): number {
  if (words === watched) (order as AccessOrder).load(index);
  return words[index] as number;
}

/** A plain store: a field that a lock of ours protects, or that is private to us. */
export function set(words: Words, index: number, value: number): void {
  if (words === watched) (order as AccessOrder).store(index);
  words[index] = value;
}

/** A plain load of a word that others do not change meanwhile, or that the step has declared. */
export function peek(words: Words, index: number): number {
  if (words === watched) (order as AccessOrder).load(index);
  return words[index] as number;
}

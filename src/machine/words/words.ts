/**
 * Every access to a word of the simulated machine goes through this module: marked accesses (READ_ONCE,
 * WRITE_ONCE, atomics, lock words) through `Atomics`, fields that a lock protects as plain loads and stores,
 * which JavaScript promises to be sequentially consistent in race-free programs.
 *
 * The workers of real threads run this (package.json, condition `pinfall-threads`), or the blocking form with `words-wasm.ts`.
 * Everybody else has `words-ordered.ts` in its place, which looks whether the accesses of one-thread runs are ordered; the
 * checking build `words-checked.ts` (condition `pinfall-checked`), which holds each against the table of locks.
 */

/** The machine's words. Always the Int32Array over the machine's SharedArrayBuffer. */
export type Words = Int32Array;

/** READ_ONCE: a marked load of a word that another actor may change without a lock of ours. */
export function readOnce(words: Words, index: number): number {
  return Atomics.load(words, index);
}

/** WRITE_ONCE: a marked store that another actor may see without a lock of ours. */
export function writeOnce(words: Words, index: number, value: number): void {
  Atomics.store(words, index, value);
}

/** cmpxchg: stores `next` if the word holds `expected`; returns what it held. */
export function cmpxchg(words: Words, index: number, expected: number, next: number): number {
  return Atomics.compareExchange(words, index, expected, next);
}

/** xchg: stores `value`, returns what the word held. */
export function xchg(words: Words, index: number, value: number): number {
  return Atomics.exchange(words, index, value);
}

/** atomic_fetch_add: returns the value before. */
export function fetchAdd(words: Words, index: number, delta: number): number {
  return Atomics.add(words, index, delta);
}

/** atomic_fetch_or: returns the value before. */
export function fetchOr(words: Words, index: number, bits: number): number {
  return Atomics.or(words, index, bits);
}

/** atomic_fetch_and: returns the value before. */
export function fetchAnd(words: Words, index: number, bits: number): number {
  return Atomics.and(words, index, bits);
}

/** A plain load: a field that a lock of ours protects, or that is private to us. */
export function get(words: Words, index: number): number {
  return words[index] as number;
}

/** A plain store: a field that a lock of ours protects, or that is private to us. */
export function set(words: Words, index: number, value: number): void {
  words[index] = value;
}

/** A plain load of a word that nobody changes meanwhile, or of the one that the step has declared. */
export function peek(words: Words, index: number): number {
  return words[index] as number;
}

/** A look of somebody who is no actor: oracles, events, reports. Nothing that the kernel does may rest on it. */
export function look(words: Words, index: number): number {
  return words[index] as number;
}

/** The step under way touches the word of `effect` beside what it has declared: for words-ordered.ts. */
export function touched(_effect: number): void {}

/*
 * Accesses to words of the machine that are no step of the kernel's: what hardware does (TLBs), and the bookkeeping of locks and
 * waits. The checking build does not look at them.
 */

export function rawLoad(words: Words, index: number): number {
  return Atomics.load(words, index);
}

export function rawStore(words: Words, index: number, value: number): void {
  Atomics.store(words, index, value);
}

/** Stores `next` if the word holds `expected`; returns what it held. */
export function rawCmpxchg(words: Words, index: number, expected: number, next: number): number {
  return Atomics.compareExchange(words, index, expected, next);
}

/** Stores `value`, returns what the word held. */
export function rawXchg(words: Words, index: number, value: number): number {
  return Atomics.exchange(words, index, value);
}

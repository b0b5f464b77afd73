/**
 * The checking build of words.ts: the same functions, each held against the schedule point before it. It is selected by
 * `node --conditions=pinfall-checked` (package.json, imports), in one-thread runs, and asks whether the points are complete:
 *
 *   between two points an actor touches at most one word that another actor could touch then, and it is the one declared;
 *   a word declared as read is not stored to;
 *   a plain access finds its word out of others' reach (checked-guards.ts);
 *   no entry of a freed page table is touched (LK10).
 *
 * `peek` is left alone: it promises that nothing rests on what it says. So are accesses through `Atomics` in src/machine and the
 * lock code's own bookkeeping: TLBs, Lamport times, wait tables; and a TLB hit is one step, as an instruction is.
 */
import { EFFECT_LOCAL, EFFECT_READ, EFFECT_RETRY, IDLE_SLEEP, effectKind, effectWord } from '../effects.js';
import { Guards } from './checked-guards.js';
import type { Machine } from '../layout.js';

export { look, rawCmpxchg, rawLoad, rawStore, rawXchg, touched } from './words.js';

/** The machine's words. Always the Int32Array over the machine's SharedArrayBuffer. */
export type Words = Int32Array;

/** An access that a schedule point misses, or a lock. */
export interface AccessViolation {
  readonly what: string;
  readonly actor: number;
  readonly word: number;
  /** The effect declared by the point before. */
  readonly effect: number;
  /** The line of kernel code, as the stack says. */
  readonly site: string;
}

/** Violations kept: one of each kind and place. */
const KEPT = 200;

let machine: Machine | null = null;
let guards: Guards | null = null;
let checking = false;
let actor = 0;
let effect = 0;
/** The word declared, or -1: none. */
let declared = -1;
const found = new Map<string, AccessViolation>();

/** Watches the words of `m` from the next step on, as a machine at its start; null: nothing any more. */
export function setMachine(m: Machine | null): void {
  machine = m;
  guards = m === null ? null : new Guards(m);
  guards?.reset();
  checking = false;
}

/** The machine's words have been set back to its start. */
export function resetMachine(): void {
  guards?.reset();
}

/** `actor` is about to perform the effect that it yielded last. */
export function beginStep(nextEffect: number, nextActor: number): void {
  checking = machine !== null;
  actor = nextActor;
  effect = nextEffect;
  const kind = effectKind(nextEffect);
  const names = kind !== EFFECT_LOCAL && kind !== EFFECT_RETRY && kind < IDLE_SLEEP;
  declared = names ? effectWord(nextEffect) : -1;
}

/** It stands at its next point: what follows is no access of the kernel's. */
export function endStep(): void {
  checking = false;
}

/** What was found so far; each kind and place once. */
export const violations = (): readonly AccessViolation[] => [...found.values()];

export function clearViolations(): void {
  found.clear();
}

function report(what: string, word: number): void {
  const stack = (new Error(what).stack ?? '').split('\n').slice(1);
  const frame = stack.find((line) => !line.includes('machine/words/words-checked')) ?? '';
  const site = frame
    .replace(/^.*\/(src|actors)\//, '$1/')
    .replace(/\)$/, '')
    .trim();
  const key = `${what} ${site}`;
  if (found.size < KEPT && !found.has(key)) found.set(key, { what, actor, word, effect, site });
}

function marked(words: Words, index: number, write: boolean): void {
  if (!checking || machine === null || guards === null || words !== machine.words) return;
  if (guards.reach.isFreedTable(index)) report('LK10 entry of a freed table', index);
  if (index === declared) {
    if (write && effectKind(effect) === EFFECT_READ) report('stores to a word declared as read', index);
    return;
  }
  if (guards.refusal(actor, index, write) === '') return;
  report(declared < 0 ? 'touches a word where none is declared' : 'touches another word than declared', index);
}

function plain(words: Words, index: number, write: boolean): void {
  if (!checking || machine === null || guards === null || words !== machine.words) return;
  const refusal = guards.refusal(actor, index, write);
  if (refusal !== '') report(`plain ${write ? 'store' : 'load'}: ${refusal}`, index);
}

function stored(words: Words, index: number, value: number): void {
  if (guards !== null && machine !== null && words === machine.words) guards.reach.stored(actor, index, value);
}

/** READ_ONCE: a marked load of a word that another actor may change without a lock of ours. */
export function readOnce(words: Words, index: number): number {
  marked(words, index, false);
  return Atomics.load(words, index);
}

/** WRITE_ONCE: a marked store that another actor may see without a lock of ours. */
export function writeOnce(words: Words, index: number, value: number): void {
  marked(words, index, true);
  stored(words, index, value);
  Atomics.store(words, index, value);
}

/** cmpxchg: stores `next` if the word holds `expected`; returns what it held. */
export function cmpxchg(words: Words, index: number, expected: number, next: number): number {
  marked(words, index, true);
  if (words[index] === expected) stored(words, index, next);
  return Atomics.compareExchange(words, index, expected, next);
}

/** xchg: stores `value`, returns what the word held. */
export function xchg(words: Words, index: number, value: number): number {
  marked(words, index, true);
  stored(words, index, value);
  return Atomics.exchange(words, index, value);
}

/** atomic_fetch_add: returns the value before. */
export function fetchAdd(words: Words, index: number, delta: number): number {
  marked(words, index, true);
  return Atomics.add(words, index, delta);
}

/** atomic_fetch_or: returns the value before. */
export function fetchOr(words: Words, index: number, bits: number): number {
  marked(words, index, true);
  return Atomics.or(words, index, bits);
}

/** atomic_fetch_and: returns the value before. */
export function fetchAnd(words: Words, index: number, bits: number): number {
  marked(words, index, true);
  return Atomics.and(words, index, bits);
}

/** A plain load: a field that a lock of ours protects, or that is private to us. */
export function get(words: Words, index: number): number {
  plain(words, index, false);
  return words[index] as number;
}

/** A plain store: a field that a lock of ours protects, or that is private to us. */
export function set(words: Words, index: number, value: number): void {
  plain(words, index, true);
  stored(words, index, value);
  words[index] = value;
}

/** A racy plain load: a hint, of which nothing rests. Never a step of its own. */
export function peek(words: Words, index: number): number {
  return words[index] as number;
}

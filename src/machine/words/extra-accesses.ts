/**
 * What a step touches beside the word that its schedule point declares: the page that a TLB hit leads to, a word that is glanced at
 * without a lock and decides what the actor does next. Exhaustive search asks after each step (Program.touchedBeside); nobody else
 * does. One list per thread, as one-thread runs have one step under way.
 */
import { reads, writes } from '../effects.js';
import type { Machine } from '../layout.js';
import { type Words, look, touched as tell, writeOnce } from '#words';

/** Between the machine's words and the ghost words: numbers that the search uses itself. */
const RESERVED_WORDS = 8;

/**
 * A word that is not there, behind those of the machine: what oracles call a user page, so that the order of two accesses to it counts
 * whatever frames they go to. Pages of processes come first, then those of shared memory objects.
 */
export const ghostWord = (m: Machine, userPage: number): number => m.totalWords + RESERVED_WORDS + userPage;

/** The user page that a ghost word stands for, or -1. */
export const ghostPage = (m: Machine, word: number): number => (word < ghostWord(m, 0) ? -1 : word - ghostWord(m, 0));

/** How many words there are with the ghost words. */
export const wordsWithGhosts = (m: Machine): number => ghostWord(m, m.mms * m.mmPages + m.objects * m.objectPages);

const SIZE = 64;
const touched = new Int32Array(SIZE);
const held = new Int32Array(SIZE);
let count = 0;

/** The step under way touches the word of `effect` as well. Of a word that somebody waits for: what it held `before`. */
export function touches(effect: number, before = 0): void {
  const at = count++ & (SIZE - 1);
  touched[at] = effect;
  held[at] = before;
  tell(effect);
}

/** A plain load without a lock, where what it says decides what the actor does next, if only whether it looks closer. */
export function glance(words: Words, index: number): number {
  const value = look(words, index);
  touches(reads(index), value);
  return value;
}

/**
 * WRITE_ONCE: a marked store without a lock that another may meet, in the step under way: to a frame that was freed and handed out again, where GUP-fast comes by an
 * old entry and a device by a pin that was given back; to a word that others only glance at.
 */
export function setBeside(words: Words, index: number, value: number): void {
  touches(writes(index), look(words, index));
  writeOnce(words, index, value);
}

/**
 * Forgets what was touched, and writes it to `effects` and `before`, each once: at most as many as they hold.
 * @returns how many were touched
 */
export function takeTouched(effects: Int32Array, before: Int32Array): number {
  const all = count;
  count = 0;
  if (all > SIZE) return all;
  let taken = 0;
  for (let i = 0; i < all; i++) {
    const effect = touched[i] as number;
    let same = 0;
    while (same < taken && effects[same] !== effect) same++;
    if (same < taken) continue;
    if (taken === effects.length) return all;
    effects[taken] = effect;
    before[taken++] = held[i] as number;
  }
  return taken;
}

/**
 * What a step touches beside the word that its schedule point declares: the page that a TLB hit leads to, a word that is glanced at
 * without a lock and decides what the actor does next. Exhaustive search asks after each step (Program.touchedBeside); nobody else
 * does. One list per thread, as one-thread runs have one step under way.
 */
import { reads } from './effects.js';
import type { Words } from './words.js';
import { peek } from '#words';

const SIZE = 8;
const touched = new Int32Array(SIZE);
let count = 0;

/** The step under way touches the word of `effect` as well. */
export function touches(effect: number): void {
  touched[count++ & (SIZE - 1)] = effect;
}

/** As `peek`, where what it says decides what the actor does next, if only whether it looks closer. */
export function glance(words: Words, index: number): number {
  touched[count++ & (SIZE - 1)] = reads(index);
  return peek(words, index);
}

/** Forgets what was touched, and writes it to `effects`: at most as many as it holds. Returns how many. */
export function takeTouched(effects: Int32Array): number {
  const taken = Math.min(count, SIZE, effects.length);
  for (let i = 0; i < taken; i++) effects[i] = touched[i] as number;
  count = 0;
  return taken;
}

/**
 * The locks of the small models: a word that is 0 or the holder's number + 1, in the model's own array. One step to take,
 * one to give back; no fairness, no lock context.
 *
 *     yield acquires(PTL);
 *     while (!lock(s, PTL, KSMD)) yield waitsFor(PTL);
 */
import { WAIT_LOCK } from '../../machine/effects.js';
import type { Waiting } from '../one-thread/program.js';

/** The state of a small model: its words, and what each actor waits for. */
export interface TinyState {
  readonly words: Int32Array;
  readonly waitValues: Int32Array;
}

export const tinyState = (words: number, actors: number): TinyState => ({
  words: new Int32Array(words),
  waitValues: new Int32Array(actors),
});

/** One attempt to take the lock at `word`. */
export function lock(s: TinyState, word: number, actor: number): boolean {
  const holder = s.words[word] as number;
  if (holder === 0) {
    s.words[word] = actor + 1;
    return true;
  }
  s.waitValues[actor] = holder;
  return false;
}

export function unlock(s: TinyState, word: number): void {
  s.words[word] = 0;
}

/** To be yielded after a failed attempt. */
export const waitsFor = (word: number): number => (word << 4) | WAIT_LOCK;

/** Who waits for which word, and the holder that the word names. */
export function explainTiny(
  program: { readonly actors: readonly string[]; readonly words: Int32Array; describe(word: number): string },
  waiting: readonly Waiting[],
): string[] {
  const { actors, words } = program;
  return waiting.map(({ actor, kind, word }) => {
    const who = actors[actor] ?? `actor ${actor}`;
    const what = program.describe(word);
    if (kind !== WAIT_LOCK) return `${who} waits for a change of ${what}`;
    const holder = (words[word] as number) - 1;
    return `${who} waits for ${what}, held by ${holder < 0 ? 'nobody' : (actors[holder] ?? `actor ${holder}`)}`;
  });
}

/** Names that may have been meant. */
import { distance } from 'fastest-levenshtein';

/** The one of `known` that `text` may be a slip of the pen for, or null. */
export function nearest(text: string, known: readonly string[]): string | null {
  const word = text.toLowerCase();
  let best: string | null = null;
  let least = slips(word.length) + 1;
  for (const each of known) {
    const name = each.toLowerCase();
    // two letters that changed places are one slip
    const far = exchanged(word, name) ? 1 : distance(word, name);
    if (far < least) {
      least = far;
      best = each;
    }
  }
  return best;
}

/** Slips that a word of so many letters may have: of a name of one or two letters nothing is near. */
const slips = (length: number): number => (length < 3 ? 0 : Math.max(1, Math.floor(length / 3)));

function exchanged(word: string, name: string): boolean {
  if (word.length !== name.length || word === name) return false;
  const at = [...word].findIndex((letter, i) => letter !== name[i]);
  return `${word.slice(0, at)}${word[at + 1] ?? ''}${word[at]}${word.slice(at + 2)}` === name;
}

/** `; did you mean 'classic'?` behind a refusal; nothing where no name is near. */
export function meant(text: string, known: readonly string[]): string {
  const name = nearest(text, known);
  return name === null ? '' : `; did you mean '${name}'?`;
}

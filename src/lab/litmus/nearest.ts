/** Names that may have been meant. */

/** The one of `known` that `text` may be a slip of the pen for, or null. */
export function nearest(text: string, known: readonly string[]): string | null {
  let best: string | null = null;
  // of a name of one or two letters nothing is near
  let least = (text.length < 3 ? 0 : Math.max(1, Math.floor(text.length / 3))) + 1;
  for (const each of known) {
    const far = distance(text.toLowerCase(), each.toLowerCase());
    if (far < least) {
      least = far;
      best = each;
    }
  }
  return best;
}

/** Letters to change, leave out or put in, or neighbours to exchange (Damerau and Levenshtein). */
function distance(a: string, b: string): number {
  let twoAbove: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const exchange = exchanged ? (twoAbove[j - 2] as number) + 1 : Infinity;
      row.push(Math.min(change, exchange, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    twoAbove = above;
    above = row;
  }
  return above[b.length] as number;
}

/** Counts of a search, and what they say. */

/** What a search has come to. */
export interface SearchCounts {
  /** Executions that ran to an end of their own. */
  executions: number;
  /** Given up, as everything left had been tried elsewhere. None where the search is optimal. */
  blocked: number;
  /** Turns of retry loops, and races, that would only have repeated a state. */
  folded: number;
  /** Executions that ended at a broken rule, an exception or the step limit: what could have come after is not known. */
  cut: number;
  /** Executions that did not go as their wake-up tree said: something decides that no step has declared. */
  strayed: number;
  /** Of those, the first. */
  stray: string;
  /** Accesses that no declared one orders, each once; and the first of them, in words: what rests on them is not proved. */
  undeclared: number;
  unordered: string;
}

export const noCounts = (): SearchCounts => ({
  executions: 0,
  blocked: 0,
  folded: 0,
  cut: 0,
  strayed: 0,
  stray: '',
  undeclared: 0,
  unordered: '',
});

/** Whether nothing had to be left out of what has been searched. */
export const isExact = ({ cut, strayed, undeclared }: SearchCounts): boolean =>
  cut === 0 && strayed === 0 && undeclared === 0;

/** Adds what a part of the search has come to. */
export function addCounts(counts: SearchCounts, part: SearchCounts): void {
  counts.executions += part.executions;
  counts.blocked += part.blocked;
  counts.folded += part.folded;
  counts.cut += part.cut;
  counts.strayed += part.strayed;
  counts.undeclared += part.undeclared;
  if (counts.stray === '') counts.stray = part.stray;
  if (counts.unordered === '') counts.unordered = part.unordered;
}

/** What was proved, or why nothing was. */
export function guaranteeOf(counts: SearchCounts, exhausted: boolean): string {
  const { executions, blocked, cut, strayed, stray, folded, undeclared, unordered } = counts;
  const parts: string[] = [];
  if (exhausted) parts.push(`proved: every order of steps that matters has been run, ${executions} executions`);
  if (undeclared > 0) parts.push(`${undeclared} accesses are not ordered: ${unordered}`);
  if (cut > 0) parts.push(`${cut} of ${executions} executions were cut before their end`);
  if (strayed > 0) parts.push(`${strayed} executions strayed: ${stray}`);
  if (blocked > 0) parts.push(`${blocked} given up on the way as known`);
  if (folded > 0) parts.push(`${folded} turns of retry loops folded`);
  return parts.join('; ');
}

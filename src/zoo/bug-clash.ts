/**
 * The two steps of a bug as its commit message (or, where there is none, its story) tells them: the decision, and what made it wrong.
 * They are what a clash that the explorer names is compared with (test/lab/zoo-clashes.test.ts), so they follow the history and not the tool.
 */

/** How a step touches its word: it looks at it, changes it, or decides about what the lock in that word protects. */
type BugAccess = 'looks' | 'changes' | 'locks';

/** One of the two steps. */
interface BugStep {
  readonly access: BugAccess;
  /** What is touched, as reports name it without numbers: `refs`, `PTE`, `mmu_invalidate_seq`; any of them where it is told equally. */
  readonly words: readonly string[];
  /** Simulated functions, any of which takes the step or calls what takes it. */
  readonly functions: readonly string[];
}

export interface BugClash {
  /** The decision, then what made it wrong; of a bug that needs no race, what it decided on and what it did. */
  readonly steps: readonly [BugStep, BugStep];
  /** A second pair that the same message tells with equal weight. */
  readonly or?: readonly [BugStep, BugStep];
  /** No race is needed: one actor's own steps, in every order. */
  readonly alone?: true;
  /** The commit whose message tells them, or `story`. */
  readonly follows: string;
}

type OneOrMore = string | readonly string[];

const list = (given: OneOrMore): readonly string[] => (typeof given === 'string' ? [given] : given);

/** A look at a word; an atomic update looks too. */
export const looksAt = (words: OneOrMore, functions: OneOrMore): BugStep => ({
  access: 'looks',
  words: list(words),
  functions: list(functions),
});
/** A store, or an atomic update. */
export const changes = (words: OneOrMore, functions: OneOrMore): BugStep => ({
  access: 'changes',
  words: list(words),
  functions: list(functions),
});
/** A lock taken: what it protects is looked at or changed under it, with no step of its own. */
export const locks = (words: OneOrMore, functions: OneOrMore): BugStep => ({
  access: 'locks',
  words: list(words),
  functions: list(functions),
});

/** A step as a report has it. */
interface NamedStep {
  /** `read refs of pfn 0x1` */
  readonly does: string;
  readonly calls: readonly string[];
}

const VERBS: Readonly<Record<BugAccess, RegExp>> = {
  looks: /^(read|update) /,
  changes: /^(write|update|add) /,
  locks: /^(acquire( for reading)?|try|wait for lock) /,
};

/** `update entry 0 of stage-2 table 3` without its numbers: `update entry of stage-2 table`. */
const withoutNumbers = (does: string): string =>
  does
    .replaceAll(/ (?:0x[0-9a-f]+|\d+)\b/g, '')
    .replaceAll(/\b(?:mm|vm|vcpu)\d+ ?/g, '')
    .trim();

const isStep = (wanted: BugStep, { does, calls }: NamedStep): boolean => {
  const text = withoutNumbers(does);
  const verb = VERBS[wanted.access].exec(text)?.[0];
  if (verb === undefined) return false;
  const word = text.slice(verb.length);
  return (
    wanted.words.some((each) => word === each || word.startsWith(`${each} of`)) &&
    wanted.functions.some((each) => calls.includes(each))
  );
};

const isPair = ([one, other]: readonly [BugStep, BugStep], [x, y]: readonly [NamedStep, NamedStep]): boolean =>
  (isStep(one, x) && isStep(other, y)) || (isStep(one, y) && isStep(other, x));

/** Whether the two steps that a report names are the recorded ones, in whichever order they ran. */
export const isRecorded = (clash: BugClash, steps: readonly [NamedStep, NamedStep]): boolean =>
  isPair(clash.steps, steps) || (clash.or !== undefined && isPair(clash.or, steps));

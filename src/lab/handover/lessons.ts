/** What has worked: traits of tests that broke a rule, in this search and in those of the run's other violations. */

/** What a test that broke the rule itself counts, and one that broke another. */
const FOUND = 4;
const RELATED = 1;

export class Lessons {
  readonly #score = new Map<string, number>();

  /** @param found the rule itself was broken, not another one */
  note(traits: readonly string[], found: boolean): void {
    for (const trait of traits) this.#score.set(trait, (this.#score.get(trait) ?? 0) + (found ? FOUND : RELATED));
  }

  /** How much of it has worked so far. */
  scoreOf(traits: readonly string[]): number {
    return traits.reduce((sum, trait) => sum + (this.#score.get(trait) ?? 0), 0);
  }

  /** Those that worked first; the others as they stood. */
  sorted<T extends { readonly traits: readonly string[] }>(tests: readonly T[]): readonly T[] {
    return tests.toSorted((x, y) => this.scoreOf(y.traits) - this.scoreOf(x.traits));
  }
}

/** Programs for the tests of the one-thread engine: a few lines each. */
import { plainState } from '#src/engine/one-thread/outcome.js';
import type { Coroutine } from '#src/machine/context.js';
import type { Program, Waiting } from '#src/engine/one-thread/program.js';
import type { Violation } from '#src/oracle/violation.js';
import { explainTiny, tinyState, type TinyState } from '#src/engine/programs/tiny-lock.js';

export interface SmallProgram {
  readonly actors: Readonly<Record<string, (s: TinyState, actor: number) => Coroutine<void>>>;
  readonly tiers?: readonly number[];
  readonly finish?: (s: TinyState, tier: number) => void;
  readonly start?: (words: Int32Array) => void;
  readonly audit?: (words: Int32Array) => readonly Violation[];
  /** Broken rules announced at once: filled by the actors, emptied by resets. */
  readonly violations?: Violation[];
  readonly observe?: (words: Int32Array) => number;
  readonly deep?: boolean;
  readonly words?: readonly string[];
}

/** A program of some coroutines over 32 words that start as 0. */
export function small(name: string, spec: SmallProgram): Program {
  const names = Object.keys(spec.actors);
  const state = tinyState(32, names.length);
  const violations = spec.violations ?? [];
  const program: Program = {
    name,
    actors: names,
    words: state.words,
    clocks: null,
    deep: spec.deep ?? false,
    alarm: { violations },
    tierOf: (actor) => spec.tiers?.[actor] ?? 0,
    reset: () => {
      state.words.fill(0);
      violations.length = 0;
      spec.start?.(state.words);
    },
    start: (actor) => {
      const main = spec.actors[names[actor] as string];
      if (main === undefined) throw new RangeError(`no actor ${actor}`);
      return main(state, actor);
    },
    waitValue: (actor) => state.waitValues[actor] as number,
    finish: (tier) => spec.finish?.(state, tier),
    recordEvents: () => false,
    audit: () => spec.audit?.(state.words) ?? [],
    observe: () => spec.observe?.(state.words) ?? 0,
    finalState: (observation) => plainState(`state ${observation}`),
    describe: (word) => spec.words?.[word] ?? `word ${word}`,
    explain: (waiting: readonly Waiting[]) => explainTiny(program, waiting),
  };
  return program;
}

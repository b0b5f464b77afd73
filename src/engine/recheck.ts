/**
 * The check for hidden nondeterminism: a schedule that ran is run again twice by its choices, and the effects are compared
 * step by step. Whatever else than the choices decides what happens (a clock, a random number from elsewhere, state that a
 * reset forgot) would make every recorded schedule worthless; so a difference is an error, named by its first step.
 */
import { EFFECT_NAMES, effectKind, effectWord } from '../machine/effects.js';
import { END_NAMES, type OneThread, type StepObserver } from './one-thread.js';
import { ExactScript } from './strategies/script.js';

/** The first step at which two runs of one schedule differ. */
export interface Difference {
  readonly step: number;
  /** One line. */
  readonly what: string;
}

/** The effects of one run. */
class EffectTrace implements StepObserver {
  effects = new Int32Array(1024);
  length = 0;

  beforeStep(_actor: number, effect: number, step: number): void {
    if (step === 0) return;
    if (this.length === this.effects.length) {
      const grown = new Int32Array(this.length * 2);
      grown.set(this.effects);
      this.effects = grown;
    }
    this.effects[this.length++] = effect;
  }

  afterStep(): void {}
}

/**
 * Runs the schedule that `thread` has just run again, twice.
 * @returns null when nothing differs
 */
export function recheck(thread: OneThread, variation: number): Difference | null {
  const { end, steps, observer } = thread;
  const choices = thread.choices.slice(0, steps);
  const traces = [new EffectTrace(), new EffectTrace()] as const;
  const ends = traces.map((trace) => {
    const script = new ExactScript().load(choices, steps);
    script.begin();
    thread.observer = trace;
    const again = thread.run(script, variation);
    // the record ends where the run did: one that was stopped by its limit or by an error goes no further either
    return { end: again, steps: thread.steps };
  });
  thread.observer = observer;
  const [first, second] = traces;
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first.effects[i] === second.effects[i]) continue;
    const actor = thread.program.actors[choices[i] as number] ?? '';
    const one = effectText(thread, first.effects[i] as number);
    const other = effectText(thread, second.effects[i] as number);
    return { step: i + 1, what: `${actor} stood before '${one}' and, run again, before '${other}'` };
  }
  for (const again of ends) {
    if (again.end === end && again.steps === steps) continue;
    const was = `${END_NAMES[end]} after ${steps} steps`;
    return {
      step: again.steps,
      what: `ended as ${was} and, run again, as ${END_NAMES[again.end]} after ${again.steps}`,
    };
  }
  return null;
}

/** `write pte`: an effect in words. */
export function effectText(thread: OneThread, effect: number): string {
  const name = EFFECT_NAMES[effectKind(effect)] ?? `effect ${effectKind(effect)}`;
  return effectWord(effect) === 0 ? name : `${name} ${thread.program.describe(effectWord(effect))}`;
}

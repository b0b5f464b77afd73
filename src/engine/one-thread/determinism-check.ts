/**
 * The check for hidden nondeterminism: a schedule that ran is run again by its choices, and the effects are compared
 * step by step. Whatever else than the choices decides what happens (a clock, a random number from elsewhere, state that a
 * reset forgot) would make every recorded schedule worthless; so a difference is an error, named by its first step.
 */
import { EFFECT_NAMES, effectKind, effectWord } from '../../machine/effects.js';
import { END_NAMES, type OneThread, type StepObserver } from './one-thread.js';
import { ExactScript } from '../strategies/script.js';

/** The first step at which two runs of one schedule differ. */
export interface Difference {
  readonly step: number;
  /** One line. */
  readonly what: string;
}

/** The effects of one run. */
export class EffectTrace implements StepObserver {
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
 * Runs the schedule that `thread` has just run again: twice, or once when the effects of the first run are known.
 * @param original what the schedule's own run was observed with
 * @returns null when nothing differs
 */
export function recheck(thread: OneThread, variation: number, original: EffectTrace | null = null): Difference | null {
  const { end, steps, observer, outcomeText: outcome } = thread;
  const choices = thread.choices.slice(0, steps);
  const again = original === null ? [new EffectTrace(), new EffectTrace()] : [new EffectTrace()];
  const ends = again.map((trace) => {
    const script = new ExactScript().load(choices, steps);
    script.begin();
    thread.observer = trace;
    const end = thread.run(script, variation);
    // the record ends where the run did: one that was stopped by its limit or by an error goes no further either
    return { end, steps: thread.steps, outcome: thread.outcomeText };
  });
  thread.observer = observer;
  const [first, second] = (original === null ? again : [original, ...again]) as [EffectTrace, EffectTrace];
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first.effects[i] === second.effects[i]) continue;
    const actor = thread.program.actors[choices[i] as number] ?? '';
    const one = effectText(thread, first.effects[i] as number);
    const other = effectText(thread, second.effects[i] as number);
    return { step: i + 1, what: `${actor} stood before '${one}' and, run again, before '${other}'` };
  }
  for (const run of ends) {
    if (run.end === end && run.steps === steps) {
      if (run.outcome === outcome) continue;
      return { step: steps, what: `came to ${outcome} and, run again, to ${run.outcome}` };
    }
    const was = `${END_NAMES[end]} after ${steps} steps`;
    return { step: run.steps, what: `ended as ${was} and, run again, as ${END_NAMES[run.end]} after ${run.steps}` };
  }
  return null;
}

/** `write pte`: an effect in words. */
export function effectText(thread: OneThread, effect: number): string {
  const name = EFFECT_NAMES[effectKind(effect)] ?? `effect ${effectKind(effect)}`;
  return effectWord(effect) === 0 ? name : `${name} ${thread.program.describe(effectWord(effect))}`;
}

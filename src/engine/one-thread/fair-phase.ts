/**
 * What follows a schedule that was cut off at its step limit: a fair one, in which everybody runs in turn and daemons are
 * told to stop. Locks, notifiers and faults must drain then; when the actors go round in circles instead, it is a livelock.
 *
 * Found by what each actor stands before: the effects of the last steps of each are a loop, run through several times. Their
 * local variables cannot be looked at; whether the program's words are the same after a turn of all the loops is said beside it.
 */
import { EFFECT_NAMES, IDLE_WORD, effectKind, effectWord } from '../../machine/effects.js';
import type { Program, Waiting } from './program.js';
import type { Violation } from '../../oracle/violation.js';
import type { ScheduleView, Strategy } from '../strategies/strategy.js';

/** Steps of the fair phase after which loops are looked for, ascending; after the last of them it is given up, undecided. */
export const FAIR_LIMITS = [16_384, 65_536] as const;
/** Steps remembered of each actor. */
const REMEMBERED = 4096;
/** A loop is one when it was run through so often. */
const TURNS_MIN = 4;
/** Steps of a turn that are told. */
const TOLD_MAX = 40;

/** One actor's loop. */
export interface ActorLoop {
  readonly actor: number;
  /** The effects of one turn, in order. */
  readonly effects: readonly number[];
}

/** Everybody in turn. Remembers who stood before what. */
export class RoundRobin implements Strategy {
  readonly name = 'fair';
  readonly exhausted = false;
  /** By actor, a ring of effects, and steps in all. */
  #effects: Int32Array[] = [];
  #steps: number[] = [];

  begin(_schedule: number, actors: number): boolean {
    this.#effects = Array.from({ length: actors }, () => new Int32Array(REMEMBERED));
    this.#steps = Array.from({ length: actors }, () => 0);
    return true;
  }

  pick(view: ScheduleView): number {
    const { enabled, last } = view;
    let at = 0;
    while (at < view.enabledCount && (enabled[at] as number) <= last) at++;
    const actor = enabled[at === view.enabledCount ? 0 : at] as number;
    const steps = this.#steps[actor] as number;
    (this.#effects[actor] as Int32Array)[steps % REMEMBERED] = view.pending[actor] as number;
    this.#steps[actor] = steps + 1;
    return actor;
  }

  end(): void {}

  guarantee(): string {
    return '';
  }

  /** The loops of all that `goesOn`; null when one of them is in none. */
  loops(goesOn: (actor: number) => boolean): ActorLoop[] | null {
    const loops: ActorLoop[] = [];
    for (const [actor, steps] of this.#steps.entries()) {
      if (!goesOn(actor)) continue;
      const count = Math.min(steps, REMEMBERED);
      const effects = this.#effects[actor] as Int32Array;
      const recent = Array.from({ length: count }, (_, i) => effects[(steps - count + i) % REMEMBERED] as number);
      const period = periodOf(recent);
      if (period * TURNS_MIN > count) return null;
      loops.push({ actor, effects: recent.slice(count - period) });
    }
    return loops.length === 0 ? null : loops;
  }

  /** From here on: whether all loops are at their present place again, and `last` has run last, as now. */
  turn(loops: readonly ActorLoop[], last: number): (last: number) => boolean {
    const start = [...this.#steps];
    return (now) =>
      now === last &&
      loops.every(({ actor, effects }) => {
        const done = (this.#steps[actor] as number) - (start[actor] as number);
        return done > 0 && done % effects.length === 0;
      });
  }
}

/** The smallest p with list[i] = list[i - p] throughout (Knuth, Morris, Pratt 1977); the length when there is none smaller. */
export function periodOf(list: readonly number[]): number {
  const border = new Int32Array(list.length + 1);
  border[0] = -1;
  let length = -1;
  for (let i = 0; i < list.length; i++) {
    while (length >= 0 && list[length] !== list[i]) length = border[length] as number;
    border[i + 1] = ++length;
  }
  return list.length - (border[list.length] as number);
}

/** That actors go round and never end, as a broken rule. */
export function livelockBreach(program: Program, loops: readonly ActorLoop[]): Violation {
  const who = loops.map(({ actor }) => program.actors[actor]).join(', ');
  const goes = loops.length === 1 ? 'goes' : 'go';
  return { invariant: 'I-LIVE', what: `livelock: ${who} ${goes} round for ever, though all run in turn` };
}

/**
 * The loops in words: one turn of each, and what it changes.
 * @param before the program's words a turn ago
 * @param waiting actors that cannot go on
 */
export function tellLoops(
  program: Program,
  loops: readonly ActorLoop[],
  before: Int32Array,
  waiting: readonly Waiting[],
): string[] {
  const lines = loops.flatMap(({ actor, effects }) => {
    const told = effects.slice(0, TOLD_MAX).map((effect) => `  ${effectWords(program, effect)}`);
    const more = effects.length > TOLD_MAX ? [`  ... and ${effects.length - TOLD_MAX} steps more`] : [];
    return [`${program.actors[actor]}, again and again:`, ...told, ...more];
  });
  const changed = program.words.reduce<number[]>((list, value, word) => {
    if (value !== before[word]) list.push(word);
    return list;
  }, []);
  const names = changed.slice(0, 4).map((word) => program.describe(word));
  const rest = changed.length > names.length ? ` and ${changed.length - names.length} words more` : '';
  const what = changed.length === 0 ? 'all words are as before' : `only ${names.join(', ')}${rest} changed`;
  // those who wait meanwhile, and for whom
  const others = waiting.filter(({ actor, kind }) => kind !== IDLE_WORD && !loops.some((loop) => loop.actor === actor));
  return [...lines, `after a turn ${what}`, ...program.explain(others)];
}

/** `write pte`. */
function effectWords(program: Program, effect: number): string {
  const name = EFFECT_NAMES[effectKind(effect)] ?? `effect ${effectKind(effect)}`;
  return effectWord(effect) === 0 ? name : `${name} ${program.describe(effectWord(effect))}`;
}

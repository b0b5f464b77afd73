/**
 * The diagram and the event lines of programs that write no events of their own: their steps, with the values of the words
 * they touch.
 */
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_LOCAL,
  EFFECT_READ,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_TRY,
  FIRST_WAIT,
  effectKind,
  effectWord,
} from '../../machine/effects.js';
import type { StepObserver } from '../../engine/one-thread/one-thread.js';
import type { Program } from '../../engine/one-thread/program.js';
import type { Diagram, DiagramRow, Projection } from '../../trace/diagram/model.js';
import type { Item } from '../../trace/diagram/items.js';
import { withOthers } from '../../trace/diagram/projection.js';

const ROWS_MAX = 60;

/** Writes down each step of a schedule as text. */
export class StepText implements StepObserver {
  readonly #program: Program;
  readonly steps: { readonly time: number; readonly actor: number; readonly text: string }[] = [];
  #waited = false;

  constructor(program: Program) {
    this.#program = program;
  }

  beforeStep(_actor: number, effect: number): void {
    this.#waited = effectKind(effect) >= FIRST_WAIT;
    this.#effect = effect;
  }

  afterStep(actor: number, next: number, time: number): void {
    if (time === 0) return;
    const effect = this.#effect;
    const word = effectWord(effect);
    const name = word === 0 ? '' : this.#program.describe(word);
    const blocked = next >= 0 && effectKind(next) >= FIRST_WAIT && effectWord(next) === word && word !== 0;
    this.steps.push({ time, actor, text: this.#phrase(effectKind(effect), name, word, blocked) });
  }

  #effect = EFFECT_LOCAL;

  #phrase(kind: number, name: string, word: number, blocked: boolean): string {
    if (name === '') return 'goes on';
    if (blocked) return `waits for ${name}`;
    if (kind === EFFECT_ACQUIRE || this.#waited) return `lock ${name}`;
    if (kind === EFFECT_RELEASE || kind === EFFECT_RELEASE_READ) return `unlock ${name}`;
    if (kind === EFFECT_ACQUIRE_READ) return `lock ${name} for reading`;
    if (kind === EFFECT_TRY) return `trylock ${name}`;
    const value = this.#program.words[word] as number;
    return kind === EFFECT_READ ? `${name} == ${value}` : `${name} = ${value}`;
  }

  /** The diagram: the last steps, a column per actor, or that of one alone. */
  diagram(verdict: string, projection?: Projection): Diagram {
    const { actors } = this.#program;
    const all = this.steps.map(({ time, actor, text }): Item => ({
      kind: 'mark',
      rank: 1,
      index: -1,
      time,
      actor,
      lines: [{ indent: 0, text, note: '' }],
    }));
    const chosen =
      projection === undefined
        ? all
        : withOthers(
            all.filter(({ actor }) => actor === projection.actor),
            projection,
            actors,
          );
    const shown = chosen.slice(-ROWS_MAX);
    const rows = shown.map(({ time, actor, lines }): DiagramRow => ({ time, cells: [{ actor, lines }] }));
    const columns = [...new Set(shown.map(({ actor }) => actor))].toSorted((x, y) => x - y);
    return {
      actors: columns.map((actor) => ({ actor, title: actors[actor] as string })),
      rows,
      earlier: chosen.length - shown.length,
      otherActors: [],
      verdict,
    };
  }

  /** The steps as NDJSON, in the form of events. */
  ndjson(): string {
    const names = this.#program.actors;
    return this.steps
      .map(({ time, actor, text }) => `${JSON.stringify({ time, actor: names[actor], event: 'step', what: text })}\n`)
      .join('');
  }
}

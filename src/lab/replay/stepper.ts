/**
 * A walk through a recorded schedule, forwards and backwards: the state after any of its steps, what the last one did and changed, and
 * steps looked for by a word, an actor, an event. A step back is the schedule again from its start, one step shorter.
 */
import { OneThread } from '../../engine/one-thread/one-thread.js';
import { effectText } from '../../engine/one-thread/determinism-check.js';
import type { Schedule } from '../../engine/one-thread/schedule-file.js';
import type { StepObserver } from '../../engine/one-thread/step-observer.js';
import { ExactScript } from '../../engine/strategies/script.js';
import { type Place, Positions, sourceLine } from '../../engine/machine/source-positions.js';
import { EVENT_TABLE } from '../../events/table.js';
import { InputError } from '../../errors/errors.js';
import { meant } from '../input/nearest.js';
import { actorLines, machineLines } from '../tell/state-text.js';
import { changedWords } from '../steps/changes.js';
import { Narration, type Part } from '../steps/narration.js';
import type { Subject } from '../explore/explored.js';

/** Where a walk stops by itself. */
interface Breakpoint {
  readonly part: Exclude<Part, 'any'>;
  readonly text: string;
}

export const BREAKPOINT_PARTS = ['word', 'actor', 'event'] as const;

export class Stepper {
  readonly thread: OneThread;
  /** Steps of the record. */
  readonly steps: number;
  /** Steps done in the state shown. */
  at = 0;
  readonly breakpoints: Breakpoint[] = [];
  readonly #schedule: Schedule;
  readonly #script = new ExactScript();
  readonly #positions = new Positions();
  readonly #narration: Narration;
  /** The words before the last step. */
  #before = new Int32Array(0);

  constructor(schedule: Schedule, subject: Subject) {
    this.#schedule = schedule;
    this.steps = schedule.choices.length;
    const stepsMax = Math.max(schedule.stepsMax, this.steps);
    this.thread = new OneThread(subject.create(), stepsMax);
    this.#narration = new Narration(new OneThread(subject.create(), stepsMax), schedule.variation, schedule.choices);
    this.goTo(0);
  }

  close(): void {
    this.#positions.close();
    this.#narration.close();
  }

  /** To the state after `step` steps: 0 to `steps`, or as far as the record fits. */
  goTo(step: number): void {
    const { choices, variation } = this.#schedule;
    const wanted = Math.max(0, Math.min(this.steps, step));
    this.#script.load(choices, wanted).begin();
    const note: StepObserver = {
      beforeStep: (_actor, _effect, at) => {
        if (at === wanted && at > 0) this.#before = this.thread.program.words.slice();
      },
      afterStep() {},
    };
    this.#before = new Int32Array(0);
    this.thread.observer = note;
    this.thread.run(this.#script, variation);
    this.thread.observer = null;
    this.at = this.thread.steps;
  }

  /** To the next step of another actor, or the end: one context switch further. */
  nextSwitch(): void {
    const { choices } = this.#schedule;
    const actor = choices[this.at];
    let to = this.at;
    while (to < this.steps && choices[to] === actor) to++;
    this.goTo(to);
  }

  /**
   * To the state after the next (`by` 1) or last (-1) step that has to do with `text`: its actor, function, word or events.
   * @returns whether there is one; if not, nothing moves
   */
  search(text: string, by: 1 | -1): boolean {
    return this.#seek(by, (time) => this.#narration.matches(time, 'any', text));
  }

  /** As {@link search}, to a step at which a breakpoint stands. Where there is none, to the end of the record or its beginning. */
  toBreakpoint(by: 1 | -1): boolean {
    const stops = (time: number): boolean =>
      this.breakpoints.some(({ part, text }) => this.#narration.matches(time, part, text));
    if (this.#seek(by, stops)) return true;
    this.goTo(by > 0 ? this.steps : 0);
    return false;
  }

  /** @throws InputError for an actor or an event that there is none of, and for a word that no step touches */
  addBreakpoint(part: Breakpoint['part'], text: string): void {
    const { actors } = this.thread.program;
    if (part === 'actor' && !actors.includes(text)) {
      throw new InputError(`no actor '${text}'${meant(text, actors)}; expected one of ${actors.join(', ')}`);
    }
    const isSomewhere = this.#narration.steps.some(({ time }) => this.#narration.matches(time, part, text));
    if (!isSomewhere) {
      const names = part === 'event' ? EVENT_TABLE.map(([name]) => name) : [];
      throw new InputError(`no step of this schedule has ${part} '${text}'${meant(text, names)}`);
    }
    this.breakpoints.push({ part, text });
  }

  /** What the state is now, in lines. */
  describe(): string[] {
    const { thread, at } = this;
    const actor = this.#schedule.choices[at];
    const ended = actor === undefined || at >= this.steps;
    const next = ended
      ? `the record ends here: ${this.#schedule.end}`
      : `next is ${thread.program.actors[actor]}: ${effectText(thread, thread.view.pending[actor] as number)}`;
    return [
      `step ${at} of ${this.steps}; ${next}`,
      ...(ended ? [] : this.#source(actor)),
      ...this.#last(),
      'actors',
      ...actorLines(thread, this.#positions),
      'memory',
      ...machineLines(thread),
    ];
  }

  /** The line of source that the next step stands at. */
  #source(actor: number): string[] {
    const call = this.thread.calls(actor).at(-1);
    if (call === undefined) return [];
    const place: Place = this.#positions.placeOf(call);
    const line = sourceLine(place);
    return line === '' ? [] : [`  ${place.file}:${place.line}  ${line}`];
  }

  /** What the last step did, the events it wrote and the words it changed. */
  #last(): string[] {
    const { at, thread } = this;
    if (at === 0) return [];
    const changed = this.#before.length === 0 ? [] : changedWords(thread.program, this.#before);
    return [
      `last was ${this.#narration.line(at)}`,
      ...this.#narration.events(at).map((text) => `  event ${text}`),
      ...(changed.length === 0 ? ['  changed nothing'] : changed),
    ];
  }

  #seek(by: 1 | -1, matches: (time: number) => boolean): boolean {
    for (let time = this.at + by; time >= 1 && time <= this.steps; time += by) {
      if (!matches(time)) continue;
      this.goTo(time);
      return true;
    }
    return false;
  }
}

/** Every step of a schedule in words, for those who walk through it: who, in which function, on which word, and the events it wrote. */
import { EventLog, recordTime } from '../../events/record.js';
import type { OneThread } from '../../engine/one-thread/one-thread.js';
import { ExactScript } from '../../engine/strategies/script.js';
import { eventName } from '../../trace/event.js';
import { recordType } from '../../events/record.js';
import { eventText } from '../../trace/text.js';
import { FunctionNames } from './function-names.js';
import { stepText } from './phrase.js';
import { type Step, StepRecorder } from './recorder.js';

/** What can be looked for: all of it, or one of its parts. */
export type Part = 'word' | 'actor' | 'event' | 'any';

export class Narration {
  readonly steps: readonly Step[];
  readonly #thread: OneThread;
  readonly #names = new FunctionNames();
  /** By step, the events that it wrote: type names and texts. */
  readonly #events: { readonly name: string; readonly text: string }[][] = [];
  readonly #words: readonly string[];

  /** Runs the schedule once; what `thread` holds of its last run is lost. */
  constructor(thread: OneThread, variation: number, choices: Uint8Array) {
    this.#thread = thread;
    const { program } = thread;
    const recorder = new StepRecorder(thread);
    const log = new EventLog();
    const script = new ExactScript().load(choices, choices.length);
    script.begin();
    program.recordEvents(log);
    thread.observer = recorder;
    thread.run(script, variation);
    thread.observer = null;
    program.recordEvents(null);
    this.steps = recorder.steps;
    this.#words = this.steps.map(({ word }) => (word === 0 ? '' : program.describe(word)));
    for (let i = 0; i < log.count; i++) {
      const name = eventName(recordType(log.records, i));
      const text = eventText(log.records, i, program.actors);
      (this.#events[recordTime(log.records, i)] ??= []).push({ name, text });
    }
  }

  close(): void {
    this.#names.close();
  }

  /** Step `time`, from 1: `vmm, zap_page_range(): PTE(0x0): pfn 0x1 RW -> none`. */
  line(time: number): string {
    const step = this.steps[time - 1];
    if (step === undefined) return '';
    const { program } = this.#thread;
    const inside = this.#names.of(step.calls);
    const text = step.word === 0 ? 'touches nothing shared' : stepText(step, { program });
    return `${program.actors[step.actor] ?? ''}${inside === '' ? '' : `, ${inside}`}: ${text}`;
  }

  /** The events of step `time`, in words. */
  events(time: number): readonly string[] {
    return (this.#events[time] ?? []).map(({ text }) => text.replace(/^\d+ /, ''));
  }

  /** Whether step `time` has to do with `text`, letter case aside. */
  matches(time: number, part: Part, text: string): boolean {
    const has = (words: string): boolean => words.toLowerCase().includes(text.toLowerCase());
    const step = this.steps[time - 1];
    if (step === undefined) return false;
    const actor = this.#thread.program.actors[step.actor] ?? '';
    const events = this.#events[time] ?? [];
    if (part === 'actor') return actor === text;
    if (part === 'event') return events.some((event) => event.name === text || has(event.text));
    // short names are those that diagrams use: PTE(0x1)
    if (part === 'word') return step.word !== 0 && (has(this.#words[time - 1] ?? '') || has(this.#short(step)));
    return has(this.line(time)) || has(this.#words[time - 1] ?? '') || events.some((event) => has(event.text));
  }

  #short(step: Step): string {
    return stepText(step, { program: this.#thread.program });
  }
}

/** Judges the final states of a litmus run on real threads as the file's questions do. */
import type { EventWriter } from '../../../machine/context.js';
import type { Machine } from '../../../machine/layout.js';
import { look as peek } from '#words';
import { holds, needsTally } from '../language/conditions.js';
import { type Observation, observationOf } from '../observation.js';
import { type LitmusState, startFrames } from '../state.js';
import { type LitmusSubject, litmusTest } from '../subject.js';
import type { LitmusSource } from '../source.js';
import { Tally } from '../tally.js';
import { LitmusProgram } from '../program.js';
import type { LitmusTest } from '../compile.js';
import type { Plan } from '../../../plan/plan.js';
import { MACHINES_MAX } from './adapt.js';
import type { Observer } from './worker.js';

/** What crosses to the workers: the file, and a tally of events for each machine where a question asks for one. */
interface FileData {
  readonly source: LitmusSource;
  readonly tallies: readonly SharedArrayBuffer[];
}

/** The observer of a litmus file, for `litmusThreads`. */
export function fileObserver(subject: LitmusSubject): { readonly url: string; readonly data: unknown } {
  const { description, test } = subject;
  if (description?.kind !== 'litmus') throw new RangeError('a litmus subject is described by its source');
  const sizes = new LitmusProgram(test).machine;
  const counts = test.questions.some(({ predicate }) => needsTally(predicate)) ? MACHINES_MAX : 0;
  const tallies = Array.from({ length: counts }, () => new SharedArrayBuffer(Tally.bytes(sizes)));
  const data: FileData = { source: description.source, tallies };
  return { url: import.meta.url, data };
}

class FileObserver implements Observer {
  readonly #test: LitmusTest;
  readonly #buffers: readonly SharedArrayBuffer[];
  readonly #states: LitmusState[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #seen: Observation[] = [];

  constructor({ source, tallies }: FileData) {
    this.#test = litmusTest(source);
    this.#buffers = tallies;
  }

  prepare(m: Machine, machine: number): void {
    const load = (word: number): number => peek(m.words, word);
    const tally = new Tally(m, this.#buffers[machine]);
    this.#states[machine] = { m, load, start: startFrames(m, load), tally };
  }

  events(machine: number): EventWriter | null {
    return this.#buffers.length === 0 ? null : (this.#states[machine] as LitmusState).tally;
  }

  reset(machine: number): void {
    if (this.#buffers.length > 0) (this.#states[machine] as LitmusState).tally.reset();
  }

  observe(_m: Machine, machine: number): number {
    const test = this.#test;
    const state = this.#states[machine] as LitmusState;
    // of states between two steps nothing is seen here
    const yes = test.questions.map(({ during, predicate }) => !during && holds(state, predicate));
    const observation = observationOf(test, state, yes);
    const key = `${observation.text}\n${yes.join(' ')}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#seen.push(observation);
    this.#numbers.set(key, this.#seen.length - 1);
    return this.#seen.length - 1;
  }

  name(observation: number): string {
    return this.#seen[observation]?.text ?? '';
  }

  isForbidden(observation: number): boolean {
    return this.#test.questions.some(({ word, during }, index) => {
      if (during) return false;
      const holding = this.#seen[observation]?.yes[index] === true;
      return word === 'forbidden' ? holding : word === 'always' && !holding;
    });
  }

  yes(observation: number): readonly boolean[] {
    return this.#seen[observation]?.yes ?? [];
  }
}

export const createObserver = (_plan: Plan, data: unknown): Observer => new FileObserver(data as FileData);

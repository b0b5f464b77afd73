/**
 * The races of one schedule: pairs of steps of different actors that touch one word, not both only reading, with nothing between
 * them that orders them: turning such a pair round gives another execution (Flanagan and Godefroid, Dynamic partial-order reduction for
 * model checking software, POPL 2005). Of critical sections the acquisitions race; a release only orders the next acquisition after it.
 */
import {
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_READ,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  IDLE_WORD,
  WAIT_WORD,
  effectKind,
  effectWord,
} from '../../machine/effects.js';
import type { OneThread, StepObserver } from './one-thread.js';
import { ExactScript } from '../strategies/script.js';

/** The steps of a schedule: who, and what they touched. Step i of a schedule is entry i - 1. */
export interface StepTrace {
  readonly actors: readonly number[];
  readonly effects: readonly number[];
}

/** Two steps (indices into the trace) that race; `first` < `second`. */
interface Race {
  readonly first: number;
  readonly second: number;
}

/** Runs `choices` again and writes its steps down. */
export function traceSteps(thread: OneThread, variation: number, choices: Uint8Array): StepTrace {
  const actors: number[] = [];
  const effects: number[] = [];
  const { observer } = thread;
  const note: StepObserver = {
    beforeStep(actor, effect, step) {
      if (step === 0) return;
      actors.push(actor);
      effects.push(effect);
    },
    afterStep() {},
  };
  thread.observer = note;
  const script = new ExactScript().load(choices, choices.length);
  script.begin();
  thread.run(script, variation);
  thread.observer = observer;
  return { actors, effects };
}

const LOAD = 0;
const ADD = 1;
const CHANGE = 2;

/** What a step does to its word. A step that waited for a lock has tried to take it. */
function accessOf(effect: number): number {
  switch (effectKind(effect)) {
    case EFFECT_READ:
    case EFFECT_ACQUIRE_READ:
    case EFFECT_RELEASE_READ:
    case WAIT_WORD:
    case IDLE_WORD:
      return LOAD;
    case EFFECT_ADD:
      return ADD;
    default:
      return CHANGE;
  }
}

/** Whether the order of two steps on one word makes no difference. */
const commutes = (x: number, y: number): boolean => x === y && x !== CHANGE;

const isRelease = (effect: number): boolean =>
  effectKind(effect) === EFFECT_RELEASE || effectKind(effect) === EFFECT_RELEASE_READ;

/** Vector clocks of the steps of a trace: what happened before each. */
export class HappensBefore {
  readonly races: Race[] = [];
  readonly #trace: StepTrace;
  readonly #clocks: Int32Array[] = [];
  /** By step: its number among the steps of its actor, from 1. */
  readonly #own: number[] = [];
  /** By word: the last change, the loads and additions since, and the last step that was no release. */
  readonly #changes = new Map<number, number>();
  readonly #since = new Map<number, number[]>();
  readonly #acquisitions = new Map<number, number>();

  constructor(trace: StepTrace, actors: number) {
    this.#trace = trace;
    const latest = Array.from({ length: actors }, () => new Int32Array(actors));
    trace.effects.forEach((effect, step) => {
      const actor = trace.actors[step] as number;
      const clock = new Int32Array(latest[actor] as Int32Array);
      clock[actor] = (clock[actor] as number) + 1;
      if (effectWord(effect) !== 0) this.#touch(clock, effect, step);
      this.#own.push(clock[actor] as number);
      this.#clocks.push(clock);
      latest[actor] = clock;
    });
  }

  /** Whether `first` happened before `second`, or is it. */
  before(first: number, second: number): boolean {
    return this.#includes(this.#clocks[second] as Int32Array, first);
  }

  #touch(clock: Int32Array, effect: number, step: number): void {
    const { effects } = this.#trace;
    const word = effectWord(effect);
    const access = accessOf(effect);
    const change = this.#changes.get(word);
    const since = this.#since.get(word) ?? [];
    // the newest first: what it brings with it makes older ones ordered, and no races
    for (const other of [...(change === undefined ? [] : [change]), ...since].toSorted((x, y) => y - x)) {
      if (commutes(accessOf(effects[other] as number), access) || this.#includes(clock, other)) continue;
      const rival = isRelease(effects[other] as number) ? this.#acquisitions.get(word) : other;
      if (rival !== undefined && !this.#includes(clock, rival)) this.races.push({ first: rival, second: step });
      this.#join(clock, other);
    }
    if (access === CHANGE) {
      this.#changes.set(word, step);
      this.#since.delete(word);
    } else {
      this.#since.set(word, [...since, step]);
    }
    if (!isRelease(effect)) this.#acquisitions.set(word, step);
  }

  #includes(clock: Int32Array, step: number): boolean {
    return (clock[this.#trace.actors[step] as number] as number) >= (this.#own[step] as number);
  }

  #join(clock: Int32Array, step: number): void {
    const other = this.#clocks[step] as Int32Array;
    for (let i = 0; i < clock.length; i++)
      if ((other[i] as number) > (clock[i] as number)) clock[i] = other[i] as number;
  }
}

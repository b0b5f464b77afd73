/**
 * What a step has touched, once it is over: the word that it declared, what the program says it touched beside (Program.touchedBeside), and
 * two words that stand for more than one: a change of any observed word, and the end of tiers of actors, which those who idle look at.
 */
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_READ,
  EFFECT_RMW,
  FIRST_IDLE,
  WAIT_LOCK,
} from '../../machine/effects.js';
import { type Program, TIERS } from '../one-thread/program.js';
import { BARS, SLOTS } from './dependence.js';
import { RETURNED, Standing } from './standing.js';
import { NextEvent } from './trace.js';

/** The step is an event: `next`. */
export const EVENT = 0;
/** It has touched nothing. */
const NOTHING = 1;
/** An attempt on a lock that another holds, and that has changed nothing: as if it had not been made. */
export const FAILED = 2;

/** Words beside the program's own: their numbers follow on its (Program.wordsNamed leaves them out). */
export const WORDS_BESIDE = 2;

const isBlocking = (kind: number): boolean => kind === EFFECT_ACQUIRE || kind === EFFECT_ACQUIRE_READ;

export class StepAccesses {
  readonly next = new NextEvent();
  readonly standing: Standing;
  /** What is wrong with the step that was taken last; empty when nothing is. */
  problem = '';
  readonly #program: Program;
  readonly #observed: readonly number[];
  readonly #observedValues: Int32Array;
  readonly #observedWord: number;
  readonly #finishWord: number;
  /** Some actors end when others have. */
  readonly #tiered: boolean;
  readonly #beside = new Int32Array(SLOTS);
  readonly #besideBefore = new Int32Array(SLOTS);

  constructor(program: Program, observed: readonly number[]) {
    this.#program = program;
    this.#finishWord = program.words.length;
    this.#observedWord = program.words.length + 1;
    this.standing = new Standing(program, this.#finishWord);
    this.#observed = observed;
    this.#observedValues = new Int32Array(observed.length);
    this.#tiered = program.actors.some((_, actor) => program.tierOf(actor) > 0);
  }

  /** Some accesses are known only once they have happened. */
  get isLoose(): boolean {
    return this.#program.touchedBeside !== undefined || this.#observed.length > 0;
  }

  /** Steps are looked at from now on: whatever was touched before is forgotten. */
  begin(): void {
    const program = this.#program;
    for (let i = 0; i < this.#observed.length; i++) this.#observedValues[i] = this.valueOf(this.#observed[i] as number);
    if (program.touchedBeside === undefined) return;
    for (let actor = 0; actor < program.actors.length; actor++) {
      program.touchedBeside(actor, this.#beside, this.#besideBefore);
    }
  }

  valueOf(word: number): number {
    return word < this.#program.words.length ? (this.#program.words[word] as number) : 0;
  }

  /**
   * `actor` has done `effect`, whose word held `before`, and now stands before `now` (RETURNED = it has returned).
   * @returns EVENT, with `next` filled in; NOTHING or FAILED
   */
  take(actor: number, effect: number, before: number, now: number): number {
    const { next, standing } = this;
    const kind = effect & 15;
    this.problem = '';
    next.count = 0;
    let failed = false;
    if (standing.isLocal(actor)) {
      next.actor = actor;
      next.guarded = false;
      next.after = 0;
    } else {
      const after = this.valueOf(effect >>> 4);
      const waits = now >= 0 && (now & 15) === WAIT_LOCK && now >>> 4 === effect >>> 4;
      failed = waits && after === before && isBlocking(kind);
      if (kind === EFFECT_ACQUIRE && !waits && after === before) this.problem = 'a trylock is declared as no such';
      this.stood(actor, effect, before);
      if (waits && kind === EFFECT_ACQUIRE) next.accesses[0] = (effect & ~15) | BARS;
      next.after = after;
    }
    this.#touchBeside(actor, effect, now);
    standing.stand(actor, now);
    return failed ? FAILED : next.count > 0 ? EVENT : NOTHING;
  }

  /** Fills in `next` with the step that `actor` stands before. */
  stood(actor: number, effect: number, before: number): void {
    const { next, standing } = this;
    next.actor = actor;
    next.accesses[0] = effect;
    next.before[0] = before;
    next.after = before;
    next.count = 1;
    next.guarded = standing.isGuarded(actor) && !isBlocking(effect & 15);
    next.guard = standing.guard(actor);
    next.guardMask = standing.guardMask(actor);
  }

  #touch(access: number, before: number): void {
    const { next } = this;
    if (next.count === SLOTS) {
      if ((this.#program.order?.suspects ?? 0) === 0) this.problem = 'a step touches too much';
      return;
    }
    next.accesses[next.count] = access;
    next.before[next.count++] = before;
  }

  #touchBeside(actor: number, effect: number, now: number): void {
    const program = this.#program;
    if (program.touchedBeside !== undefined) {
      const count = program.touchedBeside(actor, this.#beside, this.#besideBefore);
      // what is undeclared proves nothing as it is
      const proves = (program.order?.suspects ?? 0) === 0;
      if (count >= SLOTS && proves) this.problem = 'a step touches too much';
      for (let i = 0; i < Math.min(count, SLOTS); i++) {
        const access = this.#beside[i] as number;
        if (access >>> 4 !== effect >>> 4) this.#touch(access, this.#besideBefore[i] as number);
      }
    }
    let changed = false;
    for (let i = 0; i < this.#observed.length; i++) {
      const value = this.valueOf(this.#observed[i] as number);
      changed ||= value !== this.#observedValues[i];
      this.#observedValues[i] = value;
    }
    if (changed) this.#touch((this.#observedWord << 4) | EFFECT_RMW, 0);
    if (!this.#tiered) return;
    const idle = this.standing.isIdle(actor) || now === RETURNED || (now & 15) >= FIRST_IDLE;
    const tier = program.tierOf(actor);
    if (tier > 0 && idle) this.#touch((this.#finishWord << 4) | EFFECT_READ, 0);
    if (tier < TIERS - 1 && now === RETURNED) this.#touch((this.#finishWord << 4) | EFFECT_ADD, 0);
  }
}

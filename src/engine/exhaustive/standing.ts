/**
 * Where the actors of a program stand in the schedule under way, as the search sees it: the effect of each one's next step once it can
 * run, what its wait is for, and the turns of its retry loops. Kept for each node of the search as well, so that one can go on
 * from there.
 */
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_LOCAL,
  EFFECT_READ,
  EFFECT_RETRY,
  EFFECT_RMW,
  FIRST_WAIT,
  IDLE_SLEEP,
  IDLE_WORD,
  WAIT_LOCK,
} from '../../machine/effects.js';
import type { Program } from '../one-thread/program.js';

/** An actor that has returned. */
export const RETURNED = -1;

const GUARDED = 1;
const OF_LOCK = 2;
const IDLE = 4;

/** Fields by actor. */
const EFFECT = 0;
const FLAGS = 1;
const GUARD = 2;
const CYCLE_FROM = 3;
const CYCLE_TO = 4;
const TURNS = 5;
const LOOP = 6;
const FIELDS = 7;

export class Standing {
  readonly #program: Program;
  readonly #actors: number;
  readonly #now: Int32Array;
  #kept: Int32Array;
  /** The word that stands for the tiers' ends; actors above tier 0 read it when idle. */
  readonly #finishWord: number;

  constructor(program: Program, finishWord: number) {
    this.#program = program;
    this.#actors = program.actors.length;
    this.#now = new Int32Array(this.#actors * FIELDS);
    this.#kept = new Int32Array(this.#actors * FIELDS * 64);
    this.#finishWord = finishWord;
  }

  /** All actors stand before their first point. */
  begin(pending: Int32Array): void {
    this.#now.fill(0);
    for (let actor = 0; actor < this.#actors; actor++) {
      this.#set(actor, CYCLE_FROM, -1);
      this.#set(actor, CYCLE_TO, -1);
      this.stand(actor, pending[actor] as number);
    }
  }

  /** `actor` has yielded `effect`, or returned: RETURNED. */
  stand(actor: number, effect: number): void {
    const kind = effect & 15;
    let next = effect;
    let flags = 0;
    if (effect >= 0 && kind >= FIRST_WAIT) {
      if (kind >= IDLE_SLEEP) {
        // what it may be told there
        next = this.#program.tierOf(actor) > 0 ? (this.#finishWord << 4) | EFFECT_READ : EFFECT_LOCAL;
        flags = IDLE;
      } else {
        next = this.#waitedFor(actor, effect >>> 4);
        flags = GUARDED | (kind === WAIT_LOCK ? OF_LOCK : 0) | (kind === IDLE_WORD ? IDLE : 0);
        this.#set(actor, GUARD, this.#program.waitValue(actor));
      }
    }
    if (effect === EFFECT_RETRY) this.#enterLoop(actor);
    this.#set(actor, EFFECT, next);
    this.#set(actor, FLAGS, flags);
  }

  #enterLoop(actor: number): void {
    const loop = this.#program.retryLoop?.(actor) ?? 0;
    if (loop === this.#now[actor * FIELDS + LOOP]) return;
    this.#set(actor, LOOP, loop);
    this.setCycle(actor, -1, -1);
  }

  /** What a step does that ends a wait: what the one before it, which led to the wait, has tried or looked at. */
  #waitedFor(actor: number, word: number): number {
    const last = this.effect(actor);
    const kind = last & 15;
    const again = kind === EFFECT_READ || kind === EFFECT_ACQUIRE || kind === EFFECT_ACQUIRE_READ;
    return (word << 4) | (last >>> 4 === word && again ? kind : EFFECT_RMW);
  }

  /** The effect of the actor's next step, or RETURNED. */
  effect(actor: number): number {
    return this.#now[actor * FIELDS + EFFECT] as number;
  }

  isLocal(actor: number): boolean {
    const effect = this.effect(actor);
    return effect === EFFECT_LOCAL || effect === EFFECT_RETRY;
  }

  isGuarded(actor: number): boolean {
    return ((this.#now[actor * FIELDS + FLAGS] as number) & GUARDED) !== 0;
  }

  isIdle(actor: number): boolean {
    return ((this.#now[actor * FIELDS + FLAGS] as number) & IDLE) !== 0;
  }

  guard(actor: number): number {
    return this.#now[actor * FIELDS + GUARD] as number;
  }

  guardMask(actor: number): number {
    return ((this.#now[actor * FIELDS + FLAGS] as number) & OF_LOCK) === 0 ? -1 : 0x7fffffff;
  }

  /** Turns of loops and idle points so far: who has fewer goes first. */
  turns(actor: number): number {
    return this.#now[actor * FIELDS + TURNS] as number;
  }

  turned(actor: number): void {
    this.#set(actor, TURNS, this.turns(actor) + 1);
  }

  /** Where the events of the retry loop's turn under way begin; -1 = in none. */
  cycleFrom(actor: number): number {
    return this.#now[actor * FIELDS + CYCLE_FROM] as number;
  }

  /** Where those of a turn end that led nowhere; -1 = the actor may go on. */
  cycleTo(actor: number): number {
    return this.#now[actor * FIELDS + CYCLE_TO] as number;
  }

  /** The loop that the actor has stood at the top of last. */
  loop(actor: number): number {
    return this.#now[actor * FIELDS + LOOP] as number;
  }

  setCycle(actor: number, from: number, to: number): void {
    this.#set(actor, CYCLE_FROM, from);
    this.#set(actor, CYCLE_TO, to);
  }

  /** Remembers all this for `node`. */
  keep(node: number): void {
    const size = this.#now.length;
    if ((node + 1) * size > this.#kept.length) {
      const grown = new Int32Array(this.#kept.length * 2);
      grown.set(this.#kept);
      this.#kept = grown;
    }
    for (let i = 0, at = node * size; i < size; i++) this.#kept[at + i] = this.#now[i] as number;
  }

  /** As it was at `node`. */
  restore(node: number): void {
    const size = this.#now.length;
    for (let i = 0, at = node * size; i < size; i++) this.#now[i] = this.#kept[at + i] as number;
  }

  /** At `node`: the turn of `actor` that led nowhere ends there; -1 = none. */
  cycleToAt(node: number, actor: number): number {
    return this.#kept[node * this.#now.length + actor * FIELDS + CYCLE_TO] as number;
  }

  cycleFromAt(node: number, actor: number): number {
    return this.#kept[node * this.#now.length + actor * FIELDS + CYCLE_FROM] as number;
  }

  #set(actor: number, field: number, value: number): void {
    this.#now[actor * FIELDS + field] = value;
  }
}

/**
 * Retry loops. Where an actor stands at the top of a loop without bound (RETRY) its own state is the same each time; so a turn
 * after which every word it touched holds what it did before has led back to where it began, and the next would. The actor then stands
 * still until another changes one of those words, or reads what it wrote there: a spin is a wait.
 *
 * So with several actors that go round on each other's account, when everything is as it was before (states.ts).
 *
 * Executions in which it goes round once more are those without that turn, so they need not be run: a race that would need it
 * is not turned round.
 */
import { EFFECT_RETRY } from '../../machine/effects.js';
import { NO_ACCESS, SLOTS, accessesDepend } from './dependence.js';
import type { Standing } from './standing.js';
import type { Trace } from './trace.js';
import { type Move, dependent } from './wakeup-tree.js';

export class Retries {
  readonly #trace: Trace;
  readonly #standing: Standing;
  readonly #words: Int32Array;

  constructor(trace: Trace, standing: Standing, words: Int32Array) {
    this.#trace = trace;
    this.#standing = standing;
    this.#words = words;
  }

  /** `actor` has come to a point; says whether it stands still from here on. */
  arrived(actor: number): boolean {
    if (this.#standing.effect(actor) !== EFFECT_RETRY) return false;
    const from = this.#standing.cycleFrom(actor);
    if (from < 0 || !this.#isFruitless(actor, from)) return false;
    this.#standing.setCycle(actor, from, this.#trace.length);
    return true;
  }

  /** Everything is as it was after the first `node` events: whoever has moved since stands still. */
  returned(node: number): void {
    for (let actor = 0; actor < this.#trace.actors; actor++) {
      if (this.#trace.lastOf(actor) >= node) this.#standing.setCycle(actor, node, this.#trace.length);
    }
  }

  /** `actor` goes round. */
  leaves(actor: number): void {
    this.#standing.setCycle(actor, this.#trace.length, -1);
  }

  /** Whether `actor` stands still now. */
  isStill(actor: number): boolean {
    return this.#standing.cycleTo(actor) >= 0;
  }

  /** Who stands still now, a bit each. */
  still(): number {
    let mask = 0;
    for (let actor = 0; actor < this.#trace.actors; actor++) if (this.isStill(actor)) mask |= 1 << actor;
    return mask;
  }

  /** `event` has happened: who stood still for want of it goes on. */
  happened(event: number): void {
    for (let actor = 0; actor < this.#trace.actors; actor++) {
      const to = this.#standing.cycleTo(actor);
      if (to < 0 || actor === this.#trace.actor[event]) continue;
      if (this.#touches(this.#standing.cycleFrom(actor), to, actor, this.#accessesOf(event)))
        this.#standing.setCycle(actor, -1, -1);
    }
  }

  /**
   * A sequence that is to follow on the first `node` events, without the moves of those who would only go round again, and what
   * depends on those. Null when its last move is not left.
   */
  without<T extends Move>(node: number, sequence: T[]): T[] | null {
    let still = 0;
    for (let actor = 0; actor < this.#trace.actors; actor++) {
      if (this.#standing.cycleToAt(node, actor) >= 0) still |= 1 << actor;
    }
    if (still === 0) return sequence;
    const kept: T[] = [];
    const left: T[] = [];
    for (const move of sequence) {
      if ((still & (1 << move.actor)) !== 0 || left.some((each) => dependent(each, move))) {
        left.push(move);
        continue;
      }
      kept.push(move);
      for (let actor = 0; actor < this.#trace.actors; actor++) {
        if ((still & (1 << actor)) === 0) continue;
        const from = this.#standing.cycleFromAt(node, actor);
        if (this.#touches(from, this.#standing.cycleToAt(node, actor), actor, move.accesses)) still &= ~(1 << actor);
      }
    }
    return kept.at(-1) === sequence.at(-1) ? kept : null;
  }

  #accessesOf(event: number): Int32Array {
    return this.#trace.accesses.subarray(event * SLOTS, event * SLOTS + SLOTS);
  }

  /** Whether one of `accesses` depends on an event of `actor` from `from` to `to`. */
  #touches(from: number, to: number, actor: number, accesses: ArrayLike<number>): boolean {
    const trace = this.#trace;
    for (let event = from; event < to; event++) {
      if (trace.actor[event] !== actor) continue;
      for (let at = event * SLOTS; at < event * SLOTS + SLOTS; at++) {
        const access = trace.accesses[at] as number;
        if (access === NO_ACCESS) break;
        for (let i = 0; i < accesses.length && accesses[i] !== NO_ACCESS; i++) {
          if (accessesDepend(access, accesses[i] as number)) return true;
        }
      }
    }
    return false;
  }

  /** Whether the turn from event `from` to now has changed nothing, and nobody's events have come into it. */
  #isFruitless(actor: number, from: number): boolean {
    const trace = this.#trace;
    const last = trace.lastOf(actor);
    for (let other = 0; other < trace.actors; other++) {
      if (other === actor) continue;
      if (last >= from && trace.clock(last, other) > from) return false;
      const its = trace.lastOf(other);
      if (its >= from && trace.clock(its, actor) > from) return false;
    }
    const seen = new Set<number>();
    for (let event = from; event < trace.length; event++) {
      if (trace.actor[event] !== actor) continue;
      for (let at = event * SLOTS; at < event * SLOTS + SLOTS; at++) {
        const access = trace.accesses[at] as number;
        if (access === NO_ACCESS) break;
        const word = access >>> 4;
        if (seen.has(word) || word >= this.#words.length) continue;
        seen.add(word);
        if (this.#words[word] !== trace.before[at]) return false;
      }
    }
    return true;
  }
}

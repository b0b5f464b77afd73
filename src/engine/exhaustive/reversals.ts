/**
 * Turns races round. For a race of e and a later e': what happened after e without having to, and then e', is a way for e' to come first.
 * It goes into the wake-up tree of the node where e was chosen, unless something that was tried there leads to the same.
 */
import { EFFECT_ACQUIRE } from '../../machine/effects.js';
import { BARS } from './dependence.js';
import { type Nodes, accessList } from './nodes.js';
import type { Retries } from './retries.js';
import type { Standing } from './standing.js';
import type { Trace } from './trace.js';
import { type Branch, initialOf, insert } from './wakeup-tree.js';

/** A sequence that is to be tried at a node that somebody else keeps (split.ts). */
interface Outer {
  readonly node: number;
  readonly sequence: readonly Branch[];
}

export class Reversals {
  readonly #trace: Trace;
  readonly #nodes: Nodes;
  readonly #standing: Standing;
  readonly #retries: Retries;
  readonly #loose: boolean;
  /** Nodes before this one are kept by somebody else; what is to be tried there. */
  own = 0;
  readonly outer: Outer[] = [];
  /** Races that were not turned round, as somebody would only go round a loop again. */
  folded = 0;

  constructor(trace: Trace, nodes: Nodes, standing: Standing, retries: Retries, loose: boolean) {
    this.#trace = trace;
    this.#nodes = nodes;
    this.#standing = standing;
    this.#retries = retries;
    this.#loose = loose;
  }

  /** All races that the trace has found, which are then forgotten. */
  turnAll(): void {
    const { first, second, beforeAll } = this.#trace;
    for (let i = 0; i < first.length; i++) {
      this.#turn(first[i] as number, second[i] as number, beforeAll[i] === true);
    }
    this.#trace.clearRaces();
  }

  #turn(first: number, second: number, beforeAll: boolean): void {
    const trace = this.#trace;
    const nodes = this.#nodes;
    const sequence: Branch[] = [];
    const last = this.#lastMove(second);
    const word = (last.accesses[0] as number) >>> 4;
    for (let event = first + 1; event < trace.length; event++) {
      if (event === second || trace.isBefore(first, event)) continue;
      if (beforeAll && trace.isAfterAddition(first, word, event)) {
        // its own additions cannot come after it
        if (trace.actor[event] === last.actor) return;
        continue;
      }
      sequence.push(nodes.move(event));
    }
    sequence.push(last);
    const useful = this.#retries.without(first, sequence);
    if (useful === null) {
      this.folded++;
      return;
    }
    for (let each = nodes.sleepers(first); each !== null; each = each.next) {
      if (initialOf(each, useful) >= 0) return;
    }
    if (first < this.own) this.outer.push({ node: first, sequence: useful });
    else insert(nodes.open(first), useful);
  }

  /** The later move of a race, which is to come first: it may take what it only tried to. */
  #lastMove(second: number): Branch {
    if (second < 0) {
      const actor = -1 - second;
      return { actor, accesses: accessList(this.#standing.effect(actor)), next: [], loose: this.#loose };
    }
    const { actor, accesses } = this.#nodes.move(second);
    const main = accesses[0] as number;
    const declared = (main & 15) === BARS ? (main & ~15) | EFFECT_ACQUIRE : main;
    return { actor, accesses: [declared, ...accesses.slice(1)], next: [], loose: this.#loose };
  }
}

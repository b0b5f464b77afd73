/**
 * Counterfactual schedules: a schedule as it was, but with two steps of two actors in the other order, or with one actor held up until
 * the other has done what it had begun. They are wishes (GuidedScript): what counts is what they lead to.
 */
import { effectWord } from '../../machine/effects.js';
import type { HappensBefore } from '../../engine/one-thread/races.js';
import { LOCK, LOCK_SHARED, type RunTrace, UNLOCK } from './run-trace.js';

/** Steps that an actor gets to come to the end of what it does. */
const OVERTAKE = 400;
/** Steps that a server gets to find a request. */
const POLLS = 4;

/** For each step, the steps at which the locks were taken that are held there for its actor. */
function holds({ who, effects, kinds }: RunTrace): readonly (readonly number[])[] {
  const now = new Map<number, readonly number[]>();
  return who.map((actor, step) => {
    const held = now.get(actor) ?? [];
    const kind = kinds[step] as number;
    const word = effectWord(effects[step] as number);
    if (kind === LOCK || kind === LOCK_SHARED) now.set(actor, [...held, step]);
    else if (kind === UNLOCK)
      now.set(
        actor,
        held.filter((at) => effectWord(effects[at] as number) !== word),
      );
    return held;
  });
}

/** Counterfactuals of one schedule. */
export class Turner {
  readonly #trace: RunTrace;
  readonly #order: HappensBefore;
  readonly #holds: readonly (readonly number[])[];

  constructor(trace: RunTrace, order: HappensBefore) {
    this.#trace = trace;
    this.#order = order;
    this.#holds = holds(trace);
  }

  /**
   * Locks that the actor of `y` has taken in (from, to] only when that of `x` had given them back: two that both hold at a time, as readers do, keep
   * nobody out.
   */
  #exclusive(x: number, y: number, from: number, to: number): Set<number> {
    const { who, effects, kinds } = this.#trace;
    const held = new Set((this.#holds[from] as readonly number[]).map((at) => effectWord(effects[at] as number)));
    const given = new Set<number>();
    const words = new Set<number>();
    const shared = new Set<number>();
    if (who[from] !== who[x]) held.clear();
    for (let step = from; step <= to; step++) {
      const word = effectWord(effects[step] as number);
      const kind = kinds[step] as number;
      const takes = kind === LOCK || kind === LOCK_SHARED;
      if (who[step] === who[x]) {
        if (takes) held.add(word);
        else if (kind === UNLOCK && held.delete(word)) given.add(word);
      } else if (who[step] === who[y] && takes) {
        if (held.has(word)) shared.add(word);
        else if (given.has(word)) words.add(word);
      }
    }
    for (const word of shared) words.delete(word);
    return words;
  }

  /** Whether a server works for the actor of `y` in [from, y] that has worked for the one of `x` at `x`. */
  #sharesServer(x: number, y: number): boolean {
    const { actors, who } = this.#trace;
    if (actors[x] === who[x]) return false;
    for (let step = x + 1; step <= y; step++) if (actors[step] === actors[x] && who[step] === who[y]) return true;
    return false;
  }

  /** From where on the actor of `x` must wait for `y` to come first: where it took what the actor of `y` needs on the way. */
  #from(x: number, y: number): number {
    const { effects, calls } = this.#trace;
    const wanted = this.#exclusive(x, y, x, y);
    const taken = (this.#holds[x] as readonly number[]).filter((at) => wanted.has(effectWord(effects[at] as number)));
    const from = Math.min(x, ...taken);
    return this.#sharesServer(x, y) ? Math.min(from, calls[x] as number) : from;
  }

  /** The last step for `x`'s actor that has to be over before `y` can come: the release of what they both need. */
  #until(x: number, from: number, y: number): number {
    if (from === x) return x;
    const { who, effects, kinds, calls, actors } = this.#trace;
    const wanted = this.#exclusive(x, y, from, y);
    const open = new Set<number>();
    for (let step = from; step <= x; step++) {
      const word = effectWord(effects[step] as number);
      if (who[step] === who[x] && wanted.has(word)) open.add(word);
    }
    const served = this.#sharesServer(x, y);
    let last = x;
    for (let step = x; step < y; step++) {
      if (who[step] !== who[x]) continue;
      const answered = !served || !(actors[step] === actors[x] && calls[step] === calls[x]);
      if (open.size === 0 && answered) break;
      last = step;
      if (kinds[step] === UNLOCK) open.delete(effectWord(effects[step] as number));
    }
    return last;
  }

  /** Where the actor of `y` begins what cannot be parted: it takes a lock there that it holds at `y` and that `x`'s actor wants, too. */
  #begin(x: number, y: number, from: number): number {
    const { effects, calls } = this.#trace;
    const wanted = this.#exclusive(x, y, from, y);
    const taken = (this.#holds[y] as readonly number[]).filter(
      (at) => at > from && wanted.has(effectWord(effects[at] as number)),
    );
    const begin = Math.min(y, ...taken);
    return this.#sharesServer(x, y) ? Math.max(from, Math.min(begin, calls[y] as number)) : begin;
  }

  /** The last step of what begins at `begin` and cannot be parted: where what was taken is given back. */
  #end(y: number, begin: number): number {
    if (begin === y) return y;
    const { actors, who, effects, kinds, calls } = this.#trace;
    const open = new Set(
      (this.#holds[y] as readonly number[]).filter((at) => at >= begin).map((at) => effectWord(effects[at] as number)),
    );
    const called = actors[y] !== who[y];
    let last = y;
    for (let step = y + 1; step < actors.length; step++) {
      if (who[step] !== who[y]) continue;
      if (open.size === 0 && !(called && actors[step] === actors[y] && calls[step] === calls[y])) break;
      last = step;
      if (kinds[step] === UNLOCK) open.delete(effectWord(effects[step] as number));
    }
    return last;
  }

  /** `y` just before `x`: whatever `x`'s actor brought about since comes after both. */
  turned(x: number, y: number): Uint8Array {
    return this.#around(x, y, true);
  }

  /** As {@link turned} up to the two steps, which come in the order that they had: `x`, then `y` at once. */
  kept(x: number, y: number): Uint8Array {
    return this.#around(x, y, false);
  }

  #around(x: number, y: number, turn: boolean): Uint8Array {
    const { choices } = this.#trace;
    const { from, end, early, first, second, late } = this.#parts(x, y);
    const pair = turn ? [...second, ...first] : [...first, ...second];
    return Uint8Array.from([...choices.subarray(0, from), ...early, ...pair, ...late, ...choices.subarray(end + 1)]);
  }

  /** All that the actor of `y` still does, before `x`: where it looks again and again, each look has to come first. */
  overtaken(x: number, y: number): Uint8Array {
    const { actors, choices } = this.#trace;
    const { from, end, early, first, second, late } = this.#parts(x, y);
    const more = Array.from({ length: OVERTAKE }, () => actors[y] as number);
    const rest = choices.subarray(end + 1);
    return Uint8Array.from([...choices.subarray(0, from), ...early, ...second, ...more, ...first, ...late, ...rest]);
  }

  /** The steps from where `x` may be held up to where `y` is over: those that can be first, `x` and what hangs together with it, `y` and so on. */
  #parts(x: number, y: number) {
    const { actors, who, calls } = this.#trace;
    const from = this.#from(x, y);
    const until = this.#until(x, from, y);
    const begin = this.#begin(x, y, from);
    const end = this.#end(y, begin);
    const early: number[] = [];
    const first: number[] = [];
    const second: number[] = [];
    const late: number[] = [];
    for (let step = from; step <= end; step++) {
      const actor = actors[step] as number;
      if (who[step] === who[y]) (step < begin ? early : second).push(actor);
      else if (who[step] === who[x]) (step <= until ? first : late).push(actor);
      else (this.#order.before(from, step) ? late : early).push(actor);
    }
    if (begin === calls[y] && actors[y] !== who[y]) {
      // a server that is called at another moment looks another number of times: what it cannot do is passed over
      const [caller, server] = [who[y] as number, actors[y] as number];
      second.splice(1, 0, caller, caller);
      second.push(...Array.from({ length: POLLS }, () => server));
    }
    return { from, end, early, first, second, late };
  }

  /** The actor of `y` held up there until that of `x` has ended the operation that `x` belongs to; null: it had ended already. */
  delayed(x: number, y: number): Uint8Array | null {
    const { actors, who, operations, choices } = this.#trace;
    const begin = this.#begin(x, y, x);
    const isOf = (step: number): boolean =>
      who[step] === who[x] && (actors[step] !== who[step] || operations[step] === this.#operation(x));
    const acts: number[] = [];
    const rest: number[] = [];
    for (let step = begin; step < actors.length; step++) {
      (isOf(step) ? acts : rest).push(actors[step] as number);
    }
    if (acts.length === 0) return null;
    return Uint8Array.from([...choices.subarray(0, begin), ...acts, ...rest]);
  }

  /** The operation of the actor that `step` is for: its own, or the one that it called from. */
  #operation(step: number): number {
    const { calls, operations } = this.#trace;
    return operations[calls[step] as number] as number;
  }
}

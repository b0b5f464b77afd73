/**
 * The execution under way as a sequence of events: the steps that touch something shared, with the vector clocks of their
 * happens-before order (Mattern, Virtual time and global states of distributed systems, 1989) and the races among them.
 *
 * An event e races with a later e' of another actor when they depend on each other, nothing between them orders them, and e' could have
 * come first. What could not: the acquisition of a lock before its release, the end of a wait before the change waited for.
 *
 * Everything is kept in typed arrays that grow; `truncate` goes back to an earlier length, so that executions with a common
 * beginning share its clocks.
 */
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_RMW,
  EFFECT_TRY,
  EFFECT_WRITE,
} from '../../machine/effects.js';
import { BARS, COMMUTE, NO_ACCESS, ORDER, SLOTS, isBarrier, relation } from './dependence.js';

const FIRST_CAPACITY = 256;

/** What is known of the event to come: filled in by whoever appends it. */
export class NextEvent {
  actor = 0;
  /** What it touches, as packed effects; the first `count`. */
  readonly accesses = new Int32Array(SLOTS).fill(NO_ACCESS);
  count = 0;
  /** What the word of each held before it; and what that of the first holds after it. */
  readonly before = new Int32Array(SLOTS);
  after = 0;
  /** It has not come: its actor cannot do it now. */
  blocked = false;
  /** It waited until the first word, masked, held something else than `guard`. */
  guarded = false;
  guard = 0;
  guardMask = -1;
}

export class Trace {
  length = 0;
  /** By event. */
  actor = new Uint8Array(FIRST_CAPACITY);
  #changed = new Uint8Array(FIRST_CAPACITY);
  /** The same actor's event before it, or -1. */
  #own = new Int32Array(FIRST_CAPACITY);
  /** By event, SLOTS each. */
  accesses = new Int32Array(FIRST_CAPACITY * SLOTS);
  /** What the word of each access held before the event. */
  before = new Int32Array(FIRST_CAPACITY * SLOTS);
  #previous = new Int32Array(FIRST_CAPACITY * SLOTS);
  /** By event, one number per actor: that many of the sequence's events, as far as they are that actor's, come before it. */
  #clocks: Int32Array<ArrayBuffer>;
  /** By word: the last access (event * SLOTS + slot) + 1. */
  readonly #last: Int32Array;
  /** By actor: its last event, or -1. */
  readonly #lastOf: Int32Array;
  /** By actor: the clock of an event that it stands before, as {@link racesOf} has found it. */
  readonly #standing: Int32Array;
  readonly #known: Int32Array;
  readonly #candidates: number[] = [];
  readonly #orders: number[] = [];
  readonly actors: number;
  /** Races found since {@link clearRaces}: `first[i]` with `second[i]`, which is an event or -1 - actor (it stands before it). */
  readonly first: number[] = [];
  readonly second: number[] = [];
  /** Whether the later one can only come first if it comes before all additions to its word since then. */
  readonly beforeAll: boolean[] = [];

  /** @param words words are numbered from 0 to words - 1 */
  constructor(actors: number, words: number) {
    this.actors = actors;
    this.#clocks = new Int32Array(FIRST_CAPACITY * actors);
    this.#last = new Int32Array(words);
    this.#lastOf = new Int32Array(actors).fill(-1);
    this.#standing = new Int32Array(actors * actors);
    this.#known = new Int32Array(actors);
  }

  /** Adds an event, and the races that it ends. */
  append(next: NextEvent): void {
    const event = this.length;
    if (event === this.actor.length) this.#grow();
    const { actors } = this;
    this.#relate(next, this.#clocks, event * actors, event);
    this.#clocks[event * actors + next.actor] = event + 1;
    this.actor[event] = next.actor;
    this.#changed[event] = next.before[0] === next.after ? 0 : 1;
    this.#own[event] = this.#lastOf[next.actor] as number;
    this.#lastOf[next.actor] = event;
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = event * SLOTS + slot;
      const access = slot < next.count ? (next.accesses[slot] as number) : NO_ACCESS;
      this.accesses[at] = access;
      if (access === NO_ACCESS) continue;
      this.before[at] = next.before[slot] as number;
      this.#previous[at] = this.#last[access >>> 4] as number;
      this.#last[access >>> 4] = at + 1;
    }
    this.length = event + 1;
  }

  /** The races that an event would end that its actor stands before, and cannot do. */
  racesOf(next: NextEvent): void {
    next.blocked = true;
    this.#relate(next, this.#standing, next.actor * this.actors, -1 - next.actor);
    next.blocked = false;
  }

  clearRaces(): void {
    this.first.length = 0;
    this.second.length = 0;
    this.beforeAll.length = 0;
  }

  /** Back to the first `length` events. */
  truncate(length: number): void {
    for (let event = this.length - 1; event >= length; event--) {
      this.#lastOf[this.actor[event] as number] = this.#own[event] as number;
      for (let at = event * SLOTS + SLOTS - 1; at >= event * SLOTS; at--) {
        const access = this.accesses[at] as number;
        if (access !== NO_ACCESS) this.#last[access >>> 4] = this.#previous[at] as number;
      }
    }
    this.length = length;
  }

  /** Whether event `earlier` comes before event `later` (or is it). */
  isBefore(earlier: number, later: number): boolean {
    return (this.#clocks[later * this.actors + (this.actor[earlier] as number)] as number) > earlier;
  }

  /** The last event of `actor`, or -1. */
  lastOf(actor: number): number {
    return this.#lastOf[actor] as number;
  }

  /** How many of the sequence's events, as far as they are `actor`'s, come before `event`. */
  clock(event: number, actor: number): number {
    return this.#clocks[event * this.actors + actor] as number;
  }

  /** Writes the clock of an event to come to clocks[at...], its own entry apart, and notes its races as `second`. */
  #relate(next: NextEvent, clocks: Int32Array, at: number, second: number): void {
    const { actors } = this;
    const known = this.#known;
    const own = this.#lastOf[next.actor] as number;
    for (let i = 0; i < actors; i++) known[i] = own < 0 ? 0 : (this.#clocks[own * actors + i] as number);
    for (let i = 0; i < actors; i++) clocks[at + i] = known[i] as number;
    const candidates = this.#candidates;
    const orders = this.#orders;
    candidates.length = 0;
    orders.length = 0;
    this.#lookBack(next, 0, second);
    const orders0 = orders.length;
    const candidates0 = candidates.length;
    for (let slot = 1; slot < next.count; slot++) this.#lookBack(next, slot, second);
    for (let i = candidates.length - 1; i >= candidates0; i--) {
      if (!this.#isTooEarly(next, candidates[i] as number, orders0)) continue;
      orders.push(candidates[i] as number);
      candidates.splice(i, 1);
    }
    if (candidates.length > 1) candidates.sort((x, y) => y - x);
    for (const event of candidates) {
      const actor = this.actor[event] as number;
      if ((known[actor] as number) > event) continue;
      this.#race(event, second, false);
      this.#join(known, 0, event);
    }
    for (const event of candidates) this.#join(clocks, at, event);
    for (const event of orders) this.#join(clocks, at, event);
  }

  #race(first: number, second: number, beforeAll: boolean): void {
    this.first.push(first);
    this.second.push(second);
    this.beforeAll.push(beforeAll);
  }

  #join(clocks: Int32Array, at: number, event: number): void {
    const from = event * this.actors;
    for (let i = 0; i < this.actors; i++) {
      const other = this.#clocks[from + i] as number;
      if (other > (clocks[at + i] as number)) clocks[at + i] = other;
    }
  }

  /** The events that one access of the event to come depends on, from the last back to one that covers all before it. */
  #lookBack(next: NextEvent, slot: number, second: number): void {
    const access = next.accesses[slot] as number;
    const kind = access & 15;
    const known = this.#known;
    // within the critical section that it waits for, too
    let unlocked = false;
    let released = next.blocked && (kind === EFFECT_ACQUIRE || kind === EFFECT_ACQUIRE_READ);
    for (let at = (this.#last[access >>> 4] as number) - 1; at >= 0; at = (this.#previous[at] as number) - 1) {
      const event = (at / SLOTS) | 0;
      const actor = this.actor[event] as number;
      if (actor === next.actor) continue;
      const itsKind = (this.accesses[at] as number) & 15;
      if ((known[actor] as number) > event) {
        if (isBarrier(itsKind)) return;
        continue;
      }
      const related = relation(itsKind, kind);
      if (related === COMMUTE) continue;
      if (related === ORDER) {
        unlocked ||= itsKind === EFFECT_RELEASE;
        this.#orders.push(event);
        released ||= itsKind === EFFECT_RELEASE || (itsKind === EFFECT_RELEASE_READ && kind === EFFECT_ACQUIRE);
        continue;
      }
      // within a critical section that was over before: this acquisition could not have come between
      if (released && !this.#takes(itsKind, event)) continue;
      const barring = itsKind === BARS && !unlocked && this.#isHeld(next, kind, at);
      if (barring || this.#isBarred(kind, at) || this.#isGuarded(next, slot, at)) {
        if (this.#wasOver(next, slot, at)) this.#race(event, second, true);
        this.#orders.push(event);
        continue;
      }
      this.#candidates.push(event);
      if (isBarrier(itsKind)) return;
    }
  }

  /** Whether an access took a lock (or may have). */
  #takes(kind: number, event: number): boolean {
    if (kind === EFFECT_ACQUIRE || kind === EFFECT_ACQUIRE_READ || kind === BARS) return true;
    return (kind === EFFECT_TRY || kind === EFFECT_RMW || kind === EFFECT_WRITE) && this.#changed[event] === 1;
  }

  /**
   * Whether the event to come could not have come before `event`, which touches something that it touches on the side: what ended its
   * wait (the first `orders` of #orders: one change of the word, or all releases of the lock) came after that.
   */
  #isTooEarly(next: NextEvent, event: number, orders: number): boolean {
    if (next.guarded) return this.#isDisabled(next, event);
    for (let i = 0; i < orders; i++) {
      const order = this.#orders[i] as number;
      if (order > event && this.isBefore(event, order)) return true;
    }
    return false;
  }

  /**
   * Whether the wait that the event to come ends would not be over without `event` and what rests on it. Of the changes of its
   * word since then only additions do not rest on each other.
   */
  #isDisabled(next: NextEvent, event: number): boolean {
    let after = next.before[0] as number;
    let added = 0;
    let value = after;
    const word = (next.accesses[0] as number) >>> 4;
    for (let at = (this.#last[word] as number) - 1; at >= 0; at = (this.#previous[at] as number) - 1) {
      const each = (at / SLOTS) | 0;
      if (each < event) break;
      value = this.before[at] as number;
      if (each !== event && !this.isBefore(event, each)) added += after - value;
      after = value;
    }
    return ((value + added) & next.guardMask) === next.guard;
  }

  /** Whether the lock was held when the attempt at `at` barred readers, and so that the event to come could not have had it. */
  #isHeld(next: NextEvent, kind: number, at: number): boolean {
    if (kind === EFFECT_ACQUIRE) return next.blocked;
    if (kind !== EFFECT_ACQUIRE_READ) return false;
    for (let each = (this.#previous[at] as number) - 1; each >= 0; each = (this.#previous[each] as number) - 1) {
      const itsKind = (this.accesses[each] as number) & 15;
      if (itsKind === EFFECT_ACQUIRE) return true;
      if (itsKind === EFFECT_RELEASE) return false;
    }
    return false;
  }

  /** Whether readers were barred when the writer's acquisition at `at` came: until then, and since the one before it. */
  #isBarred(kind: number, at: number): boolean {
    if (kind !== EFFECT_ACQUIRE_READ || ((this.accesses[at] as number) & 15) !== EFFECT_ACQUIRE) return false;
    for (let each = (this.#previous[at] as number) - 1; each >= 0; each = (this.#previous[each] as number) - 1) {
      const itsKind = (this.accesses[each] as number) & 15;
      if (itsKind === BARS) return true;
      if (itsKind === EFFECT_ACQUIRE) return false;
    }
    return false;
  }

  /** Whether the wait that the event to come ends could not have ended before the access at `at`. */
  #isGuarded(next: NextEvent, slot: number, at: number): boolean {
    if (!next.guarded) return false;
    // told to finish: without that, the word would have had to change
    if (slot > 0) {
      const told = ((this.accesses[at] as number) & 15) === EFFECT_ADD;
      return told && ((next.before[0] as number) & next.guardMask) === next.guard;
    }
    return this.#isDisabled(next, (at / SLOTS) | 0);
  }

  /** Whether the wait would have been over before the addition at `at`, though not without it alone. */
  #wasOver(next: NextEvent, slot: number, at: number): boolean {
    if (!next.guarded || slot > 0 || ((this.accesses[at] as number) & 15) !== EFFECT_ADD) return false;
    return ((this.before[at] as number) & next.guardMask) !== next.guard;
  }

  /** Whether `event` rests on an addition to `word` from `first` on, or is one. */
  isAfterAddition(first: number, word: number, event: number): boolean {
    for (let at = (this.#last[word] as number) - 1; at >= 0; at = (this.#previous[at] as number) - 1) {
      const each = (at / SLOTS) | 0;
      if (each < first) return false;
      if (((this.accesses[at] as number) & 15) === EFFECT_ADD && this.isBefore(each, event)) return true;
    }
    return false;
  }

  #grow(): void {
    const capacity = this.actor.length * 2;
    this.actor = longerBytes(this.actor, capacity);
    this.#changed = longerBytes(this.#changed, capacity);
    this.#own = longer(this.#own, capacity);
    this.accesses = longer(this.accesses, capacity * SLOTS);
    this.before = longer(this.before, capacity * SLOTS);
    this.#previous = longer(this.#previous, capacity * SLOTS);
    this.#clocks = longer(this.#clocks, capacity * this.actors);
  }
}

function longer(old: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const array = new Int32Array(length);
  array.set(old);
  return array;
}

function longerBytes(old: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const array = new Uint8Array(length);
  array.set(old);
  return array;
}

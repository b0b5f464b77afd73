/**
 * Whether the accesses of one-thread runs are ordered: the check on which "proved" rests (engine/exhaustive/README.md).
 *
 * A step declares one access at its schedule point, and touches what it says beside (beside.ts). Whatever else it reads or stores,
 * a field that a lock protects, an object that nobody else can reach, is right only if it could not come at the same time as
 * an access of another actor to the same word: if declared accesses order the two. Two that conflict and are not ordered are a data race,
 * whatever lock was meant to be there; strategies do not explore their orders, and this tells of them.
 *
 * Vector clocks by actor, epochs by word (Flanagan, Freund: FastTrack, PLDI 2009). The edges are those that exhaustive search's
 * dependence relation has, no others: what is ordered here is ordered in every execution that the search takes for the same. An edge
 * goes out from the access itself, so what a step does after its declared access is covered by the next declared one only,
 * as if there were a point before each access.
 *
 * Each schedule begins with all actors knowing everything before it, so nothing is set back between two.
 */
import { ADDS, PLAIN_READS, READS, SHARED, STORED, STORES, VectorClocks, actorOf } from '../vector-clocks.js';
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_LOCAL,
  EFFECT_READ,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_RETRY,
  EFFECT_RMW,
  IDLE_SLEEP,
  FIRST_WAIT,
} from '../effects.js';

/** What is wrong with an access. */
export const UNDECLARED_READ = 0;
export const UNDECLARED_WRITE = 1;
/** A store to the declared word, which is declared as read only; or a look at what an addition makes of it. */
export const DECLARED_OTHERWISE = 2;
/** A lock is taken or given back as declared, but its word was not free, or not ours. */
export const NO_SUCH_LOCK = 3;
/** Neither was done: the lock's word was not touched. */
export const LOCK_NOT_TOUCHED = 4;

/** An access that nothing orders with one of another actor. */
export interface Undeclared {
  readonly what: number;
  readonly word: number;
  /** Whose access is not declared. */
  readonly actor: number;
  /** Whose access to the word it is not ordered with; -1 = nobody's in particular. */
  readonly other: number;
  /** The stack of the access; undefined = not known, as it was the earlier one ({@link AccessOrder.keepStacks}). */
  readonly stack: string | undefined;
}

/** Of the last plain read: several actors have read, see the record; and the word has been found undeclared. */
const SEVERAL = -1;
const SUSPECT = -2;

/** PENDING of a fair reader-writer lock (locks/rw.ts): an attempt that only sets it has not got the lock. */
const PENDING = 1 << 12;
const WAITERS = 1 << 31;
const WRITER = 0xff << 13;
const LOW = 0xfff;
/** One problem of each word and kind is kept, and no more than so many. */
const KEPT = 50;
const BESIDE_MAX = 16;

/** What tells an undeclared access from others. */
export const keyOf = ({ word, what }: Pick<Undeclared, 'word' | 'what'>): number => word * 8 + what;

export class AccessOrder {
  readonly words: Int32Array;
  /** Told of accesses to suspect words: what a step touches beside (packed effect, value before). */
  readonly onSuspect: (effect: number, before: number) => void;
  /** What has been found, once each. */
  readonly found: Undeclared[] = [];
  /** Keeps the stack of plain accesses, so that the earlier of two can be named. Slow. */
  keepStacks = false;
  /**
   * What was found stays found from one schedule to the next, and its words are told to `onSuspect`: for a search, whose relation
   * they enter. Otherwise what a schedule finds does not depend on those before it.
   */
  keeps = false;
  /** Words that were found undeclared. */
  suspects = 0;
  readonly #suspects: number[] = [];
  readonly #clocks: VectorClocks;
  /** By actor, its last declared access. */
  readonly #last: Int32Array;
  /** By word: epochs (clock << 8 | actor) of the last plain store and the last plain read. */
  readonly #stored: Int32Array;
  readonly #read: Int32Array;
  readonly #known = new Set<number>();
  readonly #stacks = new Map<number, { readonly stack?: string }>();
  #declared = -1;
  #kind = EFFECT_LOCAL;
  /** The declared access has been made. */
  #done = true;
  #touched = true;
  /** Words that the step has said it touches beside. */
  readonly #beside = new Int32Array(BESIDE_MAX);
  #besideCount = 0;

  constructor(words: Int32Array, actors: number, onSuspect: (effect: number, before: number) => void) {
    this.words = words;
    this.onSuspect = onSuspect;
    this.#clocks = new VectorClocks(words.length, actors);
    this.#last = new Int32Array(actors);
    this.#stored = new Int32Array(words.length);
    this.#read = new Int32Array(words.length);
  }

  /** A schedule begins: everything before it is known to all. */
  begin(): void {
    if (!this.#clocks.meet()) {
      this.#stored.fill(0);
      for (let i = 0; i < this.#read.length; i++) if (this.#read[i] !== SUSPECT) this.#read[i] = 0;
    }
    if (!this.keeps && this.found.length > 0) this.#forget();
    this.#last.fill(EFFECT_LOCAL);
    this.#stacks.clear();
    this.#declared = -1;
    this.#touched = true;
  }

  /** `actor` is about to do what it yielded last. */
  step(actor: number, effect: number): void {
    if (!this.#touched) this.#checkLock();
    let kind = effect & 15;
    let word = effect >>> 4;
    if (kind >= FIRST_WAIT) {
      if (kind >= IDLE_SLEEP) kind = EFFECT_LOCAL;
      else {
        // what it does when the wait is over is what it has tried before
        const last = this.#last[actor] as number;
        const its = last & 15;
        const again = its === EFFECT_READ || its === EFFECT_ACQUIRE || its === EFFECT_ACQUIRE_READ;
        kind = last >>> 4 === word && again ? its : EFFECT_RMW;
      }
    }
    if (kind === EFFECT_LOCAL || kind === EFFECT_RETRY) word = -1;
    this.#last[actor] = word < 0 ? EFFECT_LOCAL : (word << 4) | kind;
    this.#declared = word;
    this.#kind = kind;
    this.#done = false;
    this.#besideCount = 0;
    this.#touched = !isOfLock(kind);
    this.#clocks.select(actor);
  }

  /** The schedule is over. */
  end(): void {
    if (!this.#touched) this.#checkLock();
    this.#touched = true;
  }

  /** A load of `index`, marked or not. */
  load(index: number): void {
    if (index === this.#declared) this.#declaredLoad(index);
    else if (this.#read[index] !== this.#clocks.epoch) this.#plainLoad(index);
  }

  /** A store to `index`, marked or not. */
  store(index: number): void {
    if (index === this.#declared) this.#declaredStore(index);
    else if (this.#stored[index] !== this.#clocks.epoch || (this.#read[index] as number) < 0) this.#plainStore(index);
  }

  /** An atomic addition. */
  add(index: number, delta: number): void {
    if (index !== this.#declared) this.#plainStore(index);
    else if (this.#kind === EFFECT_ADD) this.#once(index, ADDS, true);
    else if (this.#kind === EFFECT_RELEASE_READ && delta === -1 && ((this.words[index] as number) & LOW) > 0)
      this.#once(index, SHARED, true);
    else this.#declaredStore(index);
  }

  /** An exchange of `next` for what the word holds: unconditional, or by cmpxchg when it held what was `expected`. */
  exchange(index: number, before: number, next: number): void {
    if (index !== this.#declared) this.#plainStore(index);
    else if (this.#kind === EFFECT_ACQUIRE) this.#takes(index, before, next);
    else if (this.#kind === EFFECT_ACQUIRE_READ) {
      this.#touched = true;
      if ((before & WRITER) !== 0 || next !== before + 1) this.#report(NO_SUCH_LOCK, index, -1, true);
      else this.#once(index, SHARED, true);
    } else this.#declaredStore(index);
  }

  /** What a step says that it touches beside its declared word. */
  touches(effect: number): void {
    const kind = effect & 15;
    const index = effect >>> 4;
    if (index >= this.words.length) return;
    // who touches more of them does so before each access
    this.#beside[this.#besideCount++ % BESIDE_MAX] = index;
    this.#order(index, kind === EFFECT_READ ? READS : kind === EFFECT_ADD ? ADDS : STORES);
    if (kind !== EFFECT_READ) this.#noteStored(index);
  }

  #takes(index: number, before: number, next: number): void {
    this.#touched = true;
    // the attempt of a writer that makes later readers wait
    if (next === (before | PENDING) && before !== 0) return;
    if ((before & ~(PENDING | WAITERS)) !== 0) this.#report(NO_SUCH_LOCK, index, -1, true);
    else this.#once(index, STORES, true);
  }

  #declaredLoad(index: number): void {
    const kind = this.#kind;
    this.#touched = true;
    if (kind === EFFECT_READ) this.#once(index, READS, false);
    else if (kind === EFFECT_ADD) this.#report(DECLARED_OTHERWISE, index, -1, true);
    // an attempt on a lock is an access once it succeeds
    else if (!isOfLock(kind)) this.#once(index, STORES, false);
  }

  #declaredStore(index: number): void {
    const kind = this.#kind;
    const value = this.words[index] as number;
    this.#touched = true;
    if (kind === EFFECT_READ || kind === EFFECT_ADD) this.#report(DECLARED_OTHERWISE, index, -1, true);
    else if (kind === EFFECT_RELEASE) {
      const mine = (value & LOW) === this.#clocks.actor + 1 || (value & WRITER) >> 13 === this.#clocks.actor + 1;
      if (!mine && !this.#done) this.#report(NO_SUCH_LOCK, index, -1, true);
      else this.#once(index, STORES, true);
    } else if (isOfLock(kind)) {
      if (!this.#done) this.#report(NO_SUCH_LOCK, index, -1, true);
    } else this.#once(index, STORES, true);
  }

  #once(index: number, vector: number, stores: boolean): void {
    this.#touched = true;
    if (!this.#done) {
      this.#done = true;
      this.#order(index, vector);
    }
    if (stores) this.#noteStored(index);
  }

  /** The declared access has stored to the word. */
  #noteStored(index: number): void {
    const read = this.#read[index] as number;
    if (read !== 0) this.#againstLoads(index, read);
    this.#clocks.noteStored(index);
  }

  /** A declared access: whoever makes it must know of all plain stores. */
  #order(index: number, vector: number): void {
    this.#clocks.sync(index, vector);
    const stored = this.#stored[index] as number;
    if (stored === 0 || this.#read[index] === SUSPECT || !this.#clocks.isOpen(stored)) return;
    this.#report(UNDECLARED_WRITE, index, actorOf(stored), false);
  }

  /** A declared store meets plain loads of others. */
  #againstLoads(index: number, read: number): void {
    const by = this.#openRead(index, read);
    if (by >= 0) this.#report(UNDECLARED_READ, index, by, false);
  }

  /** Who has read the word plainly, unknown to this step's actor; -1 = nobody. */
  #openRead(index: number, read: number): number {
    if (read > 0) return this.#clocks.isOpen(read) ? actorOf(read) : -1;
    return read === SEVERAL ? this.#clocks.openOf(index, PLAIN_READS) : -1;
  }

  #openStore(index: number): number {
    const stored = this.#stored[index] as number;
    return stored !== 0 && this.#clocks.isOpen(stored) ? actorOf(stored) : -1;
  }

  #plainLoad(index: number): void {
    if (this.#besideCount > 0 && this.#isBeside(index)) return;
    const read = this.#read[index] as number;
    const clocks = this.#clocks;
    if (read === SUSPECT) {
      if (this.keeps) this.onSuspect((index << 4) | EFFECT_READ, this.words[index] as number);
      return;
    }
    let by = this.#openStore(index);
    if (by < 0) by = clocks.openOf(index, STORED);
    if (by >= 0) {
      this.#report(UNDECLARED_READ, index, by, true);
      return;
    }
    if (this.keepStacks) this.#keepStack(index, false);
    if (read === SEVERAL) clocks.noteRead(index, 0);
    else if (read === 0 || actorOf(read) === clocks.actor || !clocks.isOpen(read)) this.#read[index] = clocks.epoch;
    else {
      clocks.noteRead(index, read);
      this.#read[index] = SEVERAL;
    }
  }

  #plainStore(index: number): void {
    const read = this.#read[index] as number;
    if (read === SUSPECT) {
      if (this.keeps) this.onSuspect((index << 4) | EFFECT_RMW, this.words[index] as number);
      return;
    }
    if (this.#besideCount > 0 && this.#isBeside(index)) return;
    let by = this.#openStore(index);
    if (by < 0 && read !== 0) by = this.#openRead(index, read);
    if (by < 0) by = this.#clocks.openAccess(index);
    if (by >= 0) {
      this.#report(UNDECLARED_WRITE, index, by, true);
      return;
    }
    if (this.keepStacks) this.#keepStack(index, true);
    this.#read[index] = 0;
    this.#stored[index] = this.#clocks.epoch;
  }

  #isBeside(index: number): boolean {
    const count = Math.min(this.#besideCount, BESIDE_MAX);
    for (let i = 0; i < count; i++) if (this.#beside[i] === index) return true;
    return false;
  }

  /** A lock was to be taken or given back in the step before. */
  #checkLock(): void {
    this.#touched = true;
    this.#report(LOCK_NOT_TOUCHED, this.#declared, -1, false);
  }

  /** @param now the access is the one under way; else one of `other`'s before it */
  #report(what: number, word: number, other: number, now: boolean): void {
    if (what <= UNDECLARED_WRITE) {
      this.#read[word] = SUSPECT;
      this.#suspects.push(word);
      this.suspects++;
    }
    const key = keyOf({ word, what });
    if (this.#known.has(key) || this.found.length >= KEPT) return;
    this.#known.add(key);
    const actor = now || other < 0 ? this.#clocks.actor : other;
    const earlier = this.#stacks.get(word * 512 + actor * 2 + (what === UNDECLARED_WRITE ? 1 : 0));
    const { stack } = now ? new Error('undeclared') : (earlier ?? {});
    this.found.push({ what, word, actor, other: now ? other : this.#clocks.actor, stack });
  }

  #keepStack(index: number, write: boolean): void {
    this.#stacks.set(index * 512 + this.#clocks.actor * 2 + (write ? 1 : 0), new Error('undeclared'));
  }

  #forget(): void {
    for (const word of this.#suspects) this.#read[word] = 0;
    this.#suspects.length = 0;
    this.suspects = 0;
    this.found.length = 0;
    this.#known.clear();
  }
}

const isOfLock = (kind: number): boolean =>
  kind === EFFECT_ACQUIRE || kind === EFFECT_RELEASE || kind === EFFECT_ACQUIRE_READ || kind === EFFECT_RELEASE_READ;

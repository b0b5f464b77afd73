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
} from './effects.js';

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

/** Vectors of a word's record: declared stores, reads, additions, accesses of readers of a lock; and plain reads by several actors. */
const STORES = 0;
const READS = 1;
const ADDS = 2;
const SHARED = 3;
const PLAIN_READS = 4;
/** By actor, when it last did store by a declared access: an exchange that fails is one of STORES, but stores nothing. */
const STORED = 5;
const VECTORS = 6;

const ACTOR_BITS = 8;
const CLOCK_MAX = 1 << 22;
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

export class AccessOrder {
  readonly words: Int32Array;
  /** Told of accesses to suspect words: what a step touches beside (packed effect, value before). */
  readonly onSuspect: (effect: number, before: number) => void;
  /** What has been found, once each; it only grows. */
  readonly found: Undeclared[] = [];
  /** Keeps the stack of plain accesses, so that the earlier of two can be named. Slow. */
  keepStacks = false;
  /** Any word was found undeclared. */
  suspects = 0;
  readonly #actors: number;
  /** By actor, its clock. */
  readonly #clocks: Int32Array;
  /** By actor, its last declared access. */
  readonly #last: Int32Array;
  /** By word: epochs (clock << 8 | actor) of the last plain store and the last plain read. */
  readonly #stored: Int32Array;
  readonly #read: Int32Array;
  /** By word: its record + 1. */
  readonly #record: Int32Array;
  #records: Int32Array;
  #recordCount = 0;
  readonly #known = new Set<number>();
  readonly #stacks = new Map<number, { readonly stack?: string }>();
  #actor = 0;
  #own = 0;
  #epoch = 0;
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
    this.#actors = actors;
    this.#clocks = new Int32Array(actors * actors);
    this.#last = new Int32Array(actors);
    this.#stored = new Int32Array(words.length);
    this.#read = new Int32Array(words.length);
    this.#record = new Int32Array(words.length);
    this.#records = new Int32Array(64 * VECTORS * actors);
  }

  /** A schedule begins: everything before it is known to all. */
  begin(): void {
    const n = this.#actors;
    const clocks = this.#clocks;
    for (let actor = 0; actor < n; actor++) {
      const now = clocks[actor * n + actor] as number;
      if (now > CLOCK_MAX) this.#restart();
      for (let other = 0; other < n; other++) clocks[other * n + actor] = now;
    }
    for (let actor = 0; actor < n; actor++) clocks[actor * n + actor] = (clocks[actor * n + actor] as number) + 1;
    this.#actor = -1;
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
    if (actor === this.#actor && this.#own === actor * this.#actors) return;
    this.#actor = actor;
    this.#own = actor * this.#actors;
    this.#epoch = ((this.#clocks[this.#own + actor] as number) << ACTOR_BITS) | actor;
  }

  /** The schedule is over. */
  end(): void {
    if (!this.#touched) this.#checkLock();
    this.#touched = true;
  }

  /** A load of `index`, marked or not. */
  load(index: number): void {
    if (index === this.#declared) this.#declaredLoad(index);
    else if (this.#read[index] !== this.#epoch) this.#plainLoad(index);
  }

  /** A store to `index`, marked or not. */
  store(index: number): void {
    if (index === this.#declared) this.#declaredStore(index);
    else if (this.#stored[index] !== this.#epoch || (this.#read[index] as number) < 0) this.#plainStore(index);
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
    if (this.#besideCount < BESIDE_MAX) this.#beside[this.#besideCount++] = index;
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
      const mine = (value & LOW) === this.#actor + 1 || (value & WRITER) >> 13 === this.#actor + 1;
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
    const at = ((this.#record[index] as number) - 1) * VECTORS * this.#actors + STORED * this.#actors + this.#actor;
    const read = this.#read[index] as number;
    if (read !== 0) this.#againstLoads(index, read);
    // the access itself was the moment before
    this.#records[at] = (this.#epoch >>> ACTOR_BITS) - 1;
  }

  /** A declared access: ordered with all of other classes before it, and with those of its own if it stores. */
  #order(index: number, vector: number): void {
    const n = this.#actors;
    const clocks = this.#clocks;
    const own = this.#own;
    const actor = this.#actor;
    const records = this.#recordOf(index) * VECTORS * n;
    const all = this.#records;
    for (let each = STORES; each <= SHARED; each++) {
      if (each === vector && vector !== STORES) continue;
      for (let i = 0, at = records + each * n; i < n; i++) {
        if ((all[at + i] as number) > (clocks[own + i] as number)) clocks[own + i] = all[at + i] as number;
      }
    }
    const stored = this.#stored[index] as number;
    if (stored !== 0 && this.#read[index] !== SUSPECT && this.#isOpen(stored)) {
      this.#report(UNDECLARED_WRITE, index, stored & 255, false);
    }
    for (let i = 0, at = records + vector * n; i < n; i++) {
      if ((clocks[own + i] as number) > (all[at + i] as number)) all[at + i] = clocks[own + i] as number;
    }
    const now = (clocks[own + actor] as number) + 1;
    clocks[own + actor] = now;
    this.#epoch = (now << ACTOR_BITS) | actor;
  }

  /** A declared store meets plain loads of others. */
  #againstLoads(index: number, read: number): void {
    const by =
      read > 0 ? (this.#isOpen(read) ? read & 255 : -1) : read === SEVERAL ? this.#openOf(index, PLAIN_READS) : -1;
    if (by >= 0 && by !== this.#actor) this.#report(UNDECLARED_READ, index, by, false);
  }

  #plainLoad(index: number): void {
    if (this.#besideCount > 0 && this.#isBeside(index)) return;
    const read = this.#read[index] as number;
    if (read === SUSPECT) {
      this.onSuspect((index << 4) | EFFECT_READ, this.words[index] as number);
      return;
    }
    const stored = this.#stored[index] as number;
    const by = stored !== 0 && this.#isOpen(stored) ? stored & 255 : this.#openStore(index);
    if (by >= 0) {
      this.#report(UNDECLARED_READ, index, by, true);
      return;
    }
    if (this.keepStacks) this.#keepStack(index, false);
    if (read === SEVERAL)
      this.#records[this.#recordOf(index) * VECTORS * this.#actors + PLAIN_READS * this.#actors + this.#actor] =
        this.#epoch >>> ACTOR_BITS;
    else if (read === 0 || (read & 255) === this.#actor || !this.#isOpen(read)) this.#read[index] = this.#epoch;
    else {
      const at = (this.#recordOf(index) * VECTORS + PLAIN_READS) * this.#actors;
      this.#records.fill(0, at, at + this.#actors);
      this.#records[at + (read & 255)] = read >>> ACTOR_BITS;
      this.#records[at + this.#actor] = this.#epoch >>> ACTOR_BITS;
      this.#read[index] = SEVERAL;
    }
  }

  #plainStore(index: number): void {
    if (this.#besideCount > 0 && this.#isBeside(index)) return;
    const read = this.#read[index] as number;
    if (read === SUSPECT) {
      this.onSuspect((index << 4) | EFFECT_RMW, this.words[index] as number);
      return;
    }
    const stored = this.#stored[index] as number;
    let by = -1;
    if (stored !== 0 && this.#isOpen(stored)) by = stored & 255;
    else if (read > 0 && this.#isOpen(read)) by = read & 255;
    else if (read === SEVERAL) by = this.#openOf(index, PLAIN_READS);
    if (by < 0) by = this.#openStore(index);
    if (by < 0 && this.#record[index] !== 0) by = this.#openAccess(index);
    if (by >= 0) {
      this.#report(UNDECLARED_WRITE, index, by, true);
      return;
    }
    if (this.keepStacks) this.#keepStack(index, true);
    this.#read[index] = 0;
    this.#stored[index] = this.#epoch;
  }

  #isBeside(index: number): boolean {
    for (let i = 0; i < this.#besideCount; i++) if (this.#beside[i] === index) return true;
    return false;
  }

  /** Whether an access of another actor's with this epoch is not known to the actor of this step. */
  #isOpen(epoch: number): boolean {
    return epoch >>> ACTOR_BITS > (this.#clocks[this.#own + (epoch & 255)] as number);
  }

  /** Who has stored to the word by a declared access that this step's actor does not know of; -1 = nobody. */
  #openStore(index: number): number {
    if (this.#record[index] === 0) return -1;
    return this.#openOf(index, STORED);
  }

  /** Who has accessed it so. */
  #openAccess(index: number): number {
    for (let vector = STORES; vector <= SHARED; vector++) {
      const by = this.#openOf(index, vector);
      if (by >= 0) return by;
    }
    return -1;
  }

  #openOf(index: number, vector: number): number {
    const n = this.#actors;
    const at = (((this.#record[index] as number) - 1) * VECTORS + vector) * n;
    for (let i = 0; i < n; i++) {
      if (i !== this.#actor && (this.#records[at + i] as number) > (this.#clocks[this.#own + i] as number)) return i;
    }
    return -1;
  }

  #recordOf(index: number): number {
    const known = this.#record[index] as number;
    if (known !== 0) return known - 1;
    const record = this.#recordCount++;
    const size = VECTORS * this.#actors;
    if ((record + 1) * size > this.#records.length) {
      const grown = new Int32Array(this.#records.length * 2);
      grown.set(this.#records);
      this.#records = grown;
    }
    this.#record[index] = record + 1;
    return record;
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
      this.suspects++;
    }
    const key = word * 8 + what;
    if (this.#known.has(key) || this.found.length >= KEPT) return;
    this.#known.add(key);
    const actor = now || other < 0 ? this.#actor : other;
    const earlier = this.#stacks.get(word * 512 + actor * 2 + (what === UNDECLARED_WRITE ? 1 : 0));
    const { stack } = now ? new Error('undeclared') : (earlier ?? {});
    this.found.push({ what, word, actor, other: now ? other : this.#actor, stack });
  }

  #keepStack(index: number, write: boolean): void {
    this.#stacks.set(index * 512 + this.#actor * 2 + (write ? 1 : 0), new Error('undeclared'));
  }

  /** Clocks are about to overflow. */
  #restart(): void {
    this.#clocks.fill(0);
    this.#stored.fill(0);
    for (let i = 0; i < this.#read.length; i++) if (this.#read[i] !== SUSPECT) this.#read[i] = 0;
    this.#records.fill(0);
  }
}

const isOfLock = (kind: number): boolean =>
  kind === EFFECT_ACQUIRE || kind === EFFECT_RELEASE || kind === EFFECT_ACQUIRE_READ || kind === EFFECT_RELEASE_READ;

/**
 * A ring of event records in shared memory: one writer (a worker), one reader (usually the main thread).
 *
 *   word   name            written by   what
 *   ----   -------------   ----------   ---------------------------------------------------------------------------
 *      0   CAPACITY        creator      records, a power of two; 0 = inactive
 *      1   MODE            writer       RING_LOSSLESS, RING_LOSSY, RING_RECORDER
 *     16   HEAD            writer       records published so far, mod 2^32
 *     17   STATE           writer       RING_RUNNING, RING_ASLEEP, RING_CLOSED
 *     18   BOUND           writer       two words: no later record has a smaller time than this
 *     20   WRITTEN         writer       two words: records written, published or not
 *     22   DROPPED         writer       two words: records not written for want of room
 *     24   WAITS           writer       times the writer waited for room
 *     32   TAIL            reader       records taken so far, mod 2^32
 *     33   DETACHED        reader       1 = nobody reads any more
 *     34   FLOOR           reader       high, low, high again: the time that a waking writer's clocks must have reached
 *     48   the records, CAPACITY x 8 words (record.ts); record n stands at n mod CAPACITY
 *
 * Writer and reader words stand on lines of their own. The head is published every 32 records, before each sleep and at
 * each slice's end. Publishing comes after the record's words, and taking a new bound comes before taking the head: so
 * whoever has read the bound and then drained has every record with a smaller time.
 *
 * Two-word numbers grow; the writer stores low, then high, the reader loads high, then low: a torn value is too small,
 * never too large.
 *
 * *Sleep and the floor.* A sleeping worker's bound would hold up merging. So the merger stores FLOOR, and then looks at
 * STATE: while that is RING_ASLEEP it may take the floor for the bound, because a writer that wakes stores RING_RUNNING
 * first and then takes the floor into its actors' clocks (a Lamport clock may always jump ahead). The floor's high word
 * is stored before and after its low one; when the two differ, the merger has not looked at STATE yet, and high x 2^32
 * is at least the floor before.
 */
import type { EventWriter } from '../machine/context.js';
import { RECORD_WORDS, TWO_32 } from './record.js';

export const CAPACITY = 0;
const MODE = 1;
const HEAD = 16;
const STATE = 17;
const BOUND = 18;
export const WRITTEN = 20;
const DROPPED = 22;
const WAITS = 24;
const TAIL = 32;
const DETACHED = 33;
const FLOOR = 34;
export const HEADER_WORDS = 48;

/** A full ring makes the worker wait for the reader; counted in `waits`. */
const RING_LOSSLESS = 0;
/** A full ring drops the new event; counted in `dropped`. */
const RING_LOSSY = 1;
/** Nobody drains: the newest events replace the oldest, and reports read the last ones (`lastRecords`). */
const RING_RECORDER = 2;

const RING_RUNNING = 0;
const RING_ASLEEP = 1;
const RING_CLOSED = 2;

/** The head is published every so many records: one atomic store on each would double the cost of an event. */
export const PUBLISH_EVERY = 32;
/** How long a lossless writer sleeps before it looks again whether its reader is gone. */
const WAIT_MS = 50;

/** Counters of one ring, as of its last publication. */
interface RingCounters {
  readonly written: number;
  readonly dropped: number;
  readonly waits: number;
}

/** Shared memory for a ring of at least `capacityRecords` records (rounded up to a power of two); 0 = inactive. */
export function ringBuffer(capacityRecords: number): SharedArrayBuffer {
  if (!Number.isInteger(capacityRecords) || capacityRecords < 0 || capacityRecords > 1 << 22) {
    throw new RangeError(`ring: expected a capacity from 0 to ${1 << 22} records, got ${String(capacityRecords)}`);
  }
  const capacity = capacityRecords === 0 ? 0 : 2 ** Math.ceil(Math.log2(capacityRecords));
  const buffer = new SharedArrayBuffer((HEADER_WORDS + capacity * RECORD_WORDS) * 4);
  new Int32Array(buffer)[CAPACITY] = capacity;
  return buffer;
}

export const recordsOf = (buffer: SharedArrayBuffer): Int32Array => new Int32Array(buffer, HEADER_WORDS * 4);

function storeWide(words: Int32Array, at: number, value: number): void {
  Atomics.store(words, at, value | 0);
  Atomics.store(words, at + 1, Math.floor(value / TWO_32));
}

export function loadWide(words: Int32Array, at: number): number {
  const high = Atomics.load(words, at + 1);
  return high * TWO_32 + (Atomics.load(words, at) >>> 0);
}

/** What a ring's writer has counted; any thread may ask. */
export function ringCounters(buffer: SharedArrayBuffer): RingCounters {
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  return {
    written: loadWide(words, WRITTEN),
    dropped: loadWide(words, DROPPED),
    waits: Atomics.load(words, WAITS) >>> 0,
  };
}

/** How full a ring is: published records that nobody has taken yet, and how many there is room for. Any thread may ask. */
export function ringFill(buffer: SharedArrayBuffer): { readonly records: number; readonly capacity: number } {
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  const capacity = words[CAPACITY] as number;
  if (words[MODE] === RING_RECORDER) return { records: 0, capacity };
  const records = (Atomics.load(words, HEAD) - Atomics.load(words, TAIL)) >>> 0;
  return { records: Math.min(records, capacity), capacity };
}

/**
 * Writes events into a ring. One per worker, for all its actors. An inactive one (capacity 0) costs a field check and
 * has the same hidden class, so that kernel code's call stays monomorphic.
 */
export class RingWriter implements EventWriter {
  /** Records that may be written before the next look at the ring. */
  #left = 0;
  /** Where the next record goes, in records. */
  #next = 0;
  #sequence = 0;
  /** Records written when `#left` was last set to `#batch`; its low 32 bits are the head. */
  #settled = 0;
  #batch = 0;
  #dropped = 0;
  readonly #words: Int32Array;
  readonly #records: Int32Array;
  readonly #capacity: number;
  readonly #mask: number;
  readonly #mode: number;

  /** @param recorder nobody will drain: newest replace oldest (`lossy` is then without meaning) */
  constructor(buffer: SharedArrayBuffer, lossy: boolean, recorder = false) {
    this.#words = new Int32Array(buffer, 0, HEADER_WORDS);
    this.#records = recordsOf(buffer);
    this.#capacity = this.#words[CAPACITY] as number;
    this.#mask = this.#capacity - 1;
    this.#mode = recorder ? RING_RECORDER : lossy ? RING_LOSSY : RING_LOSSLESS;
    this.#words[MODE] = this.#mode;
    this.#settled = loadWide(this.#words, WRITTEN);
    this.#dropped = loadWide(this.#words, DROPPED);
    this.#sequence = (this.#settled + this.#dropped) | 0;
    this.#next = this.#capacity === 0 ? 0 : this.#settled % this.#capacity;
  }

  write(type: number, actor: number, time: number, a: number, b: number, c: number, d: number): void {
    if (this.#left === 0 && !this.#refill()) return;
    this.#left--;
    // putRecord, in place: a call with ten arguments would cost as much again
    const next = this.#next;
    const records = this.#records;
    const sequence = this.#sequence;
    const at = next * RECORD_WORDS;
    records[at] = time | 0;
    records[at + 1] = time < TWO_32 ? 0 : Math.floor(time / TWO_32);
    records[at + 2] = type | (actor << 8);
    records[at + 3] = a;
    records[at + 4] = b;
    records[at + 5] = c;
    records[at + 6] = d;
    records[at + 7] = sequence;
    this.#sequence = (sequence + 1) | 0;
    this.#next = (next + 1) & this.#mask;
  }

  /** Whether events go anywhere. */
  get active(): boolean {
    return this.#capacity !== 0;
  }

  /** Records written since the ring was made, and records dropped for want of room. */
  get written(): number {
    return this.#settled + this.#batch - this.#left;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Records that fit before a lossless writer would wait: a host looks here before it runs a slice. */
  room(): number {
    if (this.#capacity === 0 || this.#mode === RING_RECORDER) return Number.MAX_SAFE_INTEGER;
    return this.#capacity - ((this.written - Atomics.load(this.#words, TAIL)) | 0);
  }

  /**
   * Publishes what was written. To be called at each slice's end.
   * @param lowerBoundTime no later event of this worker has a smaller time: the smallest clock of its actors. With 0
   *   nothing is said about it.
   */
  publish(lowerBoundTime: number): void {
    if (this.#capacity === 0) return;
    this.#publishHead();
    if (lowerBoundTime > 0) storeWide(this.#words, BOUND, lowerBoundTime);
  }

  /** Publishes before the worker sleeps; its bound holds up nobody until {@link wake}. */
  sleep(): void {
    if (this.#capacity === 0) return;
    this.#publishHead();
    Atomics.store(this.#words, STATE, RING_ASLEEP);
  }

  /**
   * After a sleep, before any actor runs.
   * @returns the time that each of the worker's actors' clocks must be raised to where it is smaller; often 0
   */
  wake(): number {
    if (this.#capacity === 0) return 0;
    const words = this.#words;
    Atomics.store(words, STATE, RING_RUNNING);
    const settled = Atomics.load(words, FLOOR + 2);
    const low = Atomics.load(words, FLOOR + 1) >>> 0;
    const high = Atomics.load(words, FLOOR);
    return high * TWO_32 + (high === settled ? low : 0);
  }

  /** No more events will come: publishes the last ones. */
  close(): void {
    if (this.#capacity === 0) return;
    this.#publishHead();
    Atomics.store(this.#words, STATE, RING_CLOSED);
  }

  /**
   * For a host whose next resume may need room for `records`: publishes, and sleeps until the reader has taken something,
   * `ms` at most. Between resumes a worker can be frozen; inside `write` it could not.
   * @param count whether a wait begins here (counted in `waits`) or goes on
   * @returns false when nobody reads any more: room will not come
   */
  waitForReader(records: number, ms: number, count: boolean): boolean {
    const words = this.#words;
    if (count) Atomics.add(words, WAITS, 1);
    this.#publishHead();
    const tail = Atomics.load(words, TAIL);
    if (this.room() >= records) return true;
    if (Atomics.load(words, DETACHED) === 0) Atomics.wait(words, TAIL, tail, ms);
    return Atomics.load(words, DETACHED) === 0;
  }

  #publishHead(): void {
    const words = this.#words;
    const written = this.written;
    this.#settled = written;
    this.#batch = this.#left;
    storeWide(words, WRITTEN, written);
    storeWide(words, DROPPED, this.#dropped);
    Atomics.store(words, HEAD, written | 0);
  }

  /** Publishes, and sees how many records fit now. False: this one is dropped. */
  #refill(): boolean {
    if (this.#capacity === 0) return false;
    this.#publishHead();
    let room = this.room();
    if (room <= 0) {
      if (this.#mode === RING_LOSSY || !this.#waitForRoom()) {
        this.#dropped++;
        this.#sequence = (this.#sequence + 1) | 0;
        return false;
      }
      room = this.room();
    }
    // unpublished records never lap the published ones of a small recorder: lastRecords could not tell them apart
    this.#batch = Math.min(room, PUBLISH_EVERY, Math.max(1, this.#capacity >> 1));
    this.#left = this.#batch;
    return true;
  }

  /** Blocks the worker until the reader has taken something. The reader needs no lock of the simulation. */
  #waitForRoom(): boolean {
    const words = this.#words;
    Atomics.add(words, WAITS, 1);
    for (;;) {
      const tail = Atomics.load(words, TAIL);
      if (this.room() > 0) return true;
      if (Atomics.load(words, DETACHED) !== 0) return false;
      Atomics.wait(words, TAIL, tail, WAIT_MS);
    }
  }
}

/** An inactive writer: events off. */
export const NO_EVENTS: EventWriter = new RingWriter(ringBuffer(0), true);

/** Takes events out of a ring. */
export class RingReader {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #records: Int32Array;
  readonly #capacity: number;
  /** Records taken so far. */
  #taken = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, HEADER_WORDS);
    this.#records = recordsOf(buffer);
    this.#capacity = this.#words[CAPACITY] as number;
    this.#taken = Atomics.load(this.#words, TAIL);
  }

  /**
   * Hands out what is published as one or two views (two where the ring wraps), then gives the room back.
   * @param visit is given the ring's records and a range [first, first + count) of them; they are overwritten once
   *   this call has returned, so what shall stay is copied
   * @param max records to take at most
   * @returns records handed out
   */
  drain(visit: (records: Int32Array, first: number, count: number) => void, max = Number.MAX_SAFE_INTEGER): number {
    const tail = this.#taken | 0;
    const count = Math.min((Atomics.load(this.#words, HEAD) - tail) | 0, max);
    if (count <= 0) return 0;
    const first = (tail >>> 0) & (this.#capacity - 1);
    const straight = Math.min(count, this.#capacity - first);
    visit(this.#records, first, straight);
    if (straight < count) visit(this.#records, 0, count - straight);
    this.#taken += count;
    Atomics.store(this.#words, TAIL, this.#taken | 0);
    Atomics.notify(this.#words, TAIL);
    return count;
  }

  /** Records taken out of this ring. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether a lossless writer may soon have to wait. */
  get halfFull(): boolean {
    return ((Atomics.load(this.#words, HEAD) - (this.#taken | 0)) | 0) * 2 > this.#capacity;
  }

  get counters(): RingCounters {
    return ringCounters(this.buffer);
  }

  get closed(): boolean {
    return Atomics.load(this.#words, STATE) === RING_CLOSED;
  }

  /**
   * No record that a following `drain` does not hand out has a smaller time than this; Infinity once the writer has
   * closed the ring.
   * @param floor a time the merger wishes to reach; sleeping writers promise it
   */
  lowerBound(floor: number): number {
    const words = this.#words;
    if (this.#capacity === 0) return Infinity;
    const high = Math.floor(floor / TWO_32);
    Atomics.store(words, FLOOR, high);
    Atomics.store(words, FLOOR + 1, floor | 0);
    Atomics.store(words, FLOOR + 2, high);
    const state = Atomics.load(words, STATE);
    if (state === RING_CLOSED) return Infinity;
    const bound = loadWide(words, BOUND);
    return state === RING_ASLEEP ? Math.max(bound, floor) : bound;
  }

  /** Nobody reads any more: a lossless writer drops (and counts) from now on instead of waiting. */
  detach(): void {
    Atomics.store(this.#words, DETACHED, 1);
    Atomics.notify(this.#words, TAIL);
  }
}

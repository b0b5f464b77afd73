/** A batch of events: a view of records with cheap field access, so that a subscriber can take 20 M events a second. */
import {
  RECORD_ARGS,
  RECORD_SEQUENCE,
  RECORD_TIME_LOW,
  RECORD_TIME_HIGH,
  RECORD_TYPE,
  RECORD_WORDS,
  TWO_32,
} from '../events/record.js';
import { type PinfallEvent, decodeEvent } from './event.js';

/**
 * Events `0` to `length - 1` of one worker (in that worker's order) or of all (in merged order). A batch is a view of the
 * ring: **it is valid only until the subscriber returns**; {@link EventBatch.copy} makes one that stays.
 */
export class EventBatch {
  /** The records (events/record.ts) that hold the batch: from record `first` on. */
  readonly records: Int32Array;
  readonly first: number;
  readonly length: number;
  /** Names by actor number. */
  readonly actorNames: readonly string[];
  readonly #base: number;

  constructor(records: Int32Array, first: number, length: number, actorNames: readonly string[]) {
    this.records = records;
    this.first = first;
    this.length = length;
    this.actorNames = actorNames;
    this.#base = first * RECORD_WORDS;
  }

  /** EVENT.<name>. */
  type(i: number): number {
    return this.#word(i, RECORD_TYPE) & 255;
  }

  actor(i: number): number {
    return this.#word(i, RECORD_TYPE) >>> 8;
  }

  /** Lamport time, or the step number of a one-thread run. */
  time(i: number): number {
    const high = this.#word(i, RECORD_TIME_HIGH);
    const low = this.#word(i, RECORD_TIME_LOW) >>> 0;
    return high === 0 ? low : high * TWO_32 + low;
  }

  /** The four arguments, as the row of the event table names them. */
  a(i: number): number {
    return this.#word(i, RECORD_ARGS);
  }

  b(i: number): number {
    return this.#word(i, RECORD_ARGS + 1);
  }

  c(i: number): number {
    return this.#word(i, RECORD_ARGS + 2);
  }

  d(i: number): number {
    return this.#word(i, RECORD_ARGS + 3);
  }

  /** The writer's count of events, mod 2^32: a gap is a drop. Of one worker's batches only. */
  sequence(i: number): number {
    return this.#word(i, RECORD_SEQUENCE) >>> 0;
  }

  /** Event `i` as an object with named arguments; undefined for a type that is not in the table. */
  event(i: number): PinfallEvent | undefined {
    return decodeEvent(this.records, this.first + i);
  }

  /** All of them as objects. Convenient, and ten times slower than the fields. */
  *[Symbol.iterator](): Generator<PinfallEvent, void, void> {
    for (let i = 0; i < this.length; i++) {
      const event = this.event(i);
      if (event !== undefined) yield event;
    }
  }

  /** A batch of its own memory that stays valid. */
  copy(): EventBatch {
    const from = this.#base;
    return new EventBatch(this.records.slice(from, from + this.length * RECORD_WORDS), 0, this.length, this.actorNames);
  }

  /** Those events that `keep` wants, as a batch of its own memory; undefined when it wants none. */
  select(keep: (i: number) => boolean): EventBatch | undefined {
    const kept: number[] = [];
    for (let i = 0; i < this.length; i++) if (keep(i)) kept.push(i);
    if (kept.length === 0) return undefined;
    const records = new Int32Array(kept.length * RECORD_WORDS);
    let at = 0;
    for (const i of kept) {
      const from = this.#base + i * RECORD_WORDS;
      for (let word = 0; word < RECORD_WORDS; word++) records[at++] = this.records[from + word] as number;
    }
    return new EventBatch(records, 0, kept.length, this.actorNames);
  }

  #word(i: number, field: number): number {
    return this.records[this.#base + i * RECORD_WORDS + field] as number;
  }
}

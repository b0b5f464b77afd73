/**
 * An event record: 8 words, one cache line for two.
 *
 *   word   0          1           2                    3  4  5  6    7
 *        +----------+-----------+--------------------+----+--+--+--+----------+
 *        | time low | time high | type | actor << 8  | a  |b |c |d | sequence |
 *        +----------+-----------+--------------------+----+--+--+--+----------+
 *
 * `time` is the actor's Lamport time (one-thread runs: the step number), at most 2^53 - 1. `type` is EVENT.<name>, 0 is
 * no event. `sequence` numbers what the writer was asked to write, mod 2^32: a gap in it is a dropped event.
 */
import type { EventWriter } from '../machine/context.js';

export const RECORD_WORDS = 8;
export const RECORD_TIME_LOW = 0;
export const RECORD_TIME_HIGH = 1;
export const RECORD_TYPE = 2;
/** The first of four arguments. */
export const RECORD_ARGS = 3;
export const RECORD_SEQUENCE = 7;

export const TWO_32 = 4294967296;

/** Record `index`'s time. */
export function recordTime(records: Int32Array, index: number): number {
  const at = index * RECORD_WORDS;
  const high = records[at + RECORD_TIME_HIGH] as number;
  const low = (records[at + RECORD_TIME_LOW] as number) >>> 0;
  return high === 0 ? low : high * TWO_32 + low;
}

export const recordType = (records: Int32Array, index: number): number =>
  (records[index * RECORD_WORDS + RECORD_TYPE] as number) & 255;

export const recordActor = (records: Int32Array, index: number): number =>
  (records[index * RECORD_WORDS + RECORD_TYPE] as number) >>> 8;

/** Argument 0 to 3, signed as it was written. */
export const recordArg = (records: Int32Array, index: number, argument: number): number =>
  records[index * RECORD_WORDS + RECORD_ARGS + argument] as number;

export const recordSequence = (records: Int32Array, index: number): number =>
  (records[index * RECORD_WORDS + RECORD_SEQUENCE] as number) >>> 0;

/** Stores one record at record `index`. */
export function putRecord(
  records: Int32Array,
  index: number,
  type: number,
  actor: number,
  time: number,
  a: number,
  b: number,
  c: number,
  d: number,
  sequence: number,
): void {
  const at = index * RECORD_WORDS;
  records[at] = time | 0;
  records[at + 1] = time < TWO_32 ? 0 : Math.floor(time / TWO_32);
  records[at + 2] = type | (actor << 8);
  records[at + 3] = a;
  records[at + 4] = b;
  records[at + 5] = c;
  records[at + 6] = d;
  records[at + 7] = sequence;
}

/**
 * Keeps every event of a one-thread run in the order written, which is the order of time. Grows as needed up to
 * `recordsMax`; what comes after is counted in `dropped`.
 */
export class EventLog implements EventWriter {
  /** `count` records are valid. */
  records: Int32Array;
  count = 0;
  dropped = 0;
  readonly #recordsMax: number;

  constructor(recordsMax = 1 << 24) {
    this.#recordsMax = recordsMax;
    this.records = new Int32Array(Math.min(256, recordsMax) * RECORD_WORDS);
  }

  write(type: number, actor: number, time: number, a: number, b: number, c: number, d: number): void {
    const index = this.count;
    if (index * RECORD_WORDS === this.records.length && !this.#grow()) {
      this.dropped++;
      return;
    }
    putRecord(this.records, index, type, actor, time, a, b, c, d, index);
    this.count = index + 1;
  }

  /** Forgets everything; memory stays. */
  clear(): void {
    this.count = 0;
    this.dropped = 0;
  }

  /** The valid records as a view; it dies with the next write. */
  view(): Int32Array {
    return this.records.subarray(0, this.count * RECORD_WORDS);
  }

  #grow(): boolean {
    const size = Math.min(this.count * 2, this.#recordsMax);
    if (size <= this.count) return false;
    const grown = new Int32Array(size * RECORD_WORDS);
    grown.set(this.records);
    this.records = grown;
    return true;
  }
}

/** What stands in an event ring, for reports of a run that has stopped or goes on without waiting for them. */
import { RECORD_WORDS, recordSequence } from './record.js';
import { CAPACITY, HEADER_WORDS, PUBLISH_EVERY, WRITTEN, loadWide, recordsOf } from './ring.js';

/** How many records have been written to a ring: read or not, published or not, those that it has forgotten included. */
export function recordsWritten(buffer: SharedArrayBuffer): number {
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  const capacity = words[CAPACITY] as number;
  if (capacity === 0) return 0;
  const records = recordsOf(buffer);
  let end = loadWide(words, WRITTEN);
  const at = (n: number): number => n % capacity;
  // the up to 31 records that a dead worker wrote and did not publish: their sequence goes on, that of old ones does not
  let last = end === 0 ? -1 : recordSequence(records, at(end - 1));
  for (let more = 0; more < PUBLISH_EVERY && more < capacity; more++) {
    const step = (recordSequence(records, at(end)) - last) | 0;
    const fresh = (records[at(end) * RECORD_WORDS + 2] as number) !== 0;
    if (!fresh || step <= 0 || step > 1 << 20) break;
    last = recordSequence(records, at(end));
    end++;
  }
  return end;
}

/**
 * Copies the last records that stand in a ring, oldest first, read or not, published or not: for reports of a run that
 * has stopped, also by a worker's death. While the writer still runs, the oldest ones may be missing or half new.
 */
export function lastRecords(buffer: SharedArrayBuffer, count: number): Int32Array {
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  const capacity = words[CAPACITY] as number;
  if (capacity === 0) return new Int32Array(0);
  const records = recordsOf(buffer);
  const end = recordsWritten(buffer);
  const at = (n: number): number => n % capacity;
  let first = Math.max(0, end - Math.min(count, capacity));
  // a writer that still runs overwrites the oldest while they are copied: keep what follows one another
  for (let n = end - 1; n > first; n--) {
    const step = (recordSequence(records, at(n)) - recordSequence(records, at(n - 1))) | 0;
    if (step <= 0 || step > 1 << 20) first = n;
  }
  const out = new Int32Array((end - first) * RECORD_WORDS);
  for (let n = first; n < end; n++) {
    const from = at(n) * RECORD_WORDS;
    out.set(records.subarray(from, from + RECORD_WORDS), (n - first) * RECORD_WORDS);
  }
  return out;
}

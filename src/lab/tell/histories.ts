/** What the event rings of a run still have, as diagrams of its violations want it. */
import { RECORD_WORDS } from '../../events/record.js';
import { lastRecords, recordsWritten } from '../../events/ring-history.js';
import { mergeRecords } from '../../trace/merge.js';

/** What a ring still has, and how many events it has forgotten. */
export interface History {
  readonly kept: Int32Array;
  readonly lost: number;
}

interface Histories {
  readonly each: readonly History[];
  /** All of them, in the order of their times. */
  readonly merged: Int32Array;
}

interface Read extends Histories {
  readonly records: number;
  readonly rings: readonly SharedArrayBuffer[];
  readonly written: readonly number[];
}

/** By a run's first ring. An audit finds many violations while nobody writes: the rings are read once for all of them. */
const read = new WeakMap<SharedArrayBuffer, Read>();

/** @param records events of each ring at most */
export function historiesOf(rings: readonly SharedArrayBuffer[], records: number): Histories {
  const written = rings.map(recordsWritten);
  const [first] = rings;
  const known = first === undefined ? undefined : read.get(first);
  const isSame =
    known?.records === records &&
    known.rings.length === rings.length &&
    rings.every((ring, i) => ring === known.rings[i] && written[i] === known.written[i]);
  if (known !== undefined && isSame) return known;
  const each = rings.map((ring, i): History => {
    const kept = lastRecords(ring, records);
    return { kept, lost: Math.max(0, (written[i] as number) - kept.length / RECORD_WORDS) };
  });
  const now = { each, merged: mergeRecords(each.map(({ kept }) => kept)), records, rings: [...rings], written };
  if (first !== undefined) read.set(first, now);
  return now;
}

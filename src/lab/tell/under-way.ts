/**
 * The pin that a rule about pins speaks of, where its event comes after the violation: GUP takes the reference first and writes its event
 * when the page is its own (mm/gup.c, try_grab_folio_fast(), v6.18), and between the two somebody else may meet the pin. In the diagram it
 * stands where it was met.
 */
import {
  RECORD_WORDS,
  putRecord,
  recordActor,
  recordArg,
  recordSequence,
  recordTime,
  recordType,
} from '../../events/record.js';
import { EVENT } from '../../events/table.js';

/** What it takes to know of a violation. */
interface Met {
  readonly invariant: string;
  readonly time?: number | undefined;
  readonly pfn?: number | undefined;
}

/** A pin's event comes after its reference by the steps of one lookup; logical clocks that meet others may run on. */
const LATE_MAX = 64;

/** Argument of the frame. */
const PIN_PFN = 2;
const UNPIN_PFN = 0;

interface Told {
  readonly records: Int32Array;
  /** Who pinned; -1: the log has the pin in its place, or none. */
  readonly actor: number;
}

/**
 * The records with that pin in its place.
 * @param records in merged order
 */
export function withPinUnderWay(records: Int32Array, { invariant, time = 0, pfn = -1 }: Met): Told {
  const asItIs = { records, actor: -1 };
  if (!invariant.includes('PIN') || time <= 0 || pfn < 0) return asItIs;
  const total = Math.floor(records.length / RECORD_WORDS);
  let held = 0;
  let at = 0;
  for (let i = 0; i < total && recordTime(records, i) <= time; i++) {
    if (recordTime(records, i) < time) at = i + 1;
    const type = recordType(records, i);
    if (type === EVENT.page_pin && recordArg(records, i, PIN_PFN) === pfn) held++;
    else if (type === EVENT.page_unpin && recordArg(records, i, UNPIN_PFN) === pfn) held = Math.max(0, held - 1);
  }
  if (held > 0) return asItIs;
  for (let i = at; i < total && recordTime(records, i) <= time + LATE_MAX; i++) {
    if (recordTime(records, i) <= time) continue;
    if (recordType(records, i) !== EVENT.page_pin || recordArg(records, i, PIN_PFN) !== pfn) continue;
    const actor = recordActor(records, i);
    return { records: moved(records, i, at, time), actor };
  }
  return asItIs;
}

/** A copy with record `from` at `to`, at `time`. */
function moved(records: Int32Array, from: number, to: number, time: number): Int32Array {
  const copy = records.slice();
  copy.copyWithin((to + 1) * RECORD_WORDS, to * RECORD_WORDS, from * RECORD_WORDS);
  const [a = 0, b = 0, c = 0, d = 0] = [0, 1, 2, 3].map((argument) => recordArg(records, from, argument));
  putRecord(copy, to, EVENT.page_pin, recordActor(records, from), time, a, b, c, d, recordSequence(records, from));
  return copy;
}

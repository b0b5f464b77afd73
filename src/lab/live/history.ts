/**
 * What happened to each page: its newest events, however long ago, and the newest events of all. Its memory is fixed: a small
 * ring for each user page, one for events over ranges of pages, one for all.
 *
 * Frames change hands: an event that names only a frame (unpin_user_page, migrate_folio) goes to the user page that the frame
 * was seen at last.
 */
import { RECORD_WORDS, recordActor, recordTime, recordType } from '../../events/record.js';
import { EVENT, type EventName } from '../../events/table.js';
import type { Machine } from '../../machine/layout.js';
import { eventName } from '../../trace/event.js';
import { phraseOf } from '../../trace/text.js';
import { PageNames } from './page-names.js';
import type { PageEvent } from './types.js';

/** Events of each page: as many as this many bytes allow, within limits. */
const PAGES_BYTES = 1 << 25;
const PER_PAGE_MIN = 4;
const PER_PAGE_MAX = 32;
/** Events over several pages, the newest. */
const RANGES = 4096;
/** Events of all pages, the newest: for diagrams. */
const RECENT = 1 << 13;

/** Events about a whole huge page, named by its first page: they belong to all its pages. */
const HUGE: readonly EventName[] = ['pmd_change', 'split_huge_pmd', 'split_folio', 'collapse', 'khugepaged_scan'];
const isHuge = new Uint8Array(256);
for (const name of HUGE) isHuge[EVENT[name]] = 1;

/** The newest records of some kind, in a ring of `capacity` within a larger array. */
class RecordRings {
  readonly records: Int32Array;
  readonly counts: Uint32Array;
  readonly capacity: number;

  constructor(rings: number, capacity: number) {
    this.capacity = capacity;
    // never touched pages of it take no memory
    this.records = new Int32Array(rings * capacity * RECORD_WORDS);
    this.counts = new Uint32Array(rings);
  }

  push(ring: number, from: Int32Array, index: number): void {
    const count = this.counts[ring] as number;
    this.counts[ring] = count + 1;
    const at = (ring * this.capacity + (count % this.capacity)) * RECORD_WORDS;
    const base = index * RECORD_WORDS;
    for (let word = 0; word < RECORD_WORDS; word++) this.records[at + word] = from[base + word] as number;
  }

  /** Calls `visit` with the record indices of a ring, oldest first. */
  each(ring: number, visit: (index: number) => void): void {
    const count = this.counts[ring] as number;
    for (let n = Math.max(0, count - this.capacity); n < count; n++) {
      visit(ring * this.capacity + (n % this.capacity));
    }
  }
}

export class EventHistory {
  readonly #m: Machine;
  readonly #names: PageNames;
  readonly #pages: RecordRings;
  readonly #ranges = new RecordRings(1, RANGES);
  readonly #recent = new RecordRings(1, RECENT);
  /** The user page that each frame was seen at last, + 1. */
  readonly #pageOfFrame: Int32Array;

  constructor(m: Machine) {
    const userPages = m.mms * m.mmPages;
    const affordable = Math.floor(PAGES_BYTES / (userPages * RECORD_WORDS * 4));
    this.#m = m;
    this.#names = new PageNames(m);
    this.#pages = new RecordRings(userPages, Math.max(PER_PAGE_MIN, Math.min(PER_PAGE_MAX, affordable)));
    this.#pageOfFrame = new Int32Array(m.frames);
  }

  /** Events kept of each page. */
  get perPage(): number {
    return this.#pages.capacity;
  }

  /** Takes record `index`, in merged order; `names` are its names, or null when it names no page. */
  push(records: Int32Array, index: number, names: PageNames | null): void {
    this.#recent.push(0, records, index);
    if (names === null) return;
    const { userPage, pages, pfn, otherPfn } = names;
    if (pages > 1) {
      this.#ranges.push(0, records, index);
    } else if (userPage >= 0) {
      this.#pages.push(userPage, records, index);
      this.#seenAt(pfn, userPage);
      this.#seenAt(otherPfn, userPage);
    } else {
      const page = this.#pageOf(pfn);
      const other = this.#pageOf(otherPfn);
      if (page >= 0) this.#pages.push(page, records, index);
      if (other >= 0 && other !== page) this.#pages.push(other, records, index);
      // migrate_folio(): the page goes on on the other frame
      if (page >= 0) this.#seenAt(otherPfn, page);
    }
  }

  /** The newest events of all, oldest first, in memory of their own. */
  last(): Int32Array {
    return this.#copy((take) => this.#recent.each(0, take), this.#recent.records);
  }

  /** The newest events that concern a user page (mm * mmPages + vpn), oldest first. */
  find(userPage: number): Int32Array {
    const { records } = this.#pages;
    const own = this.#copy((take) => this.#pages.each(userPage, take), records);
    const head = userPage - ((userPage % this.#m.mmPages) & (this.#m.thpPages - 1));
    const ofHuge = this.#copy((take) => {
      if (head === userPage) return;
      this.#pages.each(head, (index) => {
        if (isHuge[recordType(records, index)] === 1) take(index);
      });
    }, records);
    const over = this.#copy((take) => {
      this.#ranges.each(0, (index) => {
        this.#names.read(this.#ranges.records, index);
        const { userPage: first, pages } = this.#names;
        if (first >= 0 && userPage >= first && userPage < first + pages) take(index);
      });
    }, this.#ranges.records);
    return inOrder([own, ofHuge, over]);
  }

  #seenAt(pfn: number, userPage: number): void {
    if (pfn > 0 && pfn < this.#pageOfFrame.length) this.#pageOfFrame[pfn] = userPage + 1;
  }

  #pageOf(pfn: number): number {
    return pfn > 0 && pfn < this.#pageOfFrame.length ? (this.#pageOfFrame[pfn] as number) - 1 : -1;
  }

  #copy(each: (take: (index: number) => void) => void, from: Int32Array): Int32Array {
    const indices: number[] = [];
    each((index) => indices.push(index));
    const out = new Int32Array(indices.length * RECORD_WORDS);
    indices.forEach((index, n) => {
      out.set(from.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS), n * RECORD_WORDS);
    });
    return out;
  }
}

/** Records of several arrays by (time, actor). */
function inOrder(parts: readonly Int32Array[]): Int32Array {
  const all = parts.flatMap((records) =>
    Array.from({ length: records.length / RECORD_WORDS }, (_, index) => ({ records, index })),
  );
  const sorted = all.toSorted(
    (x, y) =>
      recordTime(x.records, x.index) - recordTime(y.records, y.index) ||
      recordActor(x.records, x.index) - recordActor(y.records, y.index),
  );
  const out = new Int32Array(sorted.length * RECORD_WORDS);
  sorted.forEach(({ records, index }, n) => {
    out.set(records.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS), n * RECORD_WORDS);
  });
  return out;
}

/** Those of `records` (in merged order) that name the user page, alone or in a range, or the frame. */
export function eventsOfPage(m: Machine, records: Int32Array, userPage: number, pfn: number): Int32Array {
  const names = new PageNames(m);
  const matches: number[] = [];
  for (let index = 0; index < records.length / RECORD_WORDS; index++) {
    if (!names.read(records, index)) continue;
    const { userPage: first, pages } = names;
    const named = first >= 0 && userPage >= first && userPage < first + pages;
    if (named || (pfn > 0 && (names.pfn === pfn || names.otherPfn === pfn))) matches.push(index);
  }
  const out = new Int32Array(matches.length * RECORD_WORDS);
  matches.forEach((index, n) => {
    out.set(records.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS), n * RECORD_WORDS);
  });
  return out;
}

/** The last `max` records as a page's events. */
export function pageEvents(records: Int32Array, actorNames: readonly string[], max: number): PageEvent[] {
  const count = records.length / RECORD_WORDS;
  const first = Math.max(0, count - max);
  return Array.from({ length: count - first }, (_, n): PageEvent => {
    const i = first + n;
    const { text, note } = phraseOf(records, i);
    const actor = recordActor(records, i);
    return {
      time: recordTime(records, i),
      actor: actorNames[actor] ?? `actor ${actor}`,
      type: eventName(recordType(records, i)),
      text,
      note,
    };
  });
}

/** Which row a word of the machine belongs to. */
import type { Machine } from './machine.js';
import { REGIONS, type RegionId } from './regions.js';
import { type Field, type Part, type Struct, arrange } from './row.js';

/** A region of one machine, with its numbers. */
interface RegionOn {
  readonly id: RegionId;
  readonly struct: Struct;
  readonly at: number;
  readonly end: number;
  /** Words of one struct. */
  readonly words: number;
  /** By offset, for the fields. */
  readonly fields: readonly (Field | null)[];
  readonly parts: readonly { readonly part: Part; readonly at: number; readonly end: number }[];
}

/** The regions of a machine, in order. */
export function regionsOf(m: Machine): RegionOn[] {
  return REGIONS.map(({ id, struct, count }) => {
    const at = id === 'header' ? 0 : m[`${id}At`];
    const { words, offsets } = arrange(struct, m);
    const parts = struct.parts.map((part) => {
      const begin = offsets[part.id] as number;
      return { part, at: begin, end: begin + part.count(m) * part.step };
    });
    return { id, struct, at, end: at + count(m) * words, words, fields: fieldsByOffset(struct), parts };
  });
}

function fieldsByOffset({ words, fields }: Struct): (Field | null)[] {
  const rows: (Field | null)[] = Array.from({ length: words }, () => null);
  for (const field of fields) rows.fill(field, field.at, field.at + field.words);
  return rows;
}

/**
 * Looks words up. What {@link WordFinder.find} has found stands in the finder until the next one: it is asked for each access of a
 * checked run, and allocates nothing.
 */
export class WordFinder {
  readonly regions: readonly RegionOn[];
  /** The region of the word. */
  region: RegionOn;
  /** Which of its structs, where that begins, and the word's offset in it. */
  index = 0;
  base = 0;
  offset = 0;
  /** The row: a field with the number of the word in it, or a part with the number of the element and of the word in that. */
  field: Field | null = null;
  part: Part | null = null;
  number = 0;
  within = 0;

  constructor(m: Machine) {
    this.regions = regionsOf(m);
    this.region = this.regions[0] as RegionOn;
  }

  /** @returns whether `word` is one of a struct's; what fills the last line of a region is not. */
  find(word: number): boolean {
    const region = this.#regionOf(word);
    if (region === null) return false;
    this.region = region;
    this.index = ((word - region.at) / region.words) | 0;
    this.base = region.at + this.index * region.words;
    this.offset = word - this.base;
    this.#findRow();
    return true;
  }

  #regionOf(word: number): RegionOn | null {
    let [low, high] = [0, this.regions.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const region = this.regions[middle] as RegionOn;
      if (word < region.at) high = middle - 1;
      else if (word >= region.end) low = middle + 1;
      else return region;
    }
    return null;
  }

  #findRow(): void {
    const { fields, parts } = this.region;
    this.part = null;
    this.field = fields[this.offset] ?? null;
    if (this.field !== null) this.number = this.offset - this.field.at;
    if (this.offset < fields.length) return;
    for (const { part, at, end } of parts) {
      if (this.offset < at || this.offset >= end) continue;
      this.part = part;
      this.number = Math.trunc((this.offset - at) / part.step);
      this.within = (this.offset - at) % part.step;
    }
  }
}

/** Whether a word belongs to who runs the machine, not to the machine: workers, sleepers, actors' records, counters, TLBs. */
export const isBookkeeping = (m: Machine, word: number): boolean =>
  (word >= m.workersAt && word < m.cpusAt) || (word >= m.tlbsAt && word < m.nodesAt);

/**
 * What is out of other actors' reach without any lock, for the checking build: frames between their allocation and the first entry
 * or list that names them (the rows say which words do), and stage-2 tables that no root entry points to. It is followed by watching
 * every store.
 */
import { COMPOUND_TAIL } from '../abi.js';
import { PFN_SHIFT, isS2Table, isTable } from '../entries.js';
import { WordFinder } from '../layout/find.js';
import type { Publishes } from '../layout/row.js';
import {
  type Machine,
  PAGE_COMPOUND,
  PAGE_REFS,
  PAGE_SHIFT,
  TABLE_FREE,
  TABLE_HEADER,
  TABLE_PMD,
  TABLE_STATE,
  vmWord,
} from '../layout.js';

export class Reach {
  readonly #m: Machine;
  readonly #words: Int32Array;
  readonly #at: WordFinder;
  /** By frame: the actor that allocated it + 1, until an entry or a list names it. */
  readonly #owner: Uint8Array;
  /** By stage-2 table: whether a root entry points to it. */
  readonly #linked: Uint8Array;

  constructor(m: Machine) {
    this.#m = m;
    this.#words = m.words;
    this.#at = new WordFinder(m);
    this.#owner = new Uint8Array(m.frames);
    this.#linked = new Uint8Array(m.s2Tables);
  }

  /** Whether `actor` has allocated the folio with this head and nothing names it yet. */
  isOwn(actor: number, head: number): boolean {
    return this.#owner[head] === actor + 1;
  }

  /** Whether a root entry points to this stage-2 table. */
  isLinked(table: number): boolean {
    return this.#linked[table] === 1;
  }

  /** A store of `value`: what it publishes, takes or unlinks. Called before the store. */
  stored(actor: number, word: number, value: number): void {
    if (!this.#at.find(word)) return;
    const { region, index, offset } = this.#at;
    // prep_new_page()
    if (region.id === 'frames' && offset === PAGE_REFS && value === 1 && this.#words[word] === 0)
      this.#owner[index] = actor + 1;
    const publishes = this.#publishes();
    if (publishes !== null) this.#published(publishes, word, value);
  }

  #publishes(): Publishes | null {
    const { field, part, number } = this.#at;
    if (field === null) return part === null || this.#at.within > 0 ? null : part.publishes;
    if (field.element === null) return field.publishes;
    const inside = number % field.element.words;
    return field.element.fields.find(({ at }) => at === inside)?.publishes ?? null;
  }

  #published(what: Publishes, word: number, value: number): void {
    if (what === 's2 root') this.#rootStored(word, value);
    else if (what === 'pfn') this.#publish(value);
    // a table PMD names a table, not a frame
    else if (what === 'entry' || !isTable(value)) this.#publish(value >>> PFN_SHIFT);
  }

  /** LK10: the entry belongs to a page table that is free. */
  isFreedTable(index: number): boolean {
    const m = this.#m;
    if (index < m.tablesAt || index >= m.ksmItemsAt) return false;
    const offset = (index - m.tablesAt) % m.tableWords;
    return (
      offset >= TABLE_HEADER &&
      this.#words[index - offset + TABLE_STATE] === TABLE_FREE &&
      this.#words[index - offset + TABLE_PMD] !== 0
    );
  }

  /** The machine is at its start again. */
  reset(): void {
    const m = this.#m;
    this.#owner.fill(0);
    this.#linked.fill(0);
    for (let vm = 0; vm < m.vms; vm++) {
      for (let i = 0; i < m.vmBlocks; i++) {
        const root = this.#words[vmWord(m, vm, m.vmRoot + i)] as number;
        if (isS2Table(root)) this.#linked[root >>> PFN_SHIFT] = 1;
      }
    }
  }

  #publish(pfn: number): void {
    if (pfn <= 0 || pfn >= this.#m.frames) return;
    this.#owner[this.headOf(pfn)] = 0;
  }

  #rootStored(index: number, value: number): void {
    const before = this.#words[index] as number;
    if (isS2Table(before)) this.#linked[before >>> PFN_SHIFT] = 0;
    if (isS2Table(value)) this.#linked[value >>> PFN_SHIFT] = 1;
    else this.#publish(value >>> PFN_SHIFT);
  }

  /** The head of the folio of `pfn`. */
  headOf(pfn: number): number {
    const compound = this.#words[this.#m.framesAt + (pfn << PAGE_SHIFT) + PAGE_COMPOUND] as number;
    return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
  }
}

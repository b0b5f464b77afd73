/**
 * I-LOST of lazily freed pages: reclaim may drop a page that MADV_FREE has given up as long as nobody has written it since; whatever was
 * written after the call has returned is kept. Of a page that was never given up nothing may be dropped. Judged at the step that drops
 * it: by then the entry is gone, and what the owner would read next are zeroes.
 *
 * A write while the call is under way may be lost or kept. A device's write is its driver's to tell (unpin_user_pages_dirty_lock);
 * pages that are pinned meanwhile are I-PIN's. One thread only.
 */
import { MAPPING_ANON, PG_DIRTY, PG_SWAPBACKED } from '../../../machine/abi.js';
import { touches } from '../../../machine/words/extra-accesses.js';
import type { Context } from '../../../machine/context.js';
import { reads } from '../../../machine/effects.js';
import { PTE_DIRTY, isPresent } from '../../../machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_REFS,
  VM_MM,
  pageWord,
  vmWord,
} from '../../../machine/layout.js';
import { vpnOfGfn } from '../../../kvm/memslots.js';
import { look as peek } from '#words';
import { LOST_ID, contentText } from './lost.js';
import { entryAt, headOf, isLarge, page, pfnOfEntry } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

export class LazyFree {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  /** By frame: 1 while it is given up and nobody has written it since. */
  readonly #given: Uint8Array;
  /** The same of the machine at its start; filled at the first reset. */
  readonly #atStart: Uint8Array;
  #known = false;
  /** By user page: calls under way. */
  readonly #open: Uint8Array;

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
    this.#given = new Uint8Array(m.frames);
    this.#atStart = new Uint8Array(m.frames);
    this.#open = new Uint8Array(m.mms * m.mmPages);
  }

  /** The machine is at its start, which is always the same. */
  reset(): void {
    if (!this.#known) this.#look();
    this.#given.set(this.#atStart);
    this.#open.fill(0);
  }

  /** What set-up has given up: lazily freed and clean, in the folio and in every entry. */
  #look(): void {
    const m = this.#m;
    this.#known = true;
    for (let pfn = 1; pfn < m.frames; pfn++) {
      const head = headOf(m, pfn);
      const flags = page(m, head, PAGE_FLAGS);
      const anon = (page(m, head, PAGE_MAPPING) & 3) === MAPPING_ANON && page(m, head, PAGE_REFS) !== 0;
      this.#atStart[pfn] = anon && (flags & (PG_SWAPBACKED | PG_DIRTY)) === 0 ? 1 : 0;
    }
    for (let mm = 0; mm < m.mms; mm++) {
      for (let vpn = 0; vpn < m.mmPages; vpn++) {
        const entry = entryAt(m, mm, vpn);
        if (!isPresent(entry) || (entry & PTE_DIRTY) === 0) continue;
        this.#atStart[pfnOfEntry(m, entry, vpn)] = 0;
      }
    }
  }

  allocated(head: number, order: number): void {
    this.#given.fill(0, head, head + (1 << order));
  }

  copied(from: number, to: number): void {
    this.#given[to] = this.#given[from] as number;
  }

  begins(mm: number, start: number, end: number): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++)
      this.#open[page] = (this.#open[page] as number) + 1;
  }

  ends(mm: number, start: number, end: number): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++)
      this.#open[page] = (this.#open[page] as number) - 1;
  }

  /** The folio has been marked. */
  freed(head: number): void {
    this.#given.fill(1, head, head + (isLarge(this.#m, head) ? this.#m.thpPages : 1));
  }

  wrote(guest: boolean, space: number, at: number, pfn: number): void {
    if (this.#given[pfn] === 0) return;
    const m = this.#m;
    const mm = guest ? peek(m.words, vmWord(m, space, VM_MM)) : space;
    const vpn = guest ? vpnOfGfn(m, space, at, true) : at;
    if (vpn >= 0 && this.#open[mm * m.mmPages + vpn] !== 0) return;
    this.#given[pfn] = 0;
  }

  /** Reclaim drops `pfn` from (mm, vpn), whose entry it has cleared. */
  discarded(ctx: Context, mm: number, vpn: number, pfn: number): void {
    // a store through a TLB shares no other word with this
    touches(reads(pageWord(this.#m, pfn, PAGE_CONTENT)));
    const content = page(this.#m, pfn, PAGE_CONTENT);
    if (this.#given[pfn] === 1 || content === 0) return;
    this.#log.report(ctx, LOST_ID, 'written page is discarded', { mm, vpn, pfn, expected: contentText(content) });
  }
}

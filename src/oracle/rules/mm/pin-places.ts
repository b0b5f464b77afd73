/**
 * Where a page that a pin call returns has its place, on one thread. Between the moment of pinning and the return its process may
 * have zapped it: then it has none. Otherwise it has one, also when its entry is just being changed by somebody, or has been
 * replaced already by somebody who did not see the pin (Z04).
 */
import type { Context } from '../../../machine/context.js';
import { entryPfn, isHuge, isPresent } from '../../../machine/entries.js';
import type { Machine } from '../../../machine/layout.js';
import type { Ledger } from '../../ledgers/ledger.js';
import { pinnedReplaced, reportDiscarded } from './pin.js';
import { entryAt } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

export class PinPlaces {
  readonly #m: Machine;
  /** By user page: the frame + 1 that its entry named before it was changed last. */
  readonly #before: Int32Array;
  /** By frame: its process let go of it since it was allocated. */
  readonly #zapped: Uint8Array;
  /** By frame: the user page + 1 that reclaim has discarded it from since it was allocated. */
  readonly #discarded: Int32Array;

  constructor(m: Machine) {
    this.#m = m;
    this.#before = new Int32Array(m.mms * m.mmPages);
    this.#zapped = new Uint8Array(m.frames);
    this.#discarded = new Int32Array(m.frames);
  }

  reset(): void {
    this.#before.fill(0);
    this.#zapped.fill(0);
    this.#discarded.fill(0);
  }

  allocated(head: number, order: number): void {
    this.#zapped.fill(0, head, head + (1 << order));
    this.#discarded.fill(0, head, head + (1 << order));
  }

  /** The entry at (mm, vpn), a PTE or a huge PMD, was `before`. */
  changed(mm: number, vpn: number, before: number): void {
    if (!isPresent(before)) return;
    const at = mm * this.#m.mmPages + vpn;
    const pages = isHuge(before) ? this.#m.thpPages : 1;
    for (let i = 0; i < pages; i++) this.#before[at + i] = entryPfn(before) + i + 1;
  }

  zapped(mm: number, start: number, end: number): void {
    for (let page = mm * this.#m.mmPages + start, last = mm * this.#m.mmPages + end; page < last; page++) {
      const pfn = (this.#before[page] as number) - 1;
      if (pfn > 0) this.#zapped[pfn] = 1;
    }
  }

  /** Reclaim drops the lazily freed page `pfn` from (mm, vpn). */
  discarded(mm: number, vpn: number, pfn: number): void {
    this.#discarded[pfn] = mm * this.#m.mmPages + vpn + 1;
  }

  isZapped(pfn: number): boolean {
    return this.#zapped[pfn] === 1;
  }

  /** (mm, vpn) -> pfn is pinned from here on: whatever is mapped there now must be that page. */
  pinned(ctx: Context, log: ViolationLog, ledger: Ledger, mm: number, vpn: number, pfn: number): void {
    // the pin had been there before it was discarded: otherwise the call had found no entry
    if (this.#discarded[pfn] === mm * this.#m.mmPages + vpn + 1) reportDiscarded(ctx, log, mm, vpn, pfn);
    ledger.pin(pfn, mm * this.#m.mmPages + vpn);
    const entry = entryAt(this.#m, mm, vpn);
    if (isPresent(entry)) pinnedReplaced(ctx, log, ledger, mm, vpn, entry, 1);
  }
}

/**
 * I-PIN: from the return of a pin call to the first step of the unpin the page is not freed and not moved, and (v5.19+) the entry
 * of the pinning process at that address, if present, is that page, unless the process itself let go of it.
 *
 * The ledger knows the pins of one worker; a release on another worker leaves a negative count there, and such pages are
 * judged by the sum only.
 */
import { PG_BUDDY, PG_PCP } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { isPresent } from '../../../machine/entries.js';
import { type Machine, PAGE_FLAGS, PAGE_REFS } from '../../../machine/layout.js';
import { type Ledger, ZAPPED } from '../../ledgers/ledger.js';
import { entryAt, headOf, page, pfnOfEntry } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-PIN';

/** The folio is being freed while one of its pages has returned pins. */
export function pinnedFreed(
  ctx: Context,
  log: ViolationLog,
  pins: (pfn: number) => number,
  head: number,
  order: number,
): void {
  for (let pfn = head; pfn < head + (1 << order); pfn++) {
    if (pins(pfn) > 0) log.report(ctx, ID, 'pinned page was freed', { pfn, received: `${pins(pfn)} pins` });
  }
}

/** Reclaim takes a lazily freed page away from (mm, vpn), which is nobody's zap: what is pinned has a use (Z22). */
export function pinnedDiscarded(
  ctx: Context,
  log: ViolationLog,
  pins: (pfn: number) => number,
  mm: number,
  vpn: number,
  pfn: number,
): void {
  if (pins(pfn) > 0) reportDiscarded(ctx, log, mm, vpn, pfn);
}

export function reportDiscarded(ctx: Context, log: ViolationLog, mm: number, vpn: number, pfn: number): void {
  log.report(ctx, ID, 'pinned page was discarded', { mm, vpn, pfn });
}

/** The pages of the entry `after` at (mm, vpn), just stored, are not those that the ledger holds pinned there. One thread only. */
export function pinnedReplaced(
  ctx: Context,
  log: ViolationLog,
  ledger: Ledger,
  mm: number,
  vpn: number,
  after: number,
  pages: number,
): void {
  for (let i = 0; i < pages; i++) {
    const pinned = ledger.pinnedAtPage(mm * ctx.m.mmPages + vpn + i);
    if (pinned < 0 || ledger.pins(pinned) <= 0) continue;
    const received = pfnOfEntry(ctx.m, after, vpn + i);
    if (received === pinned) continue;
    log.report(ctx, ID, 'pinned page replaced in place', {
      mm,
      vpn: vpn + i,
      pfn: pinned,
      expected: `pfn ${pinned}`,
      received: `pfn ${received}`,
    });
  }
}

/** Pins of a frame, summed over the ledgers. */
export function sumOfPins(ledgers: readonly Ledger[], pfn: number): number {
  let sum = 0;
  for (const ledger of ledgers) sum += ledger.pins(pfn);
  return sum;
}

export function auditPins(m: Machine, ledgers: readonly Ledger[], bitMatters: boolean, log: ViolationLog): void {
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const pins = sumOfPins(ledgers, pfn);
    if (pins === 0) continue;
    if (pins < 0) log.found(ID, 'page unpinned without pin', { pfn, received: `${pins} pins` });
    const free = (page(m, pfn, PAGE_FLAGS) & (PG_BUDDY | PG_PCP)) !== 0 || page(m, headOf(m, pfn), PAGE_REFS) === 0;
    if (pins > 0 && free) log.found(ID, 'pinned page was freed', { pfn, received: `${pins} pins` });
  }
  for (const ledger of ledgers) {
    for (let userPage = 0; userPage < ledger.userPages; userPage++) {
      const pfn = ledger.pinnedAtPage(userPage);
      if (pfn < 0) continue;
      if (ledgers.some(({ flags }) => ((flags[userPage] as number) & ZAPPED) !== 0)) {
        for (const other of ledgers) other.forgetPin(userPage);
      } else if (bitMatters && isOwn(ledgers, ledger, pfn)) {
        auditPlace(m, log, userPage, pfn);
      }
    }
  }
}

/** Whether all releases of this frame's pins were told to the ledger that took them. */
const isOwn = (ledgers: readonly Ledger[], ledger: Ledger, pfn: number): boolean =>
  ledger.pins(pfn) > 0 && ledgers.every((other) => other.pins(pfn) >= 0);

function auditPlace(m: Machine, log: ViolationLog, userPage: number, pfn: number): void {
  const mm = (userPage / m.mmPages) | 0;
  const vpn = userPage - mm * m.mmPages;
  const entry = entryAt(m, mm, vpn);
  if (!isPresent(entry) || pfnOfEntry(m, entry, vpn) === pfn) return;
  const received = `pfn ${pfnOfEntry(m, entry, vpn)}`;
  log.found(ID, 'pinned page replaced in place', { mm, vpn, pfn, expected: `pfn ${pfn}`, received });
}

/**
 * I-EXCL: PG_anon_exclusive means at most one mapping, and a writable entry of a private anonymous page means the bit is set
 * (v5.19+). The second half is asserted where an entry becomes writable, under its lock: every path sets the bit first. The
 * audit looks at all pages.
 */
import { PG_ANON_EXCLUSIVE } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { entryPfn } from '../../../machine/entries.js';
import { type Machine, PAGE_FLAGS, PAGE_MAPPING } from '../../../machine/layout.js';
import type { Census } from '../../audits/census.js';
import { page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-EXCL';

/** Whether a writable entry of this frame breaks the invariant: an anonymous page whose exclusive bit is clear. */
const lacksBit = (m: Machine, pfn: number): boolean =>
  (page(m, pfn, PAGE_FLAGS) & PG_ANON_EXCLUSIVE) === 0 && (page(m, pfn, PAGE_MAPPING) & 3) === 1;

/** The writable entry `after` was stored at (mm, vpn). A huge one's bit is its head's. */
export function writableStored(ctx: Context, log: ViolationLog, mm: number, vpn: number, after: number): void {
  const pfn = entryPfn(after);
  if (ctx.kernel.rules.wpReuse !== 'v5.19' || !lacksBit(ctx.m, pfn)) return;
  log.report(ctx, ID, 'writable PTE, page not exclusive', { mm, vpn, pfn });
}

export function auditExclusive(census: Census, log: ViolationLog): void {
  const { m } = census;
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const exclusive = (page(m, pfn, PAGE_FLAGS) & PG_ANON_EXCLUSIVE) !== 0;
    const leaves = (census.pteLeaves[pfn] as number) + (census.pmdLeaves[pfn] as number);
    if (exclusive && leaves > 1) {
      log.found(ID, 'exclusive page mapped more than once', {
        pfn,
        expected: 'at most 1 mapping',
        received: String(leaves),
      });
    }
    if (exclusive && (page(m, pfn, PAGE_MAPPING) & 3) === 3) log.found(ID, 'KSM page is marked exclusive', { pfn });
    if ((census.writableLeaves[pfn] as number) > 0 && census.bitMatters && lacksBit(m, pfn)) {
      log.found(ID, 'writable PTE, page not exclusive', { pfn });
    }
  }
}

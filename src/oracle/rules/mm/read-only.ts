/**
 * I-RO: a page that is read-only for everybody (a KSM page, the zero page) has constant content. Asserted at each store: a CPU
 * that writes such a page holds a translation that should be gone, or a page table maps it writable. A page becomes KSM only
 * after its PTE was write-protected and flushed, and a flush waits for accesses under way, so a store that is told here in
 * the same access cannot have been an honest one.
 */
import { MAPPING_KSM } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { PAGE_CONTENT, PAGE_MAPPING } from '../../../machine/layout.js';
import { ZERO_PFN } from '../../../mm/folio.js';
import type { Census } from '../../audits/census.js';
import { page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-RO';

export const isReadOnlyPage = (ctx: Context, pfn: number): boolean =>
  pfn === ZERO_PFN || (page(ctx.m, pfn, PAGE_MAPPING) & 3) === MAPPING_KSM;

/** A CPU or a device stored to a page that is read-only for everybody. */
export function readOnlyWritten(ctx: Context, log: ViolationLog, pfn: number, device: boolean): void {
  const what = pfn === ZERO_PFN ? 'zero page was written' : device ? 'device wrote a KSM page' : 'CPU wrote a KSM page';
  log.report(ctx, ID, what, { pfn });
}

/** A writable entry of such a page, the moment it is stored. */
export function readOnlyMapped(ctx: Context, log: ViolationLog, mm: number, vpn: number, pfn: number): void {
  log.report(ctx, ID, pfn === ZERO_PFN ? 'zero page mapped writable' : 'KSM page mapped writable', { mm, vpn, pfn });
}

export function auditReadOnly(census: Census, log: ViolationLog): void {
  const { m } = census;
  if (page(m, ZERO_PFN, PAGE_CONTENT) !== 0) {
    log.found(ID, 'zero page is not zero', {
      pfn: ZERO_PFN,
      expected: '0',
      received: String(page(m, ZERO_PFN, PAGE_CONTENT)),
    });
  }
  for (let pfn = 0; pfn < m.frames; pfn++) {
    if ((census.writableLeaves[pfn] as number) === 0) continue;
    if (pfn === ZERO_PFN) log.found(ID, 'zero page mapped writable', { pfn });
    else if ((page(m, pfn, PAGE_MAPPING) & 3) === MAPPING_KSM) log.found(ID, 'KSM page mapped writable', { pfn });
  }
}

/**
 * I-MAP: a page's mapcount is the number of present leaves that point at it: PTEs per subpage, PMDs per folio, and their sum for a
 * large one. PROT_NONE counts, swap-type entries do not. LK9 (lock-rules.ts) asserts that it changes under the table's lock;
 * the audit counts.
 */
import { type Machine, PAGE_ENTIRE_MAPS, PAGE_LARGE_MAPS, PAGE_MAPS } from '../../../machine/layout.js';
import { isMigrationEntry } from '../../../machine/entries.js';
import type { Census } from '../../audits/census.js';
import { isLarge, page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-MAP';

export function auditMaps(census: Census, log: ViolationLog): void {
  const { m } = census;
  const same = (pfn: number, what: string, expected: number, received: number): void => {
    if (expected !== received) log.found(ID, what, { pfn, expected: String(expected), received: String(received) });
  };
  for (let pfn = 1; pfn < m.frames; pfn++) {
    same(pfn, 'mapcount differs from page tables', census.pteLeaves[pfn] as number, page(m, pfn, PAGE_MAPS));
    same(pfn, 'PMD mapcount differs from tables', census.pmdLeaves[pfn] as number, page(m, pfn, PAGE_ENTIRE_MAPS));
    if (isLarge(m, pfn))
      same(pfn, 'large mapcount is not the sum', leavesOfFolio(census, m, pfn), page(m, pfn, PAGE_LARGE_MAPS));
  }
  for (const { mm, vpn, entry } of census.leftovers) {
    log.found(ID, isMigrationEntry(entry) ? 'migration entry left behind' : 'huge PMD left invalid', { mm, vpn });
  }
}

/** All leaves that map a page of the folio with head `head`. */
export function leavesOfFolio(census: Census, m: Machine, head: number): number {
  let leaves = census.pmdLeaves[head] as number;
  for (let pfn = head, end = head + (isLarge(m, head) ? m.thpPages : 1); pfn < end; pfn++)
    leaves += census.pteLeaves[pfn] as number;
  return leaves;
}

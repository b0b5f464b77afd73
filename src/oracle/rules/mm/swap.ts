/**
 * I-REF for swap: a slot's map counts the swap entries that refer to it, SWAP_HAS_CACHE stands for the folio in the swap cache,
 * which says itself that it is there; and the free slots are as many as the count says.
 */
import { PG_SWAPCACHE } from '../../../machine/abi.js';
import {
  PAGE_FLAGS,
  PAGE_SWAP,
  SWAP_FOLIO,
  SWAP_FREE_SLOTS,
  SWAP_HAS_CACHE,
  SWAP_MAP,
  globalWord,
  swapWord,
} from '../../../machine/layout.js';
import { look as peek } from '#words';
import type { Census } from '../../audits/census.js';
import { isLarge, page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-REF';

const text = (map: number): string => `${map & ~SWAP_HAS_CACHE}${(map & SWAP_HAS_CACHE) === 0 ? '' : ' and cache'}`;

export function auditSwap(census: Census, log: ViolationLog): void {
  const { m } = census;
  if (m.swapSlots === 0) return;
  const pagesOf = (head: number): number => (isLarge(m, head) ? m.thpPages : 1);
  let free = 0;
  for (let slot = 0; slot < m.swapSlots; slot++) {
    const map = peek(m.words, swapWord(m, slot, SWAP_MAP));
    const folio = peek(m.words, swapWord(m, slot, SWAP_FOLIO));
    const entries = census.swapEntries[slot] as number;
    if (map === 0) free++;
    const expected = entries | (folio === 0 ? 0 : SWAP_HAS_CACHE);
    if (map !== expected) {
      log.found(ID, 'swap count differs from entries', {
        other: slot,
        expected: text(expected),
        received: text(map),
      });
    }
    if (folio === 0) continue;
    const at = slot - page(m, folio, PAGE_SWAP);
    const agrees = (page(m, folio, PAGE_FLAGS) & PG_SWAPCACHE) !== 0 && at >= 0 && at < pagesOf(folio);
    if (!agrees) log.found(ID, 'swap cache and folio disagree', { pfn: folio, other: slot });
  }
  const count = peek(m.words, globalWord(m, SWAP_FREE_SLOTS));
  if (count !== free) {
    log.found(ID, 'free swap slots miscounted', { other: -1, expected: String(free), received: String(count) });
  }
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const flagged = (page(m, pfn, PAGE_FLAGS) & PG_SWAPCACHE) !== 0;
    if (flagged && (census.swapCaches[pfn] as number) !== pagesOf(pfn))
      log.found(ID, 'folio not in its swap cache', { pfn });
  }
}

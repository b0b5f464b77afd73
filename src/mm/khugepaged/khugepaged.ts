/**
 * khugepaged and MADV_COLLAPSE for anonymous memory (mm/khugepaged.c, v6.18; kernel-model 3.15).
 */
import {
  EAGAIN,
  EINVAL,
  ENOMEM,
  PG_LRU,
  PG_MAYBE_SHARED,
  PG_SWAPCACHE,
  VM_HUGEPAGE,
  VM_NOHUGEPAGE,
} from '../../machine/abi.js';
import { glance, setBeside } from '../../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { LOCAL, reads, releases } from '../../machine/effects.js';
import {
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  entryPfn,
  isHuge,
  isNone,
  isPresent,
  isSpecial,
} from '../../machine/entries.js';
import {
  CPU_IRQS_OFF,
  KHUGEPAGED_MAX_PTES_NONE,
  KHUGEPAGED_MAX_PTES_SHARED,
  KHUGEPAGED_MAX_PTES_SWAP,
  KHUGEPAGED_SCAN_ADDRESS,
  KHUGEPAGED_SCAN_MM,
  MMF_EXITING,
  MM_FLAGS,
  MM_KHUGEPAGED_SLOT,
  PAGE_MAPPING,
  THP_ENABLED,
  cpuWord,
  globalWord,
  mmWord,
  pageWord,
  pmdWord,
  ptlOf,
  pteWord,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { contended, lockValue } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { folioLockWord, folioTestLocked, spinUnlock } from '../../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../../locks/vma-lock.js';
import { peek, readOnce } from '#words';
import {
  flagsWord,
  folioMaps,
  folioMapping,
  folioOf,
  folioPages,
  folioRefs,
  folioTestLarge,
  mapsWord,
  mappingIsAnon,
  refsWord,
} from '../folio.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { findVma, findVmaFrom, vmaEnd, vmaFlags, vmaStart } from '../vma/vma.js';

/** enum scan_result, the values that occur for anonymous memory. */
export const SCAN_FAIL = 0;
export const SCAN_SUCCEED = 1;
export const SCAN_PMD_NULL = 2;
export const SCAN_PMD_MAPPED = 4;
export const SCAN_EXCEED_NONE_PTE = 5;
export const SCAN_EXCEED_SWAP_PTE = 6;
export const SCAN_EXCEED_SHARED_PTE = 7;
export const SCAN_PTE_NON_PRESENT = 8;
export const SCAN_PTE_UFFD_WP = 9;
/** not_suitable_page_count: somebody else holds a reference, a pin for one. */
export const SCAN_PAGE_COUNT = 12;
export const SCAN_PAGE_LRU = 13;
export const SCAN_PAGE_LOCK = 14;
export const SCAN_PAGE_ANON = 15;
export const SCAN_PAGE_RO = 10;
export const SCAN_LACK_REFERENCED_PAGE = 11;
export const SCAN_ANY_PROCESS = 17;
export const SCAN_VMA_NULL = 18;
export const SCAN_VMA_CHECK = 19;
export const SCAN_DEL_PAGE_LRU = 21;
export const SCAN_ALLOC_HUGE_PAGE_FAIL = 22;

/** Whether a collapse honours khugepaged's limits and the young test; MADV_COLLAPSE ignores them. */
export const COLLAPSE_KHUGEPAGED = 1;
export const COLLAPSE_MADVISE = 0;

/** thp_vma_allowable_order() for the PMD order at `vpn` (aligned). */
export function thpVmaAllowable(ctx: Context, vma: number, vpn: number): boolean {
  const flags = vmaFlags(ctx, vma);
  const enabled = peek(ctx.words, globalWord(ctx.m, THP_ENABLED));
  if ((flags & VM_NOHUGEPAGE) !== 0 || enabled === 0) return false;
  if (enabled === 1 && (flags & VM_HUGEPAGE) === 0) return false;
  return vmaStart(ctx, vma) <= vpn && vpn + ctx.m.thpPages <= vmaEnd(ctx, vma);
}

/**
 * hpage_collapse_scan_pmd(): may this PMD's table be collapsed? Under mmap_lock read; a hint, since nothing stays locked.
 * @param vpn aligned to a THP
 * @returns SCAN_*
 */
export function* hpageCollapseScanPmd(ctx: Context, mm: number, vpn: number, mode: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  if (isNone(pmd)) return SCAN_PMD_NULL;
  if (isHuge(pmd)) return SCAN_PMD_MAPPED;
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return SCAN_PMD_NULL;
  const limits = mode === COLLAPSE_KHUGEPAGED;
  const maxNone = limits ? peek(words, globalWord(m, KHUGEPAGED_MAX_PTES_NONE)) : m.thpPages;
  const maxShared = limits ? peek(words, globalWord(m, KHUGEPAGED_MAX_PTES_SHARED)) : m.thpPages;
  const maxSwap = limits ? peek(words, globalWord(m, KHUGEPAGED_MAX_PTES_SWAP)) : m.thpPages;
  let none = 0;
  let shared = 0;
  let swapped = 0;
  let referenced = 0;
  let writable = !ctx.kernel.rules.collapseNeedsWrite;
  let status = SCAN_SUCCEED;
  for (let i = 0; i < m.thpPages && status === SCAN_SUCCEED; i++) {
    const pteAt = pteWord(m, table, vpn + i);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const entry = readOnce(words, pteAt);
    if (isNone(entry) || (isPresent(entry) && isSpecial(entry))) {
      if (++none > maxNone) status = SCAN_EXCEED_NONE_PTE;
      continue;
    }
    if (!isPresent(entry)) {
      // migration and poison entries count as swap entries here too
      if (++swapped > maxSwap) status = SCAN_EXCEED_SWAP_PTE;
      continue;
    }
    if ((entry & PTE_WRITE) !== 0) writable = true;
    if ((entry & PTE_UFFD_WP) !== 0) {
      status = SCAN_PTE_UFFD_WP;
      continue;
    }
    const head = folioOf(ctx, entryPfn(entry));
    status = yield* scanFolio(ctx, head);
    if (status === SCAN_EXCEED_SHARED_PTE) {
      status = ++shared > maxShared ? SCAN_EXCEED_SHARED_PTE : SCAN_SUCCEED;
    }
    if ((entry & PTE_YOUNG) !== 0) referenced++;
  }
  if (status === SCAN_SUCCEED && !writable) {
    status = SCAN_PAGE_RO;
  } else if (status === SCAN_SUCCEED && limits && (referenced === 0 || (swapped > 0 && referenced < m.thpPages / 2))) {
    status = SCAN_LACK_REFERENCED_PAGE;
  }
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  emit(ctx, EVENT.khugepaged_scan, mm, vpn, status);
  return status;
}

/** The per-folio tests of the scan. SCAN_EXCEED_SHARED_PTE here means: shared, the caller counts it. */
function* scanFolio(ctx: Context, head: number): Coroutine {
  if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, head, PAGE_MAPPING));
  if (!mappingIsAnon(folioMapping(ctx, head))) return SCAN_PAGE_ANON;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const flags = readOnce(ctx.words, flagsWord(ctx, head));
  if ((flags & PG_LRU) === 0) return SCAN_PAGE_LRU;
  if (--ctx.quantum < 0) yield reads(folioLockWord(ctx, head));
  if (folioTestLocked(ctx, head)) return SCAN_PAGE_LOCK;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  const maps = folioMaps(ctx, head);
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
  // racy, as the kernel says: a pin taken from here on is met again in the isolation
  if (folioRefs(ctx, head) !== maps + ((flags & PG_SWAPCACHE) !== 0 ? folioPages(ctx, head) : 0))
    return SCAN_PAGE_COUNT;
  // folio_maybe_mapped_shared()
  const shared = folioTestLarge(ctx, head) ? (flags & PG_MAYBE_SHARED) !== 0 : maps > 1;
  return shared ? SCAN_EXCEED_SHARED_PTE : SCAN_SUCCEED;
}

/**
 * tlb_remove_table_sync_one(): an IPI to every CPU, which each takes once it has interrupts on: when it returns, no
 * GUP-fast that started before is still walking (LK10).
 */
export function* tlbRemoveTableSyncOne(ctx: Context): Coroutine<void> {
  const { m, words } = ctx;
  for (let cpu = 0; cpu < m.cpus; cpu++) {
    if (cpu === ctx.actor) continue;
    const irqs = cpuWord(m, cpu, CPU_IRQS_OFF);
    if (--ctx.quantum < 0) yield reads(irqs);
    const seen = lockValue(readOnce(words, irqs));
    while (seen !== 0 && lockValue(readOnce(words, irqs)) === seen) {
      const wait = contended(ctx, irqs);
      if (wait !== LOCAL && ctx.waitValue === seen) yield wait;
    }
  }
  countStat(m, ctx.actor, STAT.ipis, 1);
}

/**
 * khugepaged_scan_mm_slot(): scans up to `pages` pages from where the last call stopped, collapsing what it may.
 * @returns pages scanned
 */
export function* khugepagedScan(ctx: Context, pages: number): Coroutine {
  const { m, words } = ctx;
  const mmAt = globalWord(m, KHUGEPAGED_SCAN_MM);
  const addressAt = globalWord(m, KHUGEPAGED_SCAN_ADDRESS);
  let progress = 0;
  let visited = 0;
  while (progress < pages && visited <= m.mms) {
    // the cursor is khugepaged's own; in litmus files several may be at it, as under khugepaged_mm_lock
    const mm = glance(words, mmAt);
    let vpn = glance(words, addressAt);
    if (
      glance(words, mmWord(m, mm, MM_KHUGEPAGED_SLOT)) === 0 ||
      (glance(words, mmWord(m, mm, MM_FLAGS)) & MMF_EXITING) !== 0
    ) {
      setBeside(words, mmAt, (mm + 1) % m.mms);
      setBeside(words, addressAt, 0);
      visited++;
      progress++;
      continue;
    }
    yield* mmapReadLock(ctx, mm);
    let locked = true;
    while (progress < pages) {
      vpn = nextCandidate(ctx, mm, vpn);
      if (vpn < 0) break;
      progress += m.thpPages;
      const status = yield* hpageCollapseScanPmd(ctx, mm, vpn, COLLAPSE_KHUGEPAGED);
      countStat(m, ctx.actor, STAT.khugepaged_scans, 1);
      if (status === SCAN_SUCCEED) {
        yield* ctx.kernel.collapseHugePage(ctx, mm, vpn);
        locked = false;
      } else if (status === SCAN_PAGE_COUNT) {
        countStat(m, ctx.actor, STAT.khugepaged_refused, 1);
      }
      vpn += m.thpPages;
      if (!locked) break;
    }
    if (vpn < 0 || vpn >= m.mmPages) {
      setBeside(words, mmAt, (mm + 1) % m.mms);
      setBeside(words, addressAt, 0);
      visited++;
    } else {
      setBeside(words, addressAt, vpn);
    }
    if (locked) yield* mmapReadUnlock(ctx, mm);
  }
  return progress;
}

/** The next THP-aligned address from `vpn` on that a VMA allows, or -1. Under mmap_lock. */
function nextCandidate(ctx: Context, mm: number, vpn: number): number {
  const mask = ctx.m.thpPages - 1;
  for (;;) {
    const vma = findVmaFrom(ctx, mm, vpn);
    if (vma < 0) return -1;
    const aligned = (Math.max(vpn, vmaStart(ctx, vma)) + mask) & ~mask;
    if (aligned + ctx.m.thpPages <= vmaEnd(ctx, vma) && thpVmaAllowable(ctx, vma, aligned)) return aligned;
    vpn = vmaEnd(ctx, vma);
  }
}

/**
 * madvise(MADV_COLLAPSE) of one THP-aligned range.
 * @returns 0, -EINVAL (no such VMA, or one with VM_NOHUGEPAGE, which alone of all settings counts here), -EAGAIN (a page is pinned
 *   or locked), -ENOMEM
 */
export function* madviseCollapse(ctx: Context, mm: number, vpn: number): Coroutine {
  yield* mmapReadLock(ctx, mm);
  const vma = findVma(ctx, mm, vpn);
  const aligned = (vpn & (ctx.m.thpPages - 1)) === 0;
  if (vma < 0 || !aligned || vpn + ctx.m.thpPages > vmaEnd(ctx, vma) || (vmaFlags(ctx, vma) & VM_NOHUGEPAGE) !== 0) {
    yield* mmapReadUnlock(ctx, mm);
    return -EINVAL;
  }
  let status = yield* hpageCollapseScanPmd(ctx, mm, vpn, COLLAPSE_MADVISE);
  if (status === SCAN_SUCCEED) status = yield* ctx.kernel.collapseHugePage(ctx, mm, vpn);
  else yield* mmapReadUnlock(ctx, mm);
  if (status === SCAN_SUCCEED || status === SCAN_PMD_MAPPED) return 0;
  // madvise_collapse_errno()
  if (status === SCAN_ALLOC_HUGE_PAGE_FAIL) return -ENOMEM;
  return status === SCAN_PAGE_COUNT ||
    status === SCAN_PAGE_LOCK ||
    status === SCAN_PAGE_LRU ||
    status === SCAN_DEL_PAGE_LRU
    ? -EAGAIN
    : -EINVAL;
}

/**
 * collapse_huge_page() (mm/khugepaged.c, v6.18; kernel-model 3.15): 2^order small pages become one huge page, under
 * mmap_lock write, with the PTE table detached between the first PMD change and the second. The notifier's end comes long
 * before the new PMD: secondary MMUs stay out because GUP needs mmap_lock.
 */
import {
  MMU_NOTIFY_CLEAR,
  PG_SWAPCACHE,
  PG_UPTODATE,
  VM_FAULT_ERROR,
  VM_NOHUGEPAGE,
  VM_WRITE,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { glance, setBeside } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP } from '../../machine/context.js';
import { acquires, reads, releases, tries, updates, writes } from '../../machine/effects.js';
import {
  annotationOwner,
  PMD_HUGE,
  PTE_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  entryPfn,
  isNone,
  isPresent,
  isSpecial,
  isSwapEntry,
  isTable,
  mkEntry,
} from '../../machine/entries.js';
import {
  MMF_EXITING,
  MM_FLAGS,
  PAGE_CONTENT,
  PAGE_HOST_S2,
  PAGE_FLAGS,
  TABLE_DETACHED,
  TABLE_LIVE,
  TABLE_STATE,
  mmWord,
  pageWord,
  pmdWord,
  ptlOf,
  pteWord,
  tableWord,
} from '../../machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, MC_PAGES_MOVED, countMechanism } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinLock, spinUnlock } from '../../locks/exclusive.js';
import { holds } from '../../locks/held.js';
import { mmapReadLock, mmapReadUnlock, mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from '../../locks/vma-lock.js';
import { get, readOnce, set, writeOnce, xchg } from '#words';
import {
  flagsWord,
  folioMaps,
  folioOf,
  folioPut,
  folioPages,
  folioRefs,
  folioTestLarge,
  mapsWord,
  pageNode,
  refSubAndTest,
  refsWord,
  testFlag,
} from '../folio.js';
import {
  SCAN_ALLOC_HUGE_PAGE_FAIL,
  SCAN_ANY_PROCESS,
  SCAN_DEL_PAGE_LRU,
  SCAN_FAIL,
  SCAN_PAGE_COUNT,
  SCAN_PAGE_LOCK,
  SCAN_PMD_NULL,
  SCAN_PTE_NON_PRESENT,
  SCAN_SUCCEED,
  SCAN_VMA_CHECK,
  SCAN_VMA_NULL,
} from './khugepaged.js';
import { allocPages, freeFolio } from '../page-alloc.js';
import { protBits } from '../vma/page-prot.js';
import { pgtableDeposit, pmdLock } from '../pgtable.js';
import { folioAddNewAnonRmap, folioChangeRmapPte } from '../rmap/rmap.js';
import { freeSwapCache } from '../swap/swap-state.js';
import { folioAddLru, folioIsolateLru, folioPutbackLru } from '../swap.js';
import { flushTlbRange } from '../tlb-flush.js';
import { findVma, vmaAnonVma, vmaEnd, vmaFlags, vmaStart } from '../vma/vma.js';

/**
 * Entered with mmap_lock read held; returns with it released.
 * @param vpn aligned to a THP
 * @returns SCAN_*
 */
export function* collapseHugePage(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m } = ctx;
  const node = targetNode(ctx, mm, vpn);
  yield* mmapReadUnlock(ctx, mm);
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.khugepaged;
  countMechanism(m, ctx.actor, MECH.khugepaged, MC_ATTEMPTS, 1);
  const head = yield* allocPages(ctx, m.thpOrder, node, 0);
  let status = SCAN_ALLOC_HUGE_PAGE_FAIL;
  if (head > 0) {
    yield* mmapReadLock(ctx, mm);
    status = yield* revalidate(ctx, mm, vpn);
    if (status === SCAN_SUCCEED && m.swapSlots > 0) status = yield* swapIn(ctx, mm, vpn);
    yield* mmapReadUnlock(ctx, mm);
    if (status === SCAN_SUCCEED) status = yield* collapseLocked(ctx, mm, vpn, head);
    if (status !== SCAN_SUCCEED) {
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
      if (refSubAndTest(ctx, head, 1, REF_ALLOC)) yield* freeFolio(ctx, head);
    } else {
      countMechanism(m, ctx.actor, MECH.khugepaged, MC_PAGES_MOVED, m.thpPages);
    }
  }
  emit(ctx, EVENT.collapse, mm, vpn, head, status);
  ctx.task.mechanism = outer;
  return status;
}

/** hugepage_vma_revalidate() and find_pmd_or_thp_or_none(): under mmap_lock. */
function* revalidate(ctx: Context, mm: number, vpn: number): Coroutine {
  // hpage_collapse_test_exit(): a dying mm waits for us once only, with its VMAs still there
  const mmFlags = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(mmFlags);
  if ((readOnce(ctx.words, mmFlags) & MMF_EXITING) !== 0) return SCAN_ANY_PROCESS;
  const vma = findVma(ctx, mm, vpn);
  if (vma < 0) return SCAN_VMA_NULL;
  if (vmaStart(ctx, vma) > vpn || vmaEnd(ctx, vma) < vpn + ctx.m.thpPages || vmaAnonVma(ctx, vma) === 0) {
    return SCAN_VMA_CHECK;
  }
  // thp_vma_allowable_order(): MADV_NOHUGEPAGE may have come between
  if ((vmaFlags(ctx, vma) & VM_NOHUGEPAGE) !== 0) return SCAN_VMA_CHECK;
  const pmdAt = pmdWord(ctx.m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  return isTable(readOnce(ctx.words, pmdAt)) ? SCAN_SUCCEED : SCAN_PMD_NULL;
}

/** __collapse_huge_page_swapin(): what is swapped out is fetched, under mmap_lock read. SCAN_SUCCEED or SCAN_FAIL. */
function* swapIn(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const vma = findVma(ctx, mm, vpn);
  const pmdAt = pmdWord(m, mm, vpn);
  for (let page = vpn; page < vpn + m.thpPages; page++) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    if (!isTable(pmd)) return SCAN_PMD_NULL;
    const pteAt = pteWord(m, entryPfn(pmd), page);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const pte = readOnce(words, pteAt);
    if (!isSwapEntry(pte)) continue;
    const result = yield* ctx.kernel.doSwapPage(ctx, mm, vma, page, 0, pte);
    if ((result & VM_FAULT_ERROR) !== 0) return SCAN_FAIL;
  }
  return SCAN_SUCCEED;
}

/** hpage_collapse_find_target_node(): the node that holds most of the pages. A hint, read without locks. */
function targetNode(ctx: Context, mm: number, vpn: number): number {
  const { m, words } = ctx;
  if (m.nodes === 1) return ctx.node;
  const pmd = glance(words, pmdWord(m, mm, vpn));
  if (!isTable(pmd)) return ctx.node;
  let best = ctx.node;
  let most = 0;
  for (let node = 0; node < m.nodes; node++) {
    let count = 0;
    for (let i = 0; i < m.thpPages; i++) {
      const entry = glance(words, pteWord(m, entryPfn(pmd), vpn + i));
      if (isPresent(entry) && !isSpecial(entry) && pageNode(ctx, entryPfn(entry)) === node) count++;
    }
    if (count > most) {
      most = count;
      best = node;
    }
  }
  return best;
}

function* collapseLocked(ctx: Context, mm: number, vpn: number, head: number): Coroutine {
  const { m, words } = ctx;
  const pages = m.thpPages;
  const pmdAt = pmdWord(m, mm, vpn);
  yield* mmapWriteLock(ctx, mm);
  let status = yield* revalidate(ctx, mm, vpn);
  if (status !== SCAN_SUCCEED) {
    yield* mmapWriteUnlock(ctx, mm);
    return status;
  }
  const vma = findVma(ctx, mm, vpn);
  yield* vmaStartWrite(ctx, mm, vma);
  // check_pmd_still_valid(): a fault that held only the VMA lock may have changed it until now
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const oldPmd = readOnce(words, pmdAt);
  if (!isTable(oldPmd)) {
    yield* mmapWriteUnlock(ctx, mm);
    return SCAN_PMD_NULL;
  }
  const table = entryPfn(oldPmd);
  const anonVma = vmaAnonVma(ctx, vma);
  yield* ctx.kernel.collapseRmapLock(ctx, anonVma);

  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + pages, MMU_NOTIFY_CLEAR, true);
  const pmdLockWord = yield* pmdLock(ctx, mm, vpn);
  // pmdp_collapse_flush(): from here on hardware and lockless walkers see no table
  if (--ctx.quantum < 0) yield writes(pmdAt);
  xchg(words, pmdAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pmdAt, oldPmd, 0);
  yield* flushTlbRange(ctx, false, mm, vpn, vpn + pages);
  if (--ctx.quantum < 0) yield releases(pmdLockWord);
  spinUnlock(ctx, pmdLockWord, LOCK_PMD);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + pages);
  yield* ctx.kernel.tlbRemoveTableSyncOne(ctx);
  set(words, tableWord(m, table, TABLE_STATE), TABLE_DETACHED);

  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  status = yield* isolate(ctx, table, vpn);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);

  if (status !== SCAN_SUCCEED) {
    set(words, tableWord(m, table, TABLE_STATE), TABLE_LIVE);
    const again = yield* pmdLock(ctx, mm, vpn);
    if (--ctx.quantum < 0) yield writes(pmdAt);
    writeOnce(words, pmdAt, oldPmd);
    ctx.probe.onEntry(ctx, mm, vpn, pmdAt, 0, oldPmd);
    if (--ctx.quantum < 0) yield releases(again);
    spinUnlock(ctx, again, LOCK_PMD);
    yield* ctx.kernel.collapseRmapUnlock(ctx, anonVma);
    countMechanism(m, ctx.actor, MECH.khugepaged, MC_BACKED_OUT, 1);
    yield* mmapWriteUnlock(ctx, mm);
    return status;
  }
  // every page is isolated and locked, so no rmap walk can start on one: the anon_vma may go
  yield* ctx.kernel.collapseRmapUnlock(ctx, anonVma);
  yield* copyAndFree(ctx, mm, table, vpn, head);

  const flagsAt = pageWord(m, head, PAGE_FLAGS);
  setBeside(words, flagsAt, get(words, flagsAt) | PG_UPTODATE);
  folioAddNewAnonRmap(ctx, head, anonVma, mm, vpn);
  const entry =
    mkEntry(head, PMD_HUGE | protBits(vmaFlags(ctx, vma)) | PTE_YOUNG | PTE_DIRTY) |
    ((vmaFlags(ctx, vma) & VM_WRITE) !== 0 ? PTE_WRITE : 0);
  const last = yield* pmdLock(ctx, mm, vpn);
  yield* folioAddLru(ctx, head);
  pgtableDeposit(ctx, mm, vpn, table);
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(words, pmdAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pmdAt, 0, entry);
  if (--ctx.quantum < 0) yield releases(last);
  spinUnlock(ctx, last, LOCK_PMD);
  yield* mmapWriteUnlock(ctx, mm);
  return SCAN_SUCCEED;
}

/** A PTE that has no page to copy: none, or the zero page. */
const isEmptyPte = (entry: number): boolean => isNone(entry) || (isPresent(entry) && isSpecial(entry));

/**
 * __collapse_huge_page_isolate(): locks and isolates every folio under the detached table. No new pin can come from this
 * mm now, so the refs test is final. On failure everything isolated so far is released.
 */
function* isolate(ctx: Context, table: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  for (let i = 0; i < m.thpPages; i++) {
    const entry = get(words, pteWord(m, table, vpn + i));
    if (isEmptyPte(entry)) continue;
    let status = SCAN_SUCCEED;
    if (isPresent(entry)) {
      const folio = folioOf(ctx, entryPfn(entry));
      if (folioTestLarge(ctx, folio) && holds(ctx, folioLockWord(ctx, folio))) continue;
      status = yield* isolateFolio(ctx, folio);
    } else {
      status = SCAN_PTE_NON_PRESENT;
    }
    if (status !== SCAN_SUCCEED) {
      yield* releasePages(ctx, table, vpn, i);
      return status;
    }
  }
  return SCAN_SUCCEED;
}

function* isolateFolio(ctx: Context, folio: number): Coroutine {
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!folioTrylock(ctx, folio)) return SCAN_PAGE_LOCK;
  let expected = 0;
  // copy_mc_user_highpage() of a protected guest's page would abort
  if (ctx.kernel.rules.protectedKvm && annotationOwner(glance(ctx.words, pageWord(ctx.m, folio, PAGE_HOST_S2))) !== 0) {
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, folio);
    return SCAN_PAGE_COUNT;
  }
  if (ctx.m.swapSlots > 0) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
    if (testFlag(ctx, folio, PG_SWAPCACHE)) expected = folioPages(ctx, folio);
  }
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  expected += folioMaps(ctx, folio);
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
  let status = SCAN_SUCCEED;
  if (folioRefs(ctx, folio) !== expected) status = SCAN_PAGE_COUNT;
  else if (!(yield* folioIsolateLru(ctx, folio))) status = SCAN_DEL_PAGE_LRU;
  if (status !== SCAN_SUCCEED) {
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, folio);
  }
  return status;
}

/** release_pte_pages(): unlocks and puts back the folios of the first `count` entries, newest first. */
function* releasePages(ctx: Context, table: number, vpn: number, count: number): Coroutine<void> {
  const { m, words } = ctx;
  for (let i = count - 1; i >= 0; i--) {
    const entry = get(words, pteWord(m, table, vpn + i));
    if (isEmptyPte(entry) || !isPresent(entry)) continue;
    const folio = folioOf(ctx, entryPfn(entry));
    if (holds(ctx, folioLockWord(ctx, folio))) yield* releaseFolio(ctx, folio);
  }
}

function* releaseFolio(ctx: Context, folio: number): Coroutine<void> {
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, folio);
  yield* folioPutbackLru(ctx, folio);
}

/** __collapse_huge_page_copy(): the contents into the new folio, which nobody sees yet, then the old pages go. */
function* copyAndFree(ctx: Context, mm: number, table: number, vpn: number, head: number): Coroutine<void> {
  const { m, words } = ctx;
  for (let i = 0; i < m.thpPages; i++) {
    const entry = get(words, pteWord(m, table, vpn + i));
    let content = 0;
    if (!isEmptyPte(entry)) {
      const from = pageWord(m, entryPfn(entry), PAGE_CONTENT);
      if (--ctx.quantum < 0) yield reads(from);
      content = readOnce(words, from);
    }
    set(words, pageWord(m, head + i, PAGE_CONTENT), content);
    if (!isEmptyPte(entry)) ctx.probe.onCopy(ctx, entryPfn(entry), head + i);
  }
  const ptl = ptlOf(m, table);
  for (let i = m.thpPages - 1; i >= 0; i--) {
    const pteAt = pteWord(m, table, vpn + i);
    const entry = get(words, pteAt);
    if (isNone(entry)) continue;
    const pfn = entryPfn(entry);
    const folio = isSpecial(entry) ? 0 : folioOf(ctx, pfn);
    if (folio !== 0 && !folioTestLarge(ctx, folio)) yield* releaseFolio(ctx, folio);
    if (--ctx.quantum < 0) yield acquires(ptl);
    while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
    if (--ctx.quantum < 0) yield writes(pteAt);
    xchg(words, pteAt, 0);
    ctx.probe.onEntry(ctx, mm, vpn + i, pteAt, entry, 0);
    if (folio !== 0) yield* folioChangeRmapPte(ctx, folio, pfn, mm, vpn + i, -1);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
    if (folio === 0) continue;
    if (folioTestLarge(ctx, folio) && lastOfFolio(ctx, table, vpn, i, folio)) yield* releaseFolio(ctx, folio);
    if (m.swapSlots > 0) yield* freeSwapCache(ctx, folio);
    yield* folioPut(ctx, folio, REF_MAP);
  }
}

/** Whether no entry below `i` maps a page of `folio`, so that its lock and isolation can go. */
function lastOfFolio(ctx: Context, table: number, vpn: number, i: number, folio: number): boolean {
  for (let j = 0; j < i; j++) {
    const entry = get(ctx.words, pteWord(ctx.m, table, vpn + j));
    if (!isEmptyPte(entry) && folioOf(ctx, entryPfn(entry)) === folio) return false;
  }
  return true;
}

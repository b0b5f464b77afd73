/**
 * ksmd (mm/ksm.c, v6.18; kernel-model 3.16): scans mergeable VMAs page by page under ksm_thread_mutex, and what one page goes
 * through: smart scan, checksum, zero page, stable tree, unstable tree.
 */
import { MECH } from '../../machine/mechanisms.js';
import { glance } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_TEMP } from '../../machine/context.js';
import { acquires, reads, releases, tries, writes } from '../../machine/effects.js';
import { annotationOwner } from '../../machine/entries.js';
import {
  GLOBAL_KSM_THREAD_MUTEX,
  KSM_ITEM_ANON_ROOT,
  KSM_ITEM_ANON_VMA,
  KSM_ITEM_CHECKSUM,
  KSM_ITEM_NODE,
  KSM_ITEM_STATE,
  KSM_SCAN_ADDRESS,
  KSM_SCAN_MM,
  KSM_USE_ZERO_PAGES,
  MM_KSM_SLOT,
  PAGE_HOST_S2,
  PAGE_MAPPING,
  globalLock,
  globalWord,
  ksmItem,
  ksmItemWord,
  mmWord,
  pageWord,
} from '../../machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, MC_PAGES_MOVED, STAT, countMechanism, countStat } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_KSM_THREAD_MUTEX } from '../../locks/classes.js';
import { folioLock, folioLockWord, folioTrylock, folioUnlock, mutexLock, mutexUnlock } from '../../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../../locks/vma-lock.js';
import { get, peek, set, writeOnce } from '#words';
import { anonVmaRoot } from '../rmap/anon-vma.js';
import { ZERO_PFN, folioMapping, folioOf, folioPut, mappingId, mappingIsKsm } from '../folio.js';
import { kernelLoad } from '../kernel-map.js';
import { tryToMergeOnePage } from './merge.js';
import {
  ITEM_STABLE,
  removeRmapItemFromTree,
  removeUnstable,
  stableTreeAppend,
  stableTreeInsert,
  stableTreeSearch,
  unstableTreeSearchInsert,
  ITEM_UNSTABLE,
} from './tree.js';
import { vmaAnonVma } from '../vma/vma.js';
import { breakCow, findMergeableVma, getMergeablePage } from './break.js';
import { scanGetNextRmapItem } from './scan.js';

/** The checksum of an all-zero page, and of content 0: contents are one word, so the checksum is a mix of it. */
const checksumOf = (content: number): number => (Math.imul(content ^ (content >>> 16), 0x45d9f3b) | 0) ^ 0x6b736d;
const ZERO_CHECKSUM = checksumOf(0);

/**
 * ksm_do_scan(): up to `pages` pages from where the last batch stopped. Takes ksm_thread_mutex for the batch.
 * @returns full scans completed
 */
export function* ksmDoScan(ctx: Context, pages: number): Coroutine {
  const mutex = globalLock(ctx.m, GLOBAL_KSM_THREAD_MUTEX);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_KSM_THREAD_MUTEX)) yield contended(ctx, mutex);
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.ksm;
  let fullScans = 0;
  for (let left = pages; left > 0; left--) {
    const pfn = yield* scanGetNextRmapItem(ctx);
    if (pfn < 0) {
      fullScans++;
      break;
    }
    yield* cmpAndMergePage(ctx, nextItem(ctx), pfn);
    yield* folioPut(ctx, folioOf(ctx, pfn), REF_TEMP);
  }
  ctx.task.mechanism = outer;
  if (--ctx.quantum < 0) yield releases(mutex);
  mutexUnlock(ctx, mutex, LOCK_KSM_THREAD_MUTEX);
  return fullScans;
}

/** The item that scan_get_next_rmap_item has stopped at: the page just before the cursor. */
function nextItem(ctx: Context): number {
  const { m, words } = ctx;
  return ksmItem(m, get(words, globalWord(m, KSM_SCAN_MM)), get(words, globalWord(m, KSM_SCAN_ADDRESS)) - 1);
}

/** A page that the host cannot read (donated to a protected guest): reading it would end in an abort from EL2. */
const hostCannotRead = (ctx: Context, pfn: number): boolean =>
  annotationOwner(glance(ctx.words, pageWord(ctx.m, pfn, PAGE_HOST_S2))) !== 0;

/** cmp_and_merge_page(): one page, to whose folio we hold a reference. */
function* cmpAndMergePage(ctx: Context, item: number, pfn: number): Coroutine<void> {
  const { m, words } = ctx;
  const folio = folioOf(ctx, pfn);
  if (hostCannotRead(ctx, pfn)) return;
  if (--ctx.quantum < 0) yield reads(pageWord(m, folio, PAGE_MAPPING));
  const mapping = folioMapping(ctx, folio);
  const ksm = mappingIsKsm(mapping);
  if (ksm) {
    const inPlace =
      get(words, ksmItemWord(m, item, KSM_ITEM_STATE)) === ITEM_STABLE &&
      get(words, ksmItemWord(m, item, KSM_ITEM_NODE)) === mappingId(mapping);
    if (inPlace) return;
  } else {
    yield* removeRmapItemFromTree(ctx, item);
  }
  if ((yield* kernelLoad(ctx, pfn)) !== 0) return;
  const content = ctx.accessValue;
  const checksum = checksumOf(content);
  const checksumAt = ksmItemWord(m, item, KSM_ITEM_CHECKSUM);
  emit(ctx, EVENT.ksm_scan, (item / m.mmPages) | 0, item % m.mmPages, pfn, checksum);
  if (!ksm && ctx.kernel.rules.ksmChecksumFirst) {
    if (get(words, checksumAt) !== checksum) {
      set(words, checksumAt, checksum);
      return;
    }
    if ((yield* tryToMergeWithZeroPage(ctx, item, pfn)) === 0) return;
  }

  const kfolio = yield* stableTreeSearch(ctx, content);
  if (kfolio === folio) {
    // a forked or remapped sharer of a KSM page that we have no item for yet
    yield* folioPut(ctx, kfolio, REF_TEMP);
    return;
  }
  yield* removeRmapItemFromTree(ctx, item);
  if (kfolio > 0) {
    if ((yield* tryToMergeWithKsmPage(ctx, item, pfn, kfolio)) === 0) {
      yield* appendLocked(ctx, item, kfolio);
      countMerged(ctx, 1);
    }
    yield* folioPut(ctx, kfolio, REF_TEMP);
    return;
  }
  if (!ksm && !ctx.kernel.rules.ksmChecksumFirst) {
    // through 6.8 the checksum is looked at only now, so a page that matched the stable tree was tried already
    if (get(words, checksumAt) !== checksum) {
      set(words, checksumAt, checksum);
      return;
    }
    if ((yield* tryToMergeWithZeroPage(ctx, item, pfn)) === 0) return;
  }
  yield* mergeFromUnstable(ctx, item, pfn, content);
}

function* mergeFromUnstable(ctx: Context, item: number, pfn: number, content: number): Coroutine<void> {
  const treeItem = unstableTreeSearchInsert(ctx, item, content);
  if (treeItem < 0) return;
  // get_mergeable_page(): what the tree's item maps by now, with a reference
  const treePfn = yield* getMergeablePage(ctx, treeItem);
  if (treePfn < 0) {
    removeUnstable(ctx, treeItem);
    return;
  }
  const same = (yield* kernelLoad(ctx, treePfn)) === 0 && ctx.accessValue === content && treePfn !== pfn;
  const sameThp = folioOf(ctx, pfn) === folioOf(ctx, treePfn) && folioOf(ctx, pfn) !== pfn;
  const merged = same && (yield* tryToMergeTwoPages(ctx, item, pfn, treeItem, treePfn));
  yield* folioPut(ctx, folioOf(ctx, treePfn), REF_TEMP);
  if (same) {
    if (merged) {
      removeUnstable(ctx, treeItem);
      // the page may have been moved by a migration meanwhile; its lock keeps it from now on
      const lock = folioLockWord(ctx, pfn);
      if (--ctx.quantum < 0) yield acquires(lock);
      while (!folioLock(ctx, pfn)) yield contended(ctx, lock);
      const node = yield* stableTreeInsert(ctx, pfn, content);
      if (node !== 0) {
        stableTreeAppend(ctx, treeItem, node);
        stableTreeAppend(ctx, item, node);
        countMerged(ctx, 2);
      }
      if (--ctx.quantum < 0) yield releases(lock);
      folioUnlock(ctx, pfn);
      if (node === 0) {
        yield* breakCow(ctx, treeItem);
        yield* breakCow(ctx, item);
      }
    } else if (sameThp) {
      // two equal pages of one THP: our two references made its split fail; with one gone it may succeed
      const head = folioOf(ctx, pfn);
      if (--ctx.quantum < 0) yield tries(folioLockWord(ctx, head));
      if (folioTrylock(ctx, head)) {
        yield* ctx.kernel.splitHugePage(ctx, pfn);
        const now = folioOf(ctx, pfn);
        if (--ctx.quantum < 0) yield releases(folioLockWord(ctx, now));
        folioUnlock(ctx, now);
      }
    }
  }
}

/** try_to_merge_two_pages(): the first becomes a KSM page, the second is merged into it; else the first is broken again. */
function* tryToMergeTwoPages(
  ctx: Context,
  item: number,
  pfn: number,
  treeItem: number,
  treePfn: number,
): Coroutine<boolean> {
  if ((yield* tryToMergeWithKsmPage(ctx, item, pfn, -1)) !== 0) return false;
  if ((yield* tryToMergeWithKsmPage(ctx, treeItem, treePfn, pfn)) === 0) return true;
  // failed: the page that is KSM by now goes back to being an ordinary one
  yield* breakCow(ctx, item);
  return false;
}

/** try_to_merge_with_ksm_page(): under mmap_lock read and with the VMA looked up again. */
function* tryToMergeWithKsmPage(ctx: Context, item: number, pfn: number, kpage: number): Coroutine {
  const { m, words } = ctx;
  const mm = (item / m.mmPages) | 0;
  const vpn = item % m.mmPages;
  yield* mmapReadLock(ctx, mm);
  const vma = findMergeableVma(ctx, mm, vpn);
  let result = -1;
  if (vma >= 0) {
    countMechanism(m, ctx.actor, MECH.ksm, MC_ATTEMPTS, 1);
    result = yield* tryToMergeOnePage(ctx, mm, vma, vpn, pfn, kpage);
    if (result === 0) {
      if (get(words, ksmItemWord(m, item, KSM_ITEM_STATE)) === ITEM_UNSTABLE) removeUnstable(ctx, item);
      set(words, ksmItemWord(m, item, KSM_ITEM_ANON_VMA), vmaAnonVma(ctx, vma));
      set(words, ksmItemWord(m, item, KSM_ITEM_ANON_ROOT), anonVmaRoot(ctx, vmaAnonVma(ctx, vma)));
    } else {
      countMechanism(m, ctx.actor, MECH.ksm, MC_BACKED_OUT, 1);
    }
  }
  yield* mmapReadUnlock(ctx, mm);
  return result;
}

/** try_to_merge_with_zero_page(): under use_zero_pages, an all-zero page becomes the zero page. Returns 0 when done. */
function* tryToMergeWithZeroPage(ctx: Context, item: number, pfn: number): Coroutine {
  const { m, words } = ctx;
  if (peek(words, globalWord(m, KSM_USE_ZERO_PAGES)) === 0) return -1;
  if (get(words, ksmItemWord(m, item, KSM_ITEM_CHECKSUM)) !== ZERO_CHECKSUM) return -1;
  const mm = (item / m.mmPages) | 0;
  const vpn = item % m.mmPages;
  yield* mmapReadLock(ctx, mm);
  const vma = findMergeableVma(ctx, mm, vpn);
  // no VMA: the page is gone, nothing more to do for it
  const result = vma >= 0 ? yield* tryToMergeOnePage(ctx, mm, vma, vpn, pfn, ZERO_PFN) : 0;
  yield* mmapReadUnlock(ctx, mm);
  if (result === 0 && vma >= 0) countMerged(ctx, 1);
  return result;
}

function countMerged(ctx: Context, pages: number): void {
  countStat(ctx.m, ctx.actor, STAT.ksm_merged, pages);
  countMechanism(ctx.m, ctx.actor, MECH.ksm, MC_PAGES_MOVED, pages);
}

function* appendLocked(ctx: Context, item: number, kfolio: number): Coroutine<void> {
  const lock = folioLockWord(ctx, kfolio);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!folioLock(ctx, kfolio)) yield contended(ctx, lock);
  stableTreeAppend(ctx, item, mappingId(folioMapping(ctx, kfolio)));
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, kfolio);
}

/**
 * __ksm_exit(): a dying mm leaves ksmd's list. ksmd may be in the middle of it: ksm_thread_mutex waits for the batch, where
 * the kernel hands the slot over to ksmd when it is being scanned.
 */
export function* ksmExit(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  if (glance(words, mmWord(m, mm, MM_KSM_SLOT)) === 0) return;
  const mutex = globalLock(m, GLOBAL_KSM_THREAD_MUTEX);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_KSM_THREAD_MUTEX)) yield contended(ctx, mutex);
  for (let vpn = 0; vpn < m.mmPages; vpn++) yield* removeRmapItemFromTree(ctx, ksmItem(m, mm, vpn));
  const slot = mmWord(m, mm, MM_KSM_SLOT);
  if (--ctx.quantum < 0) yield writes(slot);
  writeOnce(words, slot, 0);
  if (--ctx.quantum < 0) yield releases(mutex);
  mutexUnlock(ctx, mutex, LOCK_KSM_THREAD_MUTEX);
}

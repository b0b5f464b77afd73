/**
 * Merging one page (mm/ksm.c: write_protect_page, replace_page, try_to_merge_one_page, v6.18; kernel-model 3.16 steps 7, 8).
 * write_protect_page calls the notifier before it knows anything of the page: the thread's complaint.
 */
import { EFAULT, MAPPING_KSM, MMU_NOTIFY_CLEAR, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_SWAPCACHE } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, tries, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  entryPfn,
  isPresent,
  isSpecial,
  mkEntry,
} from '../../machine/entries.js';
import {
  KSM_ZERO_PAGES,
  MM_TLB_FLUSH_PENDING,
  PAGE_MAPPING,
  globalWord,
  mmWord,
  pageWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../../locks/exclusive.js';
import { fetchAdd, readOnce, writeOnce, xchg } from '#words';
import {
  ZERO_PFN,
  clearFlag,
  flagsWord,
  folioMapping,
  folioMaps,
  folioMaybeDmaPinned,
  folioOf,
  folioPut,
  folioRefs,
  folioTestLarge,
  mappingIsAnon,
  mapsWord,
  pinsWord,
  refAdd,
  refsWord,
  setFlag,
} from '../folio.js';
import { kernelLoad } from '../kernel-map.js';
import { protBits } from '../vma/page-prot.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { folioChangeRmapPte } from '../rmap/rmap.js';
import { folioFreeSwap } from '../swap/swap-state.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaFlags } from '../vma/vma.js';

/**
 * write_protect_page(): makes the page read-only and clean where it is mapped, if nobody else holds a reference. The folio is
 * locked, ksmd holds one reference, mmap_lock is held for reading.
 * @returns the PTE that it left, for replace_page (orig_pte); or 0 (not mapped there, or somebody holds it: a pin for one)
 */
export function* writeProtectPage(ctx: Context, mm: number, _vma: number, vpn: number, pfn: number): Coroutine {
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR, true);
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  let left = 0;
  if (table >= 0) {
    left = yield* writeProtectPte(ctx, mm, vpn, pfn, table);
    const ptl = ptlOf(ctx.m, table);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  return left;
}

/** Steps b to d of write_protect_page, under the PTL: shared with the policies that move the notifier. Same results. */
export function* writeProtectPte(ctx: Context, mm: number, vpn: number, pfn: number, table: number): Coroutine {
  const { m, words } = ctx;
  const pteAt = pteWord(m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  let entry = readOnce(words, pteAt);
  if (!isPresent(entry) || isSpecial(entry) || entryPfn(entry) !== pfn) return 0;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  const flags = readOnce(words, flagsWord(ctx, pfn));
  const exclusive = (flags & PG_ANON_EXCLUSIVE) !== 0;
  if (yield* ctx.kernel.ksmMustFlush(ctx, mm, entry, exclusive)) {
    if (--ctx.quantum < 0) yield writes(pteAt);
    entry = xchg(words, pteAt, 0);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, entry, 0);
    yield* flushTlbRange(ctx, false, mm, vpn, vpn + 1);
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, pfn));
    const maps = folioMaps(ctx, pfn);
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, pfn));
    // maps + ksmd's own + swapcache: anything more is somebody who may write (O_DIRECT, a pin)
    if (folioRefs(ctx, pfn) !== maps + 1 + ((flags & PG_SWAPCACHE) !== 0 ? 1 : 0))
      return yield* restore(ctx, mm, vpn, pteAt, entry);
    if (!(yield* ctx.kernel.ksmShare(ctx, mm, vpn, pfn, pteAt, entry, exclusive)))
      return yield* restore(ctx, mm, vpn, pteAt, entry);
    entry &= ~(PTE_WRITE | PTE_DIRTY);
  }
  return entry;
}

/**
 * What write_protect_page() asks before it takes a PTE for harmless: a writable or dirty one is used by CPUs, an exclusive one by
 * pins; and with a flush pending in the mm another changer may have cleaned or protected it without having flushed yet (Z18).
 */
export function* ksmMustFlush(ctx: Context, mm: number, entry: number, exclusive: boolean): Coroutine<boolean> {
  const pendingAt = mmWord(ctx.m, mm, MM_TLB_FLUSH_PENDING);
  if (--ctx.quantum < 0) yield reads(pendingAt);
  // mm_tlb_flush_pending()
  return readOnce(ctx.words, pendingAt) !== 0 || (entry & (PTE_WRITE | PTE_DIRTY)) !== 0 || exclusive;
}

/**
 * folio_try_share_anon_rmap_pte(), and the new PTE: `entry`, read-only and clean. GUP-fast sees the cleared PTE, or we see its pin; and
 * it sees the bit gone if it sees the new PTE (Z06). The PTE is none and flushed.
 */
export function* ksmShare(
  ctx: Context,
  mm: number,
  vpn: number,
  pfn: number,
  pteAt: number,
  entry: number,
  exclusive: boolean,
): Coroutine<boolean> {
  if (exclusive) {
    if (--ctx.quantum < 0) yield reads(pinsWord(ctx, pfn));
    if (folioMaybeDmaPinned(ctx, pfn)) return false;
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    clearFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
  }
  if ((entry & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    setFlag(ctx, pfn, PG_DIRTY);
  }
  const shared = entry & ~(PTE_WRITE | PTE_DIRTY);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, shared);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, shared);
  return true;
}

/** Nothing is left: the page stays as it was. */
function* restore(ctx: Context, mm: number, vpn: number, pteAt: number, entry: number): Coroutine {
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
  return 0;
}

/**
 * replace_page(): maps `kpage` (ZERO_PFN: the zero page) where `pfn` is mapped, if the PTE is still `orig`.
 * @returns 0 or -EFAULT
 */
export function* replacePage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  pfn: number,
  kpage: number,
  orig: number,
): Coroutine {
  const { m, words } = ctx;
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR, true);
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  let result = -EFAULT;
  if (table >= 0) {
    const pteAt = pteWord(m, table, vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    // the hardware may have set the young bit since: that is no other mapping
    if (((readOnce(words, pteAt) ^ orig) & ~PTE_YOUNG) === 0) {
      const prot = protBits(vmaFlags(ctx, vma));
      let entry = prot | PTE_YOUNG;
      if (kpage === ZERO_PFN) {
        // dirty marks the zero page as placed by KSM (v6.6+)
        entry = mkEntry(ZERO_PFN, prot | PTE_SPECIAL | PTE_DIRTY);
        const zeroPages = globalWord(m, KSM_ZERO_PAGES);
        if (--ctx.quantum < 0) yield updates(zeroPages);
        fetchAdd(words, zeroPages, 1);
        countStat(m, ctx.actor, STAT.zero_pages_merged, 1);
      } else {
        entry = mkEntry(kpage, entry);
        if (--ctx.quantum < 0) yield updates(refsWord(ctx, kpage));
        refAdd(ctx, kpage, 1, REF_MAP);
        yield* folioChangeRmapPte(ctx, kpage, kpage, mm, vpn, 1);
      }
      if (--ctx.quantum < 0) yield writes(pteAt);
      const old = xchg(words, pteAt, 0);
      ctx.probe.onEntry(ctx, mm, vpn, pteAt, old, 0);
      yield* flushTlbRange(ctx, false, mm, vpn, vpn + 1);
      if (--ctx.quantum < 0) yield writes(pteAt);
      writeOnce(words, pteAt, entry);
      ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
      yield* folioChangeRmapPte(ctx, pfn, pfn, mm, vpn, -1);
      emit(ctx, EVENT.ksm_merge, mm, vpn, pfn, kpage);
      result = 0;
    }
    const ptl = ptlOf(m, table);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
    if (result === 0 && m.swapSlots > 0) yield* freeSwapIfUnmapped(ctx, pfn);
    if (result === 0) yield* folioPut(ctx, pfn, REF_MAP);
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  return result;
}

/** The replaced page, which ksmd has locked, needs its swap slot no more. */
function* freeSwapIfUnmapped(ctx: Context, pfn: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, pfn));
  if (folioMaps(ctx, pfn) === 0) yield* folioFreeSwap(ctx, pfn);
}

/**
 * try_to_merge_one_page(): `kpage` -1 makes the page itself a KSM page, else the page is replaced by `kpage`.
 * ksmd holds a reference to the page's folio; a THP is split first, and a pinned THP stops there without a notifier (F5).
 * @returns 0 or -EFAULT
 */
export function* tryToMergeOnePage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  pfn: number,
  kpage: number,
): Coroutine {
  const { m, words } = ctx;
  if (pfn === kpage) return 0;
  let folio = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(pageWord(m, folio, PAGE_MAPPING));
  if (!mappingIsAnon(folioMapping(ctx, folio))) return -EFAULT;
  // no waiting: ksmd would hold up the holder's page for a scan's length
  if (--ctx.quantum < 0) yield tries(folioLockWord(ctx, folio));
  if (!folioTrylock(ctx, folio)) return -EFAULT;
  let result = -EFAULT;
  let split = 0;
  if (folioTestLarge(ctx, folio)) {
    split = yield* ctx.kernel.splitHugePage(ctx, pfn);
    folio = folioOf(ctx, pfn);
  }
  if (split === 0) {
    const orig = yield* ctx.kernel.writeProtectPage(ctx, mm, vma, vpn, pfn);
    result = orig !== 0 ? 0 : -EFAULT;
    emit(ctx, EVENT.ksm_write_protect, mm, vpn, pfn, result);
    if (result === 0) {
      if (kpage < 0) {
        // folio_set_stable_node(folio, NULL): KSM without a node yet; kept dirty so that reclaim would not drop it
        const mappingAt = pageWord(m, pfn, PAGE_MAPPING);
        if (--ctx.quantum < 0) yield writes(mappingAt);
        writeOnce(words, mappingAt, MAPPING_KSM);
        if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
        setFlag(ctx, pfn, PG_DIRTY);
        ctx.probe.onReadOnly(ctx, pfn, true);
      } else if (yield* pagesIdentical(ctx, pfn, kpage)) {
        result = yield* ctx.kernel.replacePage(ctx, mm, vma, vpn, pfn, kpage, orig);
      } else {
        result = -EFAULT;
      }
    }
  }
  if (result !== 0) countStat(m, ctx.actor, STAT.ksm_refused, 1);
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, folio);
  return result;
}

/** pages_identical(). */
function* pagesIdentical(ctx: Context, a: number, b: number): Coroutine<boolean> {
  if ((yield* kernelLoad(ctx, a)) !== 0) return false;
  const content = ctx.accessValue;
  return (yield* kernelLoad(ctx, b)) === 0 && ctx.accessValue === content;
}

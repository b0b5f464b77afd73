/**
 * do_swap_page(): a page comes back from swap (mm/memory.c, mm/swap_state.c, mm/ksm.c, v6.18; kernel-model 3.6).
 *
 * The folio is found in the swap cache, or read in. When nobody else refers to the slot the cache is bypassed, since the device
 * is synchronous; then SWAP_HAS_CACHE is the token that keeps a second reader out (Z21). The swap entry's exclusive bit says that
 * the page was this process's alone, so that a pin which was there all the time still is in the right place (v5.19+).
 */
import {
  EEXIST,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  MAPPING_ANON,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_HWPOISON,
  PG_MLOCKED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_LOCKED,
  VM_WRITE,
} from '../../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP, REF_TEMP } from '../../machine/context.js';
import { LOCAL, acquires, reads, releases, releasesRead, tries, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_SWAP_EXCLUSIVE,
  entryPfn,
  mkEntry,
  swapType,
} from '../../machine/entries.js';
import { PAGE_CONTENT, PAGE_FLAGS, PAGE_INDEX, PAGE_MAPPING, pageWord, pteWord, ptlOf } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { folioLock, folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../../locks/exclusive.js';
import { vmaEndRead, vmaLockWord } from '../../locks/vma-lock.js';
import { get, readOnce, set, writeOnce } from '#words';
import { anonVmaRoot } from '../rmap/anon-vma.js';
import {
  flagsWord,
  folioIndex,
  folioMapping,
  folioMaps,
  folioPages,
  folioPut,
  folioRefs,
  mappingId,
  mappingIsAnon,
  mappingIsKsm,
  mapsWord,
  refsWord,
  setFlag,
} from '../folio.js';
import { faultGfp, allocPages } from '../page-alloc.js';
import { kernelLoad } from '../kernel-map.js';
import { faultsFlush } from '../rmap/flush.js';
import { protBits } from '../vma/page-prot.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { folioAddNewAnonRmap, folioChangeRmapPte } from '../rmap/rmap.js';
import { SWAP_READ_AGAIN, readSwapCacheAsync, waitForSwapReader } from '../swap/swap-read.js';
import { folioFreeSwap, hasSwapSlot, swapCacheGetFolio, swapPage, swapReadFolio } from '../swap/swap-state.js';
import { folioAddLru } from '../swap.js';
import { swapCountOf, swapFree, swapMap, swapcacheClear, vmSwapFull } from '../swap/swapfile.js';
import { vmaAnonVma, vmaFlags } from '../vma/vma.js';

/**
 * do_swap_page() of the swap entry `orig` at `vpn`.
 * @returns 0 (also when the access is to be tried again), VM_FAULT_OOM, _SIGBUS, _HWPOISON or _RETRY (the VMA lock is released
 *   then)
 */
export function* doSwapPage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  orig: number,
): Coroutine {
  const slot = entryPfn(orig);
  // get_swap_device(): a bad entry
  if (slot >= ctx.m.swapSlots) return VM_FAULT_SIGBUS;
  let folio = yield* swapCacheGetFolio(ctx, slot);
  if (folio === 0) {
    const map = yield* swapMap(ctx, slot);
    if (swapCountOf(map) === 1) return yield* swapInBypassing(ctx, mm, vma, vpn, flags, orig);
    folio = yield* readSwapCacheAsync(ctx, slot, faultGfp(flags));
    if (folio === SWAP_READ_AGAIN) return 0;
    if (folio < 0) return VM_FAULT_OOM;
  }
  let result = yield* folioLockOrRetry(ctx, vma, folio, flags);
  if (result === 0) {
    // reclaim or another process's write may have taken it out of the cache
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
    const folioFlags = readOnce(ctx.words, flagsWord(ctx, folio));
    if ((folioFlags & PG_SWAPCACHE) !== 0 && hasSwapSlot(ctx, folio, slot)) {
      if ((folioFlags & PG_HWPOISON) !== 0) result = VM_FAULT_HWPOISON;
      else if ((folioFlags & PG_UPTODATE) === 0) result = VM_FAULT_SIGBUS;
      else return yield* mapLocked(ctx, mm, vma, vpn, flags, orig, folio);
    }
    yield* unlock(ctx, folio);
  }
  yield* folioPut(ctx, folio, REF_TEMP);
  return result;
}

/** The only reference to the slot is this entry: the folio need not be in the cache. */
function* swapInBypassing(ctx: Context, mm: number, vma: number, vpn: number, flags: number, orig: number): Coroutine {
  const slot = entryPfn(orig);
  const folio = yield* allocPages(ctx, 0, ctx.node, faultGfp(flags));
  if (folio < 0) return VM_FAULT_OOM;
  const prepared = yield* ctx.kernel.swapcachePrepare(ctx, slot);
  if (prepared < 0) {
    yield* folioPut(ctx, folio, REF_ALLOC);
    if (prepared === -EEXIST) yield* waitForSwapReader(ctx, slot);
    return 0;
  }
  // __folio_set_locked(): nobody knows it yet
  if (--ctx.quantum < 0) yield tries(folioLockWord(ctx, folio));
  folioTrylock(ctx, folio);
  yield* swapReadFolio(ctx, folio, slot, true);
  const result = yield* mapFresh(ctx, mm, vma, vpn, flags, orig, folio);
  if (prepared === 0) yield* swapcacheClear(ctx, slot);
  return result;
}

/**
 * folio_lock_or_retry(): a fault under the VMA lock alone gives that up before it sleeps, and comes back under mmap_lock; then it
 * sleeps holding that.
 */
function* folioLockOrRetry(ctx: Context, vma: number, folio: number, flags: number): Coroutine {
  const lock = folioLockWord(ctx, folio);
  if ((flags & FAULT_FLAG_VMA_LOCK) === 0) {
    if (--ctx.quantum < 0) yield acquires(lock);
    while (!folioLock(ctx, folio)) yield contended(ctx, lock);
    return 0;
  }
  if (--ctx.quantum < 0) yield tries(lock);
  if (folioTrylock(ctx, folio)) return 0;
  if (--ctx.quantum < 0) yield releasesRead(vmaLockWord(ctx, vma));
  vmaEndRead(ctx, vma);
  // folio_wait_locked()
  if (--ctx.quantum < 0) yield reads(lock);
  const wait = contended(ctx, lock);
  if (wait !== LOCAL) yield wait;
  return VM_FAULT_RETRY;
}

function* unlock(ctx: Context, folio: number): Coroutine<void> {
  const lock = folioLockWord(ctx, folio);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, folio);
}

/** A folio of the swap cache, locked and up to date, with our REF_TEMP: mapped, or a copy of it. */
function* mapLocked(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  orig: number,
  swapcache: number,
): Coroutine {
  let result = 0;
  const mappingAt = pageWord(ctx.m, swapcache, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, swapcache);
  const page = swapPage(ctx, swapcache, entryPfn(orig));
  if (ksmMightNeedToCopy(ctx, vma, vpn - (page - swapcache), swapcache, mapping)) {
    const copy = yield* copyFolio(ctx, page, flags);
    result = copy < 0 ? VM_FAULT_OOM : yield* mapFresh(ctx, mm, vma, vpn, flags, orig, copy);
  } else {
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (table >= 0) {
      const pteAt = pteWord(ctx.m, table, vpn);
      if (--ctx.quantum < 0) yield reads(pteAt);
      if (readOnce(ctx.words, pteAt) === orig) {
        const pte = yield* mapCached(ctx, mm, vma, vpn, flags, orig, swapcache, mapping, pteAt);
        yield* unlock(ctx, swapcache);
        return yield* finish(ctx, mm, vma, vpn, flags, table, pte);
      }
      yield* unlockPtl(ctx, table);
    }
  }
  yield* unlock(ctx, swapcache);
  yield* folioPut(ctx, swapcache, REF_TEMP);
  return result;
}

/**
 * ksm_might_need_to_copy(): whether the folio in the cache belongs to another place: one that KSM had merged and that was read
 * in for another of its mappings. A KSM page that still is one may be mapped anywhere. The folio is locked.
 */
function ksmMightNeedToCopy(ctx: Context, vma: number, vpn: number, folio: number, mapping: number): boolean {
  if (mappingIsKsm(mapping)) return mappingId(mapping) === 0;
  if (!mappingIsAnon(mapping)) return false;
  if (folioIndex(ctx, folio) !== vpn) return true;
  return anonVmaRoot(ctx, mappingId(mapping)) !== anonVmaRoot(ctx, vmaAnonVma(ctx, vma));
}

/** The copy of ksm_might_need_to_copy(): locked, known to nobody; or -1. */
function* copyFolio(ctx: Context, from: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const copy = yield* allocPages(ctx, 0, ctx.node, faultGfp(flags));
  if (copy < 0) return -1;
  if ((yield* kernelLoad(ctx, from)) !== 0) {
    yield* folioPut(ctx, copy, REF_ALLOC);
    return -1;
  }
  set(words, pageWord(m, copy, PAGE_CONTENT), ctx.accessValue);
  const copyFlags = pageWord(m, copy, PAGE_FLAGS);
  set(words, copyFlags, get(words, copyFlags) | PG_UPTODATE | PG_DIRTY | PG_SWAPBACKED);
  ctx.probe.onCopy(ctx, from, copy);
  if (--ctx.quantum < 0) yield tries(folioLockWord(ctx, copy));
  folioTrylock(ctx, copy);
  return copy;
}

/** A locked folio that only we know, with our REF_ALLOC: mapped as the process's own, or given back. */
function* mapFresh(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  orig: number,
  folio: number,
): Coroutine {
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table >= 0) {
    const pteAt = pteWord(ctx.m, table, vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    if (readOnce(ctx.words, pteAt) === orig) {
      yield* swapFree(ctx, entryPfn(orig));
      folioAddNewAnonRmap(ctx, folio, vmaAnonVma(ctx, vma), mm, vpn);
      yield* folioAddLru(ctx, folio);
      const write = ctx.kernel.rules.wpReuse === 'v5.19' || (flags & FAULT_FLAG_WRITE) !== 0;
      const pte = yield* setPte(ctx, mm, vma, vpn, flags, orig, folio, pteAt, write);
      yield* unlock(ctx, folio);
      return yield* finish(ctx, mm, vma, vpn, flags, table, pte);
    }
    yield* unlockPtl(ctx, table);
  }
  yield* unlock(ctx, folio);
  yield* folioPut(ctx, folio, REF_ALLOC);
  return 0;
}

/** Steps 7 and 8 for a folio of the swap cache, under the PTL. Returns the PTE. */
function* mapCached(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  orig: number,
  folio: number,
  mapping: number,
  pteAt: number,
): Coroutine {
  const { words } = ctx;
  const slot = entryPfn(orig);
  // of a huge page that was written out whole, the page alone (from v6.11 on Linux maps all of it where all swap entries are there)
  const page = swapPage(ctx, folio, slot);
  const ksm = mappingIsKsm(mapping);
  const bit = ctx.kernel.rules.wpReuse === 'v5.19';
  let exclusive = bit && !ksm && swapType(orig) === SWP_SWAP_EXCLUSIVE;
  // reuse_swap_page() (through v5.18): a write finds neither another mapping nor another swap entry
  if (!bit && !ksm && (flags & FAULT_FLAG_WRITE) !== 0) {
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    exclusive = folioMaps(ctx, folio) === 0 && swapCountOf(yield* swapMap(ctx, slot)) === 1;
  }
  yield* swapFree(ctx, slot);
  if (yield* shouldTryToFreeSwap(ctx, vma, folio, flags, ksm)) yield* folioFreeSwap(ctx, folio);
  if (bit && !ksm && !exclusive) {
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
    exclusive = folioRefs(ctx, folio) === 1;
  }
  if (exclusive) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, page));
    setFlag(ctx, page, PG_ANON_EXCLUSIVE);
  }
  if (!mappingIsAnon(mapping)) {
    // folio_add_new_anon_rmap() of a folio that was read in: shared pages belong to the oldest anon_vma of the family
    const anonVma = vmaAnonVma(ctx, vma);
    const indexAt = pageWord(ctx.m, folio, PAGE_INDEX);
    if (--ctx.quantum < 0) yield writes(indexAt);
    writeOnce(words, indexAt, vpn);
    const mappingAt = pageWord(ctx.m, folio, PAGE_MAPPING);
    if (--ctx.quantum < 0) yield writes(mappingAt);
    writeOnce(words, mappingAt, ((exclusive ? anonVma : anonVmaRoot(ctx, anonVma)) << 2) | MAPPING_ANON);
  }
  yield* folioChangeRmapPte(ctx, folio, page, mm, vpn, 1);
  ctx.probe.onRef(ctx, folio, -1, REF_TEMP);
  ctx.probe.onRef(ctx, folio, 1, REF_MAP);
  const write = exclusive && (bit || (flags & FAULT_FLAG_WRITE) !== 0);
  return yield* setPte(ctx, mm, vma, vpn, flags, orig, page, pteAt, write);
}

/** should_try_to_free_swap(): swap is short, or the page is about to be written and needs its slot no more. */
function* shouldTryToFreeSwap(
  ctx: Context,
  vma: number,
  folio: number,
  flags: number,
  ksm: boolean,
): Coroutine<boolean> {
  if ((vmaFlags(ctx, vma) & VM_LOCKED) !== 0 || (yield* vmSwapFull(ctx))) return true;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  if ((readOnce(ctx.words, flagsWord(ctx, folio)) & PG_MLOCKED) !== 0) return true;
  if ((flags & FAULT_FLAG_WRITE) === 0 || ksm) return false;
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
  return folioRefs(ctx, folio) === 1 + folioPages(ctx, folio);
}

function* setPte(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  orig: number,
  folio: number,
  pteAt: number,
  mayWrite: boolean,
): Coroutine {
  if (faultsFlush(ctx)) yield* ctx.kernel.flushTlbBatchedPending(ctx, mm);
  const prot = protBits(vmaFlags(ctx, vma));
  const write = mayWrite && prot === PTE_PRESENT && (vmaFlags(ctx, vma) & VM_WRITE) !== 0;
  const entry = mkEntry(
    folio,
    prot |
      PTE_YOUNG |
      (orig & PTE_SOFT_DIRTY) |
      (write ? PTE_WRITE : 0) |
      (write && (flags & FAULT_FLAG_WRITE) !== 0 ? PTE_DIRTY : 0),
  );
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, orig, entry);
  countStat(ctx.m, ctx.actor, STAT.swap_ins, 1);
  emit(ctx, EVENT.swap_in, mm, vpn, folio, entryPfn(orig));
  return entry;
}

/** A write that the new PTE does not allow goes on as a write-protect fault. Entered with the PTL held, returns without. */
function* finish(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  table: number,
  pte: number,
): Coroutine {
  if ((flags & FAULT_FLAG_WRITE) !== 0 && (pte & PTE_WRITE) === 0) {
    return yield* ctx.kernel.doWpPage(ctx, mm, vma, vpn, flags, table, pte);
  }
  yield* unlockPtl(ctx, table);
  return 0;
}

function* unlockPtl(ctx: Context, table: number): Coroutine<void> {
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
}

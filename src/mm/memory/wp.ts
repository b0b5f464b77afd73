/**
 * Write-protect and unshare faults (mm/memory.c do_wp_page, wp_can_reuse_anon_folio, wp_page_copy, v6.18; kernel-model
 * 3.3): reuse the page in place, or copy it. The reuse rule is `ctx.kernel.rules.wpReuse`, since its history is the history
 * of pins that copy-on-write took away (Z07, Z08, Z12).
 */
import { setBeside } from '../../machine/words/extra-accesses.js';
import {
  FAULT_FLAG_UNSHARE,
  MAPPING_ANON,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_HWPOISON,
  PG_LRU,
  PG_MAYBE_SHARED,
  PG_SWAPCACHE,
  PG_UPTODATE,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_SHARED,
  VM_WRITE,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP, REF_TEMP } from '../../machine/context.js';
import { reads, releases, tries, updates, writes } from '../../machine/effects.js';
import { PTE_DIRTY, PTE_WRITE, PTE_YOUNG, entryPfn, isSpecial, mkEntry } from '../../machine/entries.js';
import {
  KSM_ZERO_PAGES,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_ENTIRE_MAPS,
  PAGE_LARGE_MAPS,
  PAGE_MAPPING,
  PAGE_MAPS,
  globalWord,
  pageWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../../locks/exclusive.js';
import { fetchAdd, fetchOr, get, readOnce, writeOnce, xchg, set } from '#words';
import {
  ZERO_PFN,
  flagsWord,
  folioMapping,
  folioOf,
  folioPut,
  folioRefs,
  folioTestLarge,
  mappingIsKsm,
  pageAnonExclusive,
  refAdd,
  refsWord,
  setFlag,
  testFlag,
} from '../folio.js';
import { vmfAnonPrepare } from './anon.js';
import { faultGfp, allocPages } from '../page-alloc.js';
import { kernelLoad } from '../kernel-map.js';
import { protBits } from '../vma/page-prot.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { folioAddNewAnonRmap, folioChangeRmapPte } from '../rmap/rmap.js';
import { folioFreeSwap, folioSwap, freeSwapCache } from '../swap/swap-state.js';
import { folioAddLru, lruAddDrain } from '../swap.js';
import { swapCountOf, swapMap } from '../swap/swapfile.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaAnonVma, vmaFlags } from '../vma/vma.js';

/**
 * do_wp_page(): a write to, or an unsharing of, a present PTE that is not writable.
 * Entered with the PTL of `table` held and the PTE equal to `orig`; returns with it released.
 * @returns 0, VM_FAULT_OOM, _HWPOISON or _RETRY (see vmfAnonPrepare)
 */
export function* doWpPage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  table: number,
  orig: number,
): Coroutine {
  const { m } = ctx;
  const unshare = (flags & FAULT_FLAG_UNSHARE) !== 0;
  const ptl = ptlOf(m, table);
  const pteAt = pteWord(m, table, vpn);
  const pfn = entryPfn(orig);
  // wp_page_shared(): a shared mapping is never copied
  let reuse = (vmaFlags(ctx, vma) & VM_SHARED) !== 0;
  const anon = !reuse && !isSpecial(orig);
  if (reuse && !isSpecial(orig)) {
    // fault_dirty_shared_page(), before the entry says so rather than after: nobody cleans a folio here
    const head = folioOf(ctx, pfn);
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_DIRTY);
  }
  if (anon) {
    let exclusive = false;
    if (ctx.kernel.rules.wpReuse === 'v5.19') {
      if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
      exclusive = pageAnonExclusive(ctx, pfn);
    }
    reuse = exclusive || (yield* ctx.kernel.wpCanReuseAnonFolio(ctx, vma, pfn)) === 1;
    if (reuse && !exclusive) {
      if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
      setFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
    }
    if (!reuse) {
      const head = folioOf(ctx, pfn);
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
      refAdd(ctx, head, 1, REF_TEMP);
    }
  }
  if (reuse) {
    // unsharing only makes it exclusive: the PTE stays read-only
    if (!unshare) yield* wpPageReuse(ctx, mm, vma, vpn, pteAt, orig);
    emit(ctx, EVENT.wp_reuse, mm, vpn, pfn, unshare ? 1 : 0);
    countStat(m, ctx.actor, STAT.wp_reuses, 1);
  }
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return reuse ? 0 : yield* wpPageCopy(ctx, mm, vma, vpn, flags, orig);
}

/** wp_page_reuse(): a permission gain, so neither notifier nor flush. Under the PTL. */
function* wpPageReuse(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  pteAt: number,
  orig: number,
): Coroutine<void> {
  const bits = PTE_YOUNG | PTE_DIRTY | ((vmaFlags(ctx, vma) & VM_WRITE) !== 0 ? PTE_WRITE : 0);
  if (--ctx.quantum < 0) yield updates(pteAt);
  fetchOr(ctx.words, pteAt, bits);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, orig, orig | bits);
}

/**
 * wp_can_reuse_anon_folio(): may this page, which is not anon_exclusive, be written in place? PTL held.
 * @returns 1 or 0
 */
export function* wpCanReuseAnonFolio(ctx: Context, vma: number, pfn: number): Coroutine {
  const head = folioOf(ctx, pfn);
  const rule = ctx.kernel.rules.wpReuse;
  if (rule === 'v5.19' && folioTestLarge(ctx, head)) return yield* reuseLarge(ctx, head);
  const mappingAt = pageWord(ctx.m, head, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  if (mappingIsKsm(folioMapping(ctx, head))) return 0;
  if (rule !== 'v5.8') {
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
    const refs = folioRefs(ctx, head);
    if (refs > (rule === 'v5.19' ? 3 : 1)) return 0;
  }
  if (rule === 'v5.19') {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    const flags = readOnce(ctx.words, flagsWord(ctx, head));
    // our own batch may hold the one reference too many
    if ((flags & PG_LRU) === 0) yield* lruAddDrain(ctx);
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
    if (folioRefs(ctx, head) > ((flags & PG_SWAPCACHE) !== 0 ? 2 : 1)) return 0;
  }
  const lock = folioLockWord(ctx, head);
  if (--ctx.quantum < 0) yield tries(lock);
  if (!folioTrylock(ctx, head)) return 0;
  if (ctx.m.swapSlots > 0 && rule === 'v5.19') yield* folioFreeSwap(ctx, head);
  const reuse = yield* soleUser(ctx, head, pfn);
  if (reuse === 1) {
    // folio_move_anon_rmap()
    if (--ctx.quantum < 0) yield writes(mappingAt);
    writeOnce(ctx.words, mappingAt, (vmaAnonVma(ctx, vma) << 2) | MAPPING_ANON);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, head);
  return reuse;
}

/** The tests under the folio lock: by references (v5.9+), by mappings (up to v5.17). */
function* soleUser(ctx: Context, head: number, pfn: number): Coroutine {
  const rule = ctx.kernel.rules.wpReuse;
  if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, head, PAGE_MAPPING));
  if (mappingIsKsm(folioMapping(ctx, head))) return 0;
  if (rule !== 'v5.19' && (yield* mostMaps(ctx, head, pfn)) !== 1) return 0;
  // reuse_swap_page(): swap entries count as mappings
  if (rule === 'v5.8') return (yield* swapEntriesOf(ctx, head)) === 0 ? 1 : 0;
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
  return folioRefs(ctx, head) === 1 ? 1 : 0;
}

/**
 * page_mapcount(): of a page of a large folio its own maps and those by a huge PMD, another process's too. Through v5.8, in
 * reuse_swap_page(), those of its page that has the most (page_trans_huge_map_swapcount).
 */
function* mostMaps(ctx: Context, head: number, pfn: number): Coroutine {
  const { m, words } = ctx;
  const large = folioTestLarge(ctx, head);
  const all = large && ctx.kernel.rules.wpReuse === 'v5.8';
  let most = 0;
  for (let page = all ? head : pfn; page < (all ? head + m.thpPages : pfn + 1); page++) {
    const mapsAt = pageWord(m, page, PAGE_MAPS);
    if (--ctx.quantum < 0) yield reads(mapsAt);
    most = Math.max(most, readOnce(words, mapsAt));
  }
  if (!large) return most;
  const entireAt = pageWord(m, head, PAGE_ENTIRE_MAPS);
  if (--ctx.quantum < 0) yield reads(entireAt);
  return most + readOnce(words, entireAt);
}

/** page_swapcount() of a locked folio. */
function* swapEntriesOf(ctx: Context, head: number): Coroutine {
  if (ctx.m.swapSlots === 0) return 0;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if (!testFlag(ctx, head, PG_SWAPCACHE)) return 0;
  return swapCountOf(yield* swapMap(ctx, folioSwap(ctx, head)));
}

/** __wp_can_reuse_large_anon_folio() (v6.15+): more than one page mapped, by this mm only, and nobody else's reference. */
function* reuseLarge(ctx: Context, head: number): Coroutine {
  const mapsAt = pageWord(ctx.m, head, PAGE_LARGE_MAPS);
  if (--ctx.quantum < 0) yield reads(mapsAt);
  const maps = readOnce(ctx.words, mapsAt);
  // the last page of a large folio is copied, so that the folio can be freed
  if (maps <= 1) return 0;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if (testFlag(ctx, head, PG_MAYBE_SHARED)) return 0;
  // an anonymous folio is mapped by one mm here, through the tables whose lock we hold: its maps cannot change
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
  return folioRefs(ctx, head) === maps ? 1 : 0;
}

/**
 * wp_page_copy(): a copy of the page, mapped in its place. Entered without locks but the caller's, with a REF_TEMP
 * reference to the old folio unless it is the zero page.
 */
function* wpPageCopy(ctx: Context, mm: number, vma: number, vpn: number, flags: number, orig: number): Coroutine {
  const { m, words } = ctx;
  const old = entryPfn(orig);
  const oldHead = isSpecial(orig) ? ZERO_PFN : folioOf(ctx, old);
  let result = yield* vmfAnonPrepare(ctx, mm, vma, flags);
  let copy = -1;
  if (result === 0) {
    copy = yield* allocPages(ctx, 0, ctx.node, faultGfp(flags));
    result = copy < 0 ? VM_FAULT_OOM : yield* copyUserPage(ctx, old, copy);
  }
  if (result !== 0) {
    if (copy >= 0) yield* folioPut(ctx, copy, REF_ALLOC);
    if (oldHead !== ZERO_PFN) yield* folioPut(ctx, oldHead, REF_TEMP);
    return result;
  }
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.wp_fault;
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR, true);
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  let copied = false;
  if (table >= 0) {
    const pteAt = pteWord(m, table, vpn);
    if (--ctx.quantum < 0) yield updates(pteAt);
    copied = readOnce(words, pteAt) === orig;
    if (copied) {
      // ptep_clear_flush() before the new page is mapped: no two CPUs may see two pages
      const before = xchg(words, pteAt, 0);
      ctx.probe.onEntry(ctx, mm, vpn, pteAt, before, 0);
      yield* flushTlbRange(ctx, false, mm, vpn, vpn + 1);
      yield* mapCopy(ctx, mm, vma, vpn, flags, pteAt, copy);
      if (oldHead !== ZERO_PFN) {
        if (--ctx.quantum < 0) yield reads(pageWord(m, oldHead, PAGE_MAPPING));
        const ksm = mappingIsKsm(folioMapping(ctx, oldHead));
        // only now: until the flush somebody may still use the old page through a TLB
        yield* folioChangeRmapPte(ctx, oldHead, old, mm, vpn, -1);
        if (ksm) {
          countStat(m, ctx.actor, STAT.ksm_broken, 1);
          emit(ctx, EVENT.ksm_break, mm, vpn, old, copy);
        }
      } else {
        yield* ksmMightUnmapZeroPage(ctx, before);
      }
      countStat(m, ctx.actor, STAT.wp_copies, 1);
      emit(ctx, EVENT.wp_copy, mm, vpn, old, copy);
    }
    const ptl = ptlOf(m, table);
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  ctx.task.mechanism = outer;
  if (!copied) yield* folioPut(ctx, copy, REF_ALLOC);
  if (oldHead !== ZERO_PFN) {
    if (copied && m.swapSlots > 0) yield* freeSwapCache(ctx, oldHead);
    if (copied) yield* folioPut(ctx, oldHead, REF_MAP);
    yield* folioPut(ctx, oldHead, REF_TEMP);
  }
  return 0;
}

/** __wp_page_copy_user(): may race with writers through pins or other mappings, which is what read-only is for. */
function* copyUserPage(ctx: Context, from: number, to: number): Coroutine {
  const { m, words } = ctx;
  if (from !== ZERO_PFN) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, from));
    // copy_mc_user_highpage() takes the machine check
    if (testFlag(ctx, from, PG_HWPOISON)) return VM_FAULT_HWPOISON;
  }
  if ((yield* kernelLoad(ctx, from)) !== 0) return VM_FAULT_SIGBUS;
  set(words, pageWord(m, to, PAGE_CONTENT), ctx.accessValue);
  setBeside(words, pageWord(m, to, PAGE_FLAGS), get(words, pageWord(m, to, PAGE_FLAGS)) | PG_UPTODATE);
  ctx.probe.onCopy(ctx, from, to);
  return 0;
}

/** Maps the copy: writable and dirty for a write, exclusive and read-only for unsharing. Under the PTL. */
function* mapCopy(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  pteAt: number,
  copy: number,
): Coroutine<void> {
  folioAddNewAnonRmap(ctx, copy, vmaAnonVma(ctx, vma), mm, vpn);
  yield* folioAddLru(ctx, copy);
  // mk_pte(vm_page_prot): FOLL_FORCE writes where nothing may be accessed
  let bits = protBits(vmaFlags(ctx, vma)) | PTE_YOUNG;
  if ((flags & FAULT_FLAG_UNSHARE) === 0) {
    bits |= PTE_DIRTY | ((vmaFlags(ctx, vma) & VM_WRITE) !== 0 ? PTE_WRITE : 0);
  }
  const entry = mkEntry(copy, bits);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
}

/** ksm_might_unmap_zero_page(): a zero page that KSM placed (special and dirty, v6.6+) is mapped no more. */
export function* ksmMightUnmapZeroPage(ctx: Context, entry: number): Coroutine<void> {
  // a driver's page is special too
  if (!isSpecial(entry) || entryPfn(entry) !== ZERO_PFN || (entry & PTE_DIRTY) === 0) return;
  const zeroPages = globalWord(ctx.m, KSM_ZERO_PAGES);
  if (--ctx.quantum < 0) yield updates(zeroPages);
  fetchAdd(ctx.words, zeroPages, -1);
}

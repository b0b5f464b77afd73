/**
 * try_to_unmap: every mapping of a folio in the swap cache becomes a swap entry, of a lazily freed one nothing; and folio_referenced, who has used it lately
 * (mm/rmap.c, v6.18; kernel-model 3.12 steps 2 and 4). The folio is locked; huge pages: rmap-unmap-huge.ts.
 *
 * As in migration the notifier comes before the look at the pins. Secondary MMUs are not asked whether they have used the page:
 * no subscriber here has aging callbacks.
 */
import { MMU_NOTIFY_CLEAR, PG_DIRTY, PG_HWPOISON, PG_SWAPBACKED, PG_SWAPCACHE, VM_LOCKED } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_YOUNG,
  SWP_HWPOISON,
  SWP_SWAP,
  SWP_SWAP_EXCLUSIVE,
  entryPfn,
  isPresent,
  isSpecial,
  isTable,
  mkSwapEntry,
} from '../../machine/entries.js';
import { PAGE_MAPPING, pageWord, pmdWord, pteWord, ptlOf } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { fetchAnd, readOnce, writeOnce, xchg } from '#words';
import { putAnonVma } from './anon-vma.js';
import {
  flagsWord,
  folioIndex,
  folioMapping,
  folioMaps,
  folioPages,
  folioRefs,
  folioTestLarge,
  mappingIsAnon,
  mappingIsKsm,
  mapsWord,
  pageAnonExclusive,
  refSubAndTest,
  refsWord,
  setFlag,
  testFlag,
} from '../folio.js';
import { isFileObject } from '../filemap.js';
import { setTlbUbcFlushPending, shouldDeferFlush } from './flush.js';
import { folioTryShareAnonRmap, folioChangeRmapPte, rmapWalkEnd, rmapWalkNext, rmapWalkStart } from './rmap.js';
import { folioGetAnonVma } from '../migrate/migrate.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { hugeReferencedOne, tryToUnmapHuge } from './unmap-huge.js';
import { swapDuplicate, swapFree } from '../swap/swapfile.js';
import { folioSwap } from '../swap/swap-state.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaFlags, vmaMm } from '../vma/vma.js';

/** What a walk is for: to unmap, or to look who has used the page. */
const UNMAP = 0;
const LOOK = 1;

/** try_to_unmap(TTU_BATCH_FLUSH). Whether the folio is still mapped is for the caller to see. */
export function* tryToUnmap(ctx: Context, folio: number): Coroutine<void> {
  yield* walk(ctx, folio, UNMAP);
}

/** A mapping is locked in memory: added to what folioReferenced returns. */
export const REFERENCED_LOCKED = 1 << 16;

/** folio_referenced(): how many PTEs were young, and are not any more; REFERENCED_LOCKED: a VMA is VM_LOCKED. */
export const folioReferenced = (ctx: Context, folio: number): Coroutine => walk(ctx, folio, LOOK);

/** rmap_walk(): the folio lock keeps what it is, a reference to its anon_vma keeps that. */
function* walk(ctx: Context, folio: number, purpose: number): Coroutine {
  const mappingAt = pageWord(ctx.m, folio, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, folio);
  // of a file's pages only broken ones come here
  if (!mappingIsAnon(mapping) && purpose === LOOK) return 0;
  const anonVma = mappingIsAnon(mapping) ? yield* folioGetAnonVma(ctx, folio) : 0;
  // folio_lock_anon_vma_read(): nothing maps it any more
  if (anonVma === 0 && mappingIsAnon(mapping) && !mappingIsKsm(mapping)) return 0;
  const index = folioIndex(ctx, folio);
  const pages = folioPages(ctx, folio);
  let sum = 0;
  let cursor = yield* rmapWalkStart(ctx, mapping);
  while ((cursor = yield* rmapWalkNext(ctx, mapping, cursor, index, pages)) !== 0) {
    const vma = ctx.out.rmapVma;
    const vpn = ctx.out.rmapVpn;
    if (purpose === LOOK) {
      sum += yield* folioReferencedOne(ctx, folio, vma, vpn);
      if (sum >= REFERENCED_LOCKED) break;
      continue;
    }
    const gone =
      pages > 1
        ? yield* tryToUnmapHuge(ctx, folio, vma, vpn, unmapPte)
        : yield* ctx.kernel.tryToUnmapOne(ctx, folio, vma, vpn);
    if (gone === 0) break;
    // done: folio_not_mapped()
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
    if (folioMaps(ctx, folio) === 0) break;
  }
  yield* rmapWalkEnd(ctx, mapping, cursor);
  if (anonVma !== 0) yield* putAnonVma(ctx, anonVma);
  return sum;
}

/** Whether the entry maps the (small) folio. */
const maps = (pte: number, folio: number): boolean => isPresent(pte) && !isSpecial(pte) && entryPfn(pte) === folio;

/** page_vma_mapped_walk(): the table, with its PTL held, whose PTE at `vpn` maps the folio; or -1. */
function* mappedIn(ctx: Context, mm: number, vpn: number, folio: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  if (!isTable(pmd)) return -1;
  // map_pte(): no lock is taken for an entry that is not present
  const hintAt = pteWord(m, entryPfn(pmd), vpn);
  if (--ctx.quantum < 0) yield reads(hintAt);
  ctx.probe.onTableWalk(ctx, mm, vpn, entryPfn(pmd));
  if (!isPresent(readOnce(words, hintAt))) return -1;
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return -1;
  const pteAt = pteWord(m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  if (maps(readOnce(words, pteAt), folio)) return table;
  yield* unlockPtl(ctx, table);
  return -1;
}

function* unlockPtl(ctx: Context, table: number): Coroutine<void> {
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
}

/** folio_referenced_one(): ptep_clear_young under the PTL. A TLB may still hold the entry: its use is not seen, as on arm64. */
function* folioReferencedOne(ctx: Context, folio: number, vma: number, vpn: number): Coroutine {
  const mm = vmaMm(ctx, vma);
  if ((vmaFlags(ctx, vma) & VM_LOCKED) !== 0) return REFERENCED_LOCKED;
  if (folioTestLarge(ctx, folio)) return yield* hugeReferencedOne(ctx, folio, vma, vpn);
  const table = yield* mappedIn(ctx, mm, vpn, folio);
  if (table < 0) return 0;
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield updates(pteAt);
  const before = fetchAnd(ctx.words, pteAt, ~PTE_YOUNG);
  const young = (before & PTE_YOUNG) !== 0;
  if (young) ctx.probe.onEntry(ctx, mm, vpn, pteAt, before, before & ~PTE_YOUNG);
  yield* unlockPtl(ctx, table);
  return young ? 1 : 0;
}

/**
 * try_to_unmap_one(): the folio's mapping in one VMA, between NOTIFY.start and NOTIFY.end.
 * @returns 1; 0: the mapping stays (pinned, or locked in memory), the walk stops
 */
export function* tryToUnmapOne(ctx: Context, folio: number, vma: number, vpn: number): Coroutine {
  const mm = vmaMm(ctx, vma);
  let result = 1;
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR, true);
  const table = yield* mappedIn(ctx, mm, vpn, folio);
  if (table >= 0) {
    let locked = (vmaFlags(ctx, vma) & VM_LOCKED) !== 0;
    if (locked) {
      // TTU_IGNORE_MLOCK
      if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
      locked = !isPoisoned(ctx, folio);
    }
    if (locked || !(yield* unmapPte(ctx, mm, vpn, folio, pteWord(ctx.m, table, vpn)))) result = 0;
    yield* unlockPtl(ctx, table);
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  return result;
}

/** The page of an anonymous folio that a PTE at `vpn` maps. */
const subpage = (ctx: Context, folio: number, vpn: number): number =>
  folioTestLarge(ctx, folio) ? folio + vpn - folioIndex(ctx, folio) : folio;

/** One PTE becomes a swap entry, or none. False: pinned, and it is what it was. Under the PTL. */
function* unmapPte(ctx: Context, mm: number, vpn: number, folio: number, pteAt: number): Coroutine<boolean> {
  const { words } = ctx;
  const page = subpage(ctx, folio, vpn);
  if (--ctx.quantum < 0) yield updates(pteAt);
  const pte = xchg(words, pteAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, pte, 0);
  if (shouldDeferFlush(ctx)) {
    yield* setTlbUbcFlushPending(ctx, mm, vpn, vpn + 1, (pte & PTE_DIRTY) !== 0);
    ctx.probe.onFlushDeferred(ctx, mm, vpn, entryPfn(pte));
  } else {
    yield* flushTlbRange(ctx, false, mm, vpn, vpn + 1);
  }
  if ((pte & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
    setFlag(ctx, folio, PG_DIRTY);
  }
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  if (isPoisoned(ctx, folio)) return yield* poisonPte(ctx, mm, vpn, folio, pteAt);
  const swapBacked = testFlag(ctx, folio, PG_SWAPBACKED);
  if (!swapBacked && isFileObject(ctx) && !mappingIsAnon(folioMapping(ctx, folio))) {
    // a file's page: it is in the cache, and nothing is left in place of its PTE
    yield* dropPte(ctx, mm, vpn, folio);
    return true;
  }
  if (!swapBacked) return yield* ctx.kernel.unmapLazyfreePte(ctx, mm, vpn, folio, pteAt, pte);
  const slot = folioSwap(ctx, folio) + page - folio;
  yield* swapDuplicate(ctx, slot);
  let type = SWP_SWAP;
  // before v5.19 nobody looked at the pins once more (Z07)
  if (ctx.kernel.rules.wpReuse === 'v5.19') {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, page));
    if (pageAnonExclusive(ctx, page)) {
      type = SWP_SWAP_EXCLUSIVE;
      if (!(yield* folioTryShareAnonRmap(ctx, folio, page))) {
        yield* swapFree(ctx, slot);
        return yield* restorePte(ctx, mm, vpn, pteAt, pte);
      }
    }
  }
  const entry = mkSwapEntry(type, slot, pte & PTE_SOFT_DIRTY);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
  yield* folioChangeRmapPte(ctx, folio, page, mm, vpn, -1);
  // the swap cache holds one more: never the last
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  refSubAndTest(ctx, folio, 1, REF_MAP);
  countStat(ctx.m, ctx.actor, STAT.swap_outs, 1);
  emit(ctx, EVENT.swap_out, mm, vpn, page, slot);
  return true;
}

/** TTU_HWPOISON is for folios outside of the swap cache (unmap_poisoned_folio). */
const isPoisoned = (ctx: Context, folio: number): boolean =>
  testFlag(ctx, folio, PG_HWPOISON) && !testFlag(ctx, folio, PG_SWAPCACHE);

/** The PTE of a broken page, cleared: whoever touches it is told. This comes before the look at the pins. */
function* poisonPte(ctx: Context, mm: number, vpn: number, folio: number, pteAt: number): Coroutine<boolean> {
  const entry = mkSwapEntry(SWP_HWPOISON, folio, 0);
  ctx.probe.onZapped(ctx, mm, vpn, vpn + 1);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
  yield* folioChangeRmapPte(ctx, folio, folio, mm, vpn, -1);
  // memory_failure() holds one: never the last
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  refSubAndTest(ctx, folio, 1, REF_MAP);
  return true;
}

/** The PTE is what it was. */
export function* restorePte(ctx: Context, mm: number, vpn: number, pteAt: number, pte: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, pte);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, pte);
  return false;
}

/**
 * A lazily freed page (MADV_FREE), its PTE cleared: it is discarded, unless it was written since or somebody else holds it (Z22).
 * The PTE comes first, then the count, then the dirty bit: GUP-fast sees the PTE gone, or this sees its reference, and who
 * dirties through a reference does so before he drops it.
 */
export function* unmapLazyfreePte(
  ctx: Context,
  mm: number,
  vpn: number,
  folio: number,
  pteAt: number,
  pte: number,
): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
  const refs = folioRefs(ctx, folio);
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  const mapped = folioMaps(ctx, folio);
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  if (testFlag(ctx, folio, PG_DIRTY)) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
    setFlag(ctx, folio, PG_SWAPBACKED);
    return yield* restorePte(ctx, mm, vpn, pteAt, pte);
  }
  if (refs !== 1 + mapped) return yield* restorePte(ctx, mm, vpn, pteAt, pte);
  yield* discardPte(ctx, mm, vpn, folio);
  return true;
}

/** Nothing is left in place of a lazily freed page's PTE. */
export function* discardPte(ctx: Context, mm: number, vpn: number, folio: number): Coroutine<void> {
  ctx.probe.onDiscarded(ctx, mm, vpn, subpage(ctx, folio, vpn));
  yield* dropPte(ctx, mm, vpn, folio);
}

/** The mapping of a PTE that was cleared is gone, and its reference. */
function* dropPte(ctx: Context, mm: number, vpn: number, folio: number): Coroutine<void> {
  yield* folioChangeRmapPte(ctx, folio, subpage(ctx, folio, vpn), mm, vpn, -1);
  // the isolation holds one more
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  refSubAndTest(ctx, folio, 1, REF_MAP);
}

/**
 * try_to_unmap_one() and folio_referenced_one() of a huge page (mm/rmap.c, v6.18; kernel-model 3.12, 3.13): of one in the swap cache,
 * which is written out whole, every page's entry becomes a swap entry of its own slot; a lazily freed one goes as a whole.
 *
 * Its PMD is split inside the walk and its one notifier pair (v6.11). Before, that was a call of its own with a pair of its own, made
 * whatever maps the page.
 */
import { MMU_NOTIFY_CLEAR, PG_DIRTY, PG_SWAPBACKED, VM_LOCKED } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_YOUNG,
  entryPfn,
  isHuge,
  isPresent,
  isSpecial,
  isTable,
  isTransHuge,
} from '../../machine/entries.js';
import { pmdWord, pteWord, ptlOf } from '../../machine/layout.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { fetchAnd, readOnce, writeOnce, xchg } from '#words';
import {
  flagsWord,
  folioIndex,
  folioMaps,
  folioRefs,
  mapsWord,
  refSubAndTest,
  refsWord,
  setFlag,
  testFlag,
} from '../folio.js';
import { thpStart } from '../huge_memory/huge-memory.js';
import { splitHugePmdLocked } from '../huge_memory/split.js';
import { splitHugePmdAddress } from './migrate.js';
import { pgtableWithdraw, pmdLock, pteFree, pteOffsetMapLock } from '../pgtable.js';
import { folioChangeRmapPmd } from './rmap.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaEnd, vmaFlags, vmaMm } from '../vma/vma.js';

/** Unmaps the page that a PTE maps; false: pinned, and it is what it was. Under the PTL. */
type UnmapPte = (ctx: Context, mm: number, vpn: number, folio: number, pteAt: number) => Coroutine<boolean>;

/** The walk goes on; stops, for a mapping stays; the PMD is a table now. */
const DONE = 1;
const ABORT = 0;
const RESTART = -1;

/**
 * The mappings of a huge page in one VMA, from `vpn` on.
 * @returns 1; 0: a mapping stays (pinned, locked in memory, written since it was freed), the walk stops
 */
export function* tryToUnmapHuge(ctx: Context, folio: number, vma: number, vpn: number, unmapPte: UnmapPte): Coroutine {
  const mm = vmaMm(ctx, vma);
  const end = Math.min(folioIndex(ctx, folio) + ctx.m.thpPages, vmaEnd(ctx, vma));
  if (ctx.kernel.rules.unmapNotifierPairs === 2) {
    yield* splitHugePmdAddress(ctx, mm, vma, thpStart(ctx, vpn), folio, false);
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, end, MMU_NOTIFY_CLEAR, true);
  let result = RESTART;
  while (result === RESTART) result = yield* unmapIn(ctx, mm, vma, folio, vpn, end, unmapPte);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, end);
  return result;
}

function* unmapIn(
  ctx: Context,
  mm: number,
  vma: number,
  folio: number,
  vpn: number,
  end: number,
  unmapPte: UnmapPte,
): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  const locked = (vmaFlags(ctx, vma) & VM_LOCKED) !== 0;
  if (isTable(pmd)) return yield* unmapPtes(ctx, mm, folio, vpn, end, locked, unmapPte);
  if (!isHuge(pmd)) return DONE;
  const lock = yield* pmdLock(ctx, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const now = readOnce(words, pmdAt);
  let result = isTable(now) ? RESTART : DONE;
  if (isTransHuge(now) && entryPfn(now) === folio) {
    if (locked) {
      result = ABORT;
    } else {
      if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
      if (testFlag(ctx, folio, PG_SWAPBACKED)) {
        yield* splitHugePmdLocked(ctx, mm, vma, thpStart(ctx, vpn), false);
        result = RESTART;
      } else {
        result = (yield* discardPmd(ctx, mm, vpn, folio, pmdAt)) ? DONE : ABORT;
      }
    }
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  return result;
}

function* unmapPtes(
  ctx: Context,
  mm: number,
  folio: number,
  vpn: number,
  end: number,
  locked: boolean,
  unmapPte: UnmapPte,
): Coroutine {
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return RESTART;
  let result = DONE;
  for (let page = vpn; page < end && result === DONE; page++) {
    const pteAt = pteWord(ctx.m, table, page);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const pte = readOnce(ctx.words, pteAt);
    if (!isPresent(pte) || isSpecial(pte) || entryPfn(pte) !== folio + page - folioIndex(ctx, folio)) continue;
    if (locked || !(yield* unmapPte(ctx, mm, page, folio, pteAt))) result = ABORT;
  }
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return result;
}

/**
 * __discard_anon_folio_pmd_locked() (v6.11): a lazily freed huge page goes without a split, unless it was written since or somebody
 * else holds it. The PMD comes first, then the count, then the dirty bit, as of a small one's PTE (Z22). PMD lock held.
 */
function* discardPmd(ctx: Context, mm: number, vpn: number, folio: number, pmdAt: number): Coroutine<boolean> {
  const { m, words } = ctx;
  const start = thpStart(ctx, vpn);
  if (--ctx.quantum < 0) yield updates(pmdAt);
  const pmd = xchg(words, pmdAt, 0);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, pmd, 0);
  yield* flushTlbRange(ctx, false, mm, start, start + m.thpPages);
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, folio));
  const refs = folioRefs(ctx, folio);
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, folio));
  const maps = folioMaps(ctx, folio);
  if ((pmd & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
    setFlag(ctx, folio, PG_DIRTY);
  }
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  const dirty = testFlag(ctx, folio, PG_DIRTY);
  if (dirty) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
    setFlag(ctx, folio, PG_SWAPBACKED);
  }
  if (dirty || refs !== 1 + maps) {
    if (--ctx.quantum < 0) yield writes(pmdAt);
    writeOnce(words, pmdAt, pmd);
    ctx.probe.onEntry(ctx, mm, start, pmdAt, 0, pmd);
    return false;
  }
  for (let i = 0; i < m.thpPages; i++) ctx.probe.onDiscarded(ctx, mm, start + i, folio + i);
  yield* folioChangeRmapPmd(ctx, folio, mm, start, -1);
  // zap_deposited_table()
  yield* pteFree(ctx, pgtableWithdraw(ctx, mm, start));
  // the isolation holds one more
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, folio));
  refSubAndTest(ctx, folio, 1, REF_MAP);
  return true;
}

/** folio_referenced_one() of a huge page: 1, an entry of this VMA was young, and is not any more. Not of a VMA that is VM_LOCKED. */
export function* hugeReferencedOne(ctx: Context, folio: number, vma: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const mm = vmaMm(ctx, vma);
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  if (isHuge(pmd)) {
    const lock = yield* pmdLock(ctx, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const now = readOnce(words, pmdAt);
    const young =
      isTransHuge(now) && entryPfn(now) === folio && (yield* clearYoung(ctx, mm, thpStart(ctx, vpn), pmdAt));
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_PMD);
    return young ? 1 : 0;
  }
  const table = isTable(pmd) ? yield* pteOffsetMapLock(ctx, mm, vpn) : -1;
  if (table < 0) return 0;
  const end = Math.min(folioIndex(ctx, folio) + m.thpPages, vmaEnd(ctx, vma));
  let referenced = 0;
  for (let page = vpn; page < end; page++) {
    const pteAt = pteWord(m, table, page);
    if (--ctx.quantum < 0) yield reads(pteAt);
    const pte = readOnce(words, pteAt);
    if (!isPresent(pte) || isSpecial(pte) || entryPfn(pte) !== folio + page - folioIndex(ctx, folio)) continue;
    if (yield* clearYoung(ctx, mm, page, pteAt)) referenced = 1;
  }
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return referenced;
}

/** ptep_clear_young(), pmdp_clear_young(). Under the entry's lock. */
function* clearYoung(ctx: Context, mm: number, vpn: number, at: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield updates(at);
  const before = fetchAnd(ctx.words, at, ~PTE_YOUNG);
  const young = (before & PTE_YOUNG) !== 0;
  if (young) ctx.probe.onEntry(ctx, mm, vpn, at, before, before & ~PTE_YOUNG);
  return young;
}

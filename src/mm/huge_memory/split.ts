/**
 * Splitting a huge PMD into a table of PTEs (mm/huge_memory.c __split_huge_pmd, v6.18; kernel-model 3.13). It never fails,
 * pinned or not: pins are counted per folio, so they stay where they are. The folio stays one folio, the pages do not move.
 */
import { MMU_NOTIFY_CLEAR, PG_ANON_EXCLUSIVE, PG_DIRTY } from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_DIRTY,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  SWP_YOUNG,
  entryPfn,
  isHuge,
  isHugeMigration,
  mkEntry,
  mkSwapEntry,
  mkTable,
  swapType,
} from '../../machine/entries.js';
import { PAGE_LARGE_MAPS, PAGE_MAPS, pageWord, pmdWord, pteWord } from '../../machine/layout.js';
import { MC_ATTEMPTS, countMechanism } from '../../machine/stats.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { fetchAdd, readOnce, set, writeOnce, xchg } from '#words';
import {
  ZERO_PFN,
  clearFlag,
  flagsWord,
  folioMaybeDmaPinned,
  folioPut,
  pageAnonExclusive,
  pinsWord,
  refAdd,
  refsWord,
  setFlag,
} from '../folio.js';
import { thpStart } from './huge-memory.js';
import { protBits } from '../vma/page-prot.js';
import { pgtableWithdraw, pmdLock } from '../pgtable.js';
import { folioChangeRmapPmd } from '../rmap/rmap.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaFlags } from '../vma/vma.js';

/**
 * __split_huge_pmd() of the huge PMD that covers `vpn`, with a notifier pair of its own over the whole of it, counted under
 * thp_split. The pair is sent also when the PMD turns out not to be huge: callers look before they call.
 */
export function* splitHugePmd(ctx: Context, mm: number, vma: number, vpn: number): Coroutine<void> {
  const start = thpStart(ctx, vpn);
  const end = start + ctx.m.thpPages;
  const outer = ctx.task.mechanism;
  if (outer !== MECH.teardown) ctx.task.mechanism = MECH.thp_split;
  countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_ATTEMPTS, 1);
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_CLEAR, true);
  const lock = yield* pmdLock(ctx, mm, vpn);
  yield* splitHugePmdLocked(ctx, mm, vma, vpn, false);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  ctx.task.mechanism = outer;
}

/**
 * split_huge_pmd_locked(): the part under the PMD lock, inside the caller's notifier pair.
 * @param freeze install migration entries instead of PTEs; given up when the folio is exclusive and pinned
 * @returns whether migration entries were installed
 */
export function* splitHugePmdLocked(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  freeze: boolean,
): Coroutine<boolean> {
  const { m, words } = ctx;
  const start = thpStart(ctx, vpn);
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  if (!isHuge(pmd)) return false;
  if (isHugeMigration(pmd)) {
    // the entries of the small pages say what the huge one said
    const table = pgtableWithdraw(ctx, mm, vpn);
    fillMigration(ctx, mm, start, table, entryPfn(pmd), swapType(pmd), pmd & (SWP_YOUNG | SWP_DIRTY));
    yield* populate(ctx, mm, start, pmdAt, pmd, table);
    emit(ctx, EVENT.split_huge_pmd, mm, start, entryPfn(pmd), 1);
    return true;
  }
  if (entryPfn(pmd) === ZERO_PFN) {
    yield* splitZero(ctx, mm, vma, start, pmdAt);
    return false;
  }
  return yield* splitAnon(ctx, mm, vma, start, pmdAt, freeze);
}

function* splitAnon(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  pmdAt: number,
  wantFreeze: boolean,
): Coroutine<boolean> {
  const { m, words } = ctx;
  const old = yield* ctx.kernel.pmdpInvalidate(ctx, mm, start, pmdAt);
  const head = entryPfn(old);
  if ((old & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_DIRTY);
  }
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const exclusive = pageAnonExclusive(ctx, head);
  let freeze = wantFreeze;
  if (freeze && exclusive) {
    // folio_try_share_anon_rmap_pmd(): the PMD is invalid and flushed, so GUP-fast sees that or we see its pin
    if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
    if (folioMaybeDmaPinned(ctx, head)) {
      freeze = false;
    } else {
      if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
      clearFlag(ctx, head, PG_ANON_EXCLUSIVE);
    }
  }
  if (!freeze) yield* mapSubpages(ctx, mm, start, head, exclusive);
  const table = pgtableWithdraw(ctx, mm, start);
  if (freeze) {
    const type =
      (old & PTE_WRITE) !== 0 ? SWP_MIGRATION_WRITE : exclusive ? SWP_MIGRATION_READ_EXCLUSIVE : SWP_MIGRATION_READ;
    const used = ((old & PTE_YOUNG) !== 0 ? SWP_YOUNG : 0) | ((old & PTE_DIRTY) !== 0 ? SWP_DIRTY : 0);
    fillMigration(ctx, mm, start, table, head, type, used);
  } else {
    // a NUMA hint is not handed on: the VMA's own protection counts
    const bits = protBits(vmaFlags(ctx, vma)) | (old & (PTE_WRITE | PTE_DIRTY | PTE_YOUNG));
    for (let i = 0; i < m.thpPages; i++) {
      const pteAt = pteWord(m, table, start + i);
      // nobody reaches the table yet
      set(words, pteAt, mkEntry(head + i, bits));
      ctx.probe.onEntry(ctx, mm, start + i, pteAt, 0, mkEntry(head + i, bits));
    }
  }
  yield* folioChangeRmapPmd(ctx, head, mm, start, -1);
  yield* populate(ctx, mm, start, pmdAt, old, table);
  emit(ctx, EVENT.split_huge_pmd, mm, start, head, freeze ? 1 : 0);
  // migration entries hold no reference; whoever freezes has one of his own
  if (freeze) yield* folioPut(ctx, head, REF_MAP);
  return freeze;
}

/** folio_add_anon_rmap_ptes(): one reference and one map per PTE; exclusive holds for every subpage. */
function* mapSubpages(ctx: Context, mm: number, start: number, head: number, exclusive: boolean): Coroutine<void> {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refAdd(ctx, head, m.thpPages - 1, REF_MAP);
  const sum = pageWord(m, head, PAGE_LARGE_MAPS);
  if (--ctx.quantum < 0) yield updates(sum);
  fetchAdd(words, sum, m.thpPages);
  for (let i = 0; i < m.thpPages; i++) {
    if (exclusive && i > 0) {
      if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head + i));
      setFlag(ctx, head + i, PG_ANON_EXCLUSIVE);
    }
    const maps = pageWord(m, head + i, PAGE_MAPS);
    if (--ctx.quantum < 0) yield updates(maps);
    fetchAdd(words, maps, 1);
    ctx.probe.onMap(ctx, mm, start + i, head + i, 1);
  }
}

/** Fills the table that nobody reaches yet with one migration entry per subpage. */
function fillMigration(
  ctx: Context,
  mm: number,
  start: number,
  table: number,
  head: number,
  type: number,
  used: number,
): void {
  for (let i = 0; i < ctx.m.thpPages; i++) {
    const pteAt = pteWord(ctx.m, table, start + i);
    const entry = mkSwapEntry(type, head + i, used);
    set(ctx.words, pteAt, entry);
    ctx.probe.onEntry(ctx, mm, start + i, pteAt, 0, entry);
  }
}

/** __split_huge_zero_page_pmd(): the one PMD that is none meanwhile, since zero follows zero. */
function* splitZero(ctx: Context, mm: number, vma: number, start: number, pmdAt: number): Coroutine<void> {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield updates(pmdAt);
  const old = xchg(words, pmdAt, 0);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, old, 0);
  yield* flushTlbRange(ctx, false, mm, start, start + m.thpPages);
  const table = pgtableWithdraw(ctx, mm, start);
  const entry = mkEntry(ZERO_PFN, protBits(vmaFlags(ctx, vma)) | PTE_SPECIAL | PTE_YOUNG);
  for (let i = 0; i < m.thpPages; i++) {
    const pteAt = pteWord(m, table, start + i);
    set(words, pteAt, entry);
    ctx.probe.onEntry(ctx, mm, start + i, pteAt, 0, entry);
  }
  yield* populate(ctx, mm, start, pmdAt, 0, table);
  emit(ctx, EVENT.split_huge_pmd, mm, start, ZERO_PFN, 0);
}

/** smp_wmb(), pmd_populate(): the PTEs are visible before the PMD that points to them. */
function* populate(
  ctx: Context,
  mm: number,
  start: number,
  pmdAt: number,
  before: number,
  table: number,
): Coroutine<void> {
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(ctx.words, pmdAt, mkTable(table));
  ctx.probe.onEntry(ctx, mm, start, pmdAt, before, mkTable(table));
}

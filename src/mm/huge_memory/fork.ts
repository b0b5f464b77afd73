/** fork over a huge PMD (mm/huge_memory.c copy_huge_pmd, v6.18; kernel-model 3.19). */
import { EAGAIN, ENOMEM } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { acquires, reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_MIGRATION_READ,
  entryPfn,
  isHugeMigration,
  isTransHuge,
  swapType,
} from '../../machine/entries.js';
import { pmdLockOf, pmdWord } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { contended } from '../../machine/wait.js';
import { LOCK_PMD, LOCK_PMD_NESTED } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { fetchAnd, readOnce, writeOnce } from '#words';
import { ZERO_PFN, refAdd, refSubAndTest, refsWord } from '../folio.js';
import { thpStart } from './huge-memory.js';
import { readableMigration } from '../migrate/entries.js';
import { pgtableDeposit, pteAllocOne, pteFree } from '../pgtable.js';
import { folioChangeRmapPmd } from '../rmap/rmap.js';
import { vmaMm } from '../vma/vma.js';

/**
 * copy_huge_pmd(): shares the huge page, or the huge migration entry, that the parent's PMD of `vpn` is.
 * @returns 0; -ENOMEM; -EAGAIN: go on with PTEs, since it is no huge PMD any more, or its page may be pinned and was split
 */
export function* copyHugePmd(ctx: Context, dst: number, src: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const child = vmaMm(ctx, dst);
  const parent = vmaMm(ctx, src);
  const start = thpStart(ctx, vpn);
  // the child's own spare table, for a split that must not fail
  const table = yield* pteAllocOne(ctx, child);
  if (table < 0) return -ENOMEM;
  const dstLock = pmdLockOf(m, child, vpn);
  const srcLock = pmdLockOf(m, parent, vpn);
  const srcAt = pmdWord(m, parent, vpn);
  if (--ctx.quantum < 0) yield acquires(dstLock);
  while (!spinLock(ctx, dstLock, LOCK_PMD)) yield contended(ctx, dstLock);
  if (--ctx.quantum < 0) yield acquires(srcLock);
  while (!spinLock(ctx, srcLock, LOCK_PMD_NESTED)) yield contended(ctx, srcLock);
  if (--ctx.quantum < 0) yield reads(srcAt);
  const pmd = readOnce(words, srcAt);
  let result = 0;
  if (isHugeMigration(pmd)) {
    yield* shareMigration(ctx, child, parent, start, srcAt, pmd, table);
  } else if (!isTransHuge(pmd)) {
    result = -EAGAIN;
  } else {
    result = yield* shareHuge(ctx, child, parent, start, srcAt, pmd, table);
  }
  if (--ctx.quantum < 0) yield releases(srcLock);
  spinUnlock(ctx, srcLock, LOCK_PMD_NESTED);
  if (--ctx.quantum < 0) yield releases(dstLock);
  spinUnlock(ctx, dstLock, LOCK_PMD);
  if (result === -EAGAIN) {
    yield* pteFree(ctx, table);
    // pins are counted for the whole folio, so each of its pages will be copied
    if (isTransHuge(pmd)) yield* ctx.kernel.splitHugePmd(ctx, parent, src, start);
  }
  return result;
}

/** A present huge PMD, the huge zero page included: read-only in both from here on. Returns 0, or -EAGAIN: may be pinned. */
function* shareHuge(
  ctx: Context,
  child: number,
  parent: number,
  start: number,
  srcAt: number,
  pmd: number,
  table: number,
): Coroutine {
  const head = entryPfn(pmd);
  if (head !== ZERO_PFN) {
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    refAdd(ctx, head, 1, REF_MAP);
    if ((yield* ctx.kernel.folioTryDupAnonRmap(ctx, parent, head, head)) !== 0) {
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
      refSubAndTest(ctx, head, 1, REF_MAP);
      return -EAGAIN;
    }
    yield* folioChangeRmapPmd(ctx, head, child, start, 1);
  }
  pgtableDeposit(ctx, child, start, table);
  if (--ctx.quantum < 0) yield updates(srcAt);
  const before = fetchAnd(ctx.words, srcAt, ~PTE_WRITE);
  ctx.probe.onEntry(ctx, parent, start, srcAt, before, before & ~PTE_WRITE);
  emit(ctx, EVENT.pmd_change, parent, start, before, before & ~PTE_WRITE);
  yield* setChildPmd(ctx, child, start, pmd & ~(PTE_WRITE | PTE_YOUNG | PTE_UFFD_WP));
  return 0;
}

/** A huge migration entry: what was exclusive is shared now, in both. */
function* shareMigration(
  ctx: Context,
  child: number,
  parent: number,
  start: number,
  srcAt: number,
  pmd: number,
  table: number,
): Coroutine<void> {
  const entry = readableMigration(pmd);
  if (swapType(pmd) !== SWP_MIGRATION_READ) {
    if (--ctx.quantum < 0) yield writes(srcAt);
    writeOnce(ctx.words, srcAt, entry);
    ctx.probe.onEntry(ctx, parent, start, srcAt, pmd, entry);
    emit(ctx, EVENT.pmd_change, parent, start, pmd, entry);
  }
  pgtableDeposit(ctx, child, start, table);
  yield* setChildPmd(ctx, child, start, entry);
}

function* setChildPmd(ctx: Context, child: number, start: number, entry: number): Coroutine<void> {
  const dstAt = pmdWord(ctx.m, child, start);
  if (--ctx.quantum < 0) yield writes(dstAt);
  writeOnce(ctx.words, dstAt, entry);
  ctx.probe.onEntry(ctx, child, start, dstAt, 0, entry);
}

/**
 * munmap() and the freeing of page tables (mm/vma.c do_vmi_align_munmap, mm/memory.c free_pgtables, mm/mmu_gather.c, v6.18;
 * kernel-model 3.18). VMAs that are being removed stay write-locked until mmap_lock is released, so no fault gets in.
 */
import { EINVAL, ENOMEM, MMU_NOTIFY_UNMAP } from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { reads, releases, updates } from '../../machine/effects.js';
import { entryPfn, isTable } from '../../machine/entries.js';
import { MM_VMA_COUNT, TABLE_POOL_NEXT, mmWord, pmdWord, tableWord } from '../../machine/layout.js';
import { LOCK_PMD } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { mmapWriteLock, mmapWriteUnlock, vmaStartWrite } from '../../locks/vma-lock.js';
import { get, readOnce, set, xchg } from '#words';
import { thpStart } from '../huge_memory/huge-memory.js';
import { pmdLock, pteFree } from '../pgtable.js';
import { findVma, findVmaFrom, removeVma, splitVma, vmaEnd, vmaStart } from './vma.js';
import { tlbFinishMmu, tlbFlushMmu, tlbFlushPendingWord, tlbGatherMmu } from '../memory/zap.js';

/**
 * munmap() of [start, end), in pages.
 * @returns 0, -EINVAL (range) or -ENOMEM (no VMA left for a split; nothing was unmapped)
 */
export function* munmap(ctx: Context, mm: number, start: number, end: number): Coroutine {
  if (start < 0 || end > ctx.m.mmPages || start >= end) return -EINVAL;
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.zap;
  yield* mmapWriteLock(ctx, mm);
  const result = yield* munmapLocked(ctx, mm, start, end);
  yield* mmapWriteUnlock(ctx, mm);
  ctx.task.mechanism = outer;
  return result;
}

function* munmapLocked(ctx: Context, mm: number, start: number, end: number): Coroutine {
  if (nextVma(ctx, mm, start, end) < 0) return 0;
  // a VMA that would be cut at both ends: -ENOMEM before it is touched
  const outer = findVma(ctx, mm, start);
  const hole = outer >= 0 && vmaStart(ctx, outer) < start && vmaEnd(ctx, outer) > end;
  if (hole && get(ctx.words, mmWord(ctx.m, mm, MM_VMA_COUNT)) + 2 > ctx.m.vmasPerMm) return -ENOMEM;
  if ((yield* cutAt(ctx, mm, start)) < 0 || (yield* cutAt(ctx, mm, end)) < 0) return -ENOMEM;
  for (let vma = nextVma(ctx, mm, start, end); vma >= 0; vma = nextVma(ctx, mm, vmaEnd(ctx, vma), end)) {
    yield* vmaStartWrite(ctx, mm, vma);
  }
  if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
  tlbGatherMmu(ctx, mm, start, end);
  ctx.probe.onZapBegin(ctx, mm, start, end);
  yield* unmapVmas(ctx, mm, start, end);
  yield* freeVmas(ctx, mm, start, end);
  yield* tlbFinishMmu(ctx, mm);
  ctx.probe.onZapEnd(ctx, mm, start, end, true);
  return 0;
}

/** __split_vma() where the VMA of `vpn` does not begin there. Returns 0 or -ENOMEM. */
function* cutAt(ctx: Context, mm: number, vpn: number): Coroutine {
  const vma = vpn < ctx.m.mmPages ? findVma(ctx, mm, vpn) : -1;
  if (vma < 0 || vmaStart(ctx, vma) === vpn) return 0;
  return (yield* splitVma(ctx, mm, vma, vpn)) < 0 ? -ENOMEM : 0;
}

/** The first VMA of [from, end), or -1. */
function nextVma(ctx: Context, mm: number, from: number, end: number): number {
  const vma = findVmaFrom(ctx, mm, from);
  return vma >= 0 && vmaStart(ctx, vma) < end ? vma : -1;
}

/** unmap_vmas(): one notifier pair over [start, end), every VMA of it zapped into the caller's gather. */
export function* unmapVmas(ctx: Context, mm: number, start: number, end: number): Coroutine<void> {
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_UNMAP, true);
  for (let vma = nextVma(ctx, mm, start, end); vma >= 0; vma = nextVma(ctx, mm, vmaEnd(ctx, vma), end)) {
    yield* ctx.kernel.zapPageRange(ctx, mm, vma, Math.max(start, vmaStart(ctx, vma)), Math.min(end, vmaEnd(ctx, vma)));
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
}

/**
 * free_pgtables() with remove_vma(): the VMAs of [start, end) leave the mm and their anon_vmas, so that no rmap walk comes
 * to the tables any more; then the tables that no VMA needs go. Under mmap_lock write, everything unmapped.
 */
export function* freeVmas(ctx: Context, mm: number, start: number, end: number): Coroutine<void> {
  for (;;) {
    const vma = nextVma(ctx, mm, start, end);
    if (vma < 0) break;
    yield* removeVma(ctx, mm, vma);
  }
  const { m, words } = ctx;
  /** Tables to free + 1, linked as in the pool. */
  let tables = 0;
  for (let pmdStart = thpStart(ctx, start); pmdStart < end; pmdStart += m.thpPages) {
    if (nextVma(ctx, mm, pmdStart, pmdStart + m.thpPages) >= 0) continue;
    const pmdAt = pmdWord(m, mm, pmdStart);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    if (!isTable(pmd)) continue;
    const lock = yield* pmdLock(ctx, mm, pmdStart);
    if (--ctx.quantum < 0) yield updates(pmdAt);
    xchg(words, pmdAt, 0);
    ctx.probe.onEntry(ctx, mm, pmdStart, pmdAt, pmd, 0);
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_PMD);
    set(words, tableWord(m, entryPfn(pmd), TABLE_POOL_NEXT), tables);
    tables = entryPfn(pmd) + 1;
    ctx.gather.from = Math.min(ctx.gather.from, pmdStart);
    ctx.gather.to = Math.max(ctx.gather.to, pmdStart + m.thpPages);
  }
  if (tables === 0) return;
  // tlb_table_flush(): the flush waits for hardware walkers, the IPI for GUP-fast (LK10)
  yield* tlbFlushMmu(ctx, mm);
  yield* ctx.kernel.tlbRemoveTableSyncOne(ctx);
  while (tables !== 0) {
    const table = tables - 1;
    tables = get(words, tableWord(m, table, TABLE_POOL_NEXT));
    yield* pteFree(ctx, table);
  }
}

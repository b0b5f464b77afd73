/**
 * Deferred CPU TLB flushes of batched unmaps (mm/rmap.c set_tlb_ubc_flush_pending, try_to_unmap_flush,
 * flush_tlb_batched_pending, v6.18; kernel-model 3.11 step 4 c and 6). The task remembers what it has unmapped (its
 * tlb_ubc); the mm remembers that there may be such unmaps, so that another changer which finds the entries gone
 * already flushes before it returns (Z19).
 */
import type { Context, Coroutine } from '../../machine/context.js';
import { reads, updates } from '../../machine/effects.js';
import {
  FIX_FAULT,
  FIX_REMOVAL,
  MM_TLB_FLUSH_BATCHED,
  KERNEL_FIX,
  TLB_BATCH,
  globalWord,
  mmWord,
} from '../../machine/layout.js';
import { cmpxchg, peek, readOnce } from '#words';
import { flushTlbRange } from '../tlb-flush.js';

/** tlb_flush_batched: pending in the low bits, flushed in the high ones. */
const TLB_FLUSH_BATCH_FLUSHED_SHIFT = 16;
const TLB_FLUSH_BATCH_PENDING_MASK = (1 << (TLB_FLUSH_BATCH_FLUSHED_SHIFT - 1)) - 1;

/**
 * should_defer_flush(): x86 also asks whether another CPU has the mm loaded, arm64 says yes. Where nothing is deferred, ptep_clear_flush()
 * flushes before the PTL is released.
 */
export const shouldDeferFlush = (ctx: Context): boolean => peek(ctx.words, globalWord(ctx.m, TLB_BATCH)) !== 0;

/**
 * set_tlb_ubc_flush_pending(): [start, end) of `mm` was unmapped just now and is not flushed. Under the PTL.
 * @param dirty the entry was dirty: a CPU may write through its own until the flush
 */
export function* setTlbUbcFlushPending(
  ctx: Context,
  mm: number,
  start: number,
  end: number,
  dirty: boolean,
): Coroutine<void> {
  const { task } = ctx;
  if (dirty) task.tlbUbcWritable = true;
  if (task.tlbUbcMms === 0 || start < task.tlbUbcStart) task.tlbUbcStart = start;
  if (task.tlbUbcMms === 0 || end > task.tlbUbcEnd) task.tlbUbcEnd = end;
  task.tlbUbcMms |= 1 << mm;
  const at = mmWord(ctx.m, mm, MM_TLB_FLUSH_BATCHED);
  if (--ctx.quantum < 0) yield updates(at);
  for (;;) {
    const batch = readOnce(ctx.words, at);
    // half way to an overflow both counts start again: 1 pending, 0 flushed
    const next = (batch & TLB_FLUSH_BATCH_PENDING_MASK) > TLB_FLUSH_BATCH_PENDING_MASK >> 1 ? 1 : batch + 1;
    if (cmpxchg(ctx.words, at, batch, next) === batch) return;
  }
}

/** try_to_unmap_flush(): no CPU uses what this task has unmapped and not flushed yet. */
export function* tryToUnmapFlush(ctx: Context): Coroutine<void> {
  const { tlbUbcMms: mms, tlbUbcStart: start, tlbUbcEnd: end } = ctx.task;
  ctx.task.tlbUbcMms = 0;
  ctx.task.tlbUbcWritable = false;
  for (let left = mms; left !== 0; left &= left - 1) {
    yield* flushTlbRange(ctx, false, 31 - Math.clz32(left & -left), start, end);
  }
  ctx.probe.onBatchFlushed(ctx);
}

/**
 * try_to_unmap_flush_dirty(), before a folio is written out: only if a dirty entry is in the batch. A CPU sets the dirty bit in the page
 * table before it writes through a clean entry, and finds it gone.
 */
export function* tryToUnmapFlushDirty(ctx: Context): Coroutine<void> {
  if (ctx.task.tlbUbcWritable) yield* tryToUnmapFlush(ctx);
}

/** No kernel does this yet: reclaim flushes before a fault can find that the folio has left its cache (knob `fix removal`). */
export function* flushBeforeRemoval(ctx: Context): Coroutine<void> {
  if (peek(ctx.words, globalWord(ctx.m, KERNEL_FIX)) === FIX_REMOVAL) yield* tryToUnmapFlush(ctx);
}

/**
 * Whether a fault that is about to set a PTE where there was none flushes what is pending ({@link flushTlbBatchedPending}), under the PTL.
 * No kernel does this yet (knob `fix fault`). Whoever has cleared an entry of this table has said so under this PTL.
 */
export const faultsFlush = (ctx: Context): boolean => peek(ctx.words, globalWord(ctx.m, KERNEL_FIX)) === FIX_FAULT;

/**
 * flush_tlb_batched_pending(): called by zap, mprotect and the NUMA scan once they hold the PTL, before they take an
 * entry that is gone already for flushed.
 */
export function* flushTlbBatchedPending(ctx: Context, mm: number): Coroutine<void> {
  const at = mmWord(ctx.m, mm, MM_TLB_FLUSH_BATCHED);
  if (--ctx.quantum < 0) yield reads(at);
  const batch = readOnce(ctx.words, at);
  const pending = batch & TLB_FLUSH_BATCH_PENDING_MASK;
  if (pending === batch >>> TLB_FLUSH_BATCH_FLUSHED_SHIFT) return;
  yield* flushTlbRange(ctx, false, mm, 0, ctx.m.mmPages);
  if (--ctx.quantum < 0) yield updates(at);
  // lost to another batch: the next caller flushes again
  cmpxchg(ctx.words, at, batch, pending | (pending << TLB_FLUSH_BATCH_FLUSHED_SHIFT));
}

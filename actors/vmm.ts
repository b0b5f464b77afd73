/**
 * The VMM's own thread: it reads and writes guest memory through its mapping (device emulation), takes pages back
 * from the guest (a balloon: MADV_DONTNEED), changes the protection of sub-ranges and restores it, so that huge
 * pages split, and collapses ranges again (MADV_COLLAPSE).
 *
 *   mm                   its process
 *   first_vpn, pages     the guest memory in it
 *   touch_weight, balloon_weight, mprotect_weight, collapse_weight
 *                        how often each operation is drawn, against the others (default 94, 3, 3, 0)
 *   touch_pages          consecutive pages of one touch operation (default 4)
 *   write_percent        touches that are writes (default 50)
 *   duplicate_percent    writes of a content that others may hold too, out of `duplicate_kinds` (default 30, 64)
 *   balloon_pages        pages of one MADV_DONTNEED (default 16)
 *   mprotect_pages       pages of one mprotect (default 8)
 *   readonly_percent     mprotects that take the write permission away; the others grant and withdraw
 *                        execution (default 20)
 *   pause_us             microseconds between two operations (default 1000)
 *   ops                  ends after so many operations; 0 = runs on (default 0)
 */
import { VM_EXEC, VM_READ, VM_WRITE } from '../src/machine/abi.js';
import { type Context, type Coroutine, randomBelow } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP } from '../src/machine/effects.js';
import { LATENCY } from '../src/machine/stats.js';
import { mmapReadLock, mmapReadUnlock } from '../src/locks/vma-lock.js';
import { madviseCollapse } from '../src/mm/khugepaged/khugepaged.js';
import { madviseDontneed } from '../src/mm/madvise/madvise.js';
import { mprotect } from '../src/mm/mprotect/mprotect.js';
import { findVma, vmaFlags } from '../src/mm/vma/vma.js';
import { someContent } from './content.js';
import { noteLatency } from './latency.js';
import { type ActorParams, carried, carry, param } from './types.js';
import { touchUser } from './user-access.js';

/** The VMM thread's loop. */
export function* vmm(ctx: Context, params: ActorParams): Coroutine<void> {
  const mm = param(params, 'mm', 0);
  const first = param(params, 'first_vpn', 0);
  const pages = param(params, 'pages', ctx.m.mmPages);
  const ops = param(params, 'ops', 0);
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    const touchWeight = param(params, 'touch_weight', 94);
    const balloonWeight = param(params, 'balloon_weight', 3);
    const mprotectWeight = param(params, 'mprotect_weight', 3);
    const collapseWeight = param(params, 'collapse_weight', 0);
    const draw = randomBelow(ctx, Math.max(1, touchWeight + balloonWeight + mprotectWeight + collapseWeight));
    if (draw < touchWeight) {
      yield* touchPages(ctx, mm, first, pages, params);
    } else if (draw < touchWeight + balloonWeight) {
      const length = Math.min(pages, param(params, 'balloon_pages', 16));
      const start = first + randomBelow(ctx, pages - length + 1);
      const started = ctx.clock();
      yield* madviseDontneed(ctx, mm, start, start + length);
      noteLatency(ctx, LATENCY.zap, started);
    } else if (draw < touchWeight + balloonWeight + mprotectWeight) {
      yield* protectAndRestore(ctx, mm, first, pages, params);
    } else {
      const huge = ctx.m.thpPages;
      yield* madviseCollapse(ctx, mm, (first + randomBelow(ctx, pages)) & -huge);
    }
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'pause_us', 1000);
    yield IDLE_SLEEP;
  }
  carry(ctx, { done });
}

function* touchPages(ctx: Context, mm: number, first: number, pages: number, params: ActorParams): Coroutine<void> {
  const length = Math.min(pages, param(params, 'touch_pages', 4));
  const start = first + randomBelow(ctx, pages - length + 1);
  const write = randomBelow(ctx, 100) < param(params, 'write_percent', 50);
  const duplicatePercent = param(params, 'duplicate_percent', 30);
  const duplicateKinds = param(params, 'duplicate_kinds', 64);
  for (let vpn = start; vpn < start + length; vpn++) {
    yield* touchUser(ctx, mm, vpn, write, write ? someContent(ctx, duplicatePercent, duplicateKinds) : 0);
  }
}

/** mprotect() of a sub-range, and its old protection again. */
function* protectAndRestore(
  ctx: Context,
  mm: number,
  first: number,
  pages: number,
  params: ActorParams,
): Coroutine<void> {
  const length = Math.min(pages, param(params, 'mprotect_pages', 8));
  const start = first + randomBelow(ctx, pages - length + 1);
  const readOnly = randomBelow(ctx, 100) < param(params, 'readonly_percent', 20);
  const flags = yield* flagsAt(ctx, mm, start);
  if (flags < 0) return;
  const protection = flags & (VM_READ | VM_WRITE | VM_EXEC);
  const started = ctx.clock();
  yield* mprotect(ctx, mm, start, start + length, readOnly ? protection & ~VM_WRITE : protection ^ VM_EXEC);
  noteLatency(ctx, LATENCY.mprotect, started);
  yield* mprotect(ctx, mm, start, start + length, protection);
}

/** The flags of the VMA that holds `vpn`, or -1. */
function* flagsAt(ctx: Context, mm: number, vpn: number): Coroutine {
  yield* mmapReadLock(ctx, mm);
  const vma = findVma(ctx, mm, vpn);
  const flags = vma < 0 ? -1 : vmaFlags(ctx, vma);
  yield* mmapReadUnlock(ctx, mm);
  return flags;
}

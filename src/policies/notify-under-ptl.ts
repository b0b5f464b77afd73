/**
 * (e) notify-under-ptl: look at the pins, notify and change under one hold of the page-table lock (kernel-model 5 (e)).
 *
 * What was proposed: if the look at the pins is worth nothing once the lock is dropped (policy (d)), do not drop it:
 * PTL, look, NOTIFY.start, change, NOTIFY.end, unlock. What was answered: invalidate_range_start may sleep. It runs
 * under SRCU, other subscribers take mutexes and call cond_resched in it, and the PTL is a spinlock.
 *
 * The NUMA scan does so page by page (huge pages under the PMD lock), and KSM's write_protect_page too.
 *
 * What the model predicts: d1 and d2 are closed against slow GUP; GUP-fast, which takes no lock, still pins between the
 * look and the change. Sleeping in atomic context is reported at the first notifier (LK1, LK2). With a second
 * subscriber whose callback takes a mutex (mm/driver-subscriber.ts) and a worker that holds the mutex while it waits
 * for the same PTL, the machine deadlocks.
 */
import { EAGAIN, MMU_NOTIFY_CLEAR, MMU_NOTIFY_PROTECTION_VMA } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, releases } from '../machine/effects.js';
import { pteWord } from '../machine/layout.js';
import { LOCK_PMD } from '../locks/classes.js';
import { spinUnlock } from '../locks/exclusive.js';
import { readOnce } from '#words';
import { changeHugePmd, thpStart } from '../mm/huge_memory/huge-memory.js';
import { writeProtectPte } from '../mm/ksm/merge.js';
import { NUMA_CHANGE, changePte, changePteRange, localNode } from '../mm/mprotect/ptes.js';
import { pmdLock, pteOffsetMapLock } from '../mm/pgtable.js';
import {
  changeProtectionUnannounced,
  lookAtPmd,
  lookAtPte,
  pinnedPte,
  protectPmd,
  unlockPtes,
} from './checked-scan.js';
import type { Policy } from './policy.js';

function* changePtes(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  if (!numa) return yield* changePteRange(ctx, mm, vma, start, end, newFlags, false);
  const local = yield* localNode(ctx, mm, vma);
  const table = yield* pteOffsetMapLock(ctx, mm, start);
  if (table < 0) return -EAGAIN;
  let pages = 0;
  for (let vpn = start; vpn < end; vpn++) {
    if ((yield* lookAtPte(ctx, mm, vma, vpn, table, local)) !== NUMA_CHANGE) continue;
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_PROTECTION_VMA, true);
    const pteAt = pteWord(ctx.m, table, vpn);
    if (--ctx.quantum < 0) yield reads(pteAt);
    if (yield* changePte(ctx, mm, vma, vpn, pteAt, readOnce(ctx.words, pteAt), 0, true)) pages++;
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  }
  yield* unlockPtes(ctx, table);
  return pages;
}

function* changePmd(ctx: Context, mm: number, vma: number, vpn: number, newFlags: number, numa: boolean): Coroutine {
  if (!numa) return yield* changeHugePmd(ctx, mm, vma, vpn, newFlags, false);
  const start = thpStart(ctx, vpn);
  const end = start + ctx.m.thpPages;
  const lock = yield* pmdLock(ctx, mm, start);
  const seen = yield* lookAtPmd(ctx, mm, start);
  if (seen === NUMA_CHANGE) {
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_VMA, true);
    yield* protectPmd(ctx, mm, start);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  if (seen < 0) return 0;
  return seen === NUMA_CHANGE ? ctx.m.thpPages : 1;
}

function* writeProtectUnderPtl(ctx: Context, mm: number, _vma: number, vpn: number, pfn: number): Coroutine {
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return 0;
  let left = 0;
  if (!(yield* pinnedPte(ctx, vpn, pfn, table))) {
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR, true);
    left = yield* writeProtectPte(ctx, mm, vpn, pfn, table);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  }
  yield* unlockPtes(ctx, table);
  return left;
}

export const notifyUnderPtl: Policy = {
  id: 'notify-under-ptl',
  title: '(e) look at the pins, notify and change under the page-table lock',
  replace: {
    changeProtection: changeProtectionUnannounced,
    changePteRange: changePtes,
    changeHugePmd: changePmd,
    writeProtectPage: writeProtectUnderPtl,
  },
  claims: { stage2FollowsHost: true, pinnedKeepsStage2: 'longterm', mappingPins: false, el2: false },
};

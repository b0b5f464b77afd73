/**
 * (d) check-then-notify, variant dA': look at the pins, notify, change (kernel-model 5 (d)).
 *
 * What was proposed: GUP raises the count under the page-table lock (the seed message of the thread calls it the page
 * lock), so a scanner that looks at the count under the same lock could pass pinned pages by and never announce them;
 * the guest's pinned memory would keep its stage-2 entries. What was answered: the notifier may sleep, so the lock must
 * be dropped before it is called, and then the look is worth nothing; and GUP-fast takes no lock at all.
 *
 * Here the NUMA scan goes page by page: PTL, look, skip a pinned page without a notifier; else drop the PTL, announce
 * that one page, take the PTL again and change the page without a second look. KSM looks before its notifier too, but
 * keeps its own test after it. Nothing else is changed: splits, migration, zap and mprotect announce as ever.
 *
 * What the model predicts: race d1. A pin, and the stage-2 fault of the guest, land between the look and the moment the
 * start callback takes mmu_lock: a pinned page is unmapped (I-PINNED-S2), and here its PTE is made a hint as well. d2
 * cannot happen: what is skipped is not changed.
 */
import { EAGAIN, MMU_NOTIFY_PROTECTION_VMA } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { isPresent, isProtnone, isSpecial } from '../machine/entries.js';
import { pteWord } from '../machine/layout.js';
import { MC_BACKED_OUT, countMechanism } from '../machine/stats.js';
import { readOnce } from '#words';
import { NUMA_CHANGE, NUMA_PINNED, changePte, changePteRange, localNode } from '../mm/mprotect/ptes.js';
import { pteOffsetMapLock } from '../mm/pgtable.js';
import {
  changeProtectionUnannounced,
  hugePmdWith,
  lookAtPte,
  unlockPtes,
  writeProtectPageChecked,
} from './checked-scan.js';
import type { Policy } from './policy.js';

/**
 * change_pte_range() of the scan, page by page.
 * @param retest d': look again after the notifier, and back out when the page is pinned by now
 */
export function* changePtesChecked(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  retest: boolean,
): Coroutine {
  const local = yield* localNode(ctx, mm, vma);
  let pages = 0;
  for (let vpn = start; vpn < end; vpn++) {
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (table < 0) return vpn === start ? -EAGAIN : pages;
    const seen = yield* lookAtPte(ctx, mm, vma, vpn, table, local);
    yield* unlockPtes(ctx, table);
    if (seen !== NUMA_CHANGE) continue;
    // the window: whatever was seen may be untrue from here on
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + 1, MMU_NOTIFY_PROTECTION_VMA, true);
    const again = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (again >= 0) {
      if (yield* changeAnnounced(ctx, mm, vma, vpn, again, local, retest)) pages++;
      yield* unlockPtes(ctx, again);
    }
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + 1);
  }
  return pages;
}

/** The change after the notifier, under the PTL. */
function* changeAnnounced(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  table: number,
  local: number,
  retest: boolean,
): Coroutine<boolean> {
  if (retest) {
    const seen = yield* lookAtPte(ctx, mm, vma, vpn, table, local);
    if (seen === NUMA_PINNED) countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_BACKED_OUT, 1);
    if (seen !== NUMA_CHANGE) return false;
  }
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const pte = readOnce(ctx.words, pteAt);
  if (!isPresent(pte) || isProtnone(pte) || isSpecial(pte)) return false;
  return yield* changePte(ctx, mm, vma, vpn, pteAt, pte, 0, true);
}

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
  return yield* changePtesChecked(ctx, mm, vma, start, end, false);
}

export const checkThenNotify: Policy = {
  id: 'check-then-notify',
  title: "(d) dA': look at the pins, notify, change without a second look",
  replace: {
    changeProtection: changeProtectionUnannounced,
    changePteRange: changePtes,
    changeHugePmd: hugePmdWith(false, false),
    writeProtectPage: writeProtectPageChecked,
  },
  claims: { stage2FollowsHost: true, pinnedKeepsStage2: 'longterm', mappingPins: false, el2: false },
};

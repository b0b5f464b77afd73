/**
 * (d) check-then-notify-range, variant dB: plan a range, notify what the plan will change, carry it out (kernel-model 5
 * (d)).
 *
 * What was proposed and answered: see check-then-notify. A notifier call per page is dear, so the scan looks at a whole
 * stretch first: pass 1 under the PTL finds the next run of pages that are alike, to be changed or pinned; a run to be
 * changed is announced as one range, a run that is all pinned is not announced at all; pass 2 looks at each page of the
 * run again under the PTL and changes those that are unpinned then. The decision not to notify is kept.
 *
 * What the model predicts: d1 as in the other variants (pinned after pass 1 of a run that is announced); and d2: a page
 * pinned in pass 1 by somebody who is not its stage-2 mapper (a device, while KVM mapped it by user_mem_abort and holds
 * nothing) is unpinned before pass 2. It is changed with nobody told: stage 2 still maps what the host has made a hint
 * (I-STALE), and the guest goes on using it while it may be migrated or freed.
 */
import { EAGAIN, MMU_NOTIFY_PROTECTION_VMA } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { pteWord } from '../machine/layout.js';
import { MC_BACKED_OUT, countMechanism } from '../machine/stats.js';
import { readOnce } from '#words';
import { NUMA_CHANGE, NUMA_LEAVE, NUMA_PINNED, changePte, changePteRange, localNode } from '../mm/mprotect/ptes.js';
import { pteOffsetMapLock } from '../mm/pgtable.js';
import {
  changeProtectionUnannounced,
  hugePmdWith,
  lookAtPte,
  unlockPtes,
  writeProtectPageChecked,
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
  let pages = 0;
  for (let vpn = start; vpn < end;) {
    // pass 1
    const table = yield* pteOffsetMapLock(ctx, mm, vpn);
    if (table < 0) return vpn === start ? -EAGAIN : pages;
    const plan = yield* lookAtPte(ctx, mm, vma, vpn, table, local);
    let next = vpn + 1;
    while (next < end && (yield* lookAtPte(ctx, mm, vma, next, table, local)) === plan) next++;
    yield* unlockPtes(ctx, table);
    if (plan !== NUMA_LEAVE) pages += yield* carryOut(ctx, mm, vma, vpn, next, plan, local);
    vpn = next;
  }
  return pages;
}

/** Pass 2 over [start, end), announced only if the plan is to change it. Returns the pages changed. */
function* carryOut(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  plan: number,
  local: number,
): Coroutine {
  const notify = plan === NUMA_CHANGE;
  if (notify) {
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_VMA, true);
  }
  let pages = 0;
  const table = yield* pteOffsetMapLock(ctx, mm, start);
  if (table >= 0) {
    for (let vpn = start; vpn < end; vpn++) {
      const seen = yield* lookAtPte(ctx, mm, vma, vpn, table, local);
      if (seen === NUMA_PINNED && notify) countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_BACKED_OUT, 1);
      if (seen !== NUMA_CHANGE) continue;
      const pteAt = pteWord(ctx.m, table, vpn);
      if (--ctx.quantum < 0) yield reads(pteAt);
      if (yield* changePte(ctx, mm, vma, vpn, pteAt, readOnce(ctx.words, pteAt), 0, true)) pages++;
    }
    yield* unlockPtes(ctx, table);
  }
  if (notify) yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  return pages;
}

export const checkThenNotifyRange: Policy = {
  id: 'check-then-notify-range',
  title: '(d) dB: plan a range by its pins, notify what will change, carry the plan out',
  replace: {
    changeProtection: changeProtectionUnannounced,
    changePteRange: changePtes,
    changeHugePmd: hugePmdWith(true, true),
    writeProtectPage: writeProtectPageChecked,
  },
  claims: { stage2FollowsHost: true, pinnedKeepsStage2: 'longterm', mappingPins: false, el2: false },
};

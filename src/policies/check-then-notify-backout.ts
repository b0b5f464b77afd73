/**
 * (d) check-then-notify-backout, variant d': look at the pins, notify, look again, back out or change (kernel-model 5
 * (d)).
 *
 * What was proposed and answered: see check-then-notify. The second look is the obvious repair of its window, and it is
 * what KSM does today after its unconditional notifier, with "clear the PTE, barrier, read the count" for the
 * conclusive test.
 *
 * What the model predicts: the change never hits a page that was pinned when it was looked at under the PTL, so no pin
 * is harmed; but race d1 stays, since NOTIFY.start has unmapped the page from stage 2 by the time the second look finds
 * the pin (I-PINNED-S2). d2 cannot happen: what is skipped is not changed.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { changePteRange } from '../mm/mprotect/ptes.js';
import { changePtesChecked } from './check-then-notify.js';
import { changeProtectionUnannounced, hugePmdWith, writeProtectPageChecked } from './checked-scan.js';
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
  return yield* changePtesChecked(ctx, mm, vma, start, end, true);
}

export const checkThenNotifyBackout: Policy = {
  id: 'check-then-notify-backout',
  title: "(d) d': look at the pins, notify, look again and back out",
  replace: {
    changeProtection: changeProtectionUnannounced,
    changePteRange: changePtes,
    changeHugePmd: hugePmdWith(true, false),
    writeProtectPage: writeProtectPageChecked,
  },
  claims: { stage2FollowsHost: true, pinnedKeepsStage2: 'longterm', mappingPins: false, el2: false },
};

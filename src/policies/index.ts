/** The policies, in the order of the thread's argument: what `--policy` takes. */
import { checkThenNotifyBackout } from './check-then-notify-backout.js';
import { checkThenNotifyRange } from './check-then-notify-range.js';
import { checkThenNotify } from './check-then-notify.js';
import { classic } from './classic.js';
import { notifyUnderPtl } from './notify-under-ptl.js';
import { pinnedNotifiers } from './pinned-notifiers.js';
import { pkvm2022 } from './pkvm-2022.js';
import { pkvmUpstream } from './pkvm-upstream.js';
import type { Policy } from './policy.js';

export const POLICIES: readonly Policy[] = [
  classic,
  pinnedNotifiers,
  pkvm2022,
  checkThenNotify,
  checkThenNotifyBackout,
  checkThenNotifyRange,
  notifyUnderPtl,
  pkvmUpstream,
];

/** The policy of this id, or undefined. */
export const policyById = (id: string): Policy | undefined => POLICIES.find((policy) => policy.id === id);

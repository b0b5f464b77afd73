/** The races that the policies of the 2022 thread have, recorded as those of planted bugs are: what their explorations are held against. */
import { type BugClash, changes, looksAt, locks } from './bug-clash.js';

interface PolicyClash {
  readonly policy: string;
  readonly scenario: string;
  readonly invariant: string;
  readonly clash: BugClash;
}

/** A scanner's look at the pins; of small pages and of huge ones. */
const LOOKS = ['numaDecision', 'lookAtPmd', 'pinnedPte'];
const PINS = ['refs', 'pincount'];
const GRABS = ['gupFast', 'pinUserPages'];

/** d1: a pin lands between the look and the change. */
const pinAfterLook: BugClash = {
  steps: [looksAt(PINS, LOOKS), changes(PINS, GRABS)],
  follows: 'the thread of 2022, race d1',
};

export const POLICY_CLASHES: readonly PolicyClash[] = [
  { policy: 'check-then-notify', scenario: 'pin-race', invariant: 'I-PINNED-S2', clash: pinAfterLook },
  { policy: 'check-then-notify-backout', scenario: 'pin-race', invariant: 'I-PINNED-S2', clash: pinAfterLook },
  { policy: 'check-then-notify-range', scenario: 'pin-race', invariant: 'I-PINNED-S2', clash: pinAfterLook },
  {
    // d2: found pinned, so nobody is told; unpinned by the time that it is changed
    policy: 'check-then-notify-range',
    scenario: 'pin-race',
    invariant: 'I-STALE',
    clash: { steps: [looksAt(PINS, LOOKS), changes(PINS, 'unpinUserPage')], follows: 'the thread of 2022, race d2' },
  },
  { policy: 'notify-under-ptl', scenario: 'pin-race', invariant: 'I-PINNED-S2', clash: pinAfterLook },
  {
    // the notifier sleeps under the page-table lock that the look was made under: whatever anybody else does
    policy: 'notify-under-ptl',
    scenario: 'pin-race',
    invariant: 'LK1',
    clash: {
      steps: [
        locks('PTL of table', ['changePtes', 'changePmd', 'writeProtectUnderPtl']),
        locks(['mn_invalidate_lock', 'mmu_lock', 'driver mutex'], 'mmuNotifierInvalidateRangeStart'),
      ],
      alone: true,
      follows: 'the thread of 2022, policy (e)',
    },
  },
  {
    policy: 'notify-under-ptl',
    scenario: 'driver-deadlock',
    invariant: 'deadlock',
    clash: {
      steps: [locks('driver mutex', 'mmuNotifierInvalidateRangeStart'), locks('driver mutex', 'driver')],
      // the circle has two locks
      or: [locks('PTL of table', ['changePtes', 'changePmd', 'writeProtectUnderPtl']), locks('PTL of table', 'driver')],
      follows: 'the thread of 2022, policy (e) with a second subscriber',
    },
  },
];

/**
 * Bugs of KVM and EL2 outside the first twenty, and their siblings: each hypercall with its check or its do phase broken, each
 * missing invalidation. Found within a few schedules by two strategies; and the kernel without them is proved clean.
 */
import { describe, expect, it } from 'vitest';
import { explore } from '#src/lab/explore/explore.js';
import { EXHAUSTIVE } from '#src/lab/explore/prove.js';
import { zooSubject } from '#src/lab/zoo/zoo.js';
import { bugById } from '#src/zoo/index.js';
import { programOf, search } from './searching.js';

/** Schedules within which PCT and POS find it; `prove`: whether the search without it ends within a second or two. */
describe.each([
  ['Z01-no-begin', 1500, 400, true],
  ['Z01-no-seq', 300, 1500, true],
  ['Z28', 2000, 1500, false],
  ['Z29', 1, 1, true],
  ['Z30-charge', 1, 1, true],
  ['Z34', 60, 60, true],
  ['Z35', 20, 20, true],
  ['Z35-share', 20, 20, true],
  ['Z36', 600, 1500, true],
  ['Z36-unchecked', 200, 100, true],
  ['Z37-reclaim', 150, 50, true],
  ['Z38', 1, 1, true],
  ['Z39', 1, 1, true],
  ['Z40', 20, 50, true],
  ['Z42-live', 150, 3000, true],
  ['Z42-no-pin', 30, 1500, true],
  ['Z43-logging', 20, 20, true],
  ['Z43-unshare', 20, 20, true],
  ['Z43-vmid', 1, 1, true],
  ['Z43-wrprotect', 20, 20, true],
  ['Z44-late-wipe', 1, 1, true],
  ['Z44-no-wipe', 1, 1, true],
  ['Z46', 60, 150, false],
  ['Z48-share-hyp', 150, 50, true],
  ['Z49', 20, 20, true],
  ['Z49-unshare', 50, 50, true],
  ['Z52', 20, 20, true],
] as const)('%s', (id, pct, pos, prove) => {
  const bug = bugById(id);
  if (bug === undefined) throw new Error(`no bug ${id}`);

  it.each([
    ['pct', pct],
    ['pos', pos],
  ] as const)('is found by %s', (strategy, schedules) => {
    const [schedule, invariant] = search(programOf(bug, true), strategy, schedules);
    expect(schedule).toBeGreaterThan(0);
    expect(bug.expect).toContain(invariant);
  });

  it('is not in the kernel that it is planted in', async () => {
    if (!prove) {
      expect(search(programOf(bug, false), 'pct', 200)).toEqual([0, '']);
      return;
    }
    const { report } = await explore({
      subject: zooSubject(bug, false),
      strategy: EXHAUSTIVE,
      schedules: 20_000,
      seconds: 60,
      lookOn: 0,
      minimise: false,
    });
    expect(report.violations).toEqual([]);
    expect(report.exhaustive).toBe(true);
  });
});

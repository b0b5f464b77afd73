/** Races of collapse with GUP-fast, and of the NUMA scan with MADV_DONTNEED: each bug is found, the base kernel is clean. */
import { describe, expect, it } from 'vitest';
import { FOLL_LONGTERM, FOLL_WRITE, VM_HUGEPAGE } from '#src/machine/abi.js';
import { MADV_COLLAPSE, MADV_DONTNEED, MADV_HUGEPAGE } from '#src/mm/madvise.js';
import { bugById } from '#src/zoo/index.js';
import { type HandMade, call, explore } from './litmus-plan.js';

/** Two small pages, the first pinned by GUP-fast and written through the pin, while they are collapsed. */
const COLLAPSE: HandMade = {
  pages: 2,
  init: [call('write', [0, 0, 1]), call('write', [0, 1, 2])],
  columns: [
    {
      mm: 0,
      calls: [
        call('write', [0, 0, 3], 4),
        call('write', [0, 1, 4], 5),
        call('madvise', [0, 0, 2, MADV_HUGEPAGE], 6),
        call('pin_fast', [0, 0, FOLL_WRITE | FOLL_LONGTERM], 0),
        call('pin_write', [0, 7], 1),
      ],
    },
    { mm: 0, calls: [call('madvise', [0, 0, 2, MADV_COLLAPSE], 2), call('read', [0, 0], 3)] },
  ],
};

/** A huge page, zapped while the NUMA scan makes it a hint, then read. */
const ZAP: HandMade = {
  pages: 2,
  flags: VM_HUGEPAGE,
  thpEnabled: 2,
  init: [call('write', [0, 0, 1]), call('write', [0, 1, 2])],
  columns: [
    { mm: 0, calls: [call('madvise', [0, 0, 2, MADV_DONTNEED], 0), call('read', [0, 0], 1)] },
    { mm: 0, calls: [call('numa_scan', [0], 2)] },
  ],
};

describe.each([
  ['Z03', COLLAPSE],
  ['Z04', COLLAPSE],
  ['Z15', ZAP],
] as const)('%s', (id, made) => {
  const bug = bugById(id);

  it.each(['random', 'pct'] as const)('is found by %s', (strategy) => {
    for (let seed = 1; seed <= 3; seed++) {
      const { schedule, invariant } = explore(made, id, strategy, 4000, seed);
      expect(bug?.expect).toContain(invariant);
      expect(schedule).toBeGreaterThan(0);
    }
  });

  it.each(['random', 'pct'] as const)('is not in the kernel that it is planted in: %s', (strategy) => {
    const { schedule, what, ends } = explore(made, bug?.policy ?? '', strategy, 1500);
    expect([schedule, what]).toEqual([0, '']);
    expect(Object.keys(ends)).toEqual(['finished']);
  });
});

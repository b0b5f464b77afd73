/**
 * Reclaim and swap-in against everything that touches pages, swap entries and the swap cache: small generated programs in orders
 * that strategies choose, under all oracles; at the end all counts add up, those of the slots too.
 */
import { expect, it } from 'vitest';
import { FOLL_LONGTERM, FOLL_WRITE, VM_HUGEPAGE, VM_MERGEABLE } from '#src/machine/abi.js';
import type { LitmusCall } from '#src/plan/litmus.js';
import { MADV_COLLAPSE, MADV_DONTNEED, MADV_FREE } from '#src/mm/madvise/madvise.js';
import { type HandMade, call, explore } from '../zoo/litmus-plan.js';

const PAGES = 4;
const COLUMNS = 3;

/** xorshift32: the same numbers for the same seed. */
function numbers(seed: number): (below: number) => number {
  let x = Math.imul(seed, 0x9e3779b1) | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

function program(seed: number): HandMade {
  const below = numbers(seed);
  let content = 100;
  const operation = (register: number): LitmusCall[] => {
    const page = below(PAGES);
    switch (below(15)) {
      case 0:
      case 1:
        return [call('read', [0, page])];
      case 2:
      case 3:
        return [call('write', [0, page, content++])];
      case 4: {
        const flags = FOLL_WRITE | (below(2) === 0 ? FOLL_LONGTERM : 0);
        return [call('pin_fast', [0, page, flags], register), call('unpin', [register])];
      }
      case 5:
        return [call('pin', [0, page, below(2) === 0 ? FOLL_WRITE : 0], register), call('unpin', [register])];
      case 6:
        return [call('get', [0, page, 0], register), call('put', [register])];
      case 7:
        return [call('madvise', [0, page, page + 1, below(2) === 0 ? MADV_DONTNEED : MADV_FREE])];
      case 8:
        return [call('madvise', [0, 0, PAGES, MADV_COLLAPSE])];
      case 9:
        return [call('numa_scan', [0])];
      case 10:
        return [call('migrate', [0, page, below(2)])];
      case 11:
        return [below(2) === 0 ? call('ksm_scan', [PAGES]) : call('fork', [1])];
      default:
        return [call('swap_out', [0, page])];
    }
  };
  const init = Array.from({ length: PAGES }, (_, page) => call('write', [0, page, below(2) === 0 ? 7 : 10 + page]));
  if (below(2) === 0) init.push(call('swap_out', [0, below(PAGES)]));
  const columns = Array.from({ length: COLUMNS }, (_, column) => ({
    mm: 0,
    node: column & 1,
    calls: [0, 1, 2].flatMap(() => operation(column)),
  }));
  return {
    machine: { nodes: 2, mms: 2, swapSlots: 1 + below(4), framesPerNode: 24, lruBatch: below(3) === 0 ? 2 : 0 },
    pages: PAGES,
    flags: VM_MERGEABLE | (below(2) === 0 ? VM_HUGEPAGE : 0),
    thpEnabled: below(2) === 0 ? 2 : 0,
    init,
    columns,
  };
}

it.each(['random', 'pct'] as const)('%s', (strategy) => {
  for (let seed = 1; seed <= 24; seed++) {
    const { schedule, invariant, what, ends } = explore(program(seed), 'classic', strategy, 10, seed);
    expect([seed, schedule, invariant, what, Object.keys(ends)]).toEqual([seed, 0, '', '', ['finished']]);
  }
});

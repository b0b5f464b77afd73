/**
 * Z15: a huge PMD passes through none while the NUMA scan changes it, and MADV_DONTNEED, which looks without a lock, skips it.
 *
 *     NUMA scan: PMD := none, for a moment        madvise: sees none, skips the huge page
 *     NUMA scan: PMD := PROT_NONE, huge           returns 0; the data is still there
 *
 * Rule PTE-2: huge to huge goes through present-but-invalid (pmdp_invalidate). Siblings: 58ceeb6bec86, 5b7abeae3af8.
 */
import { MECH } from '../machine/mechanisms.js';
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { pmdpInvalidate } from '../mm/huge_memory/huge-memory.js';
import { flushTlbRange } from '../mm/tlb-flush.js';
import { xchg } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** change_huge_pmd() through v4.10: pmdp_huge_get_and_clear_notify() where it invalidates now. */
function* pmdpHugeGetAndClear(ctx: Context, mm: number, start: number, pmdAt: number): Coroutine {
  if (ctx.task.mechanism !== MECH.numa_scan) return yield* pmdpInvalidate(ctx, mm, start, pmdAt);
  if (--ctx.quantum < 0) yield updates(pmdAt);
  const old = xchg(ctx.words, pmdAt, 0);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, old, 0);
  yield* flushTlbRange(ctx, false, mm, start, start + ctx.m.thpPages);
  return old;
}

export const z15: Bug = {
  id: 'Z15',
  title: 'MADV_DONTNEED misses a huge page that the NUMA scan is just changing',
  commit: 'ced108037c2a ("thp: fix MADV_DONTNEED vs. numa balancing race")',
  fixedIn: 'v4.11',
  story:
    'change_huge_pmd() cleared the PMD and then set it again with the new protection. MADV_DONTNEED walks page tables without the PMD ' +
    'lock and takes none for nothing to do: it returned although two megabytes of data were still mapped.',
  policy: 'classic',
  replace: { pmdpInvalidate: pmdpHugeGetAndClear },
  expect: ['I-LOST'],
  litmus: 'z15-dontneed-vs-numa.litmus',
  clash: {
    steps: [looksAt('PMD', 'zapPageRange'), changes('PMD', 'changeHugePmd')],
    follows: 'ced108037c2a',
  },
};

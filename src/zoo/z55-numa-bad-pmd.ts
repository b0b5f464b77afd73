/**
 * Z55: the NUMA scan looks at a PMD twice, and takes one that has become huge in between for a broken one.
 *
 *     scan: the PMD is empty, so it is not huge                              task: -
 *     -                                                                      first touch: a huge page, PMD := huge
 *     scan: it is not empty and no table: pmd_none_or_clear_bad() clears it  -
 *     -                                                                      reads zeroes: the page is nobody's now
 */
import type { Context, Coroutine } from '../machine/context.js';
import { MMU_NOTIFY_PROTECTION_VMA } from '../machine/abi.js';
import { LOCAL, reads, updates, writes } from '../machine/effects.js';
import { isHuge, isNone } from '../machine/entries.js';
import { pmdWord } from '../machine/layout.js';
import { flushTlbRange } from '../mm/tlb-flush.js';
import { tlbFlushPendingWord } from '../mm/memory/zap.js';
import { fetchAdd, readOnce, writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** change_pmd_range() as it was: is it huge? and then, by a second load, is it none or bad? */
function* looksTwice(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  const { m, words } = ctx;
  const pending = tlbFlushPendingWord(ctx, mm);
  if (--ctx.quantum < 0) yield updates(pending);
  fetchAdd(words, pending, 1);
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_VMA, true);
  let pages = 0;
  for (let vpn = start; vpn < end;) {
    const next = Math.min(end, (vpn | (m.thpPages - 1)) + 1);
    const pmdAt = pmdWord(m, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const first = readOnce(words, pmdAt);
    if (isHuge(first)) {
      pages += Math.max(0, yield* ctx.kernel.changeHugePmd(ctx, mm, vma, vpn, newFlags, numa));
    } else if (yield* noneOrClearBad(ctx, mm, vpn, pmdAt)) {
      pages += Math.max(0, yield* ctx.kernel.changePteRange(ctx, mm, vma, vpn, next, newFlags, numa));
    }
    vpn = next;
    // cond_resched()
    if (--ctx.quantum < 0) yield LOCAL;
  }
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  yield* flushTlbRange(ctx, false, mm, start, end);
  if (--ctx.quantum < 0) yield updates(pending);
  fetchAdd(words, pending, -1);
  return pages;
}

/** pmd_none_or_clear_bad(): whether there is a table. What is neither that nor empty is bad, and cleared. */
function* noneOrClearBad(ctx: Context, mm: number, vpn: number, pmdAt: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(ctx.words, pmdAt);
  if (!isHuge(pmd)) return !isNone(pmd);
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(ctx.words, pmdAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pmdAt, pmd, 0);
  return false;
}

export const z55: Bug = {
  id: 'Z55',
  title: 'the NUMA scan takes a PMD that has just become huge for a broken one and clears it',
  commit:
    '8b272b3cbbb5 ("mm, numa: fix bad pmd by atomically check for pmd_trans_huge when marking page tables prot_numa")',
  fixedIn: 'v5.6',
  story:
    'change_pmd_range() asked whether a PMD was huge, and with another load whether it was empty or bad. A page fault that put a huge page there ' +
    'in between made the second test clear the entry: the page was lost to its process, its mapcount never went down.',
  policy: 'classic',
  replace: { changeProtection: looksTwice },
  expect: ['I-LOST', 'I-MAP', 'forbidden 2'],
  litmus: 'z55-numa-bad-pmd.litmus',
  clash: {
    steps: [looksAt('PMD', 'looksTwice'), changes('PMD', ['doHugePmdAnonymousPage', 'mapHuge'])],
    or: [looksAt('PMD', 'noneOrClearBad'), changes('PMD', ['doHugePmdAnonymousPage', 'mapHuge'])],
    follows: '8b272b3cbbb5',
  },
};

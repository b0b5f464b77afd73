/**
 * Z08: a pinned page becomes a NUMA hint, comes back read-only, and is copied.
 *
 *     pinner: pins the page                       NUMA scan: mapped once, so it is not busy: PTE := PROT_NONE
 *     CPU: hint fault: restored without write     -
 *     the device writes the pinned page           -
 *     CPU: writes: references != 1: copies        what the device writes from here on is not seen
 */
import type { Context, Coroutine } from '../machine/context.js';
import { RULES_V6_18 } from '../machine/context.js';
import { updates, writes } from '../machine/effects.js';
import { PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG } from '../machine/entries.js';
import { pteWord } from '../machine/layout.js';
import { writeOnce, xchg } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** do_numa_page()'s way back, its write bit lost on the way. */
function* numaRebuildSingleMapping(
  ctx: Context,
  mm: number,
  _vma: number,
  vpn: number,
  table: number,
): Coroutine<void> {
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield updates(pteAt);
  const before = xchg(ctx.words, pteAt, 0);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, before, 0);
  const entry = (before & ~(PTE_PROTNONE | PTE_WRITE)) | PTE_PRESENT | PTE_YOUNG;
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
}

export const z08: Bug = {
  id: 'Z08',
  title: 'NUMA hinting makes a pinned page read-only, and the next write copies it',
  commit: '80d47f5de5e3 ("mm: don\'t try to NUMA-migrate COW pages that have other uses")',
  fixedIn: 'v5.17',
  story:
    'The NUMA scan took a page for shared by its mapcount, which a pin does not raise. A pinned page became PROT_NONE; when it came ' +
    'back without its write bit, the copy-on-write rule of v5.9 saw the references of the pin and gave the process a copy.',
  policy: 'classic',
  replace: { rules: { ...RULES_V6_18, wpReuse: 'v5.9', numaBusy: 'v5.16' }, numaRebuildSingleMapping },
  expect: ['I-PIN'],
  litmus: 'z08-numa-hint-then-cow.litmus',
  clash: {
    steps: [looksAt(['maps', 'PTE'], 'changePteRange'), changes('refs', 'pinUserPages')],
    or: [changes('PTE', 'changePteRange'), looksAt('PTE', 'pinUserPages')],
    follows: '80d47f5de5e3',
  },
};

/**
 * Z14: fork shares pinned pages like all others.
 *
 *     parent: pins P for a device; fork: P is write-protected and shared
 *     parent writes P: a copy for it        the device goes on with the child's page
 */
import { PG_ANON_EXCLUSIVE, PG_MAYBE_SHARED } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { clearFlag, flagsWord, folioTestLarge, setFlag } from '../mm/folio.js';
import type { Bug } from './bug.js';
import { changes } from './bug-clash.js';

/** The decision through v5.8: any page may be shared. */
function* folioTryDupAnonRmap(ctx: Context, _mm: number, head: number, pfn: number): Coroutine {
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
  clearFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
  if (folioTestLarge(ctx, head)) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_MAYBE_SHARED);
  }
  return 0;
}

export const z14: Bug = {
  id: 'Z14',
  title: 'fork write-protects pinned pages: the parent loses them to a copy at its next write',
  commit: '70e806e4e645 ("mm: Do early cow for pinned pages during fork() for ptes")',
  fixedIn: 'v5.9',
  story:
    'After v5.9 had made every other reference a reason to copy, a process that forked after pinning memory lost the pinned page ' +
    'at its next write to it: the child and the device kept the page, the parent got the copy. fork copies such pages for the ' +
    'child at once since.',
  policy: 'classic',
  replace: { folioTryDupAnonRmap },
  expect: ['I-PIN'],
  litmus: 'z14-fork-shares-pinned.litmus',
  clash: {
    steps: [changes('refs', 'pinUserPages'), changes(['PTE', 'flags'], 'copyPageRange')],
    or: [changes('PTE', 'doWpPage'), changes(['PTE', 'flags'], 'copyPageRange')],
    alone: true,
    follows: '70e806e4e645',
  },
};

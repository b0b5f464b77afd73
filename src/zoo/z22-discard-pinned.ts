/**
 * Z22: reclaim takes a lazily freed page from a process that is just having data read into it.
 *
 *     process: MADV_FREE; read(2) with O_DIRECT   reclaim: clean: PTE := none
 *     GUP-fast has pinned the page                -
 *     the device writes, the page is dirtied      reclaim: somebody holds it: the page stays, the PTE does not come back
 *     process: reads zeroes
 */
import type { Context, Coroutine } from '../machine/context.js';
import { PG_DIRTY, PG_SWAPBACKED } from '../machine/abi.js';
import { reads, updates } from '../machine/effects.js';
import { flagsWord, setFlag, testFlag } from '../mm/folio.js';
import { discardPte, restorePte } from '../mm/rmap/unmap.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** The MADV_FREE branch of try_to_unmap_one() (mm/rmap.c, v5.17): dirty or not, and no look at the references. */
function* discardIfClean(
  ctx: Context,
  mm: number,
  vpn: number,
  folio: number,
  pteAt: number,
  pte: number,
): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folio));
  if (testFlag(ctx, folio, PG_DIRTY)) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, folio));
    setFlag(ctx, folio, PG_SWAPBACKED);
    return yield* restorePte(ctx, mm, vpn, pteAt, pte);
  }
  yield* discardPte(ctx, mm, vpn, folio);
  return true;
}

export const z22: Bug = {
  id: 'Z22',
  title: 'reclaim drops a lazily freed page under direct I/O, and the process reads zeroes',
  commit: '6c8e2a256915 ("mm: fix race between MADV_FREE reclaim and blkdev direct IO read")',
  fixedIn: 'v5.18',
  story:
    'A page given up by MADV_FREE may be dropped if it is clean. try_to_unmap_one() looked at the dirty bit only: a page that direct I/O had ' +
    'pinned to read data into was unmapped, and that somebody held it was seen too late to bring the entry back.',
  policy: 'classic',
  replace: { unmapLazyfreePte: discardIfClean },
  expect: ['I-PIN', 'I-LOST'],
  litmus: 'z22-discard-pinned.litmus',
  clash: {
    steps: [looksAt(['PTE', 'flags'], 'unmapPte'), changes('refs', 'gupFast')],
    or: [changes('PTE', 'unmapPte'), looksAt('PTE', 'gupFast')],
    follows: '6c8e2a256915',
  },
};

/**
 * Z59: a long-term pin leaves its page in memory that must stay movable.
 *
 *     driver: pins a page of ZONE_MOVABLE for long          memory hot-unplug: -
 *     -                                                     moves every page of the block away; this one cannot be moved, ever
 */
import { FOLL_LONGTERM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { pinUserPages } from '../mm/gup/gup.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** __gup_longterm_locked() as it was for everything but CMA: the pin is taken where the page lies. */
const pinsInPlace = (ctx: Context, mm: number, vpn: number, flags: number): Coroutine =>
  pinUserPages(ctx, mm, vpn, flags & ~FOLL_LONGTERM);

export const z59: Bug = {
  id: 'Z59',
  title: 'a page of ZONE_MOVABLE is pinned for long where it lies',
  commit: 'd1e153fea2a8 ("mm/gup: migrate pinned pages out of movable zone")',
  fixedIn: 'v5.13',
  story:
    'FOLL_LONGTERM moved pages out of CMA areas before it pinned them, but not out of ZONE_MOVABLE. Devices with long-lived pins filled memory that ' +
    'was set aside to be unplugged or to serve huge pages, and it could be neither any more.',
  policy: 'classic',
  replace: { pinUserPages: pinsInPlace },
  expect: ['I-MOVABLE'],
  litmus: 'z59-pins-in-movable.litmus',
  clash: {
    steps: [
      looksAt(['flags', 'PTE'], ['pinUserPages', 'followPagePte']),
      changes('refs', ['pinUserPages', 'followPagePte']),
    ],
    alone: true,
    follows: 'd1e153fea2a8',
  },
};

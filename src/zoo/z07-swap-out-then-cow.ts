/**
 * Z07: a pin is lost when its page goes to swap and comes back read-only.
 *
 *     pinner: -                                   reclaim: page not pinned: into the swap cache
 *     pinner: pins the page                       PTE := swap entry; the write-out ends, the freeze fails: kept
 *     CPU: reads: maps the page, read-only        -
 *     CPU: writes: references != 1: copies        the device goes on with the old page
 *
 * Looking at the pins before the swap cache (v5.11) leaves the window before the PTE is cleared, and is not even done for a page that
 * is in the cache already. v5.19 looks once more where the exclusive bit is given up, keeps that bit in the swap entry, and
 * reuses an exclusive page whatever its references.
 */
import { RULES_V6_18 } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

export const z07: Bug = {
  id: 'Z07',
  title: 'a page pinned while it is being swapped out comes back read-only and is copied',
  commit: '6c287605fd56 ("mm: remember exclusively mapped anonymous pages with PG_anon_exclusive") and its series',
  fixedIn: 'v5.19',
  story:
    'try_to_unmap_one() replaced the PTE by a swap entry without a look at the pins. A read fault mapped the page again, read-only for ' +
    'its extra references; the next write found these references and copied the page, under the pin of a device that goes on with the old one.',
  policy: 'classic',
  // the reuse rule "references == 1", and with it no exclusive bit that could be asked
  replace: { rules: { ...RULES_V6_18, wpReuse: 'v5.9', reclaimPinChecks: 1 } },
  expect: ['I-PIN'],
  litmus: 'z07-swap-out-then-cow.litmus',
  clash: {
    steps: [looksAt('refs', 'shrinkFolio'), changes('refs', 'pinUserPages')],
    follows: '6c287605fd56',
  },
};

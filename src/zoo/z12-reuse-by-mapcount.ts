/**
 * Z12: a write-protect fault reuses the page in place when nobody else maps it, whoever else holds it.
 *
 *     parent: page P, fork                  child: pins P for reading, munmaps it
 *     parent writes: maps == 1, in place    child reads its pipe: what the parent has just written
 *
 * The rule is v5.8's (wpReuse). A pin for reading unshares nothing under it, and fork does not copy what is pinned.
 */
import { RULES_V6_18 } from '../machine/rules.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

export const z12: Bug = {
  id: 'Z12',
  title: "copy-on-write counts mappings only: a child's pipe shows what its parent writes later",
  commit: '09854ba94c6a ("mm: do_wp_page() simplification"), after 17839856fd58; CVE-2020-29374',
  fixedIn: 'v5.9',
  story:
    'A child could take a reference to a page that it shared with its parent (vmsplice into a pipe) and unmap it. The parent, ' +
    'now the only one to map it, wrote in place, and the child read the new data. Breaking COW at the GUP (v5.8) broke others; ' +
    'v5.9 reuses a page only while nobody else holds a reference.',
  policy: 'classic',
  replace: { rules: { ...RULES_V6_18, wpReuse: 'v5.8' } },
  expect: ['I-COW'],
  litmus: 'z12-reuse-by-mapcount.litmus',
  clash: {
    steps: [looksAt('maps', 'doWpPage'), changes('maps', 'munmap')],
    follows: '09854ba94c6a',
  },
};

/**
 * Z09: Dirty COW. A forced write takes its copy for made, forgets that it wants to write, and gets a page that is everybody's.
 *
 *     GUP (FORCE, WRITE): write fault: a copy     -
 *     forgets WRITE: the copy need not be writable
 *     -                                           madvise: MADV_DONTNEED: the copy is gone
 *     read fault: maps what everybody shares      -
 *     returns that page: written to
 *
 * CVE-2016-5195. What is shared is a page of a file there, and the zero page here.
 */
import { FOLL_WRITE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';
import { pinForced } from './force-loop.js';

/** faultin_page() (mm/gup.c, v4.8): "fall back to COW break without write access" */
const pinDroppingWrite = (ctx: Context, mm: number, vpn: number, flags: number): Coroutine =>
  pinForced(ctx, mm, vpn, flags, (wanted) => wanted & ~FOLL_WRITE);

export const z09: Bug = {
  id: 'Z09',
  title: 'Dirty COW: a forced write forgets that it writes, and gets a page that others see',
  commit: '19be0eaffa3a ("mm: remove gup_flags FOLL_WRITE games from __get_user_pages()"); CVE-2016-5195',
  fixedIn: 'v4.9',
  story:
    'A write with FOLL_FORCE to a read-only private mapping needs a copy, which stays unwritable. Lest it fault for ever, GUP dropped FOLL_WRITE ' +
    'after the copying fault: a MADV_DONTNEED at that moment made the next look-up a read, of the original.',
  policy: 'classic',
  replace: { pinUserPages: pinDroppingWrite },
  expect: ['I-RO'],
  litmus: 'z09-force-drops-write.litmus',
  clash: {
    steps: [looksAt('PTE', ['faultinPage', 'followPagePte']), changes('PTE', 'zapPageRange')],
    follows: '19be0eaffa3a',
  },
};

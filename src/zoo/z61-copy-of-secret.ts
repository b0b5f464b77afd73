/**
 * Z61: the kernel copies a page that is a protected guest's own.
 *
 *     VMM:  fork: the page is pinned, so the child gets a copy at once       guest: writes its secret
 *     VMM:  the copy goes past the host's stage 2
 *     child: reads the secret
 *
 * The kernel's own map of memory is under the host's stage 2 like everything else: a load of such a page aborts, and whoever copies must be
 * able to fail. The same hole is there for swap, migration, collapse and /proc/PID/mem.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { PAGE_CONTENT, pageWord } from '../machine/layout.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** A load through the kernel's map that nobody checks: a large mapping of it was left in the host's stage 2. */
function* loadsUnchecked(ctx: Context, pfn: number): Coroutine {
  const content = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield reads(content);
  ctx.accessValue = readOnce(ctx.words, content);
  return 0;
}

export const z61: Bug = {
  id: 'Z61',
  title: "fork copies a protected guest's page, and the child reads the guest's secret",
  commit: '',
  fixedIn: '',
  story:
    'A page that was donated to a protected guest is still mapped in the VMM. If the kernel can load it through its own map, each copy that it makes ' +
    'hands the secret to a page of the host: fork copies a pinned page for the child, which reads it like any other.',
  policy: 'pkvm-2022',
  replace: { pkvmKernelRead: loadsUnchecked },
  expect: ['I-SECRET'],
  litmus: 'z61-copy-of-secret.litmus',
  clash: {
    steps: [changes('content', ['guestAccess', 'guestWrite', 'vcpuAccess']), looksAt('content', 'loadsUnchecked')],
    follows: 'story',
  },
};

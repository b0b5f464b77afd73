/**
 * Z13: GUP-fast does not notice a fork that is under way.
 *
 *     GUP-fast: reads the PTE: writable     fork: no pins; takes the exclusive bit away
 *     GUP-fast: pins; PTE as it was: ok     fork: write-protects the PTE, maps the page for the child
 *     parent writes: a copy for it          the pin stays on the child's page
 */
import { MMU_NOTIFY_PROTECTION_PAGE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { isCowMapping } from '../mm/gup/checks.js';
import { copyTables } from '../mm/memory/fork.js';
import { vmaEnd, vmaFlags, vmaMm, vmaStart } from '../mm/vma/vma.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** copy_page_range() through v5.10: nothing tells GUP-fast that pages are being shared. */
function* copyPageRange(ctx: Context, dst: number, src: number): Coroutine {
  if (!isCowMapping(vmaFlags(ctx, src))) return yield* copyTables(ctx, dst, src);
  const mm = vmaMm(ctx, src);
  const start = vmaStart(ctx, src);
  const end = vmaEnd(ctx, src);
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_PAGE, true);
  const result = yield* copyTables(ctx, dst, src);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  return result;
}

export const z13: Bug = {
  id: 'Z13',
  title: 'fork does not tell GUP-fast: a pin lands between the look at the pins and the write-protection',
  commit: '57efa1fe5957 ("mm/gup: prevent gup_fast from racing with COW during fork")',
  fixedIn: 'v5.11',
  story:
    'fork copies pages that may be pinned and shares the others. GUP-fast takes no lock, so it could pin a page that fork had ' +
    'just found unpinned, and find its PTE unchanged, as the write-protection came later. The next write of the parent then ' +
    'moved it to a copy. The fix is a sequence count around the copying of page tables, write_protect_seq.',
  policy: 'classic',
  replace: { copyPageRange },
  expect: ['I-PIN'],
  litmus: 'z13-gup-fast-vs-fork.litmus',
  clash: {
    steps: [looksAt(['refs', 'flags'], 'folioTryDupAnonRmap'), changes(['refs', 'flags'], 'gupFast')],
    or: [looksAt('PTE', 'gupFast'), changes('PTE', 'copyPresentPte')],
    follows: '57efa1fe5957',
  },
};

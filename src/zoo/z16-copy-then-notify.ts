/**
 * Z16: a huge page is copied before the secondary MMU has let go of it.
 *
 *     migration: PMD := migration entry; copies   guest (a device): writes the old page
 *     migration: NOTIFY.start, PMD := new page, NOTIFY.end
 *     -                                           reads the new page: the write is lost
 *
 * The history is one of devices whose TLBs were flushed by the notifier alone; the NUMA scan's own pair was taken for enough. A guest's
 * stage 2 is such a TLB.
 */
import { MMU_NOTIFY_CLEAR } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { folioPages } from '../mm/folio.js';
import { migrateFolioMove } from '../mm/migrate/move.js';
import { tryToMigrateOne, unmapMapping } from '../mm/rmap/migrate.js';
import { vmaMm } from '../mm/vma/vma.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** try_to_migrate_one() of a huge page without its notifier pair. */
function* unmapQuietly(ctx: Context, head: number, vma: number, vpn: number, flags: number): Coroutine {
  if (folioPages(ctx, head) === 1) return yield* tryToMigrateOne(ctx, head, vma, vpn, flags);
  return yield* unmapMapping(ctx, vmaMm(ctx, vma), vma, head, vpn, vpn + folioPages(ctx, head), flags);
}

/** migrate_misplaced_transhuge_page() (mm/migrate.c, v4.19): the copy, and around the new PMD the notifier. */
function* copyThenNotify(ctx: Context, src: number, dst: number): Coroutine {
  const pages = folioPages(ctx, src);
  // where the walk that unmapped it has stopped
  const [mm, vpn] = [vmaMm(ctx, ctx.out.rmapVma), ctx.out.rmapVpn];
  const result = yield* migrateFolioMove(ctx, src, dst);
  if (pages === 1 || result !== 0) return result;
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, vpn, vpn + pages, MMU_NOTIFY_CLEAR, true);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, vpn, vpn + pages);
  return result;
}

export const z16: Bug = {
  id: 'Z16',
  title: 'a huge page is migrated before the guest has lost its mapping of the old one',
  commit: '7066f0f933a1 ("mm: thp: fix mmu_notifier in migrate_misplaced_transhuge_page()")',
  fixedIn: 'v4.20',
  story:
    'NUMA migration of a huge page copied it and called the notifiers afterwards, around the new PMD, trusting that the scan had invalidated ' +
    'the range when it made the hint. A secondary MMU that was late, or had come back, wrote to a page that had been copied already.',
  policy: 'classic',
  replace: { tryToMigrateOne: unmapQuietly, migrateFolioMove: copyThenNotify },
  expect: ['I-STALE', 'I-LOST'],
  litmus: 'z16-copy-then-notify.litmus',
  clash: {
    steps: [looksAt('PMD', 'unmapMapping'), changes('PMD', 'unmapMapping')],
    or: [changes('PMD', 'unmapMapping'), looksAt(['entry of stage-2 table', 'stage-2 root entry'], 'guestAccess')],
    alone: true,
    follows: '7066f0f933a1',
  },
};

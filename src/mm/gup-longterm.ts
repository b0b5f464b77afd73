/**
 * FOLL_LONGTERM: a page that may not be pinned for long where it lies (ZONE_MOVABLE, CMA) is moved first (mm/gup.c
 * check_and_migrate_movable_pages, v6.18; kernel-model 3.10.2). Between the unpin and the next pin anything can happen
 * to the range.
 */
import {
  EAGAIN,
  ENOMEM,
  FOLL_PIN,
  MECH_LONGTERM_MIGRATE,
  MIGRATE_SYNC,
  NUMA_NO_NODE,
  PG_LRU,
  PG_UNPINNABLE_ZONE,
} from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { readOnce } from '#words';
import { flagsWord, folioOf, isZeroPfn } from './folio.js';
import { gupPutFolio } from './gup-grab.js';
import { folioIsolateLru, lruAddDrainAll } from './swap.js';

/**
 * check_and_migrate_movable_pages() for the page `pfn`, which the caller has just pinned under mmap_lock.
 * @returns 0: the pin stands; -EAGAIN: unpinned (and moved, if it could be isolated), pin again; -ENOMEM: unpinned, and
 *   it could not be moved
 */
export function* checkAndMigrateMovablePages(ctx: Context, pfn: number): Coroutine {
  // folio_is_longterm_pinnable(): the zero page always is
  if (isZeroPfn(pfn)) return 0;
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const flags = readOnce(ctx.words, flagsWord(ctx, head));
  if ((flags & PG_UNPINNABLE_ZONE) === 0) return 0;
  if ((flags & PG_LRU) === 0) yield* lruAddDrainAll(ctx);
  const isolated = yield* folioIsolateLru(ctx, head);
  yield* gupPutFolio(ctx, pfn, FOLL_PIN);
  // somebody else has it off the LRU just now: only pin again
  if (!isolated) return -EAGAIN;
  const outer = ctx.mechanism;
  ctx.mechanism = MECH_LONGTERM_MIGRATE;
  const left = yield* ctx.kernel.migratePages(ctx, [head], NUMA_NO_NODE, MIGRATE_SYNC);
  ctx.mechanism = outer;
  return left > 0 ? -ENOMEM : -EAGAIN;
}

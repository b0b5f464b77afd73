/**
 * FOLL_LONGTERM: a page that may not be pinned for long where it lies (ZONE_MOVABLE, CMA) is moved first (mm/gup.c
 * check_and_migrate_movable_pages, v6.18; kernel-model 3.10.2). Between the unpin and the next pin anything can happen
 * to the range.
 */
import {
  EAGAIN,
  ENOMEM,
  FOLL_PIN,
  GUP_PIN_COUNTING_BIAS,
  MIGRATE_SYNC,
  NUMA_NO_NODE,
  PG_LRU,
  PG_SWAPCACHE,
  PG_UNPINNABLE_ZONE,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { LOCAL, reads } from '../../machine/effects.js';
import { mightSleep } from '../../locks/held.js';
import { glance } from '../../machine/words/extra-accesses.js';
import { PAGE_MAPPING, pageWord } from '../../machine/layout.js';
import { readOnce } from '#words';
import {
  flagsWord,
  folioMaps,
  folioOf,
  folioRefs,
  folioTestLarge,
  isZeroPfn,
  mappingIsAnon,
  mapsWord,
  refsWord,
} from '../folio.js';
import { gupPutFolio } from './grab.js';
import { folioIsolateLru, lruAddDrain, lruAddDrainAll } from '../swap.js';

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
  yield* drainIfNeeded(ctx, head, (flags & PG_LRU) !== 0);
  const isolated = yield* folioIsolateLru(ctx, head);
  // v6.14 and v6.15: nothing was collected, so all is well
  if (!isolated && ctx.kernel.rules.longtermKeepsIsolated) return 0;
  yield* gupPutFolio(ctx, pfn, FOLL_PIN);
  // somebody else has it off the LRU just now: only pin again
  if (!isolated) return -EAGAIN;
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.longterm_migrate;
  const left = yield* ctx.kernel.migratePages(ctx, [head], NUMA_NO_NODE, MIGRATE_SYNC);
  ctx.task.mechanism = outer;
  return left > 0 ? -ENOMEM : -EAGAIN;
}

/**
 * The drain of collect_longterm_unpinnable_folios(), which gets the page out of LRU batches, for they hold references too. It waits for every
 * CPU, and the pin that was just taken is held meanwhile: whoever else wants to migrate the page finds a reference too many.
 */
function* drainIfNeeded(ctx: Context, head: number, onLru: boolean): Coroutine<void> {
  if (ctx.kernel.rules.longtermDrain === 'v5.13') {
    if (!onLru) yield* drainAll(ctx);
    return;
  }
  // folio_may_be_lru_cached()
  if (folioTestLarge(ctx, head) || !(yield* hasMoreReferences(ctx, head))) return;
  yield* lruAddDrain(ctx);
  if (yield* hasMoreReferences(ctx, head)) yield* drainAll(ctx);
}

function* drainAll(ctx: Context): Coroutine<void> {
  mightSleep(ctx, 'lru_add_drain_all');
  if (--ctx.quantum < 0) yield LOCAL;
  yield* lruAddDrainAll(ctx);
}

/** folio_ref_count() != folio_expected_ref_count() + pin_refs, of a small folio: its mappings, its cache, our pin. */
function* hasMoreReferences(ctx: Context, head: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
  const refs = folioRefs(ctx, head);
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  const maps = folioMaps(ctx, head);
  // a page of memory stays one while somebody pins it
  const anon = mappingIsAnon(glance(ctx.words, pageWord(ctx.m, head, PAGE_MAPPING)));
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const cached = !anon || (readOnce(ctx.words, flagsWord(ctx, head)) & PG_SWAPCACHE) !== 0;
  return refs !== maps + (cached ? 1 : 0) + GUP_PIN_COUNTING_BIAS;
}

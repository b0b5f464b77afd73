/**
 * Taking and giving back what GUP holds: try_grab_folio, gup_put_folio and unpin_user_pages_dirty_lock (mm/gup.c,
 * v6.18; kernel-model 3.10.1 f and 3.10.4). A pin of a small folio is 1024 references, a pin of a large one a reference
 * and a _pincount. The zero page has neither.
 */
import { ENOMEM, FOLL_GET, FOLL_PIN, GUP_PIN_COUNTING_BIAS, PG_DIRTY } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_PIN, REF_TEMP } from '../../machine/context.js';
import { acquires, reads, releases, updates } from '../../machine/effects.js';
import { PAGE_PINCOUNT, pageWord } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { folioLock, folioLockWord, folioUnlock } from '../../locks/exclusive.js';
import { fetchAdd, look } from '#words';
import {
  flagsWord,
  folioOf,
  folioRefs,
  folioTestLarge,
  isZeroPfn,
  refAdd,
  refSubAndTest,
  refsWord,
  setFlag,
  testFlag,
} from '../folio.js';
import { freeFolio } from '../page-alloc.js';

/**
 * try_grab_folio() of the folio with head `head`: one reference (FOLL_GET) or one pin (FOLL_PIN). The caller holds the
 * lock of an entry that maps it. With neither flag nothing is taken.
 * @returns 0, or -ENOMEM when the count is not positive (overflow, or a page that is being freed)
 */
export function* tryGrabFolio(ctx: Context, head: number, flags: number): Coroutine {
  if (isZeroPfn(head) || (flags & (FOLL_GET | FOLL_PIN)) === 0) return 0;
  const refs = refsWord(ctx, head);
  if (--ctx.quantum < 0) yield updates(refs);
  if (folioRefs(ctx, head) <= 0) return -ENOMEM;
  if ((flags & FOLL_PIN) === 0) {
    refAdd(ctx, head, 1, REF_TEMP);
  } else if (folioTestLarge(ctx, head)) {
    refAdd(ctx, head, 1, REF_PIN);
    const pins = pageWord(ctx.m, head, PAGE_PINCOUNT);
    if (--ctx.quantum < 0) yield updates(pins);
    fetchAdd(ctx.words, pins, 1);
  } else {
    refAdd(ctx, head, GUP_PIN_COUNTING_BIAS, REF_PIN);
  }
  return 0;
}

/** gup_put_folio(): gives back what FOLL_GET or FOLL_PIN of `pfn` took. */
export function* gupPutFolio(ctx: Context, pfn: number, flags: number): Coroutine<void> {
  if (isZeroPfn(pfn)) return;
  const head = folioOf(ctx, pfn);
  const pinned = (flags & FOLL_PIN) !== 0;
  let refs = 1;
  if (pinned && folioTestLarge(ctx, head)) {
    const pins = pageWord(ctx.m, head, PAGE_PINCOUNT);
    if (--ctx.quantum < 0) yield updates(pins);
    fetchAdd(ctx.words, pins, -1);
  } else if (pinned) {
    refs = GUP_PIN_COUNTING_BIAS;
  }
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  const last = refSubAndTest(ctx, head, refs, pinned ? REF_PIN : REF_TEMP);
  if (pinned) emit(ctx, EVENT.page_unpin, pfn, look(ctx.words, refsWord(ctx, head)));
  if (last) yield* freeFolio(ctx, head);
}

/**
 * unpin_user_page(), or with `makeDirty` unpin_user_pages_dirty_lock() of one page. Never touches page tables.
 * @param pfn what the pin call returned
 */
export function* unpinUserPage(ctx: Context, pfn: number, makeDirty: boolean): Coroutine<void> {
  countStat(ctx.m, ctx.actor, STAT.unpins, 1);
  if (isZeroPfn(pfn)) return;
  ctx.probe.onUnpin(ctx, pfn);
  const head = folioOf(ctx, pfn);
  if (makeDirty) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    if (!testFlag(ctx, head, PG_DIRTY)) {
      const lock = folioLockWord(ctx, head);
      if (--ctx.quantum < 0) yield acquires(lock);
      while (!folioLock(ctx, head)) yield contended(ctx, lock);
      if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
      setFlag(ctx, head, PG_DIRTY);
      if (--ctx.quantum < 0) yield releases(lock);
      folioUnlock(ctx, head);
    }
  }
  yield* gupPutFolio(ctx, pfn, FOLL_PIN);
}

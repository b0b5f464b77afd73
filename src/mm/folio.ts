/**
 * struct folio: references, mapcounts, flags and pin predicates (include/linux/page_ref.h, mm.h, page-flags.h, v6.18).
 *
 * Plain functions here perform exactly one marked access; the caller stands a schedule point before each. Compound state
 * (`folioOf`, `folioOrder`) is read plainly: it cannot change under a caller that holds a reference or the PTL of a table
 * that maps the page. GUP-fast, which holds neither, uses the marked form in gup.ts.
 */
import {
  COMPOUND_HEAD,
  COMPOUND_TAIL,
  GUP_PIN_COUNTING_BIAS,
  MAPPING_ANON,
  MAPPING_KSM,
  PG_ANON_EXCLUSIVE,
} from '../machine/abi.js';
import { type Context, type Coroutine } from '../machine/context.js';
import { setBeside } from '../machine/words/extra-accesses.js';
import { updates } from '../machine/effects.js';
import {
  PAGE_COMPOUND,
  PAGE_FLAGS,
  PAGE_INDEX,
  PAGE_LARGE_MAPS,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  pageWord,
} from '../machine/layout.js';
import { cmpxchg, fetchAdd, fetchAnd, fetchOr, get, readOnce, set } from '#words';
import { freeFolio } from './page-alloc.js';

/** The zero page. It has no refs, maps or pins; huge PMDs with this pfn map the huge zero page. */
export const ZERO_PFN = 0;
export const isZeroPfn = (pfn: number): boolean => pfn === ZERO_PFN;

/** page_folio(): the head of the folio that `pfn` belongs to. Plain: see above. */
export function folioOf(ctx: Context, pfn: number): number {
  const compound = get(ctx.words, pageWord(ctx.m, pfn, PAGE_COMPOUND));
  return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
}

/** folio_order() of the folio with head `head`. */
export function folioOrder(ctx: Context, head: number): number {
  const compound = get(ctx.words, pageWord(ctx.m, head, PAGE_COMPOUND));
  return (compound & COMPOUND_HEAD) !== 0 ? ctx.m.thpOrder : 0;
}

/** folio_test_large(). */
export const folioTestLarge = (ctx: Context, head: number): boolean =>
  (get(ctx.words, pageWord(ctx.m, head, PAGE_COMPOUND)) & COMPOUND_HEAD) !== 0;
/** folio_nr_pages(). */
export const folioPages = (ctx: Context, head: number): number => (folioTestLarge(ctx, head) ? ctx.m.thpPages : 1);

/** The word of _refcount, for effects. */
export const refsWord = (ctx: Context, head: number): number => pageWord(ctx.m, head, PAGE_REFS);
/** The word of the flags of `pfn`, for effects. */
export const flagsWord = (ctx: Context, pfn: number): number => pageWord(ctx.m, pfn, PAGE_FLAGS);
/** The word of folio_mapcount(): the (small) page's maps, or the large folio's sum. */
export const mapsWord = (ctx: Context, head: number): number =>
  pageWord(ctx.m, head, folioTestLarge(ctx, head) ? PAGE_LARGE_MAPS : PAGE_MAPS);
/** The word that folio_maybe_dma_pinned reads. */
export const pinsWord = (ctx: Context, head: number): number =>
  pageWord(ctx.m, head, folioTestLarge(ctx, head) ? PAGE_PINCOUNT : PAGE_REFS);

/** folio_ref_count(). */
export const folioRefs = (ctx: Context, head: number): number => readOnce(ctx.words, refsWord(ctx, head));
/** folio_mapcount(). */
export const folioMaps = (ctx: Context, head: number): number => readOnce(ctx.words, mapsWord(ctx, head));

/** folio_ref_add(): only for a holder of a reference. */
export function refAdd(ctx: Context, head: number, delta: number, holder: number): void {
  // VM_BUG_ON_FOLIO(folio_ref_zero_or_close_to_overflow) of folio_get()
  if (fetchAdd(ctx.words, refsWord(ctx, head), delta) === 0)
    ctx.probe.onWarn(ctx, 'I-REF', 'reference taken from count 0', head);
  ctx.probe.onRef(ctx, head, delta, holder);
}

/** folio_try_get() and friends: adds unless the count is 0 (free or frozen). */
export function refAddUnlessZero(ctx: Context, head: number, delta: number, holder: number): boolean {
  const at = refsWord(ctx, head);
  for (;;) {
    const refs = readOnce(ctx.words, at);
    if (refs === 0) return false;
    if (cmpxchg(ctx.words, at, refs, refs + delta) === refs) break;
  }
  ctx.probe.onRef(ctx, head, delta, holder);
  return true;
}

/** folio_ref_sub_and_test(): true when the last reference is gone; the caller then frees the folio. */
export function refSubAndTest(ctx: Context, head: number, delta: number, holder: number): boolean {
  const before = fetchAdd(ctx.words, refsWord(ctx, head), -delta);
  ctx.probe.onRef(ctx, head, -delta, holder);
  if (before < delta) ctx.probe.onWarn(ctx, 'I-REF', 'refcount went below zero', head);
  return before === delta;
}

/** folio_put() of one reference held as `holder`: drops it, and frees the folio if it was the last. */
export function* folioPut(ctx: Context, head: number, holder: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  if (refSubAndTest(ctx, head, 1, holder)) yield* freeFolio(ctx, head);
}

/** folio_ref_freeze(): expected -> 0. False when somebody else holds a reference: the race-free pin detector. */
export function refFreeze(ctx: Context, head: number, expected: number): boolean {
  if (cmpxchg(ctx.words, refsWord(ctx, head), expected, 0) !== expected) return false;
  ctx.probe.onFreeze(ctx, head, expected);
  return true;
}

/** folio_ref_unfreeze(). */
export function refUnfreeze(ctx: Context, head: number, count: number): void {
  fetchAdd(ctx.words, refsWord(ctx, head), count);
  ctx.probe.onFreeze(ctx, head, -count);
}

/** folio_maybe_dma_pinned(): large -> _pincount > 0, small -> refs >= 1024 (false positives possible, false negatives not). */
export function folioMaybeDmaPinned(ctx: Context, head: number): boolean {
  const value = readOnce(ctx.words, pinsWord(ctx, head));
  return folioTestLarge(ctx, head) ? value > 0 : value >>> 0 >= GUP_PIN_COUNTING_BIAS;
}

/** Tests a PG_* flag of `pfn`: a marked read. */
export const testFlag = (ctx: Context, pfn: number, flag: number): boolean =>
  (readOnce(ctx.words, flagsWord(ctx, pfn)) & flag) !== 0;
/** Sets PG_* flags; returns the flags before. */
export const setFlag = (ctx: Context, pfn: number, flag: number): number =>
  fetchOr(ctx.words, flagsWord(ctx, pfn), flag);
/** Clears PG_* flags; returns the flags before. */
export const clearFlag = (ctx: Context, pfn: number, flag: number): number =>
  fetchAnd(ctx.words, flagsWord(ctx, pfn), ~flag);

/** PageAnonExclusive of the subpage. */
export const pageAnonExclusive = (ctx: Context, pfn: number): boolean => testFlag(ctx, pfn, PG_ANON_EXCLUSIVE);

/** folio->mapping, a marked read: anon_vma << 2 | 1, stable node << 2 | 3, or 0. */
export const folioMapping = (ctx: Context, head: number): number =>
  readOnce(ctx.words, pageWord(ctx.m, head, PAGE_MAPPING));
/** folio_test_anon(), KSM included. */
export const mappingIsAnon = (mapping: number): boolean => (mapping & MAPPING_ANON) !== 0;
/** folio_test_ksm(). */
export const mappingIsKsm = (mapping: number): boolean => (mapping & 3) === MAPPING_KSM;
/** The anon_vma or the stable node that a mapping names. */
export const mappingId = (mapping: number): number => mapping >>> 2;
/** folio->index: the vpn of the folio's first page. Written before the folio is mapped, constant then. */
export const folioIndex = (ctx: Context, head: number): number => get(ctx.words, pageWord(ctx.m, head, PAGE_INDEX));

/**
 * Writes folio->mapping and ->index of a folio that nobody maps yet; but who comes by what its frame was before, without a reference
 * (ksm_get_folio()) or with one of a moment (GUP-fast), can see this one: WRITE_ONCE in __folio_set_anon().
 */
export function initAnonMapping(ctx: Context, head: number, anonVma: number, vpn: number): void {
  setBeside(ctx.words, pageWord(ctx.m, head, PAGE_MAPPING), (anonVma << 2) | MAPPING_ANON);
  set(ctx.words, pageWord(ctx.m, head, PAGE_INDEX), vpn);
}

/** page_to_nid(). */
export const pageNode = (ctx: Context, pfn: number): number => (pfn / ctx.m.framesPerNode) | 0;

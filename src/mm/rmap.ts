/**
 * Reverse mapping (mm/rmap.c, mm/ksm.c rmap_walk_ksm, v6.18): from a folio to every place that maps it, by its anon_vma or,
 * for a KSM page, by its stable node's rmap_items; and the mapcounts with it.
 *
 * A walk is a cursor, so that no closure is made:
 *
 *     const mapping = folioMapping(ctx, head);
 *     let cursor = yield* rmapWalkStart(ctx, mapping);
 *     while ((cursor = yield* rmapWalkNext(ctx, mapping, cursor, index, pages)) !== 0) { ctx.rmapVma, ctx.rmapVpn ... }
 *     yield* rmapWalkEnd(ctx, mapping);
 *
 * Anonymous folios: the anon_vma is read-locked from start to end. KSM: the folio lock keeps the node's list, and each
 * item's anon_vma is locked while the cursor stands on it.
 */
import { PG_ANON_EXCLUSIVE, PG_SWAPBACKED } from '../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import {
  ANON_VMA_HEAD,
  AVC_NEXT,
  AVC_VMA,
  KSM_ITEM_ANON_VMA,
  KSM_ITEM_NEXT,
  KSM_NODE_HLIST,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_LARGE_MAPS,
  PAGE_MAPS,
  VMA_END,
  VMA_MM,
  VMA_START,
  anonVmaWord,
  avcWord,
  ksmItemWord,
  ksmNodeWord,
  pageWord,
  vmaWord,
} from '../machine/layout.js';
import { fetchAdd, get, set } from '#words';
import { anonVmaLockRead, anonVmaUnlockRead } from './anon-vma.js';
import { folioTestLarge, initAnonMapping, mappingId, mappingIsKsm } from './folio.js';

/** Cursor values: 0 = no more; START = before the first; anonymous: avc + 1; KSM: item + 1. */
const START = -1;
/** The cursor to start with when the caller holds the anon_vma's rwsem already (RMP_LOCKED, TTU_RMAP_LOCKED). */
export const RMAP_WALK_LOCKED = START;

/** Begins a walk over the mappings of a folio with this (stable) mapping word. */
export function* rmapWalkStart(ctx: Context, mapping: number): Coroutine {
  if (!mappingIsKsm(mapping)) yield* anonVmaLockRead(ctx, mappingId(mapping));
  return START;
}

/** Moves to the next VMA that covers a page of [index, index + pages); sets ctx.rmapVma and ctx.rmapVpn. */
export function* rmapWalkNext(ctx: Context, mapping: number, cursor: number, index: number, pages: number): Coroutine {
  const { m, words } = ctx;
  if (mappingIsKsm(mapping)) {
    if (cursor !== START) yield* anonVmaUnlockRead(ctx, get(words, ksmItemWord(m, cursor - 1, KSM_ITEM_ANON_VMA)));
    let item =
      cursor === START
        ? get(words, ksmNodeWord(m, mappingId(mapping), KSM_NODE_HLIST))
        : get(words, ksmItemWord(m, cursor - 1, KSM_ITEM_NEXT));
    for (; item !== 0; item = get(words, ksmItemWord(m, item - 1, KSM_ITEM_NEXT))) {
      const anonVma = get(words, ksmItemWord(m, item - 1, KSM_ITEM_ANON_VMA));
      const mm = ((item - 1) / m.mmPages) | 0;
      const vpn = (item - 1) % m.mmPages;
      yield* anonVmaLockRead(ctx, anonVma);
      let avc = get(words, anonVmaWord(m, anonVma, ANON_VMA_HEAD));
      while (avc !== 0 && !covers(ctx, get(words, avcWord(m, avc - 1, AVC_VMA)), mm, vpn, 1)) {
        avc = get(words, avcWord(m, avc - 1, AVC_NEXT));
      }
      if (avc !== 0) {
        ctx.rmapVma = get(words, avcWord(m, avc - 1, AVC_VMA));
        ctx.rmapVpn = vpn;
        return item;
      }
      yield* anonVmaUnlockRead(ctx, anonVma);
    }
    return 0;
  }
  let avc =
    cursor === START
      ? get(words, anonVmaWord(m, mappingId(mapping), ANON_VMA_HEAD))
      : get(words, avcWord(m, cursor - 1, AVC_NEXT));
  for (; avc !== 0; avc = get(words, avcWord(m, avc - 1, AVC_NEXT))) {
    const vma = get(words, avcWord(m, avc - 1, AVC_VMA));
    if (!covers(ctx, vma, -1, index, pages)) continue;
    ctx.rmapVma = vma;
    ctx.rmapVpn = Math.max(index, get(words, vmaWord(m, vma, VMA_START)));
    return avc;
  }
  return 0;
}

/** Ends a walk. With `cursor` not 0 it ends early, on the mapping where the cursor stands. */
export function* rmapWalkEnd(ctx: Context, mapping: number, cursor: number): Coroutine<void> {
  if (!mappingIsKsm(mapping)) yield* anonVmaUnlockRead(ctx, mappingId(mapping));
  else if (cursor > 0) yield* anonVmaUnlockRead(ctx, get(ctx.words, ksmItemWord(ctx.m, cursor - 1, KSM_ITEM_ANON_VMA)));
}

function covers(ctx: Context, vma: number, mm: number, index: number, pages: number): boolean {
  const { m, words } = ctx;
  if (mm >= 0 && get(words, vmaWord(m, vma, VMA_MM)) !== mm) return false;
  return get(words, vmaWord(m, vma, VMA_START)) < index + pages && index < get(words, vmaWord(m, vma, VMA_END));
}

/**
 * folio_add_new_anon_rmap(RMAP_EXCLUSIVE) of a folio that nobody sees yet: mapping, index, maps, exclusive, swapbacked;
 * its allocation reference becomes the mapping's. Plain stores.
 */
export function folioAddNewAnonRmap(ctx: Context, head: number, anonVma: number, mm: number, vpn: number): void {
  const { m, words } = ctx;
  initAnonMapping(ctx, head, anonVma, vpn);
  const flags = pageWord(m, head, PAGE_FLAGS);
  set(words, flags, get(words, flags) | PG_ANON_EXCLUSIVE | PG_SWAPBACKED);
  if (folioTestLarge(ctx, head)) {
    set(words, pageWord(m, head, PAGE_ENTIRE_MAPS), 1);
    set(words, pageWord(m, head, PAGE_LARGE_MAPS), 1);
  } else {
    set(words, pageWord(m, head, PAGE_MAPS), 1);
  }
  ctx.probe.onRef(ctx, head, -1, REF_ALLOC);
  ctx.probe.onRef(ctx, head, 1, REF_MAP);
  ctx.probe.onMap(ctx, mm, vpn, head, 1);
}

/** folio_add_anon_rmap_pte() / folio_remove_rmap_pte(): maps of subpage `pfn` by one PTE. Under its PTL. */
export function* folioChangeRmapPte(
  ctx: Context,
  head: number,
  pfn: number,
  mm: number,
  vpn: number,
  delta: number,
): Coroutine<void> {
  const { m, words } = ctx;
  const maps = pageWord(m, pfn, PAGE_MAPS);
  if (folioTestLarge(ctx, head)) {
    const sum = pageWord(m, head, PAGE_LARGE_MAPS);
    if (--ctx.quantum < 0) yield updates(sum);
    fetchAdd(words, sum, delta);
  }
  if (--ctx.quantum < 0) yield updates(maps);
  fetchAdd(words, maps, delta);
  ctx.probe.onMap(ctx, mm, vpn, pfn, delta);
}

/** folio_add_anon_rmap_pmd() / folio_remove_rmap_pmd(): a PMD map of a THP. Under its PMD lock. */
export function* folioChangeRmapPmd(
  ctx: Context,
  head: number,
  mm: number,
  vpn: number,
  delta: number,
): Coroutine<void> {
  const { m, words } = ctx;
  const sum = pageWord(m, head, PAGE_LARGE_MAPS);
  if (--ctx.quantum < 0) yield updates(sum);
  fetchAdd(words, sum, delta);
  const entire = pageWord(m, head, PAGE_ENTIRE_MAPS);
  if (--ctx.quantum < 0) yield updates(entire);
  fetchAdd(words, entire, delta);
  ctx.probe.onMap(ctx, mm, vpn, head, delta);
}

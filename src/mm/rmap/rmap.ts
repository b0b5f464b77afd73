/**
 * Reverse mapping (mm/rmap.c, mm/ksm.c rmap_walk_ksm, v6.18): from a folio to every place that maps it, by its anon_vma, for a
 * KSM page by its stable node's rmap_items, for shared memory by its object's VMAs; and the mapcounts with it.
 *
 * A walk is a cursor, so that no closure is made:
 *
 *     const mapping = folioMapping(ctx, head);
 *     let cursor = yield* rmapWalkStart(ctx, mapping);
 *     while ((cursor = yield* rmapWalkNext(ctx, mapping, cursor, index, pages)) !== 0) { ctx.out.rmapVma, ctx.out.rmapVpn ... }
 *     yield* rmapWalkEnd(ctx, mapping);
 *
 * Anonymous folios: the anon_vma is read-locked from start to end. KSM: the folio lock keeps the node's list, and each
 * item's anon_vma is locked while the cursor stands on it.
 */
import { setBeside } from '../../machine/words/extra-accesses.js';
import { PG_ANON_EXCLUSIVE, PG_SWAPBACKED } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP } from '../../machine/context.js';
import { updates, reads } from '../../machine/effects.js';
import {
  ANON_VMA_HEAD,
  AVC_NEXT,
  AVC_VMA,
  KSM_ITEM_ANON_ROOT,
  KSM_ITEM_ANON_VMA,
  KSM_ITEM_NEXT,
  KSM_NODE_HLIST,
  OBJECT_I_MMAP,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_LARGE_MAPS,
  PAGE_MAPS,
  VMA_END,
  VMA_I_MMAP_NEXT,
  VMA_MM,
  VMA_PGOFF,
  VMA_START,
  anonVmaWord,
  avcWord,
  ksmItemWord,
  ksmNodeWord,
  objectWord,
  pageWord,
  vmaWord,
} from '../../machine/layout.js';
import { fetchAdd, get, set } from '#words';
import { anonVmaIsGuarded, anonVmaLockRead, anonVmaUnlockRead } from './anon-vma.js';
import { iMmapLockRead, iMmapUnlockRead, mappingIsFile, objectOfMapping } from '../filemap.js';
import {
  folioTestLarge,
  initAnonMapping,
  mappingId,
  mappingIsKsm,
  clearFlag,
  flagsWord,
  folioMaybeDmaPinned,
  pinsWord,
} from '../folio.js';

/**
 * Cursor values: 0 = no more; START = before the first; anonymous: avc + 1; shared memory: VMA + 1; KSM: item + 1 + TURN times the VMAs that were
 * visited through that item's anon_vma: its own process's, then those that were forked from it (search_new_forks).
 */
const START = -1;
const TURN = 2 ** 26;
/** The cursor to start with when the caller holds the anon_vma's rwsem already (RMP_LOCKED, TTU_RMAP_LOCKED). */
export const RMAP_WALK_LOCKED = START;

/** Begins a walk over the mappings of a folio with this (stable) mapping word. */
export function* rmapWalkStart(ctx: Context, mapping: number): Coroutine {
  if (mappingIsFile(mapping)) yield* iMmapLockRead(ctx, objectOfMapping(mapping));
  else if (!mappingIsKsm(mapping)) yield* anonVmaLockRead(ctx, mappingId(mapping));
  return START;
}

/** Moves to the next VMA that covers a page of [index, index + pages); sets ctx.out.rmapVma and ctx.out.rmapVpn. */
export function* rmapWalkNext(ctx: Context, mapping: number, cursor: number, index: number, pages: number): Coroutine {
  const { m, words } = ctx;
  if (mappingIsKsm(mapping)) return yield* ksmWalkNext(ctx, mappingId(mapping), cursor);
  if (mappingIsFile(mapping)) return fileWalkNext(ctx, objectOfMapping(mapping), cursor, index, pages);
  let avc =
    cursor === START
      ? get(words, anonVmaWord(m, mappingId(mapping), ANON_VMA_HEAD))
      : get(words, avcWord(m, cursor - 1, AVC_NEXT));
  for (; avc !== 0; avc = get(words, avcWord(m, avc - 1, AVC_NEXT))) {
    const vma = get(words, avcWord(m, avc - 1, AVC_VMA));
    if (!covers(ctx, vma, index, pages)) continue;
    ctx.out.rmapVma = vma;
    ctx.out.rmapVpn = Math.max(index, get(words, vmaWord(m, vma, VMA_START)));
    return avc;
  }
  return 0;
}

/** rmap_walk_file(): the next VMA that maps a page of [index, index + pages) of the object. i_mmap_rwsem is held. */
function fileWalkNext(ctx: Context, object: number, cursor: number, index: number, pages: number): number {
  const { m, words } = ctx;
  const first = cursor === START ? objectWord(m, object, OBJECT_I_MMAP) : vmaWord(m, cursor - 1, VMA_I_MMAP_NEXT);
  for (let next = get(words, first); next !== 0; next = get(words, vmaWord(m, next - 1, VMA_I_MMAP_NEXT))) {
    const start = get(words, vmaWord(m, next - 1, VMA_START));
    const pgoff = get(words, vmaWord(m, next - 1, VMA_PGOFF));
    if (!covers(ctx, next - 1, start + index - pgoff, pages)) continue;
    ctx.out.rmapVma = next - 1;
    ctx.out.rmapVpn = Math.max(start, start + index - pgoff);
    return next;
  }
  return 0;
}

/** rmap_walk_ksm(): the next VMA by the rmap_items of a stable node; the item's anon_vma is locked while the cursor is on it. */
function* ksmWalkNext(ctx: Context, node: number, cursor: number): Coroutine {
  const { m, words } = ctx;
  let item = cursor === START ? get(words, ksmNodeWord(m, node, KSM_NODE_HLIST)) : cursor % TURN;
  let turn = 0;
  if (cursor !== START) {
    turn = (cursor - item) / TURN + 1;
    if (standsOn(ctx, item, turn)) return item + turn * TURN;
    yield* anonVmaUnlockRead(ctx, get(words, ksmItemWord(m, item - 1, KSM_ITEM_ANON_ROOT)));
    item = get(words, ksmItemWord(m, item - 1, KSM_ITEM_NEXT));
  }
  for (; item !== 0; item = get(words, ksmItemWord(m, item - 1, KSM_ITEM_NEXT))) {
    const root = get(words, ksmItemWord(m, item - 1, KSM_ITEM_ANON_ROOT));
    yield* anonVmaLockRead(ctx, root);
    if (standsOn(ctx, item, 0)) return item;
    yield* anonVmaUnlockRead(ctx, root);
  }
  return 0;
}

/** Sets the cursor's place to the VMA number `turn` of an rmap_item, if it has so many. The item's anon_vma is locked. */
function standsOn(ctx: Context, item: number, turn: number): boolean {
  const { m, words } = ctx;
  const anonVma = get(words, ksmItemWord(m, item - 1, KSM_ITEM_ANON_VMA));
  if (!anonVmaIsGuarded(ctx, anonVma, get(words, ksmItemWord(m, item - 1, KSM_ITEM_ANON_ROOT)))) return false;
  const mm = ((item - 1) / m.mmPages) | 0;
  const vpn = (item - 1) % m.mmPages;
  let left = turn;
  for (const own of OWN_THEN_FORKED) {
    for (let avc = get(words, anonVmaWord(m, anonVma, ANON_VMA_HEAD)); avc !== 0;) {
      const vma = get(words, avcWord(m, avc - 1, AVC_VMA));
      avc = get(words, avcWord(m, avc - 1, AVC_NEXT));
      if ((get(words, vmaWord(m, vma, VMA_MM)) === mm) !== own || !covers(ctx, vma, vpn, 1) || left-- > 0) continue;
      ctx.out.rmapVma = vma;
      ctx.out.rmapVpn = vpn;
      return true;
    }
  }
  return false;
}
const OWN_THEN_FORKED = [true, false] as const;

/** Ends a walk. With `cursor` not 0 it ends early, on the mapping where the cursor stands. */
export function* rmapWalkEnd(ctx: Context, mapping: number, cursor: number): Coroutine<void> {
  if (mappingIsFile(mapping)) yield* iMmapUnlockRead(ctx, objectOfMapping(mapping));
  else if (!mappingIsKsm(mapping)) yield* anonVmaUnlockRead(ctx, mappingId(mapping));
  else if (cursor > 0)
    yield* anonVmaUnlockRead(ctx, get(ctx.words, ksmItemWord(ctx.m, (cursor % TURN) - 1, KSM_ITEM_ANON_ROOT)));
}

function covers(ctx: Context, vma: number, index: number, pages: number): boolean {
  const { m, words } = ctx;
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
  setBeside(words, flags, get(words, flags) | PG_ANON_EXCLUSIVE | PG_SWAPBACKED);
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

/**
 * folio_try_share_anon_rmap_pte() / _pmd(): after the entry was cleared, gives up the exclusive bit of `pfn` unless the
 * folio is pinned. Either GUP-fast sees the cleared entry, or this sees its pin. Under the lock of the entry.
 */
export function* folioTryShareAnonRmap(ctx: Context, head: number, pfn: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
  if (folioMaybeDmaPinned(ctx, head)) return false;
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
  clearFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
  return true;
}

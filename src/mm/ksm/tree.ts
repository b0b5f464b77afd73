/**
 * KSM's two trees (mm/ksm.c, v6.18; kernel-model 3.16). The kernel orders pages by content in red-black trees; here each tree
 * is a hash by content word, which finds the same pages. The stable tree's nodes hold a pfn but no reference (the keyhole:
 * a node is valid only while folio->mapping points back to it); the unstable tree is rebuilt each full scan.
 * All of it is under ksm_thread_mutex; a node's list also under its folio's lock.
 */
import { MAPPING_KSM } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_TEMP } from '../../machine/context.js';
import { RETRY, acquires, reads, releases, tries, updates } from '../../machine/effects.js';
import {
  KSM_ITEM_ANON_VMA,
  KSM_ITEM_NEXT,
  KSM_ITEM_NODE,
  KSM_ITEM_STATE,
  KSM_ITEM_UNSTABLE_CONTENT,
  KSM_ITEM_UNSTABLE_NEXT,
  KSM_NODE_CONTENT,
  KSM_NODE_COUNT,
  KSM_NODE_HLIST,
  KSM_NODE_KPFN,
  KSM_NODE_NEXT,
  KSM_NODE_POOL_HEAD,
  KSM_NODE_STATE,
  KSM_PAGES_SHARED,
  KSM_PAGES_SHARING,
  KSM_SCAN_SEQNR,
  type Machine,
  PAGE_MAPPING,
  globalWord,
  ksmItemWord,
  ksmNodeWord,
  pageWord,
} from '../../machine/layout.js';
import { contended } from '../../machine/wait.js';
import { folioLock, folioLockWord, folioTrylock, folioUnlock } from '../../locks/exclusive.js';
import { get, readOnce, set, writeOnce } from '#words';
import { folioMapping, folioPut, refAddUnlessZero, refsWord } from '../folio.js';

const ITEM_NONE = 0;
export const ITEM_UNSTABLE = 1;
export const ITEM_STABLE = 2;

/** ksm_max_page_sharing: items per stable node; further pages of that content get a node of their own. */
const KSM_MAX_PAGE_SHARING = 256;

/** get_ksm_page() flags. */
const KSM_GET_FOLIO_NOLOCK = 0;
const KSM_GET_FOLIO_LOCK = 1;
const KSM_GET_FOLIO_TRYLOCK = 2;

const bucketOf = (m: Machine, content: number): number =>
  (Math.imul(content ^ (content >>> 15), 0x2c1b3c6d) >>> 8) & (m.ksmBuckets - 1);

const bump = (ctx: Context, which: number, by: number): void => {
  const at = globalWord(ctx.m, which);
  set(ctx.words, at, get(ctx.words, at) + by);
};

/**
 * ksm_get_folio(): the node's folio with a reference (and its lock), or -1 when the node is stale, which is then removed;
 * or -2 when TRYLOCK failed.
 */
function* ksmGetFolio(ctx: Context, node: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const expected = (node << 2) | MAPPING_KSM;
  const kpfnAt = ksmNodeWord(m, node, KSM_NODE_KPFN);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(kpfnAt);
    const kpfn = readOnce(words, kpfnAt);
    const mappingAt = pageWord(m, kpfn, PAGE_MAPPING);
    let got = false;
    ctx.task.loops++;
    for (ctx.retries = 0; ; ctx.retries++) {
      if (--ctx.quantum < 0) yield reads(mappingAt);
      if (readOnce(words, mappingAt) !== expected) break;
      // refs 0 with the mapping still ours: frozen by a migration that will rewrite kpfn, or about to be freed
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, kpfn));
      if (refAddUnlessZero(ctx, kpfn, 1, REF_TEMP)) {
        got = true;
        break;
      }
      yield RETRY;
    }
    if (got) {
      if (--ctx.quantum < 0) yield reads(mappingAt);
      if (folioMapping(ctx, kpfn) === expected) {
        if (flags === KSM_GET_FOLIO_NOLOCK) return kpfn;
        const lock = folioLockWord(ctx, kpfn);
        if (--ctx.quantum < 0) yield flags === KSM_GET_FOLIO_TRYLOCK ? tries(lock) : acquires(lock);
        if (flags === KSM_GET_FOLIO_TRYLOCK) {
          if (!folioTrylock(ctx, kpfn)) {
            yield* folioPut(ctx, kpfn, REF_TEMP);
            return -2;
          }
        } else {
          while (!folioLock(ctx, kpfn)) yield contended(ctx, lock);
        }
        if (--ctx.quantum < 0) yield reads(mappingAt);
        if (folioMapping(ctx, kpfn) === expected) return kpfn;
        if (--ctx.quantum < 0) yield releases(lock);
        folioUnlock(ctx, kpfn);
      }
      yield* folioPut(ctx, kpfn, REF_TEMP);
    }
    // stale, unless a migration has moved the node to another folio meanwhile
    if (--ctx.quantum < 0) yield reads(kpfnAt);
    if (readOnce(words, kpfnAt) === kpfn) break;
  }
  removeNodeFromStableTree(ctx, node);
  return -1;
}

/** remove_node_from_stable_tree(): its items are none again, and the node is free. */
function removeNodeFromStableTree(ctx: Context, node: number): void {
  const { m, words } = ctx;
  ctx.probe.onKsmNodeFreed(ctx, node);
  let item = get(words, ksmNodeWord(m, node, KSM_NODE_HLIST));
  if (item !== 0) bump(ctx, KSM_PAGES_SHARED, -1);
  let first = true;
  while (item !== 0) {
    const next = get(words, ksmItemWord(m, item - 1, KSM_ITEM_NEXT));
    if (!first) bump(ctx, KSM_PAGES_SHARING, -1);
    first = false;
    set(words, ksmItemWord(m, item - 1, KSM_ITEM_STATE), ITEM_NONE);
    item = next;
  }
  let at = m.ksmStableAt + bucketOf(m, get(words, ksmNodeWord(m, node, KSM_NODE_CONTENT)));
  while (get(words, at) !== node + 1 && get(words, at) !== 0) at = ksmNodeWord(m, get(words, at) - 1, KSM_NODE_NEXT);
  if (get(words, at) !== 0) set(words, at, get(words, ksmNodeWord(m, node, KSM_NODE_NEXT)));
  set(words, ksmNodeWord(m, node, KSM_NODE_STATE), 0);
  set(words, ksmNodeWord(m, node, KSM_NODE_NEXT), get(words, globalWord(m, KSM_NODE_POOL_HEAD)));
  set(words, globalWord(m, KSM_NODE_POOL_HEAD), node + 1);
}

/** stable_tree_search(): a KSM folio of this content that may take another sharer, with a reference; or -1. */
export function* stableTreeSearch(ctx: Context, content: number): Coroutine {
  const { m, words } = ctx;
  let next = get(words, m.ksmStableAt + bucketOf(m, content));
  while (next !== 0) {
    const node = next - 1;
    next = get(words, ksmNodeWord(m, node, KSM_NODE_NEXT));
    if (get(words, ksmNodeWord(m, node, KSM_NODE_CONTENT)) !== content) continue;
    if (get(words, ksmNodeWord(m, node, KSM_NODE_COUNT)) >= KSM_MAX_PAGE_SHARING) continue;
    const kfolio = yield* ksmGetFolio(ctx, node, KSM_GET_FOLIO_NOLOCK);
    if (kfolio > 0) return kfolio;
  }
  return -1;
}

/** stable_tree_insert(): a node for `kfolio` (locked, already KSM without a node). Returns it, or 0 (none left). */
export function* stableTreeInsert(ctx: Context, kfolio: number, content: number): Coroutine {
  const { m, words } = ctx;
  const pool = globalWord(m, KSM_NODE_POOL_HEAD);
  const node = get(words, pool) - 1;
  if (node < 0) return 0;
  set(words, pool, get(words, ksmNodeWord(m, node, KSM_NODE_NEXT)));
  set(words, ksmNodeWord(m, node, KSM_NODE_KPFN), kfolio);
  set(words, ksmNodeWord(m, node, KSM_NODE_HLIST), 0);
  set(words, ksmNodeWord(m, node, KSM_NODE_CONTENT), content);
  set(words, ksmNodeWord(m, node, KSM_NODE_COUNT), 0);
  set(words, ksmNodeWord(m, node, KSM_NODE_STATE), 1);
  const bucket = m.ksmStableAt + bucketOf(m, content);
  set(words, ksmNodeWord(m, node, KSM_NODE_NEXT), get(words, bucket));
  set(words, bucket, node + 1);
  // folio_set_stable_node(): the keyhole opens
  const mappingAt = pageWord(m, kfolio, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield updates(mappingAt);
  writeOnce(words, mappingAt, (node << 2) | MAPPING_KSM);
  return node;
}

/** stable_tree_append(): the item shares the node's folio from now on. The folio is locked. */
export function stableTreeAppend(ctx: Context, item: number, node: number): void {
  const { m, words } = ctx;
  const hlist = ksmNodeWord(m, node, KSM_NODE_HLIST);
  const first = get(words, hlist);
  set(words, ksmItemWord(m, item, KSM_ITEM_STATE), ITEM_STABLE);
  set(words, ksmItemWord(m, item, KSM_ITEM_NODE), node);
  set(words, ksmItemWord(m, item, KSM_ITEM_NEXT), first);
  set(words, hlist, item + 1);
  set(words, ksmNodeWord(m, node, KSM_NODE_COUNT), get(words, ksmNodeWord(m, node, KSM_NODE_COUNT)) + 1);
  bump(ctx, first === 0 ? KSM_PAGES_SHARED : KSM_PAGES_SHARING, 1);
}

/** unstable_tree_search_insert(): an item filed this scan under this content, or -1 after filing `item`. */
export function unstableTreeSearchInsert(ctx: Context, item: number, content: number): number {
  const { m, words } = ctx;
  const bucket = m.ksmUnstableAt + bucketOf(m, content);
  for (let next = get(words, bucket); next !== 0; next = get(words, ksmItemWord(m, next - 1, KSM_ITEM_UNSTABLE_NEXT))) {
    if (next - 1 !== item && get(words, ksmItemWord(m, next - 1, KSM_ITEM_UNSTABLE_CONTENT)) === content)
      return next - 1;
  }
  set(words, ksmItemWord(m, item, KSM_ITEM_STATE), ITEM_UNSTABLE);
  set(words, ksmItemWord(m, item, KSM_ITEM_NODE), get(words, globalWord(m, KSM_SCAN_SEQNR)));
  set(words, ksmItemWord(m, item, KSM_ITEM_UNSTABLE_CONTENT), content);
  set(words, ksmItemWord(m, item, KSM_ITEM_UNSTABLE_NEXT), get(words, bucket));
  set(words, bucket, item + 1);
  return -1;
}

/** remove_rmap_item_from_tree(): out of either tree. */
export function* removeRmapItemFromTree(ctx: Context, item: number): Coroutine<void> {
  const { m, words } = ctx;
  const state = get(words, ksmItemWord(m, item, KSM_ITEM_STATE));
  if (state === ITEM_UNSTABLE) {
    removeUnstable(ctx, item);
  } else if (state === ITEM_STABLE) {
    const node = get(words, ksmItemWord(m, item, KSM_ITEM_NODE));
    const kfolio = yield* ksmGetFolio(ctx, node, KSM_GET_FOLIO_LOCK);
    if (kfolio < 0) return;
    let at = ksmNodeWord(m, node, KSM_NODE_HLIST);
    while (get(words, at) !== item + 1) at = ksmItemWord(m, get(words, at) - 1, KSM_ITEM_NEXT);
    set(words, at, get(words, ksmItemWord(m, item, KSM_ITEM_NEXT)));
    set(words, ksmItemWord(m, item, KSM_ITEM_STATE), ITEM_NONE);
    set(words, ksmItemWord(m, item, KSM_ITEM_ANON_VMA), 0);
    set(words, ksmNodeWord(m, node, KSM_NODE_COUNT), get(words, ksmNodeWord(m, node, KSM_NODE_COUNT)) - 1);
    bump(ctx, get(words, ksmNodeWord(m, node, KSM_NODE_HLIST)) === 0 ? KSM_PAGES_SHARED : KSM_PAGES_SHARING, -1);
    const lock = folioLockWord(ctx, kfolio);
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, kfolio);
    yield* folioPut(ctx, kfolio, REF_TEMP);
  }
}

/** Out of the unstable tree: an item of an earlier scan is in a tree that is gone already. */
export function removeUnstable(ctx: Context, item: number): void {
  const { m, words } = ctx;
  set(words, ksmItemWord(m, item, KSM_ITEM_STATE), ITEM_NONE);
  if (get(words, ksmItemWord(m, item, KSM_ITEM_NODE)) !== get(words, globalWord(m, KSM_SCAN_SEQNR))) return;
  let at = m.ksmUnstableAt + bucketOf(m, get(words, ksmItemWord(m, item, KSM_ITEM_UNSTABLE_CONTENT)));
  while (get(words, at) !== item + 1) {
    if (get(words, at) === 0) return;
    at = ksmItemWord(m, get(words, at) - 1, KSM_ITEM_UNSTABLE_NEXT);
  }
  set(words, at, get(words, ksmItemWord(m, item, KSM_ITEM_UNSTABLE_NEXT)));
}

/**
 * The end of a full scan: the unstable tree is emptied, and stale stable nodes are dropped. The kernel drops them as its
 * walks pass them; a hash's walks pass fewer, so this passes all.
 */
export function* endFullScan(ctx: Context): Coroutine<void> {
  const { m, words } = ctx;
  for (let i = 0; i < m.ksmBuckets; i++) set(words, m.ksmUnstableAt + i, 0);
  const seqnr = globalWord(m, KSM_SCAN_SEQNR);
  set(words, seqnr, (get(words, seqnr) + 1) & 0x3fffffff);
  for (let i = 0; i < m.ksmBuckets; i++) {
    let next = get(words, m.ksmStableAt + i);
    while (next !== 0) {
      const node = next - 1;
      next = get(words, ksmNodeWord(m, node, KSM_NODE_NEXT));
      const kfolio = yield* ksmGetFolio(ctx, node, KSM_GET_FOLIO_NOLOCK);
      if (kfolio > 0) yield* folioPut(ctx, kfolio, REF_TEMP);
    }
  }
}

/**
 * anon_vma and its chains (mm/rmap.c, v6.18): which VMAs may map the pages of an anon_vma. VMAs that were split from one
 * another share their anon_vma. A forked VMA is in the lists of all anon_vmas of its parent, whose pages it shares, and
 * has one of its own for its new pages: one chain element each. All anon_vmas of a family share the lock of its root.
 *
 * Where the kernel reuses an anon_vma that has lost its VMAs for a new child, here each child has its own.
 */
import { ENOMEM } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { acquires, acquiresRead, reads, releases, releasesRead, updates } from '../../machine/effects.js';
import {
  ANON_VMA_HEAD,
  ANON_VMA_MM,
  ANON_VMA_POOL_HEAD,
  ANON_VMA_POOL_NEXT,
  ANON_VMA_REFS,
  ANON_VMA_ROOT,
  ANON_VMA_RWSEM,
  AVC_ANON_VMA,
  AVC_NEXT,
  AVC_POOL_HEAD,
  AVC_VMA,
  AVC_VMA_NEXT,
  GLOBAL_ANON_VMA_POOL_LOCK,
  VMA_ANON_VMA,
  VMA_AVC,
  VMA_MM,
  anonVmaWord,
  avcWord,
  globalLock,
  globalWord,
  vmaWord,
} from '../../machine/layout.js';
import { contended } from '../../machine/wait.js';
import { LOCK_ANON_VMA, LOCK_POOL } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { downRead, downWrite, upRead, upWrite } from '../../locks/rw.js';
import { cmpxchg, fetchAdd, get, peek, readOnce, set } from '#words';

/** Takes an anon_vma and a chain element out of the pools; returns anonVma << 16 | avc + 1, or 0. */
function* takePair(ctx: Context, wantAnonVma: boolean): Coroutine {
  const { m, words } = ctx;
  const lock = globalLock(m, GLOBAL_ANON_VMA_POOL_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_POOL)) yield contended(ctx, lock);
  const anonHead = globalWord(m, ANON_VMA_POOL_HEAD);
  const avcHead = globalWord(m, AVC_POOL_HEAD);
  const anonVma = wantAnonVma ? get(words, anonHead) - 1 : 0;
  const avc = get(words, avcHead) - 1;
  const got = avc >= 0 && anonVma >= 0;
  if (got) {
    if (wantAnonVma) set(words, anonHead, get(words, anonVmaWord(m, anonVma, ANON_VMA_POOL_NEXT)));
    set(words, avcHead, get(words, avcWord(m, avc, AVC_NEXT)));
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_POOL);
  return got ? (anonVma << 16) | (avc + 1) : 0;
}

function* giveBack(ctx: Context, anonVma: number, avc: number): Coroutine<void> {
  const { m, words } = ctx;
  const lock = globalLock(m, GLOBAL_ANON_VMA_POOL_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_POOL)) yield contended(ctx, lock);
  if (anonVma !== 0) {
    set(words, anonVmaWord(m, anonVma, ANON_VMA_POOL_NEXT), get(words, globalWord(m, ANON_VMA_POOL_HEAD)));
    set(words, globalWord(m, ANON_VMA_POOL_HEAD), anonVma + 1);
  }
  if (avc >= 0) {
    set(words, avcWord(m, avc, AVC_NEXT), get(words, globalWord(m, AVC_POOL_HEAD)));
    set(words, globalWord(m, AVC_POOL_HEAD), avc + 1);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_POOL);
}

/** anon_vma->root: as constant as the anon_vma's being in use, which the caller sees to. */
export const anonVmaRoot = (ctx: Context, anonVma: number): number =>
  peek(ctx.words, anonVmaWord(ctx.m, anonVma, ANON_VMA_ROOT));

/** The lock word of an anon_vma: its root's. */
export const anonVmaLockWord = (ctx: Context, anonVma: number): number =>
  anonVmaWord(ctx.m, anonVmaRoot(ctx, anonVma), ANON_VMA_RWSEM);

/** anon_vma_lock_read() / _write() and their releases, as coroutines. */
export function* anonVmaLockRead(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaLockWord(ctx, anonVma);
  if (--ctx.quantum < 0) yield acquiresRead(lock);
  while (!downRead(ctx, lock, LOCK_ANON_VMA)) yield contended(ctx, lock);
}
export function* anonVmaUnlockRead(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaLockWord(ctx, anonVma);
  if (--ctx.quantum < 0) yield releasesRead(lock);
  upRead(ctx, lock, LOCK_ANON_VMA);
}
export function* anonVmaLockWrite(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaLockWord(ctx, anonVma);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!downWrite(ctx, lock, LOCK_ANON_VMA)) yield contended(ctx, lock);
}
export function* anonVmaUnlockWrite(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaLockWord(ctx, anonVma);
  if (--ctx.quantum < 0) yield releases(lock);
  upWrite(ctx, lock, LOCK_ANON_VMA);
}

/** Changes the count of an anon_vma whose rwsem is held for writing; returns the new count. */
function addRefs(ctx: Context, anonVma: number, delta: number): number {
  const at = anonVmaWord(ctx.m, anonVma, ANON_VMA_REFS);
  const refs = get(ctx.words, at) + delta;
  set(ctx.words, at, refs);
  return refs;
}

/**
 * Whether the list of `anonVma` is one that the lock of `root`, held, guards: a KSM rmap_item names an anon_vma that may
 * have been freed since.
 */
export const anonVmaIsGuarded = (ctx: Context, anonVma: number, root: number): boolean =>
  peek(ctx.words, anonVmaWord(ctx.m, anonVma, ANON_VMA_REFS)) !== 0 && anonVmaRoot(ctx, anonVma) === root;

/**
 * Links `vma` into `anonVma`'s list, in front or at the end. The anon_vma's rwsem is held for writing. A child comes behind its
 * parent: a walk that restores migration entries must not have been at the child before fork copies one to it.
 */
function chainLink(ctx: Context, vma: number, anonVma: number, avc: number, atEnd: boolean): void {
  const { m, words } = ctx;
  let link = anonVmaWord(m, anonVma, ANON_VMA_HEAD);
  while (atEnd && get(words, link) !== 0) link = avcWord(m, get(words, link) - 1, AVC_NEXT);
  set(words, avcWord(m, avc, AVC_VMA), vma);
  set(words, avcWord(m, avc, AVC_ANON_VMA), anonVma);
  set(words, avcWord(m, avc, AVC_NEXT), get(words, link));
  set(words, link, avc + 1);
  set(words, avcWord(m, avc, AVC_VMA_NEXT), get(words, vmaWord(m, vma, VMA_AVC)));
  set(words, vmaWord(m, vma, VMA_AVC), avc + 1);
  addRefs(ctx, anonVma, 1);
}

/** An anon_vma that nobody sees yet, of the process of `vma`. `root` 0: its own. */
function initAnonVma(ctx: Context, anonVma: number, vma: number, root: number): void {
  const { m, words } = ctx;
  set(words, anonVmaWord(m, anonVma, ANON_VMA_HEAD), 0);
  set(words, anonVmaWord(m, anonVma, ANON_VMA_REFS), 0);
  set(words, anonVmaWord(m, anonVma, ANON_VMA_MM), get(words, vmaWord(m, vma, VMA_MM)));
  set(words, anonVmaWord(m, anonVma, ANON_VMA_ROOT), root === 0 ? anonVma : root);
}

/** anon_vma_prepare(): the VMA has an anon_vma afterwards. Returns 0 or -ENOMEM. */
export function* anonVmaPrepare(ctx: Context, vma: number): Coroutine {
  const { m, words } = ctx;
  const at = vmaWord(m, vma, VMA_ANON_VMA);
  if (--ctx.quantum < 0) yield reads(at);
  if (readOnce(words, at) !== 0) return 0;
  const pair = yield* takePair(ctx, true);
  if (pair === 0) return -ENOMEM;
  const anonVma = pair >>> 16;
  const avc = (pair & 0xffff) - 1;
  initAnonVma(ctx, anonVma, vma, 0);
  yield* anonVmaLockWrite(ctx, anonVma);
  // page_table_lock in the kernel: one of two faulting threads wins
  if (--ctx.quantum < 0) yield updates(at);
  const won = cmpxchg(words, at, 0, anonVma) === 0;
  if (won) chainLink(ctx, vma, anonVma, avc, false);
  yield* anonVmaUnlockWrite(ctx, anonVma);
  if (!won) yield* giveBack(ctx, anonVma, avc);
  return 0;
}

/**
 * anon_vma_clone(): `dst`, split or forked from `src`, joins every anon_vma that `src` is in. Under mmap_lock write.
 * @param atEnd a fork: behind the VMAs that are there already
 * @returns 0, or -ENOMEM with `dst` in none of them
 */
export function* anonVmaClone(ctx: Context, dst: number, src: number, atEnd = false): Coroutine {
  const { m, words } = ctx;
  const anonVma = get(words, vmaWord(m, src, VMA_ANON_VMA));
  if (anonVma === 0) return 0;
  for (let at = get(words, vmaWord(m, src, VMA_AVC)); at !== 0;) {
    const pair = yield* takePair(ctx, false);
    if (pair === 0) {
      yield* unlinkAnonVmas(ctx, dst);
      return -ENOMEM;
    }
    yield* anonVmaLockWrite(ctx, anonVma);
    chainLink(ctx, dst, get(words, avcWord(m, at - 1, AVC_ANON_VMA)), (pair & 0xffff) - 1, atEnd);
    set(words, vmaWord(m, dst, VMA_ANON_VMA), anonVma);
    at = get(words, avcWord(m, at - 1, AVC_VMA_NEXT));
    yield* anonVmaUnlockWrite(ctx, anonVma);
  }
  return 0;
}

/**
 * anon_vma_fork(): the child's VMA joins the anon_vmas of its parent's and gets one of its own, under the same root. Under
 * the mmap_lock of both processes.
 * @returns 0 or -ENOMEM
 */
export function* anonVmaFork(ctx: Context, dst: number, src: number): Coroutine {
  const { m, words } = ctx;
  const parent = get(words, vmaWord(m, src, VMA_ANON_VMA));
  if (parent === 0) return 0;
  if ((yield* anonVmaClone(ctx, dst, src, true)) !== 0) return -ENOMEM;
  const pair = yield* takePair(ctx, true);
  if (pair === 0) {
    yield* unlinkAnonVmas(ctx, dst);
    return -ENOMEM;
  }
  const anonVma = pair >>> 16;
  const root = anonVmaRoot(ctx, parent);
  initAnonVma(ctx, anonVma, dst, root);
  yield* anonVmaLockWrite(ctx, root);
  // its lock is the root's, which therefore outlives it
  addRefs(ctx, root, 1);
  chainLink(ctx, dst, anonVma, (pair & 0xffff) - 1, true);
  set(words, vmaWord(m, dst, VMA_ANON_VMA), anonVma);
  yield* anonVmaUnlockWrite(ctx, root);
  return 0;
}

/** unlink_anon_vmas(): the VMA leaves its anon_vmas, each of which is freed with its last VMA. Under mmap_lock write. */
export function* unlinkAnonVmas(ctx: Context, vma: number): Coroutine<void> {
  const { m, words } = ctx;
  const first = get(words, vmaWord(m, vma, VMA_ANON_VMA));
  if (first === 0) return;
  // stays while any of the family is there
  const root = anonVmaRoot(ctx, first);
  for (let avc = get(words, vmaWord(m, vma, VMA_AVC)) - 1; avc >= 0;) {
    yield* anonVmaLockWrite(ctx, root);
    const anonVma = get(words, avcWord(m, avc, AVC_ANON_VMA));
    const next = get(words, avcWord(m, avc, AVC_VMA_NEXT));
    let at = anonVmaWord(m, anonVma, ANON_VMA_HEAD);
    while (get(words, at) !== avc + 1) at = avcWord(m, get(words, at) - 1, AVC_NEXT);
    set(words, at, get(words, avcWord(m, avc, AVC_NEXT)));
    const gone = addRefs(ctx, anonVma, -1) === 0;
    const rootGone = gone && anonVma !== root && addRefs(ctx, root, -1) === 0;
    if (next === 0) set(words, vmaWord(m, vma, VMA_ANON_VMA), 0);
    set(words, vmaWord(m, vma, VMA_AVC), next);
    yield* anonVmaUnlockWrite(ctx, root);
    yield* giveBack(ctx, gone ? anonVma : 0, avc);
    if (rootGone) yield* giveBack(ctx, root, -1);
    avc = next - 1;
  }
}

/**
 * folio_get_anon_vma(): keeps `anonVma` from being freed while a folio of it is unmapped. Links change the count under the
 * rwsem for writing, so a reader's atomic increment does not meet them.
 * @returns false: its last VMA has gone
 */
export function* getAnonVma(ctx: Context, anonVma: number): Coroutine<boolean> {
  const at = anonVmaWord(ctx.m, anonVma, ANON_VMA_REFS);
  let root = -1;
  // it may have been freed and be another family's by now
  while (root !== anonVmaRoot(ctx, anonVma)) {
    if (root >= 0) yield* anonVmaUnlockRead(ctx, root);
    root = anonVmaRoot(ctx, anonVma);
    yield* anonVmaLockRead(ctx, root);
  }
  let got = false;
  if (--ctx.quantum < 0) yield updates(at);
  for (let refs = readOnce(ctx.words, at); refs !== 0 && !got; refs = readOnce(ctx.words, at)) {
    got = cmpxchg(ctx.words, at, refs, refs + 1) === refs;
  }
  yield* anonVmaUnlockRead(ctx, root);
  return got;
}

/** put_anon_vma(): frees it when its VMAs have gone meanwhile. */
export function* putAnonVma(ctx: Context, anonVma: number): Coroutine<void> {
  const root = anonVmaRoot(ctx, anonVma);
  let at = anonVmaWord(ctx.m, anonVma, ANON_VMA_REFS);
  yield* anonVmaLockRead(ctx, root);
  if (--ctx.quantum < 0) yield updates(at);
  const last = fetchAdd(ctx.words, at, -1) === 1;
  let rootLast = false;
  if (last && anonVma !== root) {
    at = anonVmaWord(ctx.m, root, ANON_VMA_REFS);
    if (--ctx.quantum < 0) yield updates(at);
    rootLast = fetchAdd(ctx.words, at, -1) === 1;
  }
  yield* anonVmaUnlockRead(ctx, root);
  if (last) yield* giveBack(ctx, anonVma, -1);
  if (rootLast) yield* giveBack(ctx, root, -1);
}

/**
 * anon_vma and its chains (mm/rmap.c, v6.18): which VMAs may map the pages of an anon_vma. Without fork each VMA has one
 * chain element, and VMAs that were split from one another share their anon_vma.
 */
import { ENOMEM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, reads, releases, updates } from '../machine/effects.js';
import {
  ANON_VMA_HEAD,
  ANON_VMA_MM,
  ANON_VMA_POOL_HEAD,
  ANON_VMA_POOL_NEXT,
  ANON_VMA_REFS,
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
} from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_ANON_VMA, LOCK_POOL } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { downRead, downWrite, upRead, upWrite } from '../locks/rw.js';
import { cmpxchg, fetchAdd, get, readOnce, set } from '#words';

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

/** anon_vma_lock_read() / _write() and their releases, as coroutines. */
export function* anonVmaLockRead(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaWord(ctx.m, anonVma, ANON_VMA_RWSEM);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!downRead(ctx, lock, LOCK_ANON_VMA)) yield contended(ctx, lock);
}
export function* anonVmaUnlockRead(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaWord(ctx.m, anonVma, ANON_VMA_RWSEM);
  if (--ctx.quantum < 0) yield releases(lock);
  upRead(ctx, lock, LOCK_ANON_VMA);
}
export function* anonVmaLockWrite(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaWord(ctx.m, anonVma, ANON_VMA_RWSEM);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!downWrite(ctx, lock, LOCK_ANON_VMA)) yield contended(ctx, lock);
}
export function* anonVmaUnlockWrite(ctx: Context, anonVma: number): Coroutine<void> {
  const lock = anonVmaWord(ctx.m, anonVma, ANON_VMA_RWSEM);
  if (--ctx.quantum < 0) yield releases(lock);
  upWrite(ctx, lock, LOCK_ANON_VMA);
}

/** Links `vma` into `anonVma`'s list. The anon_vma's rwsem is held for writing. */
function chainLink(ctx: Context, vma: number, anonVma: number, avc: number): void {
  const { m, words } = ctx;
  set(words, avcWord(m, avc, AVC_VMA), vma);
  set(words, avcWord(m, avc, AVC_ANON_VMA), anonVma);
  set(words, avcWord(m, avc, AVC_NEXT), get(words, anonVmaWord(m, anonVma, ANON_VMA_HEAD)));
  set(words, anonVmaWord(m, anonVma, ANON_VMA_HEAD), avc + 1);
  set(words, avcWord(m, avc, AVC_VMA_NEXT), get(words, vmaWord(m, vma, VMA_AVC)));
  set(words, vmaWord(m, vma, VMA_AVC), avc + 1);
  set(words, anonVmaWord(m, anonVma, ANON_VMA_REFS), get(words, anonVmaWord(m, anonVma, ANON_VMA_REFS)) + 1);
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
  set(words, anonVmaWord(m, anonVma, ANON_VMA_HEAD), 0);
  set(words, anonVmaWord(m, anonVma, ANON_VMA_REFS), 0);
  set(words, anonVmaWord(m, anonVma, ANON_VMA_MM), get(words, vmaWord(m, vma, VMA_MM)));
  yield* anonVmaLockWrite(ctx, anonVma);
  // page_table_lock in the kernel: one of two faulting threads wins
  if (--ctx.quantum < 0) yield updates(at);
  const won = cmpxchg(words, at, 0, anonVma) === 0;
  if (won) chainLink(ctx, vma, anonVma, avc);
  yield* anonVmaUnlockWrite(ctx, anonVma);
  if (!won) yield* giveBack(ctx, anonVma, avc);
  return 0;
}

/** anon_vma_clone(): `dst`, split from `src`, joins its anon_vma. Under mmap_lock write. */
export function* anonVmaClone(ctx: Context, dst: number, src: number): Coroutine {
  const { m, words } = ctx;
  const anonVma = get(words, vmaWord(m, src, VMA_ANON_VMA));
  if (anonVma === 0) return 0;
  const pair = yield* takePair(ctx, false);
  if (pair === 0) return -ENOMEM;
  yield* anonVmaLockWrite(ctx, anonVma);
  chainLink(ctx, dst, anonVma, (pair & 0xffff) - 1);
  set(words, vmaWord(m, dst, VMA_ANON_VMA), anonVma);
  yield* anonVmaUnlockWrite(ctx, anonVma);
  return 0;
}

/** unlink_anon_vmas(): the VMA leaves its anon_vma, which is freed with its last VMA. Under mmap_lock write. */
export function* unlinkAnonVmas(ctx: Context, vma: number): Coroutine<void> {
  const { m, words } = ctx;
  const anonVma = get(words, vmaWord(m, vma, VMA_ANON_VMA));
  if (anonVma === 0) return;
  const avc = get(words, vmaWord(m, vma, VMA_AVC)) - 1;
  yield* anonVmaLockWrite(ctx, anonVma);
  let at = anonVmaWord(m, anonVma, ANON_VMA_HEAD);
  while (get(words, at) !== avc + 1) at = avcWord(m, get(words, at) - 1, AVC_NEXT);
  set(words, at, get(words, avcWord(m, avc, AVC_NEXT)));
  const refs = get(words, anonVmaWord(m, anonVma, ANON_VMA_REFS)) - 1;
  set(words, anonVmaWord(m, anonVma, ANON_VMA_REFS), refs);
  set(words, vmaWord(m, vma, VMA_ANON_VMA), 0);
  set(words, vmaWord(m, vma, VMA_AVC), 0);
  yield* anonVmaUnlockWrite(ctx, anonVma);
  yield* giveBack(ctx, refs === 0 ? anonVma : 0, avc);
}

/**
 * folio_get_anon_vma(): keeps `anonVma` from being freed while a folio of it is unmapped. Links change the count under the
 * rwsem for writing, so a reader's atomic increment does not meet them.
 * @returns false: its last VMA has gone
 */
export function* getAnonVma(ctx: Context, anonVma: number): Coroutine<boolean> {
  const at = anonVmaWord(ctx.m, anonVma, ANON_VMA_REFS);
  yield* anonVmaLockRead(ctx, anonVma);
  let got = false;
  if (--ctx.quantum < 0) yield updates(at);
  for (let refs = readOnce(ctx.words, at); refs !== 0 && !got; refs = readOnce(ctx.words, at)) {
    got = cmpxchg(ctx.words, at, refs, refs + 1) === refs;
  }
  yield* anonVmaUnlockRead(ctx, anonVma);
  return got;
}

/** put_anon_vma(): frees it when its VMAs have gone meanwhile. */
export function* putAnonVma(ctx: Context, anonVma: number): Coroutine<void> {
  const at = anonVmaWord(ctx.m, anonVma, ANON_VMA_REFS);
  yield* anonVmaLockRead(ctx, anonVma);
  if (--ctx.quantum < 0) yield updates(at);
  const last = fetchAdd(ctx.words, at, -1) === 1;
  yield* anonVmaUnlockRead(ctx, anonVma);
  if (last) yield* giveBack(ctx, anonVma, -1);
}

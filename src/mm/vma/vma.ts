/**
 * VMAs: lookup, locking, splitting and merging (mm/vma.c, mm/mmap_lock.c, v6.18). An mm's VMAs are a sorted list of ids,
 * which stands for the maple tree: changed under mmap_lock write between an odd and an even MM_VMA_SEQ, so that a lockless
 * reader can tell (it gives up and takes mmap_lock, where RCU would let it go on).
 */
import { VM_SHARED } from '../../machine/abi.js';
import { glance } from '../../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { acquires, releases, writes } from '../../machine/effects.js';
import {
  MM_VMA_COUNT,
  MM_VMA_LIST,
  MM_VMA_SEQ,
  VMA_ANON_VMA,
  VMA_AVC,
  VMA_END,
  VMA_FLAGS,
  VMA_IN_USE,
  VMA_MM,
  VMA_NUMA_SCAN_SEQ,
  VMA_OBJECT,
  VMA_START,
  mmWord,
  vmaWord,
} from '../../machine/layout.js';
import { contended } from '../../machine/wait.js';
import { LOCK_ANON_VMA } from '../../locks/classes.js';
import { downWrite, upWrite } from '../../locks/rw.js';
import { vmaStartWrite, vmaStillReadable } from '../../locks/vma-lock.js';
import { anonVmaClone, anonVmaLockWord, unlinkAnonVmas } from '../rmap/anon-vma.js';
import { pudPresent } from '../pgtable.js';
import { iMmapLockWrite, iMmapUnlockWrite, unlinkFileVma, vmaLinkFile, vmaObject, vmaPgoff } from '../filemap.js';
import { get, look, set, writeOnce } from '#words';

export const vmaStart = (ctx: Context, vma: number): number => get(ctx.words, vmaWord(ctx.m, vma, VMA_START));
/** Exclusive. */
export const vmaEnd = (ctx: Context, vma: number): number => get(ctx.words, vmaWord(ctx.m, vma, VMA_END));
export const vmaFlags = (ctx: Context, vma: number): number => get(ctx.words, vmaWord(ctx.m, vma, VMA_FLAGS));
export const vmaMm = (ctx: Context, vma: number): number => get(ctx.words, vmaWord(ctx.m, vma, VMA_MM));
/**
 * The VMA's anon_vma, or 0: not yet. The first fault installs it under a lock that readers hold too; then it is constant while
 * the VMA is locked, so a plain load that finds it is as good as a marked one, and 0 is a hint.
 */
export const vmaAnonVma = (ctx: Context, vma: number): number => glance(ctx.words, vmaWord(ctx.m, vma, VMA_ANON_VMA));

/** vma_lookup(): the VMA that contains `vpn`, or -1. Under mmap_lock. */
export function findVma(ctx: Context, mm: number, vpn: number): number {
  const at = firstEndingAfter(ctx, mm, vpn, false);
  if (at < 0) return -1;
  const vma = get(ctx.words, mmWord(ctx.m, mm, MM_VMA_LIST) + at);
  return vmaStart(ctx, vma) <= vpn ? vma : -1;
}

/** find_vma(): the first VMA that ends after `vpn`, or -1. Under mmap_lock. */
export function findVmaFrom(ctx: Context, mm: number, vpn: number): number {
  const at = firstEndingAfter(ctx, mm, vpn, false);
  return at < 0 ? -1 : get(ctx.words, mmWord(ctx.m, mm, MM_VMA_LIST) + at);
}

/** @param hint read without mmap_lock: a list that is being edited may be met half way, and its readers look again */
function firstEndingAfter(ctx: Context, mm: number, vpn: number, hint: boolean): number {
  const { m, words } = ctx;
  const list = mmWord(m, mm, MM_VMA_LIST);
  const load = hint ? look : get;
  const count = load(words, mmWord(m, mm, MM_VMA_COUNT));
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load(words, vmaWord(m, load(words, list + middle), VMA_END)) > vpn) high = middle;
    else low = middle + 1;
  }
  return low < count ? low : -1;
}

/**
 * The walk of lock_vma_under_rcu(): the VMA of `vpn`, or -1, read without any lock. Only a hint: see {@link vmaReadLocked}.
 */
export function vmaHint(ctx: Context, mm: number, vpn: number): number {
  glance(ctx.words, mmWord(ctx.m, mm, MM_VMA_SEQ));
  const at = firstEndingAfter(ctx, mm, vpn, true);
  return at < 0 ? -1 : look(ctx.words, mmWord(ctx.m, mm, MM_VMA_LIST) + at);
}

/**
 * Whether a VMA that vmaTryRead has locked is the one of `vpn` and not write-locked: one marked read, of mmLockSeqWord. If
 * not, the caller lets go of it. SLAB_TYPESAFE_BY_RCU: it may be another VMA by now. Whatever the walk met while the list was
 * being edited does not matter, for an editor holds the write lock of each VMA that it changes.
 */
export const vmaReadLocked = (ctx: Context, mm: number, vma: number, vpn: number): boolean =>
  vmaStillReadable(ctx, mm, vma) &&
  get(ctx.words, vmaWord(ctx.m, vma, VMA_IN_USE)) === 1 &&
  vmaMm(ctx, vma) === mm &&
  vmaStart(ctx, vma) <= vpn &&
  vpn < vmaEnd(ctx, vma);

/** Adds a VMA [start, end). Under mmap_lock write; the range is free. Returns its id, or -1 when the mm has no more. */
export function* insertVma(ctx: Context, mm: number, start: number, end: number, flags: number): Coroutine {
  const { m, words } = ctx;
  let vma = -1;
  for (let i = mm * m.vmasPerMm; i < (mm + 1) * m.vmasPerMm; i++) {
    if (get(words, vmaWord(m, i, VMA_IN_USE)) === 0) {
      vma = i;
      break;
    }
  }
  if (vma < 0) return -1;
  // a reader may still hold the read lock of what this slot was: it must be gone before the fields change
  yield* vmaStartWrite(ctx, mm, vma);
  set(words, vmaWord(m, vma, VMA_START), start);
  set(words, vmaWord(m, vma, VMA_END), end);
  set(words, vmaWord(m, vma, VMA_FLAGS), flags);
  set(words, vmaWord(m, vma, VMA_MM), mm);
  set(words, vmaWord(m, vma, VMA_ANON_VMA), 0);
  set(words, vmaWord(m, vma, VMA_AVC), 0);
  set(words, vmaWord(m, vma, VMA_OBJECT), 0);
  set(words, vmaWord(m, vma, VMA_NUMA_SCAN_SEQ), 0);
  set(words, vmaWord(m, vma, VMA_IN_USE), 1);
  yield* editList(ctx, mm, () => {
    const count = get(words, mmWord(m, mm, MM_VMA_COUNT));
    const list = mmWord(m, mm, MM_VMA_LIST);
    let at = count;
    while (at > 0 && vmaStart(ctx, get(words, list + at - 1)) > start) {
      set(words, list + at, get(words, list + at - 1));
      at--;
    }
    set(words, list + at, vma);
    set(words, mmWord(m, mm, MM_VMA_COUNT), count + 1);
  });
  return vma;
}

/** Takes a VMA out of the list and frees it. Under mmap_lock write, its pages unmapped. */
export function* removeVma(ctx: Context, mm: number, vma: number): Coroutine<void> {
  const { m, words } = ctx;
  yield* vmaStartWrite(ctx, mm, vma);
  yield* editList(ctx, mm, () => {
    const count = get(words, mmWord(m, mm, MM_VMA_COUNT));
    const list = mmWord(m, mm, MM_VMA_LIST);
    let at = 0;
    while (get(words, list + at) !== vma) at++;
    for (; at < count - 1; at++) set(words, list + at, get(words, list + at + 1));
    set(words, mmWord(m, mm, MM_VMA_COUNT), count - 1);
  });
  yield* unlinkAnonVmas(ctx, vma);
  yield* unlinkFileVma(ctx, vma);
  set(words, vmaWord(m, vma, VMA_IN_USE), 0);
}

/** Runs `edit` between an odd and an even sequence: the maple tree's store. */
function* editList(ctx: Context, mm: number, edit: () => void): Coroutine<void> {
  const seq = mmWord(ctx.m, mm, MM_VMA_SEQ);
  if (--ctx.quantum < 0) yield writes(seq);
  writeOnce(ctx.words, seq, get(ctx.words, seq) + 1);
  edit();
  if (--ctx.quantum < 0) yield writes(seq);
  writeOnce(ctx.words, seq, (get(ctx.words, seq) + 1) & 0x3fffffff);
}

/** Changes a VMA's bounds or flags as vma_adjust does: VMA write-locked, anon_vma locked against rmap walks. */
function* adjustVma(ctx: Context, mm: number, vma: number, start: number, end: number, flags: number): Coroutine<void> {
  const { m, words } = ctx;
  yield* vmaStartWrite(ctx, mm, vma);
  const anonVma = get(words, vmaWord(m, vma, VMA_ANON_VMA));
  const object = vmaObject(ctx, vma);
  if (object >= 0) yield* iMmapLockWrite(ctx, object);
  const lock = anonVma === 0 ? 0 : anonVmaLockWord(ctx, anonVma);
  if (anonVma !== 0) {
    if (--ctx.quantum < 0) yield acquires(lock);
    while (!downWrite(ctx, lock, LOCK_ANON_VMA)) yield contended(ctx, lock);
  }
  yield* editList(ctx, mm, () => {
    set(words, vmaWord(m, vma, VMA_START), start);
    set(words, vmaWord(m, vma, VMA_END), end);
    set(words, vmaWord(m, vma, VMA_FLAGS), flags);
  });
  if (anonVma !== 0) {
    if (--ctx.quantum < 0) yield releases(lock);
    upWrite(ctx, lock, LOCK_ANON_VMA);
  }
  if (object >= 0) yield* iMmapUnlockWrite(ctx, object);
}

/**
 * vma_adjust_trans_huge(), before `vma` is cut at `vpn`: a huge PMD may not straddle the cut. Where the VMA covered the whole of
 * the PMD's range, split_huge_pmd_address() is called, which asks for the raw PMD and notifies before it looks what it is: the
 * range of small pages is announced just the same, and loses its stage-2 entries, pinned neighbours too.
 */
function* splitHugePmdIfNeeded(ctx: Context, mm: number, vma: number, vpn: number): Coroutine<void> {
  const { thpPages } = ctx.m;
  const start = vpn & ~(thpPages - 1);
  if (start === vpn || vmaStart(ctx, vma) > start || vmaEnd(ctx, vma) < start + thpPages) return;
  if (pudPresent(ctx, mm)) yield* ctx.kernel.splitHugePmd(ctx, mm, vma, vpn);
}

/**
 * __split_vma() at `vpn`: the VMA keeps the lower part; returns the new upper one, or -1. Under mmap_lock write. The new VMA is
 * in the anon_vma before the old one shrinks, so that no rmap walk misses a page: a migration entry would stay for ever.
 */
export function* splitVma(ctx: Context, mm: number, vma: number, vpn: number): Coroutine {
  const flags = vmaFlags(ctx, vma);
  // no fault may make the PMD huge between its split and the cut
  yield* vmaStartWrite(ctx, mm, vma);
  const upper = yield* insertVma(ctx, mm, vpn, vmaEnd(ctx, vma), flags);
  if (upper < 0) return -1;
  if ((yield* anonVmaClone(ctx, upper, vma)) !== 0) {
    yield* removeVma(ctx, mm, upper);
    return -1;
  }
  const object = vmaObject(ctx, vma);
  if (object >= 0) yield* vmaLinkFile(ctx, upper, object, vmaPgoff(ctx, vma) + vpn - vmaStart(ctx, vma));
  yield* splitHugePmdIfNeeded(ctx, mm, vma, vpn);
  yield* adjustVma(ctx, mm, vma, vmaStart(ctx, vma), vpn, flags);
  return upper;
}

/**
 * vma_modify_flags(): gives [start, end) of `vma` new flags, splitting at the ends.
 * @returns the VMA that is exactly [start, end), or -1 when no VMA is left for a split
 */
export function* vmaModifyFlags(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  flags: number,
): Coroutine {
  let target = vma;
  if (vmaStart(ctx, target) < start) {
    target = yield* splitVma(ctx, mm, target, start);
    if (target < 0) return -1;
  }
  if (vmaEnd(ctx, target) > end && (yield* splitVma(ctx, mm, target, end)) < 0) return -1;
  yield* adjustVma(ctx, mm, target, start, end, flags);
  return target;
}

/** vma_merge() of `vma` with its neighbours where flags and anon_vma agree. Under mmap_lock write. */
export function* vmaMerge(ctx: Context, mm: number, vma: number): Coroutine<void> {
  const before = vmaStart(ctx, vma) > 0 ? findVma(ctx, mm, vmaStart(ctx, vma) - 1) : -1;
  let kept = vma;
  if (before >= 0 && canMerge(ctx, before, vma)) {
    // the survivor covers the pages before the other goes, for the same reason
    yield* adjustVma(ctx, mm, before, vmaStart(ctx, before), vmaEnd(ctx, vma), vmaFlags(ctx, before));
    yield* removeVma(ctx, mm, vma);
    kept = before;
  }
  const after = findVma(ctx, mm, vmaEnd(ctx, kept));
  if (after >= 0 && canMerge(ctx, kept, after)) {
    yield* adjustVma(ctx, mm, kept, vmaStart(ctx, kept), vmaEnd(ctx, after), vmaFlags(ctx, kept));
    yield* removeVma(ctx, mm, after);
  }
}

function canMerge(ctx: Context, lower: number, upper: number): boolean {
  const a = vmaAnonVma(ctx, lower);
  const b = vmaAnonVma(ctx, upper);
  const flags = vmaFlags(ctx, lower);
  return flags === vmaFlags(ctx, upper) && (flags & VM_SHARED) === 0 && a === b;
}

/**
 * The page cache of shared memory objects and the VMAs that map them (mm/filemap.c, mm/vma.c, include/linux/fs.h struct
 * address_space, v6.18). An object has a slot for each of its pages: the xarray i_pages, loaded without a lock and stored under
 * its lock. The cache holds one reference to each page. Where an anonymous page is found by its anon_vma, a file's page is found
 * by its object: `mapping` = (object + 1) << 2, index = the page in the object, i_mmap = a list of VMAs under i_mmap_rwsem.
 */
import { EEXIST, PG_DIRTY } from '../machine/abi.js';
import { type Context, type Coroutine, REF_CACHE, REF_TEMP } from '../machine/context.js';
import { RETRY, acquires, acquiresRead, reads, releases, releasesRead, updates, writes } from '../machine/effects.js';
import {
  FILE_OBJECTS,
  OBJECT_I_MMAP,
  OBJECT_I_MMAP_RWSEM,
  OBJECT_I_PAGES_LOCK,
  OBJECT_NRPAGES,
  PAGE_INDEX,
  PAGE_MAPPING,
  VMA_I_MMAP_NEXT,
  VMA_OBJECT,
  VMA_PGOFF,
  globalWord,
  objectPageWord,
  objectWord,
  pageWord,
  vmaWord,
} from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_I_MMAP, LOCK_I_PAGES } from '../locks/classes.js';
import { folioLock, folioLockWord, folioUnlock, spinLock, spinUnlock } from '../locks/exclusive.js';
import { downRead, downWrite, upRead, upWrite } from '../locks/rw.js';
import { get, peek, readOnce, set, writeOnce } from '#words';
import {
  flagsWord,
  folioMapping,
  folioPut,
  refAdd,
  refAddUnlessZero,
  refFreeze,
  refSubAndTest,
  refUnfreeze,
  refsWord,
  testFlag,
} from './folio.js';

/** The mapping word of an object's pages. */
export const mappingOfObject = (object: number): number => (object + 1) << 2;
/** Whether a mapping word names an object: neither anonymous, nor KSM, nor none. */
export const mappingIsFile = (mapping: number): boolean => mapping !== 0 && (mapping & 3) === 0;
/** The object that such a word names. */
export const objectOfMapping = (mapping: number): number => (mapping >>> 2) - 1;

/** The object that a VMA maps, or -1; and the page of it that stands at the VMA's start. Constant while the VMA exists. */
export const vmaObject = (ctx: Context, vma: number): number => get(ctx.words, vmaWord(ctx.m, vma, VMA_OBJECT)) - 1;
export const vmaPgoff = (ctx: Context, vma: number): number => get(ctx.words, vmaWord(ctx.m, vma, VMA_PGOFF));

/** Whether objects are files with a device behind them (knob file_objects), not shared memory. */
export const isFileObject = (ctx: Context): boolean => peek(ctx.words, globalWord(ctx.m, FILE_OBJECTS)) !== 0;

/** i_mmap_lock_read() / _write() and their releases, as coroutines. */
export function* iMmapLockRead(ctx: Context, object: number): Coroutine<void> {
  const lock = objectWord(ctx.m, object, OBJECT_I_MMAP_RWSEM);
  if (--ctx.quantum < 0) yield acquiresRead(lock);
  while (!downRead(ctx, lock, LOCK_I_MMAP)) yield contended(ctx, lock);
}
export function* iMmapUnlockRead(ctx: Context, object: number): Coroutine<void> {
  const lock = objectWord(ctx.m, object, OBJECT_I_MMAP_RWSEM);
  if (--ctx.quantum < 0) yield releasesRead(lock);
  upRead(ctx, lock, LOCK_I_MMAP);
}
export function* iMmapLockWrite(ctx: Context, object: number): Coroutine<void> {
  const lock = objectWord(ctx.m, object, OBJECT_I_MMAP_RWSEM);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!downWrite(ctx, lock, LOCK_I_MMAP)) yield contended(ctx, lock);
}
export function* iMmapUnlockWrite(ctx: Context, object: number): Coroutine<void> {
  const lock = objectWord(ctx.m, object, OBJECT_I_MMAP_RWSEM);
  if (--ctx.quantum < 0) yield releases(lock);
  upWrite(ctx, lock, LOCK_I_MMAP);
}

/**
 * vma_link_file(): the VMA, not yet faulted in, maps `object` from its page `pgoff` on. It comes behind those that are there, so
 * that no walk has been at a child before fork gives it what its parent has.
 */
export function* vmaLinkFile(ctx: Context, vma: number, object: number, pgoff: number): Coroutine<void> {
  const { m, words } = ctx;
  yield* iMmapLockWrite(ctx, object);
  set(words, vmaWord(m, vma, VMA_OBJECT), object + 1);
  set(words, vmaWord(m, vma, VMA_PGOFF), pgoff);
  set(words, vmaWord(m, vma, VMA_I_MMAP_NEXT), 0);
  let at = objectWord(m, object, OBJECT_I_MMAP);
  while (get(words, at) !== 0) at = vmaWord(m, get(words, at) - 1, VMA_I_MMAP_NEXT);
  set(words, at, vma + 1);
  yield* iMmapUnlockWrite(ctx, object);
}

/** unlink_file_vma(): no walk comes to the VMA any more. Nothing happens to one that maps no object. */
export function* unlinkFileVma(ctx: Context, vma: number): Coroutine<void> {
  const { m, words } = ctx;
  const object = vmaObject(ctx, vma);
  if (object < 0) return;
  yield* iMmapLockWrite(ctx, object);
  let at = objectWord(m, object, OBJECT_I_MMAP);
  while (get(words, at) !== vma + 1) at = vmaWord(m, get(words, at) - 1, VMA_I_MMAP_NEXT);
  set(words, at, get(words, vmaWord(m, vma, VMA_I_MMAP_NEXT)));
  set(words, vmaWord(m, vma, VMA_OBJECT), 0);
  yield* iMmapUnlockWrite(ctx, object);
}

function* lockPages(ctx: Context, object: number): Coroutine {
  const lock = objectWord(ctx.m, object, OBJECT_I_PAGES_LOCK);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_I_PAGES)) yield contended(ctx, lock);
  return lock;
}

/** filemap_get_entry(): the page in the cache, with a REF_TEMP reference, or 0: a hole. Lockless. */
function* filemapGetEntry(ctx: Context, object: number, index: number): Coroutine {
  const at = objectPageWord(ctx.m, object, index);
  for (let tries = 0; ; tries++) {
    // frozen, and still there: reclaim or migration decides what becomes of it
    if (tries === 1) ctx.task.loops++;
    if (tries > 0 && --ctx.quantum < 0) yield RETRY;
    if (--ctx.quantum < 0) yield reads(at);
    const pfn = readOnce(ctx.words, at);
    if (pfn === 0) return 0;
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, pfn));
    if (!refAddUnlessZero(ctx, pfn, 1, REF_TEMP)) continue;
    // taken out, or migrated, between the two
    if (--ctx.quantum < 0) yield reads(at);
    if (readOnce(ctx.words, at) === pfn) return pfn;
    yield* folioPut(ctx, pfn, REF_TEMP);
  }
}

/** filemap_lock_folio(): as filemapGetEntry, and locked; it is the object's as long as the lock is held. */
export function* filemapLockFolio(ctx: Context, object: number, index: number): Coroutine {
  for (;;) {
    const pfn = yield* filemapGetEntry(ctx, object, index);
    if (pfn === 0) return 0;
    const lock = folioLockWord(ctx, pfn);
    if (--ctx.quantum < 0) yield acquires(lock);
    while (!folioLock(ctx, pfn)) yield contended(ctx, lock);
    const mappingAt = pageWord(ctx.m, pfn, PAGE_MAPPING);
    if (--ctx.quantum < 0) yield reads(mappingAt);
    if (folioMapping(ctx, pfn) === mappingOfObject(object)) return pfn;
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, pfn);
    yield* folioPut(ctx, pfn, REF_TEMP);
  }
}

/** shmem_add_to_page_cache() of a locked page that nobody else has seen. Returns 0 or -EEXIST. */
export function* shmemAddToPageCache(ctx: Context, object: number, index: number, pfn: number): Coroutine {
  const { m, words } = ctx;
  const slot = objectPageWord(m, object, index);
  const lock = yield* lockPages(ctx, object);
  if (--ctx.quantum < 0) yield reads(slot);
  const added = readOnce(words, slot) === 0;
  if (added) {
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, pfn));
    refAdd(ctx, pfn, 1, REF_CACHE);
    set(words, pageWord(m, pfn, PAGE_INDEX), index);
    const mappingAt = pageWord(m, pfn, PAGE_MAPPING);
    if (--ctx.quantum < 0) yield writes(mappingAt);
    writeOnce(words, mappingAt, mappingOfObject(object));
    if (--ctx.quantum < 0) yield writes(slot);
    writeOnce(words, slot, pfn);
    bumpPages(ctx, object, 1);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_I_PAGES);
  return added ? 0 : -EEXIST;
}

/** filemap_remove_folio(): a locked page that nothing maps leaves the cache, and the cache's reference goes. */
export function* filemapRemoveFolio(ctx: Context, object: number, index: number, pfn: number): Coroutine<void> {
  const { m, words } = ctx;
  const slot = objectPageWord(m, object, index);
  const lock = yield* lockPages(ctx, object);
  if (--ctx.quantum < 0) yield writes(slot);
  writeOnce(words, slot, 0);
  const mappingAt = pageWord(m, pfn, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield writes(mappingAt);
  writeOnce(words, mappingAt, 0);
  bumpPages(ctx, object, -1);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_I_PAGES);
  // the caller's reference stays
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, pfn));
  refSubAndTest(ctx, pfn, 1, REF_CACHE);
}

/**
 * __folio_migrate_mapping() of a file's page: its count is frozen from exactly what is expected, the race-free detector of
 * pins and other references, and the slot turns to `dst`, which gets the cache's reference.
 * @param expected maps, the cache's reference and the isolation's
 * @returns 0, or whether somebody else holds a reference: 1
 */
export function* replaceInPageCache(ctx: Context, src: number, dst: number, expected: number): Coroutine {
  const { m, words } = ctx;
  const mapping = folioMapping(ctx, src);
  const object = objectOfMapping(mapping);
  const index = get(words, pageWord(m, src, PAGE_INDEX));
  const slot = objectPageWord(m, object, index);
  const lock = yield* lockPages(ctx, object);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, src));
  const frozen = refFreeze(ctx, src, expected);
  if (frozen) {
    set(words, pageWord(m, dst, PAGE_INDEX), index);
    const newMappingAt = pageWord(m, dst, PAGE_MAPPING);
    if (--ctx.quantum < 0) yield writes(newMappingAt);
    writeOnce(words, newMappingAt, mapping);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, dst));
    refAdd(ctx, dst, 1, REF_CACHE);
    if (--ctx.quantum < 0) yield writes(slot);
    writeOnce(words, slot, dst);
    // the cache's reference to the old page goes with the freeze
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, src));
    refUnfreezeWithout(ctx, src, expected - 1);
    const mappingAt = pageWord(m, src, PAGE_MAPPING);
    if (--ctx.quantum < 0) yield writes(mappingAt);
    writeOnce(words, mappingAt, 0);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_I_PAGES);
  return frozen ? 0 : 1;
}

/** folio_ref_unfreeze() to a count from which the cache's reference is missing. */
function refUnfreezeWithout(ctx: Context, head: number, count: number): void {
  ctx.probe.onRef(ctx, head, -1, REF_CACHE);
  refUnfreeze(ctx, head, count);
}

/**
 * __remove_mapping() of a file's page: clean, locked, mapped nowhere, the cache's reference and the isolation's the only ones. It leaves the
 * cache, and is frozen. False: somebody holds it, or has made it dirty.
 */
export function* removeFromPageCache(ctx: Context, pfn: number): Coroutine<boolean> {
  const { m, words } = ctx;
  const object = objectOfMapping(folioMapping(ctx, pfn));
  const slot = objectPageWord(m, object, get(words, pageWord(m, pfn, PAGE_INDEX)));
  const lock = yield* lockPages(ctx, object);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, pfn));
  let removed = refFreeze(ctx, pfn, 2);
  if (removed) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
    removed = !testFlag(ctx, pfn, PG_DIRTY);
    if (removed) {
      if (--ctx.quantum < 0) yield writes(slot);
      writeOnce(words, slot, 0);
      const mappingAt = pageWord(m, pfn, PAGE_MAPPING);
      if (--ctx.quantum < 0) yield writes(mappingAt);
      writeOnce(words, mappingAt, 0);
      bumpPages(ctx, object, -1);
      ctx.probe.onRef(ctx, pfn, -1, REF_CACHE);
    } else {
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, pfn));
      refUnfreeze(ctx, pfn, 2);
    }
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_I_PAGES);
  return removed;
}

/** mapping->nrpages. Under the lock of i_pages. */
function bumpPages(ctx: Context, object: number, by: number): void {
  const at = objectWord(ctx.m, object, OBJECT_NRPAGES);
  set(ctx.words, at, get(ctx.words, at) + by);
}

/**
 * Taking pages away from a shared memory object (mm/shmem.c shmem_setattr, shmem_fallocate, mm/truncate.c, mm/memory.c
 * unmap_mapping_range, v6.18; kernel-model 3.18 and row 15 of section 4): ftruncate() and FALLOC_FL_PUNCH_HOLE. Nobody looks at pins: a pinned
 * page is only no longer the object's.
 */
import { EACCES, EINVAL, ENOMEM, MMU_NOTIFY_CLEAR, VM_LOCKED, VM_WRITE } from '../machine/abi.js';
import { MECH } from '../machine/mechanisms.js';
import { type Context, type Coroutine, REF_TEMP } from '../machine/context.js';
import { reads, releases, updates, writes } from '../machine/effects.js';
import { OBJECT_SIZE, objectWord } from '../machine/layout.js';
import { folioLockWord, folioUnlock } from '../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../locks/vma-lock.js';
import { readOnce, writeOnce } from '#words';
import {
  filemapLockFolio,
  filemapRemoveFolio,
  iMmapLockRead,
  iMmapUnlockRead,
  mappingOfObject,
  vmaObject,
  vmaPgoff,
} from './filemap.js';
import { folioMaps, folioPut, mapsWord } from './folio.js';
import { RMAP_WALK_LOCKED, rmapWalkNext } from './rmap/rmap.js';
import { findVma, vmaEnd, vmaFlags, vmaMm, vmaStart } from './vma/vma.js';
import { tlbFinishMmu, tlbFlushPendingWord, tlbGatherMmu } from './memory/zap.js';

/** ftruncate() of `object` to `size` pages: what lies behind is SIGBUS from then on. Returns 0 or -EINVAL. */
export function* shmemTruncate(ctx: Context, object: number, size: number): Coroutine {
  const { m, words } = ctx;
  if (object < 0 || object >= m.objects || size < 0 || size > m.objectPages) return -EINVAL;
  const sizeAt = objectWord(m, object, OBJECT_SIZE);
  if (--ctx.quantum < 0) yield reads(sizeAt);
  const old = readOnce(words, sizeAt);
  // i_size first: a fault that comes later finds it, one that came before is found in the cache
  if (--ctx.quantum < 0) yield writes(sizeAt);
  writeOnce(words, sizeAt, size);
  if (size < old) yield* shmemPunchHole(ctx, object, size, old);
  return 0;
}

/** fallocate(FALLOC_FL_PUNCH_HOLE) of pages [start, end): zeros again at the next touch. Returns 0 or -EINVAL. */
export function* shmemPunchHole(ctx: Context, object: number, start: number, end: number): Coroutine {
  if (object < 0 || object >= ctx.m.objects || start < 0 || end > ctx.m.objectPages || start >= end) return -EINVAL;
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.zap;
  ctx.probe.onObjectZapBegin(ctx, object, start, end);
  yield* unmapMappingRange(ctx, object, start, end);
  // shmem_undo_range(), its second loop: each page under its lock
  for (let index = start; index < end; index++) {
    const pfn = yield* filemapLockFolio(ctx, object, index);
    if (pfn === 0) continue;
    // truncate_cleanup_folio(): a fault was faster than we
    if (--ctx.quantum < 0) yield reads(mapsWord(ctx, pfn));
    if (folioMaps(ctx, pfn) > 0) yield* unmapMappingRange(ctx, object, index, index + 1);
    yield* filemapRemoveFolio(ctx, object, index, pfn);
    const lock = folioLockWord(ctx, pfn);
    if (--ctx.quantum < 0) yield releases(lock);
    folioUnlock(ctx, pfn);
    yield* folioPut(ctx, pfn, REF_TEMP);
  }
  ctx.probe.onObjectZapEnd(ctx, object, start, end);
  ctx.task.mechanism = outer;
  return 0;
}

/** unmap_mapping_range(): zaps pages [start, end) of the object wherever they are mapped, with a notifier pair for each VMA. */
function* unmapMappingRange(ctx: Context, object: number, start: number, end: number): Coroutine<void> {
  const mapping = mappingOfObject(object);
  yield* iMmapLockRead(ctx, object);
  // the lock keeps each VMA, whose mmap_lock is not ours
  for (let cursor = RMAP_WALK_LOCKED; (cursor = yield* rmapWalkNext(ctx, mapping, cursor, start, end - start)) !== 0;) {
    const vma = ctx.out.rmapVma;
    const mm = vmaMm(ctx, vma);
    const first = ctx.out.rmapVpn;
    const last = Math.min(vmaEnd(ctx, vma), vmaStart(ctx, vma) + end - vmaPgoff(ctx, vma));
    if (--ctx.quantum < 0) yield updates(tlbFlushPendingWord(ctx, mm));
    tlbGatherMmu(ctx, mm, first, last);
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, first, last, MMU_NOTIFY_CLEAR, true);
    yield* ctx.kernel.zapPageRange(ctx, mm, vma, first, last);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, first, last);
    yield* tlbFinishMmu(ctx, mm);
  }
  yield* iMmapUnlockRead(ctx, object);
}

/**
 * MADV_REMOVE of [start, end): punches a hole into the object where a shared mapping shows it. mmap_lock is not held meanwhile.
 * @returns 0; -ENOMEM (a part is not mapped); -EINVAL (no object, or locked); -EACCES (not writable)
 */
export function* madviseRemove(ctx: Context, mm: number, start: number, end: number): Coroutine {
  for (let vpn = start; vpn < end;) {
    yield* mmapReadLock(ctx, mm);
    const vma = findVma(ctx, mm, vpn);
    const object = vma < 0 ? -1 : vmaObject(ctx, vma);
    const flags = vma < 0 ? 0 : vmaFlags(ctx, vma);
    const next = vma < 0 ? end : Math.min(end, vmaEnd(ctx, vma));
    const index = vma < 0 ? 0 : vmaPgoff(ctx, vma) + vpn - vmaStart(ctx, vma);
    yield* mmapReadUnlock(ctx, mm);
    if (vma < 0) return -ENOMEM;
    if (object < 0 || (flags & VM_LOCKED) !== 0) return -EINVAL;
    if ((flags & VM_WRITE) === 0) return -EACCES;
    const result = yield* shmemPunchHole(ctx, object, index, Math.min(index + next - vpn, ctx.m.objectPages));
    if (result !== 0) return result;
    vpn = next;
  }
  return 0;
}

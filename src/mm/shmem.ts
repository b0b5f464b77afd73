/**
 * Shared anonymous memory and memfds (mm/shmem.c, mm/memory.c do_fault, v6.18): a page comes into the object's cache at its first
 * touch and is mapped by everybody who maps the object. Pages are never copied on write; what a process zaps stays in the cache.
 *
 * Left out: fault-around (one fault maps one page), huge pages, swap, private mappings of objects.
 */
import {
  EEXIST,
  EINVAL,
  ENOMEM,
  FAULT_FLAG_WRITE,
  PG_DIRTY,
  PG_HWPOISON,
  PG_SWAPBACKED,
  PG_UPTODATE,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_WRITE,
} from '../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP, REF_TEMP } from '../machine/context.js';
import { acquires, reads, releases, updates, writes } from '../machine/effects.js';
import { PTE_DIRTY, PTE_WRITE, PTE_YOUNG, mkEntry } from '../machine/entries.js';
import { OBJECT_SIZE, PAGE_CONTENT, objectWord, pageWord, pteWord, ptlOf } from '../machine/layout.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { LOCK_PTL } from '../locks/classes.js';
import { folioLockWord, folioTrylock, folioUnlock, spinUnlock } from '../locks/exclusive.js';
import { readOnce, writeOnce } from '#words';
import { filemapLockFolio, isFileObject, shmemAddToPageCache, vmaLinkFile, vmaObject, vmaPgoff } from './filemap.js';
import { ZERO_PFN, flagsWord, folioPut, setFlag, testFlag } from './folio.js';
import { faultGfp, allocPages } from './page-alloc.js';
import { faultsFlush } from './rmap/flush.js';
import { protBits } from './vma/page-prot.js';
import { pteAlloc, pteOffsetMapLock } from './pgtable.js';
import { folioChangeRmapPte } from './rmap/rmap.js';
import { folioAddLru } from './swap.js';
import { vmaFlags, vmaStart } from './vma/vma.js';

/** shmem_mmap(): `vma`, just inserted, maps `object` from its first page on. mmap_lock is held for writing. */
export const shmemMmap = (ctx: Context, vma: number, object: number): Coroutine<void> =>
  vmaLinkFile(ctx, vma, object, 0);

/**
 * shmem_get_folio(SGP_CACHE): the page of the object, locked, with a REF_TEMP reference; a new one of zeros where there was none.
 * @returns its pfn, -EINVAL (beyond the object's end) or -ENOMEM
 */
function* shmemGetFolio(ctx: Context, object: number, index: number, gfp: number): Coroutine {
  const { m, words } = ctx;
  for (;;) {
    const found = yield* filemapLockFolio(ctx, object, index);
    if (found !== 0) return found;
    const size = objectWord(m, object, OBJECT_SIZE);
    if (--ctx.quantum < 0) yield reads(size);
    if (index >= readOnce(words, size)) return -EINVAL;
    // shmem_alloc_and_add_folio()
    const pfn = yield* allocPages(ctx, 0, ctx.node, gfp);
    if (pfn < 0) return -ENOMEM;
    const lock = folioLockWord(ctx, pfn);
    if (--ctx.quantum < 0) yield acquires(lock);
    folioTrylock(ctx, pfn);
    if (!isFileObject(ctx)) {
      if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
      setFlag(ctx, pfn, PG_SWAPBACKED);
    }
    if ((yield* shmemAddToPageCache(ctx, object, index, pfn)) === -EEXIST) {
      yield* unlockAndPut(ctx, pfn, REF_ALLOC);
      continue;
    }
    ctx.probe.onRef(ctx, pfn, -1, REF_ALLOC);
    ctx.probe.onRef(ctx, pfn, 1, REF_TEMP);
    yield* folioAddLru(ctx, pfn);
    // who finds it in the cache waits for its lock
    const content = pageWord(m, pfn, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield writes(content);
    writeOnce(words, content, 0);
    ctx.probe.onCopy(ctx, ZERO_PFN, pfn);
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    setFlag(ctx, pfn, PG_UPTODATE);
    return pfn;
  }
}

function* unlockAndPut(ctx: Context, pfn: number, holder: number): Coroutine<void> {
  const lock = folioLockWord(ctx, pfn);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, pfn);
  yield* folioPut(ctx, pfn, holder);
}

/**
 * do_read_fault() and do_shared_fault() of a shared mapping: its page, mapped with the VMA's protection, which is writable at once,
 * as nobody has to be told of the first write.
 * @returns 0 (also when somebody else was first), VM_FAULT_OOM, _SIGBUS (beyond the end) or _HWPOISON
 */
export function* doSharedFault(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine {
  const index = vmaPgoff(ctx, vma) + vpn - vmaStart(ctx, vma);
  const pfn = yield* shmemGetFolio(ctx, vmaObject(ctx, vma), index, faultGfp(flags));
  if (pfn === -ENOMEM) return VM_FAULT_OOM;
  if (pfn < 0) return VM_FAULT_SIGBUS;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  let result = testFlag(ctx, pfn, PG_HWPOISON) ? VM_FAULT_HWPOISON : 0;
  if (result === 0 && (yield* pteAlloc(ctx, mm, vpn)) !== 0) result = VM_FAULT_OOM;
  const mapped = result === 0 && (yield* finishFault(ctx, mm, vma, vpn, flags, pfn));
  if (mapped && (flags & FAULT_FLAG_WRITE) !== 0) {
    // fault_dirty_shared_page()
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    setFlag(ctx, pfn, PG_DIRTY);
  }
  const lock = folioLockWord(ctx, pfn);
  if (--ctx.quantum < 0) yield releases(lock);
  folioUnlock(ctx, pfn);
  if (!mapped) yield* folioPut(ctx, pfn, REF_TEMP);
  return result;
}

/** finish_fault(): maps the locked page; its reference becomes the mapping's. False: something is mapped there already. */
function* finishFault(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  pfn: number,
): Coroutine<boolean> {
  const { m, words } = ctx;
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return false;
  const pteAt = pteWord(m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const free = readOnce(words, pteAt) === 0;
  if (free) {
    ctx.probe.onRef(ctx, pfn, -1, REF_TEMP);
    ctx.probe.onRef(ctx, pfn, 1, REF_MAP);
    yield* folioChangeRmapPte(ctx, pfn, pfn, mm, vpn, 1);
    if (faultsFlush(ctx)) yield* ctx.kernel.flushTlbBatchedPending(ctx, mm);
    // a file's dirty tracking: the entry is read-only until the first write (vma_wants_writenotify)
    const mayWrite = (vmaFlags(ctx, vma) & VM_WRITE) !== 0 && (!isFileObject(ctx) || (flags & FAULT_FLAG_WRITE) !== 0);
    const entry = mkEntry(
      pfn,
      protBits(vmaFlags(ctx, vma)) |
        PTE_YOUNG |
        (mayWrite ? PTE_WRITE : 0) |
        ((flags & FAULT_FLAG_WRITE) !== 0 ? PTE_DIRTY : 0),
    );
    if (--ctx.quantum < 0) yield writes(pteAt);
    writeOnce(words, pteAt, entry);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
    emit(ctx, EVENT.file_map, mm, vpn, pfn, vmaObject(ctx, vma));
  }
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return free;
}

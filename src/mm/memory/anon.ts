/** do_anonymous_page(): the first touch of an anonymous page (mm/memory.c, v6.18; kernel-model 3.2). */
import { faultGfp, allocPages, allocPcpPage } from '../page-alloc.js';
import {
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  PG_UPTODATE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_IO,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
} from '../../machine/abi.js';
import { glance, setBeside } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_ALLOC, REF_LRU_BATCH } from '../../machine/context.js';
import { acquires, reads, releases, releasesRead, tries, updates, writes } from '../../machine/effects.js';
import { PTE_DIRTY, PTE_SPECIAL, PTE_WRITE, PTE_YOUNG, entryPfn, isTable, mkEntry } from '../../machine/entries.js';
import {
  MMF_OOM_UNSTABLE,
  MM_FLAGS,
  PAGE_CONTENT,
  PAGE_FLAGS,
  VMA_ANON_VMA,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  ptlOf,
  vmaWord,
} from '../../machine/layout.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_MMAP, LOCK_PTL } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { downReadTrylock } from '../../locks/rw.js';
import { mmapLockWord, mmapReadUnlock, vmaEndRead, vmaLockWord } from '../../locks/vma-lock.js';
import { get, readOnce, writeOnce, set } from '#words';
import { anonVmaPrepare } from '../rmap/anon-vma.js';
import { vmaObject } from '../filemap.js';
import { ZERO_PFN, folioPut, refAdd, refsWord } from '../folio.js';
import { faultsFlush } from '../rmap/flush.js';
import { protBits } from '../vma/page-prot.js';
import { pteAlloc } from '../pgtable.js';
import { folioAddNewAnonRmap } from '../rmap/rmap.js';
import { doSharedFault } from '../shmem.js';
import { folioAddLru, lruAddDrain, lruBatchAdd, lruBatchSlot } from '../swap.js';
import { vmaFlags } from '../vma/vma.js';

/**
 * vmf_anon_prepare(): the VMA has an anon_vma afterwards. Making one needs mmap_lock, which a fault that holds only the
 * VMA lock may not wait for.
 * @returns 0, VM_FAULT_OOM, or VM_FAULT_RETRY with the VMA lock released
 */
export function* vmfAnonPrepare(ctx: Context, mm: number, vma: number, flags: number): Coroutine {
  const at = vmaWord(ctx.m, vma, VMA_ANON_VMA);
  if (--ctx.quantum < 0) yield reads(at);
  if (readOnce(ctx.words, at) !== 0) return 0;
  const underVmaLock = (flags & FAULT_FLAG_VMA_LOCK) !== 0;
  if (underVmaLock) {
    const lock = mmapLockWord(ctx, mm);
    if (--ctx.quantum < 0) yield tries(lock);
    if (!downReadTrylock(ctx, lock, LOCK_MMAP)) {
      if (--ctx.quantum < 0) yield releasesRead(vmaLockWord(ctx, vma));
      vmaEndRead(ctx, vma);
      return VM_FAULT_RETRY;
    }
  }
  const failed = (yield* anonVmaPrepare(ctx, vma)) !== 0;
  if (underVmaLock) yield* mmapReadUnlock(ctx, mm);
  return failed ? VM_FAULT_OOM : 0;
}

/**
 * do_anonymous_page(): the zero page for a read, a page of zeros for a write. No notifier: nothing was mapped.
 * @returns 0 (also when somebody else mapped the page first), VM_FAULT_OOM, _SIGBUS, or _RETRY (see vmfAnonPrepare)
 */
export function* doAnonymousPage(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const vmFlags = vmaFlags(ctx, vma);
  if ((vmFlags & (VM_SHARED | VM_PFNMAP | VM_IO)) !== 0) {
    // do_fault(); a mapping of a device has no fault handler
    return vmaObject(ctx, vma) < 0 ? VM_FAULT_SIGBUS : yield* doSharedFault(ctx, mm, vma, vpn, flags);
  }
  const pmdAt = pmdWord(m, mm, vpn);
  let pmd = glance(words, pmdAt);
  if (!isTable(pmd)) {
    if ((yield* pteAlloc(ctx, mm, vpn)) !== 0) return VM_FAULT_OOM;
    pmd = glance(words, pmdAt);
    if (!isTable(pmd)) return 0;
  }
  if ((flags & FAULT_FLAG_WRITE) === 0) return yield* mapZeroPage(ctx, mm, vma, vpn, pmd);

  const anonVmaAt = vmaWord(m, vma, VMA_ANON_VMA);
  if (--ctx.quantum < 0) yield reads(anonVmaAt);
  if (readOnce(words, anonVmaAt) === 0) {
    const prepared = yield* vmfAnonPrepare(ctx, mm, vma, flags);
    if (prepared !== 0) return prepared;
  }
  let pfn = allocPcpPage(ctx, ctx.node, faultGfp(flags));
  if (pfn === 0) {
    pfn = yield* allocPages(ctx, 0, ctx.node, faultGfp(flags));
    if (pfn < 0) return VM_FAULT_OOM;
  }
  // nobody sees the page yet; the store of the PTE orders all this before it
  set(words, pageWord(m, pfn, PAGE_CONTENT), 0);
  setBeside(words, pageWord(m, pfn, PAGE_FLAGS), get(words, pageWord(m, pfn, PAGE_FLAGS)) | PG_UPTODATE);
  ctx.probe.onCopy(ctx, ZERO_PFN, pfn);

  const table = entryPfn(pmd);
  const ptl = ptlOf(m, table);
  const pteAt = pteWord(m, table, vpn);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  // the table was only a hint until here (pte_offset_map_lock)
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let mapped = readOnce(words, pmdAt) === pmd;
  let result = 0;
  if (mapped) {
    if (--ctx.quantum < 0) yield reads(pteAt);
    mapped = readOnce(words, pteAt) === 0;
  }
  if (mapped) {
    // check_stable_address_space(): what the OOM reaper has taken must not come back as zeros
    const mmFlagsAt = mmWord(m, mm, MM_FLAGS);
    if (--ctx.quantum < 0) yield reads(mmFlagsAt);
    if ((readOnce(words, mmFlagsAt) & MMF_OOM_UNSTABLE) !== 0) {
      mapped = false;
      result = VM_FAULT_SIGBUS;
    }
  }
  if (mapped) {
    // constant once set, while the VMA is locked
    folioAddNewAnonRmap(ctx, pfn, get(words, anonVmaAt), mm, vpn);
    if (m.config.lruBatch === 0) {
      yield* folioAddLru(ctx, pfn);
    } else {
      // folio_add_lru(), in place
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, pfn));
      refAdd(ctx, pfn, 1, REF_LRU_BATCH);
      if (--ctx.quantum < 0) yield writes(lruBatchSlot(ctx));
      if (lruBatchAdd(ctx, pfn)) yield* lruAddDrain(ctx);
    }
    if (faultsFlush(ctx)) yield* ctx.kernel.flushTlbBatchedPending(ctx, mm);
    const entry = mkEntry(
      pfn,
      protBits(vmFlags) | PTE_YOUNG | ((vmFlags & VM_WRITE) !== 0 ? PTE_WRITE | PTE_DIRTY : 0),
    );
    if (--ctx.quantum < 0) yield writes(pteAt);
    writeOnce(words, pteAt, entry);
    ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
    emit(ctx, EVENT.anon_map, mm, vpn, pfn, 0);
  }
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  if (!mapped) yield* folioPut(ctx, pfn, REF_ALLOC);
  return result;
}

/** The read half: the zero page, read-only and special. It has no refs and no maps. */
function* mapZeroPage(ctx: Context, mm: number, vma: number, vpn: number, pmd: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  const ptl = ptlOf(m, entryPfn(pmd));
  const pteAt = pteWord(m, entryPfn(pmd), vpn);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  let result = 0;
  if (--ctx.quantum < 0) yield reads(pmdAt);
  if (readOnce(words, pmdAt) === pmd) {
    if (--ctx.quantum < 0) yield reads(pteAt);
    if (readOnce(words, pteAt) === 0) result = yield* setZeroPte(ctx, mm, vma, vpn, pteAt);
  }
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return result;
}

function* setZeroPte(ctx: Context, mm: number, vma: number, vpn: number, pteAt: number): Coroutine {
  const mmFlagsAt = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(mmFlagsAt);
  if ((readOnce(ctx.words, mmFlagsAt) & MMF_OOM_UNSTABLE) !== 0) return VM_FAULT_SIGBUS;
  if (faultsFlush(ctx)) yield* ctx.kernel.flushTlbBatchedPending(ctx, mm);
  const entry = mkEntry(ZERO_PFN, protBits(vmaFlags(ctx, vma)) | PTE_SPECIAL | PTE_YOUNG);
  if (--ctx.quantum < 0) yield writes(pteAt);
  writeOnce(ctx.words, pteAt, entry);
  ctx.probe.onEntry(ctx, mm, vpn, pteAt, 0, entry);
  emit(ctx, EVENT.anon_map, mm, vpn, ZERO_PFN, 0);
  return 0;
}

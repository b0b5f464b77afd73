/**
 * copy_page_range(): the page tables of one VMA for a child (mm/memory.c, include/linux/rmap.h, v6.18; kernel-model 3.19).
 * Both processes' mmap_locks are held for writing. The locks of the child's table are taken before those of the parent's,
 * which are of a nested class.
 *
 * GUP-fast takes no lock: a pin that it takes between the look at the pins and the write-protection would be of a page that
 * is shared by then. So the writer side of write_protect_seq stands around all of it, and GUP-fast gives back a pin that it
 * took meanwhile (57efa1fe5957, v5.11).
 */
import { readableMigration } from '../migrate/entries.js';
import { setBeside } from '../../machine/words/extra-accesses.js';
import {
  EAGAIN,
  EFAULT,
  EBUSY,
  EHWPOISON,
  ENOMEM,
  MMU_NOTIFY_PROTECTION_PAGE,
  PG_ANON_EXCLUSIVE,
  PG_HWPOISON,
  PG_MAYBE_SHARED,
  PG_UPTODATE,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
} from '../../machine/abi.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP } from '../../machine/context.js';
import { LOCAL, acquires, reads, releases, updates, writes } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_MARKER,
  SWP_MIGRATION_READ,
  SWP_SWAP,
  SWP_SWAP_EXCLUSIVE,
  entryPfn,
  isHuge,
  isMigrationEntry,
  isPresent,
  isSpecial,
  isSwapEntry,
  isTable,
  mkEntry,
  swapType,
} from '../../machine/entries.js';
import {
  MMF_HAS_PINNED,
  MM_FLAGS,
  MM_WRITE_PROTECT_SEQ,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { MC_PAGES_MOVED, countMechanism } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PTL, LOCK_PTL_NESTED } from '../../locks/classes.js';
import { spinLock, spinUnlock } from '../../locks/exclusive.js';
import { fetchAnd, get, readOnce, writeOnce, set } from '#words';
import {
  clearFlag,
  flagsWord,
  folioMapping,
  folioMaybeDmaPinned,
  folioOf,
  folioPut,
  folioTestLarge,
  mappingIsAnon,
  pageAnonExclusive,
  pinsWord,
  refAdd,
  refSubAndTest,
  refsWord,
  setFlag,
  testFlag,
} from '../folio.js';
import { isCowMapping } from '../gup/checks.js';
import { copyHugePmd } from '../huge_memory/fork.js';
import { kernelLoad } from '../kernel-map.js';
import { allocPages } from '../page-alloc.js';
import { protBits } from '../vma/page-prot.js';
import { pteAlloc } from '../pgtable.js';
import { folioAddNewAnonRmap, folioChangeRmapPte } from '../rmap/rmap.js';
import { folioAddLru } from '../swap.js';
import { swapDuplicate } from '../swap/swapfile.js';
import { vmaAnonVma, vmaEnd, vmaFlags, vmaMm, vmaStart } from '../vma/vma.js';

/**
 * copy_page_range() of the parent's VMA `src` into the child's `dst`, with one notifier pair over all of it if it is a COW
 * mapping: its writable pages become read-only.
 * @returns 0 or -ENOMEM (also when a page cannot be read)
 */
export function* copyPageRange(ctx: Context, dst: number, src: number): Coroutine {
  const { m, words } = ctx;
  if (!isCopyOnWrite(vmaFlags(ctx, src))) return yield* copyTables(ctx, dst, src);
  const mm = vmaMm(ctx, src);
  const start = vmaStart(ctx, src);
  const end = vmaEnd(ctx, src);
  const seq = mmWord(m, mm, MM_WRITE_PROTECT_SEQ);
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_PAGE, true);
  // raw_write_seqcount_begin(): fork is the only writer, under mmap_lock
  if (--ctx.quantum < 0) yield updates(seq);
  writeOnce(words, seq, (readOnce(words, seq) + 1) & 0x3fffffff);
  const result = yield* copyTables(ctx, dst, src);
  if (--ctx.quantum < 0) yield updates(seq);
  writeOnce(words, seq, (readOnce(words, seq) + 1) & 0x3fffffff);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  return result;
}

/** is_cow_mapping(); a driver's mapping is its device's memory, which nobody copies. */
const isCopyOnWrite = (vmFlags: number): boolean => isCowMapping(vmFlags) && (vmFlags & VM_PFNMAP) === 0;

/** copy_p4d_range() down to copy_pmd_range(): every PMD of the VMA. Returns 0 or -ENOMEM. */
export function* copyTables(ctx: Context, dst: number, src: number): Coroutine {
  const { m, words } = ctx;
  const end = vmaEnd(ctx, src);
  for (let vpn = vmaStart(ctx, src); vpn < end;) {
    const next = Math.min(end, (vpn | (m.thpPages - 1)) + 1);
    const pmdAt = pmdWord(m, vmaMm(ctx, src), vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    let result = isHuge(pmd) ? yield* copyHugePmd(ctx, dst, src, vpn) : -EAGAIN;
    if (result === -EAGAIN) result = pmd === 0 ? 0 : yield* copyPteRange(ctx, dst, src, vpn, next);
    if (result !== 0) return result === -EFAULT ? -EFAULT : -ENOMEM;
    vpn = next;
  }
  return 0;
}

/**
 * copy_pte_range() of [start, end), which lies in one table. A page that must be copied is allocated with the locks dropped
 * (`prealloc`), and the PTE looked at again.
 * @returns 0, -ENOMEM, -EHWPOISON or -EFAULT
 */
function* copyPteRange(ctx: Context, dst: number, src: number, start: number, end: number): Coroutine {
  const { m, words } = ctx;
  let prealloc = -1;
  let result = 0;
  for (let vpn = start; vpn < end;) {
    if ((yield* pteAlloc(ctx, vmaMm(ctx, dst), vpn)) !== 0) {
      result = -ENOMEM;
      break;
    }
    // nobody else changes the child's tables, and collapse needs the parent's mmap_lock to take its table away
    const dstTable = entryPfn(readOnce(words, pmdWord(m, vmaMm(ctx, dst), vpn)));
    const srcPmd = readOnce(words, pmdWord(m, vmaMm(ctx, src), vpn));
    if (!isTable(srcPmd)) break;
    const dstPtl = ptlOf(m, dstTable);
    const srcPtl = ptlOf(m, entryPfn(srcPmd));
    if (--ctx.quantum < 0) yield acquires(dstPtl);
    while (!spinLock(ctx, dstPtl, LOCK_PTL)) yield contended(ctx, dstPtl);
    if (--ctx.quantum < 0) yield acquires(srcPtl);
    while (!spinLock(ctx, srcPtl, LOCK_PTL_NESTED)) yield contended(ctx, srcPtl);
    for (; vpn < end; vpn++) {
      const srcAt = pteWord(m, entryPfn(srcPmd), vpn);
      if (--ctx.quantum < 0) yield reads(srcAt);
      const pte = readOnce(words, srcAt);
      if (pte === 0) continue;
      const dstAt = pteWord(m, dstTable, vpn);
      result = isPresent(pte)
        ? yield* ctx.kernel.copyPresentPte(ctx, dst, src, vpn, dstAt, srcAt, pte, prealloc)
        : yield* copyNonpresentPte(ctx, dst, src, vpn, dstAt, srcAt, pte);
      if (result < 0) break;
      if (result === COPY_TOOK_PAGE) prealloc = -1;
      if (prealloc >= 0) {
        // the next page may be wanted from another node; this happens only when one pinned PTE was unpinned meanwhile
        yield* folioPut(ctx, prealloc, REF_ALLOC);
        prealloc = -1;
      }
    }
    if (--ctx.quantum < 0) yield releases(srcPtl);
    spinUnlock(ctx, srcPtl, LOCK_PTL_NESTED);
    if (--ctx.quantum < 0) yield releases(dstPtl);
    spinUnlock(ctx, dstPtl, LOCK_PTL);
    // cond_resched()
    if (--ctx.quantum < 0) yield LOCAL;
    if (result === -EHWPOISON || result === -EFAULT) break;
    if (result === -EAGAIN) {
      prealloc = yield* allocPages(ctx, 0, ctx.node, 0);
      if (prealloc < 0) {
        result = -ENOMEM;
        break;
      }
    }
    result = 0;
  }
  if (prealloc >= 0) yield* folioPut(ctx, prealloc, REF_ALLOC);
  return result;
}

/** What copyPresentPte answers when it has mapped the page that was allocated for it. */
const COPY_TOOK_PAGE = 1;

/**
 * copy_present_ptes() of one PTE, under both PTLs: shared, or copied for the child (copy_present_page).
 * @param prealloc a page of ours to copy to, or -1
 * @returns 0; 1: `prealloc` is mapped in the child; -EAGAIN: a page to copy to is wanted; -EHWPOISON
 */
export function* copyPresentPte(
  ctx: Context,
  dst: number,
  src: number,
  vpn: number,
  dstAt: number,
  srcAt: number,
  pte: number,
  prealloc: number,
): Coroutine {
  const { words } = ctx;
  const child = vmaMm(ctx, dst);
  const flags = vmaFlags(ctx, src);
  const pfn = entryPfn(pte);
  if (!isSpecial(pte)) {
    const head = folioOf(ctx, pfn);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    refAdd(ctx, head, 1, REF_MAP);
    if ((yield* ctx.kernel.folioTryDupAnonRmap(ctx, vmaMm(ctx, src), head, pfn)) !== 0) {
      // the parent's PTE holds one more: never the last
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
      refSubAndTest(ctx, head, 1, REF_MAP);
      return prealloc < 0 ? -EAGAIN : yield* copyPresentPage(ctx, dst, src, vpn, dstAt, pfn, prealloc);
    }
    yield* folioChangeRmapPte(ctx, head, pfn, child, vpn, 1);
  }
  // __copy_present_ptes()
  let entry = pte & ~(PTE_YOUNG | PTE_UFFD_WP);
  if (isCopyOnWrite(flags) && (pte & PTE_WRITE) !== 0) {
    if (--ctx.quantum < 0) yield updates(srcAt);
    const before = fetchAnd(words, srcAt, ~PTE_WRITE);
    ctx.probe.onEntry(ctx, vmaMm(ctx, src), vpn, srcAt, before, before & ~PTE_WRITE);
    emit(ctx, EVENT.pte_change, vmaMm(ctx, src), vpn, before, before & ~PTE_WRITE);
    entry &= ~PTE_WRITE;
  }
  if ((flags & VM_SHARED) !== 0) entry &= ~PTE_DIRTY;
  if (--ctx.quantum < 0) yield writes(dstAt);
  writeOnce(words, dstAt, entry);
  ctx.probe.onEntry(ctx, child, vpn, dstAt, 0, entry);
  return 0;
}

/**
 * folio_try_dup_anon_rmap_pte() / _pmd() as far as it decides: the page may be shared from here on, and is not exclusive any
 * more. Through v5.18 there is no such bit; through v5.8 nobody looks at pins. A file's page may always be shared.
 * @param mm the parent
 * @param pfn the page whose exclusive bit counts: the subpage, or the head of a PMD-mapped THP
 * @returns 0, or -EBUSY: the parent may have pinned it
 */
export function* folioTryDupAnonRmap(ctx: Context, mm: number, head: number, pfn: number): Coroutine {
  const rule = ctx.kernel.rules.wpReuse;
  const mappingAt = pageWord(ctx.m, head, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  if (mappingIsAnon(folioMapping(ctx, head))) {
    const pinned = rule !== 'v5.8' && (yield* folioNeedsCowForDma(ctx, mm, head));
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    const exclusive = pageAnonExclusive(ctx, pfn);
    if (pinned && (exclusive || rule !== 'v5.19')) return -EBUSY;
    if (exclusive) clearFlag(ctx, pfn, PG_ANON_EXCLUSIVE);
  }
  if (folioTestLarge(ctx, head)) {
    // folio_dup_*_rmap: a second mm enters _mm_ids
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_MAYBE_SHARED);
  }
  return 0;
}

/** folio_needs_cow_for_dma(): inside the write section of write_protect_seq, so no pin of GUP-fast is missed. */
function* folioNeedsCowForDma(ctx: Context, mm: number, head: number): Coroutine<boolean> {
  const mmFlags = mmWord(ctx.m, mm, MM_FLAGS);
  if (--ctx.quantum < 0) yield reads(mmFlags);
  if ((readOnce(ctx.words, mmFlags) & MMF_HAS_PINNED) === 0) return false;
  if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
  return folioMaybeDmaPinned(ctx, head);
}

/**
 * copy_present_page(): the child's own copy, writable at once; the parent's PTE stays as it is, and so does what writes to
 * the page meanwhile. Returns 1, -EHWPOISON, or -EFAULT: a protected guest's page.
 */
function* copyPresentPage(
  ctx: Context,
  dst: number,
  src: number,
  vpn: number,
  dstAt: number,
  pfn: number,
  copy: number,
): Coroutine {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  if (testFlag(ctx, pfn, PG_HWPOISON)) return -EHWPOISON;
  if ((yield* kernelLoad(ctx, pfn)) !== 0) return -EFAULT;
  set(words, pageWord(m, copy, PAGE_CONTENT), ctx.accessValue);
  setBeside(words, pageWord(m, copy, PAGE_FLAGS), get(words, pageWord(m, copy, PAGE_FLAGS)) | PG_UPTODATE);
  ctx.probe.onCopy(ctx, pfn, copy);
  const child = vmaMm(ctx, dst);
  const flags = vmaFlags(ctx, dst);
  folioAddNewAnonRmap(ctx, copy, vmaAnonVma(ctx, dst), child, vpn);
  yield* folioAddLru(ctx, copy);
  const entry = mkEntry(copy, protBits(flags) | PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0));
  if (--ctx.quantum < 0) yield writes(dstAt);
  writeOnce(words, dstAt, entry);
  ctx.probe.onEntry(ctx, child, vpn, dstAt, 0, entry);
  countMechanism(m, ctx.actor, ctx.task.mechanism, MC_PAGES_MOVED, 1);
  emit(ctx, EVENT.fork_copy, vmaMm(ctx, src), vpn, pfn, copy);
  return COPY_TOOK_PAGE;
}

/**
 * copy_nonpresent_pte(): under both PTLs. Migration entries hold neither reference nor map. A swap entry of either kind becomes
 * one that is not exclusive, in both; its slot's count (swap_duplicate) belongs to whoever brings a swap device. Returns 0.
 */
function* copyNonpresentPte(
  ctx: Context,
  dst: number,
  src: number,
  vpn: number,
  dstAt: number,
  srcAt: number,
  pte: number,
): Coroutine {
  // markers are for userfaultfd and guards, which a child does not have
  if (swapType(pte) === SWP_MARKER) return 0;
  let entry = pte;
  // the child's entry refers to the slot as well
  if (isSwapEntry(pte)) yield* swapDuplicate(ctx, entryPfn(pte));
  if (isMigrationEntry(pte) && swapType(pte) !== SWP_MIGRATION_READ && isCopyOnWrite(vmaFlags(ctx, src))) {
    // what was exclusive is shared now, in both
    entry = readableMigration(pte);
    if (--ctx.quantum < 0) yield writes(srcAt);
    writeOnce(ctx.words, srcAt, entry);
    ctx.probe.onEntry(ctx, vmaMm(ctx, src), vpn, srcAt, pte, entry);
  }
  if (swapType(pte) === SWP_SWAP_EXCLUSIVE) {
    entry = (pte & ~(7 << 2)) | (SWP_SWAP << 2);
    if (--ctx.quantum < 0) yield writes(srcAt);
    writeOnce(ctx.words, srcAt, entry);
    ctx.probe.onEntry(ctx, vmaMm(ctx, src), vpn, srcAt, pte, entry);
  }
  if (--ctx.quantum < 0) yield writes(dstAt);
  writeOnce(ctx.words, dstAt, entry);
  ctx.probe.onEntry(ctx, vmaMm(ctx, dst), vpn, dstAt, 0, entry);
  return 0;
}

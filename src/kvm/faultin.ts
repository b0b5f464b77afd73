/**
 * From a page of the VMM to a frame (virt/kvm/kvm_main.c __kvm_faultin_pfn, hva_to_pfn; v6.18): a reference for the
 * duration of the fault, never a pin.
 */
import {
  EFAULT,
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_WRITE,
  PG_DIRTY,
  PG_REFERENCED,
  VM_IO,
  VM_PFNMAP,
} from '../machine/abi.js';
import { type Context, type Coroutine, REF_TEMP } from '../machine/context.js';
import { reads, releases, updates } from '../machine/effects.js';
import { PTE_WRITE, entryPfn, isHardwareValid, isHuge, isTable } from '../machine/entries.js';
import { pmdWord, pteWord, ptlOf } from '../machine/layout.js';
import { LOCK_PTL } from '../locks/classes.js';
import { spinUnlock } from '../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../locks/vma-lock.js';
import { flagsWord, folioOf, folioPut, isZeroPfn, refSubAndTest, refsWord } from '../mm/folio.js';
import { freeFolio } from '../mm/page-alloc.js';
import { getUserPagesUnlocked } from '../mm/gup/gup.js';
import { pteOffsetMapLock } from '../mm/pgtable.js';
import { findVma, vmaFlags } from '../mm/vma/vma.js';
import { fetchOr, readOnce } from '#words';

/**
 * hva_to_pfn(): the writable fast path first, for read faults too; then the slow one, which faults the page in.
 * @param mapWritable whether the slot lets a read fault map writable
 * @returns the page, with ctx.out.mapWritable and ctx.out.refcounted set; or -errno as GUP gave it
 */
export function* hvaToPfn(ctx: Context, mm: number, vpn: number, write: boolean, mapWritable: boolean): Coroutine {
  if (write || mapWritable) {
    const fast = yield* ctx.kernel.gupFast(ctx, mm, vpn, FOLL_GET | FOLL_WRITE | FOLL_FAST_ONLY);
    if (fast >= 0) return followed(ctx, fast, true, true);
  }
  const flags = FOLL_GET | FOLL_HWPOISON | FOLL_HONOR_NUMA_FAULT | (write ? FOLL_WRITE : 0);
  const got = yield* getUserPagesUnlocked(ctx, mm, vpn, flags);
  if (got === -EFAULT) return yield* deviceToPfn(ctx, mm, vpn, write);
  if (got < 0) return got;
  if (!write && mapWritable) {
    const writable = yield* ctx.kernel.gupFast(ctx, mm, vpn, FOLL_GET | FOLL_WRITE | FOLL_FAST_ONLY);
    if (writable >= 0) {
      yield* putPage(ctx, got);
      return followed(ctx, writable, true, true);
    }
  }
  return followed(ctx, got, write, true);
}

/** What a fault has followed its address to, and what it may do with the page. */
function followed(ctx: Context, pfn: number, mapWritable: boolean, refcounted: boolean): number {
  ctx.out.mapWritable = mapWritable;
  ctx.out.refcounted = refcounted;
  return pfn;
}

/** What GUP has refused, unless it is a mapping of pages without a struct page of their own (VM_PFNMAP, VM_IO). */
function* deviceToPfn(ctx: Context, mm: number, vpn: number, write: boolean): Coroutine {
  yield* mmapReadLock(ctx, mm);
  const vma = findVma(ctx, mm, vpn);
  const device = vma >= 0 && (vmaFlags(ctx, vma) & (VM_PFNMAP | VM_IO)) !== 0;
  const result = device ? yield* ctx.kernel.hvaToPfnRemapped(ctx, mm, vpn, write) : -EFAULT;
  yield* mmapReadUnlock(ctx, mm);
  return result;
}

/**
 * hva_to_pfn_remapped(): the frame that the entry names, whatever it is. Its count is the driver's: a put_page() that
 * nothing has been taken for would free it under him (v5.13, f8be156be163; Z25). mmap_lock is held.
 * @returns the page, with ctx.out.mapWritable set and ctx.out.refcounted not, or -EFAULT
 */
export function* hvaToPfnRemapped(ctx: Context, mm: number, vpn: number, write: boolean): Coroutine {
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return -EFAULT;
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const entry = readOnce(ctx.words, pteAt);
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  const writable = (entry & PTE_WRITE) !== 0;
  // the driver has no fault handler (fixup_user_fault)
  if (!isHardwareValid(entry) || (write && !writable)) return -EFAULT;
  return followed(ctx, entryPfn(entry), writable, false);
}

/** put_page() of a GUP reference. The zero page has none. */
function* putPage(ctx: Context, pfn: number): Coroutine<void> {
  if (!isZeroPfn(pfn)) yield* folioPut(ctx, folioOf(ctx, pfn), REF_TEMP);
}

/**
 * kvm_release_faultin_page(), under mmu_lock: accessed, dirty if it was mapped writable, then the reference goes, whatever the
 * `result` of the mapping was (Z52).
 */
export function* releaseFaultinPage(ctx: Context, pfn: number, result: number, dirty: boolean): Coroutine<void> {
  if (isZeroPfn(pfn)) return;
  const head = folioOf(ctx, pfn);
  if (result === 0) {
    const flags = PG_REFERENCED | (dirty ? PG_DIRTY : 0);
    const at = flagsWord(ctx, head);
    if (--ctx.quantum < 0) yield updates(at);
    if ((readOnce(ctx.words, at) & flags) !== flags) fetchOr(ctx.words, at, flags);
  }
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  if (refSubAndTest(ctx, head, 1, REF_TEMP)) yield* freeFolio(ctx, head);
}

/** What get_user_mapping_size() found. */
export const MAPPING_NONE = 0;
const MAPPING_PAGE = 1;
export const MAPPING_HUGE = 2;

/**
 * get_user_mapping_size(): how large the VMM's own mapping of `vpn` is, without a lock: a change would have been
 * announced, which the sequence check has excluded, and cannot be announced while we hold mmu_lock. The huge zero
 * page counts as pages.
 */
export function* userMappingSize(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  if (isHuge(pmd)) {
    if (!isHardwareValid(pmd)) return MAPPING_NONE;
    return isZeroPfn(entryPfn(pmd)) ? MAPPING_PAGE : MAPPING_HUGE;
  }
  if (!isTable(pmd)) return MAPPING_NONE;
  const pteAt = pteWord(m, entryPfn(pmd), vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  return isHardwareValid(readOnce(words, pteAt)) ? MAPPING_PAGE : MAPPING_NONE;
}

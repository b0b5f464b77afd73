/**
 * What GUP may do with a VMA and with an entry: check_vma_flags, gup_can_follow_protnone, can_follow_write_common and
 * gup_must_unshare (mm/gup.c, mm/internal.h, v6.18; kernel-model 3.10.1 steps 1 and 3 b to e).
 */
import {
  EFAULT,
  FOLL_FORCE,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  VM_EXEC,
  VM_IO,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { reads } from '../../machine/effects.js';
import { PTE_SOFT_DIRTY, PTE_UFFD_WP } from '../../machine/entries.js';
import { PAGE_MAPPING, pageWord } from '../../machine/layout.js';
import { isFileObject } from '../filemap.js';
import { flagsWord, folioMapping, isZeroPfn, mappingIsAnon, pageAnonExclusive } from '../folio.js';

/** is_cow_mapping(): private, and may be made writable. */
export const isCowMapping = (vmFlags: number): boolean => (vmFlags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
/** vma_is_accessible(). */
export const vmaIsAccessible = (vmFlags: number): boolean => (vmFlags & (VM_READ | VM_WRITE | VM_EXEC)) !== 0;

/**
 * check_vma_flags(). The refusals of secretmem and fsdax have no object here.
 * @returns 0 or -EFAULT
 */
export function checkVmaFlags(ctx: Context, vmFlags: number, flags: number): number {
  if ((vmFlags & (VM_PFNMAP | VM_IO)) !== 0) return -EFAULT;
  const forced = (flags & FOLL_FORCE) !== 0;
  if ((flags & FOLL_WRITE) !== 0) {
    if ((vmFlags & VM_SHARED) !== 0 && refusesFile(ctx, flags)) return -EFAULT;
    if ((vmFlags & VM_WRITE) !== 0) return 0;
    return forced && isCowMapping(vmFlags) ? 0 : -EFAULT;
  }
  return (vmFlags & VM_READ) !== 0 || forced ? 0 : -EFAULT;
}

/** writable_file_mapping_allowed(), reject_file_backed: a device that writes for long would escape the file's dirty tracking. */
export const refusesFile = (ctx: Context, flags: number): boolean =>
  (flags & (FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE)) === (FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE) &&
  ctx.kernel.rules.longtermRefusesFiles &&
  isFileObject(ctx);

/** FOLL_NUMA, implied by every GUP call without FOLL_FORCE through v6.0. */
export const impliedGupFlags = (ctx: Context, flags: number): number =>
  ctx.kernel.rules.gupHonorsNuma === 'v6.0' && (flags & FOLL_FORCE) === 0 ? flags | FOLL_HONOR_NUMA_FAULT : flags;

/** gup_can_follow_protnone(): false takes the hint fault first. v6.1 asked everybody who does not force (Z32). */
export function gupCanFollowProtnone(ctx: Context, vmFlags: number, flags: number): boolean {
  const honors =
    ctx.kernel.rules.gupHonorsNuma === 'v6.1' ? (flags & FOLL_FORCE) === 0 : (flags & FOLL_HONOR_NUMA_FAULT) !== 0;
  // without any permission it is no hint but mprotect(PROT_NONE)
  return !honors || !vmaIsAccessible(vmFlags);
}

/**
 * can_follow_write_common(): may FOLL_FORCE write through the read-only `entry` of `pfn`? Only an exclusive anonymous
 * page of a private mapping: its copy has been made (Z09 to Z11). Under the lock of the entry.
 */
export function* canForceWrite(
  ctx: Context,
  vmFlags: number,
  flags: number,
  entry: number,
  pfn: number,
): Coroutine<boolean> {
  if ((flags & FOLL_FORCE) === 0 || (vmFlags & (VM_SHARED | VM_WRITE)) !== 0 || (vmFlags & VM_MAYWRITE) === 0)
    return false;
  if (isZeroPfn(pfn) || (entry & (PTE_UFFD_WP | PTE_SOFT_DIRTY)) !== 0) return false;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  return pageAnonExclusive(ctx, pfn);
}

/**
 * gup_must_unshare(): would a read-only pin of this page go stale at the next write, so that it must be unshared first?
 * @param pfn the page whose exclusive bit counts: the subpage, or the head of a PMD-mapped THP
 * @param cow whether the mapping is a COW mapping (GUP-fast, which knows no VMA, says yes)
 */
export function* gupMustUnshare(
  ctx: Context,
  flags: number,
  cow: boolean,
  head: number,
  pfn: number,
): Coroutine<boolean> {
  if (ctx.kernel.rules.wpReuse !== 'v5.19') return false;
  // with FOLL_WRITE the entry is writable, hence the page exclusive
  if ((flags & (FOLL_WRITE | FOLL_PIN)) !== FOLL_PIN) return false;
  let anon = !isZeroPfn(pfn);
  if (anon) {
    if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, head, PAGE_MAPPING));
    anon = mappingIsAnon(folioMapping(ctx, head));
  }
  if (!anon) return ctx.kernel.rules.unshareZeropage && (flags & FOLL_LONGTERM) !== 0 && cow;
  // pairs with the barrier in folio_try_share_anon_rmap_*(): the entry was read before the bit
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, pfn));
  return !pageAnonExclusive(ctx, pfn);
}

/**
 * follow_page_mask: the page that an address maps now, grabbed under the lock of its entry (mm/gup.c follow_page_pte
 * and follow_huge_pmd, v6.18; kernel-model 3.10.1 step 3). This is the moment of pinning of the slow path.
 */
import { EEXIST, EMLINK, FOLL_PIN, FOLL_TOUCH, FOLL_WRITE, PG_DIRTY, PG_REFERENCED } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { reads, releases, updates } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_WRITE,
  entryPfn,
  isHuge,
  isNone,
  isPresent,
  isProtnone,
  isSpecial,
  isTransHuge,
} from '../../machine/entries.js';
import { pmdWord, ptlOf, pteWord } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { readOnce } from '#words';
import { flagsWord, folioOf, isZeroPfn, setFlag } from '../folio.js';
import { canForceWrite, gupCanFollowProtnone, gupMustUnshare, isCowMapping } from './checks.js';
import { tryGrabFolio } from './grab.js';
import { pmdLock, pteOffsetMapLock } from '../pgtable.js';
import { vmaFlags } from '../vma/vma.js';

/** GUP has no page and no error: NULL of follow_page_mask(), no pages of gup_fast(). What may be had by a fault. */
export const NO_PAGE = -1;

/**
 * follow_page_pte(), with follow_huge_pmd() for a huge leaf. mmap_lock is held.
 * @param flags FOLL_*; with neither FOLL_GET nor FOLL_PIN nothing is taken
 * @returns the (sub)page; NO_PAGE: fault it in; -EMLINK: fault it in unshared; -EEXIST: there is no struct page; -ENOMEM: no reference
 *   could be taken
 */
export function* followPagePte(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    // none; or a huge migration entry, on which the fault waits
    if (isNone(pmd) || (isHuge(pmd) && !isPresent(pmd))) return NO_PAGE;
    if (!isHuge(pmd)) {
      const table = yield* pteOffsetMapLock(ctx, mm, vpn);
      if (table < 0) return NO_PAGE;
      const pteAt = pteWord(m, table, vpn);
      if (--ctx.quantum < 0) yield reads(pteAt);
      const pte = readOnce(words, pteAt);
      const result = isPresent(pte) ? yield* followEntry(ctx, mm, vma, vpn, flags, pte) : NO_PAGE;
      const ptl = ptlOf(m, table);
      if (--ctx.quantum < 0) yield releases(ptl);
      spinUnlock(ctx, ptl, LOCK_PTL);
      return result;
    }
    const lock = yield* pmdLock(ctx, mm, vpn);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const now = readOnce(words, pmdAt);
    const huge = isTransHuge(now);
    const result = huge ? yield* followEntry(ctx, mm, vma, vpn, flags, now) : NO_PAGE;
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_PMD);
    // split meanwhile: its PTEs are looked at instead
    if (huge || isNone(now) || isHuge(now)) return result;
  }
}

/** Steps b to g for a present entry, a PTE or a huge PMD, under its lock. */
function* followEntry(ctx: Context, mm: number, vma: number, vpn: number, flags: number, entry: number): Coroutine {
  const vmFlags = vmaFlags(ctx, vma);
  if (isProtnone(entry) && !gupCanFollowProtnone(ctx, vmFlags, flags)) return NO_PAGE;
  const first = entryPfn(entry);
  const zero = isZeroPfn(first);
  const pfn = isHuge(entry) && !zero ? first + (vpn & (ctx.m.thpPages - 1)) : first;
  const writable = (entry & PTE_WRITE) !== 0;
  // the exclusive bit of a PMD-mapped THP is its head's
  if ((flags & FOLL_WRITE) !== 0 && !writable && !(yield* canForceWrite(ctx, vmFlags, flags, entry, first)))
    return NO_PAGE;
  if (isSpecial(entry) && !zero) return -EEXIST;
  const head = zero ? first : folioOf(ctx, first);
  if (!writable && (yield* gupMustUnshare(ctx, flags, isCowMapping(vmFlags), head, first))) return -EMLINK;
  const grabbed = yield* tryGrabFolio(ctx, head, flags);
  if (grabbed !== 0) return grabbed;
  if ((flags & FOLL_PIN) !== 0 && !zero) emit(ctx, EVENT.page_pin, mm, vpn, pfn, flags);
  if ((flags & FOLL_TOUCH) !== 0 && !zero) {
    const dirtied = (flags & FOLL_WRITE) !== 0 && (entry & PTE_DIRTY) === 0;
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_REFERENCED | (dirtied ? PG_DIRTY : 0));
  }
  return pfn;
}

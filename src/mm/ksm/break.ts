/** Out of KSM again (mm/ksm.c break_ksm, break_cow, v6.18), and the look-ups that it shares with merging. */
import { ENOMEM, FAULT_FLAG_REMOTE, FAULT_FLAG_UNSHARE, VM_FAULT_OOM, VM_MERGEABLE } from '../../machine/abi.js';
import { glance } from '../../machine/words/extra-accesses.js';
import { type Context, type Coroutine } from '../../machine/context.js';
import { reads, releases } from '../../machine/effects.js';
import { PTE_DIRTY, entryPfn, isPresent, isSpecial } from '../../machine/entries.js';
import {
  KSM_ITEM_ANON_VMA,
  MMF_EXITING,
  MM_FLAGS,
  PAGE_MAPPING,
  ksmItemWord,
  mmWord,
  pageWord,
  pteWord,
  ptlOf,
} from '../../machine/layout.js';
import { LOCK_PTL } from '../../locks/classes.js';
import { spinUnlock } from '../../locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../../locks/vma-lock.js';
import { readOnce, set } from '#words';
import { folioMapping, folioOf, mappingIsKsm } from '../folio.js';
import { pteOffsetMapLock } from '../pgtable.js';
import { findVma, vmaAnonVma, vmaFlags } from '../vma/vma.js';

/** find_mergeable_vma(): under mmap_lock. */
export function findMergeableVma(ctx: Context, mm: number, vpn: number): number {
  if ((glance(ctx.words, mmWord(ctx.m, mm, MM_FLAGS)) & MMF_EXITING) !== 0) return -1;
  const vma = findVma(ctx, mm, vpn);
  if (vma < 0 || (vmaFlags(ctx, vma) & VM_MERGEABLE) === 0 || vmaAnonVma(ctx, vma) === 0) return -1;
  return vma;
}

/** get_mergeable_page(): the anonymous page of an item with a reference, or -1. */
export function* getMergeablePage(ctx: Context, item: number): Coroutine {
  const mm = (item / ctx.m.mmPages) | 0;
  const vpn = item % ctx.m.mmPages;
  yield* mmapReadLock(ctx, mm);
  let pfn = -1;
  if (findMergeableVma(ctx, mm, vpn) >= 0) pfn = yield* ctx.kernel.folioWalk(ctx, mm, vpn);
  yield* mmapReadUnlock(ctx, mm);
  return pfn;
}

/** break_cow(): gives the item's page back its own copy. */
export function* breakCow(ctx: Context, item: number): Coroutine<void> {
  const { m, words } = ctx;
  const mm = (item / m.mmPages) | 0;
  const vpn = item % m.mmPages;
  set(words, ksmItemWord(m, item, KSM_ITEM_ANON_VMA), 0);
  yield* mmapReadLock(ctx, mm);
  const vma = findMergeableVma(ctx, mm, vpn);
  if (vma >= 0) yield* breakKsm(ctx, mm, vma, vpn);
  yield* mmapReadUnlock(ctx, mm);
}

/**
 * break_ksm(): unshare faults (v6.2+; Z33 tells why not write faults) until the page is no KSM page. Under mmap_lock.
 * @returns 0 or -ENOMEM
 */
function* breakKsm(ctx: Context, mm: number, vma: number, vpn: number): Coroutine {
  for (;;) {
    if (!(yield* mapsKsmPage(ctx, mm, vpn))) return 0;
    const fault = yield* ctx.kernel.handleMmFault(ctx, mm, vma, vpn, FAULT_FLAG_UNSHARE | FAULT_FLAG_REMOTE);
    if ((fault & VM_FAULT_OOM) !== 0) return -ENOMEM;
  }
}

/** Whether the PTE maps a KSM page or a zero page that KSM placed. */
function* mapsKsmPage(ctx: Context, mm: number, vpn: number): Coroutine<boolean> {
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return false;
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const entry = readOnce(ctx.words, pteAt);
  let ksm = false;
  if (isPresent(entry)) {
    if (isSpecial(entry)) {
      ksm = (entry & PTE_DIRTY) !== 0 && ctx.kernel.rules.ksmUnsharesZeropage;
    } else {
      const folio = folioOf(ctx, entryPfn(entry));
      if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, folio, PAGE_MAPPING));
      ksm = mappingIsKsm(folioMapping(ctx, folio));
    }
  }
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return ksm;
}

/** unmerge_ksm_pages(): MADV_UNMERGEABLE of [start, end) of a VMA, under mmap_lock write. Returns 0 or -ENOMEM. */
export function* unmergeKsmPages(ctx: Context, mm: number, vma: number, start: number, end: number): Coroutine {
  for (let vpn = start; vpn < end; vpn++) {
    const result = yield* breakKsm(ctx, mm, vma, vpn);
    if (result !== 0) return result;
  }
  return 0;
}

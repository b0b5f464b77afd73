/** Write and unshare faults on huge PMDs (mm/huge_memory.c do_huge_pmd_wp_page, v6.18; kernel-model 3.3). */
import {
  FAULT_FLAG_UNSHARE,
  MAPPING_ANON,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  VM_FAULT_FALLBACK,
  VM_FAULT_SIGBUS,
  VM_WRITE,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { type Context, type Coroutine, REF_ALLOC, REF_MAP, REF_TEMP } from '../../machine/context.js';
import { acquires, reads, releases, tries, updates, writes } from '../../machine/effects.js';
import { PTE_DIRTY, PTE_WRITE, PTE_YOUNG, entryPfn } from '../../machine/entries.js';
import {
  MMF_OOM_UNSTABLE,
  MM_FLAGS,
  PAGE_CONTENT,
  PAGE_LARGE_MAPS,
  PAGE_MAPPING,
  mmWord,
  pageWord,
  pmdLockOf,
  pmdWord,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD } from '../../locks/classes.js';
import { folioLock, folioLockWord, folioTrylock, folioUnlock, spinLock, spinUnlock } from '../../locks/exclusive.js';
import { fetchOr, readOnce, writeOnce, xchg, set } from '#words';
import { ZERO_PFN, flagsWord, folioPut, folioRefs, pageAnonExclusive, refAdd, refsWord, setFlag } from '../folio.js';
import { mapHuge, thpFaultAllowed, thpStart, vmaAllocAnonFolioPmd } from './huge-memory.js';
import { kernelLoad } from '../kernel-map.js';
import { pmdLock } from '../pgtable.js';
import { folioChangeRmapPmd } from '../rmap/rmap.js';
import { flushTlbRange } from '../tlb-flush.js';
import { vmaAnonVma, vmaFlags } from '../vma/vma.js';

/**
 * do_huge_pmd_wp_page(): a write to, or an unsharing of, a huge PMD `orig` that is not writable.
 * @returns 0; VM_FAULT_FALLBACK: it was split, go on with PTEs; VM_FAULT_SIGBUS
 */
export function* doHugePmdWpPage(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  flags: number,
  orig: number,
): Coroutine {
  if (entryPfn(orig) === ZERO_PFN) {
    const result = yield* replaceHuge(ctx, mm, vma, vpn, flags, orig);
    if ((result & VM_FAULT_FALLBACK) === 0) return result;
  } else {
    let result = yield* reuseHuge(ctx, mm, vma, vpn, flags, orig);
    if ((result & VM_FAULT_FALLBACK) === 0) return result;
    if (ctx.kernel.rules.hugeCow === 'copy') {
      result = yield* replaceHuge(ctx, mm, vma, vpn, flags, orig);
      yield* folioPut(ctx, entryPfn(orig), REF_TEMP);
      if ((result & VM_FAULT_FALLBACK) === 0) return result;
    }
  }
  yield* ctx.kernel.splitHugePmd(ctx, mm, vma, vpn);
  return VM_FAULT_FALLBACK;
}

/** The part for a THP: reuse it in place, or VM_FAULT_FALLBACK: with a reference (REF_TEMP) where it will be copied. */
function* reuseHuge(ctx: Context, mm: number, vma: number, vpn: number, flags: number, orig: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  const head = entryPfn(orig);
  const pmd = pmdLockOf(m, mm, vpn);
  const page = folioLockWord(ctx, head);
  const byBit = ctx.kernel.rules.wpReuse === 'v5.19';
  if (--ctx.quantum < 0) yield acquires(pmd);
  while (!spinLock(ctx, pmd, LOCK_PMD)) yield contended(ctx, pmd);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let same = readOnce(words, pmdAt) === orig;
  let reuse = false;
  if (same && byBit) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    reuse = pageAnonExclusive(ctx, head);
  }
  if (same && !reuse) {
    if (--ctx.quantum < 0) yield tries(page);
    if (!folioTrylock(ctx, head)) {
      // the folio lock sleeps, so the PMD lock goes meanwhile and a reference keeps the folio
      if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
      refAdd(ctx, head, 1, REF_TEMP);
      if (--ctx.quantum < 0) yield releases(pmd);
      spinUnlock(ctx, pmd, LOCK_PMD);
      if (--ctx.quantum < 0) yield acquires(page);
      while (!folioLock(ctx, head)) yield contended(ctx, page);
      if (--ctx.quantum < 0) yield acquires(pmd);
      while (!spinLock(ctx, pmd, LOCK_PMD)) yield contended(ctx, pmd);
      if (--ctx.quantum < 0) yield reads(pmdAt);
      same = readOnce(words, pmdAt) === orig;
      if (!same) {
        if (--ctx.quantum < 0) yield releases(pmd);
        spinUnlock(ctx, pmd, LOCK_PMD);
        if (--ctx.quantum < 0) yield releases(page);
        folioUnlock(ctx, head);
        yield* folioPut(ctx, head, REF_TEMP);
        return 0;
      }
      // still mapped here, so this is never the last reference
      yield* folioPut(ctx, head, REF_TEMP);
    }
    reuse = yield* soleUser(ctx, vma, head);
    if (--ctx.quantum < 0) yield releases(page);
    folioUnlock(ctx, head);
  }
  if (reuse) {
    const unshare = (flags & FAULT_FLAG_UNSHARE) !== 0;
    if (!unshare) {
      const bits = PTE_YOUNG | PTE_DIRTY | ((vmaFlags(ctx, vma) & VM_WRITE) !== 0 ? PTE_WRITE : 0);
      if (--ctx.quantum < 0) yield updates(pmdAt);
      fetchOr(words, pmdAt, bits);
      ctx.probe.onEntry(ctx, mm, thpStart(ctx, vpn), pmdAt, orig, orig | bits);
    }
    emit(ctx, EVENT.wp_reuse, mm, vpn, head, unshare ? 1 : 0);
    countStat(m, ctx.actor, STAT.wp_reuses, 1);
  }
  if (same && !reuse && ctx.kernel.rules.hugeCow === 'copy') {
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    refAdd(ctx, head, 1, REF_TEMP);
  }
  if (--ctx.quantum < 0) yield releases(pmd);
  spinUnlock(ctx, pmd, LOCK_PMD);
  return same && !reuse ? VM_FAULT_FALLBACK : 0;
}

/** Under the folio lock and the PMD lock: exclusive by now, or nobody else's reference (before v5.9: mapping). */
function* soleUser(ctx: Context, vma: number, head: number): Coroutine<boolean> {
  const rule = ctx.kernel.rules.wpReuse;
  if (rule === 'v5.19') {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    if (pageAnonExclusive(ctx, head)) return true;
  }
  let sole = false;
  if (rule === 'v5.8') {
    const mapsAt = pageWord(ctx.m, head, PAGE_LARGE_MAPS);
    if (--ctx.quantum < 0) yield reads(mapsAt);
    sole = readOnce(ctx.words, mapsAt) === 1;
  } else {
    if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
    sole = folioRefs(ctx, head) === 1;
  }
  if (!sole) return false;
  // folio_move_anon_rmap()
  const mappingAt = pageWord(ctx.m, head, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield writes(mappingAt);
  writeOnce(ctx.words, mappingAt, (vmaAnonVma(ctx, vma) << 2) | MAPPING_ANON);
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  setFlag(ctx, head, PG_ANON_EXCLUSIVE);
  return true;
}

/**
 * do_huge_zero_wp_pmd(): a THP in place of the huge zero page, with a notifier pair over the whole of it. Through v5.7 a THP that
 * others map is replaced by its copy in the same way; the caller holds a reference to it. Left out: where there is no huge page for
 * the copy, such a kernel copies all of its pages one by one (do_huge_pmd_wp_page_fallback); here the PMD is split.
 */
function* replaceHuge(ctx: Context, mm: number, vma: number, vpn: number, flags: number, orig: number): Coroutine {
  const { m, words } = ctx;
  const start = thpStart(ctx, vpn);
  const old = entryPfn(orig);
  const head = old === ZERO_PFN || thpFaultAllowed(ctx, vma, vpn) ? yield* vmaAllocAnonFolioPmd(ctx, flags) : -1;
  if (head < 0) return VM_FAULT_FALLBACK;
  for (let i = 0; old !== ZERO_PFN && i < m.thpPages; i++) {
    if ((yield* kernelLoad(ctx, old + i)) !== 0) {
      yield* folioPut(ctx, head, REF_ALLOC);
      return VM_FAULT_SIGBUS;
    }
    set(words, pageWord(m, head + i, PAGE_CONTENT), ctx.accessValue);
    ctx.probe.onCopy(ctx, old + i, head + i);
  }
  const outer = ctx.task.mechanism;
  ctx.task.mechanism = MECH.wp_fault;
  yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, start + m.thpPages, MMU_NOTIFY_CLEAR, true);
  const pmdAt = pmdWord(m, mm, vpn);
  const lock = yield* pmdLock(ctx, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let mapped = readOnce(words, pmdAt) === orig;
  let result = 0;
  if (mapped) {
    const mmFlagsAt = mmWord(m, mm, MM_FLAGS);
    if (--ctx.quantum < 0) yield reads(mmFlagsAt);
    if ((readOnce(words, mmFlagsAt) & MMF_OOM_UNSTABLE) !== 0) {
      mapped = false;
      result = VM_FAULT_SIGBUS;
    }
  }
  if (mapped) {
    // pmdp_huge_clear_flush(): the deposited table stays
    if (--ctx.quantum < 0) yield updates(pmdAt);
    const before = xchg(words, pmdAt, 0);
    ctx.probe.onEntry(ctx, mm, start, pmdAt, before, 0);
    yield* flushTlbRange(ctx, false, mm, start, start + m.thpPages);
    yield* mapHuge(ctx, mm, vma, vpn, head, pmdAt);
    if (old !== ZERO_PFN) yield* folioChangeRmapPmd(ctx, old, mm, start, -1);
    countStat(m, ctx.actor, STAT.wp_copies, 1);
    emit(ctx, EVENT.wp_copy, mm, start, old, head);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, start + m.thpPages);
  ctx.task.mechanism = outer;
  if (!mapped) yield* folioPut(ctx, head, REF_ALLOC);
  else if (old !== ZERO_PFN) yield* folioPut(ctx, old, REF_MAP);
  return result;
}

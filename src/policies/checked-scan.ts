/**
 * What the check-then-notify policies share: a scanner's first look at a page under its lock, before anybody is told.
 * A look promises nothing once the lock is dropped; GUP-fast takes pins without it.
 */
import { MMU_NOTIFY_PROTECTION_VMA } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, releases, writes } from '../machine/effects.js';
import {
  PMD_TABLE,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  entryPfn,
  isHuge,
  isPresent,
  isProtnone,
  isSpecial,
  isTransHuge,
} from '../machine/entries.js';
import { pmdWord, pteWord, ptlOf } from '../machine/layout.js';
import { MC_BACKED_OUT, countMechanism, noteAt, noteGone } from '../machine/stats.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../locks/classes.js';
import { spinUnlock } from '../locks/exclusive.js';
import { readOnce, writeOnce } from '#words';
import { folioMaybeDmaPinned, folioOf, pinsWord } from '../mm/folio.js';
import { changeHugePmd, thpStart } from '../mm/huge_memory/huge-memory.js';
import { writeProtectPage } from '../mm/ksm/merge.js';
import { changeProtection, changeProtectionRange } from '../mm/mprotect/mprotect.js';
import { NUMA_CHANGE, NUMA_LEAVE, NUMA_PINNED, numaDecision } from '../mm/mprotect/ptes.js';
import { pmdLock, pteOffsetMapLock } from '../mm/pgtable.js';

/** The walk of a NUMA scan without the notifier over the whole range; mprotect keeps it, for it spares no page. */
export function* changeProtectionUnannounced(
  ctx: Context,
  mm: number,
  vma: number,
  start: number,
  end: number,
  newFlags: number,
  numa: boolean,
): Coroutine {
  if (!numa) return yield* changeProtection(ctx, mm, vma, start, end, newFlags, false);
  return yield* changeProtectionRange(ctx, mm, vma, start, end, newFlags, true, false);
}

/** Releases the PTL of `table`. */
export function* unlockPtes(ctx: Context, table: number): Coroutine<void> {
  const ptl = ptlOf(ctx.m, table);
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
}

/** The scan's look at the PTE of `vpn`, under the PTL. Returns NUMA_*; entries that are not present are left. */
export function* lookAtPte(
  ctx: Context,
  mm: number,
  vma: number,
  vpn: number,
  table: number,
  local: number,
): Coroutine {
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const pte = readOnce(ctx.words, pteAt);
  if (!isPresent(pte)) return NUMA_LEAVE;
  const decision = yield* numaDecision(ctx, mm, vma, vpn, pte, local);
  if (decision === NUMA_CHANGE) emit(ctx, EVENT.pin_look, mm, vpn, entryPfn(pte), 0);
  return decision;
}

/** The scan's look at a huge PMD, under the PMD lock. Returns NUMA_*, or -1: it is none. */
export function* lookAtPmd(ctx: Context, mm: number, start: number): Coroutine {
  const pmdAt = pmdWord(ctx.m, mm, start);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(ctx.words, pmdAt);
  if (!isHuge(pmd)) return -1;
  if (!isTransHuge(pmd) || isProtnone(pmd) || isSpecial(pmd)) return NUMA_LEAVE;
  const head = entryPfn(pmd);
  if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
  if (!folioMaybeDmaPinned(ctx, head)) {
    emit(ctx, EVENT.pin_look, mm, start, head, 1);
    return NUMA_CHANGE;
  }
  emit(ctx, EVENT.numa_skip_pinned, mm, start, head);
  return NUMA_PINNED;
}

/** Makes the huge PMD at `start` a hint, as change_huge_pmd does. PMD lock held, the PMD present. */
export function* protectPmd(ctx: Context, mm: number, start: number): Coroutine<void> {
  const pmdAt = pmdWord(ctx.m, mm, start);
  const old = yield* ctx.kernel.pmdpInvalidate(ctx, mm, start, pmdAt);
  const entry = (old & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE;
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(ctx.words, pmdAt, entry);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, old | PMD_TABLE, entry);
  emit(ctx, EVENT.numa_protect, mm, start, entryPfn(old), 1);
}

/**
 * change_huge_pmd() of the scan that looks, then notifies, then changes. Results as changeHugePmd.
 * @param retest look again under the lock and back out when pinned by now
 * @param keepPlan go to the second look without a notifier when the first one said pinned (the range variant)
 */
function* checkedHugePmd(ctx: Context, mm: number, vpn: number, retest: boolean, keepPlan: boolean): Coroutine {
  const start = thpStart(ctx, vpn);
  const end = start + ctx.m.thpPages;
  const plan = yield* underPmdLock(ctx, mm, start, false, false);
  if (plan < 0) return 0;
  if (plan === NUMA_LEAVE || (plan === NUMA_PINNED && !keepPlan)) return 1;
  const notify = plan === NUMA_CHANGE;
  if (notify) {
    yield* ctx.kernel.mmuNotifierInvalidateRangeStart(ctx, mm, start, end, MMU_NOTIFY_PROTECTION_VMA, true);
  }
  const done = yield* underPmdLock(ctx, mm, start, true, !retest);
  if (notify) {
    if (done === NUMA_PINNED) countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_BACKED_OUT, 1);
    yield* ctx.kernel.mmuNotifierInvalidateRangeEnd(ctx, mm, start, end);
  }
  if (done < 0) return 0;
  return done === NUMA_CHANGE ? ctx.m.thpPages : 1;
}

/** One look under the PMD lock, with the change if it is wanted and allowed (or, `blind`, whatever the pins say). */
function* underPmdLock(ctx: Context, mm: number, start: number, change: boolean, blind: boolean): Coroutine {
  const lock = yield* pmdLock(ctx, mm, start);
  let seen = yield* lookAtPmd(ctx, mm, start);
  if (blind && seen === NUMA_PINNED) seen = NUMA_CHANGE;
  if (change && seen === NUMA_CHANGE) yield* protectPmd(ctx, mm, start);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  return seen;
}

/** What a policy replaces change_huge_pmd by: its own for the scan, the kernel's for mprotect. */
export function hugePmdWith(retest: boolean, keepPlan: boolean) {
  return function* (ctx: Context, mm: number, vma: number, vpn: number, newFlags: number, numa: boolean): Coroutine {
    if (!numa) return yield* changeHugePmd(ctx, mm, vma, vpn, newFlags, false);
    return yield* checkedHugePmd(ctx, mm, vpn, retest, keepPlan);
  };
}

/**
 * write_protect_page() that looks at the pins first and sends no notifier for a page that it will refuse anyway. KSM's
 * own test after the notifier stays in every variant: without it pinned pages would be merged.
 */
export function* writeProtectPageChecked(ctx: Context, mm: number, vma: number, vpn: number, pfn: number): Coroutine {
  const table = yield* pteOffsetMapLock(ctx, mm, vpn);
  if (table < 0) return 0;
  noteAt(ctx, mm, vpn);
  const pinned = yield* pinnedPte(ctx, vpn, pfn, table);
  if (!pinned) emit(ctx, EVENT.pin_look, mm, vpn, pfn, 0);
  yield* unlockPtes(ctx, table);
  if (pinned) noteGone(ctx);
  return pinned ? 0 : yield* writeProtectPage(ctx, mm, vma, vpn, pfn);
}

/** Whether the PTE of `vpn` maps `pfn` and the page looks pinned. Under the PTL. */
export function* pinnedPte(ctx: Context, vpn: number, pfn: number, table: number): Coroutine<boolean> {
  const pteAt = pteWord(ctx.m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const pte = readOnce(ctx.words, pteAt);
  if (!isPresent(pte) || isSpecial(pte) || entryPfn(pte) !== pfn) return false;
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield reads(pinsWord(ctx, head));
  return folioMaybeDmaPinned(ctx, head);
}

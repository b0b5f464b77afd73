/**
 * Fault entry: the arch handler, handle_mm_fault and handle_pte_fault (arch/arm64/mm/fault.c, mm/memory.c, v6.18;
 * kernel-model 3.1 and 3.7). What a fault does with the entry that it finds stands in memory-anon, memory-wp,
 * memory-numa and huge-memory*.
 *
 * A result of 0 does not promise that the access succeeds now: callers loop.
 */
import {
  FAULT_FLAG_PIN_ALLOC,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  VM_EXEC,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_FALLBACK,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  VM_MAYWRITE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from '../../machine/abi.js';
import { glance } from '../../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { LOCAL, acquires, acquiresRead, reads, releases, releasesRead, updates } from '../../machine/effects.js';
import {
  PTE_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_MARKER,
  entryPfn,
  isHugeMigration,
  isHwpoisonEntry,
  isMigrationEntry,
  isPresent,
  isProtnone,
  isSwapEntry,
  isTable,
  isTransHuge,
  swapType,
} from '../../machine/entries.js';
import { PAGE_COMPOUND, pageWord, pmdLockOf, pmdWord, pteWord, ptlOf } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { tlbRemove, tlbSlot, tlbTag } from '../../machine/tlb.js';
import { contended } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_PMD, LOCK_PTL } from '../../locks/classes.js';
import { folioLockWord, spinLock, spinUnlock } from '../../locks/exclusive.js';
import { mightSleep } from '../../locks/held.js';
import {
  mmLockSeqWord,
  mmapReadLock,
  mmapReadUnlock,
  vmaEndRead,
  vmaLockWord,
  vmaTryRead,
} from '../../locks/vma-lock.js';
import { fetchOr, readOnce } from '#words';
import { folioOf } from '../folio.js';
import { hugePmdSetAccessed, thpFaultAllowed } from '../huge_memory/huge-memory.js';
import { findVma, vmaFlags, vmaHint, vmaReadLocked } from '../vma/vma.js';

const VM_ACCESS = VM_READ | VM_WRITE | VM_EXEC;
/** vma_is_accessible(). */
const vmaAccessible = (vmFlags: number): boolean => (vmFlags & VM_ACCESS) !== 0;

/**
 * do_page_fault(): what the CPU does after ACCESS_TRANSLATION or ACCESS_PERMISSION of a user access.
 * @param flags FAULT_FLAG_WRITE or 0
 * @returns 0 (try the access again) or VM_FAULT_SIGSEGV, _SIGBUS, _HWPOISON, _OOM
 */
export function* doUserAddrFault(ctx: Context, mm: number, vpn: number, flags: number): Coroutine {
  // writing needs VM_WRITE; reading is implied by any permission
  const need = (flags & FAULT_FLAG_WRITE) !== 0 ? VM_WRITE : VM_ACCESS;
  if (vpn < 0 || vpn >= ctx.m.mmPages) return VM_FAULT_SIGSEGV;
  let result = VM_FAULT_RETRY;
  // lock_vma_under_rcu(), in place: every page fault comes this way
  let vma = vmaHint(ctx, mm, vpn);
  if (vma >= 0) {
    if (--ctx.quantum < 0) yield acquiresRead(vmaLockWord(ctx, vma));
    if (vmaTryRead(ctx, vma)) {
      if (--ctx.quantum < 0) yield reads(mmLockSeqWord(ctx, mm));
      if (vmaReadLocked(ctx, mm, vma, vpn)) {
        result =
          (vmaFlags(ctx, vma) & need) === 0
            ? VM_FAULT_SIGSEGV
            : yield* ctx.kernel.handleMmFault(ctx, mm, vma, vpn, flags | FAULT_FLAG_VMA_LOCK);
        // else the handler has released it
        if ((result & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) !== 0) vma = -1;
        // the signal is handled on the way out, and the access does not happen
        if ((result & VM_FAULT_RETRY) !== 0 && ctx.task.fatalSignal) return 0;
      }
      if (vma >= 0) {
        if (--ctx.quantum < 0) yield releasesRead(vmaLockWord(ctx, vma));
        vmaEndRead(ctx, vma);
      }
    }
  }
  while ((result & VM_FAULT_RETRY) !== 0) {
    yield* mmapReadLock(ctx, mm);
    vma = findVma(ctx, mm, vpn);
    result =
      vma < 0 || (vmaFlags(ctx, vma) & need) === 0
        ? VM_FAULT_SIGSEGV
        : yield* ctx.kernel.handleMmFault(ctx, mm, vma, vpn, flags);
    if ((result & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) === 0) yield* mmapReadUnlock(ctx, mm);
  }
  if ((result & VM_FAULT_ERROR) === 0) return 0;
  if ((result & VM_FAULT_OOM) !== 0) countStat(ctx.m, ctx.actor, STAT.enomem, 1);
  if ((result & (VM_FAULT_SIGBUS | VM_FAULT_HWPOISON)) !== 0) countStat(ctx.m, ctx.actor, STAT.sigbus, 1);
  return result;
}

/**
 * handle_mm_fault(). The caller holds the VMA's read lock (FAULT_FLAG_VMA_LOCK) or mmap_lock, and keeps it unless the
 * result has VM_FAULT_RETRY or VM_FAULT_COMPLETED.
 * @returns 0 or VM_FAULT_*
 */
export function* handleMmFault(ctx: Context, mm: number, vma: number, vpn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  countStat(m, ctx.actor, STAT.faults, 1);
  const vmFlags = vmaFlags(ctx, vma);
  if (sanitizeFaultFlags(vmFlags, flags) !== 0) return ended(ctx, mm, vpn, flags, VM_FAULT_SIGSEGV);
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  let pmd = readOnce(words, pmdAt);
  if (!isTable(pmd)) {
    const result = yield* handlePmdFault(ctx, mm, vma, vpn, flags, pmd);
    if ((result & VM_FAULT_FALLBACK) === 0) return ended(ctx, mm, vpn, flags, result);
    if (--ctx.quantum < 0) yield reads(pmdAt);
    pmd = readOnce(words, pmdAt);
  }
  // handle_pte_fault()
  if (pmd === 0) return ended(ctx, mm, vpn, flags, yield* ctx.kernel.doAnonymousPage(ctx, mm, vma, vpn, flags));
  // somebody mapped a huge page meanwhile
  if (!isTable(pmd)) return ended(ctx, mm, vpn, flags, 0);
  const table = entryPfn(pmd);
  const pteAt = pteWord(m, table, vpn);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const orig = readOnce(words, pteAt);
  if (orig === 0) return ended(ctx, mm, vpn, flags, yield* ctx.kernel.doAnonymousPage(ctx, mm, vma, vpn, flags));
  if (isSwapEntry(orig)) {
    return ended(ctx, mm, vpn, flags, yield* ctx.kernel.doSwapPage(ctx, mm, vma, vpn, flags, orig));
  }
  if (!isPresent(orig)) return ended(ctx, mm, vpn, flags, yield* doNonSwapEntry(ctx, vpn, table, orig));
  if (isProtnone(orig) && vmaAccessible(vmFlags)) {
    return ended(ctx, mm, vpn, flags, yield* ctx.kernel.doNumaPage(ctx, mm, vma, vpn, orig, table));
  }
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  if (--ctx.quantum < 0) yield updates(pteAt);
  if (readOnce(words, pteAt) === orig) {
    if ((flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0 && (orig & PTE_WRITE) === 0) {
      const result = yield* ctx.kernel.doWpPage(ctx, mm, vma, vpn, flags, table, orig);
      return ended(ctx, mm, vpn, flags, result);
    }
    // ptep_set_access_flags(): usually the hardware has done it
    const wanted = orig | PTE_YOUNG | ((flags & FAULT_FLAG_WRITE) !== 0 ? PTE_DIRTY : 0);
    if (wanted !== orig) {
      fetchOr(words, pteAt, wanted);
      ctx.probe.onEntry(ctx, mm, vpn, pteAt, orig, wanted);
    } else if ((flags & FAULT_FLAG_WRITE) !== 0) {
      // flush_tlb_fix_spurious_fault(): only this CPU's stale entry can have caused the fault
      if (--ctx.quantum < 0) yield updates(tlbSlot(m, ctx.actor, vpn));
      tlbRemove(m, ctx.actor, tlbTag(false, mm, vpn));
    }
  }
  if (--ctx.quantum < 0) yield releases(ptl);
  spinUnlock(ctx, ptl, LOCK_PTL);
  return ended(ctx, mm, vpn, flags, 0);
}

/** The fault's event, written before the caller's lock is released. */
function ended(ctx: Context, mm: number, vpn: number, flags: number, result: number): number {
  emit(ctx, EVENT.fault, mm, vpn, flags & ~(FAULT_FLAG_VMA_LOCK | FAULT_FLAG_PIN_ALLOC), result);
  return result;
}

/**
 * sanitize_fault_flags() and the access check: a write needs VM_WRITE, but GUP may force one in a private mapping that
 * may be written; unsharing is for private mappings only.
 */
function sanitizeFaultFlags(vmFlags: number, flags: number): number {
  if ((flags & FAULT_FLAG_UNSHARE) !== 0) return (vmFlags & VM_SHARED) !== 0 ? VM_FAULT_SIGSEGV : 0;
  if ((flags & FAULT_FLAG_WRITE) !== 0 && (vmFlags & VM_WRITE) === 0) {
    const forced = (flags & FAULT_FLAG_REMOTE) !== 0 && (vmFlags & (VM_MAYWRITE | VM_SHARED)) === VM_MAYWRITE;
    return forced ? 0 : VM_FAULT_SIGSEGV;
  }
  return 0;
}

/** __handle_mm_fault() at a PMD that is no table. VM_FAULT_FALLBACK: go on with PTEs. */
function* handlePmdFault(ctx: Context, mm: number, vma: number, vpn: number, flags: number, pmd: number): Coroutine {
  if (pmd === 0) {
    if (!thpFaultAllowed(ctx, vma, vpn)) return VM_FAULT_FALLBACK;
    return yield* ctx.kernel.doHugePmdAnonymousPage(ctx, mm, vma, vpn, flags);
  }
  if (isHugeMigration(pmd)) {
    yield* pmdMigrationEntryWait(ctx, mm, vpn);
    return 0;
  }
  if (!isTransHuge(pmd)) return VM_FAULT_FALLBACK;
  if (isProtnone(pmd) && vmaAccessible(vmaFlags(ctx, vma))) {
    return yield* ctx.kernel.doHugePmdNumaPage(ctx, mm, vma, vpn, pmd);
  }
  if ((flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0 && (pmd & PTE_WRITE) === 0) {
    return yield* ctx.kernel.doHugePmdWpPage(ctx, mm, vma, vpn, flags, pmd);
  }
  yield* hugePmdSetAccessed(ctx, mm, vpn, flags, pmd);
  return 0;
}

/** The first half of do_swap_page(): migration, poison and marker entries. Swap entries: memory-swap.ts. */
function* doNonSwapEntry(ctx: Context, vpn: number, table: number, orig: number): Coroutine {
  if (isMigrationEntry(orig)) {
    yield* migrationEntryWait(ctx, vpn, table);
    return 0;
  }
  if (isHwpoisonEntry(orig)) return VM_FAULT_HWPOISON;
  // handle_pte_marker(): a guard page
  if (swapType(orig) === SWP_MARKER) return VM_FAULT_SIGSEGV;
  return VM_FAULT_SIGBUS;
}

/**
 * migration_entry_wait() (mm/migrate.c): sleeps until the folio under migration is unlocked, without a reference to it.
 * The caller's VMA lock or mmap_lock stays held: migration must never need mmap_lock for writing.
 */
function* migrationEntryWait(ctx: Context, vpn: number, table: number): Coroutine<void> {
  const { m, words } = ctx;
  const pteAt = pteWord(m, table, vpn);
  const ptl = ptlOf(m, table);
  if (--ctx.quantum < 0) yield acquires(ptl);
  while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
  if (--ctx.quantum < 0) yield reads(pteAt);
  const entry = readOnce(words, pteAt);
  yield* waitOnFolioOf(ctx, isMigrationEntry(entry) ? entryPfn(entry) : -1, ptl, LOCK_PTL);
}

/** pmd_migration_entry_wait(). */
function* pmdMigrationEntryWait(ctx: Context, mm: number, vpn: number): Coroutine<void> {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  const lock = pmdLockOf(m, mm, vpn);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_PMD)) yield contended(ctx, lock);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  yield* waitOnFolioOf(ctx, isHugeMigration(pmd) ? entryPfn(pmd) : -1, lock, LOCK_PMD);
}

/** migration_entry_wait_on_locked(): queues on the folio lock while the entry's lock keeps the folio, then drops that. */
function* waitOnFolioOf(ctx: Context, pfn: number, spin: number, spinClass: number): Coroutine<void> {
  let wait = LOCAL;
  let seen = 0;
  if (pfn >= 0) {
    // a split may be giving the page a folio of its own right now
    glance(ctx.words, pageWord(ctx.m, pfn, PAGE_COMPOUND));
    const lock = folioLockWord(ctx, folioOf(ctx, pfn));
    if (--ctx.quantum < 0) yield reads(lock);
    wait = contended(ctx, lock);
    seen = ctx.waitValue;
  }
  if (--ctx.quantum < 0) yield releases(spin);
  spinUnlock(ctx, spin, spinClass);
  if (wait === LOCAL) return;
  mightSleep(ctx, 'migration_entry_wait');
  ctx.waitValue = seen;
  yield wait;
}

/**
 * Page-table pages: allocation, the PMD and PTE locks, deposit and withdrawal (mm/pgtable-generic.c, mm/memory.c, v6.18).
 * A table page lives in the pool of the machine; it is freed only when no GUP-fast walker can be inside it (LK10).
 */
import { ENOMEM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { acquires, reads, releases, writes } from '../machine/effects.js';
import { entryPfn, isTable, mkTable } from '../machine/entries.js';
import {
  GLOBAL_TABLE_POOL_LOCK,
  MM_PMD_TABLE,
  TABLE_DEPOSITED,
  TABLE_FREE,
  TABLE_HEADER,
  TABLE_LIVE,
  TABLE_MM,
  TABLE_PMD,
  TABLE_POOL_FREE,
  TABLE_POOL_HEAD,
  TABLE_POOL_NEXT,
  TABLE_STATE,
  depositWord,
  globalLock,
  globalWord,
  mmWord,
  pmdLockOf,
  pmdWord,
  ptlOf,
  tableWord,
} from '../machine/layout.js';
import { glance } from '../machine/words/extra-accesses.js';
import { contended } from '../machine/wait.js';
import { LOCK_PMD, LOCK_POOL, LOCK_PTL } from '../locks/classes.js';
import { spinLock, spinUnlock } from '../locks/exclusive.js';
import { get, readOnce, set, writeOnce } from '#words';

/**
 * pud_present() of the one upper directory that an mm has here: what walks that ask for the raw PMD look at, and what is there
 * from the first page table on, whatever becomes of the PMDs.
 */
export const pudPresent = (ctx: Context, mm: number): boolean =>
  glance(ctx.words, mmWord(ctx.m, mm, MM_PMD_TABLE)) !== 0;

/** __pmd_alloc(), or free_pmd_range() where `present` is 0. */
export function* setPudPresent(ctx: Context, mm: number, present: 0 | 1): Coroutine<void> {
  const at = mmWord(ctx.m, mm, MM_PMD_TABLE);
  if (glance(ctx.words, at) === present) return;
  if (--ctx.quantum < 0) yield writes(at);
  writeOnce(ctx.words, at, present);
}

/** pte_alloc_one(): a table of empty entries, nobody's yet. Returns its id, or -1 (out of memory). */
export function* pteAllocOne(ctx: Context, mm: number): Coroutine {
  // pmd_alloc() comes first, and stays where this fails
  yield* setPudPresent(ctx, mm, 1);
  if (ctx.task.failAllocation > 0 && --ctx.task.failAllocation === 0) return -1;
  const { m, words } = ctx;
  const lock = globalLock(m, GLOBAL_TABLE_POOL_LOCK);
  const head = globalWord(m, TABLE_POOL_HEAD);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_POOL)) yield contended(ctx, lock);
  const table = get(words, head) - 1;
  if (table >= 0) {
    set(words, head, get(words, tableWord(m, table, TABLE_POOL_NEXT)));
    set(words, globalWord(m, TABLE_POOL_FREE), get(words, globalWord(m, TABLE_POOL_FREE)) - 1);
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_POOL);
  if (table < 0) return -1;
  set(words, tableWord(m, table, TABLE_MM), mm);
  set(words, tableWord(m, table, TABLE_STATE), TABLE_LIVE);
  const entries = tableWord(m, table, TABLE_HEADER);
  for (let i = 0; i < m.thpPages; i++) set(words, entries + i, 0);
  return table;
}

/** pte_free(): the table goes back to the pool. The caller has made sure that no lockless walker can be in it. */
export function* pteFree(ctx: Context, table: number): Coroutine<void> {
  const { m, words } = ctx;
  const lock = globalLock(m, GLOBAL_TABLE_POOL_LOCK);
  const head = globalWord(m, TABLE_POOL_HEAD);
  set(words, tableWord(m, table, TABLE_STATE), TABLE_FREE);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_POOL)) yield contended(ctx, lock);
  set(words, tableWord(m, table, TABLE_POOL_NEXT), get(words, head));
  set(words, head, table + 1);
  set(words, globalWord(m, TABLE_POOL_FREE), get(words, globalWord(m, TABLE_POOL_FREE)) + 1);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_POOL);
}

/** Takes the PMD lock that covers `vpn`. */
export function* pmdLock(ctx: Context, mm: number, vpn: number): Coroutine {
  const lock = pmdLockOf(ctx.m, mm, vpn);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_PMD)) yield contended(ctx, lock);
  return lock;
}

/** __pte_alloc(): makes sure that the PMD of `vpn` is not none. Returns 0 or -ENOMEM. */
export function* pteAlloc(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  if (readOnce(words, pmdAt) !== 0) return 0;
  const table = yield* pteAllocOne(ctx, mm);
  if (table < 0) return -ENOMEM;
  const lock = yield* pmdLock(ctx, mm, vpn);
  const taken = readOnce(words, pmdAt) === 0;
  if (taken) {
    // pmd_install(): the table's empty entries are visible before the PMD that points to it
    set(words, tableWord(m, table, TABLE_PMD), pmdAt);
    if (--ctx.quantum < 0) yield writes(pmdAt);
    writeOnce(words, pmdAt, mkTable(table));
    ctx.probe.onEntry(ctx, mm, vpn, pmdAt, 0, mkTable(table));
  }
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_PMD);
  if (!taken) yield* pteFree(ctx, table);
  return 0;
}

/**
 * pte_offset_map_lock(): takes the PTL of the table that maps `vpn`, if there is one.
 * @returns the table, its PTL held; or -1 when the PMD is none or a leaf
 */
export function* pteOffsetMapLock(ctx: Context, mm: number, vpn: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    const pmd = readOnce(words, pmdAt);
    if (!isTable(pmd)) return -1;
    const table = entryPfn(pmd);
    const ptl = ptlOf(m, table);
    if (--ctx.quantum < 0) yield acquires(ptl);
    while (!spinLock(ctx, ptl, LOCK_PTL)) yield contended(ctx, ptl);
    // khugepaged may have taken the table away while we waited for its lock
    if (--ctx.quantum < 0) yield reads(pmdAt);
    if (readOnce(words, pmdAt) === pmd) return table;
    if (--ctx.quantum < 0) yield releases(ptl);
    spinUnlock(ctx, ptl, LOCK_PTL);
  }
}

/** pgtable_trans_huge_deposit(): under the PMD lock; keeps a spare table for a split that must not fail. */
export function pgtableDeposit(ctx: Context, mm: number, vpn: number, table: number): void {
  set(ctx.words, tableWord(ctx.m, table, TABLE_STATE), TABLE_DEPOSITED);
  set(ctx.words, depositWord(ctx.m, mm, vpn), table + 1);
}

/** pgtable_trans_huge_withdraw(): under the PMD lock. Returns the table, now live, its entries not yet written. */
export function pgtableWithdraw(ctx: Context, mm: number, vpn: number): number {
  const at = depositWord(ctx.m, mm, vpn);
  const table = get(ctx.words, at) - 1;
  if (table < 0) throw new Error(`no table deposited for the huge PMD of mm ${mm} vpn ${vpn}`);
  set(ctx.words, at, 0);
  set(ctx.words, tableWord(ctx.m, table, TABLE_STATE), TABLE_LIVE);
  set(ctx.words, tableWord(ctx.m, table, TABLE_PMD), pmdWord(ctx.m, mm, vpn));
  return table;
}

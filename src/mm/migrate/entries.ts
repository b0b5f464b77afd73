/** Migration entries: made of present ones, and present ones of them again (include/linux/swapops.h, mm/migrate.c, mm/rmap.c, v6.18; kernel-model 3.11). */
import {
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_DIRTY,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  SWP_YOUNG,
  mkSwapEntry,
  PTE_PROTNONE,
  mkEntry,
  swapType,
} from '../../machine/entries.js';
import { PG_DIRTY, PG_MAYBE_SHARED } from '../../machine/abi.js';
import type { Context, Coroutine } from '../../machine/context.js';
import { updates } from '../../machine/effects.js';
import { flagsWord, folioTestLarge, setFlag } from '../folio.js';
import { pageProt } from '../vma/page-prot.js';

/** The migration entry that stands for the present `entry`. `extra`: PMD_HUGE for a huge one. */
export function mkMigrationEntry(entry: number, pfn: number, exclusive: boolean, extra: number): number {
  const readable = exclusive ? SWP_MIGRATION_READ_EXCLUSIVE : SWP_MIGRATION_READ;
  return mkSwapEntry(
    (entry & PTE_WRITE) !== 0 ? SWP_MIGRATION_WRITE : readable,
    pfn,
    extra |
      ((entry & PTE_YOUNG) !== 0 ? SWP_YOUNG : 0) |
      ((entry & PTE_DIRTY) !== 0 ? SWP_DIRTY : 0) |
      (entry & PTE_SOFT_DIRTY),
  );
}

/**
 * A fork may have copied the entry while the folio was mapped nowhere, and nobody could note a second mm in it then. An entry that
 * is not exclusive may have been: "maybe shared" errs on that side.
 */
export function* noteShared(ctx: Context, head: number, old: number): Coroutine<void> {
  if (swapType(old) !== SWP_MIGRATION_READ || !folioTestLarge(ctx, head)) return;
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  setFlag(ctx, head, PG_MAYBE_SHARED);
}

/** The exclusive bit comes back unless the entry is the plain readable kind (5.19+). */
export const restoredExclusive = (ctx: Context, old: number): boolean =>
  ctx.kernel.rules.wpReuse === 'v5.19' && swapType(old) !== SWP_MIGRATION_READ;

/**
 * The entry that a migration entry becomes: mk_pte with the VMA's protection, so that a NUMA hint is gone; writable
 * only if the entry was; dirty only if the folio is still dirty.
 */
export function presentFromMigration(
  ctx: Context,
  vmFlags: number,
  old: number,
  pfn: number,
  headFlags: number,
): number {
  const prot = pageProt(ctx, vmFlags);
  return mkEntry(
    pfn,
    prot |
      (prot !== PTE_PROTNONE && swapType(old) === SWP_MIGRATION_WRITE ? PTE_WRITE : 0) |
      ((old & SWP_YOUNG) !== 0 ? PTE_YOUNG : 0) |
      ((old & SWP_DIRTY) !== 0 && (headFlags & PG_DIRTY) !== 0 ? PTE_DIRTY : 0) |
      (old & PTE_SOFT_DIRTY),
  );
}

/** make_readable_migration_entry(): the same entry, neither writable nor exclusive. */
export const readableMigration = (entry: number): number => (entry & ~(7 << 2)) | (SWP_MIGRATION_READ << 2);

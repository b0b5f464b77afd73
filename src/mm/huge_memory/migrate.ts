/**
 * Huge migration entries: set_pmd_migration_entry and remove_migration_pmd (mm/huge_memory.c, v6.18; kernel-model
 * 3.11). The PMD goes through present-but-invalid, never through none (rule PTE-2).
 */
import { EBUSY, PG_ANON_EXCLUSIVE, PG_DIRTY } from '../../machine/abi.js';
import { type Context, type Coroutine, REF_MAP } from '../../machine/context.js';
import { reads, updates, writes } from '../../machine/effects.js';
import { PMD_HUGE, PMD_TABLE, PTE_DIRTY } from '../../machine/entries.js';
import { pmdWord } from '../../machine/layout.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { readOnce, writeOnce } from '#words';
import { flagsWord, refAdd, refSubAndTest, refsWord, setFlag } from '../folio.js';
import { folioTryShareAnonRmap, folioChangeRmapPmd } from '../rmap/rmap.js';
import { mkMigrationEntry, noteShared, presentFromMigration, restoredExclusive } from '../migrate/entries.js';

/**
 * set_pmd_migration_entry() of the huge PMD at `start`, which maps `head`. The PMD lock is held.
 * @returns 0, or -EBUSY: pinned, and the PMD is what it was
 */
export function* setPmdMigrationEntry(ctx: Context, mm: number, start: number, head: number): Coroutine {
  const { words } = ctx;
  const pmdAt = pmdWord(ctx.m, mm, start);
  const pmd = yield* ctx.kernel.pmdpInvalidate(ctx, mm, start, pmdAt);
  const invalid = pmd | PMD_TABLE;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const exclusive =
    (readOnce(words, flagsWord(ctx, head)) & PG_ANON_EXCLUSIVE) !== 0 && ctx.kernel.rules.wpReuse === 'v5.19';
  if (exclusive && !(yield* folioTryShareAnonRmap(ctx, head, head))) {
    if (--ctx.quantum < 0) yield writes(pmdAt);
    writeOnce(words, pmdAt, pmd);
    ctx.probe.onEntry(ctx, mm, start, pmdAt, invalid, pmd);
    return -EBUSY;
  }
  if ((pmd & PTE_DIRTY) !== 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_DIRTY);
  }
  const entry = mkMigrationEntry(pmd, head, exclusive, PMD_HUGE);
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(words, pmdAt, entry);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, invalid, entry);
  emit(ctx, EVENT.migration_entry, mm, start, head, 1);
  yield* folioChangeRmapPmd(ctx, head, mm, start, -1);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refSubAndTest(ctx, head, 1, REF_MAP);
  return 0;
}

/** remove_migration_pmd(): the huge migration entry at `start` becomes a huge PMD of `dst`. The PMD lock is held. */
export function* removeMigrationPmd(
  ctx: Context,
  mm: number,
  vmFlags: number,
  start: number,
  dst: number,
  old: number,
): Coroutine<void> {
  const pmdAt = pmdWord(ctx.m, mm, start);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, dst));
  refAdd(ctx, dst, 1, REF_MAP);
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, dst));
  const entry = presentFromMigration(ctx, vmFlags, old, dst, readOnce(ctx.words, flagsWord(ctx, dst))) | PMD_HUGE;
  if (restoredExclusive(ctx, old)) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, dst));
    setFlag(ctx, dst, PG_ANON_EXCLUSIVE);
  }
  yield* noteShared(ctx, dst, old);
  yield* folioChangeRmapPmd(ctx, dst, mm, start, 1);
  if (--ctx.quantum < 0) yield writes(pmdAt);
  writeOnce(ctx.words, pmdAt, entry);
  ctx.probe.onEntry(ctx, mm, start, pmdAt, old, entry);
  emit(ctx, EVENT.migration_entry, mm, start, dst, 0);
}

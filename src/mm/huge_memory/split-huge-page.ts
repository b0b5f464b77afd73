/**
 * Splitting a large folio into small ones (mm/huge_memory.c __folio_split, v6.18; kernel-model 3.14). It fails when somebody
 * else holds a reference, a pin for one: early, with nothing touched and no notifier; or late, at the freeze, with the folio
 * whole but mapped by PTEs from then on and secondary MMUs unmapped.
 */
import {
  EAGAIN,
  EBUSY,
  EINVAL,
  PG_DIRTY,
  PG_HAS_HWPOISONED,
  PG_LRU,
  PG_MAYBE_SHARED,
  PG_MLOCKED,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UPTODATE,
  PG_WRITEBACK,
  PG_YOUNG,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { type Context, type Coroutine, LOCK_WRITE, REF_TEMP } from '../../machine/context.js';
import { reads, releases, updates, writes } from '../../machine/effects.js';
import { PAGE_COMPOUND, PAGE_CPUPID, PAGE_INDEX, PAGE_MAPPING, PAGE_REFS, pageWord } from '../../machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, STAT, countMechanism, countStat } from '../../machine/stats.js';
import { wake } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { LOCK_FOLIO } from '../../locks/classes.js';
import { folioLockWord, folioUnlock } from '../../locks/exclusive.js';
import { lamportRelease, pushHeld } from '../../locks/held.js';
import { fetchAdd, get, readOnce, set, writeOnce, xchg } from '#words';
import { anonVmaLockWrite, anonVmaUnlockWrite, getAnonVma, putAnonVma } from '../rmap/anon-vma.js';
import {
  clearFlag,
  flagsWord,
  folioIndex,
  folioMapping,
  folioMaps,
  folioOf,
  folioPut,
  folioRefs,
  folioTestLarge,
  mappingId,
  mappingIsAnon,
  mapsWord,
  refFreeze,
  refUnfreeze,
  refsWord,
  setFlag,
} from '../folio.js';
import { tryToUnmapFlush } from '../rmap/flush.js';
import { TTU_BATCH, TTU_RMAP_LOCKED, TTU_SPLIT_HUGE_PMD, TTU_SYNC, tryToMigrate } from '../rmap/migrate.js';
import { RMP_LOCKED, RMP_USE_SHARED_ZEROPAGE, removeMigrationPtes } from '../migrate/restore.js';

/** What the tails take over from the head (__split_folio_to_order). */
const CLONED_FLAGS = PG_UPTODATE | PG_DIRTY | PG_LRU | PG_SWAPBACKED | PG_REFERENCED | PG_YOUNG | PG_MLOCKED;

/**
 * split_huge_page(): the caller holds the lock of `pfn`'s folio and one reference (REF_TEMP) to it. After success he holds
 * the lock of, and that reference to, `pfn` itself, now a folio of its own; after a failure those of the whole folio.
 * @returns 0; -EBUSY (under writeback, or no longer mapped); -EAGAIN (somebody else holds a reference); -EINVAL (not large)
 */
export function* splitHugePage(ctx: Context, pfn: number): Coroutine {
  const { m, actor } = ctx;
  const head = folioOf(ctx, pfn);
  const outer = ctx.task.mechanism;
  if (outer !== MECH.teardown) ctx.task.mechanism = MECH.thp_split;
  countMechanism(m, actor, ctx.task.mechanism, MC_ATTEMPTS, 1);
  const result = folioTestLarge(ctx, head) ? yield* folioSplit(ctx, head, pfn) : -EINVAL;
  if (result !== 0) countMechanism(m, actor, ctx.task.mechanism, MC_BACKED_OUT, 1);
  ctx.task.mechanism = outer;
  countStat(m, actor, result === 0 ? STAT.thp_split_pages : STAT.thp_split_page_failed, 1);
  return result;
}

/** __folio_split(), steps 1 to 8. */
function* folioSplit(ctx: Context, head: number, lockAt: number): Coroutine {
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  if ((readOnce(ctx.words, flagsWord(ctx, head)) & PG_WRITEBACK) !== 0) return -EBUSY;
  const anonVma = yield* folioGetAnonVma(ctx, head);
  if (anonVma === 0) return -EBUSY;
  yield* anonVmaLockWrite(ctx, anonVma);
  let result = -EAGAIN;
  // can_split_folio(): racy, before unmap_folio() splits PMDs and sends notifiers
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  const maps = folioMaps(ctx, head);
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, head));
  const refs = folioRefs(ctx, head);
  if (maps === refs - 1) {
    // unmap_folio()
    yield* tryToMigrate(ctx, head, TTU_RMAP_LOCKED | TTU_SPLIT_HUGE_PMD | TTU_SYNC | TTU_BATCH);
    yield* tryToUnmapFlush(ctx);
    ctx.cpu.irqsOff = true;
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    // our reference alone: with the entries gone, nobody can come by a pin through them
    const frozen = refFreeze(ctx, head, 1);
    if (frozen) yield* splitUnmapped(ctx, head, lockAt);
    ctx.cpu.irqsOff = false;
    if (frozen) {
      yield* remapAndRelease(ctx, head, lockAt);
      result = 0;
    } else {
      yield* removeMigrationPtes(ctx, head, head, RMP_LOCKED);
    }
  }
  emit(ctx, EVENT.split_folio, head, result, refs, maps + 1);
  yield* anonVmaUnlockWrite(ctx, anonVma);
  yield* putAnonVma(ctx, anonVma);
  return result;
}

/** folio_get_anon_vma(): referenced; 0 when the folio is not mapped, since then its anon_vma may be another's by now. */
function* folioGetAnonVma(ctx: Context, head: number): Coroutine {
  const mappingAt = pageWord(ctx.m, head, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, head);
  if (!mappingIsAnon(mapping)) return 0;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  if (folioMaps(ctx, head) === 0) return 0;
  const anonVma = mappingId(mapping);
  if (!(yield* getAnonVma(ctx, anonVma))) return 0;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, head));
  if (folioMaps(ctx, head) > 0) return anonVma;
  yield* putAnonVma(ctx, anonVma);
  return 0;
}

/**
 * __split_unmapped_folio(): nothing maps the folio and its count is frozen, so nobody can take hold of it or of a tail. Each
 * page becomes a locked folio with one reference: ours.
 */
function* splitUnmapped(ctx: Context, head: number, lockAt: number): Coroutine<void> {
  const { m, words } = ctx;
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
  const flags = readOnce(words, flagsWord(ctx, head)) & CLONED_FLAGS;
  // stable: the folio lock keeps the mapping, and only faults on a mapping write the cpupid
  const mapping = get(words, pageWord(m, head, PAGE_MAPPING));
  const index = folioIndex(ctx, head);
  const cpupid = get(words, pageWord(m, head, PAGE_CPUPID));
  for (let i = 1; i < m.thpPages; i++) {
    const pfn = head + i;
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
    setFlag(ctx, pfn, flags);
    yield* lockTail(ctx, pfn, pfn === lockAt);
    set(words, pageWord(m, pfn, PAGE_INDEX), index + i);
    set(words, pageWord(m, pfn, PAGE_CPUPID), cpupid);
    const mappingAt = pageWord(m, pfn, PAGE_MAPPING);
    if (--ctx.quantum < 0) yield writes(mappingAt);
    writeOnce(words, mappingAt, mapping);
    // a folio of its own from here on; its count is still 0
    const compoundAt = pageWord(m, pfn, PAGE_COMPOUND);
    if (--ctx.quantum < 0) yield writes(compoundAt);
    writeOnce(words, compoundAt, 0);
  }
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  clearFlag(ctx, head, PG_HAS_HWPOISONED | PG_MAYBE_SHARED);
  const compoundAt = pageWord(m, head, PAGE_COMPOUND);
  if (--ctx.quantum < 0) yield writes(compoundAt);
  writeOnce(words, compoundAt, 0);
  ctx.probe.onSplit(ctx, head);
  // folio_expected_ref_count() is 0 for each, for nothing maps them
  for (let i = 1; i < m.thpPages; i++) {
    const refsAt = pageWord(m, head + i, PAGE_REFS);
    if (--ctx.quantum < 0) yield updates(refsAt);
    fetchAdd(words, refsAt, 1);
    ctx.probe.onRef(ctx, head + i, 1, REF_TEMP);
  }
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refUnfreeze(ctx, head, 1);
}

/**
 * The tails are locked as their flags are cloned. That is no acquisition, so only the page whose lock the caller will hold
 * enters the list of held locks.
 */
function* lockTail(ctx: Context, pfn: number, keep: boolean): Coroutine<void> {
  const lock = folioLockWord(ctx, pfn);
  if (--ctx.quantum < 0) yield writes(lock);
  writeOnce(ctx.words, lock, ctx.actor + 1);
  if (!keep) return;
  pushHeld(ctx, lock, LOCK_FOLIO, LOCK_WRITE, false);
  ctx.probe.onAcquire(ctx, lock, LOCK_FOLIO, LOCK_WRITE, true);
}

/** remap_page(), then every folio but the caller's is unlocked and put: those that nobody maps are freed. */
function* remapAndRelease(ctx: Context, head: number, lockAt: number): Coroutine<void> {
  const end = head + ctx.m.thpPages;
  for (let pfn = head; pfn < end; pfn++) {
    yield* removeMigrationPtes(ctx, pfn, pfn, RMP_LOCKED | RMP_USE_SHARED_ZEROPAGE);
  }
  for (let pfn = head; pfn < end; pfn++) {
    if (pfn === lockAt) continue;
    const lock = folioLockWord(ctx, pfn);
    if (--ctx.quantum < 0) yield releases(lock);
    if (pfn === head) {
      folioUnlock(ctx, head);
    } else {
      lamportRelease(ctx, lock);
      if (xchg(ctx.words, lock, 0) < 0) wake(ctx.m, lock);
    }
    yield* folioPut(ctx, pfn, REF_TEMP);
  }
}

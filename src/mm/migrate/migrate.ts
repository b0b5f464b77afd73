/**
 * migrate_pages: moves isolated folios to other frames (mm/migrate.c, v6.18; kernel-model 3.11). Two loops since v6.8:
 * unmap everything, with a notifier for each VMA and each try; then move what was unmapped, without one. ASYNC (the
 * NUMA balancer) tries 10 times; the other modes make one ASYNC batch of 3 tries first and then 7 more, folio by folio,
 * that may sleep. v6.1 unmapped and moved in one loop of 10.
 *
 * So a pinned exclusive page costs 10 notifier pairs, a page with a plain reference one a batch. THPs that cannot be
 * had whole are not split here: the caller gets -ENOMEM, as NUMA balancing does.
 */
import {
  EAGAIN,
  EBUSY,
  ENOMEM,
  MIGRATE_ASYNC,
  MIGRATE_SYNC,
  MIGRATE_SYNC_LIGHT,
  NUMA_NO_NODE,
  PG_UPTODATE,
  PG_WRITEBACK,
} from '../../machine/abi.js';
import { MECH } from '../../machine/mechanisms.js';
import { type Context, type Coroutine, REF_ALLOC, REF_ISOLATED } from '../../machine/context.js';
import { LOCAL, acquires, reads, tries } from '../../machine/effects.js';
import { MIGRATE_PASSES, PAGE_MAPPING, globalWord, pageWord } from '../../machine/layout.js';
import {
  LATENCY,
  MC_ATTEMPTS,
  MC_BACKED_OUT,
  STAT,
  countMechanism,
  countStat,
  noteLatency,
} from '../../machine/stats.js';
import { contended, waitWhile } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { folioLock, folioLockWord, folioTrylock } from '../../locks/exclusive.js';
import { peek, readOnce } from '#words';
import { getAnonVma, putAnonVma } from '../rmap/anon-vma.js';
import {
  flagsWord,
  folioMapping,
  folioMaps,
  folioOrder,
  folioPages,
  folioPut,
  folioRefs,
  mappingId,
  mappingIsAnon,
  mappingIsKsm,
  mapsWord,
  pageNode,
  refsWord,
} from '../folio.js';
import { tryToUnmapFlush } from '../rmap/flush.js';
import { migrateFolioRecord, migrateFolioUndo, unlock } from './move.js';
import { TTU_BATCH, tryToMigrate } from '../rmap/migrate.js';
import { removeMigrationPtes } from './restore.js';
import { GFP_PINNABLE, GFP_THISNODE, allocPages } from '../page-alloc.js';
import { folioPutbackLru } from '../swap.js';

/** NR_MAX_MIGRATE_PAGES_RETRY, _ASYNC_RETRY, _SYNC_RETRY. */
const PASSES = 10;
const ASYNC_PASSES = 3;
const SYNC_PASSES = 7;
/** ... or fewer, where a file says so. */
const passesOf = (ctx: Context, passes: number): number =>
  Math.min(passes, peek(ctx.words, globalWord(ctx.m, MIGRATE_PASSES)));
/** What migrateFolioUnmap answers when the folio was freed from under it. */
const FREED = 0;

/**
 * migrate_pages(). Consumes the isolation of every folio: those that move are freed, those that stay go back to the
 * LRU.
 * @param pfns heads of isolated folios
 * @param node only this node's frames will do; NUMA_NO_NODE: any, nearest first. Under MECH.longterm_migrate only
 *   frames that may be pinned for long
 * @param mode MIGRATE_*
 * @returns folios that were not migrated
 */
export function* migratePages(ctx: Context, pfns: number[], node: number, mode: number): Coroutine {
  const { m, actor } = ctx;
  const { mechanism } = ctx.task;
  const started = ctx.clock();
  countMechanism(m, actor, mechanism, MC_ATTEMPTS, pfns.length);
  let failed: number[] = [];
  if (ctx.kernel.rules.migrateLoops === 'v6.1') {
    yield* migrateOneLoop(ctx, pfns, node, mode, failed);
  } else if (mode === MIGRATE_ASYNC) {
    yield* migratePagesBatch(ctx, pfns, node, mode, passesOf(ctx, PASSES), failed);
  } else {
    // migrate_pages_sync()
    const left: number[] = [];
    let result = yield* migratePagesBatch(ctx, pfns, node, MIGRATE_ASYNC, passesOf(ctx, ASYNC_PASSES), left);
    if (result === -ENOMEM) {
      failed = left;
    } else {
      for (let i = 0; i < left.length; i++) {
        const one = [left[i] as number];
        if (result !== -ENOMEM)
          result = yield* migratePagesBatch(ctx, one, node, mode, passesOf(ctx, SYNC_PASSES), failed);
        else failed.push(one[0] as number);
      }
    }
  }
  // putback_movable_pages()
  for (let i = 0; i < failed.length; i++) {
    const head = failed[i] as number;
    countMechanism(m, actor, mechanism, MC_BACKED_OUT, folioPages(ctx, head));
    countStat(m, actor, STAT.migrate_failures, 1);
    yield* folioPutbackLru(ctx, head);
  }
  noteLatency(ctx, LATENCY.migrate, started);
  return failed.length;
}

/**
 * migrate_pages_batch(): up to `passes` tries to unmap, one flush, up to `passes` tries to move.
 * @param failed receives the folios that stay, still isolated
 * @returns 0 or -ENOMEM
 */
function* migratePagesBatch(
  ctx: Context,
  pfns: readonly number[],
  node: number,
  mode: number,
  passes: number,
  failed: number[],
): Coroutine {
  let waiting = pfns;
  const sources: number[] = [];
  const targets: number[] = [];
  let outOfMemory = false;
  for (let pass = 0; pass < passes && waiting.length > 0 && !outOfMemory; pass++) {
    const again: number[] = [];
    for (let i = 0; i < waiting.length; i++) {
      const src = waiting[i] as number;
      if (outOfMemory) {
        again.push(src);
        continue;
      }
      // cond_resched()
      if (--ctx.quantum < 0) yield LOCAL;
      const dst = yield* migrateFolioUnmap(ctx, src, node, mode, mode === MIGRATE_ASYNC ? TTU_BATCH : 0, false);
      if (dst > 0) {
        sources.push(src);
        targets.push(dst);
      } else if (dst !== FREED) {
        emit(ctx, EVENT.migrate, src, 0, dst, pass);
        outOfMemory = dst === -ENOMEM;
        // anything else is permanent and not tried again
        (dst === -EAGAIN || outOfMemory ? again : failed).push(src);
      }
    }
    waiting = again;
  }
  failed.push(...waiting);
  yield* tryToUnmapFlush(ctx);
  for (let pass = 0; pass < passes && sources.length > 0; pass++) {
    let kept = 0;
    for (let i = 0; i < sources.length; i++) {
      const src = sources[i] as number;
      const dst = targets[i] as number;
      if (--ctx.quantum < 0) yield LOCAL;
      const result = yield* ctx.kernel.migrateFolioMove(ctx, src, dst);
      if (result === 0) continue;
      emit(ctx, EVENT.migrate, src, dst, result, pass);
      if (result === -EAGAIN) {
        sources[kept] = src;
        targets[kept++] = dst;
      } else {
        yield* migrateFolioUndo(ctx, src, dst);
        failed.push(src);
      }
    }
    sources.length = kept;
    targets.length = kept;
  }
  // migrate_folios_undo()
  for (let i = 0; i < sources.length; i++) {
    yield* migrateFolioUndo(ctx, sources[i] as number, targets[i] as number);
    failed.push(sources[i] as number);
  }
  return outOfMemory ? -ENOMEM : 0;
}

/**
 * v6.1's loop: unmap_and_move() of each folio, 10 passes, undone after each failure. It waits for a lock from pass 3
 * on.
 */
function* migrateOneLoop(
  ctx: Context,
  pfns: readonly number[],
  node: number,
  mode: number,
  failed: number[],
): Coroutine<void> {
  let waiting = pfns;
  const passes = passesOf(ctx, PASSES);
  for (let pass = 0; pass < passes && waiting.length > 0; pass++) {
    const again: number[] = [];
    for (let i = 0; i < waiting.length; i++) {
      const src = waiting[i] as number;
      if (--ctx.quantum < 0) yield LOCAL;
      const dst = yield* migrateFolioUnmap(ctx, src, node, mode, 0, pass <= 2);
      let result = dst > 0 ? 0 : dst;
      if (dst > 0) {
        result = yield* ctx.kernel.migrateFolioMove(ctx, src, dst);
        if (result !== 0) yield* migrateFolioUndo(ctx, src, dst);
      }
      if (result === 0) continue;
      emit(ctx, EVENT.migrate, src, 0, result, pass);
      if (result === -ENOMEM) {
        failed.push(...again, ...waiting.slice(i));
        return;
      }
      (result === -EAGAIN ? again : failed).push(src);
    }
    waiting = again;
  }
  failed.push(...waiting);
}

/**
 * migrate_folio_unmap(), steps 1 to 5.
 * @param trylockOnly a lock that is held is not waited for, whatever the mode
 * @returns the new folio, both locked and nothing mapping the old one; FREED (nobody else held it; it is gone);
 *   -EAGAIN, -EBUSY (under writeback), -ENOMEM: undone
 */
function* migrateFolioUnmap(
  ctx: Context,
  src: number,
  node: number,
  mode: number,
  ttu: number,
  trylockOnly: boolean,
): Coroutine {
  if (--ctx.quantum < 0) yield reads(refsWord(ctx, src));
  if (folioRefs(ctx, src) === 1) {
    yield* folioPut(ctx, src, REF_ISOLATED);
    return FREED;
  }
  const dst = yield* allocTarget(ctx, src, node);
  if (dst < 0) return -ENOMEM;
  if (!(yield* lockSource(ctx, src, trylockOnly ? MIGRATE_ASYNC : mode))) {
    yield* folioPut(ctx, dst, REF_ALLOC);
    return -EAGAIN;
  }
  let result = yield* waitForWriteback(ctx, src, mode);
  let wasMapped = false;
  let anonVma = 0;
  if (result === 0) {
    anonVma = yield* folioGetAnonVma(ctx, src);
    result = -EAGAIN;
    const lock = folioLockWord(ctx, dst);
    if (--ctx.quantum < 0) yield tries(lock);
    if (folioTrylock(ctx, dst)) {
      if (--ctx.quantum < 0) yield reads(mapsWord(ctx, src));
      wasMapped = folioMaps(ctx, src) > 0;
      if (!wasMapped || (yield* tryToMigrate(ctx, src, ttu))) {
        migrateFolioRecord(ctx, dst, wasMapped, anonVma);
        return dst;
      }
      yield* removeMigrationPtes(ctx, src, src);
      yield* unlock(ctx, dst);
    }
    if (anonVma !== 0) yield* putAnonVma(ctx, anonVma);
  }
  yield* unlock(ctx, src);
  yield* folioPut(ctx, dst, REF_ALLOC);
  return result;
}

/** alloc_migration_target(), alloc_misplaced_dst_folio(). */
function* allocTarget(ctx: Context, src: number, node: number): Coroutine {
  const pinnable = ctx.task.mechanism === MECH.longterm_migrate ? GFP_PINNABLE : 0;
  return yield* node === NUMA_NO_NODE
    ? allocPages(ctx, folioOrder(ctx, src), pageNode(ctx, src), pinnable)
    : allocPages(ctx, folioOrder(ctx, src), node, pinnable | GFP_THISNODE);
}

/** Locks the old folio: ASYNC does not wait, SYNC_LIGHT not for a page that is being read. */
function* lockSource(ctx: Context, src: number, mode: number): Coroutine<boolean> {
  const lock = folioLockWord(ctx, src);
  if (--ctx.quantum < 0) yield tries(lock);
  if (folioTrylock(ctx, src)) return true;
  if (mode === MIGRATE_ASYNC) return false;
  if (mode === MIGRATE_SYNC_LIGHT) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, src));
    if ((readOnce(ctx.words, flagsWord(ctx, src)) & PG_UPTODATE) === 0) return false;
  }
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!folioLock(ctx, src)) yield contended(ctx, lock);
  return true;
}

/** Step 2. Returns 0 or -EBUSY. */
function* waitForWriteback(ctx: Context, src: number, mode: number): Coroutine {
  const at = flagsWord(ctx, src);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(at);
    const flags = readOnce(ctx.words, at);
    if ((flags & PG_WRITEBACK) === 0) return 0;
    if (mode !== MIGRATE_SYNC) return -EBUSY;
    yield waitWhile(ctx, at, flags);
  }
}

/** folio_get_anon_vma(): the anon_vma of a mapped folio, referenced, so that it outlives the mappings; else 0. */
export function* folioGetAnonVma(ctx: Context, src: number): Coroutine {
  const mappingAt = pageWord(ctx.m, src, PAGE_MAPPING);
  if (--ctx.quantum < 0) yield reads(mappingAt);
  const mapping = folioMapping(ctx, src);
  if (!mappingIsAnon(mapping) || mappingIsKsm(mapping)) return 0;
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, src));
  if (folioMaps(ctx, src) === 0) return 0;
  const anonVma = mappingId(mapping);
  if (!(yield* getAnonVma(ctx, anonVma))) return 0;
  // still mapped, hence it is still the same anon_vma
  if (--ctx.quantum < 0) yield reads(mapsWord(ctx, src));
  if (folioMaps(ctx, src) > 0) return anonVma;
  yield* putAnonVma(ctx, anonVma);
  return 0;
}

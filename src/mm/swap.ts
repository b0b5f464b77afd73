/**
 * LRU batches and isolation (mm/swap.c, mm/vmscan.c folio_isolate_lru, v6.18). A new folio goes to the LRU through its
 * CPU's batch, which holds a reference for a while: the stray reference that refs tests meet. The LRU list itself is only
 * PG_lru here, since nothing reclaims from it.
 */
import { PG_LRU } from '../machine/abi.js';
import { type Context, type Coroutine, REF_ISOLATED, REF_LRU_BATCH } from '../machine/context.js';
import { acquires, releases, updates } from '../machine/effects.js';
import { CPU_LRU_COUNT, CPU_LRU_LOCK, CPU_LRU_PFNS, GLOBAL_LRU_DRAIN_MUTEX, cpuWord, globalLock } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_LRU_BATCH, LOCK_LRU_DRAIN_MUTEX } from '../locks/classes.js';
import { mutexLock, mutexUnlock, spinLock, spinUnlock } from '../locks/exclusive.js';
import { clearFlag, flagsWord, folioPut, refAdd, refsWord, setFlag } from './folio.js';
import { get, set } from '#words';

/** folio_add_lru(): the caller holds a reference. */
export function* folioAddLru(ctx: Context, head: number): Coroutine<void> {
  const { m, words } = ctx;
  const limit = m.config.lruBatch;
  if (limit === 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_LRU);
    return;
  }
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refAdd(ctx, head, 1, REF_LRU_BATCH);
  const lock = cpuWord(m, ctx.actor, CPU_LRU_LOCK);
  const countAt = cpuWord(m, ctx.actor, CPU_LRU_COUNT);
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!spinLock(ctx, lock, LOCK_LRU_BATCH)) yield contended(ctx, lock);
  const count = get(words, countAt);
  set(words, cpuWord(m, ctx.actor, CPU_LRU_PFNS) + count, head);
  set(words, countAt, count + 1);
  if (--ctx.quantum < 0) yield releases(lock);
  spinUnlock(ctx, lock, LOCK_LRU_BATCH);
  if (count + 1 >= limit) yield* lruAddDrainCpu(ctx, ctx.actor);
}

/** lru_add_drain(): this CPU's batch goes to the LRU. */
export const lruAddDrain = (ctx: Context): Coroutine<void> => lruAddDrainCpu(ctx, ctx.actor);

/** lru_add_drain_cpu(): takes the pages one by one, since putting one may free it, which the batch lock must not span. */
function* lruAddDrainCpu(ctx: Context, cpu: number): Coroutine<void> {
  const { m, words } = ctx;
  const lock = cpuWord(m, cpu, CPU_LRU_LOCK);
  const countAt = cpuWord(m, cpu, CPU_LRU_COUNT);
  for (;;) {
    if (--ctx.quantum < 0) yield acquires(lock);
    while (!spinLock(ctx, lock, LOCK_LRU_BATCH)) yield contended(ctx, lock);
    const count = get(words, countAt);
    const head = count > 0 ? get(words, cpuWord(m, cpu, CPU_LRU_PFNS) + count - 1) : 0;
    if (count > 0) set(words, countAt, count - 1);
    if (--ctx.quantum < 0) yield releases(lock);
    spinUnlock(ctx, lock, LOCK_LRU_BATCH);
    if (count === 0) return;
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_LRU);
    yield* folioPut(ctx, head, REF_LRU_BATCH);
  }
}

/**
 * lru_add_drain_all(): every CPU's batch. The kernel queues work on each CPU and waits; here the caller does it under the
 * batch's lock, which orders the two the same way and needs no CPU to answer.
 */
export function* lruAddDrainAll(ctx: Context): Coroutine<void> {
  const lock = globalLock(ctx.m, GLOBAL_LRU_DRAIN_MUTEX);
  if (ctx.m.config.lruBatch === 0) return;
  if (--ctx.quantum < 0) yield acquires(lock);
  while (!mutexLock(ctx, lock, LOCK_LRU_DRAIN_MUTEX)) yield contended(ctx, lock);
  for (let cpu = 0; cpu < ctx.m.cpus; cpu++) yield* lruAddDrainCpu(ctx, cpu);
  if (--ctx.quantum < 0) yield releases(lock);
  mutexUnlock(ctx, lock, LOCK_LRU_DRAIN_MUTEX);
}

/** folio_isolate_lru(): one winner clears PG_lru and takes a reference. The caller holds a reference or the PTL. */
export function* folioIsolateLru(ctx: Context, head: number): Coroutine<boolean> {
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  if ((clearFlag(ctx, head, PG_LRU) & PG_LRU) === 0) return false;
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refAdd(ctx, head, 1, REF_ISOLATED);
  return true;
}

/** folio_putback_lru(). */
export function* folioPutbackLru(ctx: Context, head: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
  setFlag(ctx, head, PG_LRU);
  yield* folioPut(ctx, head, REF_ISOLATED);
}

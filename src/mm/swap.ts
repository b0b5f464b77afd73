/**
 * LRU batches and isolation (mm/swap.c, mm/vmscan.c folio_isolate_lru, v6.18). A new folio goes to the LRU through its
 * CPU's batch, which holds a reference for a while: the stray reference that refs tests meet. The LRU list itself is only
 * PG_lru here, since nothing reclaims from it.
 */
import { PG_LRU } from '../machine/abi.js';
import { glance } from '../machine/words/extra-accesses.js';
import { type Context, type Coroutine, REF_ISOLATED, REF_LRU_BATCH } from '../machine/context.js';
import { acquires, releases, updates, writes } from '../machine/effects.js';
import { CPU_LRU_COUNT, CPU_LRU_PFNS, GLOBAL_LRU_DRAIN_MUTEX, cpuWord, globalLock } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_LRU_DRAIN_MUTEX } from '../locks/classes.js';
import { mutexLock, mutexUnlock } from '../locks/exclusive.js';
import { clearFlag, flagsWord, folioPut, folioTestLarge, refAdd, refSubAndTest, refsWord, setFlag } from './folio.js';
import { freeFolio } from './page-alloc.js';
import { get, set, writeOnce, xchg } from '#words';

/** The word that lruBatchAdd stores to next, for the point before it. */
export const lruBatchSlot = (ctx: Context): number =>
  ctx.cpuAt + CPU_LRU_PFNS + get(ctx.words, ctx.cpuAt + CPU_LRU_COUNT);

/**
 * folio_batch_add() to this CPU's batch, which takes over a REF_LRU_BATCH reference: one marked store.
 * @returns whether the batch is full: drain it
 */
export function lruBatchAdd(ctx: Context, head: number): boolean {
  const { words, cpuAt } = ctx;
  const count = get(words, cpuAt + CPU_LRU_COUNT);
  writeOnce(words, cpuAt + CPU_LRU_PFNS + count, head);
  set(words, cpuAt + CPU_LRU_COUNT, count + 1);
  return count + 1 >= ctx.m.config.lruBatch;
}

/** Whether something waits in this CPU's batch. */
export const lruBatchUsed = (ctx: Context): boolean => get(ctx.words, ctx.cpuAt + CPU_LRU_COUNT) > 0;

/** folio_add_lru(): the caller holds a reference. */
export function* folioAddLru(ctx: Context, head: number): Coroutine<void> {
  if (ctx.m.config.lruBatch === 0) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_LRU);
    return;
  }
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refAdd(ctx, head, 1, REF_LRU_BATCH);
  if (--ctx.quantum < 0) yield writes(lruBatchSlot(ctx));
  // a large folio takes the batch along at once (folio_may_be_lru_cached)
  if (lruBatchAdd(ctx, head) || folioTestLarge(ctx, head)) yield* lruAddDrain(ctx);
}

/** lru_add_drain(): this CPU's batch goes to the LRU. */
export const lruAddDrain = (ctx: Context): Coroutine<void> => lruAddDrainCpu(ctx, ctx.actor);

/**
 * lru_add_drain_cpu(). The batch is the CPU's own (local_lock in the kernel); lru_add_drain_all comes from elsewhere, so
 * each slot is taken by an exchange and goes to one of the two. Only the CPU itself starts to fill it from the first again.
 */
function* lruAddDrainCpu(ctx: Context, cpu: number): Coroutine<void> {
  const { m, words } = ctx;
  const count = cpuWord(m, cpu, CPU_LRU_COUNT);
  const own = cpu === ctx.actor;
  const slots = own ? get(words, count) : m.config.lruBatch;
  for (let at = cpuWord(m, cpu, CPU_LRU_PFNS), end = at + slots; at < end; at++) {
    if (glance(words, at) === 0) continue;
    if (--ctx.quantum < 0) yield updates(at);
    const head = xchg(words, at, 0);
    if (head === 0) continue;
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_LRU);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    if (refSubAndTest(ctx, head, 1, REF_LRU_BATCH)) yield* freeFolio(ctx, head);
  }
  if (own) set(words, count, 0);
}

/**
 * lru_add_drain_all(): every CPU's batch. The kernel queues work on each CPU and waits; here the caller empties the slots
 * himself, which needs no CPU to answer. A page that its CPU is just taking out may still be on the way to the LRU.
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

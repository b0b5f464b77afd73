/**
 * Who waits for a lock waits in line. The kernel's locks are fair, each in its way: spinlocks and rwlocks are queues
 * (kernel/locking/qspinlock.c, qrwlock.c; under a hypervisor the former may be stolen until the head of the queue closes them,
 * qspinlock_paravirt.h), mutexes, rwsems and the folio lock are handed off to a first waiter that has been woken and found them
 * taken again (MUTEX_FLAG_HANDOFF, RWSEM_FLAG_HANDOFF, sysctl_page_lock_unfairness). Our threads may lose their CPU at any point, as
 * the CPUs of a guest do, and a lock that is handed off each time stands still for a wake-up each time. So here:
 *
 *     An actor that finds a lock taken draws a number. An unlock wakes the one with the smallest number, and no other. That one may
 *     be overtaken by who comes later until it has found the lock taken PATIENCE times; then it closes the lock (CLOSED) for its turn.
 *
 * So the first in line is overtaken only between its first attempts, and the next one is then the first. A lock that is free is
 * always the first's to take: it is awake, or has been rung for. (Strict queues were tried for the reader-writer locks: with eight
 * vCPUs on two cores a guest had a fifth of its accesses.)
 *
 * The line stands in the actors' records (ACTOR_QUEUED_FOR, ACTOR_TICKET) and is looked through only where a lock is contended.
 */
import type { Context } from '../machine/context.js';
import { ACTOR_QUEUED_FOR, ACTOR_TICKET, ACTOR_WORKER, HDR_LOCK_TICKETS, actorWord } from '../machine/layout.js';
import { WAITERS, lockValue, ringDoorbell, wake } from '../machine/wait.js';
import { cmpxchg, fetchAdd, rawCmpxchg, rawLoad, rawStore } from '#words';

/** In a lock word: only the first in line may take it. */
export const CLOSED = 1 << 30;

/** Failed attempts at an exclusive lock after which the first in line is no longer overtaken. */
export const PATIENCE = 2;

/** What an unlock leaves of a lock's word. */
export const QUEUE_BITS = WAITERS | CLOSED;

/** What a lock word says of its holders: without those who sleep or queue for it. */
export const holderBits = (word: number): number => word & ~QUEUE_BITS;

/** Draws a number for `lock`, unless the actor has one. */
export function joinQueue(ctx: Context, lock: number): void {
  if (ctx.task.queuedFor === lock) return;
  const { words } = ctx;
  ctx.task.queuedFor = lock;
  ctx.task.queuedTries = 0;
  rawStore(words, ctx.recordAt + ACTOR_TICKET, fetchAdd(words, HDR_LOCK_TICKETS, 1));
  rawStore(words, ctx.recordAt + ACTOR_QUEUED_FOR, lock);
}

/** The actor has the lock. */
export function leaveQueue(ctx: Context): void {
  rawStore(ctx.words, ctx.recordAt + ACTOR_QUEUED_FOR, 0);
  ctx.task.queuedFor = 0;
}

/** The actor beside `ctx`'s own with the smallest number for `lock`; -1: nobody else waits. */
function firstOther(ctx: Context, lock: number): number {
  const { m, words } = ctx;
  let first = -1;
  let smallest = 0;
  for (let other = 0; other < m.cpus; other++) {
    const at = actorWord(m, other, 0);
    if (other === ctx.actor || rawLoad(words, at + ACTOR_QUEUED_FOR) !== lock) continue;
    const ticket = rawLoad(words, at + ACTOR_TICKET);
    if (first >= 0 && ((ticket - smallest) | 0) > 0) continue;
    first = other;
    smallest = ticket;
  }
  return first;
}

/** Whether the actor, which waits for `lock`, has waited longest. */
export function isFirst(ctx: Context, lock: number): boolean {
  const { m, words } = ctx;
  const other = firstOther(ctx, lock);
  if (other < 0) return true;
  const mine = rawLoad(words, ctx.recordAt + ACTOR_TICKET);
  return ((rawLoad(words, actorWord(m, other, ACTOR_TICKET)) - mine) | 0) > 0;
}

/** Whether the actor may take `lock`, whose word holds `value`, as far as the line is concerned. */
export const mayTake = (ctx: Context, lock: number, value: number): boolean =>
  (value & CLOSED) === 0 || isFirst(ctx, lock);

/** The bits beside its holder's of a lock word that an actor takes in line: open again, WAITERS while somebody else waits. */
export const restOfQueue = (ctx: Context, lock: number): number => (firstOther(ctx, lock) < 0 ? 0 : WAITERS);

/**
 * After a failed attempt, which found `value`: closes the lock when the first in line has been patient enough, sets `more` in its word,
 * and remembers what to wait for. False: the word has changed meanwhile, try again.
 * @param held whether `value` keeps everybody out, whoever is first; else it was not the actor's turn
 */
export function keepPlace(ctx: Context, lock: number, value: number, held: boolean, more = 0): boolean {
  let seen = value | more;
  if ((value & CLOSED) === 0 && ctx.task.queuedTries + 1 >= PATIENCE && isFirst(ctx, lock)) seen |= CLOSED;
  if (seen !== value && cmpxchg(ctx.words, lock, value, seen) !== value) return false;
  ctx.task.queuedTries++;
  ctx.task.queuedOutOfTurn = !held;
  ctx.task.queuedValue = lockValue(seen);
  return true;
}

/**
 * Whether an attempt that failed for the line alone may succeed by now, though the word holds what it held: those before have had their
 * turns. Who is about to sleep asks, after it has taken its doorbell's sample: they rang it, maybe too early. (An attempt that failed
 * for who held the lock needs no such question: as long as the word is the same, somebody holds it, and rings.)
 */
export const isTurnMissed = (ctx: Context, lock: number): boolean =>
  ctx.task.queuedFor === lock && ctx.task.queuedOutOfTurn && isFirst(ctx, lock);

/** Where who holds the lock has made room for the first in line too: wakes it. */
export function wakeFirst(ctx: Context, lock: number): void {
  const first = firstOther(ctx, lock);
  if (first >= 0) ringDoorbell(ctx.m, rawLoad(ctx.words, actorWord(ctx.m, first, ACTOR_WORKER)));
}

/**
 * Lets go of a contended lock, whose word keeps the bits `kept` and says whether anybody is left in line. Wakes the first in it, and
 * those who only wait for the lock to be let go of (migration_entry_wait_on_locked()).
 */
export function unlockContended(ctx: Context, lock: number, kept: number): void {
  const { words } = ctx;
  for (;;) {
    const value = rawLoad(words, lock);
    if (rawCmpxchg(words, lock, value, (value & (kept | CLOSED)) | restOfQueue(ctx, lock)) === value) break;
  }
  wake(ctx.m, lock);
  wakeFirst(ctx, lock);
}

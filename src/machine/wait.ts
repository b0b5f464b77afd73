/**
 * The waiting protocol. Waiting is a pair (word, value seen): the actor is disabled while the word holds that value.
 *
 * A worker sleeps only on its own doorbell. Before it sleeps it (1) samples the doorbell, (2) registers itself in the
 * wait table under each word its actors wait for, (3) for a lock word, sets the WAITERS bit while the value is still
 * the one seen, (4) looks at every condition once more, (5) sleeps while the doorbell holds the sample. Whoever changes
 * a word looks the word up in the table, clears that entry and rings all doorbells it named; sleepers that find their
 * condition unchanged register again. Since the change comes before the look-up and the registration before the second
 * look at the condition, one of the two always sees the other: no wake-up is lost and no time-out is needed.
 *
 * Lock words carry a WAITERS bit so that an uncontended unlock need not look at the table.
 */
import { type Machine, WAIT_TABLE_WORDS, WORKER_DOORBELL, WORKERS_MAX, workerWord } from './layout.js';
import type { Context } from './context.js';
import { LOCAL, WAIT_LOCK, WAIT_WORD, IDLE_WORD } from './effects.js';
import { rawLoad, rawXchg } from '#words';

/** Set in a lock word while a sleeping worker is registered for it. */
export const WAITERS = 1 << 31;
/** A lock word's value without WAITERS. */
export const lockValue = (word: number): number => word & 0x7fffffff;

const slotOf = (m: Machine, word: number): number =>
  m.waitTableAt + ((Math.imul(word, 0x9e3779b1) >>> 22) % WAIT_TABLE_WORDS);

/** Registers `worker` as a sleeper for `word`. */
export function registerSleeper(m: Machine, word: number, worker: number): void {
  Atomics.or(m.words, slotOf(m, word), 1 << (worker & 31));
}

/** Rings the doorbell of one worker. */
export function ringDoorbell(m: Machine, worker: number): void {
  const at = workerWord(m, worker, WORKER_DOORBELL);
  Atomics.add(m.words, at, 1);
  Atomics.notify(m.words, at);
}

/** After a change of `word`: wakes every worker registered for it. A word nobody waits for costs one load. */
export function wake(m: Machine, word: number): void {
  const slot = slotOf(m, word);
  if (rawLoad(m.words, slot) === 0) return;
  const sleepers = rawXchg(m.words, slot, 0);
  for (let bit = 0; bit < 32; bit++) {
    if ((sleepers & (1 << bit)) === 0) continue;
    for (let worker = bit; worker < WORKERS_MAX; worker += 32) ringDoorbell(m, worker);
  }
}

/**
 * To be yielded after a failed attempt on a lock word: waits while the word holds what it holds now.
 * If it is free by now, only a point to try again.
 */
export function contended(ctx: Context, lock: number): number {
  if (ctx.task.queuedFor === lock) {
    // what the attempt decided by: whatever has changed since is worth another
    ctx.waitValue = ctx.task.queuedValue;
    return (lock << 4) | WAIT_LOCK;
  }
  const value = lockValue(rawLoad(ctx.words, lock));
  const free = ctx.freeValue;
  ctx.freeValue = 0;
  if (value === 0 || value === free) return LOCAL;
  ctx.waitValue = value;
  return (lock << 4) | WAIT_LOCK;
}

/** To be yielded: waits while `word` (whose changers call `wake`) holds `value`. */
export function waitWhile(ctx: Context, word: number, value: number): number {
  ctx.waitValue = value;
  return (word << 4) | WAIT_WORD;
}

/** To be yielded between two operations: as {@link waitWhile}, and a drain may end here. */
export function idleWhile(ctx: Context, word: number, value: number): number {
  ctx.waitValue = value;
  return (word << 4) | IDLE_WORD;
}

/** Whether an actor that yielded a WAIT_* or IDLE_WORD on `word` with `value` may go on. */
export function conditionChanged(words: Int32Array, kind: number, word: number, value: number): boolean {
  const now = rawLoad(words, word);
  return (kind === WAIT_LOCK ? lockValue(now) : now) !== value;
}

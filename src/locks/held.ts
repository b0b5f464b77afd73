/**
 * The lock context of an actor: held locks (in its shared record, so that a report can name them even when its worker is
 * gone) and the preempt count, with the Lamport times that order events through locks.
 *
 * A release writes the actor's time beside the lock and then ticks; an acquisition takes the maximum, plus one. So
 * everything before a release has a smaller time than everything after the next acquisition. One-thread runs have tick 0:
 * there an event's time is the step number.
 */
import type { Context } from '../machine/context.js';
import { ACTOR_HELD, ACTOR_HELD_COUNT, ACTOR_PREEMPT_COUNT, HELD_MAX } from '../machine/layout.js';

/** Takes over the Lamport time beside the word at `word` (locks, mailboxes, lock-free words that order actors). */
export function lamportAcquire(ctx: Context, word: number): void {
  const behind = ((ctx.words[word + 1] as number) + ctx.tick - ctx.task.time) | 0;
  if (behind > 0) ctx.task.time += behind;
}

/** Leaves the actor's Lamport time beside the word at `word`. */
export function lamportRelease(ctx: Context, word: number): void {
  ctx.words[word + 1] = ctx.task.time | 0;
  ctx.task.time += ctx.tick;
}

/** Records that `lock` is held. Spinning classes raise the preempt count. */
export function pushHeld(ctx: Context, lock: number, lockClass: number, mode: number, spins: boolean): void {
  const count = ctx.task.heldCount;
  if (count >= HELD_MAX) throw new RangeError(`actor ${ctx.actor} holds more than ${HELD_MAX} locks`);
  const words = ctx.words;
  const at = ctx.recordAt + ACTOR_HELD + 2 * count;
  words[at] = lock;
  words[at + 1] = (lockClass << 4) | mode;
  ctx.task.heldCount = count + 1;
  words[ctx.recordAt + ACTOR_HELD_COUNT] = count + 1;
  if (spins) words[ctx.recordAt + ACTOR_PREEMPT_COUNT] = ++ctx.cpu.preemptCount;
}

/** Forgets that `lock` is held; the newest entry of that lock goes. */
export function popHeld(ctx: Context, lock: number, spins: boolean): void {
  const words = ctx.words;
  const base = ctx.recordAt + ACTOR_HELD;
  const last = ctx.task.heldCount - 1;
  let i = last;
  while (i >= 0 && words[base + 2 * i] !== lock) i--;
  if (i < 0) throw new Error(`actor ${ctx.actor} releases lock word ${lock}, which it does not hold`);
  for (; i < last; i++) {
    words[base + 2 * i] = words[base + 2 * i + 2] as number;
    words[base + 2 * i + 1] = words[base + 2 * i + 3] as number;
  }
  ctx.task.heldCount = last;
  words[ctx.recordAt + ACTOR_HELD_COUNT] = last;
  if (spins) words[ctx.recordAt + ACTOR_PREEMPT_COUNT] = --ctx.cpu.preemptCount;
}

/** Whether this actor holds `lock`. */
export function holds(ctx: Context, lock: number): boolean {
  const base = ctx.recordAt + ACTOR_HELD;
  for (let i = ctx.task.heldCount - 1; i >= 0; i--) if (ctx.words[base + 2 * i] === lock) return true;
  return false;
}

/** might_sleep(): LK1 is broken when a spinlock is held or interrupts are off. `what` names the place. */
export function mightSleep(ctx: Context, what: string): void {
  if (ctx.cpu.preemptCount > 0 || ctx.cpu.irqsOff) ctx.probe.onMightSleep(ctx, what);
}

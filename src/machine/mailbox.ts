/**
 * Mailboxes: each CPU has one reserved request slot with its reply in place, so a full mailbox can hold up neither side.
 * A slot is MAIL_EMPTY, MAIL_POSTED (the server's turn) or MAIL_DONE (the caller's turn). Awaiting a reply is a spinning
 * wait, legal in atomic context: the server takes no host lock.
 *
 * A server (EL2 instance) watches one bell word, rung by every post to one of its CPUs.
 */
import type { Context, Coroutine } from './context.js';
import { adds, writes } from './effects.js';
import {
  CPU_BELL,
  CPU_MAILBOX,
  MAIL_ARGS,
  MAIL_FUNCTION,
  MAIL_LAMPORT,
  MAIL_RESULT,
  MAIL_STATE,
  MAIL_VCPU,
  cpuWord,
} from './layout.js';
import { fetchAdd, get, rawLoad, readOnce, set, writeOnce } from '#words';
import { waitWhile, wake } from './wait.js';

export const MAIL_EMPTY = 0;
export const MAIL_POSTED = 1;
const MAIL_DONE = 2;

/**
 * Sends a request to the server on CPU `server` and spins for its reply.
 * @returns its answer
 */
export function* call(
  ctx: Context,
  server: number,
  functionId: number,
  a: number,
  b: number,
  c: number,
  d: number,
): Coroutine {
  const { m, words } = ctx;
  const slot = cpuWord(m, ctx.actor, CPU_MAILBOX);
  set(words, slot + MAIL_FUNCTION, functionId);
  set(words, slot + MAIL_ARGS, a);
  set(words, slot + MAIL_ARGS + 1, b);
  set(words, slot + MAIL_ARGS + 2, c);
  set(words, slot + MAIL_ARGS + 3, d);
  set(words, slot + MAIL_VCPU, ctx.cpu.loadedVm < 0 ? -1 : (ctx.cpu.loadedVm << 8) | ctx.cpu.loadedVcpu);
  set(words, slot + MAIL_LAMPORT, ctx.task.time | 0);
  ctx.task.time += ctx.tick;
  if (--ctx.quantum < 0) yield writes(slot + MAIL_STATE);
  writeOnce(words, slot + MAIL_STATE, MAIL_POSTED);
  const bell = cpuWord(m, server, CPU_BELL);
  if (--ctx.quantum < 0) yield adds(bell);
  fetchAdd(words, bell, 1);
  wake(m, bell);
  for (;;) {
    // the look is a wait at once: to look too early would be an execution of its own that differs in nothing
    if (--ctx.quantum < 0) yield waitWhile(ctx, slot + MAIL_STATE, MAIL_POSTED);
    if (readOnce(words, slot + MAIL_STATE) === MAIL_DONE) break;
    yield waitWhile(ctx, slot + MAIL_STATE, MAIL_POSTED);
  }
  const behind = (get(words, slot + MAIL_LAMPORT) + ctx.tick - ctx.task.time) | 0;
  if (behind > 0) ctx.task.time += behind;
  const result = get(words, slot + MAIL_RESULT);
  // private again: the server looks only at POSTED slots
  if (--ctx.quantum < 0) yield writes(slot + MAIL_STATE);
  writeOnce(words, slot + MAIL_STATE, MAIL_EMPTY);
  return result;
}

/** The server's side: answers the request in the slot of `cpu`. A point (`writes` of the slot's state) comes before. */
export function reply(ctx: Context, cpu: number, result: number): void {
  const { m, words } = ctx;
  const slot = cpuWord(m, cpu, CPU_MAILBOX);
  set(words, slot + MAIL_RESULT, result);
  set(words, slot + MAIL_LAMPORT, ctx.task.time | 0);
  ctx.task.time += ctx.tick;
  writeOnce(words, slot + MAIL_STATE, MAIL_DONE);
  wake(m, slot + MAIL_STATE);
}

/** The bell of the server that is starting: a look before its first point, which nobody can have rung yet in one-thread runs. */
export const bellAtStart = (ctx: Context): number => rawLoad(ctx.words, cpuWord(ctx.m, ctx.actor, CPU_BELL));

/** Whether the slot of `cpu` holds a request (a marked read), taking over the sender's time when it does. */
export function posted(ctx: Context, cpu: number): boolean {
  const slot = cpuWord(ctx.m, cpu, CPU_MAILBOX);
  if (readOnce(ctx.words, slot + MAIL_STATE) !== MAIL_POSTED) return false;
  const behind = (get(ctx.words, slot + MAIL_LAMPORT) + ctx.tick - ctx.task.time) | 0;
  if (behind > 0) ctx.task.time += behind;
  return true;
}

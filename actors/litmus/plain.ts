/** Litmus operations on scratch words, eight of them, 0 at the start: what a missing barrier does, without any mm around it. */
import type { Context, Coroutine } from '../../src/machine/context.js';
import { reads, writes } from '../../src/machine/effects.js';
import { STORE_BUFFER_SLOTS } from '../../src/machine/layout.js';
import {
  bufferStore,
  drainedWord,
  forwarded,
  isBuffered,
  scratchWord,
  storedWord,
} from '../../src/machine/store-buffer.js';
import { waitWhile, wake } from '../../src/machine/wait.js';
import { fetchAdd, get, readOnce, set, writeOnce } from '#words';
import type { LitmusOperation } from './row.js';
import type { LitmusTask } from '../../src/plan/litmus.js';

type Args = readonly number[];

/** Until at most `most` stores of this CPU have not gone to memory. */
function* untilDrained(ctx: Context, most: number): Coroutine<void> {
  const stored = get(ctx.words, storedWord(ctx.actor));
  const drained = drainedWord(ctx.actor);
  if (--ctx.quantum < 0) yield reads(drained);
  for (;;) {
    const seen = readOnce(ctx.words, drained);
    if (stored - seen <= most) return;
    yield waitWhile(ctx, drained, seen);
  }
}

function* plainWrite(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const [n, value] = args as [number, number];
  if (isBuffered(ctx)) {
    if (get(ctx.words, storedWord(ctx.actor)) >= STORE_BUFFER_SLOTS) yield* untilDrained(ctx, STORE_BUFFER_SLOTS - 1);
    if (--ctx.quantum < 0) yield writes(storedWord(ctx.actor));
    bufferStore(ctx, n, value);
    return 0;
  }
  if (--ctx.quantum < 0) yield writes(scratchWord(n));
  set(ctx.words, scratchWord(n), value);
  return 0;
}

function* plainRead(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const [n] = args as [number];
  if (--ctx.quantum < 0) yield reads(scratchWord(n));
  return isBuffered(ctx) ? forwarded(ctx, n) : get(ctx.words, scratchWord(n));
}

/** smp_mb(): in one-thread runs it waits until the CPU's stores are in memory; a locked instruction otherwise. */
function* barrier(ctx: Context): Coroutine {
  if (isBuffered(ctx)) yield* untilDrained(ctx, 0);
  else fetchAdd(ctx.words, drainedWord(ctx.actor), 0);
  return 0;
}

/** A sequentially consistent store, as Atomics.store is: what is in the buffer goes first. */
function* onceWrite(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const [n, value] = args as [number, number];
  if (isBuffered(ctx)) yield* untilDrained(ctx, 0);
  if (--ctx.quantum < 0) yield writes(scratchWord(n));
  writeOnce(ctx.words, scratchWord(n), value);
  wake(ctx.m, scratchWord(n));
  return 0;
}

export const LITMUS_PLAIN: readonly LitmusOperation[] = [
  {
    name: 'plain_write',
    params: ['scratch', 'value'],
    by: 'any',
    result: 'errno',
    summary: 'a plain store to a scratch word',
    run: plainWrite,
  },
  {
    name: 'plain_read',
    params: ['scratch'],
    by: 'any',
    result: 'value',
    summary: 'a plain load of a scratch word',
    run: plainRead,
  },
  { name: 'barrier', params: [], by: 'any', result: 'errno', summary: 'smp_mb()', run: barrier },
  {
    name: 'once_write',
    params: ['scratch', 'value'],
    by: 'any',
    result: 'errno',
    summary: 'a store with a barrier before and after it',
    run: onceWrite,
  },
];

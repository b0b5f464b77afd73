/**
 * Scratch words for litmus tests of the memory model, and the store buffers of the model: total store order (x86-TSO: Owens, Sarkar,
 * Sewell, TPHOLs 2009). Each CPU has a queue of plain stores; its own loads look there first; the oldest store goes to memory at
 * any time. Without the model (real threads have buffers of their own) the plain accesses are JavaScript's.
 *
 *   buffer of a CPU: stores put in, stores that have left, then BUFFER_SLOTS times the word's number and the value
 */
import { touches } from './words/extra-accesses.js';
import type { Context } from './context.js';
import { writes } from './effects.js';
import {
  HDR_SCRATCH,
  HDR_STORE_BUFFER,
  HDR_STORE_BUFFERS,
  LINE,
  STORE_BUFFER_DRAINED,
  STORE_BUFFER_ENTRIES,
  STORE_BUFFER_SLOTS,
  STORE_BUFFER_STORED,
  STORE_BUFFER_WORDS,
} from './layout.js';
import { wake } from './wait.js';

export const scratchWord = (n: number): number => HDR_SCRATCH + (n & 1) * LINE + (n >> 1);
const bufferOf = (cpu: number): number => HDR_STORE_BUFFERS + cpu * STORE_BUFFER_WORDS;
/** How many stores `cpu` has put into its buffer, and how many have left it. */
export const storedWord = (cpu: number): number => bufferOf(cpu) + STORE_BUFFER_STORED;
export const drainedWord = (cpu: number): number => bufferOf(cpu) + STORE_BUFFER_DRAINED;
const slotWord = (cpu: number, store: number): number =>
  bufferOf(cpu) + STORE_BUFFER_ENTRIES + 2 * (store % STORE_BUFFER_SLOTS);

/** Whether plain stores wait in a modelled buffer. */
export const isBuffered = (ctx: Context): boolean => ctx.words[HDR_STORE_BUFFER] === 1;

/** Puts a store at the end of the CPU's buffer, which must have room. */
export function bufferStore(ctx: Context, n: number, value: number): void {
  const { words, actor } = ctx;
  const stored = words[storedWord(actor)] as number;
  const slot = slotWord(actor, stored);
  words[slot] = n;
  words[slot + 1] = value;
  Atomics.store(words, storedWord(actor), stored + 1);
  wake(ctx.m, storedWord(actor));
}

/** The value of the CPU's youngest store to scratch word `n` that has not left its buffer; else what memory holds. */
export function forwarded(ctx: Context, n: number): number {
  const { words, actor } = ctx;
  const drained = words[drainedWord(actor)] as number;
  for (let store = (words[storedWord(actor)] as number) - 1; store >= drained; store--) {
    const slot = slotWord(actor, store);
    if (words[slot] === n) return words[slot + 1] as number;
  }
  return words[scratchWord(n)] as number;
}

/** The scratch word that the oldest store of `cpu` goes to. */
export const oldestStore = (ctx: Context, cpu: number): number =>
  scratchWord(ctx.words[slotWord(cpu, ctx.words[drainedWord(cpu)] as number)] as number);

/** The oldest store of `cpu` goes to memory. */
export function drainOldest(ctx: Context, cpu: number): void {
  const { words } = ctx;
  const drained = words[drainedWord(cpu)] as number;
  const slot = slotWord(cpu, drained);
  Atomics.store(words, scratchWord(words[slot] as number), words[slot + 1] as number);
  Atomics.store(words, drainedWord(cpu), drained + 1);
  touches(writes(drainedWord(cpu)), drained);
  wake(ctx.m, drainedWord(cpu));
}

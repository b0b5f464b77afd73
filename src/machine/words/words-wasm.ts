/**
 * What the blocking form has in the place of words.ts (.ci/blocking.mjs): the same functions, through WebAssembly's atomic
 * instructions. V8 calls a built-in for each of `Atomics`, which checks what kind of array it has; a call from compiled JavaScript to
 * a function of a WebAssembly module is a few instructions (measured on Node 20 to 24: a load 2.3 ns against 4.8, an exchange 6.5
 * against 9, a fault a quarter less). They are the same instructions of the same strength: both are sequentially consistent.
 *
 * A worker that runs the blocking form has one machine for its life, and `bindWords` says which: `words` is always that machine's. Its
 * memory may be a plain SharedArrayBuffer, where a system grants no WebAssembly memory: then these are `Atomics` after all.
 */
import type { Machine } from '../layout.js';

/** The machine's words. Always the Int32Array over the machine's memory. */
export type Words = Int32Array;

type Load = (index: number) => number;
type Update = (index: number, value: number) => number;

interface Instructions {
  readonly load: Load;
  readonly store: (index: number, value: number) => void;
  readonly add: Update;
  readonly and: Update;
  readonly or: Update;
  readonly xchg: Update;
  readonly cmpxchg: (index: number, expected: number, next: number) => number;
}

const unbound = (): never => {
  throw new Error('the blocking form of kernel code has not been told its machine (bindWords)');
};
let load: Instructions['load'] = unbound;
let store: Instructions['store'] = unbound;
let add: Instructions['add'] = unbound;
let and: Instructions['and'] = unbound;
let or: Instructions['or'] = unbound;
let swap: Instructions['xchg'] = unbound;
let compareAndSwap: Instructions['cmpxchg'] = unbound;

/** The machine whose words all functions of this module access from here on. */
export function bindWords(m: Machine): void {
  ({ load, store, add, and, or, xchg: swap, cmpxchg: compareAndSwap } = instructionsFor(m));
}

function instructionsFor({ memory, words }: Machine): Instructions {
  if (memory !== null) {
    const module = new WebAssembly.Module(moduleBytes());
    return new WebAssembly.Instance(module, { m: { m: memory } }).exports as unknown as Instructions;
  }
  return {
    load: (index) => Atomics.load(words, index),
    store: (index, value) => void Atomics.store(words, index, value),
    add: (index, value) => Atomics.add(words, index, value),
    and: (index, value) => Atomics.and(words, index, value),
    or: (index, value) => Atomics.or(words, index, value),
    xchg: (index, value) => Atomics.exchange(words, index, value),
    cmpxchg: (index, expected, next) => Atomics.compareExchange(words, index, expected, next),
  };
}

/** Opcodes behind the 0xfe of i32.atomic.*; arguments beside the word's index; whether there is a result. */
const INSTRUCTIONS: readonly (readonly [name: keyof Instructions, opcode: number, values: number, result: boolean])[] =
  [
    ['load', 0x10, 0, true],
    ['store', 0x17, 1, false],
    ['add', 0x1e, 1, true],
    ['and', 0x2c, 1, true],
    ['or', 0x33, 1, true],
    ['xchg', 0x41, 1, true],
    ['cmpxchg', 0x48, 2, true],
  ];

/** "\0asm", version 1. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0] as const;

/** A module of one function for each instruction, over the memory that it imports: (index, values...) -> the value before. */
function moduleBytes(): Uint8Array {
  const I32 = 0x7f;
  const list = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()];
  const text = (name: string): number[] => list([...name].map((letter) => [letter.charCodeAt(0)]));
  const section = (id: number, bytes: readonly number[]): number[] => [id, ...leb(bytes.length), ...bytes];
  const type = (values: number, result: boolean): number[] => [
    0x60,
    ...list(Array.from({ length: values + 1 }, () => [I32])),
    ...list(result ? [[I32]] : []),
  ];
  const body = (opcode: number, values: number): number[] => {
    // local.get 0, i32.const 2, i32.shl; local.get of each value; i32.atomic.* align=2 offset=0; end
    const gets = Array.from({ length: values }, (_, i) => [0x20, i + 1]).flat();
    const code = [0, 0x20, 0, 0x41, 2, 0x74, ...gets, 0xfe, opcode, 2, 0, 0x0b];
    return [...leb(code.length), ...code];
  };
  return Uint8Array.from([
    ...MAGIC,
    ...section(1, list(INSTRUCTIONS.map(([, , values, result]) => type(values, result)))),
    // a shared memory (3) of at least 1 page, at most 65536
    ...section(2, list([[...text('m'), ...text('m'), 2, 3, ...leb(1), ...leb(65_536)]])),
    ...section(3, list(INSTRUCTIONS.map((_, i) => leb(i)))),
    ...section(7, list(INSTRUCTIONS.map(([name], i) => [...text(name), 0, ...leb(i)]))),
    ...section(10, list(INSTRUCTIONS.map(([, opcode, values]) => body(opcode, values)))),
  ]);
}

/** A number as WebAssembly writes it: seven bits a byte, the lowest first. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

export function readOnce(_words: Words, index: number): number {
  return load(index);
}

export function writeOnce(_words: Words, index: number, value: number): void {
  store(index, value);
}

export function cmpxchg(_words: Words, index: number, expected: number, next: number): number {
  return compareAndSwap(index, expected, next);
}

export function xchg(_words: Words, index: number, value: number): number {
  return swap(index, value);
}

export function fetchAdd(_words: Words, index: number, delta: number): number {
  return add(index, delta);
}

export function fetchOr(_words: Words, index: number, bits: number): number {
  return or(index, bits);
}

export function fetchAnd(_words: Words, index: number, bits: number): number {
  return and(index, bits);
}

export { readOnce as rawLoad, writeOnce as rawStore, cmpxchg as rawCmpxchg, xchg as rawXchg };
export { get, look, peek, set, touched } from './words.js';

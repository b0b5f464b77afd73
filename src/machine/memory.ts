/**
 * Where a machine's words stand: a SharedArrayBuffer, or one that a WebAssembly memory lends, which the blocking form of kernel code
 * reads and writes faster (words-wasm.ts).
 */
import type { MachineConfig } from './config.js';
import { Machine } from './layout.js';

const PAGE_BYTES = 65_536;

/**
 * A machine for worker threads, its memory filled with zeros.
 * @throws RangeError as {@link Machine}'s constructor
 */
export function sharedMachine(config: MachineConfig): Machine {
  // the layout alone
  const { totalWords } = new Machine(config, new SharedArrayBuffer(0));
  const memory = lent(4 * totalWords);
  return memory === null ? new Machine(config) : new Machine(config, memory.buffer, memory);
}

/** A WebAssembly memory reserves address space beyond its size: null where there is none to be had. */
function lent(bytes: number): WebAssembly.Memory | null {
  const pages = Math.max(1, Math.ceil(bytes / PAGE_BYTES));
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch {
    return null;
  }
}

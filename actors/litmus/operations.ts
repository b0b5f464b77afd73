/**
 * The operations of litmus files, all of them: what the file's reader checks, what its actors do, what `pinfall list` shows. A
 * new mechanism comes into litmus files by a row here.
 *
 * Arguments are numbers, in the order of `params`, flattened:
 *
 *   page      mm, vpn                 a page of a process
 *   range     mm, start, end          pages [start, end)
 *   mapping   mm, start, pages, flags a mapping of the process block, with its VM_* flags
 *   slot      vm, id, gfn, pages, vpn, flags   a slot of the VM block
 *   register, gfn, value, scratch, node, count, process, vm           one number each
 *   foll, prot, advice                flags ORed, or the constant: one number
 */
import type { LitmusParam, LitmusOperation } from './row.js';
import {
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_WRITE,
  VM_EXEC,
  VM_READ,
  VM_WRITE,
} from '../../src/machine/abi.js';
import {
  MADV_COLLAPSE,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_REMOVE,
  MADV_UNMERGEABLE,
} from '../../src/mm/madvise/madvise.js';
import { LITMUS_IO } from './io.js';
import { LITMUS_FRAMES } from './frames.js';
import { LITMUS_KVM } from './kvm.js';
import { LITMUS_MM } from './mm.js';
import { LITMUS_PLAIN } from './plain.js';
import { LITMUS_WAITS } from './wait.js';

/** How many numbers each kind of argument comes to. */
export const LITMUS_PARAM_WORDS: Readonly<Record<LitmusParam, number>> = {
  page: 2,
  range: 3,
  mapping: 4,
  slot: 6,
  register: 1,
  gfn: 1,
  value: 1,
  scratch: 1,
  node: 1,
  count: 1,
  process: 1,
  vm: 1,
  foll: 1,
  prot: 1,
  advice: 1,
};

/** The words that stand for flags and constants, by kind of argument. */
export const LITMUS_WORDS: Readonly<Partial<Record<LitmusParam, Readonly<Record<string, number>>>>> = {
  foll: {
    WRITE: FOLL_WRITE,
    LONGTERM: FOLL_LONGTERM,
    FORCE: FOLL_FORCE,
    HONOR_NUMA_FAULT: FOLL_HONOR_NUMA_FAULT,
    HWPOISON: FOLL_HWPOISON,
    GET: FOLL_GET,
  },
  prot: { read: VM_READ, write: VM_WRITE, exec: VM_EXEC, none: 0 },
  advice: {
    DONTNEED: MADV_DONTNEED,
    FREE: MADV_FREE,
    REMOVE: MADV_REMOVE,
    MERGEABLE: MADV_MERGEABLE,
    UNMERGEABLE: MADV_UNMERGEABLE,
    HUGEPAGE: MADV_HUGEPAGE,
    NOHUGEPAGE: MADV_NOHUGEPAGE,
    COLLAPSE: MADV_COLLAPSE,
  },
};

export const LITMUS_OPERATIONS: readonly LitmusOperation[] = [
  ...LITMUS_MM,
  ...LITMUS_FRAMES,
  ...LITMUS_KVM,
  ...LITMUS_PLAIN,
  ...LITMUS_IO,
  ...LITMUS_WAITS,
];

/** The number of the operation of this name, or -1. */
export const litmusOperation = (name: string): number => LITMUS_OPERATIONS.findIndex((row) => row.name === name);

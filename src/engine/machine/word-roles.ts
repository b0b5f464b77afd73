/** What words are for, where that matters to an explanation: those that order steps say when something happens and decide nothing. */
import {
  AVC_WORDS,
  CPU_MAILBOX,
  CPU_WORDS,
  MAIL_STATE,
  MM_CPUMASK,
  MM_LOCK_SEQ,
  MM_MMAP_LOCK,
  MM_SRCU,
  MM_VMA_SEQ,
  type Machine,
  VMA_LOCK_SEQ,
  VMA_REFCNT,
  VMA_WORDS,
  VM_CPUMASK,
  VM_SRCU,
} from '../../machine/layout.js';

/** Of an address space: the lock, its sequence, notifier SRCU, the sequence of the VMA list, which CPUs are to be flushed. */
const OF_MM = new Set([MM_MMAP_LOCK, MM_LOCK_SEQ, MM_SRCU, MM_SRCU + 1, MM_SRCU + 2, MM_VMA_SEQ, MM_CPUMASK]);
const OF_VM = new Set([VM_SRCU, VM_SRCU + 1, VM_SRCU + 2, VM_CPUMASK]);

/** The word's place in its object, where it lies in a region of `count` of `size` words from `at` on; else -1. */
const placeIn = (word: number, at: number, count: number, size: number): number =>
  word >= at && word < at + count * size ? (word - at) % size : -1;

/**
 * Whether a word that is no plain lock serves to order steps: locks with a count in them, RCU and SRCU, sequences of locks, mailboxes and
 * bells, CPUs at work, and which CPUs a flush goes to.
 */
export function synchronises(m: Machine, word: number): boolean {
  if (placeIn(word, m.cpusAt, m.cpus, CPU_WORDS) >= 0 || placeIn(word, m.avcsAt, m.avcs, AVC_WORDS) >= 0) return true;
  const vma = placeIn(word, m.vmasAt, m.mms * m.vmasPerMm, VMA_WORDS);
  if (vma === VMA_REFCNT || vma === VMA_LOCK_SEQ) return true;
  return OF_MM.has(placeIn(word, m.mmsAt, m.mms, m.mmWords)) || OF_VM.has(placeIn(word, m.vmsAt, m.vms, m.vmWords));
}

/** The actor whose request to a server this word holds; -1: it is no such word. */
export function requester(m: Machine, word: number): number {
  if (placeIn(word, m.cpusAt, m.cpus, CPU_WORDS) !== CPU_MAILBOX + MAIL_STATE) return -1;
  return Math.trunc((word - m.cpusAt) / CPU_WORDS);
}

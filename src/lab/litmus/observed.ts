/**
 * Which words an answer can rest on, in any state: what an exhaustive search must be told of questions about every state, so that it
 * takes the order of two changes of them for a difference. A little too many is right, one too few is not: entries are
 * looked for in every table, pages in every frame.
 */
import {
  HDR_REGISTERS,
  MM_LOCKED_VM,
  MM_MMAP_LOCK,
  type Machine,
  PAGE_COMPOUND,
  PAGE_CONTENT,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_HYP,
  PAGE_LOCK,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MMU_LOCK,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  ptlOf,
  s2PteWord,
  s2RootWord,
  statsBase,
  vmWord,
} from '../../machine/layout.js';
import {
  MC_BACKED_OUT,
  MC_NOTIFIER_STARTS,
  MC_PAGES_MOVED,
  MC_STAGE2_UNMAPS,
  MECHANISM_COUNTERS,
  STAT,
  STATS_MECHANISMS_AT,
} from '../../machine/stats.js';
import { MECHANISMS } from '../../machine/mechanisms.js';
import { tlbSlot } from '../../machine/tlb.js';
import type { Expression, Predicate } from './language/conditions.js';
import { TERMS, type TermRow } from './language/terms.js';

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Fields PAGE_* of all frames; of heads too, so compound state comes with them. */
const framesWords = (m: Machine, fields: readonly number[]): number[] =>
  [...fields, PAGE_COMPOUND].flatMap((field) => count(m.frames).map((pfn) => pageWord(m, pfn, field)));

const entryWords = (m: Machine, mm: number, vpn: number): number[] => [
  pmdWord(m, mm, vpn),
  ...count(m.tables).map((table) => pteWord(m, table, vpn)),
];

const guestWords = (m: Machine, vm: number, gfn: number): number[] => [
  s2RootWord(m, vm, gfn),
  ...count(m.s2Tables).map((table) => s2PteWord(m, table, gfn)),
];

/** Counter MC_* of all mechanisms and actors. */
const counterWords = (m: Machine, counter: number): number[] =>
  count(m.cpus).flatMap((cpu) =>
    MECHANISMS.map((_, which) => statsBase(m, cpu) + STATS_MECHANISMS_AT + which * MECHANISM_COUNTERS + counter),
  );

type WordsOf = (m: Machine, args: readonly number[]) => readonly number[];
const at = (args: readonly number[], i: number): number => args[i] as number;

/** By term: the words beside those of its frame. */
const TERM_WORDS: Readonly<Record<string, WordsOf>> = {
  pfn: (m, args) => entryWords(m, at(args, 0), at(args, 1)),
  pfn0: () => [],
  refs: (m) => framesWords(m, [PAGE_REFS]),
  maps: (m) => framesWords(m, [PAGE_MAPS, PAGE_ENTIRE_MAPS]),
  pins: (m) => framesWords(m, [PAGE_REFS, PAGE_PINCOUNT]),
  content: (m) => framesWords(m, [PAGE_CONTENT]),
  node: () => [],
  flag: (m) => framesWords(m, [PAGE_FLAGS, PAGE_LOCK, PAGE_MAPPING]),
  pte: (m, args) => entryWords(m, at(args, 0), at(args, 1)),
  pmd: (m, args) => [pmdWord(m, at(args, 0), at(args, 1))],
  stage2: (m, args) => guestWords(m, at(args, 0), at(args, 1)),
  stage2_pfn: (m, args) => guestWords(m, at(args, 0), at(args, 1)),
  owner: (m) => framesWords(m, [PAGE_HYP]),
  tlb: (m, args) => [tlbSlot(m, at(args, 0), at(args, 2)), tlbSlot(m, at(args, 0), at(args, 2)) + 1],
  guest_tlb: (m, args) => [tlbSlot(m, at(args, 0), at(args, 2)), tlbSlot(m, at(args, 0), at(args, 2)) + 1],
  // the event that is tallied is written in the step that counts
  notifier_starts: (m) => counterWords(m, MC_NOTIFIER_STARTS),
  stage2_unmaps: (m) => counterWords(m, MC_STAGE2_UNMAPS),
  stage2_faults: (m, args) => args.map((cpu) => statsBase(m, cpu) + STAT.stage2_faults),
  pages_moved: (m) => counterWords(m, MC_PAGES_MOVED),
  backed_out: (m) => counterWords(m, MC_BACKED_OUT),
  locked_vm: (m, args) => [mmWord(m, at(args, 0), MM_LOCKED_VM)],
  in_progress: (m, args) => [vmWord(m, at(args, 0), VM_INVALIDATE_IN_PROGRESS)],
  seq: (m, args) => [vmWord(m, at(args, 0), VM_INVALIDATE_SEQ)],
  done: (_m, args) => [at(args, 0)],
};

/** `lock(WHICH, ...)`: its first argument is no number. */
const LOCK_WORDS: Readonly<Record<string, WordsOf>> = {
  '=mmap_lock': (m, args) => [mmWord(m, at(args, 0), MM_MMAP_LOCK)],
  '=mmu_lock': (m, args) => [vmWord(m, at(args, 0), VM_MMU_LOCK)],
  '=ptl': (m, args) => [pmdWord(m, at(args, 0), at(args, 1)), ...count(m.tables).map((table) => ptlOf(m, table))],
  '=folio': (m) => framesWords(m, [PAGE_LOCK]),
};

function ofExpression(m: Machine, expression: Expression): readonly number[] {
  if (expression.kind === 'constant') return [];
  if (expression.kind === 'register') return [HDR_REGISTERS + expression.register];
  const { name, params } = TERMS[expression.row] as TermRow;
  const words = TERM_WORDS[name] ?? LOCK_WORDS[params[0] as string];
  if (words === undefined) throw new RangeError(`term ${name}: nobody knows its words`);
  return [...words(m, expression.args), ...(expression.of === null ? [] : ofExpression(m, expression.of))];
}

function ofPredicate(m: Machine, predicate: Predicate): readonly number[] {
  if (predicate.kind === 'not') return ofPredicate(m, predicate.of);
  if (predicate.kind === 'compare') return [...ofExpression(m, predicate.left), ...ofExpression(m, predicate.right)];
  return predicate.of.flatMap((each) => ofPredicate(m, each));
}

/** The words that the predicates can rest on, ascending. */
export function observedWords(m: Machine, predicates: readonly Predicate[]): readonly number[] {
  return [...new Set(predicates.flatMap((each) => ofPredicate(m, each)))].toSorted((a, b) => a - b);
}

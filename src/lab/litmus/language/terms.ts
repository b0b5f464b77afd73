/**
 * The terms of questions, one row each: how it is written, what its value can be, how it is read. Another way to write a term is
 * another row of the same name; which one is meant, the number of arguments and their kinds tell.
 */
import {
  MAPPING_ANON,
  MAPPING_KSM,
  PG_ANON_EXCLUSIVE,
  PG_BUDDY,
  PG_DIRTY,
  PG_HWPOISON,
  PG_LRU,
  PG_PCP,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
} from '../../../machine/abi.js';
import {
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  S2_WRITE,
  entryPfn,
  isHuge,
  isHwpoisonEntry,
  isMigrationEntry,
  isPresent,
  isProtnone,
  isSpecial,
  isTable,
  isWritable,
} from '../../../machine/entries.js';
import {
  MM_LOCKED_VM,
  MM_MMAP_LOCK,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_HYP,
  PAGE_LOCK,
  PAGE_MAPPING,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MMU_LOCK,
  mmWord,
  pmdWord,
  ptlOf,
  vmWord,
} from '../../../machine/layout.js';
import {
  MC_BACKED_OUT,
  MC_NOTIFIER_STARTS,
  MC_PAGES_MOVED,
  MC_STAGE2_UNMAPS,
  MECHANISM_COUNTERS,
  STAT,
  STATS_MECHANISMS_AT,
} from '../../../machine/stats.js';
import { MECHANISMS } from '../../../machine/mechanisms.js';
import { statsBase } from '../../../machine/layout.js';
import { UNSET } from '../../../../actors/litmus/registers.js';
import { TLB_WRITABLE, tlbSlot, tlbTag } from '../../../machine/tlb.js';
import { rwReaders, rwWriter } from '../../../locks/rw.js';
import { holderBits } from '../../../locks/queue.js';
import {
  type LitmusState,
  frame,
  guestFrame,
  guestLeaf,
  headOf,
  hostEntry,
  hostFrame,
  isFrame,
  isLarge,
  mapsOf,
  pinsOf,
  refsOf,
  sumStat,
} from '../state.js';
import { NONE, type StateWord, wordValue } from './values.js';

/**
 * Kinds of arguments, and the numbers they come to: page mm, vpn; frame pfn; vm vm; gfn gfn; process mm; actor its CPU; column the
 * register of its last operation; mechanism MECH_* or -1; flag its number. `=word`: that word, no number.
 */
export type TermParam =
  | 'page'
  | 'frame'
  | 'vm'
  | 'gfn'
  | 'process'
  | 'actor'
  | 'column'
  | 'vcpus'
  | 'mechanism'
  | 'flag'
  | `=${string}`;

export interface TermRow {
  readonly name: string;
  readonly params: readonly TermParam[];
  /** What it can be beside numbers; `numbers`: whether it can be one. */
  readonly words: readonly StateWord[];
  readonly numbers: boolean;
  /** A page frame: shown by what it was after set-up. */
  readonly frames?: true;
  /** Needs the tally of events. */
  readonly tallied?: true;
  readonly summary: string;
  readonly read: (state: LitmusState, args: readonly number[]) => number;
}

const at = (args: readonly number[], i: number): number => args[i] as number;
const word = Object.freeze({
  none: NONE,
  zero: wordValue('zero'),
  ro: wordValue('ro'),
  rw: wordValue('rw'),
  protnone: wordValue('protnone'),
  migration: wordValue('migration'),
  swap: wordValue('swap'),
  hwpoison: wordValue('hwpoison'),
  table: wordValue('table'),
  huge: wordValue('huge'),
  host: wordValue('host'),
  guest: wordValue('guest'),
  hyp: wordValue('hyp'),
  shared: wordValue('shared'),
  guest_shared: wordValue('guest_shared'),
  free: wordValue('free'),
  read: wordValue('read'),
  held: wordValue('held'),
});

/** Flags of `flag(X, NAME)`: how each is read. */
const FLAGS: Readonly<Record<string, (state: LitmusState, pfn: number, head: number) => boolean>> = {
  locked: (state, _pfn, head) => holderBits(frame(state, head, PAGE_LOCK)) !== 0,
  anon_exclusive: (state, pfn) => (frame(state, pfn, PAGE_FLAGS) & PG_ANON_EXCLUSIVE) !== 0,
  swapbacked: (state, _pfn, head) => (frame(state, head, PAGE_FLAGS) & PG_SWAPBACKED) !== 0,
  swapcache: (state, _pfn, head) => (frame(state, head, PAGE_FLAGS) & PG_SWAPCACHE) !== 0,
  dirty: (state, _pfn, head) => (frame(state, head, PAGE_FLAGS) & PG_DIRTY) !== 0,
  lru: (state, _pfn, head) => (frame(state, head, PAGE_FLAGS) & PG_LRU) !== 0,
  ksm: (state, _pfn, head) => (frame(state, head, PAGE_MAPPING) & 3) === MAPPING_KSM,
  anon: (state, _pfn, head) => (frame(state, head, PAGE_MAPPING) & 3) === MAPPING_ANON,
  huge: (state, _pfn, head) => isLarge(state, head),
  hwpoison: (state, pfn) => (frame(state, pfn, PAGE_FLAGS) & PG_HWPOISON) !== 0,
  free: (state, pfn) => (frame(state, pfn, PAGE_FLAGS) & (PG_BUDDY | PG_PCP)) !== 0,
};
export const FLAG_NAMES: readonly string[] = Object.keys(FLAGS);

function flag(state: LitmusState, args: readonly number[]): number {
  const pfn = at(args, 0);
  if (!isFrame(state, pfn)) return 0;
  const read = FLAGS[FLAG_NAMES[at(args, 1)] as string];
  return read?.(state, pfn, headOf(state, pfn)) === true ? 1 : 0;
}

/** The state of a PTE, or of the huge PMD in its place. */
function entryWord(entry: number): number {
  if (entry === 0) return word.none;
  if (isPresent(entry)) {
    if (isProtnone(entry)) return word.protnone;
    if (isSpecial(entry) && entryPfn(entry) === 0) return word.zero;
    return isWritable(entry) ? word.rw : word.ro;
  }
  if (isMigrationEntry(entry)) return word.migration;
  return isHwpoisonEntry(entry) ? word.hwpoison : word.swap;
}

function pmdState({ m, load }: LitmusState, args: readonly number[]): number {
  const pmd = load(pmdWord(m, at(args, 0), at(args, 1)));
  if (isTable(pmd)) return word.table;
  return isHuge(pmd) ? word.huge : word.none;
}

function stage2State(state: LitmusState, args: readonly number[]): number {
  const leaf = guestLeaf(state, at(args, 0), at(args, 1));
  if (leaf === 0) return word.none;
  return (leaf & S2_WRITE) !== 0 ? word.rw : word.ro;
}

/** Who owns a frame by EL2's record of it (hyp/page-state.ts). */
function ownerOf(state: LitmusState, pfn: number): number {
  if (!isFrame(state, pfn)) return word.none;
  const record = frame(state, pfn, PAGE_HYP);
  if ((((record >> 4) & 3) ^ PKVM_NOPAGE) === PKVM_PAGE_OWNED) return word.hyp;
  switch (record & 3) {
    case PKVM_PAGE_OWNED:
      return word.host;
    case PKVM_PAGE_SHARED_OWNED:
      return word.shared;
    case PKVM_PAGE_SHARED_BORROWED:
      return word.guest_shared;
    default:
      return word.guest;
  }
}

function tlbState({ m, load }: LitmusState, cpu: number, guest: boolean, space: number, page: number): number {
  const slot = tlbSlot(m, cpu, page);
  if (load(slot) !== tlbTag(guest, space, page)) return word.none;
  return (load(slot + 1) & TLB_WRITABLE) !== 0 ? word.rw : word.ro;
}

const rwState = (value: number): number => {
  if (rwWriter(value) >= 0) return word.held;
  return rwReaders(value) > 0 ? word.read : word.free;
};
const lockState = (value: number): number => (holderBits(value) === 0 ? word.free : word.held);

/** Counter MC_* of one mechanism, or of all of them for -1. */
function mechanismCount(state: LitmusState, mechanism: number, counter: number): number {
  const each = (which: number): number => sumStat(state, STATS_MECHANISMS_AT + which * MECHANISM_COUNTERS + counter);
  return mechanism >= 0 ? each(mechanism) : MECHANISMS.reduce((sum, _, which) => sum + each(which), 0);
}

const ENTRY_WORDS = ['none', 'zero', 'ro', 'rw', 'protnone', 'migration', 'swap', 'hwpoison'] as const;
const ACCESS_WORDS = ['none', 'ro', 'rw'] as const;
const LOCK_WORDS = ['free', 'read', 'held'] as const;

/** A term whose value is a number, never a word. */
const count = (name: string, params: readonly TermParam[], summary: string, read: TermRow['read']): TermRow => ({
  name,
  params,
  words: [],
  numbers: true,
  summary,
  read,
});
/** A term whose value is one of some words. */
const words = (
  name: string,
  params: readonly TermParam[],
  states: readonly StateWord[],
  summary: string,
  read: TermRow['read'],
): TermRow => ({ name, params, words: states, numbers: false, summary, read });

const ofFrame =
  (read: (state: LitmusState, pfn: number) => number): TermRow['read'] =>
  (state, args) =>
    isFrame(state, at(args, 0)) ? read(state, at(args, 0)) : 0;

export const TERMS: readonly TermRow[] = [
  {
    ...count('pfn', ['page'], 'the frame mapped there now', (state, args) =>
      hostFrame(state, at(args, 0), at(args, 1)),
    ),
    words: ['none'],
    frames: true,
  },
  {
    ...count('pfn0', ['page'], 'the frame that was mapped there after set-up', (state, args) => {
      const index = at(args, 0) * state.m.mmPages + at(args, 1);
      return state.start[index] as number;
    }),
    words: ['none'],
    frames: true,
  },
  count('refs', ['frame'], 'references', ofFrame(refsOf)),
  count('maps', ['frame'], 'mappings', ofFrame(mapsOf)),
  count('pins', ['frame'], 'FOLL_PIN holders', ofFrame(pinsOf)),
  {
    ...count('content', ['frame'], 'what the page holds', (state, args) =>
      isFrame(state, at(args, 0)) ? frame(state, at(args, 0), PAGE_CONTENT) : NONE,
    ),
    words: ['none'],
  },
  {
    ...count('node', ['frame'], 'its NUMA node', (state, args) =>
      isFrame(state, at(args, 0)) ? Math.floor(at(args, 0) / state.m.framesPerNode) : NONE,
    ),
    words: ['none'],
  },
  count('flag', ['frame', 'flag'], 'a flag of the page, 0 or 1', flag),
  words('pte', ['page'], ENTRY_WORDS, 'its PTE, or huge PMD', (state, args) =>
    entryWord(hostEntry(state, at(args, 0), at(args, 1))),
  ),
  words('pmd', ['page'], ['none', 'table', 'huge'], 'its PMD', pmdState),
  words('stage2', ['vm', 'gfn'], ACCESS_WORDS, 'its stage-2 entry', stage2State),
  {
    ...count('stage2_pfn', ['vm', 'gfn'], 'the frame that stage 2 maps', (state, args) =>
      guestFrame(state, at(args, 0), at(args, 1)),
    ),
    words: ['none'],
    frames: true,
  },
  words(
    'owner',
    ['frame'],
    ['none', 'host', 'guest', 'hyp', 'shared', 'guest_shared'],
    'who owns it, by EL2',
    (state, args) => ownerOf(state, at(args, 0)),
  ),
  words('tlb', ['actor', 'page'], ACCESS_WORDS, "what the actor's TLB holds", (state, args) =>
    tlbState(state, at(args, 0), false, at(args, 1), at(args, 2)),
  ),
  words('guest_tlb', ['actor', 'vm', 'gfn'], ACCESS_WORDS, 'the same of a guest page', (state, args) =>
    tlbState(state, at(args, 0), true, at(args, 1), at(args, 2)),
  ),
  {
    ...count('notifier_starts', ['mechanism', 'page'], 'notifiers that covered the page', (state, args) =>
      state.tally.starts(at(args, 0), at(args, 1), at(args, 2)),
    ),
    tallied: true,
  },
  count('notifier_starts', ['mechanism'], 'notifiers by mechanism', (state, args) =>
    mechanismCount(state, at(args, 0), MC_NOTIFIER_STARTS),
  ),
  {
    ...count('stage2_unmaps', ['vm', 'gfn'], 'stage-2 entries taken', (state, args) =>
      state.tally.unmaps(at(args, 0), at(args, 1)),
    ),
    tallied: true,
  },
  count('stage2_unmaps', ['mechanism'], 'the same by mechanism', (state, args) =>
    mechanismCount(state, at(args, 0), MC_STAGE2_UNMAPS),
  ),
  count('stage2_faults', ['vcpus'], "faults of the VM's vCPUs", ({ m, load }, args) =>
    args.reduce((sum, cpu) => sum + load(statsBase(m, cpu) + STAT.stage2_faults), 0),
  ),
  count('pages_moved', ['mechanism'], 'pages migrated', (state, args) =>
    mechanismCount(state, at(args, 0), MC_PAGES_MOVED),
  ),
  count('backed_out', ['mechanism'], 'moves given up', (state, args) =>
    mechanismCount(state, at(args, 0), MC_BACKED_OUT),
  ),
  count('locked_vm', ['process'], 'mm->locked_vm', ({ m, load }, args) => load(mmWord(m, at(args, 0), MM_LOCKED_VM))),
  count('in_progress', ['vm'], 'mmu_invalidate_in_progress', ({ m, load }, args) =>
    load(vmWord(m, at(args, 0), VM_INVALIDATE_IN_PROGRESS)),
  ),
  count('seq', ['vm'], 'mmu_invalidate_seq', ({ m, load }, args) => load(vmWord(m, at(args, 0), VM_INVALIDATE_SEQ))),
  words('lock', ['=mmap_lock', 'process'], LOCK_WORDS, 'mmap_lock', ({ m, load }, args) =>
    rwState(load(mmWord(m, at(args, 0), MM_MMAP_LOCK))),
  ),
  words('lock', ['=mmu_lock', 'vm'], LOCK_WORDS, 'mmu_lock', ({ m, load }, args) =>
    rwState(load(vmWord(m, at(args, 0), VM_MMU_LOCK))),
  ),
  words('lock', ['=ptl', 'page'], ['free', 'held'], 'the lock of its page table', (state, args) => {
    const pmd = state.load(pmdWord(state.m, at(args, 0), at(args, 1)));
    return isTable(pmd) ? lockState(state.load(ptlOf(state.m, entryPfn(pmd)))) : word.free;
  }),
  words('lock', ['=folio', 'frame'], ['free', 'held'], 'the folio lock', (state, args) =>
    isFrame(state, at(args, 0)) ? lockState(frame(state, headOf(state, at(args, 0)), PAGE_LOCK)) : word.free,
  ),
  count('done', ['column'], '1 when it has done all its operations', ({ load }, args) =>
    load(at(args, 0)) === UNSET ? 0 : 1,
  ),
];

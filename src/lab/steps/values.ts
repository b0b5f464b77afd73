/** What a word of the machine holds, as diagrams say it: `pfn 0x12 RW`, `1, not pinned`, `anon_exclusive, dirty`. */
import type { WordKind, WordOf } from '../../engine/machine/word-kind.js';
import * as abi from '../../machine/abi.js';
import {
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  S2_LOCKED,
  S2_STATE_SHIFT,
  S2_VALID,
  S2_WRITE,
  annotationOwner,
  entryPfn,
  isS2Block,
  isS2Table,
} from '../../machine/entries.js';
import { SWAP_HAS_CACHE } from '../../machine/layout.js';
import { entryText, hex } from '../../trace/text.js';

/** Flags of struct page that a story is about; the others come and go without meaning. */
const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [abi.PG_ANON_EXCLUSIVE, 'anon_exclusive'],
  [abi.PG_DIRTY, 'dirty'],
  [abi.PG_SWAPBACKED, 'swapbacked'],
  [abi.PG_SWAPCACHE, 'swapcache'],
  [abi.PG_WRITEBACK, 'writeback'],
  [abi.PG_HWPOISON, 'hwpoison'],
  [abi.PG_HAS_HWPOISONED, 'has_hwpoisoned'],
  [abi.PG_MAYBE_SHARED, 'maybe_shared'],
];
const MM_FLAG_NAMES: readonly (readonly [number, string])[] = [
  [1 << 0, 'MMF_HAS_PINNED'],
  [1 << 1, 'MMF_OOM_UNSTABLE'],
  [1 << 2, 'MMF_VM_MERGEABLE'],
  [1 << 3, 'exiting'],
  [1 << 4, 'exited'],
];
/** Bits of a flags word that decide what others may do with the page. */
export const DECIDING_FLAGS = abi.PG_ANON_EXCLUSIVE | abi.PG_HWPOISON | abi.PG_HAS_HWPOISONED | abi.PG_MAYBE_SHARED;
/** Set on nearly every page: said only where it changes. */
const USUAL_FLAGS = abi.PG_SWAPBACKED;

const STATES: Readonly<Record<number, string>> = {
  [PKVM_PAGE_OWNED]: 'owned',
  [PKVM_PAGE_SHARED_OWNED]: 'shared, owned',
  [PKVM_PAGE_SHARED_BORROWED]: 'shared, borrowed',
  [PKVM_NOPAGE]: 'no page',
};
const OWNERS = ['the host', 'EL2', 'a guest', 'FF-A'];
const VM_STATES = ['none', 'live', 'dying', 'dead'];

const names = (value: number, all: readonly (readonly [number, string])[]): string => {
  const set = all.filter(([bit]) => (value & bit) !== 0).map(([, name]) => name);
  return set.length === 0 ? 'none' : set.join(', ');
};

/** References of a page: of a small one the pins count for 1024 each. */
function refsText(value: number): string {
  const pins = Math.floor((value >>> 0) / abi.GUP_PIN_COUNTING_BIAS);
  if (pins === 0) return value === 0 ? '0' : `${value}, not pinned`;
  return `${value}, ${pins} pin${pins === 1 ? '' : 's'}`;
}

function stage2Text(entry: number): string {
  if (entry === 0) return 'none';
  if (isS2Table(entry)) return 'table';
  if ((entry & S2_VALID) === 0) return (entry & S2_LOCKED) !== 0 ? 'locked' : `none, owned by ${ownerText(entry)}`;
  return `${isS2Block(entry) ? 'block ' : ''}pfn ${hex(entryPfn(entry))} ${(entry & S2_WRITE) !== 0 ? 'RW' : 'RO'}`;
}

const ownerText = (entry: number): string => OWNERS[annotationOwner(entry)] ?? `owner ${annotationOwner(entry)}`;

/** The host's own stage-2 entry of a page. */
function hostStage2Text(entry: number): string {
  if (entry === 0) return 'not mapped yet';
  if ((entry & S2_VALID) === 0) return `taken, owned by ${ownerText(entry)}`;
  return STATES[(entry >> S2_STATE_SHIFT) & 3] ?? 'mapped';
}

const swapMapText = (value: number): string =>
  `${value & ~SWAP_HAS_CACHE}${(value & SWAP_HAS_CACHE) !== 0 ? ' and SWAP_HAS_CACHE' : ''}`;

function mappingText(value: number): string {
  if (value === 0) return 'none';
  return (value & 3) === abi.MAPPING_KSM
    ? value >>> 2 === 0
      ? 'KSM, no node yet'
      : `KSM node ${value >>> 2}`
    : `anon_vma ${value >>> 2}`;
}

const TEXTS: Readonly<Partial<Record<WordKind, (value: number) => string>>> = {
  refs: refsText,
  pincount: (value) => (value === 0 ? '0, not pinned' : `${value}, pinned`),
  flags: (value) =>
    `${names(value & ~USUAL_FLAGS, FLAG_NAMES)}${(value & abi.PG_DIRTY) !== 0 ? '' : ', clean'}`.replace(/^none, /, ''),
  mmFlags: (value) => names(value, MM_FLAG_NAMES),
  pte: entryText,
  pmd: entryText,
  s2: stage2Text,
  hostS2: hostStage2Text,
  mapping: mappingText,
  swapMap: swapMapText,
  swapCache: (value) => (value === 0 ? 'none' : `pfn ${hex(value)}`),
  objectPage: (value) => (value === 0 ? 'none' : `pfn ${hex(value)}`),
  memslots: (value) => `set ${value}`,
  vmState: (value) => VM_STATES[value] ?? String(value),
};

export const valueText = ({ kind }: WordOf, value: number): string => TEXTS[kind]?.(value) ?? String(value);

/** `anon_exclusive cleared, dirty set`: what a store to a word of flags has changed; null for other words. */
export function flagsText({ kind }: WordOf, before: number, after: number): string | null {
  const all = kind === 'flags' ? FLAG_NAMES : kind === 'mmFlags' ? MM_FLAG_NAMES : null;
  if (all === null) return null;
  const changed = all.filter(([bit]) => ((before ^ after) & bit) !== 0);
  if (changed.length === 0) return before === after ? 'stay' : `${hex(before)} -> ${hex(after)}`;
  return changed.map(([bit, name]) => `${name} ${(after & bit) !== 0 ? 'set' : 'cleared'}`).join(', ');
}

/** What a word held before a store: of references just their number. */
export const formerText = (of: WordOf, value: number): string =>
  of.kind === 'refs' || of.kind === 'pincount' ? String(value) : valueText(of, value);

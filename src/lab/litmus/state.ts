/**
 * What questions look at: the words of a machine, the frames that its pages had after set-up, and the tally of events. Every read goes
 * through `load`, so that a search can be told which words an answer rests on.
 */
import { COMPOUND_HEAD, COMPOUND_TAIL, GUP_PIN_COUNTING_BIAS } from '../../machine/abi.js';
import { entryPfn, isHuge, isPresent, isS2Block, isS2Leaf, isS2Table, isTable } from '../../machine/entries.js';
import {
  type Machine,
  PAGE_COMPOUND,
  PAGE_ENTIRE_MAPS,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
} from '../../machine/layout.js';
import { statsBase } from '../../machine/layout.js';
import type { Tally } from './tally.js';
import { NONE } from './language/values.js';

export interface LitmusState {
  readonly m: Machine;
  /** Reads one word. */
  readonly load: (word: number) => number;
  /** Frame of each page of each process after set-up, or NONE: index mm * mmPages + vpn. */
  readonly start: Int32Array;
  readonly tally: Tally;
}

/** A field PAGE_* of frame `pfn`. */
export const frame = ({ m, load }: LitmusState, pfn: number, field: number): number => load(pageWord(m, pfn, field));

/** Whether `pfn` is a frame: results and `none` may stand in its place. */
export const isFrame = ({ m }: LitmusState, pfn: number): boolean => pfn >= 0 && pfn < m.frames;

/** The head of the folio of `pfn`. */
export function headOf(state: LitmusState, pfn: number): number {
  const compound = frame(state, pfn, PAGE_COMPOUND);
  return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
}

export const isLarge = (state: LitmusState, head: number): boolean =>
  (frame(state, head, PAGE_COMPOUND) & COMPOUND_HEAD) !== 0;

/** The entry that maps a page: its PTE, or the huge PMD; 0 where there is none. */
export function hostEntry({ m, load }: LitmusState, mm: number, vpn: number): number {
  const pmd = load(pmdWord(m, mm, vpn));
  if (isTable(pmd)) return load(pteWord(m, entryPfn(pmd), vpn));
  return isHuge(pmd) ? pmd : 0;
}

/** The frame mapped at a page, NUMA hints included, or NONE. */
export function hostFrame(state: LitmusState, mm: number, vpn: number): number {
  const entry = hostEntry(state, mm, vpn);
  if (!isPresent(entry)) return NONE;
  const pfn = entryPfn(entry);
  return isHuge(entry) && pfn !== 0 ? pfn + (vpn & (state.m.thpPages - 1)) : pfn;
}

/** The stage-2 leaf of a guest page, or 0. */
export function guestLeaf({ m, load }: LitmusState, vm: number, gfn: number): number {
  let entry = load(s2RootWord(m, vm, gfn));
  if (isS2Table(entry)) entry = load(s2PteWord(m, entryPfn(entry), gfn));
  return isS2Leaf(entry) ? entry : 0;
}

/** The frame that stage 2 maps at a guest page, or NONE. */
export function guestFrame(state: LitmusState, vm: number, gfn: number): number {
  const leaf = guestLeaf(state, vm, gfn);
  if (leaf === 0) return NONE;
  return entryPfn(leaf) + (isS2Block(leaf) ? gfn & (state.m.thpPages - 1) : 0);
}

/** _refcount of the folio. */
export const refsOf = (state: LitmusState, pfn: number): number => frame(state, headOf(state, pfn), PAGE_REFS);

/** Mappings of this page: PTEs, and huge PMDs of its folio. */
export function mapsOf(state: LitmusState, pfn: number): number {
  const head = headOf(state, pfn);
  return frame(state, pfn, PAGE_MAPS) + (isLarge(state, head) ? frame(state, head, PAGE_ENTIRE_MAPS) : 0);
}

/** FOLL_PIN holders of the folio: its pin count, or how often the bias fits into a small page's references. */
export function pinsOf(state: LitmusState, pfn: number): number {
  const head = headOf(state, pfn);
  if (isLarge(state, head)) return frame(state, head, PAGE_PINCOUNT);
  return Math.floor((frame(state, head, PAGE_REFS) >>> 0) / GUP_PIN_COUNTING_BIAS);
}

/** The sum of one statistics word over all actors. */
export function sumStat({ m, load }: LitmusState, at: number): number {
  let sum = 0;
  for (let actor = 0; actor < m.cpus; actor++) sum += load(statsBase(m, actor) + at) >>> 0;
  return sum;
}

/** Notes the frame of every page: `pfn0`. */
export function startFrames(m: Machine, load: (word: number) => number): Int32Array {
  const start = new Int32Array(m.mms * m.mmPages);
  const state: LitmusState = { m, load, start, tally: null as never };
  for (let mm = 0; mm < m.mms; mm++) {
    for (let vpn = 0; vpn < m.mmPages; vpn++) start[mm * m.mmPages + vpn] = hostFrame(state, mm, vpn);
  }
  return start;
}

/**
 * How oracles look at the machine: plain loads of words, as an observer who takes no locks. Other accesses through '#words'
 * would be the kernel's own to the checking build, so all of them go through `peek`, which it leaves alone.
 */
import { COMPOUND_HEAD, COMPOUND_TAIL, MAPPING_ANON, PG_DRIVER, VM_STATE_LIVE } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { entryPfn, isHuge, isS2Block, isS2Leaf, isS2Table, isTable } from '../machine/entries.js';
import {
  ACTOR_HELD,
  ANON_VMA_MM,
  MM_VMA_COUNT,
  MM_VMA_LIST,
  type Machine,
  VMA_END,
  VMA_OBJECT,
  VMA_PGOFF,
  VMA_START,
  PAGE_COMPOUND,
  PAGE_INDEX,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  SWAP_CONTENT,
  PAGE_SWAP,
  SWAP_FOLIO,
  VM_MEMSLOTS,
  VM_MM,
  VM_STATE,
  anonVmaWord,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  swapWord,
  vmWord,
  vmaWord,
} from '../machine/layout.js';
import { holderBits } from '../locks/queue.js';
import { RW_PENDING } from '../locks/rw.js';
import { setAt, slotAt } from '../kvm/memslots.js';
import { look as peek } from '#words';

/** A field PAGE_* of frame `pfn`. */
export const page = (m: Machine, pfn: number, field: number): number => peek(m.words, pageWord(m, pfn, field));

/** The head of the folio that `pfn` belongs to. */
export function headOf(m: Machine, pfn: number): number {
  const compound = peek(m.words, pageWord(m, pfn, PAGE_COMPOUND));
  return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
}

/** Whether the frame is a driver's memory (VM_PFNMAP), which all who map it share. */
export const isDrivers = (m: Machine, pfn: number): boolean => (page(m, pfn, PAGE_FLAGS) & PG_DRIVER) !== 0;

/** Whether `head` is the head of a large folio. */
export const isLarge = (m: Machine, head: number): boolean =>
  (peek(m.words, pageWord(m, head, PAGE_COMPOUND)) & COMPOUND_HEAD) !== 0;

/** The entry that maps `vpn`: its PTE, or the huge PMD; 0 where there is none. */
export function entryAt(m: Machine, mm: number, vpn: number): number {
  const pmd = peek(m.words, pmdWord(m, mm, vpn));
  if (isTable(pmd)) return peek(m.words, pteWord(m, entryPfn(pmd), vpn));
  return isHuge(pmd) ? pmd : 0;
}

/** The frame that an entry of {@link entryAt} names for `vpn`: within a huge page, the page itself. */
export function pfnOfEntry(m: Machine, entry: number, vpn: number): number {
  const pfn = entryPfn(entry);
  return isHuge(entry) && pfn !== 0 ? pfn + (vpn & (m.thpPages - 1)) : pfn;
}

/** What a swapped-out page holds: in the swap cache's folio, or on the device. */
export function swappedContent(m: Machine, slot: number): number {
  const folio = peek(m.words, swapWord(m, slot, SWAP_FOLIO));
  if (folio === 0) return peek(m.words, swapWord(m, slot, SWAP_CONTENT));
  // a large folio has its slots one after the other
  return page(m, isLarge(m, folio) ? folio + slot - page(m, folio, PAGE_SWAP) : folio, PAGE_CONTENT);
}

/** The stage-2 leaf (page or block) of `gfn`, or 0. */
export function stage2At(m: Machine, vm: number, gfn: number): number {
  let entry = peek(m.words, s2RootWord(m, vm, gfn));
  if (isS2Table(entry)) entry = peek(m.words, s2PteWord(m, entryPfn(entry), gfn));
  return isS2Leaf(entry) ? entry : 0;
}

/** The frame that a leaf of {@link stage2At} names for `gfn`. */
export const pfnOfStage2 = (m: Machine, leaf: number, gfn: number): number =>
  isS2Block(leaf) ? entryPfn(leaf) + (gfn & (m.thpPages - 1)) : entryPfn(leaf);

/* a memslot's words, as kvm/memslots.ts lays them out */
const SLOT_BASE = 0;
const SLOT_PAGES = 1;
const SLOT_VPN = 2;

/** The guest page that stands for `vpn` by the active memslots of `vm`, or -1. A page in two slots has its last. */
export function gfnOfVpn(m: Machine, vm: number, vpn: number): number {
  const slots = setAt(m, vm, peek(m.words, vmWord(m, vm, VM_MEMSLOTS)));
  for (let i = peek(m.words, slots) - 1; i >= 0; i--) {
    const slot = slotAt(slots, i);
    const offset = vpn - peek(m.words, slot + SLOT_VPN);
    if (offset >= 0 && offset < peek(m.words, slot + SLOT_PAGES)) return peek(m.words, slot + SLOT_BASE) + offset;
  }
  return -1;
}

/** Whether `vm` runs on process `mm` and has not been torn down. */
export const isLiveVmOf = (m: Machine, vm: number, mm: number): boolean =>
  peek(m.words, vmWord(m, vm, VM_MM)) === mm && peek(m.words, vmWord(m, vm, VM_STATE)) === VM_STATE_LIVE;

/**
 * The process that made an ordinary anonymous folio, or -1: KSM pages have several, free and table pages none. Its children
 * may share it.
 */
export function mmOfFolio(m: Machine, head: number): number {
  const mapping = peek(m.words, pageWord(m, head, PAGE_MAPPING));
  return (mapping & 3) === MAPPING_ANON ? peek(m.words, anonVmaWord(m, mapping >>> 2, ANON_VMA_MM)) : -1;
}

/** Where an ordinary anonymous page is mapped, in the process of {@link mmOfFolio} and in its children. */
export const vpnOfPage = (m: Machine, head: number, pfn: number): number =>
  peek(m.words, pageWord(m, head, PAGE_INDEX)) + (pfn - head);

/**
 * The number of a page of shared memory objects, object * objectPages + index: the one that frame `pfn` is, or the one that
 * process `mm` maps at `vpn`; -1: none.
 */
export function objectPageOfFrame(m: Machine, pfn: number): number {
  if (m.objects === 0) return -1;
  const mapping = peek(m.words, pageWord(m, headOf(m, pfn), PAGE_MAPPING));
  if (mapping === 0 || (mapping & 3) !== 0) return -1;
  return ((mapping >>> 2) - 1) * m.objectPages + peek(m.words, pageWord(m, pfn, PAGE_INDEX));
}
export function objectPageAt(m: Machine, mm: number, vpn: number): number {
  if (m.objects === 0) return -1;
  for (let i = peek(m.words, mmWord(m, mm, MM_VMA_COUNT)) - 1; i >= 0; i--) {
    const vma = peek(m.words, mmWord(m, mm, MM_VMA_LIST) + i);
    const start = peek(m.words, vmaWord(m, vma, VMA_START));
    if (vpn < start || vpn >= peek(m.words, vmaWord(m, vma, VMA_END))) continue;
    const object = peek(m.words, vmaWord(m, vma, VMA_OBJECT)) - 1;
    return object < 0 ? -1 : object * m.objectPages + peek(m.words, vmaWord(m, vma, VMA_PGOFF)) + vpn - start;
  }
  return -1;
}

/** The i-th lock that the actor holds, and its class << 4 | mode. */
export const heldLock = (ctx: Context, i: number): number => peek(ctx.words, ctx.recordAt + ACTOR_HELD + 2 * i);
export const heldPacked = (ctx: Context, i: number): number => peek(ctx.words, ctx.recordAt + ACTOR_HELD + 2 * i + 1);

/** Whether nobody holds the lock at `word`; a sleeper's, a queue's or a waiting writer's bit is no holder. */
export const isFree = (m: Machine, word: number): boolean => (holderBits(peek(m.words, word)) & ~RW_PENDING) === 0;

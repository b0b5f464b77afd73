/**
 * The guest's pages as they stand in page tables and frames: plain loads of words that others change meanwhile, so a page may
 * show a state that it was just leaving. Nobody is stopped. 64 K pages take a few milliseconds.
 */
import {
  COMPOUND_HEAD,
  COMPOUND_TAIL,
  GUP_PIN_COUNTING_BIAS,
  MAPPING_KSM,
  PG_ANON_EXCLUSIVE,
  PG_BUDDY,
  PG_DIRTY,
  PG_HWPOISON,
  PG_LRU,
  PG_MLOCKED,
  PG_NO_MAP,
  PG_PCP,
  PG_REFERENCED,
  PG_RESERVED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_TABLE,
  PG_UNPINNABLE_ZONE,
  PG_UPTODATE,
  PG_WRITEBACK,
  PG_YOUNG,
} from '../../machine/abi.js';
import {
  entryPfn,
  isHuge,
  isMigrationEntry,
  isPresent,
  isProtnone,
  isS2Block,
  isS2Leaf,
  isS2Table,
  isSwapType,
  isTable,
} from '../../machine/entries.js';
import {
  KSM_NODE_COUNT,
  LINE,
  type Machine,
  PAGE_COMPOUND,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_LARGE_MAPS,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  PAGE_SHIFT,
  VM_MM,
  ksmNodeWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  vmWord,
} from '../../machine/layout.js';
import { vpnOfGfn } from '../../kvm/memslots.js';
import { entryText, hex } from '../../trace/text.js';
import { InputError } from '../../errors/errors.js';
import { type EntryInfo, PAGE_STATES, type PageInfo, type PageStateName } from './types.js';

const STATE = Object.fromEntries(PAGE_STATES.map((name, index) => [name, index])) as Record<PageStateName, number>;

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [PG_UPTODATE, 'uptodate'],
  [PG_DIRTY, 'dirty'],
  [PG_LRU, 'lru'],
  [PG_SWAPBACKED, 'swapbacked'],
  [PG_SWAPCACHE, 'swapcache'],
  [PG_WRITEBACK, 'writeback'],
  [PG_REFERENCED, 'referenced'],
  [PG_YOUNG, 'young'],
  [PG_MLOCKED, 'mlocked'],
  [PG_ANON_EXCLUSIVE, 'anon_exclusive'],
  [PG_HWPOISON, 'hwpoison'],
  [PG_BUDDY, 'buddy'],
  [PG_PCP, 'pcp'],
  [PG_UNPINNABLE_ZONE, 'unpinnable_zone'],
  [PG_NO_MAP, 'no_map'],
  [PG_TABLE, 'table'],
  [PG_RESERVED, 'reserved'],
];

/** Orders of compound heads stand from this bit on. */
const ORDER_SHIFT = 24;

/** The maps of one machine's VMs. */
export class MemoryMaps {
  readonly #m: Machine;
  readonly #words: Int32Array;
  /** By VM: the frame that was last seen mapped at stage 2 for each gfn, or -1. */
  readonly #lastMapped: (Int32Array | undefined)[] = [];

  constructor(m: Machine) {
    this.#m = m;
    this.#words = m.words;
  }

  /**
   * One byte for each gfn: an index into PAGE_STATES. `unmapped_pinned`: stage 2 does not map the page now, the frame is
   * pinned, and it is the one that an earlier look saw mapped there.
   * @throws InputError when there is no such VM
   */
  map(vm: number): Uint8Array {
    const m = this.#m;
    this.#check(vm, 0);
    const last = (this.#lastMapped[vm] ??= new Int32Array(m.vmPages).fill(-1));
    const states = new Uint8Array(m.vmPages);
    const mm = this.#words[vmWord(m, vm, VM_MM)] as number;
    const block = Math.min(m.thpPages, LINE);
    for (let gfn = 0; gfn < m.vmPages;) {
      // slots begin and end at any page, but few do: one look-up for each stretch
      const vpn = vpnOfGfn(m, vm, gfn);
      const end = Math.min(m.vmPages, gfn + block);
      const straight = vpn >= 0 && vpnOfGfn(m, vm, end - 1) === vpn + end - 1 - gfn;
      if (straight) {
        for (let i = 0; gfn < end; i++, gfn++) states[gfn] = this.#state(vm, gfn, mm, vpn + i, last);
      } else {
        for (; gfn < end; gfn++) {
          const own = vpnOfGfn(m, vm, gfn);
          states[gfn] = own < 0 ? STATE.no_slot : this.#state(vm, gfn, mm, own, last);
        }
      }
    }
    return states;
  }

  /** One page with all there is to know. @throws InputError when there is no such page */
  page(vm: number, gfn: number): PageInfo {
    const m = this.#m;
    this.#check(vm, gfn);
    const last = (this.#lastMapped[vm] ??= new Int32Array(m.vmPages).fill(-1));
    const vpn = vpnOfGfn(m, vm, gfn);
    const mm = vpn < 0 ? -1 : (this.#words[vmWord(m, vm, VM_MM)] as number);
    const entry = vpn < 0 ? 0 : this.#hostEntry(mm, vpn);
    const guest = this.#stage2Entry(vm, gfn);
    const hostPfn = this.#hostPfn(entry, vpn);
    const pfn = hostPfn >= 0 ? hostPfn : this.#stage2Pfn(guest, gfn);
    const state = PAGE_STATES[vpn < 0 ? STATE.no_slot : this.#state(vm, gfn, mm, vpn, last)] as PageStateName;
    const host: EntryInfo = { entry: entry >>> 0, text: entryText(entry) };
    return { vm, gfn, state, mm, vpn, pfn, host, stage2: stage2Info(guest), ...this.#frame(pfn) };
  }

  #frame(pfn: number): Omit<PageInfo, 'vm' | 'gfn' | 'state' | 'mm' | 'vpn' | 'pfn' | 'host' | 'stage2'> {
    if (pfn < 0 || pfn >= this.#m.frames) {
      return { refs: 0, mappings: 0, pins: 0, flags: [], order: 0, head: -1, ksmSharers: 0, content: 0 };
    }
    const get = (frame: number, field: number): number => this.#words[pageWord(this.#m, frame, field)] as number;
    const head = this.#head(pfn);
    const compound = get(head, PAGE_COMPOUND);
    const large = (compound & COMPOUND_HEAD) !== 0;
    const refs = get(head, PAGE_REFS);
    const mapping = get(head, PAGE_MAPPING);
    const node = (mapping & MAPPING_KSM) === MAPPING_KSM ? mapping >>> 2 : -1;
    const flags = get(pfn, PAGE_FLAGS) | (large ? get(head, PAGE_FLAGS) & PG_LRU : 0);
    return {
      refs,
      mappings: large ? get(head, PAGE_LARGE_MAPS) : get(head, PAGE_MAPS),
      pins: large ? get(head, PAGE_PINCOUNT) : Math.floor((refs >>> 0) / GUP_PIN_COUNTING_BIAS),
      flags: FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name),
      order: large ? (compound >>> ORDER_SHIFT) & 31 : 0,
      head,
      ksmSharers: node < 0 ? 0 : (this.#words[ksmNodeWord(this.#m, node, KSM_NODE_COUNT)] as number),
      content: get(pfn, PAGE_CONTENT) >>> 0,
    };
  }

  #state(vm: number, gfn: number, mm: number, vpn: number, last: Int32Array): number {
    const guest = this.#stage2Pfn(this.#stage2Entry(vm, gfn), gfn);
    const entry = this.#hostEntry(mm, vpn);
    if (guest >= 0) last[gfn] = guest;
    const host = this.#hostPfn(entry, vpn);
    const pfn = host >= 0 ? host : guest;
    const pinned = pfn > 0 && this.#isPinned(pfn);
    if (pinned && guest < 0 && last[gfn] === pfn) return STATE.unmapped_pinned;
    if (isSwapType(entry)) return isMigrationEntry(entry) ? STATE.migrating : STATE.swapped;
    if (pinned) return STATE.pinned;
    if (isProtnone(entry)) return STATE.prot_none;
    if (pfn < 0) return STATE.none;
    if (pfn > 0 && ((this.#words[pageWord(this.#m, pfn, PAGE_MAPPING)] as number) & MAPPING_KSM) === MAPPING_KSM) {
      return STATE.ksm;
    }
    return isHuge(entry) ? STATE.huge : STATE.mapped;
  }

  /** The PTE of `vpn`, or the PMD where that is a leaf. */
  #hostEntry(mm: number, vpn: number): number {
    const m = this.#m;
    const pmd = this.#words[pmdWord(m, mm, vpn)] as number;
    return isTable(pmd) ? (this.#words[pteWord(m, entryPfn(pmd), vpn)] as number) : pmd;
  }

  #hostPfn(entry: number, vpn: number): number {
    if (!isPresent(entry)) return -1;
    const pfn = entryPfn(entry);
    return isHuge(entry) && pfn !== 0 ? pfn + (vpn & (this.#m.thpPages - 1)) : pfn;
  }

  #stage2Entry(vm: number, gfn: number): number {
    const m = this.#m;
    const root = this.#words[s2RootWord(m, vm, gfn)] as number;
    return isS2Table(root) ? (this.#words[s2PteWord(m, entryPfn(root), gfn)] as number) : root;
  }

  #stage2Pfn(entry: number, gfn: number): number {
    if (!isS2Leaf(entry)) return -1;
    return entryPfn(entry) + (isS2Block(entry) ? gfn & (this.#m.thpPages - 1) : 0);
  }

  #head(pfn: number): number {
    const compound = this.#words[this.#m.framesAt + (pfn << PAGE_SHIFT) + PAGE_COMPOUND] as number;
    return (compound & COMPOUND_TAIL) !== 0 ? compound & ~COMPOUND_TAIL : pfn;
  }

  /** folio_maybe_dma_pinned() */
  #isPinned(pfn: number): boolean {
    if (pfn >= this.#m.frames) return false;
    const at = this.#m.framesAt + (this.#head(pfn) << PAGE_SHIFT);
    const large = ((this.#words[at + PAGE_COMPOUND] as number) & COMPOUND_HEAD) !== 0;
    if (large) return (this.#words[at + PAGE_PINCOUNT] as number) > 0;
    return (this.#words[at + PAGE_REFS] as number) >>> 0 >= GUP_PIN_COUNTING_BIAS;
  }

  #check(vm: number, gfn: number): void {
    const { vms, vmPages } = this.#m;
    if (!Number.isInteger(vm) || vm < 0 || vm >= vms) throw new InputError(`no VM ${vm}; there are ${vms}`);
    if (!Number.isInteger(gfn) || gfn < 0 || gfn >= vmPages) {
      throw new InputError(`VM ${vm}: no page ${gfn}; expected 0 to ${vmPages - 1}`);
    }
  }
}

function stage2Info(entry: number): EntryInfo {
  const text = isS2Leaf(entry)
    ? `${isS2Block(entry) ? 'block ' : ''}pfn ${hex(entryPfn(entry))}`
    : entry === 0
      ? 'none'
      : 'being changed';
  return { entry: entry >>> 0, text };
}

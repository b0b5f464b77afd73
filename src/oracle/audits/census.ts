/**
 * One pass over a machine at rest: who leads to each frame. Audits then compare these counts with what struct page, the free
 * lists and EL2 say. The arrays belong to the machine's census and are filled anew each time, so that an audit at the end of
 * each of a million schedules allocates nothing.
 */
import {
  PMD_INVALID,
  S2_STATE_SHIFT,
  entryPfn,
  isHuge,
  isMigrationEntry,
  isPresent,
  isS2Block,
  isS2Leaf,
  isS2Table,
  isSpecial,
  isSwapEntry,
  isTable,
  isWritableLeaf,
} from '../../machine/entries.js';
import {
  BLOCK_FREE_COUNT,
  BLOCK_FREE_HEAD,
  BLOCK_NEXT,
  CPU_LRU_PFNS,
  CPU_PCP_COUNT,
  CPU_PCP_HEAD,
  type Machine,
  NODE_FREE_BLOCKS,
  NODE_FREE_FRAMES,
  NODE_PARTIAL_BLOCKS,
  PAGE_LRU_NEXT,
  SWAP_FOLIO,
  blockWord,
  cpuWord,
  nodeWord,
  objectPageWord,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  swapWord,
  tlbBase,
} from '../../machine/layout.js';
import { tlbPfn } from '../../machine/tlb.js';
import { look as peek } from '#words';

/** Two counts that should agree: a list's length, and what its head says. */
interface FreeCount {
  readonly node: number;
  readonly expected: number;
  readonly received: number;
}

/** A leftover of something that should be over: a migration entry, an invalid huge PMD. */
interface Leftover {
  readonly mm: number;
  readonly vpn: number;
  readonly entry: number;
}

const LEFTOVERS_MAX = 16;

export class Census {
  readonly m: Machine;
  readonly actors: number;
  /** PTEs that map each frame, PMDs that map each head; writable ones of either kind. */
  readonly pteLeaves: Int32Array;
  readonly pmdLeaves: Int32Array;
  readonly writableLeaves: Int32Array;
  /** Special PTEs of each frame (a driver's memory): they are no maps of it. */
  readonly specialLeaves: Int32Array;
  /** LRU batches that hold a reference to each head. */
  readonly lruBatches: Int32Array;
  /** Slots of shared memory objects that hold each frame. */
  readonly cachePages: Int32Array;
  /** Swap slots that each frame stands for in the swap cache. */
  readonly swapCaches: Int32Array;
  /** Swap entries that refer to each slot. */
  readonly swapEntries: Int32Array;
  /** Guest leaves of each frame; of one of them: vm << 2 | ownership state. */
  readonly guestLeaves: Int32Array;
  readonly guestLeaf: Int32Array;
  readonly tlbEntries: Int32Array;
  /** Free lists (zones, CPUs) that hold each frame. */
  readonly onFreeList: Uint8Array;
  freeCounts: FreeCount[] = [];
  leftovers: Leftover[] = [];
  /** Whether the kernel under test keeps PG_anon_exclusive (v5.19+). */
  bitMatters = true;

  constructor(m: Machine, actors: number) {
    this.m = m;
    this.actors = actors;
    const words = (): Int32Array => new Int32Array(m.frames);
    this.pteLeaves = words();
    this.pmdLeaves = words();
    this.writableLeaves = words();
    this.specialLeaves = words();
    this.lruBatches = words();
    this.cachePages = words();
    this.swapCaches = words();
    this.swapEntries = new Int32Array(m.swapSlots);
    this.guestLeaves = words();
    this.guestLeaf = words();
    this.tlbEntries = words();
    this.onFreeList = new Uint8Array(m.frames);
  }

  take(): this {
    this.pteLeaves.fill(0);
    this.pmdLeaves.fill(0);
    this.writableLeaves.fill(0);
    this.specialLeaves.fill(0);
    this.lruBatches.fill(0);
    this.cachePages.fill(0);
    this.swapCaches.fill(0);
    this.swapEntries.fill(0);
    this.guestLeaves.fill(0);
    this.tlbEntries.fill(0);
    this.onFreeList.fill(0);
    this.freeCounts = [];
    this.leftovers = [];
    for (let mm = 0; mm < this.m.mms; mm++) this.#process(mm);
    for (let object = 0; object < this.m.objects; object++) {
      for (let index = 0; index < this.m.objectPages; index++) {
        const pfn = peek(this.m.words, objectPageWord(this.m, object, index));
        if (pfn !== 0) this.cachePages[pfn] = (this.cachePages[pfn] as number) + 1;
      }
    }
    for (let vm = 0; vm < this.m.vms; vm++) this.#guest(vm);
    for (let cpu = 0; cpu < this.actors; cpu++) this.#cpu(cpu);
    for (let node = 0; node < this.m.nodes; node++) this.#zone(node);
    for (let slot = 0; slot < this.m.swapSlots; slot++) {
      const folio = peek(this.m.words, swapWord(this.m, slot, SWAP_FOLIO));
      if (folio !== 0) this.swapCaches[folio] = (this.swapCaches[folio] as number) + 1;
    }
    return this;
  }

  #process(mm: number): void {
    const { m } = this;
    for (let vpn = 0; vpn < m.mmPages; vpn += m.thpPages) {
      const pmd = peek(m.words, pmdWord(m, mm, vpn));
      if (pmd === 0) continue;
      if (!isTable(pmd)) {
        if (isHuge(pmd)) this.#leaf(this.pmdLeaves, mm, vpn, pmd);
        continue;
      }
      const first = pteWord(m, entryPfn(pmd), vpn);
      for (let i = 0; i < m.thpPages; i++) {
        const pte = peek(m.words, first + i);
        if (pte !== 0) this.#leaf(this.pteLeaves, mm, vpn + i, pte);
      }
    }
  }

  #leaf(leaves: Int32Array, mm: number, vpn: number, entry: number): void {
    if (!isPresent(entry)) {
      if (isMigrationEntry(entry)) this.#left(mm, vpn, entry);
      else if (isSwapEntry(entry))
        this.swapEntries[entryPfn(entry)] = (this.swapEntries[entryPfn(entry)] as number) + 1;
      return;
    }
    const pfn = entryPfn(entry);
    if (pfn !== 0 && isSpecial(entry)) {
      this.specialLeaves[pfn] = (this.specialLeaves[pfn] as number) + 1;
      return;
    }
    if (isWritableLeaf(entry)) this.writableLeaves[pfn] = (this.writableLeaves[pfn] as number) + 1;
    else if (isInvalidHuge(entry)) this.#left(mm, vpn, entry);
    if (pfn !== 0) leaves[pfn] = (leaves[pfn] as number) + 1;
  }

  #left(mm: number, vpn: number, entry: number): void {
    if (this.leftovers.length < LEFTOVERS_MAX) this.leftovers.push({ mm, vpn, entry });
  }

  #guest(vm: number): void {
    const { m } = this;
    for (let gfn = 0; gfn < m.vmPages; gfn += m.thpPages) {
      const root = peek(m.words, s2RootWord(m, vm, gfn));
      if (isS2Block(root)) {
        for (let i = 0; i < m.thpPages; i++) this.#guestLeaf(vm, entryPfn(root) + i, root);
      } else if (isS2Table(root)) {
        const first = s2PteWord(m, entryPfn(root), gfn);
        for (let i = 0; i < m.thpPages; i++) {
          const leaf = peek(m.words, first + i);
          if (isS2Leaf(leaf)) this.#guestLeaf(vm, entryPfn(leaf), leaf);
        }
      }
    }
  }

  #guestLeaf(vm: number, pfn: number, leaf: number): void {
    this.guestLeaves[pfn] = (this.guestLeaves[pfn] as number) + 1;
    this.guestLeaf[pfn] = (vm << 2) | ((leaf >> S2_STATE_SHIFT) & 3);
  }

  #cpu(cpu: number): void {
    const { m } = this;
    for (let i = 0; i < m.config.lruBatch; i++) {
      const head = peek(m.words, cpuWord(m, cpu, CPU_LRU_PFNS) + i);
      // 0: nothing, or taken out by lru_add_drain_all()
      this.lruBatches[head] = (this.lruBatches[head] as number) + 1;
    }
    const base = tlbBase(m, cpu);
    for (let slot = base, last = base + 2 * m.tlbMask; slot <= last; slot += 2) {
      if (peek(m.words, slot) === 0) continue;
      const pfn = tlbPfn(peek(m.words, slot + 1));
      this.tlbEntries[pfn] = (this.tlbEntries[pfn] as number) + 1;
    }
    for (let node = 0; node < m.nodes; node++) {
      const length = this.#chain(peek(m.words, cpuWord(m, cpu, CPU_PCP_HEAD + node)));
      this.#agree(node, peek(m.words, cpuWord(m, cpu, CPU_PCP_COUNT + node)), length);
    }
  }

  #zone(node: number): void {
    const { m } = this;
    let frames = 0;
    for (const list of [NODE_FREE_BLOCKS, NODE_PARTIAL_BLOCKS]) {
      let blocks = 0;
      let block = peek(m.words, nodeWord(m, node, list)) - 1;
      for (; block >= 0 && blocks <= m.frames; blocks++) {
        const length = this.#chain(peek(m.words, blockWord(m, block, BLOCK_FREE_HEAD)));
        this.#agree(node, peek(m.words, blockWord(m, block, BLOCK_FREE_COUNT)), length);
        frames += length;
        block = peek(m.words, blockWord(m, block, BLOCK_NEXT)) - 1;
      }
    }
    this.#agree(node, peek(m.words, nodeWord(m, node, NODE_FREE_FRAMES)), frames);
  }

  #agree(node: number, expected: number, received: number): void {
    if (expected !== received) this.freeCounts.push({ node, expected, received });
  }

  /** Marks the frames of a free list; returns how many. A list that bites its tail ends at the first frame seen twice. */
  #chain(first: number): number {
    const { m } = this;
    let length = 0;
    for (let pfn = first; pfn > 0 && pfn < m.frames; pfn = peek(m.words, pageWord(m, pfn, PAGE_LRU_NEXT))) {
      this.onFreeList[pfn] = (this.onFreeList[pfn] as number) + 1;
      length++;
      if ((this.onFreeList[pfn] as number) > 1) break;
    }
    return length;
  }
}

/** What pmdp_invalidate() leaves: present, but invalid for the hardware. */
const isInvalidHuge = (pmd: number): boolean => (pmd & PMD_INVALID) === PMD_INVALID;

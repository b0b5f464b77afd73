/**
 * What is out of other actors' reach without any lock, for the checking build: frames between their allocation and the first entry
 * or list that names them, and stage-2 tables that no root entry points to. It is followed by watching every store.
 */
import { COMPOUND_TAIL } from './abi.js';
import { PFN_SHIFT, isS2Table, isTable } from './entries.js';
import {
  CPU_LRU_PFNS,
  CPU_PCP_HEAD,
  CPU_WORDS,
  KSM_NODE_KPFN,
  KSM_NODE_WORDS,
  type Machine,
  PAGE_COMPOUND,
  PAGE_REFS,
  PAGE_SHIFT,
  SWAP_FOLIO,
  SWAP_WORDS,
  TABLE_FREE,
  TABLE_HEADER,
  TABLE_PMD,
  TABLE_STATE,
  VCPU_HOST_MC_HEAD,
  VCPU_WORDS,
  VM_MEMSLOT_SETS,
  VM_VCPUS,
  vmWord,
} from './layout.js';

export class Reach {
  readonly #m: Machine;
  readonly #words: Int32Array;
  /** By frame: the actor that allocated it + 1, until an entry or a list names it. */
  readonly #owner: Uint8Array;
  /** By stage-2 table: whether a root entry points to it. */
  readonly #linked: Uint8Array;

  constructor(m: Machine) {
    this.#m = m;
    this.#words = m.words;
    this.#owner = new Uint8Array(m.frames);
    this.#linked = new Uint8Array(m.s2Tables);
  }

  /** Whether `actor` has allocated the folio with this head and nothing names it yet. */
  isOwn(actor: number, head: number): boolean {
    return this.#owner[head] === actor + 1;
  }

  /** Whether a root entry points to this stage-2 table. */
  isLinked(table: number): boolean {
    return this.#linked[table] === 1;
  }

  /** A store of `value`: what it publishes, takes or unlinks. Called before the store. */
  stored(actor: number, index: number, value: number): void {
    const m = this.#m;
    if (index >= m.swapAt && index < m.objectsAt) {
      if ((index - m.swapAt) % SWAP_WORDS === SWAP_FOLIO) this.#publish(value);
    } else if (index >= m.s2TablesAt) {
      this.#publish(value >>> PFN_SHIFT);
    } else if (index >= m.vmsAt) {
      const offset = (index - m.vmsAt) % m.vmWords;
      if (offset >= m.vmRoot && offset < m.vmPinned) this.#rootStored(index, value);
      else if (offset >= VM_VCPUS && offset < VM_MEMSLOT_SETS && (offset - VM_VCPUS) % VCPU_WORDS === VCPU_HOST_MC_HEAD)
        this.#publish(value);
    } else if (index >= m.ksmNodesAt) {
      if (index < m.ksmStableAt && (index - m.ksmNodesAt) % KSM_NODE_WORDS === KSM_NODE_KPFN) this.#publish(value);
    } else if (index >= m.tablesAt) {
      if (index < m.ksmItemsAt && (index - m.tablesAt) % m.tableWords >= TABLE_HEADER)
        this.#publish(value >>> PFN_SHIFT);
    } else if (index >= m.mmsAt) {
      const offset = (index - m.mmsAt) % m.mmWords;
      const pmd = index < m.vmasAt && offset >= m.mmPmdsOffset && offset < m.mmDeposits;
      // a table PMD names a table, not a frame
      if (pmd && !isTable(value)) this.#publish(value >>> PFN_SHIFT);
    } else if (index >= m.framesAt) {
      // prep_new_page()
      const pfn = (index - m.framesAt) >> PAGE_SHIFT;
      if ((index & 15) === PAGE_REFS && value === 1 && this.#words[index] === 0) this.#owner[pfn] = actor + 1;
    } else if (index >= m.cpusAt && index < m.tlbsAt) {
      const offset = (index - m.cpusAt) % CPU_WORDS;
      if (offset >= CPU_LRU_PFNS && offset < CPU_PCP_HEAD) this.#publish(value);
    }
  }

  /** LK10: the entry belongs to a page table that is free. */
  isFreedTable(index: number): boolean {
    const m = this.#m;
    if (index < m.tablesAt || index >= m.ksmItemsAt) return false;
    const offset = (index - m.tablesAt) % m.tableWords;
    return (
      offset >= TABLE_HEADER &&
      this.#words[index - offset + TABLE_STATE] === TABLE_FREE &&
      this.#words[index - offset + TABLE_PMD] !== 0
    );
  }

  /** The machine is at its start again. */
  reset(): void {
    const m = this.#m;
    this.#owner.fill(0);
    this.#linked.fill(0);
    for (let vm = 0; vm < m.vms; vm++) {
      for (let i = 0; i < m.vmBlocks; i++) {
        const root = this.#words[vmWord(m, vm, m.vmRoot + i)] as number;
        if (isS2Table(root)) this.#linked[root >>> PFN_SHIFT] = 1;
      }
    }
  }

  #publish(pfn: number): void {
    if (pfn <= 0 || pfn >= this.#m.frames) return;
    this.#owner[this.headOf(pfn)] = 0;
  }

  #rootStored(index: number, value: number): void {
    const before = this.#words[index] as number;
    if (isS2Table(before)) this.#linked[before >>> PFN_SHIFT] = 0;
    if (isS2Table(value)) this.#linked[value >>> PFN_SHIFT] = 1;
    else this.#publish(value >>> PFN_SHIFT);
  }

  /** The head of the folio of `pfn`. */
  headOf(pfn: number): number {
    const compound = this.#words[this.#m.framesAt + (pfn << PAGE_SHIFT) + PAGE_COMPOUND] as number;
    return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
  }
}

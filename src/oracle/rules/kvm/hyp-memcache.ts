/**
 * I-HYPMC: a page that EL2's tables are made of is in one place at a time: a host memcache, a vCPU's memcache at EL2, the VM's
 * pool, a stage-2 table, the metadata, the teardown memcache, or the host's at large. At rest the audit walks every list; on
 * one thread each move is held against where the page was.
 */
import type { Context } from '../../../machine/context.js';
import { PKVM_NOPAGE, PKVM_PAGE_OWNED, entryPfn, isS2Table } from '../../../machine/entries.js';
import {
  type Machine,
  PAGE_CONTENT,
  PAGE_HYP,
  TABLE_PFN,
  VCPUS_MAX,
  VCPU_HOST_MC_HEAD,
  VCPU_HYP_MC_HEAD,
  VM_HYP_META,
  VM_HYP_POOL_HEAD,
  VM_HYP_TEARDOWN_HEAD,
  s2RootWord,
  s2TableWord,
  vcpuWord,
  vmWord,
} from '../../../machine/layout.js';
import {
  MC_PLACES,
  MC_PLACE_HOST,
  MC_PLACE_HOST_MC,
  MC_PLACE_HYP_MC,
  MC_PLACE_META,
  MC_PLACE_POOL,
  MC_PLACE_TABLE,
  MC_PLACE_TEARDOWN_MC,
} from '../../../hyp/memcache.js';
import { look as peek } from '#words';
import { page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-HYPMC';
const UNKNOWN = 255;

/** The ownership of a frame as EL2 keeps it: the host's state and EL2's own. */
export const hostStateOf = (m: Machine, pfn: number): number => page(m, pfn, PAGE_HYP) & 3;
export const hypStateOf = (m: Machine, pfn: number): number => ((page(m, pfn, PAGE_HYP) >> 4) & 3) ^ PKVM_NOPAGE;

/** Places of frames at rest, found by walking EL2's and the hosts' lists. */
export class HypPlaces {
  readonly #m: Machine;
  /** MC_PLACE_* of each frame. */
  readonly place: Uint8Array;

  constructor(m: Machine) {
    this.#m = m;
    this.place = new Uint8Array(m.frames);
  }

  /** Walks all lists; `log` null only marks the pages. */
  walk(log: ViolationLog | null): this {
    const m = this.#m;
    this.place.fill(MC_PLACE_HOST);
    for (let vm = 0; vm < m.vms; vm++) {
      for (let vcpu = 0; vcpu < VCPUS_MAX; vcpu++) {
        this.#list(log, vm, vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD), MC_PLACE_HOST_MC);
        this.#list(log, vm, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_HEAD), MC_PLACE_HYP_MC);
      }
      this.#list(log, vm, vmWord(m, vm, VM_HYP_POOL_HEAD), MC_PLACE_POOL);
      this.#list(log, vm, vmWord(m, vm, VM_HYP_TEARDOWN_HEAD), MC_PLACE_TEARDOWN_MC);
      const meta = peek(m.words, vmWord(m, vm, VM_HYP_META));
      if (meta !== 0) this.#enter(log, vm, meta, MC_PLACE_META);
      for (let gfn = 0; gfn < m.vmPages; gfn += m.thpPages) {
        const root = peek(m.words, s2RootWord(m, vm, gfn));
        const table = isS2Table(root) ? peek(m.words, s2TableWord(m, entryPfn(root), TABLE_PFN)) : 0;
        if (table !== 0) this.#enter(log, vm, table, MC_PLACE_TABLE);
      }
    }
    return this;
  }

  #list(log: ViolationLog | null, vm: number, headAt: number, place: number): void {
    const { words } = this.#m;
    const count = peek(words, headAt + 1);
    let pfn = peek(words, headAt);
    let i = 0;
    for (; i < count && pfn > 0 && pfn < this.#m.frames; i++) {
      if (!this.#enter(log, vm, pfn, place)) return;
      pfn = page(this.#m, pfn, PAGE_CONTENT);
    }
    if (i < count)
      log?.found(ID, 'list shorter than its count', {
        vm,
        expected: `${count} pages in the ${MC_PLACES[place]}`,
        received: String(i),
      });
  }

  /** False: the page is in another place already. */
  #enter(log: ViolationLog | null, vm: number, pfn: number, place: number): boolean {
    const before = this.place[pfn] as number;
    if (before !== MC_PLACE_HOST) {
      log?.found(ID, 'page in two places', {
        vm,
        pfn,
        expected: MC_PLACES[before] as string,
        received: MC_PLACES[place] as string,
      });
      return false;
    }
    this.place[pfn] = place;
    const host = place === MC_PLACE_HOST_MC || place === MC_PLACE_TEARDOWN_MC;
    const owned = host ? hostStateOf(this.#m, pfn) === PKVM_PAGE_OWNED : hypStateOf(this.#m, pfn) === PKVM_PAGE_OWNED;
    if (!owned) log?.found(ID, 'listed page owned by others', { vm, pfn, received: MC_PLACES[place] as string });
    return true;
  }
}

/** Follows each move: exact on one thread only. */
export class MemcacheLedger {
  readonly #log: ViolationLog;
  readonly #place: Uint8Array;

  constructor(m: Machine, log: ViolationLog) {
    this.#log = log;
    this.#place = new Uint8Array(m.frames).fill(UNKNOWN);
  }

  reset(): void {
    this.#place.fill(UNKNOWN);
  }

  moved(ctx: Context, pfn: number, from: number, to: number): void {
    const place = this.#place[pfn] as number;
    this.#place[pfn] = to;
    if (place === UNKNOWN || place === from) return;
    this.#log.report(ctx, ID, 'page moved from elsewhere', {
      pfn,
      expected: MC_PLACES[place] as string,
      received: MC_PLACES[from] as string,
    });
  }
}

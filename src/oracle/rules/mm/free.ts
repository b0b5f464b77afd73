/**
 * I-FREE: a free page has no PTE, no stage-2 leaf, no TLB entry and no pin. Asserted at the step that frees, where nobody can
 * come by the page any more: whatever still leads to it is a use after free in waiting. The audit looks at all free frames.
 *
 * An ordinary anonymous page says itself where it was mapped (its mapping and index), so the look costs a few loads; a KSM page
 * does not, and is left to the audit.
 */
import { PG_BUDDY, PG_DRIVER, PG_HWPOISON, PG_NO_MAP, PG_PCP, PG_RESERVED } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { PKVM_PAGE_OWNED, isPresent } from '../../../machine/entries.js';
import {
  type Machine,
  PAGE_COMPOUND,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_HYP,
  PAGE_LARGE_MAPS,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
} from '../../../machine/layout.js';
import { HYP_PENDING_RECLAIM } from '../../../hyp/page-state.js';
import { tlbPfn, tlbSlot, tlbTag } from '../../../machine/tlb.js';
import { look as peek } from '#words';
import type { Census } from '../../audits/census.js';
import {
  entryAt,
  gfnOfVpn,
  headOf,
  isLiveVmOf,
  mmOfFolio,
  page,
  pfnOfEntry,
  pfnOfStage2,
  stage2At,
  vpnOfPage,
} from '../../view.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-FREE';
/** hyp_page: the host's ownership state (hyp/page-state.ts). */
const HOST_STATE = 3;
/** Frames whose owner holds no reference. */
const NOT_ALLOCATED = PG_HWPOISON | PG_RESERVED | PG_NO_MAP | PG_DRIVER;

export class FreeOracle {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #actors: number;
  /** Look at every CPU's TLB and at every page of a large folio, not only at the first. */
  readonly #deep: boolean;

  /** Whether EL2 says who owns a page. */
  readonly #el2: boolean;

  constructor(m: Machine, log: ViolationLog, actors: number, deep: boolean, el2 = false) {
    this.#el2 = el2;
    this.#m = m;
    this.#log = log;
    this.#actors = actors;
    this.#deep = deep;
  }

  /** The folio of 2^order frames with head `head` goes back to the allocator. */
  freed(ctx: Context, head: number, order: number): void {
    const m = this.#m;
    const refs = page(m, head, PAGE_REFS);
    if (refs !== 0)
      this.#log.report(ctx, ID, 'freed page has references', { pfn: head, expected: '0', received: String(refs) });
    const maps = order === 0 ? page(m, head, PAGE_MAPS) : page(m, head, PAGE_LARGE_MAPS);
    if (maps !== 0)
      this.#log.report(ctx, ID, 'freed page is still mapped', { pfn: head, expected: '0', received: String(maps) });
    if (order !== 0 && page(m, head, PAGE_PINCOUNT) !== 0)
      this.#log.report(ctx, ID, 'freed folio is still pinned', { pfn: head });
    if (this.#el2) this.#hostsOwn(ctx, head, order);
    const mm = mmOfFolio(m, head);
    if (mm < 0) return;
    const pages = this.#deep ? 1 << order : 1;
    for (let pfn = head; pfn < head + pages; pfn++) {
      const vpn = vpnOfPage(m, head, pfn);
      if (vpn >= 0 && vpn < m.mmPages) this.#reachable(ctx, pfn, mm, vpn);
    }
  }

  /** What the host frees is its own: a page that is somebody else's at EL2 faults for whoever gets it next. */
  #hostsOwn(ctx: Context, head: number, order: number): void {
    for (let pfn = head; pfn < head + (1 << order); pfn++) {
      const state = page(this.#m, pfn, PAGE_HYP);
      if ((state & HOST_STATE) === PKVM_PAGE_OWNED && (state & HYP_PENDING_RECLAIM) === 0) continue;
      this.#log.report(ctx, 'I-OWN', "freed page is not the host's", { pfn });
    }
  }

  #reachable(ctx: Context, pfn: number, mm: number, vpn: number): void {
    const m = this.#m;
    const entry = entryAt(m, mm, vpn);
    if (isPresent(entry) && pfnOfEntry(m, entry, vpn) === pfn) {
      this.#log.report(ctx, ID, 'freed page has a PTE', { pfn, mm, vpn });
    }
    if (this.#deep) this.#inTlbs(ctx, tlbTag(false, mm, vpn), pfn, { pfn, mm, vpn });
    for (let vm = 0; vm < m.vms; vm++) {
      if (!isLiveVmOf(m, vm, mm)) continue;
      const gfn = gfnOfVpn(m, vm, vpn);
      if (gfn < 0) continue;
      const leaf = stage2At(m, vm, gfn);
      if (leaf !== 0 && pfnOfStage2(m, leaf, gfn) === pfn) {
        this.#log.report(ctx, ID, 'freed page mapped at stage 2', { pfn, vm, gfn, mm, vpn });
      }
      if (this.#deep) this.#inTlbs(ctx, tlbTag(true, vm, gfn), pfn, { pfn, vm, gfn });
    }
  }

  /** The tag is read before the value, as a new entry's tag is written after its value. */
  #inTlbs(
    ctx: Context,
    tag: number,
    pfn: number,
    subject: { pfn: number; mm?: number; vpn?: number; vm?: number; gfn?: number },
  ): void {
    const m = this.#m;
    for (let cpu = 0; cpu < this.#actors; cpu++) {
      const slot = tlbSlot(m, cpu, tag >>> 8);
      if (peek(m.words, slot) !== tag || tlbPfn(peek(m.words, slot + 1)) !== pfn) continue;
      this.#log.report(ctx, ID, 'freed page in a TLB', { ...subject, other: cpu });
    }
  }

  /** A stage-2 leaf was installed: whoever does that holds a reference or a pin. */
  mapped(ctx: Context, vm: number, gfn: number, pfn: number): void {
    const m = this.#m;
    if (pfn === 0 || page(m, headOf(m, pfn), PAGE_REFS) !== 0) return;
    // its count says nothing
    if ((page(m, pfn, PAGE_FLAGS) & PG_DRIVER) !== 0) return;
    this.#log.report(ctx, ID, 'stage 2 maps free page', { vm, gfn, pfn });
  }
}

/** At rest: each frame is free, on a CPU's list, or somebody's; the free ones lead nowhere and nothing leads to them. */
export function auditFree(census: Census, log: ViolationLog): void {
  const { m } = census;
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const flags = page(m, pfn, PAGE_FLAGS);
    const free = (flags & (PG_BUDDY | PG_PCP)) !== 0;
    const listed = census.onFreeList[pfn] as number;
    if (free !== listed > 0 || listed > 1) {
      log.found(ID, 'free list and frame disagree', {
        pfn,
        expected: free ? 'on one list' : 'on no list',
        received: `on ${listed}`,
      });
    }
    if (!free) {
      const head = headOf(m, pfn);
      const owned = page(m, head, PAGE_REFS) !== 0 || (flags & NOT_ALLOCATED) !== 0;
      if (!owned && listed === 0) log.found(ID, 'frame lost: nobody holds it', { pfn });
      continue;
    }
    if (page(m, pfn, PAGE_REFS) !== 0) log.found(ID, 'free frame has references', { pfn });
    if (page(m, pfn, PAGE_COMPOUND) !== 0) log.found(ID, 'free frame is still compound', { pfn });
    if (page(m, pfn, PAGE_MAPS) !== 0 || page(m, pfn, PAGE_ENTIRE_MAPS) !== 0)
      log.found(ID, 'free frame has a mapcount', { pfn });
    const leaves = (census.pteLeaves[pfn] as number) + (census.pmdLeaves[pfn] as number);
    if (leaves + (census.specialLeaves[pfn] as number) > 0) log.found(ID, 'free frame has a PTE', { pfn });
    if ((census.guestLeaves[pfn] as number) > 0) log.found(ID, 'free frame mapped at stage 2', { pfn });
    if ((census.tlbEntries[pfn] as number) > 0) log.found(ID, 'free frame in a TLB', { pfn });
  }
  for (const { node, expected, received } of census.freeCounts) {
    if (expected === received) continue;
    log.found(ID, 'free list count is wrong', {
      other: -1,
      expected: `${expected} frames`,
      received: `${received}, node ${node}`,
    });
  }
}

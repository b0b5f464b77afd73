/** Which pages name a frame now, and which frame a page has: by the tables themselves, so that it is known without an event. */
import { COMPOUND_TAIL, MAPPING_KSM } from '../../machine/abi.js';
import {
  entryPfn,
  isHardwareValid,
  isHuge,
  isMigrationEntry,
  isPresent,
  isS2Block,
  isS2Leaf,
  isS2Table,
  isTable,
  isWritable,
  S2_WRITE,
} from '../../machine/entries.js';
import {
  type Machine,
  PAGE_COMPOUND,
  PAGE_MAPPING,
  VM_MM,
  pageWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  vmWord,
} from '../../machine/layout.js';
import { gfnOfVpn } from '../../oracle/view.js';
import type { DiagramFocus } from '../../trace/diagram/focus.js';

/** Pages looked through at most: large machines have too many to ask for each step. */
const PAGES_MAX = 1 << 14;

/** The leaf that maps a page, 0 = none, and the frame that it names. */
function hostLeaf(m: Machine, mm: number, vpn: number): { readonly entry: number; readonly pfn: number } {
  const pmd = m.words[pmdWord(m, mm, vpn)] as number;
  if (isTable(pmd)) {
    const entry = m.words[pteWord(m, entryPfn(pmd), vpn)] as number;
    return { entry, pfn: entryPfn(entry) };
  }
  return isHuge(pmd) ? { entry: pmd, pfn: entryPfn(pmd) + (vpn & (m.thpPages - 1)) } : { entry: 0, pfn: 0 };
}

function guestLeaf(m: Machine, vm: number, gfn: number): { readonly entry: number; readonly pfn: number } {
  let entry = m.words[s2RootWord(m, vm, gfn)] as number;
  if (isS2Table(entry)) entry = m.words[s2PteWord(m, entryPfn(entry), gfn)] as number;
  if (!isS2Leaf(entry)) return { entry: 0, pfn: 0 };
  return { entry, pfn: entryPfn(entry) + (isS2Block(entry) ? gfn & (m.thpPages - 1) : 0) };
}

/** Whether some process maps the frame so that its CPUs may read, or write, it. True where there are too many pages to look. */
export function hostMaps(m: Machine, pfn: number, write: boolean): boolean {
  if (m.mms * m.mmPages > PAGES_MAX) return true;
  for (let mm = 0; mm < m.mms; mm++) {
    for (let vpn = 0; vpn < m.mmPages; vpn++) {
      const leaf = hostLeaf(m, mm, vpn);
      if (leaf.pfn === pfn && isHardwareValid(leaf.entry) && (!write || isWritable(leaf.entry))) return true;
    }
  }
  return false;
}

/** As {@link hostMaps}, of guests. */
export function guestMaps(m: Machine, pfn: number, write: boolean): boolean {
  if (m.vms * m.vmPages > PAGES_MAX) return true;
  for (let vm = 0; vm < m.vms; vm++) {
    for (let gfn = 0; gfn < m.vmPages; gfn++) {
      const leaf = guestLeaf(m, vm, gfn);
      if (leaf.pfn === pfn && leaf.entry !== 0 && (!write || (leaf.entry & S2_WRITE) !== 0)) return true;
    }
  }
  return false;
}

/** Names of one page, found in the tables. */
class Names {
  readonly #m: Machine;
  readonly found: DiagramFocus[] = [];
  readonly #seen = new Set<string>();

  constructor(m: Machine) {
    this.#m = m;
  }

  add(focus: DiagramFocus): void {
    const key = JSON.stringify([focus.pfn, focus.mm, focus.vpn, focus.vm, focus.gfn]);
    if (this.#seen.has(key) || this.found.length > 64) return;
    this.#seen.add(key);
    this.found.push(focus);
  }

  /** All names of what `found` names already, one step on. */
  widen(): void {
    for (const { pfn, mm = 0, vpn, vm = 0, gfn, pages = 1 } of this.found.slice()) {
      for (let i = 0; i < Math.min(pages, 64); i++) {
        if (vpn !== undefined) this.#ofUserPage(mm, vpn + i);
        if (gfn !== undefined) this.#ofGuestPage(vm, gfn + i);
      }
      if (pfn !== undefined) this.#ofFrame(pfn);
    }
  }

  #ofUserPage(mm: number, vpn: number): void {
    const m = this.#m;
    if (mm < 0 || mm >= m.mms || vpn < 0 || vpn >= m.mmPages) return;
    const { entry, pfn } = hostLeaf(m, mm, vpn);
    if (pfn > 0 && pfn < m.frames && (isPresent(entry) || isMigrationEntry(entry))) this.#addFrame(pfn);
    for (let vm = 0; vm < m.vms; vm++) {
      if (m.words[vmWord(m, vm, VM_MM)] !== mm) continue;
      const gfn = gfnOfVpn(m, vm, vpn);
      if (gfn >= 0) this.add({ vm, gfn });
    }
  }

  #ofGuestPage(vm: number, gfn: number): void {
    const m = this.#m;
    if (vm < 0 || vm >= m.vms || gfn < 0 || gfn >= m.vmPages) return;
    const { entry, pfn } = guestLeaf(m, vm, gfn);
    if (entry !== 0 && pfn > 0 && pfn < m.frames) this.#addFrame(pfn);
    const mm = m.words[vmWord(m, vm, VM_MM)] as number;
    if (mm < 0 || mm >= m.mms || m.mmPages > PAGES_MAX) return;
    for (let vpn = 0; vpn < m.mmPages; vpn++) if (gfnOfVpn(m, vm, vpn) === gfn) this.add({ mm, vpn });
  }

  #ofFrame(pfn: number): void {
    const m = this.#m;
    if (m.mms * m.mmPages > PAGES_MAX || pfn <= 0 || pfn >= m.frames) return;
    // a page of KSM has many places that have nothing to do with each other
    if (((m.words[pageWord(m, pfn, PAGE_MAPPING)] as number) & MAPPING_KSM) === MAPPING_KSM) return;
    for (let mm = 0; mm < m.mms; mm++) {
      for (let vpn = 0; vpn < m.mmPages; vpn++) {
        const leaf = hostLeaf(m, mm, vpn);
        if (leaf.pfn === pfn && (isPresent(leaf.entry) || isMigrationEntry(leaf.entry))) this.add({ mm, vpn });
      }
    }
  }

  #addFrame(pfn: number): void {
    this.add({ pfn });
    const compound = this.#m.words[pageWord(this.#m, pfn, PAGE_COMPOUND)] as number;
    if (compound < 0) this.add({ pfn: compound & ~COMPOUND_TAIL });
  }
}

/**
 * The pages of `foci` with their other names now: frame, user page, guest page, from one to the other.
 * @param rounds how far: guest page, user page, frame, the user pages of a child
 */
export function otherNames(m: Machine, foci: readonly DiagramFocus[], rounds = 3): readonly DiagramFocus[] {
  const names = new Names(m);
  for (const focus of foci) names.add(focus);
  for (let round = 0; round < rounds; round++) names.widen();
  return names.found;
}

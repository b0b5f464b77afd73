/**
 * What a copy of the machine at rest says about the pages of an incident: entries and their flags, stage 2, pins, KSM, huge pages, swap,
 * contents, nodes, protection; and of all of it the memslots and the knobs.
 */
import { GUP_PIN_COUNTING_BIAS, VM_STATE_LIVE } from '../../../machine/abi.js';
import {
  PTE_SPECIAL,
  S2_WRITE,
  entryPfn,
  isHuge,
  isPresent,
  isProtnone,
  isSwapEntry,
} from '../../../machine/entries.js';
import {
  KHUGEPAGED_MAX_PTES_NONE,
  KSM_SMART_SCAN,
  KSM_USE_ZERO_PAGES,
  MM_VMA_COUNT,
  MM_VMA_LIST,
  type Machine,
  PAGE_CONTENT,
  PAGE_MAPPING,
  PAGE_PINCOUNT,
  PAGE_REFS,
  THP_ENABLED,
  VMA_END,
  VMA_FLAGS,
  VMA_START,
  VM_MEMSLOTS,
  VM_STATE,
  globalWord,
  mmWord,
  pinnedPageWord,
  vmWord,
  vmaWord,
} from '../../../machine/layout.js';
import type { Plan, VmSpec } from '../../../plan/plan.js';
import { KVM_MEMSLOT_INVALID, setAt, slotAt } from '../../../kvm/memslots.js';
import { mappingIsKsm } from '../../../mm/folio.js';
import {
  entryAt,
  gfnOfVpn,
  headOf,
  isLarge,
  page,
  pfnOfEntry,
  stage2At,
  swappedContent,
} from '../../../oracle/view.js';
import { look as peek } from '#words';
import { UNKNOWN } from './page-states.js';
import type { PageState, IncidentPage } from './incident.js';

/** The frame that a page has, or 0: the zero page, or none. */
export function frameAt(m: Machine, { mm, vpn }: IncidentPage): number {
  const entry = entryAt(m, mm, vpn);
  return isPresent(entry) ? pfnOfEntry(m, entry, vpn) : 0;
}

/** The user page that a frame stands behind, by an entry of a process or of a guest; null: none. */
export function pageOfFrameAt(m: Machine, plan: Plan, pfn: number): IncidentPage | null {
  if (pfn <= 0) return null;
  for (const { mm, start, pages } of plan.mappings) {
    for (let vpn = start; vpn < start + pages; vpn++) if (frameAt(m, { mm, vpn }) === pfn) return { mm, vpn };
  }
  return null;
}

export const hugeAt = (m: Machine, { mm, vpn }: IncidentPage): boolean => isHuge(entryAt(m, mm, vpn));

/** Other pages of mergeable mappings that hold the same, in order, `most` of them. */
export function equalPages(
  m: Machine,
  plan: Plan,
  centre: IncidentPage,
  mergeable: number,
  most: number,
): IncidentPage[] {
  const found: IncidentPage[] = [];
  const content = contentAt(m, centre);
  if (content < 0) return found;
  for (const { mm, start, pages, flags } of plan.mappings) {
    if ((flags & mergeable) === 0) continue;
    for (let vpn = start; vpn < start + pages && found.length < most; vpn++) {
      const same = mm === centre.mm && vpn === centre.vpn;
      if (!same && contentAt(m, { mm, vpn }) === content) found.push({ mm, vpn });
    }
  }
  return found;
}

/** What a page holds, also when it is swapped out; -1: it has no page. */
function contentAt(m: Machine, { mm, vpn }: IncidentPage): number {
  const entry = entryAt(m, mm, vpn);
  if (isPresent(entry)) return page(m, pfnOfEntry(m, entry, vpn), PAGE_CONTENT) & 0x7fff_ffff;
  return isSwapEntry(entry) ? swappedContent(m, entryPfn(entry)) & 0x7fff_ffff : -1;
}

/** A page as the copy has it. */
export function stateOf(m: Machine, plan: Plan, where: IncidentPage): PageState {
  const { mm, vpn } = where;
  const entry = entryAt(m, mm, vpn);
  const present = isPresent(entry);
  const pfn = present ? pfnOfEntry(m, entry, vpn) : 0;
  const leaf = plan.vms.map((spec, vm) => (spec.mm === mm ? leafAt(m, vm, vpn) : 0)).find((each) => each !== 0) ?? 0;
  const backing = pfn > 0 ? pfn : entryPfn(leaf);
  return {
    ...UNKNOWN,
    mapped: present,
    guest: leaf !== 0,
    guestReadOnly: leaf !== 0 && (leaf & S2_WRITE) === 0,
    huge: isHuge(entry),
    protnone: isProtnone(entry),
    merged: pfn > 0 && mappingIsKsm(page(m, headOf(m, pfn), PAGE_MAPPING)),
    zero: present && (entry & PTE_SPECIAL) !== 0 && entryPfn(entry) === 0,
    swapped: isSwapEntry(entry),
    node: backing > 0 ? Math.floor(backing / m.framesPerNode) : 0,
    content: contentAt(m, where),
    pins: backing > 0 ? Math.max(0, pinsOf(m, backing) - kvmPins(m, plan, where)) : 0,
    flags: vmaFlagsAt(m, where),
  };
}

function leafAt(m: Machine, vm: number, vpn: number): number {
  if (peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE) return 0;
  const gfn = gfnOfVpn(m, vm, vpn);
  return gfn < 0 ? 0 : stage2At(m, vm, gfn);
}

/** FOLL_PIN holders, as folio_maybe_dma_pinned() guesses them. */
function pinsOf(m: Machine, pfn: number): number {
  const head = headOf(m, pfn);
  return isLarge(m, head) ? page(m, head, PAGE_PINCOUNT) : Math.floor(page(m, head, PAGE_REFS) / GUP_PIN_COUNTING_BIAS);
}

/** What KVM itself keeps pinned of a page, guests of pKVM above all. */
function kvmPins(m: Machine, plan: Plan, { mm, vpn }: IncidentPage): number {
  return plan.vms.filter((spec, vm) => {
    const gfn = spec.mm === mm ? gfnOfVpn(m, vm, vpn) : -1;
    return gfn >= 0 && peek(m.words, pinnedPageWord(m, vm, gfn)) !== 0;
  }).length;
}

function vmaFlagsAt(m: Machine, { mm, vpn }: IncidentPage): number {
  for (let i = peek(m.words, mmWord(m, mm, MM_VMA_COUNT)) - 1; i >= 0; i--) {
    const vma = peek(m.words, mmWord(m, mm, MM_VMA_LIST) + i);
    const inside = vpn >= peek(m.words, vmaWord(m, vma, VMA_START)) && vpn < peek(m.words, vmaWord(m, vma, VMA_END));
    if (inside) return peek(m.words, vmaWord(m, vma, VMA_FLAGS));
  }
  return UNKNOWN.flags;
}

/** The plan with the knobs and the memslots that the copy has: they may have been changed while it ran. */
export function planAt(m: Machine, plan: Plan): Plan {
  const knob = (at: number): number => peek(m.words, globalWord(m, at));
  const thp = knob(THP_ENABLED);
  return {
    ...plan,
    knobs: {
      ...plan.knobs,
      ksmSmartScan: knob(KSM_SMART_SCAN) !== 0,
      ksmUseZeroPages: knob(KSM_USE_ZERO_PAGES) !== 0,
      thpEnabled: thp === 1 || thp === 2 ? thp : 0,
      maxPtesNone: knob(KHUGEPAGED_MAX_PTES_NONE),
    },
    vms: plan.vms.map((spec, vm) => ({ ...spec, slots: slotsAt(m, vm, spec) })),
  };
}

function slotsAt(m: Machine, vm: number, spec: VmSpec): VmSpec['slots'] {
  if (peek(m.words, vmWord(m, vm, VM_STATE)) !== VM_STATE_LIVE) return spec.slots;
  const slots = setAt(m, vm, peek(m.words, vmWord(m, vm, VM_MEMSLOTS)));
  const found = Array.from({ length: peek(m.words, slots) }, (_, i) => {
    const at = slotAt(slots, i);
    const [baseGfn = 0, pages = 0, vpn = 0, flags = 0] = [0, 1, 2, 3].map((field) => peek(m.words, at + field));
    return { baseGfn, pages, vpn, flags: flags & 0xffff };
  }).filter(({ flags }) => (flags & KVM_MEMSLOT_INVALID) === 0);
  return found.length > 0 ? found : spec.slots;
}

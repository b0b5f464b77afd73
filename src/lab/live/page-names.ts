/**
 * Which pages an event record names: its page of a process or a guest, and its frames. Guest pages are turned into the user
 * pages that stand for them, so that both names of a page lead to the same history.
 */
import { RECORD_ARGS, RECORD_TYPE, RECORD_WORDS } from '../../events/record.js';
import { vpnOfGfn } from '../../kvm/memslots.js';
import { type Machine, VM_MM } from '../../machine/layout.js';
import { EVENT_TYPES } from '../../trace/event.js';

/** Where a type's arguments are: positions in the record, -1 = none. */
interface Layout {
  /** The space (mm or vm), and whether it is a VM. */
  readonly space: number;
  readonly guest: boolean;
  readonly page: number;
  readonly end: number;
  readonly pfn: number;
  readonly otherPfn: number;
}

const LAYOUTS: readonly (Layout | undefined)[] = EVENT_TYPES.map((info): Layout | undefined => {
  if (info === undefined) return undefined;
  const at = (test: (name: string, kind: string) => boolean, from = 0): number =>
    info.args.findIndex(({ name, kind }, n) => n >= from && test(name, kind));
  const pfn = at((_, kind) => kind === 'pfn');
  const layout = {
    space: at((_, kind) => kind === 'mm' || kind === 'vm'),
    guest: info.args.some(({ kind }) => kind === 'vm'),
    page: at((name, kind) => (kind === 'vpn' || kind === 'gfn') && name !== 'end'),
    end: at((name) => name === 'end'),
    pfn,
    otherPfn: pfn < 0 ? -1 : at((_, kind) => kind === 'pfn', pfn + 1),
  };
  return layout.pfn < 0 && (layout.space < 0 || layout.page < 0) ? undefined : layout;
});

/** Reads the names of one record after the other; the fields are of the last one read. */
export class PageNames {
  /** mm * mmPages + vpn of the first page, or -1; and how many there are. */
  userPage = -1;
  pages = 0;
  pfn = -1;
  otherPfn = -1;
  readonly #m: Machine;

  constructor(m: Machine) {
    this.#m = m;
  }

  /** @returns false when the record names no page */
  read(records: Int32Array, index: number): boolean {
    const base = index * RECORD_WORDS;
    const layout = LAYOUTS[(records[base + RECORD_TYPE] as number) & 255];
    if (layout === undefined) return false;
    const at = base + RECORD_ARGS;
    this.pfn = layout.pfn < 0 ? -1 : frame(records[at + layout.pfn] as number);
    this.otherPfn = layout.otherPfn < 0 ? -1 : frame(records[at + layout.otherPfn] as number);
    this.userPage = -1;
    this.pages = 0;
    if (layout.space >= 0 && layout.page >= 0) {
      const page = records[at + layout.page] as number;
      const space = records[at + layout.space] as number;
      this.userPage = layout.guest ? this.userPageOf(space, page) : space * this.#m.mmPages + page;
      this.pages = layout.end < 0 ? 1 : Math.max(1, (records[at + layout.end] as number) - page);
    }
    return true;
  }

  /** The user page behind guest page `gfn`, or -1. */
  userPageOf(vm: number, gfn: number): number {
    const m = this.#m;
    if (vm < 0 || vm >= m.vms) return -1;
    const vpn = vpnOfGfn(m, vm, gfn);
    return vpn < 0 ? -1 : (m.words[m.vmsAt + vm * m.vmWords + VM_MM] as number) * m.mmPages + vpn;
  }
}

/** 0 is the zero page, or none. */
const frame = (pfn: number): number => (pfn > 0 ? pfn : -1);

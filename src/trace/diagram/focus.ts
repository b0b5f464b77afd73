/**
 * What a race diagram is about: some frames, the user pages and guest pages that name them, and which events touch them.
 */
import {
  HYP_DONATE_HYP,
  HYP_GUEST_RELINQUISH,
  HYP_GUEST_SHARE,
  HYP_GUEST_UNSHARE,
  HYP_HOST_MEM_ABORT,
  HYP_MAP_GUEST,
  HYP_RECLAIM_PAGE,
  HYP_RELAX_PERMS_GUEST,
  HYP_SHARE_GUEST,
  HYP_SHARE_HYP,
  HYP_UNSHARE_GUEST,
  HYP_UNSHARE_HYP,
  HYP_WRPROTECT_GUEST,
} from '../../hyp/hypercalls.js';
import { RECORD_ARGS, RECORD_WORDS, recordActor, recordType } from '../../events/record.js';
import { EVENT, type EventName } from '../../events/table.js';
import { EVENT_TYPES, type EventTypeInfo } from '../event.js';

/** A page, named in any of its three ways. vpn goes with mm, gfn with vm; each defaults to 0. */
export interface DiagramFocus {
  readonly pfn?: number | undefined;
  readonly vm?: number | undefined;
  readonly gfn?: number | undefined;
  readonly mm?: number | undefined;
  readonly vpn?: number | undefined;
  /** Pages from gfn or vpn on; 1 by default. */
  readonly pages?: number | undefined;
}

/** Events that say little about a race unless they touch the page in question. */
const NOISE: readonly EventName[] = [
  'sched_operation',
  'access',
  'lock_wait',
  'khugepaged_scan',
  'ksm_scan',
  'memcache',
  'mark',
  'page_alloc',
  'mmap',
  'account_locked_vm',
  'hypercall',
  'ipi_sync',
  'tlb_flush',
  'message',
  'vm_create',
];
/** Never shown: they say who runs, not what happens to a page. */
const HIDDEN: readonly EventName[] = [
  'sched_operation',
  'lock_wait',
  'lock_acquire',
  'lock_release',
  'mark',
  'litmus_call',
];
/** Shown whatever they are about. */
const ALWAYS: readonly EventName[] = ['warn', 'fork', 'vm_destroy'];

/** Events about a whole huge page, named by its first pages. */
const HUGE: readonly EventName[] = ['pmd_change', 'split_huge_pmd', 'split_folio', 'collapse', 'khugepaged_scan'];

const setOf = (names: readonly EventName[]): ReadonlySet<number> => new Set(names.map((name) => EVENT[name]));
const noise = setOf(NOISE);
const hidden = setOf(HIDDEN);
const always = setOf(ALWAYS);
const huge = setOf(HUGE);

/** Hypercalls by what their arguments name: host ones their frame first, guest ones and a dying page's their guest page. */
const HVC_PFN: ReadonlySet<number> = new Set([
  HYP_HOST_MEM_ABORT,
  HYP_MAP_GUEST,
  HYP_SHARE_GUEST,
  HYP_SHARE_HYP,
  HYP_UNSHARE_HYP,
  HYP_DONATE_HYP,
]);
const HVC_GFN_FIRST: ReadonlySet<number> = new Set([
  HYP_GUEST_SHARE,
  HYP_GUEST_UNSHARE,
  HYP_GUEST_RELINQUISH,
  HYP_RELAX_PERMS_GUEST,
]);
const HVC_GFN_SECOND: ReadonlySet<number> = new Set([HYP_RECLAIM_PAGE, HYP_UNSHARE_GUEST, HYP_WRPROTECT_GUEST]);
/** The record does not say which VM's guest page it is. */
const ANY_VM = -1;

/** The names that are followed from one to the other: at most so many of each. */
const NAMES_MAX = 6;

/** The largest order of a folio. */
const ORDER_MAX = 9;

/** What one record names: frames, and one space with a page range in it. */
interface Named {
  /** The first of `pages` frames each. */
  readonly pfns: readonly number[];
  readonly pages: number;
  /** 'mm' or 'vm', its number, [start, end); none when `kind` is undefined. */
  readonly kind: 'mm' | 'vm' | undefined;
  readonly space: number;
  readonly start: number;
  readonly end: number;
}

/** Pages that a single page number of this record stands for. */
function pagesOf(records: Int32Array, index: number, info: EventTypeInfo, thpOrder: number): number {
  const type = recordType(records, index);
  const at = index * RECORD_WORDS + RECORD_ARGS;
  const order = info.args.findIndex(({ name }) => name === 'order');
  if (order >= 0) return 1 << Math.min(Math.max(records[at + order] ?? 0, 0), ORDER_MAX);
  if (huge.has(type)) return 1 << thpOrder;
  const flag = info.args.findIndex(({ name }) => name === 'huge');
  if (flag >= 0) return records[at + flag] === 0 ? 1 : 1 << thpOrder;
  // the check comes before it is known whether a page or a block is mapped
  if (type === EVENT.stage2_check) return ((records[at + 1] ?? 1) & ((1 << thpOrder) - 1)) === 0 ? 1 << thpOrder : 1;
  if (type !== EVENT.stage2_map && type !== EVENT.stage2_unmap) return 1;
  // whether it was a block is not said; a block's page numbers are aligned, and few others of both kinds are
  const aligned = (((records[at + 1] ?? 1) | (records[at + 2] ?? 1)) & ((1 << thpOrder) - 1)) === 0;
  return aligned ? 1 << thpOrder : 1;
}

function namedByHypercall(fn: number, a: number, b: number): Named {
  const pfns = HVC_PFN.has(fn) && a > 0 ? [a] : [];
  const gfn = HVC_GFN_FIRST.has(fn) ? a : HVC_GFN_SECOND.has(fn) ? b : -1;
  return { pfns, pages: 1, kind: gfn < 0 ? undefined : 'vm', space: ANY_VM, start: gfn, end: gfn + 1 };
}

function namedBy(records: Int32Array, index: number, info: EventTypeInfo, thpOrder: number): Named {
  const at = index * RECORD_WORDS + RECORD_ARGS;
  if (info.name === 'hypercall') return namedByHypercall(records[at] ?? 0, records[at + 1] ?? 0, records[at + 2] ?? 0);
  const pfns: number[] = [];
  let kind: 'mm' | 'vm' | undefined;
  let space = 0;
  let start = -1;
  let end = -1;
  const pages = pagesOf(records, index, info, thpOrder);
  info.args.forEach((argument, n) => {
    const word = records[at + n] ?? 0;
    if (argument.kind === 'pfn') {
      if (word > 0) pfns.push(word);
    } else if (argument.kind === 'mm' || argument.kind === 'vm') {
      kind = argument.kind;
      space = word;
    } else if (argument.name === 'guest') kind = word !== 0 ? 'vm' : 'mm';
    else if (argument.name === 'space') space = word;
    else if (argument.kind === 'vpn' || argument.kind === 'gfn') {
      if (argument.name === 'end') end = word;
      else [start, end] = [word, word + pages];
    }
  });
  return { pfns, pages, kind: start < 0 ? undefined : kind, space, start, end };
}

/** Pages of the focus. */
interface PageRange {
  readonly kind: 'mm' | 'vm';
  readonly space: number;
  readonly start: number;
  readonly end: number;
}

const overlaps = (range: PageRange, named: Named): boolean =>
  range.kind === named.kind &&
  (range.space === named.space || named.space === ANY_VM) &&
  range.start < named.end &&
  named.start < range.end;

/**
 * The pages of the last record of `actor` before `end` that names any: what a violation without a page is about, most
 * likely. Nothing when there is none.
 */
export function lastFocusOf(records: Int32Array, end: number, actor: number, thpOrder = 0): DiagramFocus {
  for (let i = end - 1; i >= 0; i--) {
    if (recordActor(records, i) !== actor) continue;
    const info = EVENT_TYPES[recordType(records, i)];
    if (info === undefined) continue;
    const { kind, space, start, end: after } = namedBy(records, i, info, thpOrder);
    if (space === ANY_VM) continue;
    if (kind === 'mm') return { mm: space, vpn: start, pages: after - start };
    if (kind === 'vm') return { vm: space, gfn: start, pages: after - start };
  }
  return {};
}

/** Whether an event of that type is ever drawn. */
export const isShown = (type: number): boolean => EVENT_TYPES[type] !== undefined && !hidden.has(type);

/** Answers which events matter for a focus. */
export class Relevance {
  readonly #pfns = new Set<number>();
  readonly #pages: PageRange[] = [];
  readonly #thpOrder: number;
  #namesMax = Infinity;

  /**
   * @param end records before this one are looked through, from the last on, for the page's other names
   * @param foci the pages
   * @param thpOrder log2 of the pages of a huge page
   * @param follows whether the page's names at other times are looked for; else `foci` has all of them
   */
  constructor(records: Int32Array, end: number, foci: readonly DiagramFocus[], thpOrder = 0, follows = true) {
    this.#thpOrder = thpOrder;
    for (const { pfn, vm = 0, gfn, mm = 0, vpn, pages = 1 } of foci) {
      if (pfn !== undefined) this.#pfns.add(pfn);
      if (gfn !== undefined) this.#addPages('vm', vm, gfn, pages);
      if (vpn !== undefined) this.#addPages('mm', mm, vpn, pages);
    }
    this.#namesMax = NAMES_MAX + Math.max(this.#pfns.size, this.#pages.length);
    if (this.anything || !follows) return;
    // twice: from a guest page to its frame, and from there to the user page
    for (let round = 0; round < 2; round++) {
      for (let i = end - 1; i >= 0; i--) this.#follow(records, i);
    }
  }

  /** No focus: whatever is not noise matters. */
  get anything(): boolean {
    return this.#pfns.size === 0 && this.#pages.length === 0;
  }

  /** Whether record `index` matters. */
  matters(records: Int32Array, index: number): boolean {
    const type = recordType(records, index);
    const info = EVENT_TYPES[type];
    if (info === undefined || hidden.has(type)) return false;
    if (always.has(type)) return true;
    if (this.anything) return !noise.has(type);
    const named = namedBy(records, index, info, this.#thpOrder);
    return this.#touches(named) || this.#covers(named);
  }

  /** Whether a word that belongs to these pages does: a frame's (-1: none), or an entry's of a process or a guest. */
  touchesWord(pfn: number, mm: number, vm: number, page: number, pages: number): boolean {
    if (this.anything || this.#pfns.has(pfn)) return true;
    const covers = (kind: 'mm' | 'vm', space: number): boolean =>
      space >= 0 && this.#covers({ pfns: [], pages, kind, space, start: page, end: page + pages });
    return page >= 0 && (covers('mm', mm) || covers('vm', vm));
  }

  /** Whether any of those pages is one that matters. */
  isAbout({ pfn = -1, mm = -1, vpn = -1, vm = -1, gfn = -1, pages = 1 }: DiagramFocus): boolean {
    return (
      this.touchesWord(pfn, -1, -1, -1, 0) ||
      this.touchesWord(-1, mm, -1, vpn, pages) ||
      this.touchesWord(-1, -1, vm, gfn, pages)
    );
  }

  #touches({ pfns, pages }: Named): boolean {
    return pfns.some((first) => {
      if (pages === 1) return this.#pfns.has(first);
      for (const pfn of this.#pfns) if (pfn >= first && pfn < first + pages) return true;
      return false;
    });
  }

  #covers(named: Named): boolean {
    return this.#pages.some((range) => overlaps(range, named));
  }

  /** A record that gives one page a frame and a page number links the two names. */
  #follow(records: Int32Array, index: number): void {
    const info = EVENT_TYPES[recordType(records, index)];
    if (info === undefined) return;
    const named = namedBy(records, index, info, this.#thpOrder);
    if (named.kind === undefined || named.pfns.length === 0 || named.end - named.start !== named.pages) return;
    const range = this.#pages.find((known) => overlaps(known, named));
    if (range !== undefined) {
      const within = Math.max(range.start - named.start, 0);
      for (const pfn of named.pfns) if (this.#pfns.size < this.#namesMax) this.#pfns.add(pfn + within);
    } else if (this.#touches(named)) {
      const first = named.pfns[0] ?? 0;
      const pfn = [...this.#pfns].find((known) => known >= first && known < first + named.pages) ?? first;
      this.#addPages(named.kind, named.space, named.start + pfn - first, 1);
    }
  }

  #addPages(kind: 'mm' | 'vm', space: number, start: number, pages: number): void {
    if (this.#pages.length < this.#namesMax) this.#pages.push({ kind, space, start, end: start + pages });
  }
}

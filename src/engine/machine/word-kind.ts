/**
 * What a word of the machine is, for those who pick steps by it: its kind, and the page, process or guest that it belongs to. Words that no
 * story about a page needs (statistics, free lists, lists of the LRU) have no kind.
 */
import { entryPfn, isS2Table } from '../../machine/entries.js';
import {
  CPU_IN_USE,
  CPU_IRQS_OFF,
  CPU_MAILBOX,
  CPU_WORDS,
  LINE,
  MAIL_STATE,
  MM_FLAGS,
  MM_LOCKED_VM,
  MM_MMAP_LOCK,
  MM_SUBSCRIPTIONS,
  MM_TLB_FLUSH_BATCHED,
  MM_TLB_FLUSH_PENDING,
  MM_WRITE_PROTECT_SEQ,
  type Machine,
  OBJECT_PAGES,
  PAGE_COMPOUND,
  PAGE_CONTENT,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_HOST_S2,
  PAGE_HYP,
  PAGE_LARGE_MAPS,
  PAGE_LOCK,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  PAGE_SHIFT,
  SWAP_CONTENT,
  SWAP_FOLIO,
  SWAP_MAP,
  SWAP_WORDS,
  TABLE_HEADER,
  TABLE_MM,
  TABLE_PMD,
  TABLE_PTL,
  VCPU_HOST_MC_COUNT,
  VCPU_HOST_MC_HEAD,
  VCPU_WORDS,
  VMA_REFCNT,
  VMA_WORDS,
  VM_HYP_LOCK,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MEMSLOTS,
  VM_MEMSLOT_SETS,
  VM_MMU_LOCK,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_STATE,
  VM_VCPUS,
} from '../../machine/layout.js';

/** Kinds of words of a page (struct page), by its field. */
const PAGE_KINDS = {
  [PAGE_REFS]: 'refs',
  [PAGE_PINCOUNT]: 'pincount',
  [PAGE_FLAGS]: 'flags',
  [PAGE_CONTENT]: 'content',
  [PAGE_MAPS]: 'maps',
  [PAGE_LARGE_MAPS]: 'maps',
  [PAGE_ENTIRE_MAPS]: 'maps',
  [PAGE_COMPOUND]: 'compound',
  [PAGE_MAPPING]: 'mapping',
  [PAGE_HYP]: 'hyp',
  [PAGE_HOST_S2]: 'hostS2',
  [PAGE_LOCK]: 'lock',
} as const;

const MM_KINDS = {
  [MM_MMAP_LOCK]: 'lock',
  [MM_WRITE_PROTECT_SEQ]: 'writeProtectSeq',
  [MM_FLAGS]: 'mmFlags',
  [MM_TLB_FLUSH_PENDING]: 'flushPending',
  [MM_TLB_FLUSH_BATCHED]: 'flushBatched',
  [MM_LOCKED_VM]: 'lockedVm',
  [MM_SUBSCRIPTIONS]: 'subscriptions',
} as const;

const VM_KINDS = {
  [VM_MMU_LOCK]: 'lock',
  [VM_HYP_LOCK]: 'lock',
  [VM_INVALIDATE_IN_PROGRESS]: 'inProgress',
  [VM_INVALIDATE_SEQ]: 'seq',
  [VM_MN_ACTIVE_INVALIDATE_COUNT]: 'activeCount',
  [VM_MEMSLOTS]: 'memslots',
  [VM_STATE]: 'vmState',
} as const;

const SWAP_KINDS = {
  [SWAP_MAP]: 'swapMap',
  [SWAP_FOLIO]: 'swapCache',
  [SWAP_CONTENT]: 'swapContent',
} as const;

type ValueOf<T> = T[keyof T];
export type WordKind =
  | ValueOf<typeof PAGE_KINDS>
  | ValueOf<typeof MM_KINDS>
  | ValueOf<typeof VM_KINDS>
  | ValueOf<typeof SWAP_KINDS>
  | 'pte'
  | 'pmd'
  | 's2'
  | 'objectPage'
  | 'memcache'
  | 'irqsOff'
  | 'inUse'
  | 'request'
  | 'other';

/** A word and whose it is; -1 where that means nothing. */
export interface WordOf {
  readonly kind: WordKind;
  readonly pfn: number;
  readonly mm: number;
  readonly vm: number;
  /** Pages [page, page + pages) of the process (vpn) or guest (gfn) that an entry stands for. */
  readonly page: number;
  readonly pages: number;
  /** Of swap words: the slot. Of table words: the table. */
  readonly index: number;
}

const NOWHERE: WordOf = { kind: 'other', pfn: -1, mm: -1, vm: -1, page: -1, pages: 0, index: -1 };
const kindIn = (kinds: Readonly<Record<number, WordKind>>, field: number): WordKind => kinds[field] ?? 'other';

/** What `word` is. Never throws. Of a page table: what it is a table of now. */
export function wordOf(m: Machine, word: number): WordOf {
  const inside = (at: number, count: number, size: number): [number, number] | null =>
    word >= at && word < at + count * size ? [Math.trunc((word - at) / size), (word - at) % size] : null;
  let hit;
  if ((hit = inside(m.framesAt, m.frames, 1 << PAGE_SHIFT)))
    return { ...NOWHERE, kind: kindIn(PAGE_KINDS, hit[1]), pfn: hit[0], pages: 1 };
  if ((hit = inside(m.tablesAt, m.tables, m.tableWords))) return ofTable(m, hit[0], hit[1]);
  if ((hit = inside(m.mmsAt, m.mms, m.mmWords))) return ofMm(m, hit[0], hit[1]);
  if ((hit = inside(m.vmsAt, m.vms, m.vmWords))) return ofVm(m, hit[0], hit[1]);
  if ((hit = inside(m.s2TablesAt, m.s2Tables, m.s2TableWords))) return ofStage2Table(m, hit[0], hit[1]);
  if ((hit = inside(m.swapAt, m.swapSlots, SWAP_WORDS)))
    return { ...NOWHERE, kind: kindIn(SWAP_KINDS, hit[1]), index: hit[0] };
  if ((hit = inside(m.objectsAt, m.objects, m.objectWords)) && hit[1] >= OBJECT_PAGES)
    return { ...NOWHERE, kind: 'objectPage', index: hit[0], page: hit[1] - OBJECT_PAGES, pages: 1 };
  if ((hit = inside(m.vmasAt, m.mms * m.vmasPerMm, VMA_WORDS)) && hit[1] === VMA_REFCNT)
    return { ...NOWHERE, kind: 'lock', index: hit[0] };
  if ((hit = inside(m.cpusAt, m.cpus, CPU_WORDS))) {
    if (hit[1] === CPU_IN_USE) return { ...NOWHERE, kind: 'inUse', index: hit[0] };
    if (hit[1] === CPU_IRQS_OFF) return { ...NOWHERE, kind: 'irqsOff', index: hit[0] };
    if (hit[1] === CPU_MAILBOX + MAIL_STATE) return { ...NOWHERE, kind: 'request', index: hit[0] };
  }
  return NOWHERE;
}

function ofTable(m: Machine, table: number, offset: number): WordOf {
  const at = m.tablesAt + table * m.tableWords;
  const mm = m.words[at + TABLE_MM] as number;
  const pmd = (m.words[at + TABLE_PMD] as number) - (m.mmsAt + mm * m.mmWords + m.mmPmdsOffset);
  const known = mm >= 0 && mm < m.mms && pmd >= 0 && pmd < m.mmPmds;
  const first = known ? pmd << m.thpOrder : -1;
  const whose = { ...NOWHERE, mm: known ? mm : -1, index: table };
  if (offset === TABLE_PTL) return { ...whose, kind: 'lock', page: first, pages: known ? m.thpPages : 0 };
  if (offset < TABLE_HEADER) return whose;
  return { ...whose, kind: 'pte', page: known ? first + offset - TABLE_HEADER : -1, pages: 1 };
}

function ofMm(m: Machine, mm: number, offset: number): WordOf {
  const pmd = offset - m.mmPmdsOffset;
  if (pmd >= 0 && pmd < m.mmPmds) return { ...NOWHERE, kind: 'pmd', mm, page: pmd << m.thpOrder, pages: m.thpPages };
  const isPmdLock = offset >= m.mmPmdLocks && offset < m.mmPmdsOffset && (offset - m.mmPmdLocks) % LINE === 0;
  return { ...NOWHERE, kind: isPmdLock ? 'lock' : kindIn(MM_KINDS, offset), mm };
}

function ofVm(m: Machine, vm: number, offset: number): WordOf {
  const root = offset - m.vmRoot;
  if (root >= 0 && root < m.vmBlocks) {
    return { ...NOWHERE, kind: 's2', vm, page: root << m.thpOrder, pages: m.thpPages };
  }
  const vcpu = offset - VM_VCPUS;
  if (vcpu >= 0 && offset < VM_MEMSLOT_SETS) {
    const field = vcpu % VCPU_WORDS;
    const isCache = field === VCPU_HOST_MC_HEAD || field === VCPU_HOST_MC_COUNT;
    return { ...NOWHERE, kind: isCache ? 'memcache' : 'other', vm, index: Math.trunc(vcpu / VCPU_WORDS) };
  }
  return { ...NOWHERE, kind: kindIn(VM_KINDS, offset), vm };
}

/** A page-level stage-2 entry. Which guest and block its table is of, the root entries say. */
function ofStage2Table(m: Machine, table: number, offset: number): WordOf {
  const entry = offset - TABLE_HEADER;
  if (entry < 0) return { ...NOWHERE, index: table };
  const known = blockOf(m, table);
  if (known === null) return { ...NOWHERE, kind: 's2', pages: 1, index: table };
  return { ...NOWHERE, kind: 's2', vm: known.vm, page: known.gfn + entry, pages: 1, index: table };
}

function blockOf(m: Machine, table: number): { readonly vm: number; readonly gfn: number } | null {
  for (let vm = 0; vm < m.vms; vm++) {
    for (let block = 0; block < m.vmBlocks; block++) {
      const root = m.words[m.vmsAt + vm * m.vmWords + m.vmRoot + block] as number;
      if (isS2Table(root) && entryPfn(root) === table) return { vm, gfn: block << m.thpOrder };
    }
  }
  return null;
}

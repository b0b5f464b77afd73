/**
 * How the machine's memory is described: a struct is a list of rows, one a field, and each row is read by everybody who needs to know
 * something of the field: the constants and accessors (generated.ts, printed by print.ts), the names in reports and diagrams
 * (describe.ts), the guards and the reach checks of the checking build (checked-guards.ts, checked-reach.ts), and the drawing.
 */

import { LINE } from './values.js';

/** What a struct's variable parts are sized by: the machine's numbers, all known before anything is placed. */
export interface Sizes {
  readonly thpOrder: number;
  readonly thpPages: number;
  readonly frames: number;
  readonly nodes: number;
  readonly cpus: number;
  readonly mms: number;
  readonly mmPages: number;
  readonly mmPmds: number;
  readonly vms: number;
  readonly vmPages: number;
  readonly vmBlocks: number;
  readonly vmasPerMm: number;
  readonly tlbMask: number;
  readonly anonVmas: number;
  readonly avcs: number;
  readonly tables: number;
  readonly s2Tables: number;
  readonly ksmNodes: number;
  readonly ksmBuckets: number;
  readonly objects: number;
  readonly objectPages: number;
  readonly swapSlots: number;
}

/** Locks that guard fields of others. */
export type LockName =
  | 'ksm_thread_mutex'
  | 'table pool lock'
  | 'anon_vma pool lock'
  | 'stage-2 table pool lock'
  | 'EL2 vm_table_lock'
  | 'EL2 host_mmu.lock'
  | 'EL2 pkvm_pgd_lock'
  | 'EL2 hyp_pool lock'
  | 'zone lock'
  | 'folio lock'
  | 'mmap_lock'
  | 'VMA lock'
  | 'anon_vma lock'
  | 'lock of any anon_vma or file'
  | 'i_mmap_rwsem'
  | 'i_pages lock'
  | 'PTL'
  | 'PMD lock'
  | 'mmu_lock'
  | 'mn_invalidate_lock'
  | 'slots_lock'
  | 'hyp_vm.lock';

/** A lock, and how it must be held: as the access is (for writing if that stores), for reading at least, or for writing. */
export interface Held {
  readonly lock: LockName;
  readonly as: 'access' | 'read' | 'write';
}

/**
 * When one actor may load or store a word plainly, with no declared step of its own: `free` always, `marked` never, `constant` never
 * while actors run, `own` if it is the CPU or actor that the struct belongs to, `single` if nobody else ever does, `turn` while the
 * request slot is with it; else while one of these locks is held.
 */
export type Access = 'free' | 'marked' | 'constant' | 'own' | 'single' | 'turn' | readonly Held[];

export interface Guard {
  /** For people: what kind of word it is. */
  readonly kind: 'lock' | 'lock-free' | 'constant' | "owner's" | 'guarded';
  readonly load: Access;
  readonly store: Access;
}

/** What a store to a field makes reachable for others: a frame by its number, by an entry, by a PMD, by a stage-2 root entry. */
export type Publishes = 'pfn' | 'entry' | 'pmd' | 's2 root';

export interface Field {
  /** The constant that stands for its offset. */
  readonly constant: string;
  readonly at: number;
  /** Words; 1 unless said. */
  readonly words: number;
  /** What reports call it. */
  readonly name: string;
  /** What the kernel calls it; null for what only the model has. */
  readonly kernel: string | null;
  readonly guard: Guard;
  readonly doc: string;
  readonly publishes: Publishes | null;
  /** Another constant for the same word, which then holds something else. */
  readonly also: { readonly constant: string; readonly doc: string } | null;
  /** Of several words: what each is called, where they are not all called as the field with their number. */
  readonly parts: readonly string[] | null;
  /** Of several words: a struct that stands there once or more. */
  readonly element: Struct | null;
  /** 'settles': written once, from 0, while others hold its lock for reading. 'hardware': bits of a valid entry change under any lock. */
  readonly special: 'settles' | 'hardware' | null;
}

/** A part of a struct whose length or place depends on the machine's sizes: records in a row, after the fields. */
export interface Part {
  /** The machine's member that says where it begins, unless `constant` does; in {@link Arranged.offsets} too. */
  readonly id: string;
  /** For a part that stands right behind the fields: the constant that stands for its offset. */
  readonly constant: string | null;
  readonly count: (m: Sizes) => number;
  /** Words from one element to the next; 1 unless said. */
  readonly step: number;
  /** Begins at a line of its own. */
  readonly aligned: boolean;
  /** What reports call an element. */
  readonly name: string;
  readonly kernel: string | null;
  /** What an element stands for, from its number: `vpn 0x40`; null where it is just numbered. */
  readonly label: ((m: Sizes, element: number) => string) | null;
  /** For the accessor: its name, its parameter, and the element's number from that. */
  readonly accessor: { readonly name: string; readonly parameter: string; readonly element: string } | null;
  readonly guard: Guard;
  readonly doc: string;
  readonly publishes: Publishes | null;
  readonly special: 'hardware' | null;
}

export interface Struct {
  readonly id: string;
  /** The kernel's struct, and where it is declared; null for what only the model has. */
  readonly kernel: string | null;
  readonly doc: string;
  /** How one of them is called: `pfn 0x12`, `mm0`. */
  readonly called: (m: Sizes, index: number) => string;
  /** `mm0 mmap_lock` rather than `mmap_lock of mm0`. */
  readonly ownerFirst: boolean;
  /** Words of the fields, the parts not counted. */
  readonly words: number;
  /** With parts: the machine's member that says how many words one has with them. */
  readonly sizedBy: string | null;
  readonly fields: readonly Field[];
  readonly parts: readonly Part[];
}

/** Structs of one kind in a row, in the order in which they stand in memory. */
export interface Region {
  /** Where it begins is the machine's `<id>At`. */
  readonly id: string;
  readonly struct: Struct;
  readonly count: (m: Sizes) => number;
  /** For the accessor of a field: its name and its parameter. */
  readonly accessor: { readonly name: string; readonly parameter: string } | null;
  /** Who stores to it, for the drawing. */
  readonly writer: string;
}

/* ---- guards ---- */

const kindOf = (kind: Guard['kind'], load: Access, store: Access): Guard => ({ kind, load, store });

export const as = (...locks: readonly LockName[]): readonly Held[] => locks.map((lock) => ({ lock, as: 'access' }));
export const asRead = (...locks: readonly LockName[]): readonly Held[] => locks.map((lock) => ({ lock, as: 'read' }));
export const asWrite = (...locks: readonly LockName[]): readonly Held[] => locks.map((lock) => ({ lock, as: 'write' }));

/** Touched by marked accesses at declared steps alone. */
export const lockFree = kindOf('lock-free', 'marked', 'marked');
/** The same as long as actors run. */
export const constant = kindOf('constant', 'free', 'constant');
/** Stored by marked accesses, loaded anyhow: it does not change while somebody looks. */
export const stable = kindOf('lock-free', 'free', 'marked');
export const own = kindOf("owner's", 'own', 'own');
/** The owner of the object or list that it is in, which nobody but the owner can reach. */
export const owners = kindOf("owner's", 'free', 'free');
export const single = kindOf("owner's", 'single', 'single');
export const turn = kindOf("owner's", 'turn', 'turn');
export const under = (...locks: readonly LockName[]): Guard => kindOf('guarded', as(...locks), as(...locks));
/** Loaded under the one, stored under the other. */
export const between = (load: Access, store: Access): Guard => kindOf('guarded', load, store);
const itself = kindOf('lock', 'marked', 'marked');

/* ---- rows ---- */

type Extra = Partial<Pick<Field, 'words' | 'publishes' | 'also' | 'parts' | 'element' | 'special'>> & {
  readonly kernel?: string | null;
};

/** A field: its constant, offset, name, guard, and what it is. The kernel's name is the field's unless `extra` says another. */
export function field(constant: string, at: number, name: string, guard: Guard, doc: string, extra: Extra = {}): Field {
  const none = { words: 1, publishes: null, also: null, parts: null, element: null, special: null };
  return { ...none, constant, at, name, kernel: name, guard, doc, ...extra };
}

/** A field that the kernel has not, or not as a word of its own. */
export const ours = (...[constant, at, name, guard, doc, extra]: Parameters<typeof field>): Field =>
  field(constant, at, name, guard, doc, { kernel: null, ...extra });

/** A lock: its word, and its Lamport time beside it. */
export const lock = (constant: string, at: number, name: string, doc: string, extra: Extra = {}): Field =>
  field(constant, at, name, itself, doc, { words: 2, parts: [name, `Lamport time of ${name}`], ...extra });

type PartRow = Pick<Part, 'id' | 'count' | 'name' | 'guard' | 'doc'> & Partial<Part>;

export const part = (row: PartRow): Part => ({
  constant: null,
  step: 1,
  aligned: false,
  kernel: null,
  label: null,
  accessor: null,
  publishes: null,
  special: null,
  ...row,
});

type StructRow = Pick<Struct, 'id' | 'doc' | 'called' | 'words' | 'fields'> & Partial<Struct>;

export const struct = (row: StructRow): Struct => ({
  kernel: null,
  ownerFirst: false,
  sizedBy: null,
  parts: [],
  ...row,
});

/* ---- where parts stand ---- */

interface Arranged {
  /** Where each part begins in the struct, by its id. */
  readonly offsets: Readonly<Record<string, number>>;
  /** Words of one struct with its parts, whole lines where it has any. */
  readonly words: number;
}

export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Where the parts of a struct stand on a machine of these sizes. */
export function arrange({ words, parts }: Struct, m: Sizes): Arranged {
  const offsets: Record<string, number> = {};
  let next = words;
  for (const { id, aligned, count, step } of parts) {
    if (aligned) next = roundUp(next, LINE);
    offsets[id] = next;
    next += count(m) * step;
  }
  return { offsets, words: parts.length === 0 ? words : roundUp(next, LINE) };
}

/** A number as addresses are written. */
export const hex = (n: number): string => `0x${n.toString(16)}`;

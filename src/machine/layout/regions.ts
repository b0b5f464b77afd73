/** The machine's memory from its first word to its last: which structs stand where. */
import { cpu, tlb } from './structs/cpu.js';
import { actor, stats, waitEntry, worker } from './structs/engine.js';
import { GLOBAL_LOCKS, globalData, globalLine } from './structs/globals.js';
import { header } from './structs/header.js';
import { ksmItem, ksmNode, ksmStable, ksmUnstable } from './structs/ksm.js';
import { s2Table, vm } from './structs/kvm.js';
import { anonVma, avc, mm, object, vma } from './structs/mm.js';
import { block, node, page, swapSlot, table } from './structs/page.js';
import { type Region, type Sizes, type Struct, arrange, roundUp } from './row.js';
import { LINE, WAIT_TABLE_WORDS, WORKERS_MAX } from './values.js';

const region = <Id extends string>(
  id: Id,
  struct: Struct,
  count: (m: Sizes) => number,
  writer: string,
  accessor: Region['accessor'] = null,
): Region & { readonly id: Id } => ({ id, struct, count, writer, accessor });

/** An accessor of a field of one of a region's structs: `pageWord(m, pfn, field)`. */
const by = (name: string, parameter: string): Region['accessor'] => ({ name, parameter });

export const REGIONS = [
  region('header', header, () => 1, 'engine'),
  region('globals', globalLine, () => GLOBAL_LOCKS, 'lock code'),
  region('globalData', globalData, () => 1, 'see its rows'),
  region('workers', worker, () => WORKERS_MAX, 'who rings', by('workerWord', 'worker')),
  region('waitTable', waitEntry, () => WAIT_TABLE_WORDS, 'worker hosts'),
  region('actors', actor, (m) => m.cpus, "that actor's worker", by('actorWord', 'actor')),
  region('stats', stats, (m) => m.cpus, "that actor's worker"),
  region('cpus', cpu, (m) => m.cpus, 'that CPU', by('cpuWord', 'cpu')),
  region('tlbs', tlb, (m) => m.cpus * (m.tlbMask + 1), 'that CPU; any by cmpxchg'),
  region('nodes', node, (m) => m.nodes, 'allocator', by('nodeWord', 'node')),
  region('blocks', block, (m) => m.frames >> m.thpOrder, 'allocator', by('blockWord', 'block')),
  region('frames', page, (m) => m.frames, 'see its rows', by('pageWord', 'pfn')),
  region('mms', mm, (m) => m.mms, 'see its rows', by('mmWord', 'mm')),
  region('vmas', vma, (m) => m.mms * m.vmasPerMm, 'mmap_lock write', by('vmaWord', 'vma')),
  region('anonVmas', anonVma, (m) => m.anonVmas, 'anon_vma rwsem', by('anonVmaWord', 'anonVma')),
  region('avcs', avc, (m) => m.avcs, 'anon_vma rwsem', by('avcWord', 'avc')),
  region('tables', table, (m) => m.tables, 'PTL holders', by('tableWord', 'table')),
  region('ksmItems', ksmItem, (m) => m.mms * m.mmPages, 'ksmd', by('ksmItemWord', 'item')),
  region('ksmNodes', ksmNode, (m) => m.ksmNodes, 'ksmd', by('ksmNodeWord', 'node')),
  region('ksmStable', ksmStable, (m) => m.ksmBuckets, 'ksmd'),
  region('ksmUnstable', ksmUnstable, (m) => m.ksmBuckets, 'ksmd'),
  region('vms', vm, (m) => m.vms, 'see its rows', by('vmWord', 'vm')),
  region('s2Tables', s2Table, (m) => m.s2Tables, 'mmu_lock / hyp_vm.lock', by('s2TableWord', 'table')),
  region('swap', swapSlot, (m) => m.swapSlots, 'see its rows', by('swapWord', 'slot')),
  region('objects', object, (m) => m.objects, 'see its rows', by('objectWord', 'object')),
] as const;

export type RegionId = (typeof REGIONS)[number]['id'];

interface Placed {
  /** The first word of each region. */
  readonly at: Readonly<Record<RegionId, number>>;
  readonly totalWords: number;
}

/** Where the regions of a machine of these sizes stand, each on a line of its own. */
export function place(m: Sizes): Placed {
  let next = 0;
  const at = {} as Record<RegionId, number>;
  for (const { id, struct, count } of REGIONS) {
    at[id] = next;
    next += roundUp(count(m) * arrange(struct, m).words, LINE);
  }
  return { at, totalWords: next };
}

/** What a word of the machine is, in the words of the kernel: for waits-for graphs, diagrams and reports. */
import {
  ACTOR_RETRIES,
  ACTOR_WORDS,
  AVC_WORDS,
  ANON_VMA_REFS,
  ANON_VMA_RWSEM,
  ANON_VMA_WORDS,
  BLOCK_WORDS,
  CPU_IN_USE,
  CPU_IRQS_OFF,
  CPU_LRU_COUNT,
  CPU_LRU_LOCK,
  CPU_MAILBOX,
  CPU_PCP_HEAD,
  CPU_WORDS,
  GLOBAL_DATA_WORDS,
  KSM_ITEM_WORDS,
  KSM_NODE_WORDS,
  LINE,
  MAIL_STATE,
  MM_FLAGS,
  MM_LOCKED_VM,
  MM_LOCK_SEQ,
  MM_CPUMASK,
  MM_MMAP_LOCK,
  MM_NUMA_SCAN_SEQ,
  MM_PINNED_VM,
  MM_SRCU,
  MM_TLB_FLUSH_BATCHED,
  MM_TLB_FLUSH_PENDING,
  MM_USERS,
  MM_VMA_COUNT,
  MM_SUBSCRIPTIONS,
  MM_VMA_SEQ,
  MM_WRITE_PROTECT_SEQ,
  type Machine,
  NODE_WORDS,
  NODE_ZONE_LOCK,
  PAGE_COMPOUND,
  PAGE_CONTENT,
  PAGE_CPUPID,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_HOST_S2,
  PAGE_HYP,
  PAGE_INDEX,
  PAGE_LARGE_MAPS,
  PAGE_LOCK,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  PAGE_SHIFT,
  SWAP_WORDS,
  STATS_WORDS,
  TABLE_HEADER,
  TABLE_MM,
  TABLE_PMD,
  TABLE_PTL,
  VCPU_CLOSED,
  VCPU_HOST_MC_COUNT,
  VCPU_HOST_MC_HEAD,
  VCPU_WORDS,
  VMA_LOCK_SEQ,
  VMA_REFCNT,
  VMA_WORDS,
  VM_CPUMASK,
  VM_HANDLE,
  VM_HYP_LOCK,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MEMSLOTS,
  VM_MMU_LOCK,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_MN_INVALIDATE_LOCK,
  VM_SLOTS_LOCK,
  VM_SRCU,
  VM_STATE,
  VM_VCPUS,
  WORKER_WORDS,
} from '../machine/layout.js';
import { CPU_BELL } from '../machine/mailbox.js';

const GLOBAL_LOCK_NAMES = [
  'ksm_thread_mutex',
  'ksm_mmlist_lock',
  'khugepaged_mm_lock',
  'table pool lock',
  'anon_vma pool lock',
  'EL2 vm_table_lock',
  'EL2 host_mmu.lock',
  'EL2 pkvm_pgd_lock',
  'EL2 hyp_pool lock',
  'driver mutex',
  'stage-2 table pool lock',
  'lru_drain mutex',
  'swap cache lock',
];
const PAGE_NAMES: Readonly<Record<number, string>> = {
  [PAGE_REFS]: 'refs',
  [PAGE_MAPS]: 'maps',
  [PAGE_FLAGS]: 'flags',
  [PAGE_CONTENT]: 'content',
  [PAGE_PINCOUNT]: 'pincount',
  [PAGE_ENTIRE_MAPS]: 'entire maps',
  [PAGE_COMPOUND]: 'compound state',
  [PAGE_MAPPING]: 'mapping',
  [PAGE_INDEX]: 'index',
  [PAGE_LOCK]: 'folio lock',
  [PAGE_CPUPID]: 'last_cpupid',
  [PAGE_HYP]: 'hyp_page',
  [PAGE_LARGE_MAPS]: 'large maps',
  [PAGE_HOST_S2]: 'host stage-2 entry',
};
const MM_NAMES: Readonly<Record<number, string>> = {
  [MM_MMAP_LOCK]: 'mmap_lock',
  [MM_LOCK_SEQ]: 'mm_lock_seq',
  [MM_WRITE_PROTECT_SEQ]: 'write_protect_seq',
  [MM_USERS]: 'mm_users',
  [MM_LOCKED_VM]: 'locked_vm',
  [MM_PINNED_VM]: 'pinned_vm',
  [MM_FLAGS]: 'flags',
  [MM_TLB_FLUSH_PENDING]: 'tlb_flush_pending',
  [MM_TLB_FLUSH_BATCHED]: 'tlb_flush_batched',
  [MM_CPUMASK]: 'cpumask',
  [MM_NUMA_SCAN_SEQ]: 'numa_scan_seq',
  [MM_VMA_COUNT]: 'map_count',
  [MM_VMA_SEQ]: 'VMA list sequence',
  [MM_SUBSCRIPTIONS]: 'notifier subscriptions',
  [MM_SUBSCRIPTIONS + 1]: 'first notifier subscription',
  [MM_SRCU]: 'notifier SRCU index',
  [MM_SRCU + 1]: 'notifier SRCU readers 0',
  [MM_SRCU + 2]: 'notifier SRCU readers 1',
};
const VM_NAMES: Readonly<Record<number, string>> = {
  [VM_MMU_LOCK]: 'mmu_lock',
  [VM_INVALIDATE_IN_PROGRESS]: 'mmu_invalidate_in_progress',
  [VM_INVALIDATE_SEQ]: 'mmu_invalidate_seq',
  [VM_MN_INVALIDATE_LOCK]: 'mn_invalidate_lock',
  [VM_MN_ACTIVE_INVALIDATE_COUNT]: 'mn_active_invalidate_count',
  [VM_SLOTS_LOCK]: 'slots_lock',
  [VM_SRCU]: 'SRCU index',
  [VM_SRCU + 1]: 'SRCU readers 0',
  [VM_SRCU + 2]: 'SRCU readers 1',
  [VM_STATE]: 'state',
  [VM_HANDLE]: 'handle',
  [VM_CPUMASK]: 'cpumask',
  [VM_MEMSLOTS]: 'active memslots',
  [VM_HYP_LOCK]: 'hyp_vm.lock',
};
/** Of a vCPU; of the memcache, the host's. */
const VCPU_NAMES: Readonly<Record<number, string>> = {
  [VCPU_HOST_MC_HEAD]: 'memcache head',
  [VCPU_HOST_MC_COUNT]: 'memcache count',
  [VCPU_CLOSED]: 'closed',
};
const SWAP_NAMES = ['swap_map', 'swap cache', 'content', 'swapcache_wq'];
const CPU_NAMES: Readonly<Record<number, string>> = {
  [CPU_IN_USE]: 'translated access',
  [CPU_IRQS_OFF]: 'interrupts off',
  [CPU_LRU_LOCK]: 'LRU batch lock',
  [CPU_LRU_COUNT]: 'LRU batch',
  [CPU_MAILBOX + MAIL_STATE]: 'request slot',
  [CPU_BELL]: 'server bell',
};

const hex = (n: number): string => `0x${n.toString(16)}`;

const field = (names: Readonly<Record<number, string>>, offset: number): string => names[offset] ?? `word ${offset}`;

/** A user page by the oracles' number: those of processes, then those of shared memory objects. */
export function describePage({ mms, mmPages, objectPages }: Machine, userPage: number): string {
  const shared = userPage - mms * mmPages;
  if (shared >= 0) return `page ${hex(shared % objectPages)} of object ${Math.trunc(shared / objectPages)}`;
  return `page of mm${Math.trunc(userPage / mmPages)} vpn ${hex(userPage % mmPages)}`;
}

/** Names the word at `word`: `PTL of table 3`, `mm0 mmap_lock`, `folio lock of pfn 0x12`. Never throws. */
export function describeWord(m: Machine, word: number): string {
  const inside = (at: number, count: number, size: number): [number, number] | null =>
    word >= at && word < at + count * size ? [Math.trunc((word - at) / size), (word - at) % size] : null;
  let hit;
  if ((hit = inside(m.framesAt, m.frames, 1 << PAGE_SHIFT)))
    return `${field(PAGE_NAMES, hit[1])} of pfn ${hex(hit[0])}`;
  if ((hit = inside(m.tablesAt, m.tables, m.tableWords))) return describeTable(m, hit[0], hit[1]);
  if ((hit = inside(m.mmsAt, m.mms, m.mmWords))) return describeMm(m, hit[0], hit[1]);
  if ((hit = inside(m.vmasAt, m.mms * m.vmasPerMm, VMA_WORDS))) {
    return `${hit[1] === VMA_REFCNT ? 'lock' : hit[1] === VMA_LOCK_SEQ ? 'vm_lock_seq' : `word ${hit[1]}`} of VMA ${hit[0]}`;
  }
  if ((hit = inside(m.vmsAt, m.vms, m.vmWords))) return describeVm(m, hit[0], hit[1]);
  if ((hit = inside(m.cpusAt, m.cpus, CPU_WORDS))) {
    const pcp = hit[1] >= CPU_PCP_HEAD && hit[1] < CPU_PCP_HEAD + 16;
    return `${pcp ? 'free list' : field(CPU_NAMES, hit[1])} of CPU ${hit[0]}`;
  }
  if ((hit = inside(m.globalsAt, GLOBAL_LOCK_NAMES.length, LINE)) && hit[1] === 0)
    return GLOBAL_LOCK_NAMES[hit[0]] as string;
  if ((hit = inside(m.nodesAt, m.nodes, NODE_WORDS))) {
    return hit[1] === NODE_ZONE_LOCK ? `zone lock of node ${hit[0]}` : `word ${hit[1]} of node ${hit[0]}`;
  }
  if ((hit = inside(m.anonVmasAt, m.anonVmas, ANON_VMA_WORDS))) {
    const what = hit[1] === ANON_VMA_RWSEM ? 'rwsem' : hit[1] === ANON_VMA_REFS ? 'refs' : `word ${hit[1]}`;
    return `${what} of anon_vma ${hit[0]}`;
  }
  if ((hit = inside(m.swapAt, m.swapSlots, SWAP_WORDS))) {
    return `${SWAP_NAMES[hit[1]] ?? `word ${hit[1]}`} of swap slot ${hit[0]}`;
  }
  if ((hit = inside(m.s2TablesAt, m.s2Tables, m.s2TableWords))) {
    const entry = hit[1] - TABLE_HEADER;
    return entry >= 0 ? `entry ${entry} of stage-2 table ${hit[0]}` : `word ${hit[1]} of stage-2 table ${hit[0]}`;
  }
  return describeRest(m, word, inside);
}

function describeRest(
  m: Machine,
  word: number,
  inside: (at: number, count: number, size: number) => [number, number] | null,
): string {
  const regions: readonly (readonly [string, number, number, number])[] = [
    ['kernel-wide data', m.globalDataAt, 1, GLOBAL_DATA_WORDS],
    ['worker', m.workersAt, (m.waitTableAt - m.workersAt) / WORKER_WORDS, WORKER_WORDS],
    ['actor record', m.actorsAt, m.cpus, ACTOR_WORDS],
    ['statistics of actor', m.statsAt, m.cpus, STATS_WORDS],
    ['TLB of CPU', m.tlbsAt, m.cpus, (m.tlbMask + 1) * 2],
    ['page block', m.blocksAt, m.frames >> m.thpOrder, BLOCK_WORDS],
    ['anon_vma_chain', m.avcsAt, m.avcs, AVC_WORDS],
    ['ksm_rmap_item', m.ksmItemsAt, m.mms * m.mmPages, KSM_ITEM_WORDS],
    ['ksm_stable_node', m.ksmNodesAt, m.ksmNodes, KSM_NODE_WORDS],
    ['shared memory object', m.objectsAt, m.objects, m.objectWords],
  ];
  const ofActor = inside(m.actorsAt, m.cpus, ACTOR_WORDS);
  if (ofActor !== null && ofActor[1] === ACTOR_RETRIES) return `the count of retries of actor ${ofActor[0]}`;
  for (const [name, at, count, size] of regions) {
    const hit = inside(at, count, size);
    if (hit !== null) return count === 1 ? `${name}, word ${hit[1]}` : `word ${hit[1]} of ${name} ${hit[0]}`;
  }
  return `word ${word}`;
}

function describeTable(m: Machine, table: number, offset: number): string {
  const at = m.tablesAt + table * m.tableWords;
  if (offset === TABLE_PTL) return `PTL of table ${table}`;
  if (offset < TABLE_HEADER) return `word ${offset} of table ${table}`;
  const mm = m.words[at + TABLE_MM] as number;
  const pmd = (m.words[at + TABLE_PMD] as number) - (m.mmsAt + mm * m.mmWords + m.mmPmdsOffset);
  if (mm < 0 || mm >= m.mms || pmd < 0 || pmd >= m.mmPmds) return `PTE ${offset - TABLE_HEADER} of table ${table}`;
  return `PTE of mm${mm} vpn ${hex((pmd << m.thpOrder) + offset - TABLE_HEADER)}`;
}

function describeMm(m: Machine, mm: number, offset: number): string {
  if (offset >= m.mmPmdLocks && offset < m.mmPmdsOffset) {
    return `PMD lock ${Math.trunc((offset - m.mmPmdLocks) / LINE)} of mm${mm}`;
  }
  const pmd = offset - m.mmPmdsOffset;
  if (pmd >= 0 && pmd < m.mmPmds) return `PMD of mm${mm} vpn ${hex(pmd << m.thpOrder)}`;
  const name = MM_NAMES[offset];
  return name === undefined ? `word ${offset} of mm${mm}` : `mm${mm} ${name}`;
}

function describeVm(m: Machine, vm: number, offset: number): string {
  const root = offset - m.vmRoot;
  if (root >= 0 && root < m.vmBlocks) return `stage-2 root entry of vm${vm} gfn ${hex(root << m.thpOrder)}`;
  if (offset >= m.vmMapped) return `mapping of vm${vm} gfn ${hex(offset - m.vmMapped)} at EL2`;
  if (offset >= m.vmPinned) return `pinned page of vm${vm} gfn ${hex(offset - m.vmPinned)}`;
  if (offset >= VM_VCPUS) {
    const [vcpu, word] = [Math.trunc((offset - VM_VCPUS) / VCPU_WORDS), (offset - VM_VCPUS) % VCPU_WORDS];
    const name = VCPU_NAMES[word];
    return name === undefined ? `word ${word} of vm${vm} vcpu${vcpu}` : `vm${vm} vcpu${vcpu} ${name}`;
  }
  const name = VM_NAMES[offset];
  return name === undefined ? `word ${offset} of vm${vm}` : `vm${vm} ${name}`;
}

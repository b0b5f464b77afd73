/** struct mm and what hangs on it: VMAs, anon_vmas with their chains, files. */
import {
  type Sizes,
  as,
  asRead,
  asWrite,
  between,
  constant,
  field,
  hex,
  lock,
  lockFree,
  ours,
  part,
  struct,
  under,
} from '../row.js';
import { LINE, SUBSCRIPTIONS_MAX } from '../values.js';

const pmdLabel = (m: Sizes, pmd: number): string => `vpn ${hex(pmd << m.thpOrder)}`;

export const mm = struct({
  id: 'MM',
  kernel: 'struct mm_struct (include/linux/mm_types.h)',
  doc: 'struct mm',
  called: (_, n) => `mm${n}`,
  ownerFirst: true,
  words: 80,
  sizedBy: 'mmWords',
  fields: [
    lock('MM_MMAP_LOCK', 0, 'mmap_lock', 'The list of VMAs.'),
    field(
      'MM_LOCK_SEQ',
      2,
      'mm_lock_seq',
      between(asWrite('mmap_lock'), 'marked'),
      "What a VMA's lock sequence equals while it is write-locked. Under mmap_lock write; marked reads.",
    ),
    field('MM_WRITE_PROTECT_SEQ', 16, 'write_protect_seq', lockFree, 'Odd while fork write-protects entries.'),
    field('MM_USERS', 32, 'mm_users', between(asWrite('mmap_lock'), 'marked'), 'Atomic.'),
    field('MM_LOCKED_VM', 33, 'locked_vm', lockFree, 'Pages of mlock and of pins counted there. Atomic.'),
    field('MM_PINNED_VM', 34, 'pinned_vm', lockFree, 'Pages pinned for long. Atomic.'),
    field('MM_MEMLOCK_LIMIT', 35, 'RLIMIT_MEMLOCK', constant, 'In pages, -1 = unlimited.'),
    field('MM_FLAGS', 36, 'flags', lockFree, 'MMF_* bits. Atomic.'),
    field(
      'MM_TLB_FLUSH_PENDING',
      37,
      'tlb_flush_pending',
      lockFree,
      'Changes of entries whose flush is still to come.',
    ),
    field('MM_NUMA_SCAN_SEQ', 38, 'numa_scan_seq', lockFree, "The NUMA balancer's (its cmpxchg winner)."),
    field('MM_NUMA_SCAN_OFFSET', 39, 'numa_scan_offset', lockFree, "The NUMA balancer's cursor."),
    field(
      'MM_VMA_COUNT',
      40,
      'map_count',
      under('mmap_lock'),
      'VMAs in the list. Lockless readers check the sequence.',
    ),
    ours(
      'MM_VMA_SEQ',
      41,
      'VMA list sequence',
      between(asWrite('mmap_lock'), 'marked'),
      'Even = stable, odd = the VMA list is being changed (stands for RCU on the maple tree).',
    ),
    field(
      'MM_NUMA_NEXT_SCAN',
      42,
      'numa_next_scan',
      lockFree,
      'The number of the next NUMA scan; who moves it on by cmpxchg does that scan.',
    ),
    field(
      'MM_TLB_FLUSH_BATCHED',
      43,
      'tlb_flush_batched',
      lockFree,
      'Batched unmaps whose CPU flush is still to come (low half), of which flushed (high half). Atomic.',
    ),
    ours(
      'MM_FORKS',
      44,
      'forks',
      lockFree,
      'Forks into this mm that have returned, failed ones too: its tasks begin to run then.',
    ),
    ours(
      'MM_PMD_TABLE',
      45,
      'page of PMDs',
      lockFree,
      "Whether one hangs under the mm's upper directory (pud_present): since its first page table, until the mm ends.",
    ),
    field('MM_SUBSCRIPTIONS', 48, 'notifier subscriptions', between('free', asWrite('mmap_lock')), 'Their count.', {
      kernel: 'notifier_subscriptions',
    }),
    field(
      'MM_SUBSCRIPTION',
      49,
      'notifier subscription',
      between('free', asWrite('mmap_lock')),
      'kind << 8 | id of each.',
      { kernel: 'notifier_subscriptions->list', words: SUBSCRIPTIONS_MAX },
    ),
    field('MM_SRCU', 56, 'notifier SRCU', lockFree, 'Index, readers of each side.', {
      kernel: 'srcu of mm/mmu_notifier.c',
      words: 3,
      parts: ['notifier SRCU index', 'notifier SRCU readers 0', 'notifier SRCU readers 1'],
    }),
    field('MM_KSM_SLOT', 64, 'ksm mm_slot', lockFree, '1 = registered with KSM.', { kernel: 'struct ksm_mm_slot' }),
    field('MM_KHUGEPAGED_SLOT', 65, 'khugepaged mm_slot', lockFree, '1 = registered with khugepaged.', {
      kernel: 'struct khugepaged_mm_slot',
    }),
    field(
      'MM_CPUMASK',
      66,
      'cpumask',
      lockFree,
      'CPUs that may hold TLB entries of this mm, 32 a word. Set by the walker before it fills, never cleared.',
      { kernel: 'cpu_bitmap', words: 4 },
    ),
  ],
  parts: [
    part({
      id: 'vmaList',
      constant: 'MM_VMA_LIST',
      count: (m) => m.vmasPerMm,
      name: 'VMA list entry',
      guard: under('mmap_lock'),
      doc: 'The sorted list of VMA ids.',
      kernel: 'mm_mt',
    }),
    part({
      id: 'mmPmdLocks',
      count: (m) => (m.mmPmds >> m.thpOrder) + 1,
      step: LINE,
      aligned: true,
      name: 'PMD lock',
      kernel: 'pmd_lock()',
      guard: { kind: 'lock', load: 'marked', store: 'marked' },
      doc: 'One per PMD table page, as in the kernel.',
      accessor: { name: 'pmdLockOf', parameter: 'vpn', element: 'vpn >> (2 * m.thpOrder)' },
    }),
    part({
      id: 'mmPmdsOffset',
      count: (m) => m.mmPmds,
      name: 'PMD',
      kernel: 'pmd_t',
      label: pmdLabel,
      guard: between(as('PMD lock'), 'marked'),
      special: 'hardware',
      publishes: 'pmd',
      doc: 'The PMD entry that covers `vpn`.',
      accessor: { name: 'pmdWord', parameter: 'vpn', element: 'vpn >> m.thpOrder' },
    }),
    part({
      id: 'mmDeposits',
      count: (m) => m.mmPmds,
      aligned: true,
      name: 'deposited table for PMD',
      kernel: 'pmd_huge_pte',
      label: pmdLabel,
      guard: under('PMD lock'),
      doc: 'The head of the tables deposited for the huge PMD that covers `vpn`: table + 1.',
      accessor: { name: 'depositWord', parameter: 'vpn', element: 'vpn >> m.thpOrder' },
    }),
  ],
});

/** A VMA changes under mmap_lock for writing alone, or in the list of its anon_vma or file; any of these locks holds it still. */
const vmaField = between(asRead('mmap_lock', 'VMA lock', 'lock of any anon_vma or file'), [
  ...asWrite('mmap_lock'),
  ...as('lock of any anon_vma or file'),
]);

export const vma = struct({
  id: 'VMA',
  kernel: 'struct vm_area_struct (include/linux/mm_types.h)',
  doc: 'struct vm_area',
  called: (_, n) => `VMA ${n}`,
  words: 16,
  fields: [
    field('VMA_START', 0, 'vm_start', vmaField, 'Its first page.'),
    field('VMA_END', 1, 'vm_end', vmaField, 'The page behind its last.'),
    field('VMA_FLAGS', 2, 'vm_flags', vmaField, 'VM_* bits.'),
    field('VMA_ANON_VMA', 3, 'anon_vma', vmaField, 'Its anon_vma + 1: the first fault installs it.', {
      special: 'settles',
    }),
    field('VMA_MM', 4, 'vm_mm', vmaField, 'The process.'),
    field(
      'VMA_LOCK_SEQ',
      5,
      'vm_lock_seq',
      vmaField,
      'Of the per-VMA lock (v6.4+): equal to mm_lock_seq while it is write-locked.',
    ),
    lock('VMA_REFCNT', 6, 'lock', 'Of the per-VMA lock: a lock word.', { kernel: 'vm_refcnt' }),
    field('VMA_AVC', 8, 'anon_vma_chain', vmaField, 'First chain element of this VMA + 1.'),
    field(
      'VMA_NUMA_SCAN_SEQ',
      9,
      'numab_state',
      between(
        asRead('mmap_lock', 'VMA lock', 'lock of any anon_vma or file'),
        asRead('mmap_lock', 'VMA lock', 'lock of any anon_vma or file'),
      ),
      'The scan that looked at it last.',
    ),
    ours('VMA_IN_USE', 10, 'in use', vmaField, '0 = free.'),
    field('VMA_OBJECT', 11, 'vm_file', vmaField, 'The shared memory object that it maps + 1, 0 = none.'),
    field('VMA_PGOFF', 12, 'vm_pgoff', vmaField, "The object's page at its start."),
    field('VMA_I_MMAP_NEXT', 13, 'shared.rb', vmaField, 'Next VMA of the object + 1. Under i_mmap_rwsem.'),
  ],
});

export const object = struct({
  id: 'OBJECT',
  kernel: 'struct address_space (include/linux/fs.h)',
  doc: 'struct address_space of a shared memory object',
  called: (_, n) => `object ${n}`,
  words: 2 * LINE,
  sizedBy: 'objectWords',
  fields: [
    lock('OBJECT_I_MMAP_RWSEM', 0, 'i_mmap_rwsem', 'The VMAs that map it.'),
    field('OBJECT_I_MMAP', 2, 'i_mmap', under('i_mmap_rwsem'), 'First VMA that maps it + 1.'),
    field('OBJECT_SIZE', 3, 'i_size', lockFree, 'In pages.'),
    field('OBJECT_NRPAGES', 4, 'nrpages', under('i_pages lock'), 'Pages in the cache.'),
    lock('OBJECT_I_PAGES_LOCK', LINE, 'i_pages lock', 'The pages of its cache.', { kernel: 'i_pages.xa_lock' }),
  ],
  parts: [
    part({
      id: 'pages',
      constant: 'OBJECT_PAGES',
      count: (m) => m.objectPages,
      name: 'i_pages entry',
      kernel: 'i_pages',
      label: (_, index) => `page ${hex(index)}`,
      guard: lockFree,
      doc: 'The frame of each page, or 0. Stored under the lock of i_pages, loaded by anybody.',
      accessor: { name: 'objectPageWord', parameter: 'index', element: 'index' },
    }),
  ],
});

export const anonVma = struct({
  id: 'ANON_VMA',
  kernel: 'struct anon_vma (include/linux/rmap.h)',
  doc: 'anon_vma',
  called: (_, n) => `anon_vma ${n}`,
  words: 16,
  fields: [
    lock('ANON_VMA_RWSEM', 0, 'rwsem', 'Who is on its list.'),
    field(
      'ANON_VMA_REFS',
      2,
      'refs',
      { kind: 'guarded', load: asWrite('anon_vma lock'), store: asWrite('anon_vma lock') },
      'Readers of the rwsem count themselves in atomically.',
      { kernel: 'refcount' },
    ),
    field('ANON_VMA_HEAD', 3, 'rb_root', under('anon_vma lock'), 'First chain element + 1.'),
    ours('ANON_VMA_MM', 4, 'mm', under('anon_vma lock'), 'The process that it was made in.'),
    ours('ANON_VMA_POOL_NEXT', 5, 'next free anon_vma', under('anon_vma pool lock'), 'In the pool: the next + 1.'),
    field(
      'ANON_VMA_ROOT',
      6,
      'root',
      constant,
      "The anon_vma whose rwsem guards this one: itself, or after a fork the oldest ancestor's. Constant while it is in use.",
    ),
  ],
});

const avcField = under('anon_vma pool lock', 'lock of any anon_vma or file');

export const avc = struct({
  id: 'AVC',
  kernel: 'struct anon_vma_chain (include/linux/rmap.h)',
  doc: 'anon_vma_chain',
  called: (_, n) => `anon_vma_chain ${n}`,
  words: 4,
  fields: [
    field('AVC_VMA', 0, 'vma', avcField, 'Its VMA.'),
    field('AVC_ANON_VMA', 1, 'anon_vma', avcField, 'Its anon_vma.'),
    field('AVC_NEXT', 2, 'rb', avcField, 'Next element of the anon_vma + 1.'),
    field('AVC_VMA_NEXT', 3, 'same_vma', avcField, 'Next element of the VMA + 1.'),
  ],
});

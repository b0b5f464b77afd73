/** struct kvm with its vCPUs, memslots and EL2 side, and stage-2 tables. */
import { table } from './page.js';
import {
  type Sizes,
  as,
  asWrite,
  between,
  constant,
  field,
  hex,
  lock,
  lockFree,
  ours,
  owners,
  part,
  stable,
  struct,
  under,
} from '../row.js';
import { LINE, MEMSLOTS_MAX, VCPUS_MAX } from '../values.js';

const vcpu = struct({
  id: 'VCPU',
  kernel: 'struct kvm_vcpu (include/linux/kvm_host.h)',
  doc: 'A vCPU: its own, but where marked.',
  called: (_, n) => `vcpu${n}`,
  ownerFirst: true,
  words: LINE,
  fields: [
    field(
      'VCPU_HOST_MC_HEAD',
      0,
      'memcache head',
      owners,
      "The host's memcache of pages for stage-2 tables: head pfn.",
      { kernel: 'arch.pkvm_memcache.head', publishes: 'pfn' },
    ),
    field('VCPU_HOST_MC_COUNT', 1, 'memcache count', owners, 'Pages in it.', { kernel: 'arch.pkvm_memcache.nr_pages' }),
    field('VCPU_HYP_MC_HEAD', 2, 'EL2 memcache head', owners, "EL2's half of it: head pfn.", {
      kernel: 'pkvm_hyp_vcpu memcache.head',
    }),
    field('VCPU_HYP_MC_COUNT', 3, 'EL2 memcache count', owners, 'Pages in it.', {
      kernel: 'pkvm_hyp_vcpu memcache.nr_pages',
    }),
    field('VCPU_LOADED', 4, 'loaded_hyp_vcpu', owners, 'The CPU it is loaded on at EL2, + 1.'),
    field(
      'VCPU_MMU_CACHE',
      5,
      'mmu_page_cache',
      owners,
      'Host page-table memcache (classic): one table reserved, + 1; 0 = none.',
    ),
    ours('VCPU_ENTERED', 6, 'entered', owners, 'The actor that runs the vCPU, + 1; 0 = nobody.'),
    ours(
      'VCPU_CLOSED',
      7,
      'closed',
      owners,
      '1: its file descriptor is closed, so it holds no reference to the VM any more (litmus tests that destroy VMs).',
    ),
    ours(
      'VCPU_REPLAY_POSITION',
      8,
      'replay position',
      owners,
      'Replay of a recorded stream (actors/replay.ts): position of the next record, laps included.',
    ),
    ours('VCPU_REPLAY_STATE', 9, 'replay state', owners, 'REPLAY_*.'),
  ],
});

const memslot = between('free', as('slots_lock'));

const memslots = struct({
  id: 'MEMSLOTS',
  kernel: 'struct kvm_memslots (include/linux/kvm_host.h)',
  doc: 'One of the two sets of memslots.',
  called: (_, n) => `memslot set ${n}`,
  words: LINE,
  fields: [
    ours('MEMSLOTS_COUNT', 0, 'count', memslot, 'Slots in the set.'),
    field('MEMSLOTS_SLOTS', 1, 'slot word', memslot, 'base_gfn, npages, userspace vpn, flags | id << 16 for each.', {
      kernel: 'struct kvm_memory_slot',
      words: 4 * MEMSLOTS_MAX,
    }),
  ],
});

const gfnLabel = (_: Sizes, gfn: number): string => `gfn ${hex(gfn)}`;
const bitsLabel = (_: Sizes, word: number): string => `gfns from ${hex(word << 5)}`;

const invalidate = under('mmu_lock');

const hypVm = under('EL2 vm_table_lock', 'hyp_vm.lock');

const hypPool = between([...as('EL2 hyp_pool lock'), ...as('hyp_vm.lock')], as('EL2 hyp_pool lock'));

const VCPUS_AT = 128;

const SETS_AT = VCPUS_AT + VCPUS_MAX * vcpu.words;

export const vm = struct({
  id: 'VM',
  kernel: 'struct kvm (include/linux/kvm_host.h), struct pkvm_hyp_vm',
  doc: 'struct kvm',
  called: (_, n) => `vm${n}`,
  ownerFirst: true,
  words: SETS_AT + 2 * memslots.words,
  sizedBy: 'vmWords',
  fields: [
    lock('VM_MMU_LOCK', 0, 'mmu_lock', 'Stage 2.'),
    field(
      'VM_INVALIDATE_IN_PROGRESS',
      16,
      'mmu_invalidate_in_progress',
      invalidate,
      'Notifiers between start and end.',
    ),
    field('VM_INVALIDATE_SEQ', 17, 'mmu_invalidate_seq', invalidate, 'Grows at each end. Marked reads.'),
    field('VM_INVALIDATE_START', 18, 'mmu_invalidate_range_start', invalidate, 'The first gfn of what is invalidated.'),
    field('VM_INVALIDATE_END', 19, 'mmu_invalidate_range_end', invalidate, 'The gfn behind it.'),
    lock('VM_MN_INVALIDATE_LOCK', 32, 'mn_invalidate_lock', 'Notifiers against memslot updates.'),
    field(
      'VM_MN_ACTIVE_INVALIDATE_COUNT',
      34,
      'mn_active_invalidate_count',
      under('mn_invalidate_lock'),
      'Notifiers under way.',
    ),
    lock('VM_SLOTS_LOCK', 48, 'slots_lock', 'Updates of memslots.'),
    field('VM_SRCU', 64, 'SRCU', lockFree, 'Index, readers of each side.', {
      kernel: 'srcu',
      words: 3,
      parts: ['SRCU index', 'SRCU readers 0', 'SRCU readers 1'],
    }),
    field('VM_MM', 80, 'mm', stable, 'Constant after creation: the process.'),
    field('VM_VMID', 81, 'VMID', stable, 'Constant after creation.', { kernel: 'arch.mmu.vmid' }),
    field('VM_PROTECTED', 82, 'protected', stable, 'Constant after creation: protected or not.', {
      kernel: 'arch.pkvm.enabled',
    }),
    field('VM_HAS_PGT', 83, 'stage-2 table present', under('mmu_lock'), 'Whether the host has a stage-2 table.', {
      kernel: 'arch.mmu.pgt',
    }),
    ours('VM_STATE', 84, 'state', lockFree, 'VM_STATE_*.'),
    field('VM_HANDLE', 85, 'handle', stable, "EL2's handle.", { kernel: 'arch.pkvm.handle' }),
    field('VM_USERS', 86, 'users_count', stable, 'References to it.'),
    ours('VM_CPUMASK', 88, 'cpumask', stable, 'CPUs that may hold TLB entries of this VMID, 32 a word.', { words: 4 }),
    field(
      'VM_MEMSLOTS',
      96,
      'active memslots',
      under('slots_lock'),
      'Which of the two memslot sets is active: swapped under mn_invalidate_lock, read marked under kvm->srcu.',
      { kernel: 'memslots' },
    ),
    lock('VM_HYP_LOCK', 112, 'hyp_vm.lock', "EL2's pkvm_hyp_vm.", { kernel: 'pkvm_hyp_vm.lock' }),
    ours('VM_HYP_STATE', 114, 'EL2 state', hypVm, 'Whether EL2 knows the VM.'),
    field('VM_HYP_POOL_HEAD', 115, 'EL2 pool head', hypPool, "The VM's pool of table pages: head pfn.", {
      kernel: 'pkvm_hyp_vm.pool',
    }),
    ours('VM_HYP_POOL_COUNT', 116, 'EL2 pool count', hypPool, 'Pages in it.'),
    field(
      'VM_HYP_TEARDOWN_HEAD',
      117,
      'teardown memcache head',
      hypVm,
      'Pages on their way back to the host: head pfn.',
      { kernel: 'arch.pkvm.teardown_mc' },
    ),
    ours('VM_HYP_TEARDOWN_COUNT', 118, 'teardown memcache count', hypVm, 'How many.'),
    ours('VM_HYP_LOADED', 119, 'loaded vCPUs', hypVm, 'vCPUs loaded at EL2.'),
    field('VM_HYP_USERS', 120, 'EL2 references', hypVm, 'References that EL2 holds.', { kernel: 'hyp_refcount' }),
    ours(
      'VM_HYP_TABLES',
      121,
      'EL2 free tables',
      under('hyp_vm.lock'),
      'Free table records of a VM whose stage 2 EL2 owns: head + 1, linked as the pool is.',
    ),
    ours('VM_HYP_META', 122, 'EL2 metadata page', hypVm, "The page donated for EL2's metadata of the VM, or 0."),
    ours(
      'VM_PIN_BASE',
      123,
      'first gfn that stays pinned',
      constant,
      'Policy pinned-notifiers: the gfns that stay pinned (the SPE buffer).',
    ),
    ours('VM_PIN_PAGES', 124, 'pages that stay pinned', constant, 'Policy pinned-notifiers: how many.'),
    ours(
      'VM_S2_DEFERRED',
      125,
      'deferred stage-2 tables',
      { kind: 'lock-free', load: 'marked', store: 'marked' },
      'Tables that a block has replaced: head + 1, pushed by shared walkers, freed under mmu_lock write.',
    ),
    ours('VM_VCPUS', VCPUS_AT, 'vcpu', owners, 'Per vCPU.', { words: VCPUS_MAX * vcpu.words, element: vcpu }),
    ours('VM_MEMSLOT_SETS', SETS_AT, 'memslot set', memslot, 'Two sets of memslots.', {
      words: 2 * memslots.words,
      element: memslots,
    }),
  ],
  parts: [
    part({
      id: 'vmRoot',
      count: (m) => m.vmBlocks,
      name: 'stage-2 root entry',
      kernel: 'arch.mmu.pgt->pgd',
      label: (m, block) => `gfn ${hex(block << m.thpOrder)}`,
      guard: between([...asWrite('mmu_lock'), ...as('hyp_vm.lock')], 'marked'),
      publishes: 's2 root',
      doc: 'The root-level stage-2 entry (block or table) that covers `gfn`.',
      accessor: { name: 's2RootWord', parameter: 'gfn', element: 'gfn >> m.thpOrder' },
    }),
    part({
      id: 'vmPinned',
      count: (m) => m.vmPages,
      aligned: true,
      name: 'pinned page',
      kernel: 'struct kvm_pinned_page',
      label: gfnLabel,
      guard: under('mmu_lock'),
      doc: 'kvm_pinned_page of `gfn`: pfn + 1, or 0. Under mmu_lock.',
      accessor: { name: 'pinnedPageWord', parameter: 'gfn', element: 'gfn' },
    }),
    part({
      id: 'vmMapped',
      count: (m) => m.vmPages,
      aligned: true,
      name: 'mapping at EL2',
      kernel: 'struct pkvm_mapping',
      label: gfnLabel,
      guard: under('mmu_lock'),
      doc: 'pkvm_mapping of `gfn`: pfn + 1, or 0: what the host has had EL2 map for a guest that follows its notifiers. Under mmu_lock.',
      accessor: { name: 'mappedPageWord', parameter: 'gfn', element: 'gfn' },
    }),
    part({
      id: 'vmGenerations',
      count: (m) => m.vmPages,
      aligned: true,
      name: 'marks followed',
      label: gfnLabel,
      guard: lockFree,
      doc: 'The marks of a recording that the content of `gfn` has followed so far.',
      accessor: { name: 'generationWord', parameter: 'gfn', element: 'gfn' },
    }),
    part({
      id: 'vmDirty',
      count: (m) => (m.vmPages >> 5) + 1,
      aligned: true,
      name: 'dirty bitmap',
      kernel: 'dirty_bitmap',
      label: bitsLabel,
      guard: lockFree,
      doc: 'The word of the dirty bitmap that holds the bit of `gfn`. Atomic bit operations.',
      accessor: { name: 'dirtyWord', parameter: 'gfn', element: 'gfn >> 5' },
    }),
    part({
      id: 'vmFaulted',
      count: (m) => (m.vmPages >> 5) + 1,
      name: 'mapped before',
      label: bitsLabel,
      guard: lockFree,
      doc: 'The word that holds the bit of `gfn` among those that stage 2 has mapped before: a statistic of real threads.',
      accessor: { name: 'faultedWord', parameter: 'gfn', element: 'gfn >> 5' },
    }),
  ],
});

/** A stage-2 table page has the header of a PTE table, without its lock. */
export const s2Table = struct({
  ...table,
  id: 'S2_TABLE',
  kernel: 'a table page of struct kvm_pgtable (arch/arm64/include/asm/kvm_pgtable.h)',
  doc: 'Stage-2 tables',
  called: (_, n) => `stage-2 table ${n}`,
  sizedBy: 's2TableWords',
  fields: table.fields.filter(({ constant: name }) => name !== 'TABLE_PTL'),
  parts: [
    part({
      id: 'entries',
      constant: 'TABLE_HEADER',
      count: (m) => m.thpPages,
      name: 'entry',
      kernel: 'kvm_pte_t',
      guard: between([...asWrite('mmu_lock'), ...as('hyp_vm.lock')], 'marked'),
      publishes: 'entry',
      doc: 'The page-level stage-2 entry of `gfn` in `table`.',
      accessor: { name: 's2PteWord', parameter: 'gfn', element: 'gfn & (m.thpPages - 1)' },
    }),
  ],
});

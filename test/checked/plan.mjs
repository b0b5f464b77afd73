// A plan in which every mechanism happens on a handful of pages: for the checking build and for exploring the core kernel.
import { VM_HUGEPAGE, VM_MERGEABLE, VM_READ, VM_WRITE } from '#src/machine/abi.js';

const MACHINES = {
  // huge pages of two pages, no batches: every free and every reference is seen at once
  pairs: {
    nodes: 2,
    framesPerNode: 24,
    thpOrder: 1,
    mmPages: 8,
    vmPages: 8,
    lruBatch: 0,
    pcpBatch: 1,
    tlbEntries: 4,
    vmasPerMm: 8,
  },
  // huge pages of four, with LRU batches and per-CPU lists
  batches: {
    nodes: 2,
    framesPerNode: 32,
    thpOrder: 2,
    mmPages: 8,
    vmPages: 8,
    lruBatch: 3,
    pcpBatch: 2,
    tlbEntries: 8,
    vmasPerMm: 10,
    swapSlots: 5,
  },
};
const PAGES = 8;

/** @param variant a key of MACHINES */
export function smallPlan(policy, seed, variant = 'pairs', oracles = 'all') {
  const writes = { write_percent: 60, duplicate_percent: 60, duplicate_kinds: 2 };
  const actors = [
    {
      name: 'vcpu0',
      kind: 'vcpu',
      tier: 'client',
      node: 0,
      params: { vm: 0, vcpu: 0, vcpus: 2, pages: PAGES, ops: 8, ...writes },
    },
    {
      name: 'vcpu1',
      kind: 'vcpu',
      tier: 'client',
      node: 1,
      params: { vm: 0, vcpu: 1, vcpus: 2, pages: PAGES, ops: 8, ...writes },
    },
    {
      name: 'vmm',
      kind: 'vmm',
      tier: 'client',
      node: 0,
      params: {
        mm: 0,
        pages: PAGES,
        touch_weight: 40,
        balloon_weight: 20,
        mprotect_weight: 20,
        collapse_weight: 20,
        touch_pages: 2,
        balloon_pages: 2,
        mprotect_pages: 2,
        readonly_percent: 50,
        duplicate_kinds: 2,
        ops: 6,
      },
    },
    {
      name: 'dma',
      kind: 'dma',
      tier: 'client',
      node: 1,
      params: {
        mm: 0,
        pages: PAGES,
        batch_pages: 2,
        hold_batches: 2,
        long_every: 3,
        long_batches: 2,
        duplicate_kinds: 2,
        ops: 5,
      },
    },
    { name: 'ksmd', kind: 'ksmd', tier: 'daemon', node: 1, params: { pages_to_scan: 6, ops: 6 } },
    { name: 'khugepaged', kind: 'khugepaged', tier: 'daemon', node: 0, params: { pages_to_scan: PAGES, ops: 3 } },
    { name: 'numa-balancer', kind: 'numa-balancer', tier: 'daemon', node: 1, params: { scan_pages: PAGES, ops: 4 } },
  ];
  if (MACHINES[variant].swapSlots > 0) {
    const params = { batch_pages: 2, ops: 4 };
    for (const node of [0, 1]) actors.push({ name: `kswapd${node}`, kind: 'kswapd', tier: 'daemon', node, params });
  }
  if (policy.startsWith('pkvm')) actors.push({ name: 'el2-0', kind: 'el2', tier: 'server', node: 0, params: {} });
  return {
    scenario: 'small',
    kernel: policy,
    seed,
    machine: { ...MACHINES[variant], cpus: actors.length, cpuNodes: actors.map(({ node }) => node), mms: 1, vms: 1 },
    actors,
    mappings: [{ mm: 0, start: 0, pages: PAGES, flags: VM_READ | VM_WRITE | VM_MERGEABLE | VM_HUGEPAGE }],
    vms: [
      {
        mm: 0,
        vcpus: 2,
        protected: false,
        slots: [{ baseGfn: 0, pages: PAGES, vpn: 0, flags: 0 }],
        pinBase: 0,
        pinPages: policy === 'pinned-notifiers' ? 4 : 0,
      },
    ],
    memlockPages: [-1],
    driverSubscriber: false,
    knobs: { ksmSmartScan: false, ksmUseZeroPages: true, thpEnabled: 1, maxPtesNone: 511 },
    poisonedFrames: [],
    unpinnableFrames: [[10, 14]],
    oracles,
    recording: null,
  };
}

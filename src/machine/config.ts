/**
 * The sizes of a machine. Everything is fixed when it is laid out; a scenario or a litmus file gives these.
 */
export interface MachineConfig {
  /** NUMA nodes, 1 to 8. */
  readonly nodes: number;
  /** Frames of 4 KiB per node; rounded up to whole THPs. */
  readonly framesPerNode: number;
  /** log2 of the pages in a huge page: 9 in scenarios, 1 to 3 in litmus tests. */
  readonly thpOrder: number;
  /** CPUs: each actor is a task on a CPU of its own, so this is also the number of actors. */
  readonly cpus: number;
  /** The node each CPU stands on; CPUs beyond the list are spread over the nodes in turn. */
  readonly cpuNodes: readonly number[];
  /** Processes. */
  readonly mms: number;
  /** Virtual pages of each process, from 0; rounded up to whole THPs. */
  readonly mmPages: number;
  /** VMAs a process can have. */
  readonly vmasPerMm: number;
  /** Virtual machines. */
  readonly vms: number;
  /** Guest pages of each VM, from gfn 0; rounded up to whole THPs. */
  readonly vmPages: number;
  /** Entries of each CPU's TLB: a power of two. */
  readonly tlbEntries: number;
  /** Pages a per-CPU list takes from or gives to its node at once; 1 in litmus tests. */
  readonly pcpBatch: number;
  /** Pages a per-CPU LRU batch holds (PAGEVEC_SIZE, 31); 0 = none: pages go to the LRU at once. */
  readonly lruBatch: number;
  /** Shared memory objects (memfds), 0 to 100; default 0. */
  readonly objects?: number;
  /** Pages of each of them; default: as many as a process has. */
  readonly objectPages?: number;
  /** Pages of swap space, on a device as fast as memory (zram); absent or 0: nothing can be swapped out. */
  readonly swapSlots?: number;
}

/** The limits of {@link MachineConfig}; validated where scenarios are loaded and again where a machine is laid out. */
export const MACHINE_LIMITS = {
  nodes: [1, 8],
  framesPerNode: [4, 1 << 20],
  thpOrder: [1, 9],
  cpus: [1, 200],
  mms: [1, 16],
  mmPages: [2, 1 << 21],
  vmasPerMm: [2, 250],
  vms: [0, 15],
  vmPages: [0, 1 << 20],
  tlbEntries: [2, 1 << 16],
  pcpBatch: [1, 63],
  lruBatch: [0, 31],
  swapSlots: [0, 1 << 20],
} as const satisfies Record<string, readonly [number, number]>;

/** Shared memory objects of a machine, at most. */
export const OBJECTS_MAX = 100;

/** A small machine for tests and litmus files. */
export const SMALL_MACHINE: MachineConfig = {
  nodes: 2,
  framesPerNode: 32,
  thpOrder: 2,
  cpus: 8,
  cpuNodes: [],
  mms: 2,
  mmPages: 16,
  vmasPerMm: 12,
  vms: 1,
  vmPages: 16,
  tlbEntries: 16,
  pcpBatch: 1,
  lruBatch: 0,
};

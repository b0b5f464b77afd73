/** A machine: its words, and where everything stands in them. */
import { type MachineConfig, MACHINE_LIMITS, OBJECTS_MAX } from '../config.js';
import { place } from './regions.js';
import { type Sizes, arrange, roundUp } from './row.js';
import { s2Table, vm } from './structs/kvm.js';
import { mm, object } from './structs/mm.js';
import { table } from './structs/page.js';

const powerOfTwoAbove = (value: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, value)));

/**
 * One SharedArrayBuffer of 32-bit words, laid out from a {@link MachineConfig}. Offsets are fields of one class, so that every access is
 * a load of a constant-shape object; indices are computed by the accessors of this folder.
 */
export class Machine implements Sizes {
  readonly config: MachineConfig;
  readonly buffer: SharedArrayBuffer;
  /** What lends `buffer`, if that does (memory.ts). */
  readonly memory: WebAssembly.Memory | null;
  readonly words: Int32Array;

  /** Pages in a huge page, its log2, and the mask of the page within it. */
  readonly thpPages: number;
  readonly thpOrder: number;
  readonly frames: number;
  readonly framesPerNode: number;
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
  readonly swapSlots: number;
  /** Shared memory objects, and the pages of each. */
  readonly objects: number;
  readonly objectPages: number;

  readonly globalsAt: number;
  readonly globalDataAt: number;
  readonly workersAt: number;
  readonly waitTableAt: number;
  readonly actorsAt: number;
  readonly statsAt: number;
  readonly cpusAt: number;
  readonly tlbsAt: number;
  readonly nodesAt: number;
  readonly blocksAt: number;
  readonly framesAt: number;
  readonly mmsAt: number;
  readonly vmasAt: number;
  readonly anonVmasAt: number;
  readonly avcsAt: number;
  readonly tablesAt: number;
  readonly ksmItemsAt: number;
  readonly ksmNodesAt: number;
  readonly ksmStableAt: number;
  readonly ksmUnstableAt: number;
  readonly vmsAt: number;
  readonly s2TablesAt: number;
  readonly swapAt: number;
  readonly objectsAt: number;
  readonly totalWords: number;

  /** Words of the structs whose size depends on the machine's, and where their parts stand in them (the parts of their rows). */
  readonly mmWords: number;
  readonly mmPmdLocks: number;
  readonly mmPmdsOffset: number;
  readonly mmDeposits: number;
  readonly tableWords: number;
  readonly vmWords: number;
  readonly vmRoot: number;
  readonly vmPinned: number;
  readonly vmMapped: number;
  readonly vmGenerations: number;
  readonly vmDirty: number;
  readonly vmFaulted: number;
  readonly s2TableWords: number;
  readonly objectWords: number;

  /**
   * @param config sizes; refused with a RangeError when one is out of {@link MACHINE_LIMITS}.
   * @param buffer the memory of a machine that exists already (another worker's view of it).
   * @param memory what lends it, if that does
   */
  constructor(config: MachineConfig, buffer?: SharedArrayBuffer, memory: WebAssembly.Memory | null = null) {
    checkSizes(config);
    this.config = config;
    this.thpOrder = config.thpOrder;
    this.thpPages = 1 << config.thpOrder;
    this.nodes = config.nodes;
    this.framesPerNode = roundUp(config.framesPerNode, this.thpPages);
    this.frames = this.framesPerNode * config.nodes;
    this.cpus = config.cpus;
    this.mms = config.mms;
    this.mmPages = roundUp(config.mmPages, this.thpPages);
    this.mmPmds = this.mmPages >> this.thpOrder;
    this.vms = config.vms;
    this.vmPages = roundUp(config.vmPages, this.thpPages);
    this.vmBlocks = this.vmPages >> this.thpOrder;
    this.vmasPerMm = config.vmasPerMm;
    this.tlbMask = powerOfTwoAbove(config.tlbEntries) - 1;
    this.anonVmas = this.mms * this.vmasPerMm + 1;
    this.avcs = this.anonVmas * 4;
    this.tables = this.mms * this.mmPmds * 2 + this.cpus * 2 + 2;
    this.s2Tables = this.vms * (this.vmBlocks + this.cpus * 2) + 1;
    this.ksmNodes = Math.min(this.frames, this.mms * this.mmPages) + 1;
    this.ksmBuckets = powerOfTwoAbove(Math.min(this.ksmNodes, 1 << 16));
    this.swapSlots = config.swapSlots ?? 0;
    this.objects = config.objects ?? 0;
    this.objectPages = config.objectPages ?? config.mmPages;

    const { at, totalWords } = place(this);
    this.globalsAt = at.globals;
    this.globalDataAt = at.globalData;
    this.workersAt = at.workers;
    this.waitTableAt = at.waitTable;
    this.actorsAt = at.actors;
    this.statsAt = at.stats;
    this.cpusAt = at.cpus;
    this.tlbsAt = at.tlbs;
    this.nodesAt = at.nodes;
    this.blocksAt = at.blocks;
    this.framesAt = at.frames;
    this.mmsAt = at.mms;
    this.vmasAt = at.vmas;
    this.anonVmasAt = at.anonVmas;
    this.avcsAt = at.avcs;
    this.tablesAt = at.tables;
    this.ksmItemsAt = at.ksmItems;
    this.ksmNodesAt = at.ksmNodes;
    this.ksmStableAt = at.ksmStable;
    this.ksmUnstableAt = at.ksmUnstable;
    this.vmsAt = at.vms;
    this.s2TablesAt = at.s2Tables;
    this.swapAt = at.swap;
    this.objectsAt = at.objects;
    this.totalWords = totalWords;

    const mms = arrange(mm, this);
    this.mmWords = mms.words;
    this.mmPmdLocks = mms.offsets.mmPmdLocks;
    this.mmPmdsOffset = mms.offsets.mmPmdsOffset;
    this.mmDeposits = mms.offsets.mmDeposits;
    this.tableWords = arrange(table, this).words;
    const vms = arrange(vm, this);
    this.vmWords = vms.words;
    this.vmRoot = vms.offsets.vmRoot;
    this.vmPinned = vms.offsets.vmPinned;
    this.vmMapped = vms.offsets.vmMapped;
    this.vmGenerations = vms.offsets.vmGenerations;
    this.vmDirty = vms.offsets.vmDirty;
    this.vmFaulted = vms.offsets.vmFaulted;
    this.s2TableWords = arrange(s2Table, this).words;
    this.objectWords = arrange(object, this).words;

    if (totalWords >= 1 << 28) throw new RangeError(`machine: ${totalWords} words are more than 2^28`);
    this.buffer = buffer ?? new SharedArrayBuffer(totalWords * 4);
    this.memory = memory;
    this.words = new Int32Array(this.buffer);
  }
}

function checkSizes(config: MachineConfig): void {
  for (const key of Object.keys(MACHINE_LIMITS) as (keyof typeof MACHINE_LIMITS)[])
    checkSize(key, key === 'swapSlots' ? (config.swapSlots ?? 0) : config[key], MACHINE_LIMITS[key]);
  checkSize('objects', config.objects ?? 0, [0, OBJECTS_MAX]);
  checkSize('objectPages', config.objectPages ?? config.mmPages, [0, MACHINE_LIMITS.mmPages[1]]);
}

function checkSize(key: string, value: number, [low, high]: readonly [number, number]): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new RangeError(`machine.${key}: expected a whole number from ${low} to ${high}, got ${String(value)}`);
}

/**
 * A plan: everything a run is made of, as plain data that crosses to workers by structured clone. The lab makes it from
 * a scenario (or a litmus file); both engines take it. The kernel goes by its id.
 */
import type { LitmusCall, LitmusColumns, LitmusTask } from './litmus.js';
import type { MachineConfig } from '../machine/config.js';

/** One actor: a row of `actors/`'s registry with its parameters. Its index in the plan is its CPU. */
export interface ActorSpec {
  /** Unique: `vcpu0`, `vmm`, `dma`, `ksmd`, `khugepaged`, `numa-balancer`, `el2-0`, ... */
  readonly name: string;
  /** A key of ACTOR_KINDS (actors/index.ts). */
  readonly kind: string;
  /** client: finishes first at a drain; daemon: second; server (EL2): last. */
  readonly tier: 'client' | 'daemon' | 'server';
  /** NUMA node of its CPU. */
  readonly node: number;
  /** Numbers with their unit in the name: scan_pages, sleep_us, ... Each actor file documents its own. */
  readonly params: Readonly<Record<string, number>>;
}

/** A mapping made before the run: [start, start + pages) of process `mm`. Flags are VM_* bits. */
export interface MappingSpec {
  readonly mm: number;
  readonly start: number;
  readonly pages: number;
  readonly flags: number;
}

export interface MemslotSpec {
  readonly baseGfn: number;
  readonly pages: number;
  readonly vpn: number;
  readonly flags: number;
  /** Its number; absent: its place in the list. */
  readonly id?: number;
}

export interface VmSpec {
  readonly mm: number;
  readonly vcpus: number;
  /** A protected pKVM guest (pages donated); only policies with an EL2 honour it. */
  readonly protected: boolean;
  readonly slots: readonly MemslotSpec[];
  /** Only declared: an operation of a litmus test creates it, and sets its slots. */
  readonly unborn?: boolean;
  /** Guest pages that policy pinned-notifiers keeps pinned: first gfn and how many (a profiling buffer). */
  readonly pinRange?: readonly [number, number] | undefined;
}

/** Knobs set before the run: GLOBAL data words (layout.ts KSM_*, KHUGEPAGED_*, THP_*) by name. */
export interface KnobSpec {
  readonly ksmSmartScan: boolean;
  readonly ksmUseZeroPages: boolean;
  readonly thpEnabled: 0 | 1 | 2;
  readonly maxPtesNone: number;
  /** Reads of huge pages map the huge zero page (transparent_hugepage/use_zero_page). Default: no. */
  readonly thpUseZeroPage?: boolean;
  /** Unmaps defer their TLB flushes, where the release does. Default: yes. */
  readonly tlbBatch?: boolean;
  /** Shared memory objects are files on a device that holds zeros, not memfds. Default: no. */
  readonly fileObjects?: boolean;
  /** FIX_*: a change that no kernel has yet. Default: none. */
  readonly kernelFix?: number;
  /** Passes of each loop of migrate_pages() at most, 1 to 10. Default: as the kernel. */
  readonly migratePasses?: number;
}

/** The operations of a litmus test. Its actors are of kind `litmus`, in the order of the plan's; servers (EL2) follow. */
export interface LitmusPlan extends LitmusColumns {
  /** Done before anybody runs, in this order; by `actor` on its CPU, whose TLB then keeps what it has read. */
  readonly init: readonly { readonly task: LitmusTask; readonly call: LitmusCall; readonly actor?: number }[];
  /** Registers: results by number. 0 to LITMUS_REGISTERS. */
  readonly registers: number;
}

export interface Plan {
  readonly scenario: string;
  readonly machine: MachineConfig;
  /** Policy or zoo id. */
  readonly kernel: string;
  readonly seed: number;
  readonly actors: readonly ActorSpec[];
  readonly mappings: readonly MappingSpec[];
  readonly vms: readonly VmSpec[];
  /** RLIMIT_MEMLOCK per process in pages, -1 = unlimited. */
  readonly memlockPages: readonly number[];
  /** A second, GPU-driver-like notifier subscriber on mm 0 (policy (e)'s deadlock). */
  readonly driverSubscriber: boolean;
  readonly knobs: KnobSpec;
  /** Frames poisoned or unpinnable (ZONE_MOVABLE) before the run. */
  readonly poisonedFrames: readonly number[];
  readonly unpinnableFrames: readonly (readonly [number, number])[];
  /** Frames that are no memory: carve-outs without host mapping, which EL2 must not let change hands. [from, to). */
  readonly noMapFrames?: readonly (readonly [number, number])[];
  /** Which oracles run: none, local (cheap, at the operation), all (with ledgers and shadow contents). */
  readonly oracles: 'off' | 'local' | 'all';
  /** The recorded guest, when vCPUs replay one: per-vCPU streams in shared memory (lab/scenario/recording.ts). */
  readonly recording: SharedArrayBuffer | null;
  /** Events of locks and operations too: traces with slices. They cost speed. */
  readonly lockEvents?: boolean;
  /** What the actors of kind `litmus` do. */
  readonly litmus?: LitmusPlan;
}

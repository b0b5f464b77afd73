/**
 * From a scenario and the command's options to a plan: recorded sizes filled in, one vCPU actor per vCPU, EL2 instances where
 * the policy has an EL2, every reference between parts of the file checked. What is out of range is refused by its place in
 * the file, or by the option that asked for it.
 */
import {
  KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, VM_EXEC, VM_HUGEPAGE, VM_MAYWRITE, VM_MERGEABLE, VM_NOHUGEPAGE, VM_NUMA_BOUND,
  VM_READ, VM_WRITE,
} from '../machine/abi.js';
import { MACHINE_LIMITS } from '../machine/config.js';
import { Machine, VCPUS_MAX } from '../machine/layout.js';
import type { ActorSpec, MappingSpec, Plan, VmSpec } from '../engine/plan.js';
import { WORKLOADS } from '../../actors/workload.js';
import { policyById } from '../policies/index.js';
import { InputError } from './input-error.js';
import { type Recording, loadRecording } from './recording.js';
import type { Scenario } from './scenario.js';
import type { ActorEntry } from './scenario-schema.js';

/** What a command's options change. */
export interface PlanOptions {
  /** A policy's or a zoo entry's id; absent: the scenario's, else `pinned-notifiers`. */
  readonly policy?: string;
  /** Whether that kernel has an EL2; absent: as the policy of that id says. */
  readonly el2?: boolean;
  readonly seed: number;
  /** vCPUs of guest 0 (`--cpus`). */
  readonly cpus?: number;
  /** A recording for guest 0 (`--recording`): a shipped name or a folder, relative to `base`. */
  readonly recording?: string;
  readonly base?: string;
  /** Where the scenario does not say. Default `local`. */
  readonly oracles?: 'off' | 'local' | 'all';
  /** Operations of each actor that has no limit of its own: one-thread runs must end. */
  readonly opsEach?: number;
}

/** Frames of a machine, all nodes together. */
const FRAMES_MAX = 1 << 20;
const DEFAULT_POLICY = 'pinned-notifiers';
const MAPPING_FLAGS: Readonly<Record<string, number>> = {
  read: VM_READ, write: VM_WRITE, exec: VM_EXEC, mergeable: VM_MERGEABLE, hugepage: VM_HUGEPAGE,
  nohugepage: VM_NOHUGEPAGE, 'numa-bound': VM_NUMA_BOUND,
};
const SLOT_FLAGS: Readonly<Record<string, number>> = {
  'read-only': KVM_MEM_READONLY, 'log-dirty-pages': KVM_MEM_LOG_DIRTY_PAGES,
};
const THP_ENABLED = { never: 0, madvise: 1, always: 2 } as const;
const TIERS = {
  vcpu: 'client', vmm: 'client', dma: 'client', driver: 'client', ksmd: 'daemon', khugepaged: 'daemon', 'numa-balancer': 'daemon',
} as const;
/** Schema keys of actors that are no parameters. */
const NO_PARAMETER = new Set(['kind', 'name', 'node', 'count', 'guest', 'process', 'replay', 'workload']);

/** Makes the plan of a run. */
export function makePlan(scenario: Scenario, options: PlanOptions): Plan {
  const { file } = scenario;
  const kernel = options.policy ?? file.policy ?? DEFAULT_POLICY;
  const policy = policyById(kernel);
  if (options.policy === undefined && policy === undefined) scenario.refuse(['policy'], `no policy ${kernel}`);
  const el2 = options.el2 ?? policy?.claims.el2 ?? false;
  const builder = new PlanBuilder(scenario, options);
  const vms = builder.vms();
  const mappings = builder.mappings();
  builder.checkSlots(vms, mappings);
  const actors = builder.actors(vms, mappings, el2);
  const frames = builder.framesPerNode() * file.machine.nodes;
  const plan: Plan = {
    scenario: scenario.name,
    machine: {
      nodes: file.machine.nodes,
      framesPerNode: builder.framesPerNode(),
      thpOrder: file.machine.thp_order,
      cpus: actors.length,
      cpuNodes: actors.map((actor) => actor.node),
      mms: file.processes.length,
      mmPages: Math.max(...mappings.map((mapping) => mapping.start + mapping.pages), 2),
      vmasPerMm: file.machine.vmas_per_process,
      vms: vms.length,
      vmPages: Math.max(0, ...vms.flatMap((vm) => vm.slots.map((slot) => slot.baseGfn + slot.pages))),
      tlbEntries: file.machine.tlb_entries,
      pcpBatch: file.machine.pcp_batch,
      lruBatch: file.machine.lru_batch,
    },
    kernel,
    seed: options.seed,
    actors,
    mappings,
    vms,
    memlockPages: file.processes.map(({ memlock_pages }) => (memlock_pages === 'unlimited' ? -1 : memlock_pages)),
    driverSubscriber: file.second_subscriber,
    knobs: {
      ksmSmartScan: file.knobs.ksm_smart_scan,
      ksmUseZeroPages: file.knobs.ksm_use_zero_pages,
      thpEnabled: THP_ENABLED[file.knobs.thp_enabled],
      maxPtesNone: file.knobs.max_ptes_none ?? (1 << file.machine.thp_order) - 1,
    },
    poisonedFrames: builder.poisonedFrames(frames),
    unpinnableFrames: builder.unpinnableFrames(frames),
    oracles: file.oracles ?? options.oracles ?? 'local',
    recording: builder.recording?.buffer ?? null,
  };
  try {
    // lays it out without its memory
    new Machine(plan.machine, new SharedArrayBuffer(0));
  } catch (error) {
    scenario.refuse(['machine'], error instanceof Error ? error.message : String(error));
  }
  return plan;
}

/** The parts of a plan, each from its part of the file. */
class PlanBuilder {
  readonly recording: Recording | null;
  private readonly scenario: Scenario;
  private readonly options: PlanOptions;

  constructor(scenario: Scenario, options: PlanOptions) {
    this.scenario = scenario;
    this.options = options;
    const { file } = scenario;
    if (options.recording !== undefined) {
      if (file.guests.length === 0) throw new InputError(`--recording: scenario ${scenario.name} has no guest to replay it`);
      this.recording = loadRecording(options.recording, options.base);
    } else {
      this.recording = file.recording === null ? null : loadRecording(file.recording, scenario.folder);
    }
  }

  vms(): VmSpec[] {
    const { file } = this.scenario;
    if (this.options.cpus !== undefined && file.guests.length === 0) {
      throw new InputError(`--cpus: scenario ${this.scenario.name} has no guest`);
    }
    return file.guests.map((guest, i) => {
      if (guest.process >= file.processes.length) {
        this.refuse(['guests', i, 'process'], `no process ${guest.process}; there are ${file.processes.length}`);
      }
      const slots = guest.slots.map((slot, j) => ({
        baseGfn: slot.first_gfn,
        pages: this.pages(slot.pages, ['guests', i, 'slots', j, 'pages']),
        vpn: slot.first_vpn,
        flags: slot.flags.reduce((flags, name) => flags | (SLOT_FLAGS[name] ?? 0), 0),
      }));
      const spec = { mm: guest.process, vcpus: this.vcpus(i), protected: guest.protected, slots };
      if (guest.pinned_range === undefined) return spec;
      const end = Math.max(...slots.map((slot) => slot.baseGfn + slot.pages));
      const { first_gfn: wished, pages } = guest.pinned_range;
      const first = wished < end ? wished : 0;
      return { ...spec, pinRange: [first, Math.min(pages, end - first)] as const };
    });
  }

  /** vCPUs of guest `i`: what `--cpus` says for the first, at least the recorded ones. */
  private vcpus(i: number): number {
    const said = this.scenario.file.guests[i]?.vcpus ?? 1;
    const recording = i === 0 ? this.recording : null;
    const least = recording?.vcpus ?? 1;
    if (i === 0 && this.options.cpus !== undefined) {
      const { cpus } = this.options;
      if (cpus < least || cpus > VCPUS_MAX) {
        const why = recording === null ? '' : `: recording ${recording.name} has ${least} vCPUs`;
        throw new InputError(`--cpus ${cpus}: expected ${least} to ${VCPUS_MAX}${why}`);
      }
      return cpus;
    }
    if (said === 'recorded') {
      if (recording === null) this.refuse(['guests', i, 'vcpus'], 'recorded, but this guest has no recording');
      return least;
    }
    if (said >= least) return said;
    if (this.options.recording !== undefined) return least;
    return this.refuse(['guests', i, 'vcpus'], `${said}; expected at least the ${least} that the recording has`);
  }

  mappings(): MappingSpec[] {
    const all: MappingSpec[] = [];
    this.scenario.file.processes.forEach((process, mm) => {
      process.mappings.forEach((mapping, i) => {
        const path = ['processes', mm, 'mappings', i];
        const pages = this.pages(mapping.pages, [...path, 'pages']);
        const end = mapping.start + pages;
        if (end > MACHINE_LIMITS.mmPages[1]) {
          this.refuse(path, `ends at page ${end}; expected at most ${MACHINE_LIMITS.mmPages[1]}`);
        }
        if (all.some((other) => other.mm === mm && mapping.start < other.start + other.pages && other.start < end)) {
          this.refuse(path, `[${mapping.start}, ${end}) overlaps another mapping of process ${mm}`);
        }
        // private memory may always be made writable
        const flags = mapping.flags.reduce((bits, name) => bits | (MAPPING_FLAGS[name] ?? 0), VM_MAYWRITE);
        all.push({ mm, start: mapping.start, pages, flags });
      });
    });
    return all;
  }

  /** Memslots lie in their process's mappings and do not overlap in the guest. */
  checkSlots(vms: readonly VmSpec[], mappings: readonly MappingSpec[]): void {
    vms.forEach((vm, i) => {
      vm.slots.forEach((slot, j) => {
        const path = ['guests', i, 'slots', j];
        const end = slot.baseGfn + slot.pages;
        if (end > MACHINE_LIMITS.vmPages[1]) {
          this.refuse(path, `ends at guest page ${end}; expected at most ${MACHINE_LIMITS.vmPages[1]}`);
        }
        const overlaps = vm.slots.some((other, k) => k < j && slot.baseGfn < other.baseGfn + other.pages && other.baseGfn < end);
        if (overlaps) this.refuse(path, `guest pages [${slot.baseGfn}, ${end}) overlap another slot`);
        this.checkRange(path, vm.mm, slot.vpn, slot.pages, mappings);
      });
      if (i !== 0 || this.recording === null) return;
      const covered = vm.slots.reduce((end, slot) => (slot.baseGfn <= end ? Math.max(end, slot.baseGfn + slot.pages) : end), 0);
      if (covered < this.recording.frames) {
        this.refuse(
          ['guests', 0, 'slots'], `pages 0 to ${covered - 1}; recording ${this.recording.name} needs ${this.recording.frames} pages`,
        );
      }
    });
  }

  actors(vms: readonly VmSpec[], mappings: readonly MappingSpec[], el2: boolean): ActorSpec[] {
    const specs: ActorSpec[] = [];
    const { file } = this.scenario;
    const add = (name: string, entry: ActorEntry, path: readonly PropertyKey[], params: Record<string, number>): void => {
      if (specs.some((other) => other.name === name)) this.refuse(path, `a second actor named ${name}`);
      specs.push({ name, kind: entry.kind, tier: TIERS[entry.kind], node: this.node(entry.node, specs.length, path), params });
    };
    file.actors.forEach((entry, i) => {
      const path = ['actors', i];
      const params = this.params(entry, path);
      const name = entry.name ?? entry.kind;
      if (entry.kind === 'vcpu') {
        const vm = vms[entry.guest];
        if (vm === undefined) return this.refuse([...path, 'guest'], `no guest ${entry.guest}; there are ${vms.length}`);
        const first = entry.first_gfn;
        const covered = vm.slots.some((s) => s.baseGfn <= first && first + (params['pages'] ?? 0) <= s.baseGfn + s.pages);
        if (!covered) this.refuse([...path, 'pages'], `pages ${first} to ${first + (params['pages'] ?? 0) - 1} are in no slot`);
        const prefix = entry.name ?? (entry.guest === 0 ? 'vcpu' : `vm${entry.guest}-vcpu`);
        for (let vcpu = 0; vcpu < vm.vcpus; vcpu++) {
          const replay = entry.guest === 0 && entry.replay && vcpu < (this.recording?.vcpus ?? 0) ? 1 : 0;
          add(`${prefix}${vcpu}`, entry, path, {
            ...params, vm: entry.guest, vcpu, vcpus: vm.vcpus, replay, workload: WORKLOADS.indexOf(entry.workload),
          });
        }
        return;
      }
      if ('process' in entry) {
        if (entry.process >= file.processes.length) {
          this.refuse([...path, 'process'], `no process ${entry.process}; there are ${file.processes.length}`);
        }
        params['mm'] = entry.process;
        if ('first_vpn' in entry) this.placeRange(entry.process, params, '', path, mappings);
        if (entry.kind === 'dma' && entry.ring !== undefined) {
          params['ring_first_vpn'] = entry.ring.first_vpn;
          params['ring_pages'] = entry.ring.pages;
          this.placeRange(entry.process, params, 'ring_', [...path, 'ring'], mappings);
        }
      }
      const count = 'count' in entry ? entry.count : 1;
      for (let n = 0; n < count; n++) add(count === 1 ? name : `${name}${n}`, entry, path, { ...params });
    });
    if (this.recording !== null && this.recording.vcpus > specs.filter(({ params }) => params['replay'] === 1).length) {
      this.refuse(['actors'], `no vcpu actor replays recording ${this.recording.name} for guest 0`);
    }
    if (el2) this.addEl2(specs);
    const limit = MACHINE_LIMITS.cpus[1];
    if (specs.length > limit) this.refuse(['actors'], `${specs.length} actors, EL2 included; expected at most ${limit}`);
    return specs;
  }

  /** An EL2 context per vCPU thread, one more for all other CPUs; or the number that the file says. */
  private addEl2(specs: ActorSpec[]): void {
    const hosts = specs.length;
    const vcpus = specs.filter(({ kind }) => kind === 'vcpu').length;
    const said = this.scenario.file.el2_instances;
    const instances = said === 0 ? Math.min(hosts, vcpus + 1) : Math.min(said, hosts);
    for (let i = 0; i < instances; i++) {
      specs.push({ name: `el2-${i}`, kind: 'el2', tier: 'server', node: specs[i]?.node ?? 0, params: { instance: i, instances } });
    }
  }

  /** The numbers of an entry, under the names that its actor file documents. */
  private params(entry: ActorEntry, path: readonly PropertyKey[]): Record<string, number> {
    const params: Record<string, number> = {};
    for (const [key, value] of Object.entries(entry)) {
      if (!NO_PARAMETER.has(key) && typeof value === 'number') params[key] = value;
    }
    if ('pages' in entry) params['pages'] = this.pages(entry.pages, [...path, 'pages']);
    if (entry.ops === 0 && this.options.opsEach !== undefined) params['ops'] = this.options.opsEach;
    return params;
  }

  framesPerNode(): number {
    const said = this.scenario.file.machine.frames_per_node;
    const { nodes } = this.scenario.file.machine;
    if (said !== 'recorded') {
      if (said * nodes > FRAMES_MAX) {
        this.refuse(['machine', 'frames_per_node'], `${said} on each of ${nodes} nodes; expected at most ${FRAMES_MAX} in all`);
      }
      return said;
    }
    const frames = this.pages('recorded', ['machine', 'frames_per_node']);
    const some = Math.max(frames >> 4, 4 << this.scenario.file.machine.thp_order);
    return Math.min(frames + some, Math.floor(FRAMES_MAX / nodes));
  }

  poisonedFrames(frames: number): readonly number[] {
    this.scenario.file.poisoned_frames.forEach((pfn, i) => {
      if (pfn >= frames) this.refuse(['poisoned_frames', i], `${pfn}; expected 1 to ${frames - 1}`);
    });
    return this.scenario.file.poisoned_frames;
  }

  unpinnableFrames(frames: number): readonly (readonly [number, number])[] {
    const huge = 1 << this.scenario.file.machine.thp_order;
    this.scenario.file.unpinnable_frames.forEach(([from, to], i) => {
      if (from >= to || to > frames || from % huge !== 0 || to % huge !== 0) {
        this.refuse(['unpinnable_frames', i], `[${from}, ${to}); expected whole huge pages of ${huge} within 0 to ${frames}`);
      }
    });
    return this.scenario.file.unpinnable_frames;
  }

  private node(said: number | undefined, actor: number, path: readonly PropertyKey[]): number {
    const { nodes } = this.scenario.file.machine;
    if (said !== undefined && said >= nodes) this.refuse([...path, 'node'], `${said}; expected 0 to ${nodes - 1}`);
    return said ?? actor % nodes;
  }

  private checkRange(
    path: readonly PropertyKey[], mm: number, start: number, pages: number, mappings: readonly MappingSpec[],
  ): void {
    const covered = mappings.some((each) => each.mm === mm && each.start <= start && start + pages <= each.start + each.pages);
    if (!covered) this.refuse(path, `pages ${start} to ${start + pages - 1} are in no mapping of process ${mm}`);
  }

  /**
   * Checks the range `<prefix>first_vpn`, `<prefix>pages`. Another recording than the file was written for (`--recording`) may
   * be smaller: then the range moves into its memory.
   */
  private placeRange(
    mm: number, params: Record<string, number>, prefix: string, path: readonly PropertyKey[], mappings: readonly MappingSpec[],
  ): void {
    const firstKey = `${prefix}first_vpn`;
    const pagesKey = `${prefix}pages`;
    let first = params[firstKey] ?? 0;
    let pages = params[pagesKey] ?? 1;
    if (this.options.recording !== undefined) {
      const own = mappings.filter((each) => each.mm === mm);
      const into = own.find((each) => each.start <= first && first < each.start + each.pages);
      const room = into ?? (own[0] as MappingSpec);
      if (into === undefined) first = room.start;
      pages = Math.min(pages, room.start + room.pages - first);
    }
    this.checkRange(path, mm, first, pages, mappings);
    params[firstKey] = first;
    params[pagesKey] = pages;
  }

  private pages(said: number | 'recorded', path: readonly PropertyKey[]): number {
    if (said !== 'recorded') return said;
    if (this.recording === null) this.refuse(path, 'recorded, but the scenario has no recording');
    return this.recording.frames;
  }

  private refuse(path: readonly PropertyKey[], message: string): never {
    return this.scenario.refuse(path, message);
  }
}

/**
 * The actors of a scenario: one vCPU thread per vCPU (which replays its stream where the recording has one), as
 * many of the others as the file says, and EL2 instances where the policy has an EL2.
 */
import { MACHINE_LIMITS } from '../../machine/config.js';
import type { ActorSpec, MappingSpec, VmSpec } from '../../plan/plan.js';
import { WORKLOADS } from '../../../actors/workload.js';
import { type ScenarioMemory, coveredEnd, numbered, spans } from './memory.js';
import type { ActorEntry } from './schema.js';

const TIERS = {
  vcpu: 'client',
  vmm: 'client',
  dma: 'client',
  driver: 'client',
  ksmd: 'daemon',
  khugepaged: 'daemon',
  kswapd: 'daemon',
  'numa-balancer': 'daemon',
} as const;
/** Schema keys of actors that are no parameters. */
const NO_PARAMETER = new Set(['kind', 'name', 'node', 'count', 'guest', 'process', 'replay', 'workload']);

type Path = readonly PropertyKey[];

/** The plan's rows, their order the CPUs'. */
export function planActors(
  memory: ScenarioMemory,
  vms: readonly VmSpec[],
  mappings: readonly MappingSpec[],
  el2: boolean,
): ActorSpec[] {
  return new ActorRows(memory, vms, mappings).all(el2);
}

class ActorRows {
  readonly #memory: ScenarioMemory;
  readonly #vms: readonly VmSpec[];
  readonly #mappings: readonly MappingSpec[];
  readonly #rows: ActorSpec[] = [];

  constructor(memory: ScenarioMemory, vms: readonly VmSpec[], mappings: readonly MappingSpec[]) {
    this.#memory = memory;
    this.#vms = vms;
    this.#mappings = mappings;
  }

  all(el2: boolean): ActorSpec[] {
    const { scenario, recording } = this.#memory;
    scenario.file.actors.forEach((entry, i) => {
      if (entry.kind === 'vcpu') this.#addVcpus(entry, ['actors', i]);
      else this.#addOthers(entry, ['actors', i]);
    });
    const replaying = this.#rows.filter(({ params }) => params['replay'] === 1).length;
    if (recording !== null && recording.vcpus > replaying) {
      this.#memory.note(['actors'], `no vcpu actor replays recording ${recording.name} for guest 0`);
    }
    if (el2) this.#addEl2();
    const limit = MACHINE_LIMITS.cpus[1];
    if (this.#rows.length > limit) {
      this.#memory.note(['actors'], `${this.#rows.length} actors, EL2 included; expected at most ${limit}`);
    }
    return this.#rows;
  }

  /** One thread per vCPU of the guest. */
  #addVcpus(entry: Extract<ActorEntry, { kind: 'vcpu' }>, path: Path): void {
    const vm = this.#vms[entry.guest];
    if (vm === undefined) {
      this.#memory.note([...path, 'guest'], `no guest ${entry.guest}; ${numbered(this.#vms.length)}`);
      return;
    }
    const params = this.#params(entry, path);
    const first = entry.first_gfn;
    const end = first + (params['pages'] ?? 0);
    const covered = vm.slots.some((slot) => slot.baseGfn <= first && end <= slot.baseGfn + slot.pages);
    if (!covered) {
      const slots = spans(vm.slots.map((slot) => [slot.baseGfn, slot.pages]));
      this.#memory.note(
        [...path, 'pages'],
        `pages ${first} to ${end - 1} are in no slot of guest ${entry.guest}, which has ${slots}`,
      );
    }
    const prefix = entry.name ?? (entry.guest === 0 ? 'vcpu' : `vm${entry.guest}-vcpu`);
    const recorded = entry.guest === 0 && entry.replay ? (this.#memory.recording?.vcpus ?? 0) : 0;
    for (let vcpu = 0; vcpu < vm.vcpus; vcpu++) {
      this.#add(`${prefix}${vcpu}`, entry, path, {
        ...params,
        vm: entry.guest,
        vcpu,
        vcpus: vm.vcpus,
        replay: vcpu < recorded ? 1 : 0,
        workload: WORKLOADS.indexOf(entry.workload),
      });
    }
  }

  #addOthers(entry: Exclude<ActorEntry, { kind: 'vcpu' }>, path: Path): void {
    const params = this.#params(entry, path);
    if ('process' in entry) {
      const { processes } = this.#memory.scenario.file;
      if (entry.process >= processes.length) {
        this.#memory.note([...path, 'process'], `no process ${entry.process}; ${numbered(processes.length)}`);
      }
      params['mm'] = entry.process;
      if ('first_vpn' in entry) this.#placeRange(entry.process, params, '', path);
      if (entry.kind === 'dma' && entry.ring !== undefined) {
        params['ring_first_vpn'] = entry.ring.first_vpn;
        params['ring_pages'] = entry.ring.pages;
        this.#placeRange(entry.process, params, 'ring_', [...path, 'ring']);
      }
    }
    const name = entry.name ?? entry.kind;
    const count = 'count' in entry ? entry.count : 1;
    for (let n = 0; n < count; n++) this.#add(count === 1 ? name : `${name}${n}`, entry, path, { ...params });
  }

  #add(name: string, entry: ActorEntry, path: Path, params: Record<string, number>): void {
    if (this.#rows.some((other) => other.name === name)) this.#memory.note(path, `a second actor named ${name}`);
    const { nodes } = this.#memory.scenario.file.machine;
    if (entry.node !== undefined && entry.node >= nodes) {
      this.#memory.note([...path, 'node'], `${entry.node}; expected 0 to ${nodes - 1}`);
    }
    const node = entry.node ?? this.#rows.length % nodes;
    this.#rows.push({ name, kind: entry.kind, tier: TIERS[entry.kind], node, params });
  }

  /** An EL2 context per vCPU thread, one more for all other CPUs; or the number that the file says. */
  #addEl2(): void {
    const hosts = this.#rows.length;
    const vcpus = this.#rows.filter(({ kind }) => kind === 'vcpu').length;
    const { file } = this.#memory.scenario;
    const said = this.#memory.options.el2Instances ?? file.engine.el2_instances ?? file.el2_instances;
    const instances = said === 0 ? Math.min(hosts, vcpus + 1) : Math.min(said, hosts);
    for (let i = 0; i < instances; i++) {
      this.#rows.push({ name: `el2-${i}`, kind: 'el2', tier: 'server', node: this.#rows[i]?.node ?? 0, params: {} });
    }
  }

  /** The numbers of an entry, under the names that its actor file documents. */
  #params(entry: ActorEntry, path: Path): Record<string, number> {
    const params: Record<string, number> = {};
    for (const [key, value] of Object.entries(entry)) {
      if (!NO_PARAMETER.has(key) && typeof value === 'number') params[key] = value;
    }
    if ('pages' in entry) params['pages'] = this.#memory.pages(entry.pages, [...path, 'pages']);
    const { opsEach } = this.#memory.options;
    if (entry.ops === 0 && opsEach !== undefined) params['ops'] = opsEach;
    return params;
  }

  /**
   * Checks the range `<prefix>first_vpn`, `<prefix>pages`. Another recording than the file was written for
   * (`--recording`) may be smaller: then the range moves into its memory.
   */
  #placeRange(mm: number, params: Record<string, number>, prefix: string, path: Path): void {
    const firstKey = `${prefix}first_vpn`;
    const pagesKey = `${prefix}pages`;
    let first = params[firstKey] ?? 0;
    let pages = params[pagesKey] ?? 1;
    if (this.#memory.options.recording !== undefined) {
      if (coveredEnd(mm, first, this.#mappings) === first) {
        first = Math.min(...this.#mappings.filter((each) => each.mm === mm).map((each) => each.start));
      }
      pages = Math.min(pages, coveredEnd(mm, first, this.#mappings) - first);
    }
    this.#memory.checkRange(path, mm, first, pages, this.#mappings);
    params[firstKey] = first;
    params[pagesKey] = pages;
  }
}

/** Plans made by hand: measuring actors on a machine of the default scenario's shape. */
import { MACHINE_LIMITS } from '../../machine/config.js';
import { VM_MAYWRITE, VM_READ, VM_WRITE } from '../../machine/abi.js';
import type { ActorSpec, MappingSpec, Plan, VmSpec } from '../../plan/plan.js';

/** Pages of each actor stand in PTE tables of their own, and in a mapping that merges with no other. */
const THP_ORDER = 9;
const TABLE_PAGES = 1 << THP_ORDER;

interface BenchPlan {
  /** BENCH_* of actors/bench.ts. */
  readonly operation: number;
  readonly actors: number;
  /** Pages of each actor; rounded up to whole tables. */
  readonly pages: number;
  /** Which process, and VM, each actor works in; by default one for all. */
  readonly group?: (actor: number) => number;
  /** Each process has a VM, whose guest pages are the process's; VMs subscribe to notifiers. */
  readonly guests?: boolean;
  /** Actors stand on nodes 0 and 1 in turn; else all on node 0, as on the machine that is compared with. */
  readonly spread?: boolean;
  readonly params?: Readonly<Record<string, number>>;
  /** `vcpu`: real vCPU actors with a synthetic workload (actors/vcpu.ts) in place of measuring ones. */
  readonly kind?: 'bench' | 'vcpu';
  readonly oracles?: Plan['oracles'];
}

/** The plan. */
export function benchPlan(options: BenchPlan): Plan {
  const {
    operation,
    actors: count,
    guests = false,
    spread = false,
    params = {},
    kind = 'bench',
    oracles = 'local',
  } = options;
  const group = options.group ?? (() => 0);
  const tablePages = Math.ceil(options.pages / TABLE_PAGES) * TABLE_PAGES;
  const groups = Math.max(...Array.from({ length: count }, (_, actor) => group(actor))) + 1;
  const members = Array.from({ length: groups }, () => 0);
  const actors: ActorSpec[] = [];
  const mappings: MappingSpec[] = [];
  for (let actor = 0; actor < count; actor++) {
    const mm = group(actor);
    const vcpu = members[mm] as number;
    members[mm] = vcpu + 1;
    // a hole behind each actor's pages
    const first = vcpu * (tablePages + TABLE_PAGES);
    mappings.push({ mm, start: first, pages: options.pages, flags: VM_READ | VM_WRITE | VM_MAYWRITE });
    actors.push({
      name: `bench${actor}`,
      kind,
      tier: 'client',
      node: spread ? actor % 2 : 0,
      params: { operation, mm, vm: mm, vcpu, first_vpn: first, first_gfn: first, pages: options.pages, ...params },
    });
  }
  const mmPages = Math.max(...members) * (tablePages + TABLE_PAGES);
  const vms: VmSpec[] = guests
    ? members.map((vcpus, mm) => ({
        mm,
        vcpus,
        protected: false,
        slots: [{ baseGfn: 0, pages: mmPages, vpn: 0, flags: 0 }],
      }))
    : [];
  const used = count * options.pages;
  return {
    scenario: 'bench',
    machine: {
      nodes: 2,
      // either node holds all, with lists and batches of every CPU on top; of the largest guests, both together
      framesPerNode: Math.min(MACHINE_LIMITS.framesPerNode[1], used + (used >> 3) + count * 256 + 4096),
      thpOrder: THP_ORDER,
      cpus: count,
      cpuNodes: actors.map(({ node }) => node),
      mms: groups,
      mmPages,
      vmasPerMm: Math.max(8, 2 * Math.max(...members) + 2),
      vms: vms.length,
      vmPages: guests ? mmPages : 0,
      tlbEntries: 1024,
      pcpBatch: 31,
      lruBatch: 15,
    },
    kernel: 'classic',
    seed: 1,
    actors,
    mappings,
    vms,
    memlockPages: [],
    driverSubscriber: false,
    knobs: { ksmSmartScan: true, ksmUseZeroPages: false, thpEnabled: 0, maxPtesNone: 0 },
    poisonedFrames: [],
    unpinnableFrames: [],
    oracles,
    recording: null,
  };
}

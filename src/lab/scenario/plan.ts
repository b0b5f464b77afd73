/** From a scenario and the command's options to a plan. */
import { Machine } from '../../machine/layout.js';
import type { Plan } from '../../plan/plan.js';
import { prepareMachine } from '../../engine/machine/setup.js';
import { POLICIES, policyById } from '../../policies/index.js';
import { InputError } from '../../errors/errors.js';
import { meant } from '../input/nearest.js';
import { planActors } from './actors.js';
import { placementGroups } from './engine.js';
import { type PlanOptions, ScenarioMemory } from './memory.js';
import type { Scenario } from './scenario.js';
import { findKnobs } from './find-knobs.js';

export type { PlanOptions } from './memory.js';

const DEFAULT_POLICY = 'pinned-notifiers';
const THP_ENABLED = { never: 0, madvise: 1, always: 2 } as const;

/** Makes the plan of a run. */
export function makePlan(scenario: Scenario, options: PlanOptions): Plan {
  const { file } = scenario;
  const mistakes = scenario.mistakes();
  const kernel = options.policy ?? file.policy ?? DEFAULT_POLICY;
  const policy = policyById(kernel);
  if (options.policy === undefined && policy === undefined) {
    const known = POLICIES.map(({ id }) => id);
    mistakes.note(['policy'], `no policy ${kernel}; expected one of ${known.join(', ')}${meant(kernel, known)}`);
  }
  const el2 = options.el2 ?? policy?.claims.el2 ?? false;
  const memory = new ScenarioMemory(scenario, options, mistakes);
  const vms = memory.vms();
  const mappings = memory.mappings();
  memory.checkSlots(vms, mappings);
  const actors = planActors(memory, vms, mappings, el2);
  placementGroups(scenario, actors, options.cpus !== undefined, mistakes);
  const frames = memory.framesPerNode() * file.machine.nodes;
  const poisonedFrames = memory.poisonedFrames(frames);
  const unpinnableFrames = memory.unpinnableFrames(frames);
  mistakes.tell();
  const plan: Plan = {
    scenario: scenario.name,
    machine: {
      nodes: file.machine.nodes,
      framesPerNode: memory.framesPerNode(),
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
      swapSlots: file.machine.swap_pages,
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
      ...findKnobs(file.knobs.tlbbatch, file.knobs.fix),
    },
    poisonedFrames,
    unpinnableFrames,
    oracles: file.oracles ?? options.oracles ?? 'all',
    recording: memory.recording?.buffer ?? null,
    lockEvents: options.lockEvents === true,
  };
  try {
    // lays it out, without its memory
    void new Machine(plan.machine, new SharedArrayBuffer(0)).totalWords;
  } catch (error) {
    mistakes.refuse(['machine'], error instanceof Error ? error.message : String(error));
  }
  return plan;
}

/** The machine of a plan, ready to run. @throws InputError when the kernel refuses what the plan asks for */
export function machineOf(plan: Plan): Machine {
  try {
    return prepareMachine(plan);
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(`scenario ${plan.scenario}: ${error.message}`);
    throw error;
  }
}

/** Litmus plans written by hand, for generated tests: set-up and columns as calls, explored by a strategy. */
import { litmusOperation } from '#actors/litmus/operations.js';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import type { LitmusCall, LitmusTask } from '#src/plan/litmus.js';
import type { Plan } from '#src/plan/plan.js';
import { STRATEGIES } from '#src/engine/strategies/index.js';
import { VM_READ, VM_WRITE } from '#src/machine/abi.js';
import { type MachineConfig, SMALL_MACHINE } from '#src/machine/config.js';

/** A task of process `mm`, or a kernel thread (-1). */
export const task = (mm: number): LitmusTask => ({ mm, vm: -1, vcpu: -1 });

export function call(name: string, args: readonly number[], result = -1): LitmusCall {
  const op = litmusOperation(name);
  if (op < 0) throw new Error(`no operation ${name}`);
  return { op, args, result };
}

export interface Column {
  readonly mm: number;
  readonly node?: number;
  readonly calls: readonly LitmusCall[];
}

export interface HandMade {
  readonly machine?: Partial<MachineConfig>;
  /** Pages of process 0, mapped from page 0. */
  readonly pages: number;
  readonly flags?: number;
  readonly thpEnabled?: 0 | 1 | 2;
  readonly init?: readonly LitmusCall[];
  readonly columns: readonly Column[];
}

export function planOf(made: HandMade, kernel: string): Plan {
  const { machine, pages, flags = 0, thpEnabled = 0, init = [], columns } = made;
  return {
    scenario: 'hand-made',
    machine: { ...SMALL_MACHINE, nodes: 1, thpOrder: 1, vms: 0, vmPages: 0, mms: 1, ...machine, cpus: columns.length },
    kernel,
    seed: 1,
    actors: columns.map(({ mm, node = 0 }, column) => ({
      name: `cpu${column}`,
      kind: 'litmus',
      tier: 'client' as const,
      node,
      params: mm < 0 ? { column } : { column, mm },
    })),
    mappings: [{ mm: 0, start: 0, pages, flags: VM_READ | VM_WRITE | flags }],
    vms: [],
    memlockPages: [-1],
    driverSubscriber: false,
    knobs: { ksmSmartScan: false, ksmUseZeroPages: false, thpEnabled, maxPtesNone: 511 },
    poisonedFrames: [],
    unpinnableFrames: [],
    oracles: 'all',
    recording: null,
    litmus: {
      init: init.map((one) => ({ task: task(0), call: one })),
      columns: columns.map(({ mm, calls }) => ({ task: task(mm), calls })),
      registers: 8,
      failAllocation: [],
    },
  };
}

export interface Find {
  /** The first schedule that broke a rule, from 1; 0: none did. */
  readonly schedule: number;
  readonly invariant: string;
  readonly what: string;
  /** How the schedules ended, by kind. */
  readonly ends: Readonly<Record<string, number>>;
}

/** Runs schedules until one breaks a rule, or to their number. */
export function explore(made: HandMade, kernel: string, strategy: 'random' | 'pct', schedules: number, seed = 1): Find {
  const kind = STRATEGIES.find(({ name }) => name === strategy);
  if (kind === undefined) throw new Error(`no strategy ${strategy}`);
  const program = new PlanProgram(planOf(made, kernel));
  const thread = new OneThread(program, 20_000);
  const choice = kind.create({ seed, depth: 3 });
  const ends: Record<string, number> = {};
  for (let schedule = 1; schedule <= schedules; schedule++) {
    choice.begin(schedule, program.actors.length);
    thread.run(choice, 0);
    const [breach] = thread.breaches;
    if (thread.error !== undefined) throw thread.error;
    if (breach !== undefined) return { schedule, invariant: breach.invariant, what: breach.what, ends };
    ends[thread.endText] = (ends[thread.endText] ?? 0) + 1;
  }
  return { schedule: 0, invariant: '', what: '', ends };
}

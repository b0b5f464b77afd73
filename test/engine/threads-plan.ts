/** Plans of synthetic actors for the tests of the real-thread engine. */
import { type MachineConfig, SMALL_MACHINE } from '#src/machine/config.js';
import { Machine } from '#src/machine/layout.js';
import { bootMachine } from '#src/mm/boot.js';
import { DEFAULT_MODULES, startThreads } from '#src/engine/threads/threads.js';
import type { ThreadOptions, ThreadRun } from '#src/engine/threads/run.js';
import type { ActorSpec, Plan } from '#src/plan/plan.js';

const lockActors = new URL('../../../test/fixtures/lock-actors.js', DEFAULT_MODULES.kernel).href;
export const TEST_MODULES = { kernel: lockActors, probe: lockActors, actors: lockActors };

export const actor = (
  name: string,
  kind: string,
  params: Record<string, number> = {},
  tier: ActorSpec['tier'] = 'client',
): ActorSpec => ({ name, kind, tier, node: 0, params });

/** `count` actors a0, a1, ... of one kind. */
export const actors = (count: number, kind: string, params: Record<string, number> = {}): ActorSpec[] =>
  Array.from({ length: count }, (_, n) => actor(`a${n}`, kind, params));

export function planOf(specs: readonly ActorSpec[]): Plan {
  const machine: MachineConfig = { ...SMALL_MACHINE, cpus: specs.length };
  return {
    scenario: 'test',
    machine,
    kernel: 'stub',
    seed: 1,
    actors: specs,
    mappings: [],
    vms: [],
    memlockPages: [],
    driverSubscriber: false,
    knobs: { ksmSmartScan: true, ksmUseZeroPages: false, thpEnabled: 1, maxPtesNone: 0 },
    poisonedFrames: [],
    unpinnableFrames: [],
    oracles: 'off',
    recording: null,
  };
}

/** A booted machine, and the actors running on it. */
export async function start(specs: readonly ActorSpec[], options: ThreadOptions = {}): Promise<ThreadRun> {
  const plan = planOf(specs);
  const m = new Machine(plan.machine);
  bootMachine(m);
  return startThreads(plan, m, { modules: TEST_MODULES, events: 'off', ...options });
}

/** What takes longer has hung, on however busy a machine; below the time that a test has. */
const HANG_MS = 100_000;

/** Waits until `done`; fails when it does not come. */
export async function until(done: () => boolean): Promise<void> {
  const deadline = performance.now() + HANG_MS;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${String(done)}`);
    await new Promise((resolve) => void setTimeout(resolve, 1));
  }
}

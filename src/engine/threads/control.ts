/**
 * The control plane between the main thread and its hosts: what a host is given, what it offers over Comlink, what it
 * tells unasked. Time-critical commands do not go this way: they are words in shared memory (phase.ts).
 */
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import * as Comlink from 'comlink';
import type { MessagePort } from 'node:worker_threads';
import {
  HDR_CONTROL_SEQ,
  KHUGEPAGED_MAX_PTES_NONE,
  KHUGEPAGED_MAX_PTES_SHARED,
  KHUGEPAGED_MAX_PTES_SWAP,
  KSM_RUN,
  KSM_SMART_SCAN,
  KSM_USE_ZERO_PAGES,
  type Machine,
  THP_ENABLED,
  THP_USE_ZERO_PAGE,
  TLB_BATCH,
  globalWord,
} from '../../machine/layout.js';
import type { Violation } from '../../oracle/violation.js';
import { ringDoorbell, wake } from '../../machine/wait.js';
import type { RingWriter } from '../../events/ring.js';
import type { Context, Coroutine, Kernel, Probe } from '../../machine/context.js';
import type { OwnState } from '../../machine/current/own-state.js';
import type { ActorSpec, Plan } from '../../plan/plan.js';

/** How a host runs its actors; every number has its default in {@link HOST_DEFAULTS}. */
export interface HostOptions {
  /** Schedule points that an actor passes before the next one of its worker has its turn. */
  readonly quantum: number;
  /** How long a host runs before it looks at its messages, microseconds. */
  readonly sliceMicros: number;
  /** Looks at the words its actors wait for before it sleeps. */
  readonly spinTurns: number;
  /** Sleepers look up every 20 ms, so that a lost wake-up would cost time only. Nothing needs it. */
  readonly timeouts: boolean;
  /** Percent of a client's time that the noise maker may hold it up (noise.ts); 0 = there is none. */
  readonly noise: number;
}

export const HOST_DEFAULTS: HostOptions = { quantum: 64, sliceMicros: 500, spinTurns: 200, timeouts: true, noise: 0 };

/** Where a host finds the rooms above the engine; URLs, so that tests can bring their own. */
export interface HostModules {
  readonly kernel: string;
  readonly probe: string;
  readonly actors: string;
}

export interface KernelModule {
  readonly resolveKernel: (id: string) => Kernel;
  /** The blocking form alone: tells it its machine (machine/words/words-wasm.ts). */
  readonly bindWords?: (m: Machine) => void;
  /** In one file with the kernel that calls it. */
  readonly RingWriter?: typeof RingWriter;
}
export interface ProbeModule {
  readonly createProbe: (
    m: Machine,
    plan: Plan,
    mode: 'threads' | 'one',
    ledgers: SharedArrayBuffer | null,
    sharedPins: SharedArrayBuffer | null,
  ) => Probe & { readonly violations: readonly Violation[] };
}
export interface ActorsModule {
  readonly ACTOR_KINDS: Readonly<Record<string, (ctx: Context, spec: ActorSpec, plan: Plan) => Coroutine<void>>>;
}

/** `blocking`: the actor is alone on its worker and waits in place (.ci/blocking.mjs). Several on a worker run `coroutines`. */
export type Form = 'blocking' | 'coroutines';

/** What a worker's task is given. */
export interface HostTask {
  readonly plan: Plan;
  readonly machine: SharedArrayBuffer;
  /** What lends it, if that does. */
  readonly memory: WebAssembly.Memory | null;
  readonly worker: number;
  /** How many workers there are. */
  readonly workers: number;
  readonly actors: readonly number[];
  readonly ring: SharedArrayBuffer;
  readonly lossy: boolean;
  /** Nobody drains the ring; it keeps the newest events for reports. */
  readonly recorder: boolean;
  readonly ledgers: SharedArrayBuffer | null;
  /** The oracle's pins by frame, of all workers. */
  readonly sharedPins: SharedArrayBuffer | null;
  readonly options: HostOptions;
  readonly modules: Readonly<Record<Form, HostModules>>;
  /** What its first actors run. */
  readonly form: Form;
  /** Comlink's port, and the one for {@link Notice}s. */
  readonly control: MessagePort;
  readonly notices: MessagePort;
}

/** What a host tells unasked. */
export type Notice =
  | { readonly type: 'violation'; readonly worker: number; readonly index: number; readonly violation: Violation }
  | { readonly type: 'returned'; readonly worker: number; readonly actor: number }
  | { readonly type: 'threw'; readonly worker: number; readonly actor: number; readonly error: string };

/** What a host's task returns when it cannot set itself up: a plan that names a kernel or an actor kind that there is not. */
export interface HostRefusal {
  readonly refused: string;
}

/** What a host's task returns when it ends well. */
export interface HostResult {
  readonly violations: readonly Violation[];
  readonly stats: HostStats;
}

/** A host's own counters. */
export interface HostStats {
  readonly worker: number;
  readonly threadId: number;
  readonly actors: readonly number[];
  readonly slices: number;
  /** Resumes of all its actors. */
  readonly resumes: number;
  readonly sleeps: number;
  /** Times a full ring held it up. */
  readonly ringWaits: number;
}

/** What an actor takes along when it moves to another worker. */
export interface MovedActor {
  /** It has returned by itself meanwhile: nothing is left to start. */
  readonly returned: boolean;
  /** What its Context has of its own; null when it has returned. */
  readonly own: OwnState | null;
  /** What is left of the sleep it was in, microseconds. */
  readonly sleepMicros: number;
}

/** What one step of an actor did (Simulation.step). */
export interface HostStep {
  /** False: it waits, or has returned; nothing was done. */
  readonly moved: boolean;
  /** The effect it stood before, and the one it stands before now; -1 = none. */
  readonly before: number;
  readonly after: number;
  /** The simulated functions it stands in, innermost first. */
  readonly stack: readonly string[];
  /** Events it wrote. */
  readonly written: number;
}

/** What a host offers to the main thread. */
export interface HostApi {
  /** Resolves when all its actors stand at their start; they run as soon as the phase is RUN. */
  start(): { readonly threadId: number };
  /** Stops this host alone, as a freeze does all. */
  pause(): void;
  resume(): void;
  /** `quantum`, `slice_us`, `spin_turns`, or `<actor>.<param>`. False: no such knob here. */
  setKnob(name: string, value: number): boolean;
  stats(): HostStats;
  /** Loads what actors of that form need, so that `spawn` does not wait for files. */
  prepare(form: Form): Promise<void>;
  /** Starts actor `actor` of the plan here, in a form that is prepared, with what it brought from elsewhere. */
  spawn(actor: number, form: Form, moved: MovedActor | null): void;
  /** At a drain: takes an actor away as it stands, to go on elsewhere. */
  leave(actor: number): MovedActor;
  /** Lets an actor of this host end for good at the top of its loop; resolves when it has. */
  retire(actor: number): Promise<void>;
  /** In a freeze: one schedule point of an actor that runs as a coroutine. */
  step(actor: number): HostStep;
}

/** The kernel's own knobs: words of the machine, written marked. */
export const MACHINE_KNOBS: Readonly<Record<string, number>> = {
  ksm_run: KSM_RUN,
  ksm_smart_scan: KSM_SMART_SCAN,
  ksm_use_zero_pages: KSM_USE_ZERO_PAGES,
  khugepaged_max_ptes_none: KHUGEPAGED_MAX_PTES_NONE,
  khugepaged_max_ptes_shared: KHUGEPAGED_MAX_PTES_SHARED,
  khugepaged_max_ptes_swap: KHUGEPAGED_MAX_PTES_SWAP,
  thp_enabled: THP_ENABLED,
  thp_use_zero_page: THP_USE_ZERO_PAGE,
  tlbbatch: TLB_BATCH,
};

/** Sets a knob of the kernel. False: there is none of that name. */
export function setMachineKnob(m: Machine, name: string, value: number): boolean {
  const knob = Object.hasOwn(MACHINE_KNOBS, name) ? MACHINE_KNOBS[name] : undefined;
  if (knob === undefined) return false;
  const word = globalWord(m, knob);
  Atomics.store(m.words, word, value);
  wake(m, word);
  Atomics.add(m.words, HDR_CONTROL_SEQ, 1);
  return true;
}

/**
 * After a message was posted to `worker`: makes it turn to its event loop. The worker samples its doorbell before it
 * looks at HDR_CONTROL_SEQ and sleeps only while the doorbell is unchanged, so no message is slept over.
 */
export function beckon(m: Machine, worker: number): void {
  Atomics.add(m.words, HDR_CONTROL_SEQ, 1);
  ringDoorbell(m, worker);
}

export const wrapHost = (port: MessagePort): Comlink.Remote<HostApi> => Comlink.wrap<HostApi>(nodeEndpoint(port));
export const exposeHost = (api: HostApi, port: MessagePort): void => Comlink.expose(api, nodeEndpoint(port));

/** A run on real threads, as its caller sees it: what it is told, and what it gives. */
import type { Machine } from '../../machine/layout.js';
import type { Violation } from '../../oracle/violation.js';
import type { ActorReport } from '../machine/report-state.js';
import type { Form, HostModules, HostOptions, HostStats, HostStep } from './control.js';
import type { Plan } from '../../plan/plan.js';
import type { Hang, WatchdogOptions } from './watchdog.js';

/**
 * @param where at a drain, at one after which actors go on on other workers, or at the end
 * @param ledgers the workers' ledgers, by worker; null where there are none
 */
export type Audit = (
  m: Machine,
  plan: Plan,
  where: 'drain' | 'move' | 'end',
  ledgers: readonly (SharedArrayBuffer | null)[],
) => readonly Violation[];

export interface ThreadOptions extends Partial<HostOptions> {
  /** Worker threads; 0 = one per actor. Cut down to the number of actors (and 64). */
  readonly workers?: number;
  /** The worker of each actor, instead of `workers` and the automatic placement. */
  readonly placement?: readonly number[];
  /**
   * What a full ring does: `lossless` waits for the reader of {@link ThreadRun.rings}, `lossy` drops. `recorder`: nobody
   * reads, the newest events stay for reports. `off`: no events.
   */
  readonly events?: 'off' | 'recorder' | 'lossless' | 'lossy';
  /** Records per ring: a power of two. */
  readonly ringRecords?: number;
  /** The oracle's ledgers: one for all workers, or one of each. */
  readonly ledgers?: SharedArrayBuffer | ((worker: number) => SharedArrayBuffer) | null;
  /** The oracle's pins by frame, shared by all workers. */
  readonly sharedPins?: SharedArrayBuffer | null;
  /** Where workers find kernel, probe and actors; the real rooms by default. */
  readonly modules?: Partial<HostModules>;
  /**
   * `auto`: a worker that hosts one actor runs the kernel's blocking form. `coroutines`: all run coroutines, so that actors
   * can be moved together while the run goes on, and a freeze stops them at any schedule point.
   */
  readonly form?: 'auto' | 'coroutines';
  /** Looks at the whole machine while all actors stand still. Returns what it finds. */
  readonly audit?: Audit;
  readonly watchdog?: Partial<WatchdogOptions> | false;
  /** How long a rendezvous may take without any actor's moving, milliseconds. */
  readonly rendezvousMs?: number;
  /** Heap limit of each worker, megabytes; 0 = Node's. */
  readonly workerMemoryMb?: number;
}

/** A row of the report's `threads`. */
export interface ThreadInfo {
  readonly worker: number;
  readonly threadId: number;
  readonly form: Form;
  readonly actors: readonly string[];
}

/** What a move of actors did. */
export interface Relocation {
  /** The actors that changed worker or form. */
  readonly moved: readonly number[];
  /** What the audit after the move found. */
  readonly violations: readonly Violation[];
}

/** `start`: until all workers are set up. `move`: actors change workers. `drain`: all come to rest. `end`: all return. */
export type RunPhase = 'start' | 'run' | 'move' | 'drain' | 'end';

/** Which actor ran when its worker died, what it held, and why. */
export interface Death {
  readonly worker: number;
  /** What the run was doing. */
  readonly phase: RunPhase;
  readonly threadId: number;
  /** The record of the actor that ran; null when none did. */
  readonly actor: ActorReport | null;
  readonly error: string;
}

/** How a run ended. */
export interface EndState {
  /** `aborted`: HDR_ABORT was set by a probe, or `abort` was called. */
  readonly kind: 'finished' | 'hang' | 'worker-died' | 'aborted';
  /** One line. */
  readonly text: string;
  readonly hang: Hang | null;
  readonly death: Death | null;
  /** All violations, those of the last audit included. */
  readonly violations: readonly Violation[];
  /** What each actor was doing at the end (all `returned` when finished). */
  readonly actors: readonly ActorReport[];
  readonly threads: readonly ThreadInfo[];
  /** By host, as far as they could still tell. */
  readonly hosts: readonly HostStats[];
  /** From the first step until the end was asked for or came, seconds. */
  readonly durationSeconds: number;
  /** How long it then took to come to rest, seconds. */
  readonly finishSeconds: number;
}

/** Which actor sits where, as it is now. */
export interface HostView {
  /** The worker of each actor; -1 = retired. */
  readonly placement: readonly number[];
  /** The most workers that this run can have. */
  readonly capacity: number;
  /** The hosts' knobs. */
  readonly hostOptions: HostOptions;
  /** Whether a worker's thread still runs. */
  isAlive(worker: number): boolean;
  formOf(actor: number): Form;
}

/** A run under way. */
export interface ThreadRun {
  readonly machine: Machine;
  readonly plan: Plan;
  /** One event ring per worker; grows with the number of workers. */
  readonly rings: readonly SharedArrayBuffer[];
  /** The oracle's ledgers by worker. */
  readonly ledgers: readonly (SharedArrayBuffer | null)[];
  /** The workers that host actors. */
  readonly threads: readonly ThreadInfo[];
  readonly hosts: HostView;
  readonly paused: boolean;
  readonly stepping: boolean;
  readonly violations: readonly Violation[];
  /** Resolves when the run is over, whatever ended it. Never rejects. */
  readonly ended: Promise<EndState>;
  /** Resolves when every client has returned by itself, or the run is over. */
  readonly clientsDone: Promise<void>;
  /**
   * Resolves when every client has returned by itself and at most one daemon has not: a race takes two. With the numbers of the actors
   * that are left. Never once the end was asked for.
   */
  readonly scenarioOver: Promise<readonly number[]>;
  /** Milliseconds since the first step. */
  readonly elapsedMs: number;
  /** Called for each violation found from now on. Returns how to stop that. */
  onViolation(listener: (violation: Violation) => void): () => void;
  /** Parks all workers where they are; resolves when they are. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Stops one worker alone; the others go on. A drain or the end of the run wakes it. */
  pauseWorker(worker: number): Promise<void>;
  resumeWorker(worker: number): Promise<void>;
  /** A knob of the kernel (MACHINE_KNOBS), of the hosts, or `<actor>.<param>`. False: nobody knows it. */
  setKnob(name: string, value: number): Promise<boolean>;
  /** Brings all actors to rest, audits (or calls `during`), and lets them go on. Returns what the audit found. */
  drain(during?: (m: Machine) => readonly Violation[]): Promise<readonly Violation[]>;
  stats(): Promise<readonly HostStats[]>;
  /**
   * Brings actors to other workers, also to new ones, at a drain with an audit: they go on there where they stood, with all
   * they hold. A paused run stays paused, at the tops of all loops.
   * @param placement the worker of each actor, as in {@link HostView.placement}
   */
  relocate(placement: readonly number[]): Promise<Relocation>;
  /** {@link relocate} of one actor. */
  move(actor: number, worker: number): Promise<Relocation>;
  /**
   * On: pauses with every actor at the top of its loop, all of them coroutines that a freeze stops at any schedule point.
   * Off: as the placement has it again; the run stays paused.
   */
  stepMode(on: boolean): Promise<Relocation>;
  /** In step mode, while paused: one schedule point of an actor. */
  step(actor: number): Promise<HostStep & { readonly worker: number }>;
  /** Lets an actor return for good, or starts one that has returned. */
  retire(actor: number): Promise<void>;
  spawn(actor: number, worker: number): Promise<void>;
  /** Lets all actors return, audits, and ends the workers. */
  finish(): Promise<EndState>;
  /** Ends the run at once, without audit. */
  abort(why: string): Promise<EndState>;
}

/** {@link ThreadOptions} with every default filled in. */
export interface ResolvedOptions {
  readonly host: HostOptions;
  readonly workers: number;
  readonly placement: readonly number[] | null;
  readonly events: 'off' | 'recorder' | 'lossless' | 'lossy';
  readonly ringRecords: number;
  readonly ledgers: (worker: number) => SharedArrayBuffer | null;
  readonly sharedPins: SharedArrayBuffer | null;
  readonly modules: HostModules;
  /** What workers with one actor run; null = the same as all. */
  readonly blockingModules: HostModules | null;
  readonly audit: Audit;
  readonly watchdog: WatchdogOptions | null;
  readonly rendezvousMs: number;
  readonly workerMemoryMb: number;
}

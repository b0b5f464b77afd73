/**
 * The entry file of a worker thread: a long-lived Piscina task that hosts actors until the run ends.
 *
 * It builds the worker's view of the machine, its one kernel and its one probe (so that calls through them stay
 * monomorphic), a context and a coroutine per actor, and then alternates between slices of the loop (host-loop.ts) and
 * turns of the event loop, in which Comlink calls are answered.
 */
import type { Violation } from '../../oracle/violation.js';
import { threadId } from 'node:worker_threads';
import { ACTOR_EFFECT, ACTOR_STATE, HDR_ABORT, HDR_CONTROL_SEQ, HDR_PHASE, Machine } from '../../machine/layout.js';
import { ringDoorbell } from '../../machine/wait.js';
import { Context, type Kernel, mixSeed, xorshift } from '../../machine/context.js';
import { RingWriter } from '../../events/ring.js';
import {
  type MovedActor,
  type ActorsModule,
  type Form,
  type HostApi,
  type HostModules,
  type HostRefusal,
  type HostResult,
  type HostStats,
  type HostStep,
  type HostTask,
  type KernelModule,
  type Notice,
  type ProbeModule,
  exposeHost,
} from '../threads/control.js';
import { Aborted, BlockingWaiter } from './blocking-waiter.js';
import { leave, stepOnce, unpack } from './actor-moves.js';
import { HostLoop } from './host-loop.js';
import { NoiseMaker, noiseShare } from './noise.js';
import type { ActorSpec } from '../../plan/plan.js';
import { HostedActor, MODE_RETURNED, NOT_STARTED } from './hosted-actor.js';
import {
  ACTOR_ABSENT,
  ACTOR_THREW,
  PARKED_FROZEN,
  PHASE_FREEZE,
  PHASE_RUN,
  phaseKind,
  tierOf,
} from '../machine/phase.js';
import { SLICE_ABORT, SLICE_END, SLICE_FREEZE } from './slice.js';
import { StepTrace } from './step-trace.js';

/** Events that one schedule point may write, counted generously: what a resume may need of a lossless ring. */
const EVENTS_PER_POINT = 2;

/** Noise draws from other sequences than actors do. */
const NOISE_STREAM = 1000;

const immediate = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Microseconds of this worker's clock. */
const clock = (): number => performance.now() * 1000;

/** One form of the kernel and its actors, loaded. */
interface Rooms {
  readonly kernel: Kernel;
  readonly kinds: ActorsModule['ACTOR_KINDS'];
  readonly bindWords: (m: Machine) => void;
  readonly RingWriter: typeof RingWriter;
}

async function loadRooms(task: HostTask, form: Form): Promise<Rooms> {
  const modules: HostModules = task.modules[form];
  const [kernels, actors] = await Promise.all([
    import(modules.kernel) as Promise<KernelModule>,
    import(modules.actors) as Promise<ActorsModule>,
  ]);
  return {
    kernel: kernels.resolveKernel(task.plan.kernel),
    kinds: actors.ACTOR_KINDS,
    bindWords: kernels.bindWords ?? (() => {}),
    RingWriter: kernels.RingWriter ?? RingWriter,
  };
}

class Host implements HostApi {
  readonly #task: HostTask;
  readonly #m: Machine;
  readonly #rooms = new Map<Form, Rooms>();
  readonly #probe: ReturnType<ProbeModule['createProbe']>;
  readonly #ring: RingWriter;
  readonly #loop: HostLoop;
  readonly #waiter: BlockingWaiter;
  readonly #retiring = new Map<number, () => void>();
  readonly #traces = new Map<HostedActor, StepTrace>();
  /** The one actor that runs the blocking form, if any. */
  #blocking: HostedActor | null = null;
  /** Files under way: the worker must not sleep. */
  #loading = 0;
  #failure: { readonly error: unknown } | null = null;
  #violationsTold = 0;
  #slices = 0;
  #paused = false;

  constructor(task: HostTask, rooms: Rooms, probes: ProbeModule) {
    this.#task = task;
    this.#m = new Machine(task.plan.machine, task.machine, task.memory);
    this.#settle(task.form, rooms);
    this.#probe = probes.createProbe(this.#m, task.plan, 'threads', task.ledgers, task.sharedPins);
    this.#ring = new rooms.RingWriter(task.ring, task.lossy, task.recorder);
    const lossless = this.#ring.active && !task.lossy && !task.recorder;
    const reserve = lossless
      ? Math.max(1, Math.min(EVENTS_PER_POINT * task.options.quantum, this.#ring.room() >> 1))
      : 0;
    this.#loop = new HostLoop(this.#m, task.worker, task.workers, this.#ring, reserve, task.options, clock, {
      beforeDrained: () => this.#tellViolations(),
      returned: (actor) => this.#returned(actor),
    });
    this.#waiter = new BlockingWaiter(this.#m, task.worker, this.#loop, this.#ring, reserve, task.options.timeouts);
    for (const actor of task.actors) this.#admit(actor, task.form, null);
    exposeHost(this, task.control);
  }

  start(): { readonly threadId: number } {
    return { threadId };
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  setKnob(name: string, value: number): boolean {
    if (name === 'quantum') this.#loop.quantum = value;
    else if (name === 'slice_us') this.#loop.sliceMicros = value;
    else if (name === 'spin_turns') this.#loop.spinTurns = value;
    else {
      const dot = name.lastIndexOf('.');
      const spec = this.#task.plan.actors.find((candidate) => candidate.name === name.slice(0, Math.max(0, dot)));
      const param = name.slice(dot + 1);
      if (spec === undefined || !Object.hasOwn(spec.params, param)) return false;
      // this worker's own copy of the plan: actors read their rates at the top of their loops
      (spec.params as Record<string, number>)[param] = value;
    }
    return true;
  }

  stats(): HostStats {
    return {
      worker: this.#task.worker,
      threadId,
      actors: this.#loop.actors.map((a) => a.actor),
      slices: this.#slices,
      resumes: this.#loop.resumes,
      sleeps: this.#loop.sleeps,
      ringWaits: this.#loop.ringWaits,
    };
  }

  async prepare(form: Form): Promise<void> {
    if (this.#rooms.has(form)) return;
    this.#loading++;
    try {
      this.#settle(form, await loadRooms(this.#task, form));
    } finally {
      this.#loading--;
    }
  }

  spawn(actor: number, form: Form, moved: MovedActor | null): void {
    const alive = this.#loop.actors.filter((a) => a.mode !== MODE_RETURNED);
    if (alive.some((a) => a.actor === actor)) throw new Error(`actor ${actor} is here already`);
    if (alive.length > 0 && (form === 'blocking' || this.#blocking !== null)) {
      throw new Error(`worker ${this.#task.worker}: an actor in the blocking form is alone on its worker`);
    }
    for (const a of this.#loop.actors) if (a.actor === actor) this.#loop.remove(a);
    this.#admit(actor, form, moved);
  }

  leave(actor: number): MovedActor {
    const hosted = this.#hosted(actor);
    const moved = this.#guarded(() => leave(this.#loop, hosted, clock()));
    if (!moved.returned) this.#m.words[hosted.ctx.recordAt + ACTOR_STATE] = ACTOR_ABSENT;
    if (this.#blocking === hosted) this.#blocking = null;
    this.#traces.delete(hosted);
    return moved;
  }

  retire(actor: number): Promise<void> {
    const hosted = this.#hosted(actor);
    if (hosted.mode === MODE_RETURNED) {
      this.#loop.remove(hosted);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#retiring.set(actor, resolve);
      this.#loop.retire(hosted);
    });
  }

  step(actor: number): HostStep {
    const hosted = this.#hosted(actor);
    this.#loop.applyPhase();
    if (phaseKind(this.#phaseWord()) !== PHASE_FREEZE) throw new Error('a step needs a freeze');
    if (this.#blocking === hosted) throw new Error(`actor ${actor} runs the blocking form, which has no steps`);
    const effectAt = hosted.ctx.recordAt + ACTOR_EFFECT;
    const before = hosted.kind === NOT_STARTED ? -1 : (this.#m.words[effectAt] as number);
    let trace = this.#traces.get(hosted);
    if (trace === undefined) this.#traces.set(hosted, (trace = new StepTrace(hosted.ctx)));
    const written = this.#ring.written;
    const moved = this.#guarded(() => stepOnce(this.#loop, hosted));
    const over = hosted.mode === MODE_RETURNED;
    const after = over || hosted.kind === NOT_STARTED ? -1 : (this.#m.words[effectAt] as number);
    this.#loop.clocks.publish();
    this.#tellViolations();
    const stack = over ? [] : trace.stack(hosted.kind);
    return { moved, before, after, stack, written: this.#ring.written - written };
  }

  /** Runs until the end of the run. Throws what an actor throws. */
  async run(): Promise<HostResult> {
    for (;;) {
      await this.#park(() => this.#paused && phaseKind(this.#phaseWord()) === PHASE_RUN);
      if (this.#loading > 0) this.#loop.wantTurn();
      const why = this.#slice();
      this.#slices++;
      if (why === SLICE_END || why === SLICE_ABORT) break;
      this.#loop.clocks.publish();
      this.#tellViolations();
      await this.#turn();
      if (why === SLICE_FREEZE) await this.#park(() => phaseKind(this.#phaseWord()) === PHASE_FREEZE);
    }
    this.#ring.close();
    return { violations: this.#probe.violations, stats: this.stats() };
  }

  #settle(form: Form, rooms: Rooms): void {
    rooms.bindWords(this.#m);
    this.#rooms.set(form, rooms);
  }

  #slice(): number {
    try {
      return this.#loop.slice();
    } catch (error) {
      if (error instanceof Aborted) return SLICE_ABORT;
      throw error;
    }
  }

  /** After an actor has thrown: leaves its mark and stops everybody, since its locks stay held. */
  threw(error: unknown): void {
    const hosted = this.#loop.current;
    this.#ring.close();
    if (hosted !== null) {
      this.#m.words[hosted.ctx.recordAt + ACTOR_STATE] = ACTOR_THREW;
      this.#tell({
        type: 'threw',
        worker: this.#task.worker,
        actor: hosted.actor,
        error: error instanceof Error ? (error.stack ?? String(error)) : String(error),
      });
    }
    Atomics.store(this.#m.words, HDR_ABORT, 1);
    for (let worker = 0; worker < this.#task.workers; worker++) ringDoorbell(this.#m, worker);
  }

  /** Gives the actor its context and coroutine. */
  #admit(actor: number, form: Form, moved: MovedActor | null): void {
    const { plan } = this.#task;
    const rooms = this.#rooms.get(form);
    if (rooms === undefined) throw new Error(`worker ${this.#task.worker} has not loaded the ${form} form`);
    const spec = plan.actors[actor];
    if (spec === undefined) throw new RangeError(`actor ${actor}: the plan has ${plan.actors.length}`);
    const kind = Object.hasOwn(rooms.kinds, spec.kind) ? rooms.kinds[spec.kind] : undefined;
    if (kind === undefined) throw new RangeError(`actor ${spec.name}: unknown kind ${JSON.stringify(spec.kind)}`);
    const ctx = new Context(this.#m, rooms.kernel, this.#probe, this.#ring, actor, spec.node, plan.seed, clock);
    ctx.queues = true;
    const hosted = new HostedActor(actor, tierOf(spec), ctx, kind(ctx, spec, plan), this.#noiseFor(actor, spec));
    if (moved !== null) unpack(hosted, moved, clock());
    if (form === 'blocking') {
      ctx.waiter = this.#waiter;
      const clients = plan.actors.flatMap((each, index) => (tierOf(each) === 0 ? [index] : []));
      this.#waiter.serve(hosted, clients);
      this.#blocking = hosted;
    }
    this.#loop.add(hosted);
  }

  #noiseFor(actor: number, spec: ActorSpec): NoiseMaker | null {
    const { plan, options } = this.#task;
    if (options.noise === 0) return null;
    let state = mixSeed(plan.seed, NOISE_STREAM + actor);
    return new NoiseMaker(noiseShare(options.noise, tierOf(spec)), () => (state = xorshift(state)) >>> 0, clock());
  }

  #hosted(actor: number): HostedActor {
    const hosted = this.#loop.actors.find((a) => a.actor === actor);
    if (hosted === undefined) throw new Error(`actor ${actor} is not on worker ${this.#task.worker}`);
    return hosted;
  }

  /** What an actor throws ends the run, also when it is resumed outside of a slice. */
  #guarded<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      this.#failure = { error };
      this.#loop.wantTurn();
      throw error;
    }
  }

  #returned(hosted: HostedActor): void {
    if (hosted.ctx.leaving) return;
    const retired = this.#retiring.get(hosted.actor);
    if (retired === undefined) {
      this.#tell({ type: 'returned', worker: this.#task.worker, actor: hosted.actor });
      return;
    }
    this.#retiring.delete(hosted.actor);
    if (this.#blocking === hosted) this.#blocking = null;
    // not from inside the loop over the actors
    this.#loop.wantTurn();
    setImmediate(() => {
      this.#loop.remove(hosted);
      retired();
    });
  }

  #tellViolations(): void {
    const { violations } = this.#probe;
    for (; this.#violationsTold < violations.length; this.#violationsTold++) {
      const violation = violations[this.#violationsTold] as Violation;
      this.#tell({ type: 'violation', worker: this.#task.worker, index: this.#violationsTold, violation });
    }
  }

  #tell(notice: Notice): void {
    // oxlint-disable-next-line require-post-message-target-origin -- a port, not a window
    this.#task.notices.postMessage(notice);
  }

  #phaseWord(): number {
    return Atomics.load(this.#m.words, HDR_PHASE);
  }

  /**
   * One whole turn of the event loop: control calls are answered, violations leave. The first immediate may come in the
   * turn under way, after its look at the message ports; between it and the second one stands a whole look.
   */
  async #turn(): Promise<void> {
    this.#loop.controlSeen = Atomics.load(this.#m.words, HDR_CONTROL_SEQ);
    await immediate();
    await immediate();
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Stands still while `frozen()`; control calls are answered. */
  async #park(frozen: () => boolean): Promise<void> {
    for (;;) {
      const sample = this.#loop.doorbell.sample();
      if (!frozen() || Atomics.load(this.#m.words, HDR_ABORT) !== 0) return;
      if (this.#loading === 0 && Atomics.load(this.#m.words, HDR_CONTROL_SEQ) === this.#loop.controlSeen) {
        this.#loop.park(sample, PARKED_FROZEN, Infinity);
      }
      await this.#turn();
    }
  }
}

async function setUp(task: HostTask): Promise<Host | HostRefusal> {
  try {
    const [rooms, probes] = await Promise.all([
      loadRooms(task, task.form),
      import(task.modules[task.form].probe) as Promise<ProbeModule>,
    ]);
    return new Host(task, rooms, probes);
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) };
  }
}

/** Piscina's task. */
export default async function host(task: HostTask): Promise<HostResult | HostRefusal> {
  const hosted = await setUp(task);
  if ('refused' in hosted) return hosted;
  try {
    return await hosted.run();
  } catch (error) {
    hosted.threw(error);
    throw error;
  } finally {
    task.control.close();
    task.notices.close();
  }
}

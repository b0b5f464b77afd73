/** A run on real threads, as the main thread conducts it. See threads.ts for what it promises. */
import { Piscina } from 'piscina';
import { HDR_ABORT, type Machine, WORKER_CURRENT, workerWord } from '../machine/layout.js';
import { ringDoorbell } from '../machine/wait.js';
import { ringBuffer } from '../events/ring.js';
import { type ActorLuggage, type HostStats, type RunViolation, setMachineKnob } from './control.js';
import { HostLink } from './host-link.js';
import { PHASE_END, PHASE_FREEZE, PHASE_RUN, command, resetWords } from './phase.js';
import { actorsByWorker, checkPlacement, placeActors } from './placement.js';
import type { Plan } from './plan.js';
import { Rendezvous, sleepMs } from './rendezvous.js';
import { actorReport, actorReports, describeActor } from './report-state.js';
import type { Death, EndState, ResolvedOptions, ThreadInfo, ThreadRun } from './threads.js';
import { type Hang, Watchdog } from './watchdog.js';

/** How long workers may take to stop by themselves when a run ends badly; then their threads are ended. */
const STOP_MS = 300;
/** How long they may take to return when all is done. */
const END_MS = 5000;

/** How long the cause of an abort may take to arrive after its effects. */
const LAST_WORDS_MS = 300;

export class ThreadedRun implements ThreadRun {
  readonly machine: Machine;
  readonly plan: Plan;
  readonly rings: readonly SharedArrayBuffer[];
  readonly ledgers: readonly (SharedArrayBuffer | null)[];
  readonly violations: RunViolation[] = [];
  readonly ended: Promise<EndState>;
  readonly clientsDone: Promise<void>;

  readonly #options: ResolvedOptions;
  readonly #placement: number[];
  readonly #workers: number;
  readonly #pool: Piscina;
  readonly #hosts: HostLink[] = [];
  readonly #rendezvous: Rendezvous;
  readonly #listeners = new Set<(violation: RunViolation) => void>();
  readonly #returned = new Set<number>();
  readonly #watchdog: Watchdog | null;
  #watchTimer: NodeJS.Timeout | undefined;
  #watching = false;
  #paused = false;
  #started = false;
  #startedAt = 0;
  #askedAt = 0;
  /** Set by the first thing that ends the run. */
  #ending = false;
  #finishing: Promise<EndState> | null = null;
  /** Commands run one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #resolveEnded!: (end: EndState) => void;
  #resolveClients!: () => void;

  constructor(plan: Plan, machine: Machine, options: ResolvedOptions) {
    this.plan = plan;
    this.machine = machine;
    this.#options = options;
    if (plan.actors.length === 0) throw new RangeError('a run needs at least one actor');
    if (options.placement !== null) checkPlacement(plan.actors, options.placement);
    this.#placement = [...(options.placement ?? placeActors(plan.actors, options.workers))];
    this.#workers = Math.max(...this.#placement) + 1;
    this.rings = Array.from({ length: this.#workers }, () =>
      ringBuffer(options.events === 'off' ? 0 : options.ringRecords),
    );
    this.ledgers = this.rings.map((_, worker) => options.ledgers(worker));
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.clientsDone = new Promise((resolve) => (this.#resolveClients = resolve));
    this.#rendezvous = new Rendezvous(machine, plan, this.#workers, options.rendezvousMs, () => this.#ending);
    this.#watchdog = options.watchdog === null ? null : new Watchdog(machine, plan, this.#workers, options.watchdog);
    resetWords(machine, this.#placement);
    this.#pool = new Piscina({
      filename: new URL('./worker.js', import.meta.url).href,
      minThreads: this.#workers,
      maxThreads: this.#workers,
      idleTimeout: Infinity,
      atomics: 'disabled',
      ...(options.workerMemoryMb > 0 && { resourceLimits: { maxOldGenerationSizeMb: options.workerMemoryMb } }),
    });
    this.#pool.on('error', () => {});
  }

  /** Sets all workers up, and lets them go. */
  async start(): Promise<void> {
    command(this.machine, this.#workers, PHASE_FREEZE);
    actorsByWorker(this.#placement).forEach((actors, worker) => this.#hosts.push(this.#launch(worker, actors)));
    try {
      for (const host of this.#hosts) host.threadId = (await host.call((api) => api.start())).threadId;
    } catch (error) {
      this.#ending = true;
      await this.#pool.destroy();
      throw error;
    }
    this.#started = true;
    this.#startedAt = performance.now();
    command(this.machine, this.#workers, PHASE_RUN);
    this.#watch(true);
    if (this.#watchdog !== null) {
      const { periodMs } = this.#options.watchdog ?? { periodMs: 100 };
      this.#watchTimer = setInterval(() => this.#look(), periodMs);
      this.#watchTimer.unref();
    }
  }

  get threads(): readonly ThreadInfo[] {
    const names = (worker: number): string[] =>
      this.plan.actors.flatMap((spec, actor) => (this.#placement[actor] === worker ? [spec.name] : []));
    return this.#hosts.map(({ worker, threadId }) => ({ worker, threadId, actors: names(worker) }));
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  onViolation(listener: (violation: RunViolation) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  pause(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#paused) return;
      this.#watch(false);
      const hang = await this.#rendezvous.freeze();
      if (hang !== null) await this.#hang(hang);
      this.#paused = true;
    });
  }

  resume(): Promise<void> {
    return this.#enqueue(async () => {
      this.#paused = false;
      this.#go();
    });
  }

  pauseWorker(worker: number): Promise<void> {
    return this.#hostAt(worker).call((api) => api.pause());
  }

  resumeWorker(worker: number): Promise<void> {
    return this.#hostAt(worker).call((api) => api.resume());
  }

  async setKnob(name: string, value: number): Promise<boolean> {
    if (setMachineKnob(this.machine, name, value)) return true;
    const known = await Promise.all(this.#hosts.map((host) => host.call((api) => api.setKnob(name, value))));
    return known.includes(true);
  }

  drain(during?: (m: Machine) => readonly RunViolation[]): Promise<readonly RunViolation[]> {
    return this.#enqueue(() => this.#drained(async () => during?.(this.machine) ?? this.#audit('drain')));
  }

  stats(): Promise<readonly HostStats[]> {
    return Promise.all(this.#hosts.map((host) => host.call((api) => api.stats())));
  }

  move(actor: number, worker: number): Promise<void> {
    return this.#enqueue(async () => {
      const from = this.#hostAt(this.#placement[actor] ?? -1);
      const to = this.#hostAt(worker);
      const luggage = await this.#returnOf(actor, from);
      await to.call((api) => api.spawn(actor, luggage));
      this.#placement[actor] = worker;
    });
  }

  retire(actor: number): Promise<void> {
    return this.#enqueue(async () => {
      const host = this.#hostAt(this.#placement[actor] ?? -1);
      await this.#returnOf(actor, host);
      this.#placement[actor] = -1;
      this.#actorReturned(actor);
    });
  }

  spawn(actor: number, worker: number): Promise<void> {
    return this.#enqueue(async () => {
      if ((this.#placement[actor] ?? 0) >= 0) throw new RangeError(`actor ${actor} was not retired`);
      await this.#hostAt(worker).call((api) => api.spawn(actor, null));
      this.#returned.delete(actor);
      this.#placement[actor] = worker;
    });
  }

  finish(): Promise<EndState> {
    this.#finishing ??= this.#enqueue(async () => {
      if (this.#ending) return this.ended;
      this.#askedAt = performance.now();
      this.#watch(true);
      const hang = await this.#rendezvous.finish();
      if (hang !== null) return this.#hang(hang);
      if (this.#ending) return this.ended;
      this.#ending = true;
      command(this.machine, this.#workers, PHASE_END);
      await Promise.race([Promise.all(this.#hosts.map((host) => host.done)), sleepMs(END_MS)]);
      return this.#end(this.#lastLook());
    });
    return this.#finishing;
  }

  abort(why: string): Promise<EndState> {
    if (!this.#ending) void this.#endBadly({ kind: 'aborted', text: why, hang: null, death: null });
    return this.ended;
  }

  /** The last audit, with all workers gone. */
  #lastLook(): Pick<EndState, 'kind' | 'text' | 'hang' | 'death'> {
    try {
      for (const host of this.#hosts) host.collect();
      for (const violation of this.#audit('end')) this.#violation(violation);
      return { kind: 'finished', text: 'finished', hang: null, death: null };
    } catch (error) {
      return { kind: 'aborted', text: `the last audit failed: ${String(error)}`, hang: null, death: null };
    }
  }

  #audit(where: 'drain' | 'end'): readonly RunViolation[] {
    return this.#options.audit(this.machine, this.plan, where, this.ledgers);
  }

  #launch(worker: number, actors: readonly number[]): HostLink {
    const { host: options, events, blockingModules } = this.#options;
    const blocking = blockingModules !== null && actors.length === 1;
    const task = {
      plan: this.plan,
      machine: this.machine.buffer,
      worker,
      workers: this.#workers,
      actors,
      ring: this.rings[worker] as SharedArrayBuffer,
      lossy: events === 'lossy',
      recorder: events === 'recorder',
      ledgers: this.ledgers[worker] ?? null,
      sharedPins: this.#options.sharedPins,
      options,
      modules: blocking ? blockingModules : this.#options.modules,
      blocking,
    };
    return new HostLink(this.machine, this.#pool, task, {
      violation: (violation) => this.#violation(violation),
      returned: (actor) => this.#actorReturned(actor),
      ended: () => void this.#stopped(),
      failed: (host, error) => void this.#died(host, error),
    });
  }

  /** A worker has ended unasked. One that dies makes the others end, and their word may come before its own. */
  async #stopped(): Promise<void> {
    if (!this.#ending) await sleepMs(LAST_WORDS_MS);
    if (this.#ending) return;
    const text = 'a worker stopped: the run was aborted from inside';
    await this.#endBadly({ kind: 'aborted', text, hang: null, death: null });
  }

  async #died(host: HostLink, error: Error): Promise<void> {
    if (this.#ending || !this.#started) return;
    this.#ending = true;
    const current = (this.machine.words[workerWord(this.machine, host.worker, WORKER_CURRENT)] as number) - 1;
    this.#stopAll();
    // its last words may still be under way
    await sleepMs(20);
    const actor = current >= 0 ? actorReport(this.machine, this.plan, current) : null;
    const { worker, threadId } = host;
    const death: Death = { worker, threadId, actor, error: host.lastWords ?? `${error.name}: ${error.message}` };
    const who = actor === null ? 'no actor was running' : describeActor(actor);
    const text = `worker ${worker} died: ${firstLine(death.error)}; ${who}`;
    await this.#endBadly({ kind: 'worker-died', text, hang: null, death });
  }

  #actorReturned(actor: number): void {
    this.#returned.add(actor);
    if (this.plan.actors.every((spec, index) => spec.tier !== 'client' || this.#returned.has(index)))
      this.#resolveClients();
  }

  #violation(violation: RunViolation): void {
    this.violations.push(violation);
    for (const listener of this.#listeners) listener(violation);
  }

  #hostAt(worker: number): HostLink {
    const host = this.#hosts[worker];
    if (host === undefined) throw new RangeError(`worker ${worker}: there are ${this.#workers}`);
    return host;
  }

  #enqueue<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(job);
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Lets actors go on, unless the run is paused or over. */
  #go(): void {
    if (this.#ending) return;
    command(this.machine, this.#workers, this.#paused ? PHASE_FREEZE : PHASE_RUN);
    this.#watch(!this.#paused);
  }

  async #drained(audit: () => Promise<readonly RunViolation[]>): Promise<readonly RunViolation[]> {
    this.#watch(true);
    const hang = await this.#rendezvous.drain();
    if (hang !== null) await this.#hang(hang);
    if (this.#ending) return [];
    this.#watch(false);
    try {
      const found = await audit();
      for (const violation of found) this.#violation(violation);
      return found;
    } finally {
      this.#go();
    }
  }

  /** Retires an actor: it is told at a drain, so that it returns from its idle point, and returns when actors run again. */
  async #returnOf(actor: number, host: HostLink): Promise<ActorLuggage> {
    let luggage: Promise<ActorLuggage> | null = null;
    await this.#drained(async () => {
      luggage = host.call((api) => api.retire(actor));
      luggage.catch(() => {});
      // answered after it: the host has heard
      await host.call((api) => api.stats());
      return [];
    });
    if (luggage === null) throw new Error('the run has ended');
    return luggage;
  }

  #watch(on: boolean): void {
    if (on && !this.#watching) this.#watchdog?.reset();
    this.#watching = on;
  }

  #look(): void {
    if (!this.#watching || this.#ending) return;
    const hang = this.#watchdog?.look() ?? null;
    if (hang !== null) void this.#hang(hang);
  }

  #hang(hang: Hang): Promise<EndState> {
    if (this.#ending) return this.ended;
    return this.#endBadly({ kind: 'hang', text: hang.text, hang, death: null });
  }

  #stopAll(): void {
    Atomics.store(this.machine.words, HDR_ABORT, 1);
    for (let worker = 0; worker < this.#workers; worker++) ringDoorbell(this.machine, worker);
  }

  /** The state of the machine is of no more use: looks at who did what, then stops everybody. */
  async #endBadly(how: Pick<EndState, 'kind' | 'text' | 'hang' | 'death'>): Promise<EndState> {
    this.#ending = true;
    const actors = actorReports(this.machine, this.plan);
    this.#stopAll();
    await Promise.race([Promise.all(this.#hosts.map((host) => host.done)), sleepMs(STOP_MS)]);
    for (const host of this.#hosts) host.collect();
    return this.#end(how, actors);
  }

  async #end(
    how: Pick<EndState, 'kind' | 'text' | 'hang' | 'death'>,
    actors = actorReports(this.machine, this.plan),
  ): Promise<EndState> {
    clearInterval(this.#watchTimer);
    const now = performance.now();
    const asked = this.#askedAt === 0 ? now : this.#askedAt;
    const { threads } = this;
    await this.#pool.destroy();
    this.#resolveEnded({
      ...how,
      violations: this.violations,
      actors,
      threads,
      hosts: this.#hosts.flatMap((host) => host.result?.stats ?? []),
      durationSeconds: (asked - this.#startedAt) / 1000,
      finishSeconds: (now - asked) / 1000,
    });
    this.#resolveClients();
    return this.ended;
  }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] as string;

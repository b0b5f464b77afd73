/** A run on real threads, as the main thread conducts it. See threads.ts for what it promises. */
import { HDR_ABORT, type Machine, WORKER_CURRENT, workerWord } from '../machine/layout.js';
import { ringDoorbell } from '../machine/wait.js';
import { type HostStats, type HostStep, type RunViolation, setMachineKnob } from './control.js';
import type { HostLink } from './host-link.js';
import { HostSet } from './host-set.js';
import { PHASE_END, PHASE_FREEZE, PHASE_RUN, command, resetWords } from './phase.js';
import type { Plan } from './plan.js';
import { Rendezvous, sleepMs, within } from './rendezvous.js';
import { actorReport, actorReports, describeActor } from './report-state.js';
import type { Death, EndState, HostView, Relocation, ResolvedOptions, ThreadInfo, ThreadRun } from './threads.js';
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
  readonly violations: RunViolation[] = [];
  readonly ended: Promise<EndState>;
  readonly clientsDone: Promise<void>;
  readonly scenarioOver: Promise<readonly number[]>;

  readonly #options: ResolvedOptions;
  readonly #set: HostSet;
  readonly #rendezvous: Rendezvous;
  readonly #listeners = new Set<(violation: RunViolation) => void>();
  readonly #returned = new Set<number>();
  readonly #watchdog: Watchdog | null;
  #watchTimer: NodeJS.Timeout | undefined;
  #watching = false;
  #paused = false;
  #stepping = false;
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
  #resolveOver!: (left: readonly number[]) => void;

  constructor(plan: Plan, machine: Machine, options: ResolvedOptions) {
    // its own copy: knobs change parameters
    this.plan = { ...plan, actors: plan.actors.map((spec) => ({ ...spec, params: { ...spec.params } })) };
    this.machine = machine;
    this.#options = options;
    if (plan.actors.length === 0) throw new RangeError('a run needs at least one actor');
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.clientsDone = new Promise((resolve) => (this.#resolveClients = resolve));
    this.scenarioOver = new Promise((resolve) => (this.#resolveOver = resolve));
    this.#set = new HostSet(this.plan, machine, options, {
      violation: (violation) => this.#violation(violation),
      returned: (actor) => this.#actorReturned(actor),
      ended: () => void this.#stopped(),
      failed: (host, error) => void this.#died(host, error),
    });
    const workers = (): number => this.#set.count;
    this.#rendezvous = new Rendezvous(machine, this.plan, workers, options.rendezvousMs, () => this.#ending);
    this.#watchdog = options.watchdog === null ? null : new Watchdog(machine, this.plan, workers, options.watchdog);
    resetWords(machine, this.#set.placement);
  }

  /** Sets all workers up, and lets them go. */
  async start(): Promise<void> {
    command(this.machine, this.#set.capacity, PHASE_FREEZE);
    try {
      await this.#set.start();
    } catch (error) {
      this.#ending = true;
      await this.#set.destroy();
      throw error;
    }
    this.#started = true;
    this.#startedAt = performance.now();
    command(this.machine, this.#set.capacity, PHASE_RUN);
    this.#watch(true);
    if (this.#watchdog !== null) {
      const { periodMs } = this.#options.watchdog ?? { periodMs: 100 };
      this.#watchTimer = setInterval(() => this.#look(), periodMs);
      this.#watchTimer.unref();
    }
  }

  get rings(): readonly SharedArrayBuffer[] {
    return this.#set.rings;
  }

  get ledgers(): readonly (SharedArrayBuffer | null)[] {
    return this.#set.ledgers;
  }

  get threads(): readonly ThreadInfo[] {
    return this.#set.threads;
  }

  get hosts(): HostView {
    return this.#set;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get stepping(): boolean {
    return this.#stepping;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  onViolation(listener: (violation: RunViolation) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  pause(): Promise<void> {
    return this.#enqueue(() => this.#freeze());
  }

  resume(): Promise<void> {
    return this.#enqueue(async () => {
      this.#paused = false;
      this.#go();
    });
  }

  pauseWorker(worker: number): Promise<void> {
    return this.#set.at(worker).call((api) => api.pause());
  }

  resumeWorker(worker: number): Promise<void> {
    return this.#set.at(worker).call((api) => api.resume());
  }

  async setKnob(name: string, value: number): Promise<boolean> {
    return setMachineKnob(this.machine, name, value) || this.#set.setKnob(name, value, this.#paused);
  }

  drain(during?: (m: Machine) => readonly RunViolation[]): Promise<readonly RunViolation[]> {
    return this.#enqueue(() => this.#drained(async () => during?.(this.machine) ?? this.#audit('drain')));
  }

  stats(): Promise<readonly HostStats[]> {
    return Promise.all(this.#set.hosts.map((host) => host.call((api) => api.stats())));
  }

  relocate(placement: readonly number[]): Promise<Relocation> {
    return this.#enqueue(() => this.#relocate(placement, this.#stepping));
  }

  move(actor: number, worker: number): Promise<Relocation> {
    return this.#enqueue(() => this.#relocate(this.#set.placement.with(actor, worker), this.#stepping));
  }

  stepMode(on: boolean): Promise<Relocation> {
    return this.#enqueue(async () => {
      if (on === this.#stepping) {
        await this.#freeze();
        return { moved: [], violations: [] };
      }
      const relocation = await this.#relocate(this.#set.placement, on, !on);
      this.#stepping = on;
      return relocation;
    });
  }

  step(actor: number): Promise<HostStep & { readonly worker: number }> {
    return this.#enqueue(async () => {
      if (!this.#paused || !this.#stepping) throw new Error('a step needs step mode, paused');
      const host = this.#set.hostOf(actor);
      return { ...(await host.call((api) => api.step(actor))), worker: host.worker };
    });
  }

  retire(actor: number): Promise<void> {
    return this.#enqueue(async () => {
      await this.#returnOf(actor, this.#set.hostOf(actor));
      this.#set.placement[actor] = -1;
      this.#actorReturned(actor);
    });
  }

  spawn(actor: number, worker: number): Promise<void> {
    return this.#enqueue(async () => {
      if ((this.#set.placement[actor] ?? 0) >= 0) throw new RangeError(`actor ${actor} was not retired`);
      this.#returned.delete(actor);
      await this.#relocate(this.#set.placement.with(actor, worker), this.#stepping);
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
      command(this.machine, this.#set.capacity, PHASE_END);
      await within(END_MS, this.#set.done);
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
      for (const host of this.#set.hosts) host.collect();
      for (const violation of this.#audit('end')) this.#violation(violation);
      return { kind: 'finished', text: 'finished', hang: null, death: null };
    } catch (error) {
      return { kind: 'aborted', text: `the last audit failed: ${String(error)}`, hang: null, death: null };
    }
  }

  #audit(where: 'drain' | 'move' | 'end'): readonly RunViolation[] {
    return this.#options.audit(this.machine, this.plan, where, this.ledgers);
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
    const left = this.plan.actors.flatMap(({ tier }, index) =>
      tier === 'server' || this.#returned.has(index) ? [] : [index],
    );
    if (left.some((index) => this.plan.actors[index]?.tier === 'client')) return;
    this.#resolveClients();
    // once the end is asked for, everybody returns
    if (this.#askedAt === 0 && left.length <= 1) this.#resolveOver(left);
  }

  #violation(violation: RunViolation): void {
    this.violations.push(violation);
    for (const listener of this.#listeners) listener(violation);
  }

  #enqueue<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(job);
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Lets actors go on, unless the run is paused or over. */
  #go(): void {
    if (this.#ending) return;
    command(this.machine, this.#set.capacity, this.#paused ? PHASE_FREEZE : PHASE_RUN);
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

  async #freeze(): Promise<void> {
    if (this.#paused) return;
    this.#watch(false);
    const hang = await this.#rendezvous.freeze();
    if (hang !== null) await this.#hang(hang);
    this.#paused = true;
  }

  async #relocate(placement: readonly number[], stepping: boolean, all = false): Promise<Relocation> {
    if (this.#ending) throw new Error('the run has ended');
    this.#set.check(placement);
    // an actor in the blocking form that is frozen in the middle of an operation answers no call before a drain
    const frozen = this.#paused;
    if (!frozen) await this.#set.makeReady(placement, stepping);
    let moved: readonly number[] = [];
    const violations = await this.#drained(async () => {
      if (frozen) await this.#set.makeReady(placement, stepping);
      moved = await this.#set.relocate(placement, stepping, all);
      // for step mode, also after it
      if (stepping !== this.#stepping) this.#paused = true;
      return this.#audit('move');
    });
    // parked again, each at the top of its loop
    if (this.#paused && !this.#ending) await this.#rendezvous.freeze();
    return { moved, violations };
  }

  /** Retires an actor: it is told at a drain, so that it returns from its idle point, and returns when actors run again. */
  async #returnOf(actor: number, host: HostLink): Promise<void> {
    let over: Promise<void> | null = null;
    await this.#drained(async () => {
      over = host.call((api) => api.retire(actor));
      over.catch(() => {});
      // answered after it: the host has heard
      await host.call((api) => api.stats());
      return [];
    });
    if (over === null) throw new Error('the run has ended');
    return over;
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
    for (let worker = 0; worker < this.#set.capacity; worker++) ringDoorbell(this.machine, worker);
  }

  /** The state of the machine is of no more use: looks at who did what, then stops everybody. */
  async #endBadly(how: Pick<EndState, 'kind' | 'text' | 'hang' | 'death'>): Promise<EndState> {
    this.#ending = true;
    const actors = actorReports(this.machine, this.plan);
    this.#stopAll();
    await within(STOP_MS, this.#set.done);
    for (const host of this.#set.hosts) host.collect();
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
    await this.#set.destroy();
    this.#resolveEnded({
      ...how,
      violations: this.violations,
      actors,
      threads,
      hosts: this.#set.hosts.flatMap((host) => host.result?.stats ?? []),
      durationSeconds: (asked - this.#startedAt) / 1000,
      finishSeconds: (now - asked) / 1000,
    });
    this.#resolveClients();
    return this.ended;
  }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] as string;

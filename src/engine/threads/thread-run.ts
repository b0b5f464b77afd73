/** A run on real threads, as the main thread conducts it. See threads.ts for what it promises. */
import type { Machine } from '../../machine/layout.js';
import type { Violation } from '../../oracle/violation.js';
import { type HostStats, type HostStep, setMachineKnob } from './control.js';
import type { HostLink } from './host-link.js';
import { HostSet } from './host-set.js';
import { PHASE_END, PHASE_FREEZE, PHASE_RUN, abortAll, command, resetWords } from '../machine/phase.js';
import type { Plan } from '../../plan/plan.js';
import { Rendezvous, sleepMs, within } from './rendezvous.js';
import { type HowEnded, deathOf, ofDeath } from './death.js';
import { ReturnedActors } from './returned.js';
import { actorReport, actorReports, runningActor } from '../machine/report-state.js';
import type { Death, EndState, HostView, Relocation, ResolvedOptions, RunPhase, ThreadInfo, ThreadRun } from './run.js';
import { Watch } from './watch.js';
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
  readonly violations: Violation[] = [];
  readonly ended: Promise<EndState>;
  readonly #options: ResolvedOptions;
  readonly #set: HostSet;
  readonly #rendezvous: Rendezvous;
  readonly #listeners = new Set<(violation: Violation) => void>();
  readonly #returned: ReturnedActors;
  readonly #watch: Watch;
  #paused = false;
  #stepping = false;
  #phase: RunPhase = 'start';
  /** What a worker has refused to set up. */
  #refusal: Error | null = null;
  /** A worker that died when all actors had returned. */
  #lateDeath: Death | null = null;
  #startedAt = 0;
  #askedAt = 0;
  /** Set by the first thing that ends the run. */
  #ending = false;
  /** All actors have returned, and their workers may end. */
  #closing = false;
  #finishing: Promise<EndState> | null = null;
  /** Commands run one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #resolveEnded!: (end: EndState) => void;

  constructor(plan: Plan, machine: Machine, options: ResolvedOptions) {
    // its own copy: knobs change parameters
    this.plan = { ...plan, actors: plan.actors.map((spec) => ({ ...spec, params: { ...spec.params } })) };
    this.machine = machine;
    this.#options = options;
    if (plan.actors.length === 0) throw new RangeError('a run needs at least one actor');
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#returned = new ReturnedActors(this.plan);
    this.#set = new HostSet(this.plan, machine, options, {
      violation: (violation) => this.#violation(violation),
      returned: (actor) => this.#returned.add(actor, this.#askedAt !== 0),
      ended: () => void this.#stopped(),
      refused: (error) => (this.#refusal ??= error),
      failed: (host, error) => void this.#died(host, error),
    });
    const workers = (): number => this.#set.count;
    this.#rendezvous = new Rendezvous(machine, this.plan, workers, options.rendezvousMs, () => this.#ending);
    const { watchdog } = options;
    this.#watch = new Watch(
      watchdog === null ? null : new Watchdog(machine, this.plan, workers, watchdog),
      watchdog?.periodMs ?? 0,
      (hang) => void this.#hang(hang),
    );
    resetWords(machine, this.#set.placement);
  }

  /** Sets all workers up, and lets them go. */
  async start(): Promise<void> {
    command(this.machine, this.#set.capacity, PHASE_FREEZE);
    this.#startedAt = performance.now();
    try {
      await this.#set.start();
    } catch (error) {
      if (this.#refusal === null && this.#ending) return void (await this.ended);
      this.#ending = true;
      abortAll(this.machine, this.#set.capacity);
      await within(END_MS, this.#set.done);
      await this.#set.destroy();
      throw this.#refusal ?? error;
    }
    // one that has answered may have died before the last one did
    if (this.#ending) return void (await this.ended);
    this.#phase = 'run';
    this.#startedAt = performance.now();
    command(this.machine, this.#set.capacity, PHASE_RUN);
    this.#watch.turn(true);
    this.#watch.start();
  }

  get rings(): readonly SharedArrayBuffer[] {
    return this.#set.rings;
  }

  get ledgers(): readonly (SharedArrayBuffer | null)[] {
    return this.#set.ledgers;
  }

  get clientsDone(): Promise<void> {
    return this.#returned.clientsDone;
  }

  get scenarioOver(): Promise<readonly number[]> {
    return this.#returned.scenarioOver;
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

  onViolation(listener: (violation: Violation) => void): () => void {
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

  drain(during?: (m: Machine) => readonly Violation[]): Promise<readonly Violation[]> {
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
      this.#returned.add(actor, this.#askedAt !== 0);
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
      this.#phase = 'end';
      this.#watch.turn(true);
      const hang = await this.#rendezvous.finish();
      if (hang !== null) return this.#hang(hang);
      if (this.#ending) return this.ended;
      this.#closing = true;
      command(this.machine, this.#set.capacity, PHASE_END);
      await within(END_MS, this.#set.done);
      this.#ending = true;
      if (this.#lateDeath !== null) return this.#end(ofDeath(this.#lateDeath));
      return this.#end(this.#lastLook());
    });
    return this.#finishing;
  }

  abort(why: string): Promise<EndState> {
    if (!this.#ending) void this.#endBadly({ kind: 'aborted', text: why, hang: null, death: null });
    return this.ended;
  }

  /** The last audit, with all workers gone. */
  #lastLook(): HowEnded {
    try {
      for (const host of this.#set.hosts) host.collect();
      for (const violation of this.#audit('end')) this.#violation(violation);
      return { kind: 'finished', text: 'finished', hang: null, death: null };
    } catch (error) {
      return { kind: 'aborted', text: `the last audit failed: ${String(error)}`, hang: null, death: null };
    }
  }

  #audit(where: 'drain' | 'move' | 'end'): readonly Violation[] {
    return this.#options.audit(this.machine, this.plan, where, this.ledgers);
  }

  /** A worker has ended unasked. One that dies makes the others end, and their word may come before its own. */
  async #stopped(): Promise<void> {
    if (!this.#ending && !this.#closing) await sleepMs(LAST_WORDS_MS);
    if (this.#ending || this.#closing) return;
    const text = 'a worker stopped: the run was aborted from inside';
    await this.#endBadly({ kind: 'aborted', text, hang: null, death: null });
  }

  async #died(host: HostLink, error: Error): Promise<void> {
    if (this.#closing) this.#lateDeath ??= deathOf(host, error, this.#phase, null);
    if (this.#ending || this.#closing) return;
    this.#ending = true;
    const actor = runningActor(this.machine, host.worker);
    abortAll(this.machine, this.#set.capacity);
    // its last words may still be under way
    await sleepMs(20);
    const report = actor < 0 ? null : actorReport(this.machine, this.plan, actor);
    await this.#endBadly(ofDeath(deathOf(host, error, this.#phase, report)));
  }

  #violation(violation: Violation): void {
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
    this.#watch.turn(!this.#paused);
  }

  async #drained(audit: () => Promise<readonly Violation[]>, phase: RunPhase = 'drain'): Promise<readonly Violation[]> {
    this.#phase = phase;
    this.#watch.turn(true);
    const hang = await this.#rendezvous.drain();
    if (hang !== null) await this.#hang(hang);
    if (this.#ending) return [];
    this.#watch.turn(false);
    try {
      const found = await audit();
      for (const violation of found) this.#violation(violation);
      return found;
    } finally {
      this.#phase = 'run';
      this.#go();
    }
  }

  async #freeze(): Promise<void> {
    if (this.#paused) return;
    this.#watch.turn(false);
    const hang = await this.#rendezvous.freeze();
    if (hang !== null) await this.#hang(hang);
    this.#paused = true;
  }

  async #relocate(placement: readonly number[], stepping: boolean, all = false): Promise<Relocation> {
    if (this.#ending) throw new Error(`the run has ended: ${(await this.ended).text}`);
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
    }, 'move');
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

  #hang(hang: Hang): Promise<EndState> {
    if (this.#ending) return this.ended;
    return this.#endBadly({ kind: 'hang', text: hang.text, hang, death: null });
  }

  /** The state of the machine is of no more use: looks at who did what, then stops everybody. */
  async #endBadly(how: HowEnded): Promise<EndState> {
    this.#ending = true;
    const actors = actorReports(this.machine, this.plan);
    abortAll(this.machine, this.#set.capacity);
    // Node aborts the process when a thread is ended while it links its modules: those that are still being set up end by themselves
    await within(this.#phase === 'start' ? END_MS : STOP_MS, this.#set.done);
    for (const host of this.#set.hosts) host.collect();
    return this.#end(how, actors);
  }

  async #end(how: HowEnded, actors = actorReports(this.machine, this.plan)): Promise<EndState> {
    this.#watch.stop();
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
    this.#returned.close();
    return this.ended;
  }
}

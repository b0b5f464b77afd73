/**
 * The hosts of a run: which actor sits on which worker, in which form, and how that changes while the run goes on.
 *
 * Actors change workers at a drain. Everybody stands at the top of its loop; those that move leave behind what their loops
 * have to know, are started on their new workers, and the audit looks at the whole before anybody runs: so nothing
 * happens between the two workers that could be lost. A worker with one actor runs it in the blocking form; before a
 * second one comes, it changes its form by the same way, in place. Workers without actors sleep until the run ends.
 */
import { Piscina } from 'piscina';
import { WORKERS_MAX, type Machine } from '../../machine/layout.js';
import { ringBuffer } from '../../events/ring.js';
import type { MovedActor, Form, HostOptions } from './control.js';
import { type HostEvents, HostLink } from './host-link.js';
import { actorsByWorker, checkPlacement, placeActors } from './placement.js';
import type { Plan } from '../../plan/plan.js';
import type { HostView, ResolvedOptions, ThreadInfo } from './run.js';
import { threadFlags } from './worker-flags.js';

const HOST_KNOBS: Readonly<Record<string, keyof HostOptions | undefined>> = Object.assign(
  Object.create(null) as object,
  { quantum: 'quantum', slice_us: 'sliceMicros', spin_turns: 'spinTurns' } as const,
);

export class HostSet implements HostView {
  readonly rings: SharedArrayBuffer[] = [];
  readonly ledgers: (SharedArrayBuffer | null)[] = [];
  readonly hosts: HostLink[] = [];
  /** The most workers that the run can have. */
  readonly capacity: number;
  /** The worker of each actor; -1 = retired. */
  readonly placement: number[];
  readonly #m: Machine;
  readonly #plan: Plan;
  readonly #options: ResolvedOptions;
  readonly #events: HostEvents;
  readonly #pool: Piscina;
  readonly #forms: Form[];
  /** Actors that had returned when they were to move. */
  readonly #gone = new Set<number>();
  /** Host knobs that have changed since the start: what new hosts begin with. */
  #hostOptions: HostOptions;

  /** @throws RangeError for a placement that cannot be */
  constructor(plan: Plan, m: Machine, options: ResolvedOptions, events: HostEvents) {
    this.#plan = plan;
    this.#m = m;
    this.#options = options;
    this.#events = events;
    this.#hostOptions = options.host;
    if (options.placement !== null) checkPlacement(plan.actors, options.placement);
    this.placement = [...(options.placement ?? placeActors(plan.actors, options.workers))];
    const workers = Math.max(...this.placement) + 1;
    this.capacity = Math.min(WORKERS_MAX, Math.max(workers, plan.actors.length));
    this.#forms = this.formsFor(this.placement, false);
    for (let worker = 0; worker < workers; worker++) this.#addMemory(worker);
    this.#pool = new Piscina({
      filename: new URL('../host/worker-entry.cjs', import.meta.url).href,
      minThreads: workers,
      maxThreads: this.capacity,
      idleTimeout: Infinity,
      execArgv: threadFlags(),
      atomics: 'disabled',
      ...(options.workerMemoryMb > 0 && { resourceLimits: { maxOldGenerationSizeMb: options.workerMemoryMb } }),
    });
    this.#pool.on('error', () => {});
  }

  /** Launched workers, those without actors included. */
  get count(): number {
    return this.hosts.length;
  }

  /** Workers that host actors. */
  get threads(): readonly ThreadInfo[] {
    return this.hosts.flatMap(({ worker, threadId }) => {
      const there = this.#plan.actors.filter((_, actor) => this.placement[actor] === worker);
      if (there.length === 0) return [];
      const form = this.#forms[this.placement.indexOf(worker)] as Form;
      return [{ worker, threadId, form, actors: there.map((spec) => spec.name) }];
    });
  }

  /** Resolves when all hosts have ended. */
  get done(): Promise<unknown> {
    return Promise.all(this.hosts.map((host) => host.done));
  }

  at(worker: number): HostLink {
    const host = this.hosts[worker];
    if (host === undefined) throw new RangeError(`worker ${worker}: there are ${this.count}`);
    return host;
  }

  hostOf(actor: number): HostLink {
    return this.at(this.placement[actor] ?? -1);
  }

  formOf(actor: number): Form {
    return this.#forms[actor] as Form;
  }

  isAlive(worker: number): boolean {
    return this.hosts[worker]?.over === false;
  }

  /** Sets the first workers up. @throws when one of them ends meanwhile */
  async start(): Promise<void> {
    actorsByWorker(this.placement).forEach((actors, worker) => this.#launch(worker, actors));
    await Promise.all(
      this.hosts.map(async (host) => {
        host.threadId = (await host.call((api) => api.start())).threadId;
      }),
    );
  }

  destroy(): Promise<void> {
    return this.#pool.destroy();
  }

  /**
   * Changes a knob of all hosts, those to come included.
   * @param frozen an actor that is frozen in the middle of an operation hears of it when it goes on: that is not awaited
   * @returns false when none knows it
   */
  async setKnob(name: string, value: number, frozen: boolean): Promise<boolean> {
    if (!this.#noteKnob(name, value)) return false;
    const told = Promise.all(this.hosts.map((host) => host.call((api) => api.setKnob(name, value))));
    told.catch(() => {});
    if (!frozen) await told;
    return true;
  }

  #noteKnob(name: string, value: number): boolean {
    const field = HOST_KNOBS[name];
    if (field !== undefined) {
      this.#hostOptions = { ...this.#hostOptions, [field]: value };
      return true;
    }
    const dot = name.lastIndexOf('.');
    const spec = this.#plan.actors.find((candidate) => candidate.name === name.slice(0, Math.max(0, dot)));
    const param = name.slice(dot + 1);
    if (spec === undefined || !Object.hasOwn(spec.params, param)) return false;
    (spec.params as Record<string, number>)[param] = value;
    return true;
  }

  /** The host knobs as they are now. */
  get hostOptions(): HostOptions {
    return this.#hostOptions;
  }

  /** The form of each actor under a placement: alone on its worker, blocking, unless all shall be coroutines. */
  formsFor(placement: readonly number[], stepping: boolean): Form[] {
    const there = actorsByWorker(placement);
    const single = this.#options.blockingModules !== null && !stepping;
    return placement.map((worker) => (single && there[worker]?.length === 1 ? 'blocking' : 'coroutines'));
  }

  /** @throws RangeError for a placement that this run cannot have */
  check(placement: readonly number[]): void {
    const { actors } = this.#plan;
    if (placement.length !== actors.length) {
      throw new RangeError(`placement: expected ${actors.length} entries, one per actor, got ${placement.length}`);
    }
    placement.forEach((worker, actor) => {
      const retired = worker === -1 && this.placement[actor] === -1;
      if (retired || (Number.isInteger(worker) && worker >= 0 && worker < this.capacity)) return;
      throw new RangeError(`placement: ${actors[actor]?.name} on worker ${worker}: expected 0 to ${this.capacity - 1}`);
    });
  }

  /** Launches workers that `placement` needs, and makes them load what actors need there: while everybody runs. */
  async makeReady(placement: readonly number[], stepping: boolean): Promise<void> {
    const wanted = Math.max(...placement) + 1;
    while (this.count < wanted) {
      this.#addMemory(this.count);
      const host = this.#launch(this.count, []);
      host.threadId = (await host.call((api) => api.start())).threadId;
    }
    const forms = this.formsFor(placement, stepping);
    await Promise.all(
      placement.map((worker, actor) =>
        worker < 0 ? null : this.at(worker).call((api) => api.prepare(forms[actor] as Form)),
      ),
    );
  }

  /**
   * At a drain: brings all actors to where `placement` has them. One that was retired starts afresh.
   * @param stepping all shall be coroutines
   * @param all also those that stay where they are get new contexts
   * @returns the actors that were moved, or changed their form
   */
  async relocate(placement: readonly number[], stepping: boolean, all = false): Promise<number[]> {
    const forms = this.formsFor(placement, stepping);
    const moving = placement.flatMap((worker, actor) => {
      const same = worker === this.placement[actor] && forms[actor] === this.#forms[actor];
      return worker < 0 || (same && !all) ? [] : [actor];
    });
    const moved = await Promise.all(
      moving.map((actor): Promise<MovedActor> | null => {
        if ((this.placement[actor] as number) < 0 || this.#gone.has(actor)) return null;
        return this.hostOf(actor).call((api) => api.leave(actor));
      }),
    );
    moving.forEach((actor) => {
      this.placement[actor] = placement[actor] as number;
      this.#forms[actor] = forms[actor] as Form;
    });
    await Promise.all(
      moving.map((actor, n) => {
        const brings = moved[n] ?? null;
        if (brings?.returned === true) this.#gone.add(actor);
        if (this.#gone.has(actor)) return null;
        return this.hostOf(actor).call((api) => api.spawn(actor, this.formOf(actor), brings));
      }),
    );
    return moving;
  }

  #addMemory(worker: number): void {
    const { events, ringRecords } = this.#options;
    this.rings.push(ringBuffer(events === 'off' ? 0 : ringRecords));
    this.ledgers.push(this.#options.ledgers(worker));
  }

  #launch(worker: number, actors: readonly number[]): HostLink {
    const { events, modules, blockingModules } = this.#options;
    const first = actors[0];
    const task = {
      plan: this.#plan,
      machine: this.#m.buffer,
      memory: this.#m.memory,
      worker,
      workers: this.capacity,
      actors,
      ring: this.rings[worker] as SharedArrayBuffer,
      lossy: events === 'lossy',
      recorder: events === 'recorder',
      ledgers: this.ledgers[worker] ?? null,
      sharedPins: this.#options.sharedPins,
      options: this.#hostOptions,
      modules: { coroutines: modules, blocking: blockingModules ?? modules },
      form: first === undefined ? ('coroutines' as const) : this.formOf(first),
    };
    const host = new HostLink(this.#m, this.#pool, task, this.#events);
    this.hosts.push(host);
    return host;
  }
}

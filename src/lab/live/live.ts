/** The live side of a simulation: `Simulation`'s methods of the same names (lab/run/simulation.ts) say what they do. */
import type { Observable } from 'rxjs';
import type { HostStep } from '../../engine/threads/control.js';
import { describeEffect } from '../../engine/machine/report-state.js';
import type { Relocation, ThreadRun } from '../../engine/threads/run.js';
import { waitsFor } from '../../engine/machine/waits-for.js';
import { RECORD_WORDS, recordActor } from '../../events/record.js';
import { ringFill } from '../../events/ring.js';
import { lastRecords } from '../../events/ring-history.js';
import { EFFECT_NAMES, effectKind } from '../../machine/effects.js';
import type { EventBatch } from '../../trace/batch.js';
import { mergeRecords } from '../../trace/merge.js';
import { phraseOf } from '../../trace/text.js';
import { InputError } from '../../errors/errors.js';
import { eventsOfPage, pageEvents } from './history.js';
import { checkKnob, listKnobs } from './knobs.js';
import { Lanes, waitOfEdge } from './lanes.js';
import { MemoryMaps } from './memory-map.js';
import { PageNames } from './page-names.js';
import { schemePlacement } from './placements.js';
import type {
  ActorNow,
  KnobInfo,
  MoveResult,
  PageEvent,
  PageInfo,
  Placement,
  PlacementScheme,
  RingNow,
  RunState,
  StepInfo,
  StepPoint,
} from './types.js';
import { EventWatch } from './watch.js';

/** Events of a page that are shown at most: the newest. */
const PAGE_EVENTS_MAX = 200;
/** Events of each ring that are looked through when nothing is watched. */
const RECENT_RECORDS = 1 << 14;

const NOTHING = new Int32Array(0);

export class Live {
  readonly watch: EventWatch;
  readonly #run: ThreadRun;
  readonly #names: readonly string[];
  readonly #lanes: Lanes;
  readonly #maps: MemoryMaps;
  #over = false;

  constructor(run: ThreadRun, actorNames: readonly string[], merged$: Observable<EventBatch>) {
    this.#run = run;
    this.#names = actorNames;
    this.#maps = new MemoryMaps(run.machine);
    this.#lanes = new Lanes(run.machine, run.plan, {
      get rings() {
        return run.rings;
      },
      get elapsedMs() {
        return run.elapsedMs;
      },
      get paused() {
        return run.paused;
      },
      alive: (worker) => run.hosts.isAlive(worker),
      formOf: (actor) => run.hosts.formOf(actor),
    });
    this.watch = new EventWatch({ machine: run.machine, actorNames, merged$, elapsedMs: () => run.elapsedMs });
    void run.ended.then(() => (this.#over = true));
  }

  get state(): RunState {
    if (this.#over) return 'ended';
    if (!this.#run.paused) return 'running';
    return this.#run.stepping ? 'stepping' : 'paused';
  }

  placement(): Placement {
    const rows = this.#run.threads;
    return { workers: rows.length, workersMax: this.#run.hosts.capacity, rows };
  }

  moveActor(name: string, worker: number): Promise<MoveResult> {
    return this.#moved(() => this.#run.move(this.#actor(name), worker));
  }

  setWorkers(count: number, scheme: PlacementScheme): Promise<MoveResult> {
    const most = this.#run.hosts.capacity;
    if (!Number.isInteger(count) || count < 1 || count > most) {
      return Promise.reject(new InputError(`workers: expected a whole number from 1 to ${most}, got ${count}`));
    }
    const wanted = schemePlacement(this.#run.plan.actors, count, scheme);
    return this.#moved(() => this.#run.relocate(wanted.map((worker, actor) => this.#unlessRetired(actor, worker))));
  }

  setPlacement(placement: Readonly<Record<string, number>>): Promise<MoveResult> {
    return this.#moved(() => {
      const wanted = [...this.#run.hosts.placement];
      for (const [name, worker] of Object.entries(placement)) wanted[this.#actor(name)] = worker;
      return this.#run.relocate(wanted);
    });
  }

  async stepMode(on: boolean): Promise<void> {
    await this.#refusing(() => this.#run.stepMode(on));
  }

  async step(name: string): Promise<StepInfo> {
    const actor = this.#actor(name);
    if (this.state !== 'stepping') await this.stepMode(true);
    const { moved, before, after, stack, written, worker } = await this.#refusing(() => this.#run.step(actor));
    const edge = waitsFor(this.#run.machine, this.#run.plan).edges.find((candidate) => candidate.actor === actor);
    return {
      actor: name,
      moved,
      did: moved ? this.#point(before) : null,
      next: this.#point(after),
      stack,
      events: this.#written(worker, actor, written),
      waits: edge === undefined || edge.changed ? null : waitOfEdge(edge),
    };
  }

  knobs(): KnobInfo[] {
    return listKnobs(this.#run.machine, this.#run.plan, this.#run.hosts.hostOptions);
  }

  async setKnob(name: string, value: number): Promise<void> {
    const knobs = this.knobs();
    // a knob that the engine does not have may still be a test actor's: the engine is asked
    if (knobs.some((knob) => knob.name === name)) checkKnob(knobs, name, value);
    if (!(await this.#run.setKnob(name, value))) checkKnob(knobs, name, value);
  }

  actors(): ActorNow[] {
    return this.#lanes.look();
  }

  memoryMap(vm: number): Uint8Array {
    return this.#maps.map(vm);
  }

  page(vm: number, gfn: number): PageInfo {
    return this.#maps.page(vm, gfn);
  }

  pageHistory(vm: number, gfn: number): PageEvent[] {
    const { machine: m } = this.#run;
    const { pfn } = this.page(vm, gfn);
    const userPage = new PageNames(m).userPageOf(vm, gfn);
    const { history } = this.watch;
    const records =
      history === null
        ? eventsOfPage(m, this.#recent(), userPage, pfn)
        : userPage < 0
          ? NOTHING
          : history.find(userPage);
    return pageEvents(records, this.#names, PAGE_EVENTS_MAX);
  }

  ringFill(): RingNow[] {
    return this.#run.rings.map((ring, worker) => ({ worker, ...ringFill(ring) }));
  }

  /** What stands in the rings now, read or not, in merged order. */
  #recent(): Int32Array {
    return mergeRecords(this.#run.rings.map((ring) => lastRecords(ring, RECENT_RECORDS)));
  }

  #actor(name: string): number {
    const actor = this.#names.indexOf(name);
    if (actor < 0) throw new InputError(`no actor ${name}; there are ${this.#names.join(', ')}`);
    return actor;
  }

  #unlessRetired(actor: number, worker: number): number {
    return (this.#run.hosts.placement[actor] as number) < 0 ? -1 : worker;
  }

  async #moved(move: () => Promise<Relocation>): Promise<MoveResult> {
    const started = performance.now();
    const { moved, violations } = await this.#refusing(move);
    return {
      placement: this.placement(),
      moved: moved.map((actor) => this.#names[actor] ?? `actor ${actor}`),
      violations: violations.length,
      tookMs: performance.now() - started,
    };
  }

  /** What the engine refuses is the caller's mistake, except that the run has ended meanwhile. */
  async #refusing<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (error instanceof RangeError) throw new InputError(error.message);
      throw error;
    }
  }

  #point(effect: number): StepPoint | null {
    if (effect < 0) return null;
    const name = EFFECT_NAMES[effectKind(effect)] ?? `effect ${effectKind(effect)}`;
    const text = describeEffect(this.#run.machine, effect);
    return { effect: name, word: text.slice(name.length).trim(), text };
  }

  /** The last events of an actor, which its worker has just written, in words. */
  #written(worker: number, actor: number, count: HostStep['written']): string[] {
    const ring = this.#run.rings[worker];
    if (ring === undefined || count === 0) return [];
    const records = lastRecords(ring, count);
    return Array.from({ length: records.length / RECORD_WORDS }, (_, i) => i)
      .filter((i) => recordActor(records, i) === actor)
      .map((i) => {
        const { text, note } = phraseOf(records, i);
        return note === '' ? text : `${text}  <-- ${note}`;
      });
  }
}

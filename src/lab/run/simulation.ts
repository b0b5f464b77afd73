/**
 * A simulation on real threads, for programs: `import { Simulation } from 'pinfall'`.
 *
 *     const simulation = await Simulation.start({ scenario: 'redis-guest', policy: 'pinned-notifiers', seed: 7 });
 *     simulation.events$.pipe(ofType('stage2_unmap')).subscribe((e) => console.log(e.actor, e.gfn, e.pinned));
 *     simulation.metrics$.subscribe((m) => console.log(Math.round(m.rates.accesses), 'accesses/s'));
 *     simulation.violations$.subscribe((v) => console.log(v.invariant, v.diagram));
 *     setTimeout(async () => console.log(await simulation.stop()), 10_000);
 *
 * Whoever subscribes right after `start` sees the run from its first event.
 */
import type { SimulationOptions, RunOptions } from './run-options.js';
import { Observable, ReplaySubject, Subject, interval, map, share, takeUntil } from 'rxjs';
import { startThreads } from '../../engine/threads/threads.js';
import type { ThreadRun } from '../../engine/threads/run.js';
import { runOracles } from '../../engine/threads/oracles.js';
import type { Plan } from '../../plan/plan.js';
import type { Violation } from '../../oracle/violation.js';
import { LATENCIES, readLatencyCounts } from '../../machine/stats.js';
import type { Machine } from '../../machine/layout.js';
import { ringCounters } from '../../events/ring.js';
import type { EventBatch } from '../../trace/batch.js';
import { type EventCounters, EventSource } from '../../trace/source.js';
import { DrainedStates } from '../handover/incident/drained.js';
import { EvidenceLog } from '../handover/incident/evidence.js';
import { Live } from '../live/live.js';
import type {
  ActorNow,
  KnobInfo,
  MoveResult,
  NearMiss,
  PageEvent,
  PageInfo,
  Placement,
  PlacementScheme,
  RaceCounts,
  RingNow,
  RunState,
  StepInfo,
} from '../live/types.js';
import { Meter, type MeterReading, type Metrics } from '../report/metrics.js';
import { buildReport } from '../report/report.js';
import type { EndRow, Report, RunCommand } from '../report/run-row.js';
import type { ReportViolation } from '../report/violation.js';
import { engineOptions } from '../scenario/engine.js';
import { machineOf, makePlan } from '../scenario/plan.js';
import { loadScenario } from '../scenario/scenario.js';
import { endRow, reportViolation } from '../tell/violations.js';

export type { RunOptions } from './run-options.js';

const DEFAULT_SCENARIO = 'redis-guest';

/** Violations kept with their diagrams; more are counted. */
const VIOLATIONS_KEPT = 50;
/** Rings that only record keep this many events of each worker for diagrams. */
const RECORDER_RECORDS = 1 << 13;

export class Simulation {
  readonly plan: Plan;
  /** Names by actor number: the public face of those. */
  readonly actorNames: readonly string[];
  /** Batches of events, each of one worker in that worker's order. Valid until the subscriber returns. */
  readonly events$: Observable<EventBatch>;
  /** Batches of all workers' events by (time, actor). */
  readonly merged$: Observable<EventBatch>;
  /** One value per interval (`metricsMs`). */
  readonly metrics$: Observable<Metrics>;
  /** Violations with their race diagrams, from the first on, also for those who subscribe late. */
  readonly violations$: Observable<ReportViolation>;
  /**
   * Near-misses as they come, each with its race diagram: four a second at most, one of each kind and mechanism; the others
   * are counted (`races`). Silent with `events: 'recorder'` or `'off'`.
   */
  readonly nearMisses$: Observable<NearMiss>;
  /** Resolves when the run is over, also by itself: a worker died, a hang. `stop` gives the report. */
  readonly ended: Promise<void>;
  /** Resolves when the actors have ended by themselves, so that nothing more can race. `stop` gives the report. */
  readonly scenarioOver: Promise<void>;
  /** The first violation of each invariant with its log and the state before it: what `handOver` takes. */
  readonly evidence: EvidenceLog;
  readonly #run: ThreadRun;
  readonly #source: EventSource;
  readonly #live: Live;
  readonly #command: RunCommand;
  readonly #violations = new ReplaySubject<ReportViolation>(VIOLATIONS_KEPT);
  readonly #over = new Subject<void>();
  readonly #kept: ReportViolation[] = [];
  #violationCount = 0;
  #completed = false;
  /** Names of the actors that were left when the others had ended by themselves; null while they go on. */
  #left: readonly string[] | null = null;
  #auditTimer: NodeJS.Timeout | undefined;
  #report: Promise<Report> | undefined;

  private constructor(run: ThreadRun, options: RunOptions, drained: DrainedStates | null) {
    this.#run = run;
    this.evidence = new EvidenceLog(drained);
    this.plan = run.plan;
    this.actorNames = run.plan.actors.map(({ name }) => name);
    this.#command = options.command ?? 'simulation';
    this.#source = new EventSource({
      rings: run.rings,
      actorNames: this.actorNames,
      recorder: options.events === 'recorder' || options.events === 'off',
    });
    this.events$ = this.#source.events$;
    this.merged$ = this.#source.merged$;
    this.violations$ = this.#violations.asObservable();
    this.#live = new Live(run, this.actorNames, this.merged$);
    this.nearMisses$ = this.#live.watch.nearMisses$;
    if (options.watch === true) this.#live.watch.use();
    this.metrics$ = this.#metrics(options.metricsMs ?? 1000);
    for (const violation of run.violations) this.#violation(violation);
    run.onViolation((violation) => this.#violation(violation));
    this.ended = run.ended.then(() => this.#complete());
    this.scenarioOver = run.scenarioOver.then((left) => {
      this.#left = left.map((actor) => this.actorNames[actor] ?? '');
    });
    this.#auditEvery(options.auditSeconds ?? 0);
  }

  /**
   * Loads a scenario, sets its machine up, and starts its actors on worker threads.
   * @throws InputError for a scenario, policy or recording that cannot be used
   */
  static async start(options: SimulationOptions = {}): Promise<Simulation> {
    const scenario = loadScenario(options.scenario ?? DEFAULT_SCENARIO, options.base);
    const plan = makePlan(scenario, { ...options, seed: options.seed ?? Math.floor(Math.random() * 2 ** 32) });
    const machine = machineOf(plan);
    const engine = engineOptions(scenario, plan.actors, options);
    return Simulation.run(plan, machine, { ...options, ...engine, ...runOracles(machine, plan) });
  }

  /** Runs a plan on a machine that is set up for it. */
  static async run(plan: Plan, machine: Machine, options: RunOptions = {}): Promise<Simulation> {
    const events = options.events ?? 'lossless';
    const resolved: RunOptions = {
      ...options,
      events,
      ...(events === 'recorder' && { ringRecords: options.ringRecords ?? RECORDER_RECORDS }),
    };
    const { audit } = resolved;
    if (audit === undefined || events === 'off' || options.handOver === false) {
      return new Simulation(await startThreads(plan, machine, resolved), resolved, null);
    }
    // a violation may come: what it is told from begins with the machine at rest
    const drained = new DrainedStates(machine);
    drained.take([]);
    const run: ThreadRun = await startThreads(plan, machine, {
      ...resolved,
      audit: drained.after(audit, () => run.rings),
    });
    return new Simulation(run, resolved, drained);
  }

  get machine(): Machine {
    return this.#run.machine;
  }

  /** Seconds since the first step. */
  get elapsedSeconds(): number {
    return this.#run.elapsedMs / 1000;
  }

  /** What became of the events so far. */
  get eventCounters(): EventCounters {
    return this.#source.counters;
  }
  /** Violations so far. */
  get violationCount(): number {
    return this.#violationCount;
  }

  /**
   * Changes a knob while the simulation runs: one of the kernel (`ksm_run`, `thp_enabled`, ...), of the hosts (`quantum`,
   * `slice_us`), or a parameter of an actor (`ksmd.sleep_us`). @throws InputError when nobody knows it, for a value out of
   * its range, and for one that takes a restart
   */
  setKnob(name: string, value: number): Promise<void> {
    return this.#live.setKnob(name, value);
  }

  /** Every knob with its value, unit and range, and whether it takes a restart. */
  knobs(): KnobInfo[] {
    return this.#live.knobs();
  }

  get state(): RunState {
    return this.#live.state;
  }
  /**
   * Every worker stands still between two steps when this resolves; metrics go on with rates of 0. An actor that is alone on
   * its worker (`blocking`) stops where it sleeps or at its loop's top, and in the middle of an operation only when that
   * does not end.
   */
  pause(): Promise<void> {
    return this.#run.pause();
  }

  resume(): Promise<void> {
    return this.#run.resume();
  }
  /**
   * On: pauses with every actor at the top of its loop, all of them as coroutines. From then on a pause stops them at any
   * schedule point, also after `resume`. Off: the faster form again where an actor is alone; the run stays paused. Both
   * go through a drain with an audit, as moves do.
   */
  stepMode(on: boolean): Promise<void> {
    return this.#live.stepMode(on);
  }

  /**
   * One schedule point of one actor, all others standing still; turns step mode on first when it is off. A sleeper is woken.
   * One that waits for a word or a lock does not move: whoever holds it has to be stepped (a hypercall is served by `el2-*`).
   */
  step(actor: string): Promise<StepInfo> {
    return this.#live.step(actor);
  }

  /** Which actor sits on which worker now. */
  placement(): Placement {
    return this.#live.placement();
  }

  /**
   * Brings an actor to another worker, which is started when it is a new one. Nothing is lost: all actors come to rest, this one
   * leaves what its loop knows (pins, replay position, what is left of its sleep), goes on on the other worker, and
   * an audit of the whole machine, before anybody runs, says whether all is well.
   * @throws InputError for an actor or worker that cannot be
   */
  moveActor(name: string, worker: number): Promise<MoveResult> {
    return this.#live.moveActor(name, worker);
  }

  /** Spreads all actors over `count` workers, in one move. */
  setWorkers(count: number, scheme: PlacementScheme = 'balanced'): Promise<MoveResult> {
    return this.#live.setWorkers(count, scheme);
  }

  /** Brings the named actors to the workers given, in one move. */
  setPlacement(placement: Readonly<Record<string, number>>): Promise<MoveResult> {
    return this.#live.setPlacement(placement);
  }

  /** What every actor does now and waits for: a look at shared memory that stops nobody. */
  actors(): ActorNow[] {
    return this.#live.actors();
  }

  /**
   * A byte for each guest page, an index into `PAGE_STATES`: read while everybody runs, so single pages may show what they were
   * a moment ago. @throws InputError when there is no such VM
   */
  memoryMap(vm: number): Uint8Array {
    return this.#live.memoryMap(vm);
  }

  /** One guest page: its entries, frame, counts and flags, read the same way. @throws InputError when there is none */
  page(vm: number, gfn: number): PageInfo {
    return this.#live.page(vm, gfn);
  }

  /**
   * The last events (200 at most) that named the page or the frame behind it now, oldest first. They reach as far back as the
   * history does: 131,072 events while somebody watches (`nearMisses$`, or option `watch`), else what stands in the rings.
   */
  pageHistory(vm: number, gfn: number): PageEvent[] {
    return this.#live.pageHistory(vm, gfn);
  }

  /** Near-misses and conflicting pairs so far, of the events that were watched (`nearMisses$`, or option `watch`). */
  races(): RaceCounts {
    return this.#live.watch.counts();
  }

  /** By LATENCIES (machine/stats.ts), by bucket: how many operations took so long since the run began. */
  latencyCounts(): readonly (readonly number[])[] {
    return LATENCIES.map((_, latency) => readLatencyCounts(this.machine, latency));
  }

  /** How full the event rings are. */
  ringFill(): RingNow[] {
    return this.#live.ringFill();
  }

  /** Brings all actors to rest, audits the whole machine, and lets them go on. Resolves with the violations found. */
  async audit(): Promise<number> {
    return (await this.#run.drain()).length;
  }

  /**
   * Ends the run: actors finish what they do and tear down, the last audit runs. Resolves with the report, also of a run
   * that ended by itself; the same one each time. Completes all observables.
   * @param interrupted the report's `end` says so
   */
  stop(interrupted = false): Promise<Report> {
    this.#report ??= this.#stop(interrupted);
    return this.#report;
  }

  /** Ends the run at once: no teardown, no audit. For who has measured enough. */
  async abandon(): Promise<Report> {
    await this.#run.abort('abandoned');
    return this.stop(true);
  }

  /** The report as of now: of a run under way. */
  reportSoFar(): Report {
    return this.#buildReport(this.elapsedSeconds, 0, { kind: 'interrupted', detail: 'still running' });
  }

  async #stop(interrupted: boolean): Promise<Report> {
    clearTimeout(this.#auditTimer);
    const left = this.#left;
    const end = await this.#run.finish();
    await this.ended;
    return this.#buildReport(end.durationSeconds, end.finishSeconds, endRow(end, interrupted, left));
  }

  /** No more events will come: subscribers get the last ones, and are told. */
  #complete(): void {
    this.#completed = true;
    clearTimeout(this.#auditTimer);
    this.#over.next();
    this.#over.complete();
    this.#source.close();
    this.#violations.complete();
  }

  #buildReport(duration_s: number, teardown_s: number, end: EndRow): Report {
    return buildReport(this.machine, {
      command: this.#command,
      plan: this.plan,
      threads: this.#run.threads.map(({ threadId, actors }) => ({ threadId, actors })),
      duration_s,
      teardown_s,
      events: this.#source.counters,
      violations: this.#kept,
      violation_count: this.#violationCount,
      found: this.#run.violations,
      noise: this.#run.hosts.hostOptions.noise,
      end,
    });
  }

  #violation(found: Violation): void {
    this.#violationCount++;
    if (this.#kept.length >= VIOLATIONS_KEPT) return;
    const { rings } = this.#run;
    const at_s = Math.round(this.elapsedSeconds * 1000) / 1000;
    const { actorNames, machine } = this;
    const reported = reportViolation(found, rings, RECORDER_RECORDS, actorNames, machine, { at_s }, this.#kept);
    this.#kept.push(reported);
    this.evidence.note(found, rings, RECORDER_RECORDS, this.#report !== undefined);
    this.#violations.next(reported);
  }

  #reading(): MeterReading {
    return {
      elapsed_s: this.elapsedSeconds,
      eventsWritten: this.#run.rings.reduce((sum, ring) => sum + ringCounters(ring).written, 0),
      violations: this.#violationCount,
      races: this.races(),
    };
  }

  #metrics(everyMs: number): Observable<Metrics> {
    return new Observable<Metrics>((subscriber) => {
      const meter = new Meter(this.machine, this.#reading());
      return interval(everyMs)
        .pipe(
          takeUntil(this.#over),
          map(() => meter.read(this.#reading())),
        )
        .subscribe(subscriber);
    }).pipe(share());
  }

  #auditEvery(seconds: number): void {
    if (seconds <= 0) return;
    this.#auditTimer = setTimeout(() => {
      if (this.#completed || this.#report !== undefined) return;
      // who is paused, or steps one actor, wants everybody else to stand still
      const audited = this.state === 'running' ? this.audit() : Promise.resolve(0);
      const again = (): void => {
        if (!this.#completed) this.#auditEvery(seconds);
      };
      audited.then(again, () => {});
    }, seconds * 1000);
  }
}

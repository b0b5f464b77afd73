/**
 * pinfall as a library: everything public, each name with its units, its errors, since when it is there, and an example
 * (test/index.test.ts compiles them). What a command does is here as an object and its report; the rest of the house is not public.
 */

/**
 * A scenario on real threads. Pages are of 4 KiB, times of reports in seconds (`_s`) or microseconds (`_us`), rates per second; `vpn` and `gfn`
 * count pages, `pfn` frames. Its observables complete when the run ends, and are hot: who subscribes right after `start` misses nothing.
 *
 * - `Simulation.start(options)` @throws InputError for a scenario, policy, recording or option that cannot be used
 * - `events$` (batches, by worker), `merged$` (in Lamport order), `metrics$` (rates, every `metricsMs`), `violations$`, `nearMisses$`
 * - `setKnob(name, value)`, `moveActor(name, worker)`, `setWorkers(count)` @throws InputError for what is not there or out of its range
 * - `pause()`, `resume()`, `stepMode(on)`, `step(actor)`, `audit()`: resolve when all actors stand where they should
 * - `stop()` resolves with the {@link Report}, always the same one; `reportSoFar()` gives it while the run goes on
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const simulation = await Simulation.start({ scenario: 'redis-guest', policy: 'pinned-notifiers', seed: 7, workers: 4 });
 * simulation.metrics$.subscribe(({ rates }) => console.log(Math.round(rates.accesses), 'accesses/s'));
 * simulation.violations$.subscribe(({ invariant, diagram }) => console.log(invariant, diagram));
 * await new Promise((resolve) => setTimeout(resolve, 10_000));
 * const report = await simulation.stop();
 * console.log(report.ok, report.mechanisms);
 * ```
 */
export { Simulation } from './lab/run/simulation.js';

/**
 * What {@link Simulation} is told. All of it has a default: the scenario `redis-guest`, a new seed, a worker for each actor, events kept for
 * reports (`events: 'recorder'`), metrics every second (`metricsMs`), an audit of the whole machine now and then (`auditSeconds`).
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const options: SimulationOptions = { scenario: 'pin-race', policy: 'check-then-notify', workers: 2, events: 'lossless' };
 * const run: RunOptions = { workers: 2, metricsMs: 250 };
 * console.log(options.policy, run.metricsMs);
 * ```
 */
export type { RunOptions, SimulationOptions } from './lab/run/run-options.js';

/**
 * A recorded run: the NDJSON file that `--events FILE.ndjson` wrote, as observables, a chunk of it in memory at a time. `eventCount`,
 * `actorNames`, `events$` and `merged$` (the same: a file is in merged order).
 * `fromFile(path)` reads it once @throws InputError with the number of the line that is no event.
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const recorded: RecordedRun = await fromFile('events.ndjson');
 * recorded.events$.pipe(ofType('stage2_unmap')).subscribe((event) => console.log(recorded.actorNames[event.actor], event.gfn));
 * ```
 */
export { RecordedRun, fromFile } from './lab/run/recorded-run.js';

/**
 * Bad input: a scenario, a recording, a schedule or an option that cannot be used. `message` is one line that says what, where and what was
 * expected; `mistakes` has a line for each. The command line prints it and ends with code 2.
 *
 * @since 0.1.0
 * @example
 * ```ts
 * try {
 *   await Simulation.start({ scenario: 'redis-gest' });
 * } catch (error) {
 *   if (error instanceof InputError) console.error(error.mistakes.join('\n'));
 * }
 * ```
 */
export { InputError } from './errors/errors.js';

/**
 * A running {@link Simulation} looked at and turned: where actors sit (`Placement`, `PlacementScheme`, `MoveResult`, `WorkerForm`), what they do
 * (`ActorNow`, `ActorWait`, `StepInfo`, `StepPoint`, `RunState`), knobs with unit and range (`KnobInfo`), pages (`PAGE_STATES`: what a byte of
 * `memoryMap` means; `PageInfo`, `EntryInfo`, `PageEvent`), near-misses and conflicting pairs (`NearMiss`, `RaceCounts`), rings (`RingNow`).
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const simulation = await Simulation.start({ scenario: 'pin-race', watch: true, events: 'lossy' });
 * const states: readonly PageStateName[] = Array.from(simulation.memoryMap(0), (byte) => PAGE_STATES[byte] ?? 'unmapped');
 * const where: Placement = simulation.placement();
 * console.log(states.length, where.workers, simulation.races().total);
 * await simulation.stop();
 * ```
 */
export {
  type ActorNow,
  type ActorWait,
  type EntryInfo,
  type KnobInfo,
  type MoveResult,
  type NearMiss,
  type NearMissKind,
  PAGE_STATES,
  type PageEvent,
  type PageInfo,
  type PageStateName,
  type Placement,
  type PlacementScheme,
  type RaceCounts,
  type RingNow,
  type RunState,
  type StepInfo,
  type StepPoint,
  type WorkerForm,
} from './lab/live/types.js';

/**
 * What `metrics$` gives: rates per second of the last interval, latencies in microseconds, and how much each mechanism's counters grew.
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const show = ({ rates }: Metrics): void => console.log(rates.stage2_faults, 'stage-2 faults/s');
 * console.log(show.length);
 * ```
 */
export type { Metrics } from './lab/report/metrics.js';

/**
 * Reports, one type for each command's `--json`: a run on real threads (`Report`, with its `EndRow`, `MechanismRow`, `RunCommand`), and
 * those of `compare`, `explore`, `explain`, `litmus`, `litmus --threads`, `replay`, `tune`, `zoo run`. A violation looks the same in all of
 * them (`ReportViolation`). Field names carry their units and stay; new ones may come.
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const broken = (report: Report | ExploreReport): readonly ReportViolation[] => report.violations;
 * console.log(broken.length);
 * ```
 */
export type { EndRow, MechanismRow, Report, RunCommand } from './lab/report/run-row.js';
export type { ReportViolation } from './lab/report/violation.js';
export type { CompareReport } from './lab/run/compare.js';
export type { ExploreReport } from './lab/explore/report.js';
export type { ExplainReport } from './lab/litmus/explain.js';
export type { LitmusReport } from './lab/litmus/run.js';
export type { LitmusThreadsReport } from './lab/litmus/threads/report.js';
export type { ReplayReport } from './lab/replay/replay.js';
export type { TuneReport } from './lab/tune/report.js';
export type { ZooReport } from './lab/zoo/zoo.js';

/**
 * The JSON Schema (draft 2020-12) of all reports, one for each `command`; `list --json` has it as `report_schema`.
 *
 * @since 0.1.0
 * @example
 * ```ts
 * console.log(JSON.stringify(reportJsonSchema()).length);
 * ```
 */
export { reportJsonSchema } from './lab/report/schema.js';

/**
 * Events: batches of them (`EventBatch`, valid until its subscriber returns; `copy()` makes one that stays), single ones with their fields by
 * name (`PinfallEvent`, `PinfallEventOf<'zap'>`), and the names of all types (`EventName`; `list` says what each tells). `time` is Lamport time.
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const names = new Set<EventName>();
 * const note = (batch: EventBatch): void => [...batch].forEach(({ type }: PinfallEvent) => names.add(type));
 * const gfnOf = (event: PinfallEventOf<'stage2_unmap'>): number => event.gfn;
 * console.log(note.length, gfnOf.length);
 * ```
 */
export { EventBatch } from './trace/batch.js';
export type { PinfallEvent, PinfallEventOf } from './trace/event.js';
export type { EventName } from './events/table.js';

/**
 * RxJS operators on `events$` and `merged$`: events of some types, with their fields (`ofType`), batches of some actors by name or number
 * (`byActor`), the first event and every n-th (`sampleEvery`), events per second of each interval in milliseconds (`ratePerSecond`).
 * @throws RangeError, or as the observable's error, for a type or an actor that is not there and for numbers out of range
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const simulation = await Simulation.start({ events: 'lossy' });
 * simulation.events$.pipe(ofType('zap', 'stage2_unmap')).subscribe((event) => console.log(event.type, event.time));
 * simulation.events$.pipe(byActor('ksmd'), ratePerSecond(1000)).subscribe((rate) => console.log('ksmd', rate));
 * simulation.merged$.pipe(sampleEvery(1000)).subscribe((batch) => console.log(batch.length));
 * ```
 */
export { byActor, ofType, ratePerSecond, sampleEvery } from './trace/observables.js';

/**
 * `inRange`: events of some guest pages (`{ vm, gfn: [from, to] }`), user pages (`{ mm, vpn }`), frames (`{ pfn }`) or Lamport times
 * (`{ time }`); ranges are half-open.
 * @throws RangeError for a range that is none
 *
 * @since 0.1.0
 * @example
 * ```ts
 * const simulation = await Simulation.start({ events: 'lossless' });
 * const pages: EventRange = { vm: 0, gfn: [0x10, 0x20] };
 * simulation.events$.pipe(inRange(pages)).subscribe((batch) => console.log(batch));
 * ```
 */
export {
  type EventRange,
  type FrameRange,
  type GuestRange,
  type Interval,
  type NamesFrames,
  type NamesGuestPages,
  type NamesProcessPages,
  type ProcessRange,
  type Ranged,
  type TimeRange,
  inRange,
} from './trace/range.js';

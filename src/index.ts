/**
 * pinfall as a library. `Simulation.start(options)` runs a scenario on real threads; its events, metrics and violations are
 * RxJS observables, and `stop()` gives the report.
 */
export { Simulation, type RunOptions } from './lab/run/simulation.js';
export type { SimulationOptions } from './lab/run/run-options.js';
export { RecordedRun, fromFile } from './lab/run/recorded-run.js';
export { InputError } from './errors/errors.js';
export * from './lab/live/types.js';
export type { Metrics } from './lab/report/metrics.js';
export type { EndRow, MechanismRow, Report, RunCommand } from './lab/report/run-row.js';
export { reportJsonSchema } from './lab/report/schema.js';
export type { ReportViolation } from './lab/report/violation.js';
export type { CompareReport } from './lab/run/compare.js';
export type { ExploreReport } from './lab/explore/report.js';
export type { ExplainReport } from './lab/litmus/explain.js';
export type { LitmusReport } from './lab/litmus/run.js';
export type { LitmusThreadsReport } from './lab/litmus/threads/report.js';
export type { ReplayReport } from './lab/replay/replay.js';
export type { TuneReport } from './lab/tune/report.js';
export type { ZooReport } from './lab/zoo/zoo.js';
export { EventBatch } from './trace/batch.js';
export type { PinfallEvent, PinfallEventOf } from './trace/event.js';
export * from './trace/observables.js';
export * from './trace/range.js';
export type { EventName } from './events/table.js';

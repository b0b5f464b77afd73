/**
 * `/metrics`: the run for Prometheus, in a registry of its own. Brought up to date once per metrics interval, not per scrape.
 * Counters go on over restarts; `pinfall_run_info` says what runs.
 *
 *     rate(pinfall_stage2_unmaps_pinned_total{mechanism="numa_scan"}[1m])
 *     histogram_quantile(0.99, sum by (le) (rate(pinfall_latency_seconds_bucket{operation="stage2_fault"}[1m])))
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { LatencyHistogram } from './latency-histogram.js';

/** Growth since the last update, and what is so now. */
interface PrometheusUpdate {
  readonly ops: ReadonlyMap<string, number>;
  /** By mechanism: growth by MECHANISM_METRICS' order. */
  readonly mechanisms: ReadonlyMap<string, readonly number[]>;
  /** By LATENCIES, by the machine's buckets. */
  readonly latencies: readonly (readonly number[])[];
  readonly events: {
    readonly written: number;
    readonly delivered: number;
    readonly dropped: number;
    readonly waits: number;
  };
  readonly violations: number;
  /** By `<kind> <mechanism>`. */
  readonly nearMisses: ReadonlyMap<string, number>;
  readonly workers: number;
  readonly actors: number;
  readonly running: boolean;
  readonly clients: number;
  readonly elapsed_s: number;
}

/** Counters of a mechanism, in the order of the report's row. */
export const MECHANISM_METRICS = [
  ['notifier_starts', 'Notifier windows opened'],
  ['pinned_hit', 'Pages in notified ranges that looked pinned'],
  ['stage2_unmaps', 'Pages unmapped at stage 2'],
  ['stage2_unmaps_pinned', 'Pinned pages unmapped at stage 2'],
  ['pages_moved', 'Pages moved'],
  ['backed_out', 'Pages that the mechanism gave up'],
] as const;

export class PrometheusMetrics {
  readonly registry = new Registry();
  readonly #ops: Counter<'operation'>;
  readonly #mechanisms: readonly Counter<'mechanism'>[];
  readonly #latency: LatencyHistogram;
  readonly #events: Counter<'what'>;
  readonly #violations: Counter;
  readonly #invariants: Counter<'invariant'>;
  readonly #nearMisses: Counter<'kind' | 'mechanism'>;
  readonly #gauges: Readonly<Record<'workers' | 'actors' | 'running' | 'clients' | 'elapsed', Gauge>>;
  readonly #info: Gauge<'scenario' | 'policy' | 'seed'>;

  constructor() {
    const registers = [this.registry];
    const gauge = (name: string, help: string): Gauge => new Gauge({ name: `pinfall_${name}`, help, registers });
    this.#ops = new Counter({
      name: 'pinfall_operations_total',
      help: 'Operations of all actors',
      labelNames: ['operation'],
      registers,
    });
    this.#mechanisms = MECHANISM_METRICS.map(
      ([name, help]) => new Counter({ name: `pinfall_${name}_total`, help, labelNames: ['mechanism'], registers }),
    );
    this.#latency = new LatencyHistogram(this.registry);
    this.#events = new Counter({
      name: 'pinfall_events_total',
      help: 'Events written, delivered and dropped, and waits of workers for room',
      labelNames: ['what'],
      registers,
    });
    this.#violations = new Counter({ name: 'pinfall_violations_total', help: 'Broken invariants', registers });
    this.#invariants = new Counter({
      name: 'pinfall_violations_shown_total',
      help: 'Violations that were reported with a diagram: the first ones of a run',
      labelNames: ['invariant'],
      registers,
    });
    this.#nearMisses = new Counter({
      name: 'pinfall_near_misses_total',
      help: 'Races that went well: retries, back-outs, pinned pages unmapped',
      labelNames: ['kind', 'mechanism'],
      registers,
    });
    this.#gauges = {
      workers: gauge('workers', 'Worker threads'),
      actors: gauge('actors', 'Actors'),
      running: gauge('running', '1 while actors run, 0 while they are paused or there is no run'),
      clients: gauge('dashboard_clients', 'Pages that are connected'),
      elapsed: gauge('run_seconds', 'Seconds since the run began'),
    };
    this.#info = new Gauge({
      name: 'pinfall_run_info',
      help: 'What runs; always 1',
      labelNames: ['scenario', 'policy', 'seed'],
      registers,
    });
  }

  /** A run begins. */
  begin(scenario: string, policy: string, seed: number): void {
    this.#info.reset();
    this.#info.set({ scenario, policy, seed: String(seed) }, 1);
  }

  update(now: PrometheusUpdate): void {
    for (const [operation, by] of now.ops) this.#ops.inc({ operation }, by);
    for (const [mechanism, grown] of now.mechanisms) {
      grown.forEach((by, index) => this.#mechanisms[index]?.inc({ mechanism }, by));
    }
    this.#latency.add(now.latencies);
    for (const [what, by] of Object.entries(now.events)) this.#events.inc({ what }, by);
    this.#violations.inc(now.violations);
    for (const [key, by] of now.nearMisses) {
      const [kind = '', mechanism = ''] = key.split(' ');
      this.#nearMisses.inc({ kind, mechanism }, by);
    }
    this.status(now);
  }

  /** What is so now, without counters. */
  status(now: Pick<PrometheusUpdate, 'workers' | 'actors' | 'running' | 'clients' | 'elapsed_s'>): void {
    this.#gauges.workers.set(now.workers);
    this.#gauges.actors.set(now.actors);
    this.#gauges.running.set(now.running ? 1 : 0);
    this.#gauges.clients.set(now.clients);
    this.#gauges.elapsed.set(now.elapsed_s);
  }

  violation(invariant: string): void {
    this.#invariants.inc({ invariant });
  }
}

/**
 * One run's way to the pages and to Prometheus: totals once per interval, what actors do four times a second, each guest's
 * memory once a second, violations and near-misses as they come.
 */
import type { Subscription } from 'rxjs';
import type { NearMiss } from '../../lab/live/types.js';
import type { BackgroundExplorer } from '../../lab/handover/background.js';
import type { Report } from '../../lab/report/run-row.js';
import type { ReportViolation } from '../../lab/report/violation.js';
import { MECHANISMS, MECHANISM_ROWS } from '../../machine/mechanisms.js';
import { LATENCIES, LATENCY_BUCKETS, STATS } from '../../machine/stats.js';
import type {
  ActorsMessage,
  EventTotals,
  MemoryMessage,
  MetricsMessage,
  RaceKind,
  RaceMessage,
  ScheduleMessage,
} from '../protocol.js';
import { Frames, countStates } from './frames.js';
import type { Hub } from './hub.js';
import { MECHANISM_METRICS, type PrometheusMetrics } from './prometheus.js';
import type { Schedules } from './schedules.js';
import { Totals } from './totals.js';
import type { Watched } from './watched.js';

export interface FeedOptions {
  readonly hub: Hub;
  readonly prometheus: PrometheusMetrics;
  readonly schedules: Schedules;
  /** Where violations are handed to; null: nowhere. */
  readonly explorer: Pick<BackgroundExplorer, 'explain'> | null;
  /** Milliseconds between two looks. */
  readonly actorsMs: number;
  readonly memoryMs: number;
}

/** Lanes of more actors than this are drawn once a second. */
const MANY_ACTORS = 32;
/** Looking at memory may take this share of the main thread. */
const MEMORY_SHARE = 0.02;

const EVENT_NAMES = ['written', 'delivered', 'dropped', 'waits'] as const;

const TITLES: Readonly<Record<NearMiss['kind'], string>> = {
  pinned_unmap: 'pinned page unmapped',
  retry_saved: 'a retry saved the day',
  back_out: 'backed out',
};

let races = 0;

export class RunFeed {
  readonly frames = new Frames();
  readonly #simulation: Watched;
  readonly #run: number;
  readonly #options: FeedOptions;
  readonly #subscriptions: Subscription[] = [];
  readonly #totals = new Totals(STATS.length + MECHANISMS.length * MECHANISM_METRICS.length);
  readonly #latencies = new Totals(LATENCIES.length * LATENCY_BUCKETS);
  #nearMisses: Readonly<Record<string, number>> = {};
  #violations = 0;
  #events: EventTotals = { written: 0, delivered: 0, dropped: 0, waits: 0 };
  #actorsTimer: NodeJS.Timeout | undefined;
  #memoryTimer: NodeJS.Timeout | undefined;
  #running = true;
  #nextAsked = 0;
  /** Invariants whose first violation was handed over. */
  readonly #handed = new Set<string>();

  constructor(simulation: Watched, run: number, options: FeedOptions) {
    this.#simulation = simulation;
    this.#run = run;
    this.#options = options;
    const { scenario, kernel, seed, actors } = simulation.plan;
    options.prometheus.begin(scenario, kernel, seed);
    this.#subscriptions.push(
      simulation.metrics$.subscribe(() => this.#metrics(simulation.reportSoFar())),
      simulation.violations$.subscribe((violation) => this.#violation(violation)),
    );
    const nearMisses = simulation.nearMisses$?.subscribe((miss) => this.#nearMiss(miss));
    if (nearMisses !== undefined) this.#subscriptions.push(nearMisses);
    const every = Math.max(options.actorsMs, actors.length > MANY_ACTORS ? 1000 : 0);
    this.#actorsTimer = setInterval(() => this.lookAtActors(), every);
    this.#memoryLater(options.memoryMs / 4);
  }

  /** Whether actors run: memory is looked at again and again only then. */
  set running(running: boolean) {
    this.#running = running;
  }

  /**
   * A frame of the moment, for a page that is told beside the map; null while looks would take too much of the main thread.
   */
  lookFor(vm: number): { readonly frame: number; readonly at_s: number } | null {
    if (performance.now() < this.#nextAsked) return null;
    const took = this.lookAtMemory();
    this.#nextAsked = performance.now() + took / MEMORY_SHARE;
    return this.frames.newest(vm) ?? null;
  }

  /** Sends what all actors do now. */
  lookAtActors(): void {
    // nobody looks: nothing is worth a look
    const actors = this.#options.hub.counters.clients === 0 ? undefined : this.#simulation.actors?.();
    if (actors === undefined) return;
    const message: ActorsMessage = { run: this.#run, at_s: this.#simulation.elapsedSeconds, actors };
    this.#options.hub.publishVolatile('actors', message);
  }

  /** Takes a frame of each guest's memory. Returns how long that took, milliseconds. */
  lookAtMemory(): number {
    const { plan } = this.#simulation;
    const began = performance.now();
    for (let vm = 0; vm < plan.vms.length; vm++) {
      const bytes = this.#simulation.memoryMap?.(vm);
      if (bytes === undefined) return 0;
      const { frame, at_s } = this.frames.add(vm, this.#simulation.elapsedSeconds, bytes);
      const message: MemoryMessage = {
        run: this.#run,
        vm,
        frame,
        at_s,
        oldest: this.frames.oldest(vm)?.frame ?? frame,
        counts: countStates(bytes),
      };
      this.#options.hub.publish('memory', message);
    }
    return performance.now() - began;
  }

  /** Looks once more, now. */
  lookAtTotals(): void {
    this.#metrics(this.#simulation.reportSoFar());
  }

  /** The run is over: the last totals are the report's, and nothing is watched any more. */
  close(report: Report | null): void {
    if (report !== null) {
      this.lookAtActors();
      this.#metrics(report);
    }
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    clearInterval(this.#actorsTimer);
    clearTimeout(this.#memoryTimer);
  }

  #memoryLater(ms: number): void {
    this.#memoryTimer = setTimeout(() => {
      const took = this.#running ? this.lookAtMemory() : 0;
      this.#memoryLater(Math.max(this.#options.memoryMs, took / MEMORY_SHARE));
    }, ms);
  }

  #metrics(report: Report): void {
    const { hub, prometheus } = this.#options;
    const rows = new Map(report.mechanisms.map((row) => [row.name, row]));
    const now = [
      ...STATS.map((name) => report.ops[name]),
      ...MECHANISMS.flatMap((name) => MECHANISM_METRICS.map(([counter]) => rows.get(name)?.[counter] ?? 0)),
    ];
    const grown = this.#totals.look(now);
    const { totals } = this.#totals;
    const summaries = Object.values(report.latency_us);
    const rings = this.#simulation.ringFill?.();
    const nearMisses = this.#simulation.races?.().nearMisses ?? {};
    const message: MetricsMessage = {
      run: this.#run,
      elapsed_s: report.duration_s + report.teardown_s,
      ops: totals.slice(0, STATS.length),
      mechanisms: MECHANISMS.map((_, mechanism) => rowOf(totals, mechanism)),
      latencies: LATENCIES.map((_, index) => {
        const summary = summaries[index];
        return summary === undefined ? [0, 0, 0, 0] : [summary.count, summary.p50, summary.p99, summary.max];
      }),
      events: only(report.events),
      violations: report.violation_count,
      nearMisses,
      ...(rings !== undefined && { rings }),
    };
    hub.publish('metrics', message);
    const before = this.#events;
    this.#events = only(report.events);
    prometheus.update({
      ops: new Map(STATS.map((name, index) => [name, grown[index] ?? 0])),
      mechanisms: new Map(MECHANISMS.map((name, mechanism) => [name, rowOf(grown, mechanism)])),
      latencies: this.#latencyGrowth(),
      events: {
        written: Math.max(0, this.#events.written - before.written),
        delivered: Math.max(0, this.#events.delivered - before.delivered),
        dropped: Math.max(0, this.#events.dropped - before.dropped),
        waits: Math.max(0, this.#events.waits - before.waits),
      },
      violations: report.violation_count - this.#violations,
      nearMisses: new Map(
        Object.entries(nearMisses).map(([key, count]) => [key, Math.max(0, count - (this.#nearMisses[key] ?? 0))]),
      ),
      workers: report.workers,
      actors: this.#simulation.plan.actors.length,
      running: this.#running,
      clients: hub.counters.clients,
      elapsed_s: report.duration_s,
    });
    this.#nearMisses = nearMisses;
    this.#violations = report.violation_count;
  }

  /** By LATENCIES, by bucket: what was measured since the last look. */
  #latencyGrowth(): number[][] {
    const counts = this.#simulation.latencyCounts?.();
    if (counts === undefined) return [];
    const grown = this.#latencies.look(counts.flat());
    return LATENCIES.map((_, index) => grown.slice(index * LATENCY_BUCKETS, (index + 1) * LATENCY_BUCKETS));
  }

  /** The first violation of each invariant goes to the explorer, unless a schedule is known that breaks the same rule. */
  #handOver({ invariant }: ReportViolation, known: boolean): void {
    const { explorer, schedules } = this.#options;
    const { plan } = this.#simulation;
    const evidence = this.#simulation.evidence?.of(invariant);
    if (known || explorer === null || evidence === undefined || this.#handed.has(invariant)) return;
    this.#handed.add(invariant);
    const say = (status: ScheduleMessage['status'], schedule: string, note: string): void => {
      const message: ScheduleMessage = { run: this.#run, invariant, status, schedule, note };
      this.#options.hub.publish('schedule', message);
    };
    say('searching', '', 'the explorer looks for it on one thread');
    void explorer.explain(plan, evidence).then((handover) => {
      if (handover === null) return say('not found', '', 'the search was ended');
      const { found, family, schedule, reason, what } = handover;
      if (!found && !family) return say('not found', '', reason);
      return say('found', schedules.add(invariant, plan.kernel, schedule), found ? what : reason);
    });
  }

  #violation(violation: ReportViolation): void {
    const schedule = this.#options.schedules.linkFor(violation.invariant, this.#simulation.plan.kernel);
    this.#options.prometheus.violation(violation.invariant);
    const diagram = violation.diagram ?? '';
    this.#race({
      kind: 'violation',
      at_s: this.#simulation.elapsedSeconds,
      title: violation.invariant,
      what: violation.what,
      mechanisms: mechanismsIn(diagram),
      count: 0,
      diagram,
      schedule,
    });
    this.#handOver(violation, schedule !== '');
  }

  #nearMiss(miss: NearMiss): void {
    this.#race({
      kind: miss.kind,
      at_s: miss.at_s,
      title: TITLES[miss.kind],
      what: `gfn 0x${miss.gfn.toString(16)}${miss.vm > 0 ? ` of vm${miss.vm}` : ''}, ${miss.actors.join(' and ')}`,
      mechanisms: miss.mechanism === 'none' ? [] : [miss.mechanism],
      count: miss.count,
      diagram: miss.diagram,
      schedule: '',
    });
  }

  #race(race: Omit<RaceMessage, 'run' | 'id'> & { readonly kind: RaceKind }): void {
    this.#options.hub.publish('race', { run: this.#run, id: ++races, ...race } satisfies RaceMessage);
  }
}

/** A mechanism's counters among all. */
function rowOf(numbers: readonly number[], mechanism: number): number[] {
  const at = STATS.length + mechanism * MECHANISM_METRICS.length;
  return numbers.slice(at, at + MECHANISM_METRICS.length);
}

const only = (events: EventTotals): EventTotals => {
  const [written, delivered, dropped, waits] = EVENT_NAMES.map((name) => events[name]);
  return { written: written ?? 0, delivered: delivered ?? 0, dropped: dropped ?? 0, waits: waits ?? 0 };
};

/** The mechanisms whose functions stand in a diagram. */
const mechanismsIn = (diagram: string): string[] =>
  MECHANISM_ROWS.flatMap(({ name, title }) => (title !== null && diagram.includes(title) ? [name] : []));

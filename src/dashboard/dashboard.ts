/**
 * The dashboard: a run in a browser.
 *
 *     const dashboard = await Dashboard.start({ start: (choice) => Simulation.start({ ...choice, events: 'lossy' }), ... });
 *     console.log(dashboard.url);
 *     const report = await dashboard.close();
 */
import { randomBytes } from 'node:crypto';
import { InputError } from '../errors/errors.js';
import { PAGE_LEGEND } from '../lab/report/legend.js';
import type { Report } from '../lab/report/run-row.js';
import { PAGE_STATES } from '../lab/live/types.js';
import { listScenarios } from '../lab/scenario/scenario.js';
import { MECHANISMS } from '../machine/mechanisms.js';
import { LATENCIES, STATS } from '../machine/stats.js';
import { POLICIES } from '../policies/index.js';
import { DEFAULT_HOST, DEFAULT_PORT, EXPLAIN_SECONDS } from './defaults.js';
import type { HelloMessage } from './protocol.js';
import { TOKEN_SHAPE } from './server/guard.js';
import { Hub, type HubCounters, type HubOptions } from './server/hub.js';
import { BackgroundExplorer } from '../lab/handover/background.js';
import { MECHANISM_METRICS, PrometheusMetrics } from './server/prometheus.js';
import { Schedules } from './server/schedules.js';
import { type Serving, isLoopback, readSweep, serve } from './server/server.js';
import { type RunChoice, Session } from './server/session.js';
import type { Watched } from './server/watched.js';

export type { RunChoice, Watched };

export interface DashboardOptions {
  /** The address to bind to; beyond loopback a token is needed. */
  readonly host?: string;
  readonly port?: number;
  /** Asked of every request; made when there is none and `host` is no loopback address. */
  readonly token?: string | undefined;
  readonly owner?: 'dashboard' | 'stress';
  readonly choice: RunChoice;
  readonly start: (choice: RunChoice) => Promise<Watched>;
  /** Seconds that the explorer looks for each violation's schedule in the background; 0 = it does not. Default: 60. */
  readonly explainSeconds?: number;
  /** The folder where the explorer leaves its schedules. */
  readonly schedules?: string | undefined;
  /** A finished sweep of `tune`, as a JSON file. */
  readonly sweep?: string | undefined;
  readonly version?: string;
  /** Milliseconds between two metrics of the runs, two looks at actors, two looks at memory. */
  readonly intervalMs?: number;
  readonly actorsMs?: number;
  readonly memoryMs?: number;
  readonly hub?: HubOptions;
  /** Milliseconds in which a request, with its body, has to be whole. */
  readonly requestMs?: number;
}

export class Dashboard {
  readonly url: string;
  readonly port: number;
  /** Whether other machines can reach it. */
  readonly exposed: boolean;
  readonly session: Session;
  readonly #serving: Serving;
  readonly #hub: Hub;
  readonly #explorer: BackgroundExplorer | null;

  private constructor(
    serving: Serving,
    session: Session,
    hub: Hub,
    exposed: boolean,
    explorer: BackgroundExplorer | null,
  ) {
    this.#explorer = explorer;
    this.#serving = serving;
    this.url = serving.url;
    this.port = serving.port;
    this.session = session;
    this.#hub = hub;
    this.exposed = exposed;
  }

  /**
   * Serves the page; the run begins with `session.begin()`, or is taken up with `session.watch()`.
   * @throws InputError for an address, a token or a sweep that cannot be used
   */
  static async start(options: DashboardOptions): Promise<Dashboard> {
    const host = options.host ?? DEFAULT_HOST;
    const exposed = !isLoopback(host);
    const token = options.token ?? (exposed ? randomBytes(24).toString('base64url') : null);
    if (token !== null && !TOKEN_SHAPE.test(token)) {
      throw new InputError('--token: expected 16 to 128 letters, digits, dots, dashes, underscores or tildes');
    }
    const hub = new Hub(options.hub);
    const prometheus = new PrometheusMetrics();
    const schedules = new Schedules(options.schedules ?? null);
    const seconds = options.explainSeconds ?? EXPLAIN_SECONDS;
    const explorer = seconds > 0 ? new BackgroundExplorer(seconds) : null;
    const owner = options.owner ?? 'dashboard';
    const scenarios = listScenarios();
    // a scenario file of the command line may be run again from the page; no other file can be
    const known = new Set([...scenarios.map(({ name }) => name), options.choice.scenario]);
    const session = new Session({
      hub,
      prometheus,
      schedules,
      explorer,
      owner,
      choice: options.choice,
      start: options.start,
      actorsMs: options.actorsMs ?? 250,
      memoryMs: options.memoryMs ?? 1000,
      scenarios: [...known],
      policies: POLICIES.map(({ id }) => id),
    });
    const sweep = options.sweep === undefined ? null : readSweep(options.sweep);
    const hello = (): HelloMessage => ({
      version: options.version ?? '',
      owner,
      scenarios: [...known].map((name) => ({
        name,
        title: scenarios.find((scenario) => scenario.name === name)?.description ?? 'the file of the command line',
      })),
      policies: POLICIES.map(({ id, title }) => ({ id, title })),
      mechanisms: MECHANISMS,
      ops: STATS,
      latencies: LATENCIES,
      mechanismCounters: MECHANISM_METRICS.map(([name]) => name),
      pageStates: PAGE_STATES,
      state: session.state(),
      interval_s: (options.intervalMs ?? 1000) / 1000,
      legend: PAGE_LEGEND,
      sweep: sweep !== null,
    });
    const port = options.port ?? DEFAULT_PORT;
    const { requestMs } = options;
    const serving = await serve({ host, port, token, session, hub, prometheus, schedules, hello, sweep, requestMs });
    return new Dashboard(serving, session, hub, exposed, explorer);
  }

  /** What became of the stream's messages. */
  get counters(): HubCounters {
    return this.#hub.counters;
  }

  /** Ends the run and the server; resolves with the last run's report, null when there was none. */
  async close(interrupted = true): Promise<Report | null> {
    await this.#explorer?.close();
    const report = await this.session.close(interrupted);
    await this.#serving.close();
    return report;
  }
}

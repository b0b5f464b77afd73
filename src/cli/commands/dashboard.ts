/** `pinfall dashboard`: a run in a browser, turned while it runs. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { Dashboard, DashboardOptions } from '../../dashboard/dashboard.js';
import { DEFAULT_HOST, DEFAULT_PORT } from '../../dashboard/defaults.js';
import { Simulation } from '../../lab/run/simulation.js';
import type { SimulationOptions } from '../../lab/run/run-options.js';
import { duration, freshSeed, policy, seed, userPath, wholeNumber } from '../options.js';
import { EXIT_INCOMPLETE, exitOfRun } from '../exit-codes.js';
import { printReport } from '../output.js';
import { onInterrupt } from '../interrupt.js';
import { LEGENDS } from '../../lab/report/legend.js';
import { withLegend, withLegendOf } from '../render/legend.js';
import { renderStress } from '../render/stress.js';
import { tell } from '../terminal.js';

/** All actors meet this often, and the whole machine is audited. */
const AUDIT_SECONDS = 5;

export interface ServerFlags {
  port?: number;
  host?: string;
  token?: string;
}

interface DashboardFlags extends ServerFlags {
  policy?: string;
  workers?: number;
  cpus?: number;
  seed?: number;
  recording?: string;
  duration?: number;
  lossless?: boolean;
  sweep?: string;
  json?: boolean;
  report?: string;
  legend?: boolean;
}

export function dashboardCommand(): Command {
  const command = withLegend(new Command('dashboard'))
    .description('race a guest and watch it in a browser: charts, lanes, memory, races, knobs')
    .argument('[scenario]', 'a shipped scenario (see list) or a scenario file', 'redis-guest');
  return serverOptions(command)
    .option('--policy <id>', 'what pins and notifiers mean (see list)', policy)
    .option('--workers <n>', 'worker threads (default: one per actor)', wholeNumber('--workers', 1, 64))
    .option('--cpus <n>', 'vCPUs of the guest', wholeNumber('--cpus', 1, 8))
    .option('--seed <n>', 'fixes workload and daemons, not the interleaving', seed)
    .option('--recording <dir>', 'a recorded guest to replay')
    .option('--duration <time>', 'ends by itself after 20s, 2m (default: at Ctrl-C)', duration('--duration'))
    .option('--lossless', 'a full event ring holds its worker up, instead of dropping events')
    .option('--sweep <file>', 'show a finished sweep: the JSON report of tune')
    .option('--json', 'one report object on standard output, of the last run')
    .option('--report <file>', 'the report object to a file')
    .action(async (scenario: string, flags: DashboardFlags) => {
      process.exitCode = await dashboard(scenario, flags);
    });
}

/** What `stress --dashboard` takes too. */
export function serverOptions(command: Command): Command {
  return command
    .option(
      '--port <n>',
      `where the page is served; 0 = any free port (default: ${DEFAULT_PORT})`,
      wholeNumber('--port', 0, 65_535),
    )
    .option(
      '--host <address>',
      `the address to bind to; others than loopback need the token (default: ${DEFAULT_HOST})`,
    )
    .option('--token <text>', 'asked of every request (default: none on loopback, a new one elsewhere)');
}

/** Options of the server, as flags give them. */
export const serverFlags = (flags: ServerFlags) => ({
  ...(flags.port !== undefined && { port: flags.port }),
  ...(flags.host !== undefined && { host: flags.host }),
  token: flags.token ?? process.env['PINFALL_TOKEN'],
  version: version(),
});

/** Loads the server only when it is asked for: all other commands start without it. */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { Dashboard } = await import('../../dashboard/dashboard.js');
  return Dashboard.start(options);
}

/** Says where the page is: on standard error, since standard output may be a report. */
export function announce({ url, exposed }: Dashboard): void {
  if (exposed) {
    tell(
      'pinfall: WARNING: other machines can reach the dashboard. Whoever has the token can turn this run; nothing is encrypted.\n',
    );
  }
  tell(`pinfall: the dashboard is at ${url}\n`);
}

async function dashboard(scenario: string, flags: DashboardFlags): Promise<number> {
  const fixed: SimulationOptions = {
    command: 'dashboard',
    base: userPath('.'),
    events: flags.lossless === true ? 'lossless' : 'lossy',
    auditSeconds: AUDIT_SECONDS,
    metricsMs: 1000,
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    ...(flags.recording !== undefined && { recording: flags.recording }),
  };
  const page = await startDashboard({
    ...serverFlags(flags),
    choice: { scenario, policy: flags.policy, seed: flags.seed, workers: flags.workers },
    start: ({ scenario: name, policy: id, seed: chosen, workers }) =>
      Simulation.start({
        ...fixed,
        scenario: name,
        seed: chosen ?? freshSeed(),
        ...(id !== undefined && { policy: id }),
        ...(workers !== undefined && { workers }),
      }),
    schedules: userPath('.'),
    ...(flags.sweep !== undefined && { sweep: userPath(flags.sweep) }),
  });
  // also while the run starts
  let interrupted = false;
  let onStop: (() => void) | null = null;
  onInterrupt(() => {
    interrupted = true;
    onStop?.();
  });
  try {
    await page.session.begin();
  } catch (error) {
    await page.close();
    throw error;
  }
  await new Promise<void>((resolve) => {
    onStop = resolve;
    if (interrupted) resolve();
    else announce(page);
    if (flags.duration !== undefined) setTimeout(resolve, flags.duration * 1000);
  });
  const report = await page.close(interrupted);
  if (report === null) {
    tell('pinfall: there was no run, and there is nothing to report\n');
    return EXIT_INCOMPLETE;
  }
  printReport(report, flags, (each) => withLegendOf(renderStress(each), flags.legend, LEGENDS.dashboard));
  return exitOfRun(report);
}

function version(): string {
  const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

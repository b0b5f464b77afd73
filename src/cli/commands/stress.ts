/** `pinfall stress`: the main job. A guest raced on real threads for a time, watched, torn down and reported. */
import { Command } from 'commander';
import { type AutoSubject, AutoWorkers } from '../../lab/run/auto-workers.js';
import { fileProblem } from '../../lab/input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import { sumStat } from '../../lab/report/report.js';
import type { Report } from '../../lab/report/run-row.js';
import type { Dashboard } from '../../dashboard/dashboard.js';
import { HANDOVER_SECONDS } from '../../lab/handover/defaults.js';
import { Simulation } from '../../lab/run/simulation.js';
import { STAT } from '../../machine/stats.js';
import { EVENT_FILE_SUFFIXES, isEventFileName, openEventFile } from '../../trace/export/event-file.js';
import type { EventFile } from '../../trace/export/sink.js';
import { withWidth } from '../diagram-options.js';
import { NOISE_HELP, duration, freshSeed, noise, policy, seed, userPath, wholeNumber } from '../options.js';
import { type ServerFlags, announce, serverFlags, serverOptions, startDashboard } from './dashboard.js';
import { exitOfRun } from '../exit-codes.js';
import { ProgressLine, printReport } from '../output.js';
import { onInterrupt } from '../interrupt.js';
import { renderStress } from '../render/stress.js';
import { LEGENDS } from '../../lab/report/legend.js';
import { withLegend, withLegendOf } from '../render/legend.js';
import { number } from '../render/table.js';
import { noteOutputFailure, tell } from '../terminal.js';

/** All actors meet this often, and the whole machine is audited. */
const AUDIT_SECONDS = 5;

export interface StressFlags extends ServerFlags {
  policy?: string;
  workers?: number;
  cpus?: number;
  duration: number;
  seed?: number;
  recording?: string;
  auto?: boolean;
  events?: string;
  dashboard?: boolean;
  explain?: number | boolean;
  noise?: number;
  json?: boolean;
  report?: string;
  legend?: boolean;
}

export function stressCommand(): Command {
  const command = withWidth(withLegend(new Command('stress')))
    .description('race a guest on real threads, check it, and say who unmapped what')
    .argument('[scenario]', 'a shipped scenario (see list) or a scenario file', 'redis-guest')
    .option('--policy <id>', 'what pins and notifiers mean (see list)', policy)
    .option('--workers <n>', 'worker threads (default: one per actor)', wholeNumber('--workers', 1, 64))
    .option('--cpus <n>', 'vCPUs of the guest', wholeNumber('--cpus', 1, 8))
    .option('--duration <time>', 'how long: 20s, 500ms, 2m', duration('--duration'), 20)
    .option('--seed <n>', 'fixes workload and daemons, not the interleaving', seed)
    .option('--recording <dir>', 'a recorded guest to replay')
    .option('--noise <much>', NOISE_HELP, noise)
    .option('--auto', 'adjust the number of workers while it runs, and say why')
    .option('--events <file>', `write every event, to a file that ends in ${EVENT_FILE_SUFFIXES}`)
    .option('--dashboard', 'watch it in a browser')
    .option(
      '--explain <time>',
      `CPU time to look for violations on one thread, for a schedule that replays (default: ${HANDOVER_SECONDS}s)`,
      duration('--explain'),
    )
    .option('--no-explain', 'do not')
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file');
  return serverOptions(command).action(async (scenario: string, flags: StressFlags) => {
    process.exitCode = await stress(scenario, flags);
  });
}

async function stress(scenario: string, flags: StressFlags): Promise<number> {
  if (flags.events !== undefined && !isEventFileName(flags.events)) {
    throw new InputError(`--events: expected a file name that ends in ${EVENT_FILE_SUFFIXES}, got '${flags.events}'`);
  }
  const stray = (['port', 'host', 'token'] as const).find((name) => flags[name] !== undefined);
  if (stray !== undefined && flags.dashboard !== true) throw new InputError(`--${stray} goes with --dashboard`);
  // also while it starts: a run that has not begun ends with an empty report
  let interrupted = false;
  let onStop: (() => void) | null = null;
  onInterrupt(() => {
    interrupted = true;
    onStop?.();
  });
  const simulation = await Simulation.start({
    command: 'stress',
    scenario,
    base: userPath('.'),
    seed: flags.seed ?? freshSeed(),
    events: flags.events === undefined ? (flags.dashboard === true ? 'lossy' : 'recorder') : 'lossless',
    auditSeconds: AUDIT_SECONDS,
    lockEvents: flags.events?.endsWith('.perfetto.json') === true,
    ...(flags.policy !== undefined && { policy: flags.policy }),
    ...(flags.noise !== undefined && { noise: flags.noise }),
    ...(flags.workers !== undefined && { workers: flags.workers }),
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    ...(flags.recording !== undefined && { recording: flags.recording }),
  });
  const events = flags.events === undefined ? null : await openEvents(userPath(flags.events), simulation);
  if (events !== null) simulation.merged$.subscribe((batch) => events.write(batch));
  const page = flags.dashboard === true ? await openDashboard(scenario, flags, simulation) : null;
  const progress = new ProgressLine();
  const metrics = simulation.metrics$.subscribe((now) => {
    progress.show(
      `${now.elapsed_s.toFixed(0)} s  ${number(Math.round(now.rates.accesses))} accesses/s  ` +
        `${number(Math.round(now.rates.stage2_faults))} stage-2 faults/s  ` +
        `${number(Math.round(now.rates.notifier_starts))} notifiers/s  ${now.violations} violations`,
    );
  });
  const auto = flags.auto === true ? adjustWorkers(simulation, progress) : null;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, flags.duration * 1000);
    const stop = (): void => {
      clearTimeout(timer);
      resolve();
    };
    onStop = stop;
    if (interrupted) stop();
    // a run that ends by itself (a dead worker, a hang) need not be waited for
    void simulation.ended.then(stop);
    // nor one in which nothing more can happen
    void simulation.scenarioOver.then(stop);
  });
  metrics.unsubscribe();
  await auto?.stop();
  const ended = await simulation.stop(interrupted);
  const adjusted: Report = auto === null ? ended : { ...ended, auto: auto.steps };
  await page?.close();
  progress.clear();
  if (events !== null) closeEvents(events);
  let report = adjusted;
  let explanation = '';
  if (!interrupted && flags.explain !== false && adjusted.violation_count > 0) {
    // it brings the litmus language, whose parser takes as long to load as all the rest
    const { explain, renderHandovers } = await import('../hand-over.js');
    const handed = await explain(adjusted, simulation, flags, progress, () => interrupted);
    report = handed.report;
    explanation = renderHandovers(report, handed.written);
  }
  printReport(report, flags, (each) => {
    const text = [renderStress(each), explanation].filter(Boolean).join('\n\n');
    return withLegendOf(text, flags.legend, LEGENDS.stress);
  });
  return exitOfRun(report);
}

/** `--auto`: each decision is a line on standard error. */
function adjustWorkers(simulation: Simulation, progress: ProgressLine): AutoWorkers {
  const subject: AutoSubject = {
    get elapsedSeconds() {
      return simulation.elapsedSeconds;
    },
    get workers() {
      return simulation.placement().workers;
    },
    get workersMax() {
      return simulation.placement().workersMax;
    },
    get accesses() {
      return sumStat(simulation.machine, STAT.accesses);
    },
    setWorkers: (workers) => simulation.setWorkers(workers),
  };
  return new AutoWorkers(subject, {
    onStep: ({ at_s, workers, rate, reason }) => {
      progress.clear();
      const where = `${workers} worker${workers === 1 ? '' : 's'}`;
      tell(`auto: ${at_s.toFixed(1)} s  ${where}  ${number(rate)} accesses/s  ${reason}\n`);
    },
  });
}

/** Created once the scenario is known to be good; a file that cannot be written ends the run at once. */
async function openEvents(path: string, simulation: Simulation): Promise<EventFile> {
  try {
    return openEventFile(path, simulation.actorNames);
  } catch (error) {
    await simulation.stop(true);
    throw new InputError(`--events ${path}: cannot be written (${fileProblem(error)})`);
  }
}

/** A disk that was full is told, and the report follows. */
function closeEvents(events: EventFile): void {
  try {
    events.close();
  } catch (error) {
    noteOutputFailure(events.path, error);
  }
}

/** A page for a run that is under way; an address that cannot be had ends the run at once. */
async function openDashboard(scenario: string, flags: StressFlags, simulation: Simulation): Promise<Dashboard> {
  try {
    const page = await startDashboard({
      ...serverFlags(flags),
      owner: 'stress',
      choice: { scenario },
      start: () => Promise.reject(new InputError('a stress run is started by its command')),
      schedules: userPath('.'),
      ...(flags.explain === false && { explainSeconds: 0 }),
    });
    page.session.watch(simulation);
    announce(page);
    return page;
  } catch (error) {
    await simulation.stop(true);
    throw error;
  }
}

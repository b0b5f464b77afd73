/** `pinfall tune`: sweeps worker counts, placements and the engine's numbers, and recommends one setting. */
import { relative } from 'node:path';
import { Command, Option } from 'commander';
import { InputError } from '../../errors/errors.js';
import { METRICS, type Metric } from '../../lab/tune/measure.js';
import { pngConverter } from '../../lab/tune/png.js';
import { applyEngine, applyTarget } from '../../lab/tune/apply.js';
import { tune } from '../../lab/tune/index.js';
import { STAGES, type StageName } from '../../lab/tune/sweep.js';
import type { TuneReport } from '../../lab/tune/report.js';
import { checkWritable } from '../destinations.js';
import { onInterrupt } from '../interrupt.js';
import { duration, oneOf, policy, seed, userPath, wholeNumber } from '../options.js';
import { EXIT_INCOMPLETE, EXIT_OK, EXIT_VIOLATION } from '../exit-codes.js';
import { ProgressLine, printReport } from '../output.js';
import { LEGENDS } from '../../lab/report/legend.js';
import { withLegend, withLegendOf } from '../render/legend.js';
import { renderTune } from '../render/tune.js';
import { noteOutputFailure, tell } from '../terminal.js';

/** More workers than this are tried only when they are asked for. */
const WORKERS_DEFAULT: readonly [number, number] = [1, 8];
const WORKERS_MOST = 64;
const STATE_FILE = 'pinfall.tune.json';
const SEED = 1;

interface TuneFlags {
  workers: readonly [number, number];
  metric: Metric;
  repeat: number;
  stages: readonly StageName[];
  duration: number;
  policy?: string;
  cpus?: number;
  seed: number;
  state: string;
  apply?: boolean;
  chart?: string;
  json?: boolean;
  report?: string;
  legend?: boolean;
}

export function tuneCommand(): Command {
  return withLegend(new Command('tune'))
    .description('find the worker count, placement and engine numbers that suit a scenario best')
    .argument('[scenario]', 'a shipped scenario (see list) or a scenario file', 'redis-guest')
    .addOption(
      new Option('--workers <from..to>', 'worker counts to try')
        .argParser(workerRange)
        .default(WORKERS_DEFAULT, WORKERS_DEFAULT.join('..')),
    )
    .option('--metric <name>', `what to have most of: ${METRICS.join(', ')}`, metric, 'accesses')
    .option('--repeat <n>', 'repetitions of each setting', wholeNumber('--repeat', 1, 100), 3)
    .option('--duration <time>', 'of one measurement', duration('--duration'), 1)
    .addOption(
      new Option('--stages <a,b>', `what to sweep: ${STAGES.join(', ')}`).argParser(stageNames).default(STAGES, 'all'),
    )
    .option('--policy <id>', 'what pins and notifiers mean (see list)', policy)
    .option('--cpus <n>', 'vCPUs of the guest', wholeNumber('--cpus', 1, 8))
    .option('--seed <n>', 'fixes the workload, for all settings the same', seed, SEED)
    .option('--state <file>', 'where the sweep is kept, to go on after Ctrl-C', STATE_FILE)
    .option('--apply', "write the recommended setting to the scenario's file (of a shipped one: to a copy here)")
    .option('--chart <file>', 'a chart, to a file that ends in .svg, or in .png where @resvg/resvg-js is installed')
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (scenario: string, flags: TuneFlags) => {
      process.exitCode = await run(scenario, flags);
    });
}

const metric = (text: string): Metric => oneOf('--metric', METRICS)(text) as Metric;

/** Some of the stages, in any order. */
const stageNames = (text: string): readonly StageName[] =>
  text.split(',').map((name) => oneOf('--stages', STAGES)(name) as StageName);

/** `1..8`, or one number. */
function workerRange(text: string): readonly [number, number] {
  const match = /^(\d{1,3})(?:\.\.(\d{1,3}))?$/.exec(text);
  const from = Number(match?.[1] ?? Number.NaN);
  const to = Number(match?.[2] ?? match?.[1] ?? Number.NaN);
  if (!(from >= 1 && to <= WORKERS_MOST && from <= to)) {
    throw new InputError(
      `--workers: expected a range such as 1..8, from 1 to ${WORKERS_MOST}, the smaller first, got '${text}'`,
    );
  }
  return [from, to];
}

async function run(scenario: string, flags: TuneFlags): Promise<number> {
  const base = userPath('.');
  const target = flags.apply === true ? applyTarget(scenario, base) : null;
  // a sweep takes minutes: what cannot be written is said before it
  if (flags.chart !== undefined && !/\.(?:svg|png)$/.test(flags.chart)) {
    throw new InputError(`--chart: expected a file name that ends in .svg or .png, got '${flags.chart}'`);
  }
  if (flags.chart !== undefined) checkWritable('--chart', flags.chart);
  if (flags.chart?.endsWith('.png') === true) await pngConverter();
  if (flags.report !== undefined) checkWritable('--report', flags.report);
  if (target !== null) checkWritable('--apply', target.to);
  const progress = new ProgressLine({ lines: true });
  const started = performance.now();
  let measured = 0;
  const report = await tune({
    scenario,
    base,
    seed: flags.seed,
    metric: flags.metric,
    range: flags.workers,
    repetitions: flags.repeat,
    stages: flags.stages,
    seconds: flags.duration,
    statePath: userPath(flags.state),
    interrupted: new Promise((resolve) => onInterrupt(resolve)),
    ...(flags.policy !== undefined && { policy: flags.policy }),
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    onUnwritten: (error) => noteOutputFailure(userPath(flags.state), error),
    onRun: ({ name, stage, done, expected }) => {
      const each = measured === 0 ? flags.duration * 1.3 + 0.7 : (performance.now() - started) / 1000 / measured;
      measured++;
      const left = Math.round((expected - done) * each);
      progress.show(`${stage} ${done + 1} of about ${expected}, ${left} s left: ${name}`);
    },
  });
  progress.clear();
  const willApply = target !== null && report.recommended?.is_default === false;
  const given = {
    ...(flags.policy !== undefined && { policy: flags.policy }),
    ...(willApply && { applied: relative(base, target.to) || target.to }),
  };
  printReport(report, flags, (made) => withLegendOf(renderTune(made, given), flags.legend, LEGENDS.tune));
  if (flags.chart !== undefined && report.rows.length > 0) {
    const { writeChart } = await import('../../lab/tune/chart.js');
    await kept(userPath(flags.chart), (path) => writeChart(report, path));
  }
  if (target !== null) await kept(target.to, () => apply(report, target));
  if (report.violation_count > 0) return EXIT_VIOLATION;
  // interrupted, it goes on another time; or there was no answer to give
  return report.recommended !== null && report.ok ? EXIT_OK : EXIT_INCOMPLETE;
}

/** What was measured has been told: a file that cannot be written is noted, and costs the others nothing. */
async function kept(path: string, write: (path: string) => void | Promise<void>): Promise<void> {
  try {
    await write(path);
  } catch (error) {
    noteOutputFailure(path, error);
  }
}

/** Says what it did on standard error: standard output may be a report. */
function apply(report: TuneReport, target: ReturnType<typeof applyTarget>): void {
  const { recommended } = report;
  if (recommended === null || recommended.is_default) {
    const why =
      recommended !== null
        ? 'the default is recommended'
        : report.end.kind === 'interrupted'
          ? 'the sweep was interrupted'
          : 'nothing is recommended';
    tell(`pinfall: --apply: nothing written, ${why}\n`);
    return;
  }
  applyEngine(target, recommended.engine);
  const how = target.copy ? 'a copy of the shipped scenario with' : 'now has';
  tell(`pinfall: ${target.to}: ${how} engine: ${JSON.stringify(recommended.engine)}\n`);
}

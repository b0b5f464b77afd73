/** `pinfall compare`: what each policy costs and gives up, on the same guest. */
import { Command, Option } from 'commander';
import { type CompareReport, type Spread, compare } from '../../lab/run/compare.js';
import { notAskedLine } from '../../lab/report/asked.js';
import { POLICIES } from '../../policies/index.js';
import { NOISE_HELP, duration, freshSeed, noise, policies, seed, userPath, wholeNumber } from '../options.js';
import { EXIT_INCOMPLETE, exitOfRun } from '../exit-codes.js';
import { ProgressLine, printReport } from '../output.js';
import { onInterrupt } from '../interrupt.js';
import { pc } from '../render/colour.js';
import { nextCommand } from '../render/next.js';
import { LEGENDS } from '../../lab/report/legend.js';
import { withLegend, withLegendOf } from '../render/legend.js';
import { number, table } from '../render/table.js';

interface CompareFlags {
  policies: string[];
  workers?: number;
  cpus?: number;
  duration: number;
  repeat: number;
  seed?: number;
  recording?: string;
  noise?: number;
  json?: boolean;
  report?: string;
  legend?: boolean;
}

export function compareCommand(): Command {
  return withLegend(new Command('compare'))
    .description('the same guest under each policy for equal time')
    .argument('[scenario]', 'a shipped scenario (see list) or a scenario file', 'redis-guest')
    .addOption(
      new Option('--policies <a,b,c>', 'which (see list)').argParser(policies).default(
        POLICIES.map(({ id }) => id),
        'all',
      ),
    )
    .option('--workers <n>', 'worker threads (default: one per actor)', wholeNumber('--workers', 1, 64))
    .option('--cpus <n>', 'vCPUs of the guest', wholeNumber('--cpus', 1, 8))
    .option(
      '--duration <time>',
      'of each run; up to three times that where other processes take the CPU',
      duration('--duration'),
      5,
    )
    .option('--repeat <n>', 'runs of each policy, taken in turns', wholeNumber('--repeat', 1, 100), 3)
    .option('--seed <n>', 'fixes workload and daemons, not the interleaving', seed)
    .option('--recording <dir>', 'a recorded guest to replay')
    .option('--noise <much>', NOISE_HELP, noise)
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (scenario: string, flags: CompareFlags) => {
      process.exitCode = await run(scenario, flags);
    });
}

async function run(scenario: string, flags: CompareFlags): Promise<number> {
  const progress = new ProgressLine({ lines: true });
  const report = await compare({
    scenario,
    policies: flags.policies,
    seconds: flags.duration,
    repetitions: flags.repeat,
    seed: flags.seed ?? freshSeed(),
    base: userPath('.'),
    ...(flags.noise !== undefined && { noise: flags.noise }),
    ...(flags.workers !== undefined && { workers: flags.workers }),
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    ...(flags.recording !== undefined && { recording: flags.recording }),
    interrupted: new Promise((resolve) => onInterrupt(resolve)),
    onPolicy: (policy, index, runs) =>
      progress.show(`${policy} (run ${index + 1} of ${runs}), ${number(flags.duration)} s`),
  });
  progress.clear();
  printReport(report, flags, (each) => withLegendOf(renderCompare(each), flags.legend, LEGENDS.compare));
  const isCut = report.end.kind === 'interrupted' && report.violation_count === 0;
  return isCut ? EXIT_INCOMPLETE : exitOfRun(report);
}

const byMechanism = (row: CompareReport['rows'][number]): string =>
  Object.entries(row.pinned_by_mechanism)
    .map(([name, count]) => `${name} ${count.toLocaleString('en')}`)
    .join(', ');

/** In the place of a number of violations. */
const NOT_ASKED = 'not asked';

/** What broke under which policy, and what it says that nothing did under the others. */
function answer({ rows, silence }: CompareReport): string {
  const found = rows
    .filter(({ violations }) => violations > 0)
    .map((row) => `${row.policy} (${brokenOf(row).replace(/^[\d,]+: /, '')} in ${number(row.seconds)} s)`);
  const broken = found.length > 0 ? [pc.red(`Broken: ${found.join(', ')}.`)] : [];
  return [...broken, ...(silence === null ? [] : [silence])].join(' ');
}

/** What was broken, and where nothing was, in how much: silence is no proof. */
function brokenOf(row: CompareReport['rows'][number]): string {
  if (!row.asked) return NOT_ASKED;
  if (row.violations === 0) return `none in ${number(row.seconds)} s`;
  const told = Object.entries(row.broken).map(([invariant, count]) => `${invariant} ${number(count)}`);
  return `${number(row.violations)}: ${told.join(', ')}`;
}

function interval({ low, high }: Spread): string {
  return low === null || high === null ? 'one run' : `${number(Math.round(low))} .. ${number(Math.round(high))}`;
}

/** What the figures are, and are not. */
const CAVEATS = `Rates and latencies are this simulation's, on this machine: they compare
policies with each other, run in turns, and say nothing of how fast a real host
would be. Counts per million guest accesses do not hang on the machine's speed,
but on the scenario's rates, which are denser than a real kernel's. Intervals
are the lowest and the highest run: policies whose intervals overlap are not
told apart.`;

function renderCompare(report: CompareReport): string {
  const { rows } = report;
  return [
    report.not_asked === null ? answer(report) : pc.red(notAskedLine(report.not_asked)),
    `pinfall compare  scenario ${report.scenario}, seed ${report.seed}, ${report.workers} workers, ` +
      `${report.repetitions} run${report.repetitions === 1 ? '' : 's'} of ${report.duration_s} s each, in turns`,
    table(
      ['policy', 'stage-2 unmaps', 'of pinned', 'refaults', 'divergences', 'violations'],
      rows.map((row) => [
        row.policy,
        row.stage2_unmaps,
        row.stage2_unmaps_pinned,
        row.refaults,
        row.divergences,
        brokenOf(row),
      ]),
    ),
    table(
      ['policy', 'accesses/s', 'interval', 'unmaps per million', 'refaults per million'],
      rows.map((row) => [
        row.policy,
        Math.round(row.rate.median),
        interval(row.rate),
        Math.round(row.unmaps_per_million.median),
        Math.round(row.refaults_per_million.median),
      ]),
    ),
    table(
      ['policy', 'merged', 'migrated', 'collapsed', 'saved MiB', 'fault p50 us', 'p99 us'],
      rows.map((row) => [
        row.policy,
        row.merged,
        row.migrated,
        row.collapsed,
        row.memory_saved / 2 ** 20,
        row.fault_latency_us.p50,
        row.fault_latency_us.p99,
      ]),
    ),
    table(
      ['policy', 'who unmapped pinned pages'],
      rows.map((row) => [row.policy, byMechanism(row) || 'nobody']),
    ),
    CAVEATS,
    nextCommand(['explore', '--policy', 'check-then-notify'], 'the interleaving that breaks checking first'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

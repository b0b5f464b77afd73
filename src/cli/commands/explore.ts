/** `pinfall explore`: schedule after schedule, until a rule breaks. */
import { Command } from 'commander';
import { Budget } from '../../lab/explore/budget.js';
import { EXPLORE_DEFAULTS, type ExploreProgress, explore } from '../../lab/explore/explore.js';
import { INVARIANTS } from '../../oracle/index.js';
import { subjectOf } from '../../lab/explore/subject.js';
import { STRATEGIES } from '../../engine/strategies/index.js';
import { EXHAUSTIVE } from '../../lab/explore/prove.js';
import { withWidth } from '../diagram-options.js';
import { duration, oneOf, policy, seed, userPath, wholeNumber, workers } from '../options.js';
import { exitOfSearch } from '../exit-codes.js';
import { ProgressLine, printReport, writeWhole } from '../output.js';
import { onInterrupt } from '../interrupt.js';
import { renderExplore } from '../render/explore.js';
import { LEGENDS } from '../../lab/report/legend.js';
import { withLegend, withLegendOf } from '../render/legend.js';
import { number } from '../render/table.js';

interface ExploreFlags {
  policy?: string;
  strategy: string;
  depth?: number;
  schedules?: number;
  duration?: number;
  budget?: number;
  workers: number;
  steps?: number;
  seed?: number;
  keepGoing?: boolean;
  until?: string;
  schedule?: string;
  events?: string;
  json?: boolean;
  report?: string;
  legend?: boolean;
}

const strategies = [...STRATEGIES.map(({ name }) => name), EXHAUSTIVE];

export function exploreCommand(): Command {
  return withWidth(withLegend(new Command('explore')))
    .description('try schedules, and give the one that breaks a rule')
    .argument('[scenario]', 'a scenario, a scenario file or a program (see list)', 'pin-race')
    .option('--policy <id>', 'what pins and notifiers mean (see list)', policy)
    .option('--strategy <name>', strategies.join(', '), oneOf('--strategy', strategies), EXPLORE_DEFAULTS.strategy)
    .option('--depth <n>', 'pct: ordering constraints of the bugs it looks for', wholeNumber('--depth', 1, 100))
    .option(
      '--schedules <n>',
      `how many at most (default: ${EXPLORE_DEFAULTS.schedules}, without --duration and --budget)`,
      wholeNumber('--schedules', 1, 1e12),
    )
    .option('--duration <time>', 'for how long at most, by the clock, such as 30s', duration('--duration'))
    .option(
      '--budget <time>',
      'CPU time of each worker at most; the clock ends it at ten times that',
      duration('--budget'),
    )
    .option('--workers <n>', "threads, or 'auto' for one per core; the result is the same", workers, 1)
    .option('--steps <n>', 'a schedule of so many steps ends there', wholeNumber('--steps', 1, 1e7))
    .option('--seed <n>', 'same seed, same report', seed, 1)
    .option('--keep-going', 'count all violations instead of stopping at the first')
    .option(
      '--until <invariant>',
      'go on until this one is broken',
      oneOf(
        '--until',
        INVARIANTS.map(({ id }) => id),
      ),
    )
    .option('--schedule <file>', 'where the schedule of a violation is written', 'pinfall.schedule')
    .option('--events <file>', "that schedule's events, as NDJSON")
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (scenario: string, flags: ExploreFlags) => {
      process.exitCode = await run(scenario, flags);
    });
}

async function run(scenario: string, flags: ExploreFlags): Promise<number> {
  const subject = subjectOf({ scenario, policy: flags.policy, seed: flags.seed ?? 1, base: userPath('.') });
  const progress = new ProgressLine();
  let interrupted = false;
  onInterrupt(() => {
    interrupted = true;
  });
  const { report, events } = await explore({
    subject,
    strategy: flags.strategy,
    schedules:
      flags.schedules ??
      (flags.duration === undefined && flags.budget === undefined && flags.strategy !== EXHAUSTIVE
        ? EXPLORE_DEFAULTS.schedules
        : 1e12),
    workers: flags.workers,
    ...(flags.duration !== undefined && { seconds: flags.duration }),
    ...(flags.budget !== undefined && { budget: new Budget(flags.budget) }),
    ...(flags.depth !== undefined && { depth: flags.depth }),
    ...(flags.steps !== undefined && { stepsMax: flags.steps }),
    ...(flags.until !== undefined && { until: flags.until }),
    ...(flags.keepGoing === true && { keepGoing: true }),
    stop: () => interrupted,
    onProgress: (now) => progress.show(progressText(now)),
  });
  progress.clear();
  if (flags.events !== undefined) writeWhole(userPath(flags.events), events);
  const schedule = report.violations.find((violation) => violation.schedule !== undefined)?.schedule;
  const file = flags.schedule ?? 'pinfall.schedule';
  // with --json the schedule stands in the report; a file would be a surprise
  const written = schedule !== undefined && flags.json !== true && writeWhole(userPath(file), schedule);
  printReport(report, flags, (each) =>
    withLegendOf(renderExplore(each, written ? file : undefined), flags.legend, LEGENDS.explore),
  );
  return exitOfSearch(report);
}

/** Done and left, how fast, and whether anything new still comes up. */
function progressText(now: ExploreProgress): string {
  const rate = Math.round(now.schedules / Math.max(now.elapsedSeconds, 1e-6));
  const left = now.leftSeconds < 1e6 ? `${number(Math.ceil(now.leftSeconds))} s left` : 'no end in sight';
  return (
    `${number(now.schedules)} schedules, ${number(now.leftSchedules)} to go, ${left}, ${number(rate)}/s; ` +
    `${now.violations} violations; ${number(now.newPerThousand)} new per thousand; ` +
    `orders: ${number(now.pairsBoth)} pairs both, ${number(now.pairsOne)} one`
  );
}

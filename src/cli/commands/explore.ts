/** `pinfall explore`: schedule after schedule on one thread, until a rule breaks. */
import { Command } from 'commander';
import { EXPLORE_DEFAULTS, explore } from '../../lab/explore.js';
import { INVARIANTS } from '../../oracle/index.js';
import { subjectOf } from '../../lab/subject.js';
import { STRATEGIES } from '../../engine/strategies/index.js';
import { oneOf, policy, seed, userPath, wholeNumber } from '../options.js';
import { EXIT_OK, EXIT_VIOLATION, ProgressLine, printReport, writeWhole } from '../output.js';
import { onInterrupt } from '../interrupt.js';
import { renderExplore } from '../render/explore.js';
import { number } from '../render/table.js';

interface ExploreFlags {
  policy?: string;
  strategy: string;
  depth?: number;
  schedules: number;
  steps?: number;
  seed?: number;
  keepGoing?: boolean;
  until?: string;
  schedule?: string;
  events?: string;
  json?: boolean;
  report?: string;
}

const strategies = STRATEGIES.map(({ name }) => name);

export function exploreCommand(): Command {
  return new Command('explore')
    .description('try schedules on one thread, and give the one that breaks a rule')
    .argument('[scenario]', 'a scenario, a scenario file or a program (see list)', 'pin-race')
    .option('--policy <id>', 'what pins and notifiers mean (see list)', policy)
    .option('--strategy <name>', strategies.join(' or '), oneOf('--strategy', strategies), strategies[0])
    .option('--depth <n>', 'pct: ordering constraints of the bugs it looks for', wholeNumber('--depth', 1, 100))
    .option('--schedules <n>', 'how many at most', wholeNumber('--schedules', 1, 1e12), EXPLORE_DEFAULTS.schedules)
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
    schedules: flags.schedules,
    ...(flags.depth !== undefined && { depth: flags.depth }),
    ...(flags.steps !== undefined && { stepsMax: flags.steps }),
    ...(flags.until !== undefined && { until: flags.until }),
    ...(flags.keepGoing === true && { keepGoing: true }),
    stop: () => interrupted,
    onProgress: (now) =>
      progress.show(
        `${number(now.schedules)} of ${number(now.schedulesMax)} schedules, ${number(now.steps)} steps, ` +
          `${number(Math.round(now.steps / Math.max(now.elapsedSeconds, 1e-6)))} steps/s, ${now.violations} violations`,
      ),
  });
  progress.clear();
  if (flags.events !== undefined) writeWhole(userPath(flags.events), events);
  const schedule = report.violations.find((violation) => violation.schedule !== undefined)?.schedule;
  const file = flags.schedule ?? 'pinfall.schedule';
  // with --json the schedule stands in the report; a file would be a surprise
  const written = schedule !== undefined && flags.json !== true;
  if (written) writeWhole(userPath(file), schedule);
  printReport(report, flags, (each) => renderExplore(each, written ? file : undefined));
  return report.violation_count > 0 ? EXIT_VIOLATION : EXIT_OK;
}

/** `pinfall zoo`: the planted historical bugs; `zoo run` finds them again. */
import { Command } from 'commander';
import { STRATEGIES } from '../../engine/strategies/index.js';
import { InputError } from '../../errors/errors.js';
import { meant } from '../../lab/input/nearest.js';
import { ZOO_DEFAULTS, listZoo, runZoo, zooBugs } from '../../lab/zoo/zoo.js';
import { onInterrupt } from '../interrupt.js';
import { withWidth } from '../diagram-options.js';
import { duration, seed, wholeNumber } from '../options.js';
import { EXIT_OK, exitOfAnswers } from '../exit-codes.js';
import { ProgressLine, printReport } from '../output.js';
import { renderZooList, renderZooRun } from '../render/zoo.js';

interface ZooFlags {
  seeds: number;
  seed: number;
  schedules: number;
  time: number;
  exhaustive: number;
  threads?: number;
  strategies?: readonly string[];
  json?: boolean;
  report?: string;
}

/** Comma-separated names of strategies. */
function strategies(text: string): readonly string[] {
  const known = STRATEGIES.map(({ name }) => name);
  return text.split(',').map((name) => {
    if (known.includes(name)) return name;
    throw new InputError(`--strategies: no '${name}'; expected some of ${known.join(', ')}${meant(name, known)}`);
  });
}

export function zooCommand(): Command {
  const zoo = new Command('zoo')
    .description('the planted bugs: what each is; `zoo run [ids]` finds them again')
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .allowExcessArguments()
    .action((flags: ZooFlags, command: Command) => {
      const [word] = command.args;
      if (word !== undefined) {
        throw new InputError(
          `zoo: no command '${word}'; expected run, with the ids of bugs, or nothing${meant(word, ['run'])}`,
        );
      }
      const bugs = listZoo();
      printReport({ schema: 'pinfall.zoo/1', bugs }, flags, () => renderZooList(bugs));
      process.exitCode = EXIT_OK;
    });
  const run = withWidth(new Command('run'))
    .description('looks for bugs with every strategy, and proves their files clean without them')
    .argument('[ids...]', 'such as Z04; none: all')
    .option('--strategies <names>', 'comma-separated; none: all', strategies)
    .option('--seeds <n>', 'searches of each strategy', wholeNumber('--seeds', 1, 1000), ZOO_DEFAULTS.seeds)
    .option('--seed <n>', 'the first of them', seed, 1)
    .option('--schedules <n>', 'of one search at most', wholeNumber('--schedules', 1, 1e12), ZOO_DEFAULTS.schedules)
    .option('--time <time>', 'CPU time of one search at most', duration('--time'), ZOO_DEFAULTS.seconds)
    .option(
      '--exhaustive <time>',
      'CPU time of one exhaustive search at most',
      duration('--exhaustive'),
      ZOO_DEFAULTS.exhaustiveSeconds,
    )
    .option(
      '--threads [time]',
      'race each on real threads too: CPU time of each worker at most, ten times that by the clock (default: 60s)',
      threadTime,
    )
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (ids: string[], _flags: ZooFlags, command: Command) => {
      process.exitCode = await runAll(ids, command.optsWithGlobals<ZooFlags>());
    });
  zoo.addCommand(run.exitOverride());
  return zoo;
}

const threadTime = (text: string): number => duration('--threads')(text);
const THREAD_SECONDS = 60;

async function runAll(ids: string[], flags: ZooFlags): Promise<number> {
  zooBugs(ids);
  const progress = new ProgressLine();
  let interrupted = false;
  onInterrupt(() => {
    interrupted = true;
  });
  const threads: unknown = flags.threads;
  const report = await runZoo({
    ids,
    ...(flags.strategies !== undefined && { strategies: flags.strategies }),
    seeds: flags.seeds,
    seed: flags.seed,
    schedules: flags.schedules,
    seconds: flags.time,
    exhaustiveSeconds: flags.exhaustive,
    threadSeconds: threads === true ? THREAD_SECONDS : (flags.threads ?? 0),
    stop: () => interrupted,
    onProgress: (text) => progress.show(text),
  });
  progress.clear();
  printReport(report, flags, renderZooRun);
  const broken = report.entries.flatMap(({ unplanted }) => unplanted?.violations ?? []);
  return exitOfAnswers({ ok: report.ok, violation_count: broken.length }, report.end.kind === 'interrupted');
}

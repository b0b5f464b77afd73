/** `pinfall explain`: draws a schedule of a litmus file that ends in a given outcome. */
import { Command } from 'commander';
import { STRATEGIES } from '../../engine/strategies/index.js';
import { type ExplainReport, explainLitmus } from '../../lab/litmus/explain.js';
import { LITMUS_DEFAULTS } from '../../lab/litmus/run.js';
import { litmusPath, readLitmus } from '../../lab/litmus/subject.js';
import { BUGS } from '../../zoo/index.js';
import { type DiagramFlags, printDrawn, withDiagramOptions } from '../diagram-options.js';
import { InputError } from '../../errors/errors.js';
import { onInterrupt } from '../interrupt.js';
import { duration, oneOf, policy, seed, userPath, wholeNumber, workers } from '../options.js';
import { exitOfAnswers } from '../exit-codes.js';
import { writeWhole } from '../output.js';
import { renderExplain } from '../render/explain.js';

interface ExplainFlags extends DiagramFlags {
  outcome?: string;
  policy?: string;
  bug?: string;
  strategy?: string;
  schedules?: number;
  budget?: number;
  workers?: number;
  seed?: number;
  schedule?: string;
  events?: string;
}

const strategies = STRATEGIES.map(({ name }) => name);
const bugs = BUGS.map(({ id }) => id);

export function explainCommand(): Command {
  return withDiagramOptions(new Command('explain'))
    .description('draw a schedule of a litmus file that ends in an outcome, also a good one')
    .argument('<file>', 'a litmus file, or the name of a shipped one')
    .option('--outcome <text>', "part of an outcome as litmus prints it, 'violation I-PIN', or '(condition)'")
    .option('--policy <id>', "instead of the file's policy", policy)
    .option('--bug <id>', "a planted bug instead of the file's policy", oneOf('--bug', bugs))
    .option('--strategy <name>', strategies.join(', '), oneOf('--strategy', strategies))
    .option(
      '--schedules <n>',
      `at most so many (default: ${LITMUS_DEFAULTS.schedules})`,
      wholeNumber('--schedules', 1, 1e12),
    )
    .option(
      '--budget <time>',
      `CPU time of each worker at most; the clock ends it at ten times that (default: ${LITMUS_DEFAULTS.seconds}s)`,
      duration('--budget'),
    )
    .option('--workers <n>', "threads, or 'auto' for one per core", workers)
    .option('--seed <n>', 'same seed, same report', seed, 1)
    .option('--schedule <file>', 'where the schedule is written, for replay')
    .option('--events <file>', 'its events, as NDJSON')
    .option('--json', 'one object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (file: string, flags: ExplainFlags) => {
      process.exitCode = await run(file, flags);
    });
}

async function run(file: string, flags: ExplainFlags): Promise<number> {
  const { outcome } = flags;
  if (outcome === undefined) {
    throw new InputError(
      '--outcome: expected what to draw, such as violation, or a part of an outcome that litmus prints',
    );
  }
  const base = userPath('.');
  const path = litmusPath(file, base);
  const options = { seed: flags.seed ?? 1, policy: flags.policy, bug: flags.bug };
  let interrupted = false;
  onInterrupt(() => {
    interrupted = true;
  });
  const { report, drawing, events } = await explainLitmus({
    source: { path, text: readLitmus(path, base), options },
    outcome,
    actor: flags.actor,
    strategy: flags.strategy,
    schedules: flags.schedules,
    seconds: flags.budget,
    workers: flags.workers,
    stop: () => interrupted,
  });
  const { schedule } = report;
  if (flags.events !== undefined && report.found) writeWhole(userPath(flags.events), events);
  if (flags.schedule !== undefined && report.found) writeWhole(userPath(flags.schedule), schedule);
  printDrawn<ExplainReport>(report, drawing, flags, renderExplain);
  return exitOfAnswers({ ok: report.found, violation_count: 0 }, !report.found && interrupted);
}

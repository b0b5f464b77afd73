/** `pinfall litmus`: a litmus file's outcomes and answers; with `--check` only its mistakes. */
import { Command } from 'commander';
import { join } from 'node:path';
import { EXHAUSTIVE } from '../../lab/litmus/prove.js';
import type { Mistake } from '../../lab/litmus/language/parse.js';
import { LITMUS_DEFAULTS, type LitmusReport, type Reduced, runLitmus } from '../../lab/litmus/run.js';
import { type LitmusSubject, checkedLitmus, litmusPath, litmusSubject, readLitmus } from '../../lab/litmus/subject.js';
import { mistakeLine, LitmusError, InputError } from '../../errors/errors.js';
import { HANDOVER_SECONDS } from '../../lab/handover/defaults.js';
import { handOverLitmus } from '../../lab/handover/handover.js';
import { runLitmusThreads } from '../../lab/litmus/threads/report.js';
import { STRATEGIES } from '../../engine/strategies/index.js';
import { BUGS } from '../../zoo/index.js';
import { onInterrupt } from '../interrupt.js';
import { withWidth } from '../diagram-options.js';
import { duration, oneOf, policy, seed, userPath, wholeNumber, workers } from '../options.js';
import { EXIT_BAD_INPUT, EXIT_OK, exitOfAnswers } from '../exit-codes.js';
import { ProgressLine, printReport, writeWhole } from '../output.js';
import { renderLitmusThreads, renderReduced } from '../render/litmus-threads.js';
import { renderLitmus } from '../render/litmus.js';
import { LEGENDS } from '../../lab/report/legend.js';
import { withLegend, withLegendOf } from '../render/legend.js';
import { number } from '../render/table.js';
import { oneLine, print, tell } from '../terminal.js';

interface LitmusFlags {
  check?: boolean;
  policy?: string;
  bug?: string;
  threads?: boolean;
  iterations?: number;
  strategy?: string;
  schedules?: number;
  budget?: number;
  workers?: number;
  seed?: number;
  out?: string;
  json?: boolean;
  report?: string;
  legend?: boolean;
}

const strategies = [...new Set([EXHAUSTIVE, ...STRATEGIES.map(({ name }) => name)])];
/** At most so long for leaving out operations of what real threads have shown. */
const REDUCE_SECONDS = 3;
const bugs = BUGS.map(({ id }) => id);

export function litmusCommand(): Command {
  return withWidth(withLegend(new Command('litmus')))
    .description('every outcome of a litmus file, and what it answers')
    .argument('<files...>', 'a litmus file, or the name of a shipped one; with --check any number')
    .option('--check', 'only read the files: one line for each mistake')
    .option('--policy <id>', "instead of the file's policy", policy)
    .option('--bug <id>', "a planted bug instead of the file's policy", oneOf('--bug', bugs))
    .option('--threads', 'its actors on real worker threads, over and over, and how often each outcome comes')
    .option('--iterations <n>', 'of --threads, at most', wholeNumber('--iterations', 1, 1e12))
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
    .option('--out <dir>', "where a violation's schedule is written (default: here)")
    .option('--json', 'one object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (files: string[], flags: LitmusFlags) => {
      process.exitCode = flags.check === true ? check(files, flags) : await run(files, flags);
    });
}

/** One mistake as `--check --json` gives it. */
interface MistakeRow {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly end_line: number;
  readonly end_column: number;
  readonly severity: 'error';
  readonly message: string;
}

const rowOf = (file: string, { line, column, endLine, endColumn, message }: Mistake): MistakeRow => ({
  file,
  line,
  column,
  end_line: endLine,
  end_column: endColumn,
  severity: 'error',
  message,
});

/** What is wrong with a file; one that cannot be read has one mistake, at its beginning. */
function mistakesOf(file: string): readonly Mistake[] {
  const base = userPath('.');
  try {
    return checkedLitmus(readLitmus(litmusPath(file, base), base)).mistakes;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const message = error.message.replace(/^.*?: /, '');
    return [{ line: 1, column: 1, endLine: 1, endColumn: 1, message }];
  }
}

function check(files: readonly string[], { json, report }: LitmusFlags): number {
  const rows: MistakeRow[] = [];
  for (const file of files) {
    const mistakes = mistakesOf(file);
    rows.push(...mistakes.map((each) => rowOf(file, each)));
    if (json === true) continue;
    for (const each of mistakes) tell(`${oneLine(mistakeLine(file, each))}\n`);
    if (mistakes.length === 0) print(`${oneLine(file)}: ok\n`);
  }
  if (json === true) print(`${JSON.stringify(rows)}\n`);
  if (report !== undefined) writeWhole(userPath(report), `${JSON.stringify(rows, null, 1)}\n`);
  return rows.length > 0 ? EXIT_BAD_INPUT : EXIT_OK;
}

async function run(files: readonly string[], flags: LitmusFlags): Promise<number> {
  const [file] = files;
  if (file === undefined || files.length > 1) {
    throw new InputError(`litmus: expected one file to run (--check takes several), got ${files.length}`);
  }
  if (flags.policy !== undefined && flags.bug !== undefined) {
    throw new InputError('--bug: expected without --policy: a bug names its policy');
  }
  const base = userPath('.');
  const path = litmusPath(file, base);
  const text = readLitmus(path, base);
  const options = { seed: flags.seed ?? 1, policy: flags.policy, bug: flags.bug };
  let subject;
  try {
    subject = litmusSubject({ path, text, options });
  } catch (error) {
    if (!(error instanceof LitmusError)) throw error;
    for (const line of error.mistakes) tell(`${oneLine(line)}\n`);
    return EXIT_BAD_INPUT;
  }
  if (flags.threads === true) return await onThreads(subject, flags);
  const progress = new ProgressLine();
  let interrupted = false;
  onInterrupt(() => {
    interrupted = true;
  });
  const explored = await runLitmus({
    subject,
    strategy: flags.strategy,
    schedules: flags.schedules,
    seconds: flags.budget,
    workers: flags.workers,
    stop: () => interrupted,
    onProgress: (now) =>
      progress.show(`${number(now.schedules)} schedules, ${number(now.steps)} steps, ${now.violations} violations`),
  });
  progress.clear();
  const report = { ...explored, reduced: await reducedTest(subject, explored, () => interrupted) };
  const written = flags.json === true ? undefined : writeSchedule(report, flags.out);
  printReport(report, flags, (each) =>
    withLegendOf([renderLitmus(each, written), renderReduced(each.reduced)].join(''), flags.legend, LEGENDS.litmus),
  );
  return exitOfAnswers(report, report.end.kind === 'interrupted');
}

/** The operations that a violation takes, where some of the file's are not needed. */
async function reducedTest(subject: LitmusSubject, report: LitmusReport, stop: () => boolean): Promise<Reduced | null> {
  const violation = report.violations.find(({ invariant }) => invariant !== 'forbidden' && invariant !== 'always');
  if (violation === undefined || stop()) return null;
  const { found, cut, litmus, schedule } = await handOverLitmus(subject, violation, {
    seconds: REDUCE_SECONDS,
    stop,
  });
  return found && cut.length > 0 ? { litmus, schedule, cut } : null;
}

async function onThreads(subject: LitmusSubject, flags: LitmusFlags): Promise<number> {
  let interrupted = false;
  const stop = new Promise<void>((resolve) =>
    onInterrupt(() => {
      interrupted = true;
      resolve();
    }),
  );
  const { iterations, budget: seconds, workers: count } = flags;
  const raced = await runLitmusThreads({ subject, iterations, seconds, workers: count, stop });
  const [violation] = raced.violations;
  // what real threads have shown is looked for on one, where it can be replayed
  const handover =
    violation === undefined || interrupted
      ? null
      : await handOverLitmus(subject, violation, { seconds: HANDOVER_SECONDS, stop: () => interrupted });
  const report = { ...raced, handover };
  const file = join(flags.out ?? '', `${report.name}.schedule`);
  const schedule = handover?.schedule ?? '';
  const written = schedule !== '' && flags.json !== true && writeWhole(userPath(file), schedule) ? file : undefined;
  printReport(report, flags, (each) =>
    withLegendOf(renderLitmusThreads(each, handover, written), flags.legend, LEGENDS.litmus),
  );
  return exitOfAnswers(report, interrupted && !report.ok);
}

/** Writes the schedule of the first violation. Returns its name, when there is one that could be written. */
function writeSchedule({ violations, name }: LitmusReport, out: string | undefined): string | undefined {
  const schedule = violations.find((violation) => violation.schedule !== undefined)?.schedule;
  if (schedule === undefined) return undefined;
  const file = join(out ?? '', `${name}.schedule`);
  return writeWhole(userPath(file), schedule) ? file : undefined;
}

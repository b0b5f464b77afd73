/** `pinfall replay`: a recorded schedule again, step by step the same. */
import { Command } from 'commander';
import { readBounded } from '../../lab/input/bounded-file.js';
import { fileProblem } from '../../lab/input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import { nearestFile } from '../../lab/input/nearest-file.js';
import { isLitmus } from '../../lab/litmus/subject.js';
import { readSchedule, replay } from '../../lab/replay/replay.js';
import { Stepper } from '../../lab/replay/stepper.js';
import { subjectOf } from '../../lab/explore/subject.js';
import { type DiagramFlags, printDrawn, withDiagramOptions } from '../diagram-options.js';
import { userPath } from '../options.js';
import { EXIT_OK, EXIT_VIOLATION } from '../exit-codes.js';
import { writeWhole } from '../output.js';
import { renderReplay } from '../render/replay.js';
import { walk } from '../walk.js';

interface ReplayFlags extends DiagramFlags {
  events?: string;
  then?: string;
  step?: boolean;
}

export function replayCommand(): Command {
  return withDiagramOptions(new Command('replay'))
    .description('run a recorded schedule again')
    .argument('<file>', 'a schedule file that explore wrote')
    .option('--then <strategy>', 'go on with this strategy where the record ends or stops fitting')
    .option(
      '--step',
      'walk through it, forwards and backwards, with search and breakpoints: source, memory and locks at each step',
    )
    .option('--events <file>', 'its events, as NDJSON')
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action(async (file: string, flags: ReplayFlags) => {
      process.exitCode = await run(file, flags);
    });
}

async function run(file: string, flags: ReplayFlags): Promise<number> {
  if (isLitmus(file)) {
    throw new InputError(
      `${file}: a litmus file, not a schedule; 'litmus ${file}' writes the schedule of a violation, 'explain ${file} --outcome X --schedule F' that of an outcome`,
    );
  }
  const schedule = readSchedule(readText(file), file);
  const subject = subjectOf({
    scenario: schedule.scenario,
    policy: schedule.policy,
    seed: schedule.seed,
    base: userPath('.'),
    litmus: schedule.litmus,
    within: { path: file, lines: schedule.litmusAfter ?? 0 },
  });
  if (flags.step === true) {
    await walk(new Stepper(schedule, subject));
    return EXIT_OK;
  }
  const { report, drawing, events } = replay(schedule, subject, file, { continueWith: flags.then, actor: flags.actor });
  if (flags.events !== undefined) writeWhole(userPath(flags.events), events);
  printDrawn(report, drawing, flags, renderReplay);
  return report.violation_count > 0 ? EXIT_VIOLATION : EXIT_OK;
}

const FILE_BYTES_MAX = 64 << 20;

function readText(file: string): string {
  try {
    return readBounded(userPath(file), file, FILE_BYTES_MAX, 'a schedule file').toString('utf8');
  } catch (error) {
    throw error instanceof InputError
      ? error
      : new InputError(`${file}: ${fileProblem(error)}${nearestFile(error, userPath(file))}`);
  }
}

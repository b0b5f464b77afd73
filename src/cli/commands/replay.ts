/** `pinfall replay`: a recorded schedule again, step by step the same. */
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { InputError, fileProblem } from '../../lab/input-error.js';
import { readSchedule, replay } from '../../lab/replay.js';
import { subjectOf } from '../../lab/subject.js';
import { userPath } from '../options.js';
import { EXIT_OK, EXIT_VIOLATION, printReport, writeWhole } from '../output.js';
import { renderReplay } from '../render/explore.js';

interface ReplayFlags {
  events?: string;
  json?: boolean;
  report?: string;
}

export function replayCommand(): Command {
  return new Command('replay')
    .description('run a recorded schedule again')
    .argument('<file>', 'a schedule file that explore wrote')
    .option('--events <file>', 'its events, as NDJSON')
    .option('--json', 'one report object on standard output')
    .option('--report <file>', 'the report object to a file')
    .action((file: string, flags: ReplayFlags) => {
      process.exitCode = run(file, flags);
    });
}

function run(file: string, flags: ReplayFlags): number {
  const schedule = readSchedule(readText(file), file);
  const subject = subjectOf({
    scenario: schedule.scenario,
    policy: schedule.policy,
    seed: schedule.seed,
    base: userPath('.'),
  });
  const { report, events } = replay(schedule, subject, file);
  if (flags.events !== undefined) writeWhole(userPath(flags.events), events);
  printReport(report, flags, renderReplay);
  return report.violation_count > 0 ? EXIT_VIOLATION : EXIT_OK;
}

const FILE_BYTES_MAX = 64 << 20;

function readText(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(userPath(file));
  } catch (error) {
    throw new InputError(`${file}: ${fileProblem(error)}`);
  }
  if (bytes.length > FILE_BYTES_MAX) throw new InputError(`${file}: expected a schedule file of at most 64 MiB`);
  return bytes.toString('utf8');
}

#!/usr/bin/env node
/**
 * `npm run --silent soak:handover`: how often violations of real threads come to schedules that replay, a Markdown table as it goes on,
 * or JSON. `-- Z08 Z47` measures these alone. Exit code 1 where fewer than nine in ten did.
 */
import { Command, CommanderError } from 'commander';
import { HANDOVER_HEAD, type HandoverRow, handoverLines, measureHandovers, tooFew } from '../lab/bench/handover.js';
import { onInterrupt } from './interrupt.js';
import { duration, wholeNumber } from './options.js';
import { flushed, keepGoingWithoutReaders, print, someOutputFailed, tell } from './terminal.js';
import { EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_OK, EXIT_VIOLATION } from './exit-codes.js';

interface Flags {
  runs: number;
  race: number;
  explain: number;
  litmus: boolean;
  json?: boolean;
}

const command = new Command('soak:handover')
  .description('measure how often violations of real threads come to schedules that replay')
  .argument('[kernels...]', 'bugs of the zoo and policies; default: all of them')
  .option('--runs <n>', 'of each', wholeNumber('--runs', 1, 1000), 10)
  .option('--race <time>', 'for a violation to show', duration('--race'), 10)
  .option('--explain <time>', 'CPU time for each violation on one thread', duration('--explain'), 30)
  .option('--no-litmus', 'scenarios alone')
  .option('--json', 'the rows as JSON')
  .configureOutput({ writeErr: () => {} })
  .exitOverride();

async function main(args: readonly string[]): Promise<number> {
  try {
    command.parse(args as string[], { from: 'user' });
    const { runs, race, explain, litmus, json } = command.opts<Flags>();
    let stopped = false;
    onInterrupt(() => (stopped = true));
    const show = (lines: readonly string[]): void => void (json !== true && print(`${lines.join('\n')}\n`));
    show(HANDOVER_HEAD);
    const rows = await measureHandovers({
      ...(command.args.length > 0 && { ids: command.args }),
      runs,
      raceSeconds: race,
      explainSeconds: explain,
      litmus,
      stop: () => stopped,
      onRow: (row: HandoverRow) => show(handoverLines(row)),
    });
    if (json === true) print(`${JSON.stringify({ schema: 'pinfall.handover/1', rows })}\n`);
    const missed = tooFew(rows);
    for (const each of missed) tell(`soak:handover: MISSED ${each}\n`);
    return missed.length === 0 ? EXIT_OK : EXIT_VIOLATION;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_OK;
    tell(`pinfall: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof CommanderError ? EXIT_BAD_INPUT : EXIT_INTERNAL;
  }
}

keepGoingWithoutReaders();
const code = await main(process.argv.slice(2));
await flushed();
process.exitCode = someOutputFailed() ? EXIT_INTERNAL : code;

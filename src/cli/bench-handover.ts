#!/usr/bin/env node
/**
 * `npm run --silent bench:handover`: how often violations of real threads come to schedules that replay, a Markdown table as it goes on,
 * or JSON. `-- Z08 Z47` measures these alone.
 */
import { Command, CommanderError } from 'commander';
import { HANDOVER_HEAD, type HandoverRow, handoverLines, measureHandovers } from '../lab/bench/handover.js';
import { onInterrupt } from './interrupt.js';
import { duration, wholeNumber } from './options.js';
import { flushed, keepGoingWithoutReaders, print, someOutputFailed, tell } from './terminal.js';
import { EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_OK } from './exit-codes.js';

interface Flags {
  runs: number;
  race: number;
  explain: number;
  json?: boolean;
}

const command = new Command('bench:handover')
  .description('measure how often violations of real threads come to schedules that replay')
  .argument('[kernels...]', 'bugs of the zoo and policies; default: all of them')
  .option('--runs <n>', 'of each', wholeNumber('--runs', 1, 1000), 3)
  .option('--race <time>', 'for a violation to show', duration('--race'), 4)
  .option('--explain <time>', 'for each violation on one thread', duration('--explain'), 60)
  .option('--json', 'the rows as JSON')
  .configureOutput({ writeErr: () => {} })
  .exitOverride();

async function main(args: readonly string[]): Promise<number> {
  try {
    command.parse(args as string[], { from: 'user' });
    const { runs, race, explain, json } = command.opts<Flags>();
    let stopped = false;
    onInterrupt(() => (stopped = true));
    const show = (lines: readonly string[]): void => void (json !== true && print(`${lines.join('\n')}\n`));
    show(HANDOVER_HEAD);
    const rows = await measureHandovers({
      ...(command.args.length > 0 && { ids: command.args }),
      runs,
      raceSeconds: race,
      explainSeconds: explain,
      stop: () => stopped,
      onRow: (row: HandoverRow) => show(handoverLines(row)),
    });
    if (json === true) print(`${JSON.stringify({ schema: 'pinfall.handover/1', rows })}\n`);
    return EXIT_OK;
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

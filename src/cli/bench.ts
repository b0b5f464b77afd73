#!/usr/bin/env node
/**
 * `npm run bench`: the rows of lab/bench as a table, or as JSON. Nothing else goes to standard output. Exit codes are those
 * of every command; a target that is missed is told, and no failure: the machine may be busy.
 */
import { Command, CommanderError } from 'commander';
import { pc } from './render/colour.js';
import { type BenchReport, type BenchRow, bench, benchNames } from '../lab/bench/index.js';
import { InputError } from '../errors/errors.js';
import { onInterrupt } from './interrupt.js';
import { EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_OK } from './exit-codes.js';
import { ProgressLine, printReport } from './output.js';
import { number, table } from './render/table.js';
import { flushed, keepGoingWithoutReaders, someOutputFailed, tell } from './terminal.js';

interface Flags {
  json?: boolean;
  quick?: boolean;
  only?: string;
  report?: string;
}

const command = new Command('bench')
  .description('measure: faults and zaps against the real kernel, TLB hits, tracing, exploration, scaling, size')
  .option('--json', 'one report object on standard output')
  .option('--report <file>', 'the report object to a file')
  .option('--quick', 'fewer and shorter repetitions: to see that it works, not for numbers')
  .option('--only <text>', 'only rows whose name has this in it')
  .showSuggestionAfterError(true)
  .configureOutput({ writeErr: () => {} })
  .exitOverride();

async function main(args: readonly string[]): Promise<number> {
  try {
    command.parse(args as string[], { from: 'user' });
    const flags = command.opts<Flags>();
    const only = flags.only ?? '';
    if (!benchNames().some((name) => name.toLowerCase().includes(only.toLowerCase()))) {
      throw new InputError(`--only: no row has '${only}' in its name; they begin with K1 to K7`);
    }
    let stopped = false;
    onInterrupt(() => (stopped = true));
    const progress = new ProgressLine();
    const report = await bench({
      only,
      quick: flags.quick === true,
      stop: () => stopped,
      onSection: (names, done, all) => progress.show(`${done + 1} of ${all}: ${names[0] ?? ''}`),
    });
    progress.clear();
    printReport(report, flags, render);
    return EXIT_OK;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_OK;
    if (error instanceof InputError || error instanceof CommanderError) {
      tell(`pinfall: ${error.message.replace(/^error: /, '').split('\n')[0] ?? ''}\n`);
      return EXIT_BAD_INPUT;
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    tell(`pinfall: internal failure: ${text}\n`);
    return EXIT_INTERNAL;
  }
}

function render({ rows, host }: BenchReport): string {
  const lines = rows.map((row) => [
    row.name,
    shown(row.value),
    row.unit,
    `${percent(row.spread)}`,
    goal(row),
    verdict(row),
  ]);
  const missed = rows.filter(({ reason }) => reason !== undefined).map((row) => `  ${row.name}: ${row.reason ?? ''}`);
  const where = `Node ${host.node}, Linux ${host.kernel}, ${host.cpus} CPUs, load ${host.load.map((l) => l.toFixed(1)).join(' to ')}`;
  return [
    table(['row', 'value', 'unit', 'spread', 'target', ''], lines),
    ...(missed.length > 0 ? ['', ...missed] : []),
    '',
    `  medians; spread: distance of the quartiles; not decided: it is wider than the distance to the target. ${where}`,
  ].join('\n');
}

const shown = (value: number): string =>
  number(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
const percent = (share: number): string => `${Math.round(share * 100)} %`;
const goal = ({ bound, target }: BenchRow): string => (target === null ? '' : `${bound ?? ''} ${shown(target)}`);
const verdict = ({ met, decided }: BenchRow): string => {
  if (decided === false) return pc.yellow('not decided');
  return met === null ? '' : met ? pc.green('met') : pc.red('missed');
};

keepGoingWithoutReaders();
const code = await main(process.argv.slice(2));
await flushed();
process.exit(someOutputFailed() ? EXIT_INTERNAL : code);

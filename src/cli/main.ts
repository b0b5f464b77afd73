#!/usr/bin/env node
/**
 * pinfall's command line. `stress` is the command when none is named. Exit codes: 0 done, 1 a violation or an expectation
 * not met, 2 bad usage or input (one line on standard error, nothing on standard output), 3 an internal failure.
 */
import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { InputError } from '../lab/input-error.js';
import { compareCommand } from './commands/compare.js';
import { dashboardCommand } from './commands/dashboard.js';
import { explainCommand } from './commands/explain.js';
import { exploreCommand } from './commands/explore.js';
import { litmusCommand } from './commands/litmus.js';
import { listCommand } from './commands/list.js';
import { replayCommand } from './commands/replay.js';
import { stressCommand } from './commands/stress.js';
import { tuneCommand } from './commands/tune.js';
import { zooCommand } from './commands/zoo.js';
import { EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_OK } from './output.js';

const version = (): string => {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

function program(): Command {
  const root = new Command('pinfall')
    .description('A race laboratory for Linux memory management under KVM.')
    .version(version())
    .showHelpAfterError(false)
    .showSuggestionAfterError(true)
    .configureOutput({ writeErr: () => {} });
  const commands = [
    stressCommand(),
    compareCommand(),
    tuneCommand(),
    exploreCommand(),
    replayCommand(),
    zooCommand(),
    dashboardCommand(),
    litmusCommand(),
    explainCommand(),
    listCommand(),
  ];
  for (const command of commands) {
    root.addCommand(command.configureOutput({ writeErr: () => {} }).exitOverride(), {
      isDefault: command.name() === 'stress',
    });
  }
  return root.exitOverride();
}

/** Prints one line on standard error, and gives the exit code. */
function refuse(message: string): number {
  process.stderr.write(`pinfall: ${message.split('\n')[0] ?? ''}\n`);
  return EXIT_BAD_INPUT;
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const root = program();
    const names = root.commands.map((command) => command.name());
    const first = args.find((arg) => !arg.startsWith('-'));
    // the default command takes a scenario, so commander would take a misspelt command for one
    if (
      first !== undefined &&
      args[0] === first &&
      !names.includes(first) &&
      first !== 'help' &&
      !looksLikeScenario(first)
    ) {
      return refuse(`no command '${first}'; expected one of ${names.join(', ')}`);
    }
    await root.parseAsync(args as string[], { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : EXIT_OK;
  } catch (error) {
    if (error instanceof InputError) return refuse(error.message);
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT_OK : refuse(error.message.replace(/^error: /, ''));
    }
    process.stderr.write(
      `pinfall: internal failure: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    return EXIT_INTERNAL;
  }
}

/** A path or a scenario name: anything with a dash, a dot or a slash is meant as one. */
const looksLikeScenario = (word: string): boolean => /[-./\\]/.test(word);

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `pinfall ... | head`: nobody reads on
  if (error.code === 'EPIPE') process.exit(EXIT_OK);
  throw error;
});

// worker threads and timers of a run that has ended must not keep the process: everything is written by now
process.exit(await main(process.argv.slice(2)));

#!/usr/bin/env node
/**
 * pinfall's command line. `stress` is the command when none is named. Exit codes: 0 done, 1 a violation, an expectation
 * not met or nothing asked, 2 bad usage or input (one line on standard error, nothing on standard output), 3 an internal failure, 4
 * stopped before there was an answer.
 */
import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { InputError } from '../lab/input-error.js';
import { checkDestinations } from './destinations.js';
import { applyWidth } from './diagram-options.js';
import { EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_OK } from './exit-codes.js';
import { noteOutputFailure, someOutputFailed } from './output.js';

const version = (): string => {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

/** The commands, in the order of the help. A command's module is loaded when it is asked for: some bring large libraries. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  stress: async () => (await import('./commands/stress.js')).stressCommand(),
  compare: async () => (await import('./commands/compare.js')).compareCommand(),
  tune: async () => (await import('./commands/tune.js')).tuneCommand(),
  explore: async () => (await import('./commands/explore.js')).exploreCommand(),
  replay: async () => (await import('./commands/replay.js')).replayCommand(),
  litmus: async () => (await import('./commands/litmus.js')).litmusCommand(),
  explain: async () => (await import('./commands/explain.js')).explainCommand(),
  zoo: async () => (await import('./commands/zoo.js')).zooCommand(),
  dashboard: async () => (await import('./commands/dashboard.js')).dashboardCommand(),
  list: async () => (await import('./commands/list.js')).listCommand(),
};
const NAMES = Object.keys(COMMANDS);
const DEFAULT = 'stress';

/** The commands that these arguments may be about: the one named, all for the help, else the default. */
function wanted(args: readonly string[]): readonly string[] {
  const [first] = args;
  if (first !== undefined && first in COMMANDS) return [first];
  const helps = first === 'help' || first === '--help' || first === '-h';
  return helps ? NAMES : [DEFAULT];
}

async function program(args: readonly string[]): Promise<Command> {
  const root = new Command('pinfall')
    .description('A race laboratory for Linux memory management under KVM.')
    .version(version())
    .showHelpAfterError(false)
    .showSuggestionAfterError(true)
    .configureOutput({ writeErr: () => {} });
  for (const name of wanted(args)) {
    const command = await (COMMANDS[name] as () => Promise<Command>)();
    root.addCommand(command.configureOutput({ writeErr: () => {} }).exitOverride(), { isDefault: name === DEFAULT });
  }
  root.hook('preAction', (_root, action) => {
    checkDestinations(action);
    applyWidth(action);
  });
  return root.exitOverride();
}

/** Prints one line on standard error, and gives the exit code. */
function refuse(message: string): number {
  process.stderr.write(`pinfall: ${message.split('\n')[0] ?? ''}\n`);
  return EXIT_BAD_INPUT;
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const first = args.find((arg) => !arg.startsWith('-'));
    // the default command takes a scenario, so commander would take a misspelt command for one
    if (
      first !== undefined &&
      args[0] === first &&
      !NAMES.includes(first) &&
      first !== 'help' &&
      !looksLikeScenario(first)
    ) {
      return refuse(`no command '${first}'; expected one of ${NAMES.join(', ')}`);
    }
    const root = await program(args);
    await root.parseAsync(args as string[], { from: 'user' });
    if (someOutputFailed()) return EXIT_INTERNAL;
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
  noteOutputFailure('standard output', error);
  process.exit(EXIT_INTERNAL);
});
// a terminal that has gone away: nobody is left to be told
process.stderr.on('error', () => {});

const code = await main(process.argv.slice(2));
// a failure to write the last words is told a turn later
await new Promise(setImmediate);
// worker threads and timers of a run that has ended must not keep the process: everything is written by now
process.exit(code);

/**
 * pinfall's command line. `stress` is the command when none is named. Exit codes: 0 done, 1 a violation, an expectation
 * not met or nothing asked, 2 bad usage or input (one line on standard error, nothing on standard output), 3 an internal failure, 4
 * stopped before there was an answer.
 */
import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { InputError } from '../errors/errors.js';
import { meant } from '../lab/input/nearest.js';
import { checkDestinations } from './destinations.js';
import { applyWidth } from './diagram-options.js';
import { EXIT_BAD_INPUT, EXIT_INTERNAL, EXIT_OK } from './exit-codes.js';
import { EXAMPLES } from './examples.js';
import { HELP, withExamples } from './help.js';
import { flushed, keepGoingWithoutReaders, oneLine, print, someOutputFailed, tell } from './terminal.js';

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

/** Refusals are printed here, by {@link refuse}. */
const OUTPUT = { writeOut: print, writeErr: (): void => {} };

async function program(args: readonly string[]): Promise<Command> {
  const root = new Command('pinfall')
    .description('A race laboratory for Linux memory management under KVM.')
    .version(version())
    .showHelpAfterError(false)
    .showSuggestionAfterError(true)
    .configureOutput(OUTPUT)
    .configureHelp(HELP);
  for (const name of wanted(args)) {
    const command = await (COMMANDS[name] as () => Promise<Command>)();
    withExamples(command, EXAMPLES[name] ?? []);
    for (const each of [command, ...command.commands]) each.configureOutput(OUTPUT).configureHelp(HELP).exitOverride();
    root.addCommand(command, { isDefault: name === DEFAULT });
  }
  root.hook('preAction', (_root, action) => {
    checkDestinations(action);
    applyWidth(action);
  });
  return root.exitOverride();
}

/** Prints one line on standard error for each mistake, and gives the exit code. */
function refuse(mistakes: readonly string[]): number {
  for (const mistake of mistakes) tell(`pinfall: ${oneLine(mistake)}\n`);
  return EXIT_BAD_INPUT;
}

/** Runs a command line. Resolves with the exit code when all has been written. */
export async function run(args: readonly string[]): Promise<number> {
  keepGoingWithoutReaders();
  const code = await command(args);
  await flushed();
  return someOutputFailed() ? EXIT_INTERNAL : code;
}

async function command(args: readonly string[]): Promise<number> {
  try {
    const [first] = args;
    if (first !== undefined && isMisspelt(first)) {
      return refuse([`no command '${first}'; expected one of ${NAMES.join(', ')}${meant(first, NAMES)}`]);
    }
    const [, about] = args;
    if (first === 'help' && about !== undefined && !NAMES.includes(about)) {
      return refuse([`help: no command '${about}'; expected one of ${NAMES.join(', ')}${meant(about, NAMES)}`]);
    }
    const root = await program(args);
    await root.parseAsync(args as string[], { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : EXIT_OK;
  } catch (error) {
    if (error instanceof InputError) return refuse(error.mistakes);
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : refuse([commanderText(error)]);
    tell(`pinfall: internal failure: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return EXIT_INTERNAL;
  }
}

/** The default command takes a scenario, so commander would take a misspelt command for one. */
const isMisspelt = (first: string): boolean =>
  !first.startsWith('-') && !NAMES.includes(first) && first !== 'help' && !looksLikeScenario(first);

/** A path or a scenario name: anything with a dash, a dot or a slash is meant as one. */
const looksLikeScenario = (word: string): boolean => /[-./\\]/.test(word);

/** Commander puts what may have been meant on a line of its own. */
const commanderText = (error: CommanderError): string =>
  error.message
    .replace(/^error: /, '')
    .replace(/\n\((Did you mean .*?\?)\)$/, '; $1')
    .replace('; Did', '; did');

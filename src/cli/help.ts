/** `--help`: one form for all defaults, and examples that work where they are read. */
import { type Command, type HelpConfiguration, type Option } from 'commander';
import { startText } from './render/next.js';

/** `(default: 20s)`, as it would be typed. */
function shownDefault(option: Option): string {
  const { defaultValue: value, defaultValueDescription: said } = option as {
    readonly defaultValue: unknown;
    readonly defaultValueDescription?: string;
  };
  if (said !== undefined) return said;
  if (Array.isArray(value)) return value.join(',');
  return `${String(value)}${option.flags.endsWith('<time>') ? 's' : ''}`;
}

export const HELP: HelpConfiguration = {
  optionDescription: (option) => {
    const hasDefault = option.defaultValue !== undefined && !option.isBoolean() && !option.negate;
    return hasDefault ? `${option.description} (default: ${shownDefault(option)})` : option.description;
  },
  argumentDescription: (argument) =>
    argument.defaultValue === undefined
      ? argument.description
      : `${argument.description} (default: ${String(argument.defaultValue)})`,
};

/** Examples behind a command's help: the words behind `pinfall`, and what they are for. */
export function withExamples(command: Command, examples: readonly (readonly [words: string, why: string])[]): Command {
  return command.addHelpText('after', () => {
    const start = startText();
    return ['', 'Examples:', ...examples.flatMap(([words, why]) => [`  # ${why}`, `  ${start} ${words}`])].join('\n');
  });
}

/** Parsers of option values. Each refuses with one line that says what, where and what was expected. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { NOISE, NOISE_NAMES, type NoiseName } from '../engine/host/noise.js';
import { WORKERS_MAX } from '../lab/explore/explore.js';
import { InputError } from '../errors/errors.js';
import { meant } from '../lab/input/nearest.js';
import { POLICIES } from '../policies/index.js';

/** A whole number of an option, between limits. */
export function wholeNumber(option: string, low: number, high: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= low && value <= high)) {
      throw new InputError(`${option}: expected a whole number from ${low} to ${high}, got '${text}'`);
    }
    return value;
  };
}

/** `20s`, `500ms`, `1.5m`: seconds as a number. */
export function duration(option: string): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
    const unit = { ms: 0.001, s: 1, m: 60, h: 3600 };
    const seconds = match === null ? Number.NaN : Number(match[1]) * unit[match[2] as keyof typeof unit];
    if (!(seconds >= 0.05 && seconds <= 86_400)) {
      throw new InputError(`${option}: expected a time such as 20s, 500ms or 2m (50ms to 24h), got '${text}'`);
    }
    return seconds;
  };
}

/** `4`, or `auto`: one for each core. */
export const workers = (text: string): number =>
  text === 'auto' ? availableParallelism() : wholeNumber('--workers', 1, WORKERS_MAX)(text);

/** A seed: 0 to 2^32 - 1. */
export const seed = wholeNumber('--seed', 0, 0xffffffff);

/** One of a list of names. */
export function oneOf(option: string, names: readonly string[]): (text: string) => string {
  return (text) => {
    if (names.includes(text)) return text;
    throw new InputError(`${option}: no '${text}'; expected one of ${names.join(', ')}${meant(text, names)}`);
  };
}

/** `--noise`: percent of an actor's time that the noise maker may hold it up, by name. */
export const noise = (text: string): number => NOISE[oneOf('--noise', NOISE_NAMES)(text) as NoiseName];

export const NOISE_HELP = `how much of their time actors are held up at points that decide: ${NOISE_NAMES.join(', ')}`;

/** A policy's id. */
export const policy = (text: string): string =>
  oneOf(
    '--policy',
    POLICIES.map((known) => known.id),
  )(text);

/** Comma-separated policies, at least one, none empty or twice. */
export function policies(text: string): string[] {
  const ids = text.split(',');
  const known = oneOf(
    '--policies',
    POLICIES.map((each) => each.id),
  );
  for (const id of ids) known(id);
  if (new Set(ids).size !== ids.length) throw new InputError(`--policies: a policy stands twice in '${text}'`);
  return ids;
}

/** A path as the user means it: npm runs us in the project's folder, and says in INIT_CWD where they stood. */
export const userPath = (path: string): string => resolve(process.env['INIT_CWD'] ?? process.cwd(), path);

/** A seed for a run that was given none. */
export const freshSeed = (): number => (Date.now() ^ (process.pid << 16)) >>> 0;

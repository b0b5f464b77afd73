/** Files that a command is to write in the end: what cannot be written is said before anything starts. */
import type { Command } from 'commander';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeProblem } from '../lab/input/file-problem.js';
import { InputError } from '../errors/errors.js';
import { userPath } from './options.js';

/** Options that name such a file, whichever command has them. */
const WRITTEN: ReadonlySet<string> = new Set(['report', 'events', 'schedule', 'chart', 'out']);

/** Checks all such options of a command line. Defaults are not checked: they may never be written. */
export function checkDestinations(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (!WRITTEN.has(name) || command.getOptionValueSource(name) !== 'cli') continue;
    const value: unknown = command.getOptionValue(name);
    if (typeof value !== 'string') continue;
    if (option.flags.endsWith('<dir>')) checkFolder(option.long ?? name, value);
    else checkWritable(option.long ?? name, value);
  }
}

/** @throws InputError where the file could not be created or overwritten */
export function checkWritable(option: string, path: string): void {
  if (path === '') throw new InputError(`${option}: expected the name of a file, got ''`);
  const target = userPath(path);
  refuseOf(option, path, () => {
    if (existsSync(target)) {
      const found = statSync(target);
      if (found.isDirectory()) throw new InputError(`${option} ${path}: a folder, not a file`);
      accessSync(target, constants.W_OK);
      if (!found.isFile()) return;
    }
    mayCreateIn(dirname(target));
  });
}

function checkFolder(option: string, path: string): void {
  refuseOf(option, path, () => {
    const target = userPath(path);
    if (!statSync(target).isDirectory()) throw new InputError(`${option} ${path}: a file, not a folder`);
    mayCreateIn(target);
  });
}

/** A folder whose files others may look for is also entered: search permission is needed. */
const mayCreateIn = (folder: string): void => accessSync(folder, constants.W_OK | constants.X_OK);

function refuseOf(option: string, path: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${option} ${path}: cannot be written (${writeProblem(error)})`);
  }
}

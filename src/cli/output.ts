/** Where a command's words go: the report to standard output (as JSON or for people), the rest to standard error. */
import { renameSync, writeFileSync } from 'node:fs';
import { InputError, fileProblem } from '../lab/input-error.js';

export interface OutputOptions {
  readonly json?: boolean | undefined;
  /** A file for the report object beside what is printed. */
  readonly report?: string | undefined;
}

/** Exit codes of every command. */
export const EXIT_OK = 0;
export const EXIT_VIOLATION = 1;
export const EXIT_BAD_INPUT = 2;
export const EXIT_INTERNAL = 3;

/** Writes a file whole or not at all: under a temporary name beside it, then renamed. */
export function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    throw new InputError(`${path}: cannot be written (${fileProblem(error)})`);
  }
}

/** Prints a report: one JSON object, or the lines that `render` makes of it; and into the report file. */
export function printReport<T>(report: T, options: OutputOptions, render: (report: T) => string): void {
  if (options.report !== undefined) writeWhole(options.report, `${JSON.stringify(report, null, 1)}\n`);
  process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
}

/** A line that is overwritten while a run goes on; nothing where standard error is no terminal. */
export class ProgressLine {
  readonly #shown = process.stderr.isTTY === true;

  show(text: string): void {
    if (this.#shown) process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 100) - 1)}`);
  }

  clear(): void {
    if (this.#shown) process.stderr.write('\r\x1b[2K');
  }
}

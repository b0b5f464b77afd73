/** Where a command's words go: the report to standard output (as JSON or for people), the rest to standard error. */
import { realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { writeProblem } from '../lab/input-error.js';
import { userPath } from './options.js';

export interface OutputOptions {
  readonly json?: boolean | undefined;
  /** A file for the report object beside what is printed. */
  readonly report?: string | undefined;
}

let outputFailed = false;

/** Something could not be written: the command ends with code 3, whatever else it has to say. */
export const someOutputFailed = (): boolean => outputFailed;

/** One line on standard error. What a run has found is too dear to be lost to a full disk: the command goes on. */
export function noteOutputFailure(path: string, error: unknown): void {
  outputFailed = true;
  process.stderr.write(`pinfall: ${path}: cannot be written (${writeProblem(error)})\n`);
}

/**
 * Writes a file whole or not at all: under a temporary name beside it, then renamed. A link keeps its place, and what is no
 * regular file (a pipe, `/dev/null`) is written to. A failure is noted, not thrown.
 */
export function writeWhole(path: string, text: string): void {
  let temporary = '';
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && !found.isFile()) {
      writeFileSync(path, text);
      return;
    }
    const target = found === undefined ? path : realpathSync(path);
    temporary = `${target}.${process.pid}.tmp`;
    writeFileSync(temporary, text);
    renameSync(temporary, target);
  } catch (error) {
    if (temporary !== '') rmSync(temporary, { force: true });
    noteOutputFailure(path, error);
  }
}

/** Prints a report: one JSON object, or the lines that `render` makes of it; and into the report file. */
export function printReport<T>(report: T, options: OutputOptions, render: (report: T) => string): void {
  process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
  if (options.report !== undefined) writeWhole(userPath(options.report), `${JSON.stringify(report, null, 1)}\n`);
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

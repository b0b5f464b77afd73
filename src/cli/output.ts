/** Where a command's words go: the report to standard output (as JSON or for people), the rest to standard error. */
import { writeFileWhole } from '../lab/input/whole-file.js';
import { userPath } from './options.js';
import { noteOutputFailure, oneLine, print } from './terminal.js';

export interface OutputOptions {
  readonly json?: boolean | undefined;
  /** A file for the report object beside what is printed. */
  readonly report?: string | undefined;
}

/**
 * Writes a file whole or not at all. A failure is noted, not thrown.
 * @returns whether it was written
 */
export function writeWhole(path: string, text: string): boolean {
  try {
    writeFileWhole(path, text);
    return true;
  } catch (error) {
    noteOutputFailure(path, error);
    return false;
  }
}

/** Prints a report: one JSON object, or the lines that `render` makes of it; and into the report file. */
export function printReport<T>(report: T, options: OutputOptions, render: (report: T) => string): void {
  print(options.json === true ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
  if (options.report !== undefined) writeWhole(userPath(options.report), `${JSON.stringify(report, null, 1)}\n`);
}

/**
 * A line that is overwritten while a run goes on. Where standard error is no terminal: nothing, or, of what takes minutes (`lines`), a line
 * each time.
 */
export class ProgressLine {
  readonly #isTerminal = process.stderr.isTTY === true;
  readonly #lines: boolean;

  constructor({ lines = false } = {}) {
    this.#lines = lines;
  }

  show(text: string): void {
    const line = oneLine(text);
    if (this.#isTerminal) process.stderr.write(`\r\u001b[2K${line.slice(0, (process.stderr.columns ?? 100) - 1)}`);
    else if (this.#lines) process.stderr.write(`pinfall: ${line}\n`);
  }

  clear(): void {
    if (this.#isTerminal) process.stderr.write('\r\u001b[2K');
  }
}

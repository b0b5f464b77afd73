/**
 * Errors that a user can meet, all of them: bad input, and commands that make no sense now. Everything else that is thrown is a mistake of
 * ours, but for a RangeError of a function that says so (exit code 3).
 */

/** What is wrong at a place of a file; lines and columns from 1. */
interface Mistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/**
 * Bad input: an option, a scenario, a recording or a schedule file that cannot be used. The command line prints its
 * message, one line that says what, where and what was expected, and ends with exit code 2.
 */
export class InputError extends Error {
  override readonly name = 'InputError';

  /** A line for each mistake; most inputs have one. */
  readonly mistakes: readonly string[];

  constructor(message: string, mistakes: readonly string[] = [message]) {
    super(message);
    this.mistakes = mistakes;
  }
}

/** A schedule file that cannot be read: where, and what was expected. */
export class ScheduleSyntaxError extends Error {
  override readonly name = 'ScheduleSyntaxError';
  readonly line: number;
  readonly column: number;
  /** Without its place. */
  readonly what: string;

  constructor(line: number, what: string, column = 1) {
    super(`line ${line}: ${what}`);
    this.line = line;
    this.column = column;
    this.what = what;
  }
}

/** A litmus file with mistakes. Its message is the first of them. */
export class LitmusError extends InputError {
  constructor(path: string, mistakes: readonly Mistake[]) {
    const lines = mistakes.map((each) => mistakeLine(path, each));
    super(lines[0] ?? `${path}: no litmus file`, lines);
  }
}

/** A command that makes no sense now, or not here: the dashboard answers it with 409. */
export class NotNow extends Error {
  override readonly name = 'NotNow';
}

/** `file:3:12: expected ';', got '|'`. */
export const mistakeLine = (path: string, { line, column, message }: Mistake): string =>
  `${path}:${line}:${column}: ${message}`;

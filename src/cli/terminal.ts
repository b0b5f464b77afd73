/**
 * All that goes to standard output and standard error passes here. Files and options may hold any bytes: what a terminal would take for a
 * command, or turn the reading direction with, is shown as an escape. Our own colours are told from others by a mark of this process.
 */
import { randomInt } from 'node:crypto';
import { writeProblem } from '../lab/input/file-problem.js';

/** Parameters that no terminal knows in front of a colour's own: tables measure text with them as they do without. */
const MARK = Array.from({ length: 3 }, () => randomInt(1000, 10_000)).join(';');
const ESC = '\u001b';

/** A colour's escape sequence as ours: {@link printable} lets it through, and no other. */
export const marked = (sequence: string): string => sequence.replaceAll(`${ESC}[`, `${ESC}[${MARK};`);

const OURS = new RegExp(`${ESC}\\[${MARK};(\\d+m)`, 'g');
/** Control characters but tab and newline; marks that turn the direction or are not seen; line and paragraph separators. */
const UNSAFE = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const escaped = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
  ).join('');

/** Text as a terminal may have it. In JSON the escapes mean the characters. */
export function printable(text: string): string {
  let from = 0;
  let made = '';
  for (const found of text.matchAll(OURS)) {
    made += `${text.slice(from, found.index).replace(UNSAFE, escaped)}${ESC}[${found[1]}`;
    from = found.index + found[0].length;
  }
  return made + text.slice(from).replace(UNSAFE, escaped);
}

/** One line: what would begin another is escaped too. */
export const oneLine = (text: string): string => printable(text).replaceAll('\n', '\\n');

/** To standard output. */
export const print = (text: string): void => void process.stdout.write(printable(text));

/** To standard error. */
export const tell = (text: string): void => void process.stderr.write(printable(text));

let outputFailed = false;

/** Something could not be written: the command ends with code 3, whatever else it has to say. */
export const someOutputFailed = (): boolean => outputFailed;

/** One line on standard error. What a run has found is too dear to be lost to a full disk: the command goes on. */
export function noteOutputFailure(path: string, error: unknown): void {
  outputFailed = true;
  tell(`pinfall: ${oneLine(path)}: cannot be written (${writeProblem(error)})\n`);
}

/**
 * Goes on when nobody reads any more: `pinfall ... | head` keeps its exit code and writes its files. A full disk is noted.
 */
export function keepGoingWithoutReaders(): void {
  let hasFailed = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (hasFailed) return;
    hasFailed = true;
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') noteOutputFailure('standard output', error);
  });
  // a terminal that has gone away: nobody is left to be told
  process.stderr.on('error', () => {});
}

/** Resolves when all that was written has gone out: a pipe may be read slowly. */
export async function flushed(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => void stream.write('', () => resolve()));
  }
  // a failure to write the last words is told a turn later
  await new Promise(setImmediate);
}

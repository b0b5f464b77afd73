/** Input files read by their bytes: `stat` says nothing of a pipe, and a device may have no end. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { InputError } from './input-error.js';

/**
 * A whole file.
 * @param shown the path as messages have it
 * @param what what it should be: `a scenario file`
 * @throws InputError when it has more bytes than `most`; what the file system says
 */
export function readBounded(path: string, shown: string, most: number, what: string): Buffer {
  const bytes = readUpTo(path, most + 1);
  if (bytes.length > most) throw new InputError(`${shown}: too large; expected ${what} of at most ${most} bytes`);
  return bytes;
}

/**
 * A file that nobody has named, found in a folder: read only when it is a plain file of at most `most` bytes, and without ever waiting.
 * A pipe without a writer, a device, a link to either or to itself is not opened. null: it is none of these, or larger.
 * @throws what the file system says
 */
export function readPlain(path: string, most: number): Buffer | null {
  if (!lstatSync(path).isFile()) return null;
  // it may have become something else by now
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > most) return null;
    const bytes = readOpen(file, most + 1);
    return bytes.length > most ? null : bytes;
  } finally {
    closeSync(file);
  }
}

const CHUNK = 1 << 16;

function readUpTo(path: string, most: number): Buffer {
  const file = openSync(path, 'r');
  try {
    return readOpen(file, most);
  } finally {
    closeSync(file);
  }
}

function readOpen(file: number, most: number): Buffer {
  const chunks: Buffer[] = [];
  for (let length = 0; length < most;) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, most - length));
    const got = readSync(file, chunk);
    if (got === 0) break;
    chunks.push(chunk.subarray(0, got));
    length += got;
  }
  return Buffer.concat(chunks);
}

/** Input files read by their bytes: `stat` says nothing of a pipe, and a device may have no end. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { InputError } from '../../errors/errors.js';

/**
 * A whole file.
 * @param shown the path as messages have it
 * @param what what it should be: `a scenario file`
 * @param patienceMs how long it waits for a pipe that nobody writes to: meanwhile no signal is heard
 * @throws InputError when it has more bytes than `most`, or nothing comes; what the file system says
 */
export function readBounded(path: string, shown: string, most: number, what: string, patienceMs = PATIENCE_MS): Buffer {
  const bytes = readUpTo(path, most + 1, patienceMs);
  if (bytes === null) {
    throw new InputError(
      `${shown}: a pipe or device from which nothing came for ${patienceMs / 1000} s; expected ${what}`,
    );
  }
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

const PATIENCE_MS = 5000;
const LOOK_MS = 5;

/** null: it is no plain file, and nothing came out of it, or nothing more, for too long. */
function readUpTo(path: string, most: number, patienceMs: number): Buffer | null {
  // a pipe without a writer would block the open, one whose writer is silent the read
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    return fstatSync(file).isFile() ? readOpen(file, most) : readPatiently(file, most, patienceMs);
  } finally {
    closeSync(file);
  }
}

/** A pipe's end is an end only when something came before: its writer may not be there yet. */
function readPatiently(file: number, most: number, patienceMs: number): Buffer | null {
  const chunks: Buffer[] = [];
  let length = 0;
  const isPipe = fstatSync(file).isFIFO();
  let until = performance.now() + patienceMs;
  while (length < most) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, most - length));
    const got = readNow(file, chunk);
    if (got > 0) {
      chunks.push(chunk.subarray(0, got));
      length += got;
      until = performance.now() + patienceMs;
    } else if (got === 0 && (length > 0 || !isPipe)) {
      break;
    } else {
      if (performance.now() > until) return null;
      Atomics.wait(NOBODY, 0, 0, LOOK_MS);
    }
  }
  return Buffer.concat(chunks);
}

/** Sleeps: nobody wakes it. */
const NOBODY = new Int32Array(new SharedArrayBuffer(4));

/** Bytes read; -1 when there are none now. */
function readNow(file: number, chunk: Buffer): number {
  try {
    return readSync(file, chunk);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return -1;
    throw error;
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

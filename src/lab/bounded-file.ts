/** Input files read by their bytes: `stat` says nothing of a pipe, and a device may have no end. */
import { closeSync, openSync, readSync } from 'node:fs';
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

const CHUNK = 1 << 16;

function readUpTo(path: string, most: number): Buffer {
  const chunks: Buffer[] = [];
  const file = openSync(path, 'r');
  try {
    for (let length = 0; length < most;) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, most - length));
      const got = readSync(file, chunk);
      if (got === 0) break;
      chunks.push(chunk.subarray(0, got));
      length += got;
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(file);
  }
}

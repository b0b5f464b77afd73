import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readBounded } from '#src/lab/input/bounded-file.js';
import { loadRecording } from '#src/lab/scenario/recording.js';
import { temporaryFolder } from './recordings.js';

function pipe(folder = temporaryFolder(), name = 'pipe'): string {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
}

describe('an input that is a pipe', () => {
  it('is read to its end, though its writer comes later and is slow', async () => {
    const path = pipe();
    const writer = spawn('sh', ['-c', 'sleep 0.1; exec >"$0"; printf one; sleep 0.1; printf two', path]);
    expect(readBounded(path, 'x', 100, 'a text').toString()).toBe('onetwo');
    await new Promise((resolve) => writer.once('exit', resolve));
  });

  it('without a writer is refused, and blocks nothing for good', () => {
    expect(() => readBounded(pipe(), 'my.litmus', 100, 'a litmus file', 20)).toThrow(
      /^my\.litmus: a pipe or device from which nothing came for 0\.02 s; expected a litmus file$/,
    );
  });

  it('is not taken for a recording', () => {
    const folder = temporaryFolder();
    pipe(folder, 'meta.json');
    expect(() => loadRecording(folder)).toThrow(
      /meta\.json: not a plain file of at most \d+ bytes; expected a description of a recording$/,
    );
  });
});

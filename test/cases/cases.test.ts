/** The cases of this folder, in one process, as `npm run cases` runs them: what real kernels were seen to do, and their siblings. */
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FOLDER, caseFiles, isLong, runCase } from './run.mjs';

const FILES = caseFiles([FOLDER]).filter((path) => !isLong(path));

describe('cases', () => {
  it('are many', () => {
    expect(FILES.length).toBeGreaterThan(60);
  });

  it.each(FILES.map((path) => [basename(path), path] as const))('%s', async (_name, path) => {
    const runs = await runCase(path, true);
    expect(runs.length).toBeGreaterThan(0);
    expect(runs.filter(({ ok }) => !ok)).toEqual([]);
  });
});

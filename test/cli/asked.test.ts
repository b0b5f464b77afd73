/** Exit codes of runs that have asked nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { pinfall } from './run.js';

const dir = mkdtempSync(join(tmpdir(), 'pinfall-asked-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('nothing asked is 1', () => {
  it('stress, long before its time is over', async () => {
    const { code, out } = await pinfall('stress', 'pin-race', '--policy', 'classic', '--duration', '1h', '--json');
    const report = JSON.parse(out) as { asked: boolean; ok: boolean; end: { kind: string } };
    expect(report).toMatchObject({ asked: false, ok: false, end: { kind: 'scenario-over' } });
    expect(code).toBe(1);
  });

  it('explore and litmus, whose schedules are cut off', async () => {
    const explored = await pinfall('explore', '--steps', '5', '--schedules', '20');
    expect(explored.out).toMatch(/^Nothing was asked: all 20 schedules were cut off/);
    expect(explored.code).toBe(1);
    const file = join(dir, 'cut.litmus');
    writeFileSync(
      file,
      'litmus c\n"cut"\nsteps 3\nprocess A { a: anon 1 read write }\ncpu0@A ;\nr = read(a) ;\nforbidden (r == 1)\n',
    );
    const searched = await pinfall('litmus', file);
    expect(searched.out).toMatch(/^Nothing was asked: /);
    expect(searched.code).toBe(1);
  });
});

/** `pinfall dashboard` and `stress --dashboard` as a user starts them: real runs, watched over HTTP. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { Report } from '#src/lab/report/run-row.js';
import { pinfall, start } from '../cli/run.js';
import { StreamClient, until } from './serve.js';

const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pinfall-dashboard-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts pinfall, and waits until it says where the page is. */
async function serving(...args: string[]) {
  const run = start(process.execPath, [MAIN, ...args]);
  let said = '';
  run.child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const address = (): string | undefined => /dashboard is at (http:\S+)/.exec(said)?.[1];
  await until('the address', () => address() !== undefined);
  return { ...run, url: new URL(address() as string), said: () => said };
}

const command = async (url: URL, body: object, token?: string): Promise<{ ok: boolean; message: string }> => {
  const response = await fetch(new URL('/api/command', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  return (await response.json()) as { ok: boolean; message: string };
};

describe('pinfall dashboard', () => {
  it('serves a run, restarts it, and prints the last report', async () => {
    const sweep = join(folder, 'sweep.json');
    writeFileSync(sweep, '{"schema":"pinfall.tune/1"}');
    const { child, done, url } = await serving(
      'dashboard',
      'two-processes',
      '--seed',
      '5',
      '--workers',
      '2',
      '--port',
      '0',
      '--json',
      '--sweep',
      sweep,
    );
    const stream = new StreamClient(url.origin);
    await until('metrics', () => stream.of('metrics').length >= 1);
    expect(stream.of('metrics')[0]?.data).toMatchObject({ run: 1, violations: 0 });
    expect(await (await fetch(new URL('/api/sweep', url))).json()).toEqual({ schema: 'pinfall.tune/1' });
    expect(
      await command(url, { type: 'restart', scenario: 'two-processes', policy: 'classic', seed: 6 }),
    ).toMatchObject({ ok: true });
    const soFar = async (): Promise<Report> => (await (await fetch(new URL('/api/report', url))).json()) as Report;
    expect(await soFar()).toMatchObject({ policy: 'classic', seed: 6 });
    // a run that is stopped before anything has happened in it has asked nothing, and ends with 4
    await until('a run in which something happens', async () => (await soFar()).asked);
    stream.close();
    child.kill('SIGTERM');
    const { code, out } = await done;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      command: 'dashboard',
      policy: 'classic',
      seed: 6,
      ok: true,
      end: { kind: 'interrupted' },
    });
  });

  it('refuses what it cannot use, in one line', async () => {
    const cases: readonly (readonly [string[], RegExp])[] = [
      [['dashboard', 'no-such'], /no scenario no-such/],
      [['stress', '--port', '0'], /--port goes with --dashboard/],
    ];
    const ended = await Promise.all(cases.map(([args]) => pinfall(...args)));
    ended.forEach(({ code, out, err }, index) => {
      expect([cases[index]?.[0], code, out, err.trim().split('\n').length]).toEqual([cases[index]?.[0], 2, '', 1]);
      expect(err).toMatch(cases[index]?.[1] as RegExp);
    });
  });
});

describe('stress --dashboard', () => {
  it('has a page that can stop the run, and not restart it; beyond loopback it warns and asks for a token', async () => {
    const flags = '--workers 2 --duration 1h --json --dashboard --port 0 --host 0.0.0.0'.split(' ');
    const { child, done, url, said } = await serving('stress', 'two-processes', ...flags);
    expect(said()).toMatch(/WARNING: other machines can reach the dashboard/);
    const token = url.searchParams.get('token') ?? '';
    expect(token).toMatch(/^[\w-]{32}$/);
    const here = new URL(`http://127.0.0.1:${url.port}/`);
    expect((await fetch(new URL('/metrics', here))).status).toBe(401);
    expect(await command(here, { type: 'restart', policy: 'classic' }, token)).toMatchObject({
      ok: false,
      message: expect.stringContaining('belongs to a stress run') as string,
    });
    expect(await command(here, { type: 'pause' }, token)).toMatchObject({ ok: true });
    expect(await command(here, { type: 'resume' }, token)).toMatchObject({ ok: true });
    const headers = { authorization: `Bearer ${token}` };
    // as above: what is stopped before anything has happened in it ends with 4
    await until('a run in which something happens', async () => {
      const response = await fetch(new URL('/api/report', here), { headers });
      return ((await response.json()) as Report).asked;
    });
    const stopped = command(here, { type: 'stop' }, token).catch(() => null);
    if (child.exitCode === null) await once(child, 'exit');
    const { code, out } = await done;
    await stopped;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ command: 'stress', ok: true });
  });
});

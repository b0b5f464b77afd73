/** The way in through npm: signals, a stale build, a set-up that fails. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ROOT, start } from './run.js';

const dir = mkdtempSync(join(tmpdir(), 'pinfall-npm-'));
// thousands of files, on a disk that others use too
afterAll(() => rmSync(dir, { recursive: true, force: true }), 300_000);

/** A copy of the checkout, without what npm installs. */
function checkout(name: string): string {
  const to = join(dir, name);
  for (const part of ['package.json', 'package-lock.json', 'tsconfig.json', 'src', 'actors', '.ci', 'dist']) {
    cpSync(join(ROOT, part), join(to, part), { recursive: true, preserveTimestamps: true });
  }
  return to;
}

const npmStart = (args: readonly string[], env: Record<string, string> = {}, cwd = ROOT) =>
  start('npm', ['start', '--silent', '--', ...args], { INIT_CWD: cwd, ...env }, cwd);

/** Resolves when some process below `pid` has the threads of a run, and a moment later. */
async function workersOf(pid: number): Promise<void> {
  for (let below = new Set([pid]), running = false; !running;) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,nlwp=,args='], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
    below = new Set([...below, ...rows.filter(([, parent]) => below.has(Number(parent))).map(([own]) => Number(own))]);
    // node alone has eleven; each worker adds one
    running = rows.some(
      ([own, , threads, ...args]) =>
        below.has(Number(own)) && Number(threads) >= 15 && args.join(' ').includes('main.js'),
    );
  }
  await new Promise((resolve) => setTimeout(resolve, 3000));
}

describe('npm start', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`${signal} ends the run with the report so far, and leaves nothing behind`, async () => {
      const { child, done } = npmStart(['stress', 'two-processes', '--duration', '1h', '--seed', '1', '--json']);
      await workersOf(child.pid as number);
      child.kill(signal);
      const { out, err } = await done;
      const report = JSON.parse(out) as { end: { kind: string } };
      expect(err).toMatch(/stopping/);
      expect(report.end.kind).toBe('interrupted');
    });
  }

  it('a stale build is built again', async () => {
    const clone = checkout('stale');
    symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    const source = join(clone, 'src/lab/report/list.ts');
    writeFileSync(source, readFileSync(source, 'utf8').replace('pinfall.list/1', 'pinfall.list/rebuilt'));
    const { code, out } = await npmStart(['list', '--json'], {}, clone).done;
    expect(code).toBe(0);
    expect((JSON.parse(out) as { schema: string }).schema).toBe('pinfall.list/rebuilt');
  });

  it('without node_modules and without a registry the set-up fails: exit code 3, nothing on standard output', async () => {
    const clone = checkout('bare');
    utimesSync(join(clone, 'package-lock.json'), new Date(), new Date());
    const nowhere = {
      npm_config_registry: 'http://127.0.0.1:9/',
      npm_config_cache: join(dir, 'cache'),
      npm_config_fetch_retries: '0',
    };
    const { code, out, err } = await npmStart(['list', '--json'], nowhere, clone).done;
    expect(code).toBe(3);
    expect(out).toBe('');
    expect(err).toMatch(/set-up failed/);
  });
});

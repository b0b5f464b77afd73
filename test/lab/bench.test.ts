/** The bench: what it prints, and how samples become rows. What it measures is no matter for a test. */
import { describe, expect, it } from 'vitest';
import { bench, benchNames } from '#src/lab/bench/index.js';
import { quantile, ratios, row } from '#src/lab/bench/row.js';
import { type Sampler, interleave } from '#src/lab/bench/sampler.js';
import { fileURLToPath } from 'node:url';
import { start } from '../cli/run.js';

const MAIN = fileURLToPath(new URL('../../dist/src/cli/bench.js', import.meta.url));
const run = (...args: string[]) => start(process.execPath, [MAIN, ...args]).done;

describe('npm run bench', () => {
  it('--json prints one report and nothing else; no row says undefined', async () => {
    const { code, out, err } = await run('--json', '--quick', '--only', 'K3');
    expect(err).toBe('');
    expect(code).toBe(0);
    const report = JSON.parse(out) as { schema: string; rows: Record<string, unknown>[] };
    expect(out.trim().split('\n')).toHaveLength(1);
    expect(report.schema).toBe('pinfall.bench/1');
    expect(report.rows.length).toBeGreaterThan(0);
    for (const { name, value, unit, spread, target, met, decided } of report.rows) {
      expect(name).toMatch(/^K3 /);
      expect(Number.isFinite(value)).toBe(true);
      expect(unit).toBe('accesses/s');
      expect(Number.isFinite(spread)).toBe(true);
      expect(target === null ? met === null : typeof met === (decided === true ? 'boolean' : 'object')).toBe(true);
      expect(typeof decided).toBe(target === null ? 'object' : 'boolean');
    }
  });

  it('prints a table', async () => {
    const { code, out } = await run('--quick', '--only', 'memory per frame');
    expect(code).toBe(0);
    expect(out).toMatch(/K7 memory per frame: struct page +64 +bytes\/frame +0 % +<= 64 +met/);
  });

  it.each([
    [['--only', 'no such row'], "--only: no row has 'no such row' in its name"],
    [['--loud'], "unknown option '--loud'"],
    [['K3'], 'too many arguments'],
  ])('refuses %j in one line', async (args, message) => {
    const { code, out, err } = await run(...args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).toContain(message);
  });
});

describe('rows', () => {
  it('have names of their own, by the targets that they belong to', () => {
    const names = benchNames();
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(K[1-7]|F|A) /);
  });

  it('are named as announced', async () => {
    const only = 'K7 memory';
    const { rows } = await bench({ quick: true, only });
    expect(rows.map(({ name }) => name)).toEqual(benchNames().filter((name) => name.startsWith(only)));
  });

  it('hold the median, the spread of the quartiles, and a verdict only where there is a target', () => {
    const samples = [5, 1, 3, 2, 4];
    expect(quantile([1, 2], 0.5)).toBe(1.5);
    expect(row('r', samples, { unit: 'x', workers: 1 })).toEqual({
      name: 'r',
      value: 3,
      unit: 'x',
      spread: 0.6667,
      target: null,
      met: null,
      decided: null,
      bound: null,
      workers: 1,
      repetitions: 5,
    });
    expect(row('r', samples, { unit: 'x', workers: 1, atLeast: 1 })).toMatchObject({
      target: 1,
      met: true,
      decided: true,
      bound: '>=',
    });
    expect(row('r', samples, { unit: 'x', workers: 1, atMost: 0.5 })).toMatchObject({
      target: 0.5,
      met: false,
      decided: true,
      bound: '<=',
    });
    expect(ratios([2, 9], [1, 3])).toEqual([2, 3]);
  });

  it('say that they are not decided where the spread is wider than the distance to the target', () => {
    const samples = [5, 1, 3, 2, 4];
    const undecided = { met: null, decided: false };
    for (const target of [{ atLeast: 3 }, { atLeast: 2 }, { atLeast: 4 }, { atMost: 2 }, { atMost: 4 }])
      expect(row('r', samples, { unit: 'x', workers: 1, ...target })).toMatchObject(undecided);
    // one measurement has no spread, but for what is computed
    expect(row('r', [3], { unit: 'x', workers: 1, atLeast: 1 })).toMatchObject(undecided);
    expect(row('r', [64], { unit: 'bytes', workers: 0, atMost: 64 })).toMatchObject({ met: true, decided: true });
  });

  it('tell a reason only where a target is missed', () => {
    const reason = 'because';
    expect(row('r', [1, 1], { unit: 'x', workers: 1, atLeast: 1, reason })).not.toHaveProperty('reason');
    expect(row('r', [1, 1], { unit: 'x', workers: 1, atLeast: 2, reason })).toHaveProperty('reason', reason);
    expect(row('r', [1], { unit: 'x', workers: 1, note: 'by the way' })).toHaveProperty('reason', 'by the way');
  });
});

describe('repetitions', () => {
  const effort = { ms: 1, repetitions: 3, warmUpMs: 1, warmUpsMax: 1 };

  it('take turns, forwards and backwards, after a warm-up of each', async () => {
    const order: string[] = [];
    const sampler = (name: string): Sampler => ({
      sample: () => Promise.resolve(order.push(name)),
      close: () => Promise.resolve(),
    });
    const samples = await interleave([sampler('a'), sampler('b')], effort);
    expect(order.join('')).toBe('ababbaab');
    expect(samples).toEqual([
      [3, 6, 7],
      [4, 5, 8],
    ]);
  });

  it('close every sampler when one fails', async () => {
    let closed = 0;
    const close = (): Promise<void> => {
      closed++;
      return Promise.resolve();
    };
    const failing: Sampler = { sample: () => Promise.reject(new Error('planted')), close };
    await expect(interleave([failing, { sample: () => Promise.resolve(1), close }], effort)).rejects.toThrow('planted');
    expect(closed).toBe(2);
  });
});

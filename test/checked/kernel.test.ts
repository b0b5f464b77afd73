/**
 * The core kernel under the checking build (design, section 1: the points are complete, and that is checked). The build is chosen by
 * a condition of the module loader, so the schedules run in a process of their own. A thousand steps touch most points; what
 * is hidden behind rare exits is reached by several seeds, machines and policies.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('run.mjs', import.meta.url));

interface Result {
  readonly ends: Readonly<Record<string, number>>;
  readonly steps: number;
  readonly breaches: readonly string[];
  readonly accesses: readonly {
    readonly what: string;
    readonly word: string;
    readonly declared: string;
    readonly site: string;
  }[];
}

async function run(...args: string[]): Promise<Result> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=pinfall-checked', SCRIPT, ...args]);
  return JSON.parse(stdout) as Result;
}

describe("every access is declared by its schedule point, or out of others' reach", () => {
  it.each([
    ['classic', '60', '1', 'random', 'pairs'],
    ['classic', '60', '2', 'pct', 'batches'],
    ['pinned-notifiers', '40', '3', 'random', 'batches'],
    ['pkvm-2022', '60', '4', 'random', 'pairs'],
    ['pkvm-2022', '40', '5', 'pct', 'batches'],
    ['check-then-notify', '30', '6', 'random', 'pairs'],
    ['check-then-notify-backout', '30', '7', 'random', 'batches'],
    ['check-then-notify-range', '30', '8', 'random', 'pairs'],
    ['notify-under-ptl', '60', '9', 'random', 'pairs'],
    ['pkvm-np-upstream', '40', '10', 'random', 'pairs'],
  ])('%s, %s schedules, seed %s, %s, %s', async (...args) => {
    const { accesses, ends, steps } = await run(...args);
    expect(
      accesses.map(({ what, word, declared, site }) => `${site}: ${what}: ${word} (declared: ${declared})`),
    ).toEqual([]);
    expect(ends['exception']).toBeUndefined();
    expect(steps).toBeGreaterThan(5_000);
  });

  it('is no empty promise: the script refuses to run without the checking build', async () => {
    await expect(promisify(execFile)(process.execPath, [SCRIPT])).rejects.toMatchObject({ code: 2 });
  });
});

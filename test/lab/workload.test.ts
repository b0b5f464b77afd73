import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  WORKLOAD_BOOT_STORM,
  WORKLOAD_SEQUENTIAL,
  WORKLOAD_UNIFORM,
  WORKLOAD_ZIPF,
  Workload,
  zipfTable,
} from '#actors/workload.js';
import type { Context } from '#src/machine/context.js';
import { Task } from '#src/machine/current/task.js';

/** All that a workload takes of its actor's context. */
const actor = (seed: number): Context => ({ task: new Task(seed) }) as Context;

function draws(workload: Workload, ctx: Context, n: number): { page: number; write: boolean }[] {
  return Array.from({ length: n }, () => {
    const access = workload.next(ctx);
    return { page: access >> 1, write: (access & 1) !== 0 };
  });
}

describe('every workload', () => {
  it('stays in its range, and one seed gives one sequence', () => {
    const kinds = fc.constantFrom(WORKLOAD_UNIFORM, WORKLOAD_ZIPF, WORKLOAD_SEQUENTIAL, WORKLOAD_BOOT_STORM);
    const numbers = fc.record({
      first: fc.nat(1000),
      pages: fc.integer({ min: 1, max: 3000 }),
      percent: fc.nat(100),
      vcpus: fc.integer({ min: 1, max: 8 }),
      seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(kinds, numbers, (kind, { first, pages, percent, vcpus, seed }) => {
        const make = (): Workload => new Workload(kind, first, pages, percent, vcpus - 1, vcpus);
        const one = draws(make(), actor(seed), 300);
        expect(one.every(({ page }) => page >= first && page < first + pages)).toBe(true);
        expect(draws(make(), actor(seed), 300)).toEqual(one);
      }),
      { numRuns: 60 },
    );
  });

  it('writes as often as it is told to', () => {
    // 20,000 draws at 30 %: the standard deviation is 65, so a miss by 500 would be 7 of them
    const writes = draws(new Workload(WORKLOAD_UNIFORM, 0, 100, 30, 0, 1), actor(7), 20_000).filter(
      (a) => a.write,
    ).length;
    expect(Math.abs(writes - 6000)).toBeLessThan(500);
    expect(draws(new Workload(WORKLOAD_ZIPF, 0, 100, 0, 0, 1), actor(7), 1000).some((a) => a.write)).toBe(false);
  });
});

describe('sequential', () => {
  it('visits every page once a round, vCPUs apart from each other', () => {
    const workload = new Workload(WORKLOAD_SEQUENTIAL, 10, 8, 0, 1, 2);
    const pages = draws(workload, actor(1), 16).map(({ page }) => page);
    expect(pages.slice(0, 8)).toEqual([14, 15, 16, 17, 10, 11, 12, 13]);
    expect(pages.slice(8)).toEqual(pages.slice(0, 8));
  });
});

describe('zipf', () => {
  it('gives rank r the weight 1 / (r + 1)', () => {
    // 1000 pages: harmonic number 7.485, so rank 0 has 13.4 % of all accesses and ranks below 10 have 39.1 %
    const workload = new Workload(WORKLOAD_ZIPF, 0, 1000, 0, 0, 1);
    const counts = new Map<number, number>();
    for (const { page } of draws(workload, actor(3), 50_000)) counts.set(page, (counts.get(page) ?? 0) + 1);
    const ranked = [...counts.values()].toSorted((a, b) => b - a);
    const share = (n: number): number => ranked.slice(0, n).reduce((a, b) => a + b, 0) / 50_000;
    expect(share(1)).toBeCloseTo(0.134, 1);
    expect(share(10)).toBeCloseTo(0.391, 1);
    expect(counts.size).toBeGreaterThan(900);
  });

  it('has a table that rises from 0 to the number of pages', () => {
    for (const pages of [1, 2, 7, 4096, 65_536]) {
      const table = zipfTable(pages);
      expect(table[0]).toBe(0);
      expect(table.at(-1)).toBe(pages);
      expect(table.every((rank, q) => q === 0 || rank >= (table[q - 1] as number))).toBe(true);
    }
  });
});

describe('boot storm', () => {
  it('first touches every page once by a write of some vCPU, then goes back to touching', () => {
    const pages: number[] = [];
    for (const vcpu of [0, 1, 2]) {
      const workload = new Workload(WORKLOAD_BOOT_STORM, 0, 12, 0, vcpu, 3);
      const round = draws(workload, actor(5), 129 * 4);
      expect(round.slice(0, 4).every((a) => a.write)).toBe(true);
      pages.push(...round.slice(0, 4).map((a) => a.page));
      expect(draws(workload, actor(5), 4).map((a) => a.page)).toEqual(round.slice(0, 4).map((a) => a.page));
    }
    expect(pages.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, page) => page));
  });
});

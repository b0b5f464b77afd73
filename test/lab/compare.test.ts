/** `compare`: refaults are counted, rows are sums over runs in turns, and one run has no interval. */
import { describe, expect, it } from 'vitest';
import { STAT, countStage2Map } from '#src/machine/stats.js';
import { statsBase } from '#src/machine/layout.js';
import { compare } from '#src/lab/run/compare.js';
import { BASE_KERNEL } from '#src/engine/machine/kernel.js';
import { makeContext, makeMachine } from '../helpers/drive.js';

const never = new Promise<void>(() => {});
const quick = { scenario: 'two-processes', seed: 1, interrupted: never };

/** Stage-2 maps and refaults after entries for these pages: gfn, pages. */
const counts = (maps: readonly (readonly [number, number])[], queues = true): readonly number[] => {
  const m = makeMachine({ vmPages: 128, vms: 2 });
  const ctx = makeContext(m, 0, BASE_KERNEL);
  ctx.queues = queues;
  for (const [gfn, pages] of maps) countStage2Map(ctx, 1, gfn, pages);
  return [STAT.stage2_maps, STAT.stage2_refaults].map((stat) => m.words[statsBase(m, 0) + stat] as number);
};

describe('refaults', () => {
  it.each([
    [
      'first entries are none',
      [
        [0, 1],
        [1, 1],
        [31, 1],
        [32, 1],
        [64, 64],
      ],
      [5, 0],
    ],
    [
      'the same page again',
      [
        [5, 1],
        [5, 1],
        [6, 1],
        [5, 1],
      ],
      [4, 2],
    ],
    [
      'a page under a block that was there',
      [
        [0, 64],
        [63, 1],
      ],
      [2, 1],
    ],
    [
      'a block over one page that was there',
      [
        [40, 1],
        [0, 64],
      ],
      [2, 1],
    ],
    [
      'a block beside a page that was there',
      [
        [64, 1],
        [0, 64],
      ],
      [2, 0],
    ],
    [
      'over the edge of a word',
      [
        [30, 4],
        [33, 1],
        [34, 1],
      ],
      [3, 1],
    ],
  ] as const)('%s', (_, maps, expected) => expect(counts(maps)).toEqual(expected));

  it('are not looked for on one thread', () =>
    expect(
      counts(
        [
          [5, 1],
          [5, 1],
        ],
        false,
      ),
    ).toEqual([2, 0]));
});

describe('rows', () => {
  it('are sums over runs in turns, with the lowest and the highest rate', async () => {
    const order: string[] = [];
    const report = await compare({
      ...quick,
      policies: ['classic', 'pinned-notifiers'],
      seconds: 0.4,
      repetitions: 2,
      onPolicy: (policy) => order.push(policy),
    });
    expect(order).toEqual(['classic', 'pinned-notifiers', 'pinned-notifiers', 'classic']);
    expect(report.reports.map(({ policy }) => policy)).toEqual([
      'classic',
      'classic',
      'pinned-notifiers',
      'pinned-notifiers',
    ]);
    for (const [index, row] of report.rows.entries()) {
      const own = report.reports.slice(2 * index, 2 * index + 2);
      const sum = (stat: 'accesses' | 'stage2_refaults'): number =>
        own.reduce((total, { ops }) => total + ops[stat], 0);
      expect(row).toMatchObject({
        runs: 2,
        accesses: sum('accesses'),
        refaults: sum('stage2_refaults'),
        violations: 0,
        broken: {},
      });
      expect(row.refaults).toBeLessThanOrEqual(own.reduce((total, { ops }) => total + ops.stage2_maps, 0));
      expect(row.rate.low).toBeLessThanOrEqual(row.rate.median);
      expect(row.rate.high).toBeGreaterThanOrEqual(row.rate.median);
    }
  });

  it('of one run have no interval', async () => {
    const { rows } = await compare({ ...quick, policies: ['classic'], seconds: 0.3, repetitions: 1 });
    expect(rows[0]?.rate).toMatchObject({ low: null, high: null });
  });
});

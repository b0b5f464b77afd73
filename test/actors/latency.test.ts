import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SMALL_MACHINE } from '#src/machine/config.js';
import { Machine } from '#src/machine/layout.js';
import { LATENCY, readLatency, recordLatency } from '#src/machine/stats.js';

describe('latency histograms', () => {
  it('give percentiles to within a quarter, and the maximum exactly', () => {
    const micros = fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(micros, (values) => {
        const m = new Machine(SMALL_MACHINE);
        values.forEach((value, i) => recordLatency(m, i % m.cpus, LATENCY.pin, value));
        const sorted = values.toSorted((a, b) => a - b);
        const exact = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] as number;
        const { count, p50, p99, max } = readLatency(m, LATENCY.pin);
        expect(count).toBe(values.length);
        expect(max).toBe(sorted.at(-1));
        for (const [seen, share] of [
          [p50, 0.5],
          [p99, 0.99],
        ] as const) {
          expect(seen).toBeGreaterThanOrEqual(exact(share));
          expect(seen).toBeLessThanOrEqual(exact(share) * 1.25 + 0.25);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('keep kinds apart, and what is beyond the last bucket is the maximum', () => {
    const m = new Machine(SMALL_MACHINE);
    recordLatency(m, 0, LATENCY.zap, 900_000);
    recordLatency(m, 1, LATENCY.numa_scan, 0.1);
    expect(readLatency(m, LATENCY.zap)).toEqual({ count: 1, p50: 900_000, p99: 900_000, max: 900_000 });
    expect(readLatency(m, LATENCY.numa_scan)).toMatchObject({ count: 1, p50: 0.1, max: 0.1 });
    expect(readLatency(m, LATENCY.pin)).toEqual({ count: 0, p50: 0, p99: 0, max: 0 });
  });
});

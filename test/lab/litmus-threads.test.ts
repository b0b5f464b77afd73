/** Litmus tests on real threads: every final state is judged, by the rules that one thread would judge it by. */
import { describe, expect, it } from 'vitest';
import { bugById } from '#src/zoo/index.js';
import type { Bug } from '#src/zoo/bug.js';
import { zooSubject } from '#src/lab/zoo.js';
import { runLitmusThreads } from '#src/lab/litmus/threads/report.js';
import { renderLitmusThreads } from '#src/cli/render/litmus-threads.js';

const race = (id: string, planted: boolean, iterations: number) =>
  runLitmusThreads({ subject: zooSubject(bugById(id) as Bug, planted), iterations, seconds: 60 });

describe('on real threads', () => {
  // every schedule of these breaks its rule: at rest by what is in the ledgers of two workers, by an entry that stage 2 was not told
  // of, by a table that another worker has freed
  it.each([
    ['Z14', 'I-PIN'],
    ['Z16', 'I-STALE'],
    ['Z29', 'I-UAFNODE'],
  ])('%s breaks %s in every iteration, and every one is counted', { timeout: 120_000 }, async (id, rule) => {
    const report = await race(id, true, 200);
    expect(report.iterations).toBeGreaterThanOrEqual(200);
    expect(report.audited).toBe(report.iterations);
    expect(report.outcomes.reduce((sum, { broken }) => sum + broken, 0)).toBe(report.iterations);
    expect(report.outcomes.every(({ verdict }) => verdict === 'violation')).toBe(true);
    expect(report.violations.map(({ invariant }) => invariant)).toContain(rule);
    expect(report.violation_count).toBeGreaterThanOrEqual(report.iterations);
    expect(renderLitmusThreads(report)).toContain('every final state was judged by all rules');
  });

  it('a kernel without the bug breaks none', { timeout: 120_000 }, async () => {
    for (const id of ['Z14', 'Z29']) {
      const report = await race(id, false, 2000);
      expect(report.violations).toEqual([]);
      expect(report.outcomes.every(({ broken }) => broken === 0)).toBe(true);
    }
  });
});

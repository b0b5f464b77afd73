/** Litmus tests on real threads: every final state is judged, by the rules that one thread would judge it by. */
import { describe, expect, it } from 'vitest';
import { bugById } from '#src/zoo/index.js';
import type { Bug } from '#src/zoo/bug.js';
import { runZoo, zooSubject } from '#src/lab/zoo/zoo.js';
import { runLitmusThreads } from '#src/lab/litmus/threads/report.js';
import { renderLitmusThreads } from '#src/cli/render/litmus-threads.js';
import { renderZooRun } from '#src/cli/render/zoo.js';

const race = (id: string, planted: boolean, iterations: number) =>
  runLitmusThreads({ subject: zooSubject(bugById(id) as Bug, planted), iterations, seconds: 60 });

/** Each time that the clock is read a second has passed, in which each worker had so much of it. */
const machine = (share: number) => {
  let now = 0;
  return { clock: () => ++now, cpu: (workers: number) => now * workers * share };
};

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
    expect(report.ended).toBe('');
    expect(report.outcomes.reduce((sum, { broken }) => sum + broken, 0)).toBe(report.iterations);
    expect(report.outcomes.every(({ verdict }) => verdict === 'violation')).toBe(true);
    expect(report.violations.map(({ invariant }) => invariant)).toContain(rule);
    expect(report.violation_count).toBeGreaterThanOrEqual(report.iterations);
    expect(renderLitmusThreads(report)).toContain('every final state was judged by all rules');
    expect(renderLitmusThreads(report)).not.toMatch(/CPU seconds|clock/);
  });

  it('a kernel without the bug breaks none', { timeout: 120_000 }, async () => {
    for (const id of ['Z14', 'Z29']) {
      const report = await race(id, false, 2000);
      expect(report.violations).toEqual([]);
      expect(report.outcomes.every(({ broken }) => broken === 0)).toBe(true);
    }
  });
});

describe('the time of real threads', () => {
  const clean = zooSubject(bugById('Z14') as Bug, false);
  it.each([
    ['budget', 1, '(its CPU seconds were used)'],
    ['clock', 0.01, '(the clock ended it: the machine is busy)'],
  ])('is ended by the %s', { timeout: 120_000 }, async (ended, share, text) => {
    const report = await runLitmusThreads({ subject: clean, iterations: 1e9, seconds: 3, time: machine(share) });
    expect(report.ended).toBe(ended);
    expect(renderLitmusThreads(report)).toContain(text);
  });

  it('zoo run: a race that found nothing says what ended it, and that it proves nothing', async () => {
    const report = await runZoo({
      ids: ['Z14'],
      strategies: ['random'],
      seeds: 1,
      schedules: 1,
      exhaustiveSeconds: 0,
      threadSeconds: 0.05,
    });
    const [entry] = report.entries;
    const [threads] = report.entries.flatMap((each) => each.threads ?? []);
    if (entry === undefined || threads === undefined) throw new Error('no race');
    expect(threads.silence === null).toBe(threads.found || threads.iterations === 0);
    expect(threads.found || threads.ended !== '').toBe(true);
    const silence = 'No violation on real threads of Z14 in 60.0 s, which proves nothing';
    const silent = { found: false, iterations: 5, elapsed_s: 60, ended: 'clock' as const, silence: 'x' };
    const text = renderZooRun({ ...report, not_asked: null, silence, entries: [{ ...entry, threads: silent }] });
    expect(text.startsWith(silence)).toBe(true);
    expect(text).toMatch(/- clock\n[^]*ten times that had passed/);
  });
});

/** Litmus files by exhaustive search: on several threads, past broken rules, with the portfolio after it. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseSchedule } from '#src/engine/one-thread/schedule-file.js';
import type { ExploreProgress } from '#src/lab/explore/explore.js';
import { explainLitmus } from '#src/lab/litmus/explain.js';
import { proveLitmus } from '#src/lab/litmus/prove.js';
import { runLitmus } from '#src/lab/litmus/run.js';
import { type LitmusSubject, litmusSubject, readLitmus } from '#src/lab/litmus/subject.js';
import { replay } from '#src/lab/replay/replay.js';

const TESTS = new URL('../../src/lab/litmus/tests/', import.meta.url);

function shipped(name: string): LitmusSubject {
  const path = fileURLToPath(new URL(`${name}.litmus`, TESTS));
  return litmusSubject({ path, text: readLitmus(path), options: { seed: 1 } });
}

describe('on two threads', () => {
  it('the same executions are run, none twice, and how far it is is told', { timeout: 120_000 }, async () => {
    const told: ExploreProgress[] = [];
    const common = { subject: shipped('good_anon_fault'), seconds: 100 };
    const { report: one } = await proveLitmus(common);
    const options = { ...common, workers: 2, aloneSeconds: 0, onProgress: (now: ExploreProgress) => told.push(now) };
    const { report: two, complete } = await proveLitmus(options);
    expect(complete).toBe(true);
    expect(two).toMatchObject({ workers: 2, schedules: one.schedules, steps: one.steps, exhaustive: true });
    const counts = (of: typeof one): string[] => of.outcomes.map(({ state, count }) => `${state} ${count}`);
    expect(counts(two)).toEqual(counts(one));
    expect(told.length).toBeGreaterThan(0);
    expect(told.every(({ leftSchedules, leftSeconds }) => leftSchedules >= 0 && leftSeconds >= 0)).toBe(true);
  });
});

describe('past a broken rule', () => {
  it('an execution has its final state, and its schedule is replayed to there', async () => {
    const subject = shipped('bad_thread_3_range_misses_notify');
    const report = await runLitmus({ subject });
    expect(report).toMatchObject({ exhaustive: true, ok: true, schedules: 3 });
    const broken = report.outcomes.find(({ verdict }) => verdict === 'violation');
    expect(broken).toMatchObject({
      state: 'violation I-STALE, then pte(a)=protnone stage2(G, 0)=rw notifier_starts(any)=0',
      values: { 'pte(a)': 'protnone' },
      questions: [1],
    });
    const again = replay(parseSchedule(broken?.schedule ?? ''), subject, 'x.schedule').report;
    expect(again).toMatchObject({ reproduced: true, outcomes: [{ state: broken?.state }] });
    const path = fileURLToPath(new URL('bad_thread_3_range_misses_notify.litmus', TESTS));
    const source = { path, text: readLitmus(path), options: { seed: 1 } };
    const explained = await explainLitmus({ source, outcome: broken?.state ?? '', schedules: 300 });
    expect(explained.report).toMatchObject({ found: true, outcome: 'violation I-STALE' });
    // what is reported of the rule ends where it breaks
    const [violation] = report.violations;
    const short = replay(parseSchedule(violation?.schedule ?? ''), subject, 'x.schedule').report;
    expect(short).toMatchObject({ reproduced: true, recorded_end: 'violation I-STALE' });
  });

  it('what cannot go on is not proved, and the portfolio follows', { timeout: 30_000 }, async () => {
    const report = await runLitmus({ subject: shipped('bad_pkvm_eperm_livelock'), schedules: 20 });
    expect(report).toMatchObject({ exhaustive: false, ok: true });
    expect(report.strategy).toBe('exhaustive, then portfolio');
    expect(report.guarantee).toContain('1 of 1 executions were cut off before their end');
  });
});

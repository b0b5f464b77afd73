/**
 * The finds: what their pages say of each litmus file, and that their schedules replay. The suite proves those that are short; `npm run soak:finds`
 * all of them.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runLitmus } from '#src/lab/litmus/run.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';
import { readSchedule, replay } from '#src/lab/replay/replay.js';
import { subjectOf } from '#src/lab/explore/subject.js';

const DIR = 'src/lab/finds';
const ALL = process.env['FINDS'] === 'all';
const textOf = (name: string): string => readFileSync(`${DIR}/${name}`, 'utf8');
const subject = (name: string) =>
  litmusSubject({ path: `${DIR}/${name}.litmus`, text: textOf(`${name}.litmus`), options: { seed: 1 } });

/** How many executions there are, and in how many of them the read is stale. */
const PROVED = (
  [
    ['x03-stale-read', 28_572, 1368],
    ['x03-fix-fault', 59_436, 0, true],
    ['x03-fix-removal', 19_794, 0],
    ['x03-no-batch', 23_898, 0, true],
    ['x03-before-v4_3', 3042, 0],
    ['x03-dirty-folio', 49_032, 8496, true],
    ['x03-dirty-folio-fix-fault', 91_776, 0, true],
    ['x03-dirty-folio-fix-removal', 30_084, 0, true],
    ['x03-lazyfree', 102, 42],
    ['x03-lazyfree-fix-fault', 210, 0],
    ['x03-lazyfree-fix-removal', 102, 42],
    ['x03-page-cache', 282, 78],
    ['x03-page-cache-fix-fault', 618, 0],
    ['x03-page-cache-fix-removal', 180, 0],
    ['x03-wp-copy', 23_766, 0, true],
  ] as readonly (readonly [string, number, number, true?])[]
).map(([name, executions, stale, long = false]) => ({ name, executions, stale, long }));

describe('x03: proved', () => {
  it.each(PROVED.filter(({ long }) => ALL || !long))(
    '$name',
    { timeout: 600_000 },
    async ({ name, executions, stale }) => {
      const report = await runLitmus({ subject: subject(name), strategy: 'exhaustive', seconds: 600 });
      expect(report.guarantee).toBe(`proved: ${executions} executions are all that differ`);
      expect(report.violations).toEqual([]);
      expect(report.ok).toBe(true);
      const [asked] = report.questions;
      expect(asked).toMatchObject({ proved: true, answer: stale === 0 ? 'never' : 'sometimes', count: stale });
      // every stale read is the known window, and nothing else is
      expect(report.known_windows.map(({ invariant, known, schedules }) => [invariant, known, schedules])).toEqual(
        stale === 0 ? [] : [['I-COHERE', true, stale]],
      );
      for (const { values, state, verdict } of report.outcomes) {
        expect(verdict === 'known window').toBe(values['r'] !== '2');
        expect(state.endsWith(' known(I-COHERE)')).toBe(values['r'] !== '2');
      }
    },
  );
});

const run = (name: string, schedules: number) =>
  runLitmus({ subject: subject(name), strategy: 'pct', schedules, seconds: 600 });

describe('b14c', () => {
  it('two vCPUs on one movable page: one may end with -EFAULT', async () => {
    const report = await run('b14c-two-faults', 1500);
    expect(report.ok).toBe(true);
    expect(report.questions.map(({ answer }) => answer)).toEqual(['sometimes', 'none-tried']);
    expect(report.questions[0]?.count).toBeGreaterThan(0);
  });

  it('v6.15: the other has its page pinned in movable memory', async () => {
    const report = await run('b14c-v6_15', 500);
    expect(report.ok).toBe(true);
    expect(report.expect).toEqual({ expected: 'violation I-MOVABLE', found: true });
  });

  it('with a retry of -ENOMEM neither', async () => {
    const report = await run('b14c-retry', ALL ? 50_000 : 1500);
    expect(report.ok).toBe(true);
    expect(report.questions[0]).toMatchObject({ answer: 'none-tried', count: 0 });
  });
});

describe('the schedules of the pages', () => {
  const files = readdirSync(DIR).filter((name) => name.endsWith('.schedule'));

  it('are there', () => expect(files.length).toBeGreaterThanOrEqual(5));

  it.each(files)('%s replays', (name) => {
    const schedule = readSchedule(textOf(name), name);
    const { report } = replay(
      schedule,
      subjectOf({
        scenario: schedule.scenario,
        policy: schedule.policy,
        seed: schedule.seed,
        base: '.',
        litmus: schedule.litmus,
      }),
      name,
    );
    expect(report).toMatchObject({ reproduced: true, same_plan: true });
    expect(report.known_windows.length).toBe(name.startsWith('x03') ? 1 : 0);
    if (name.startsWith('x03')) expect(report.known_windows[0]).toMatchObject({ invariant: 'I-COHERE', known: true });
    // a known window is no violation: nothing that a script could take for one
    if (name.startsWith('x03')) expect(report).toMatchObject({ ok: true, violation_count: 0, violations: [] });
    // the file beside it is the one that was recorded
    expect(`${schedule.litmus}`.trim()).toBe(textOf(name.replace('.schedule', '.litmus')).trim());
  });
});

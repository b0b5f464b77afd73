/**
 * Forced writes, collapse, KSM, deferred flushes, swap and hints: each planted bug is found by its own litmus file within a few schedules, and no execution at
 * all of the kernel that it is planted in breaks anything. Where that is too many to look at, none of a sample does.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { bugById } from '#src/zoo/index.js';
import { programOf, search } from '../helpers/litmus-search.js';

const FILES = fileURLToPath(new URL('../../src/zoo/litmus/', import.meta.url));

/** A strategy that finds it, within how many schedules; executions of the proof without the bug, at most (0: a sample). */
describe.each([
  ['Z05', 'pct', 200, 50],
  ['Z06', 'pct', 1000, 2000],
  ['Z09', 'random', 50, 50],
  ['Z10', 'random', 50, 2000],
  ['Z16', 'random', 5, 0],
  ['Z18', 'surw', 500, 0],
  ['Z18-nested', 'random', 200, 500],
  ['Z19', 'surw', 200, 5000],
  ['Z21', 'surw', 400, 0],
  ['Z22', 'random', 50, 500],
  ['Z31', 'surw', 200, 50],
  ['Z32', 'random', 50, 3000],
  ['Z50', 'surw', 500, 500],
  ['Z53', 'random', 50, 50],
] as const)('%s', (id, strategy, schedules, executionsMax) => {
  const bug = bugById(id);
  if (bug === undefined) throw new Error(`no bug ${id}`);
  const text = readFileSync(FILES + bug.litmus, 'utf8');

  it(`is found by ${strategy}`, () => {
    const { schedule, found } = search(programOf(text), strategy, schedules);
    expect(schedule).toBeGreaterThan(0);
    expect(bug.expect).toContain(found);
  });

  it('is not in the kernel that it is planted in', () => {
    const program = programOf(text, { policy: bug.cleanOn ?? bug.policy });
    if (executionsMax === 0) {
      expect(search(program, strategy, 300)).toMatchObject({ schedule: 0, found: '' });
      return;
    }
    const broken: string[] = [];
    const { exhaustive, executions } = searchWhole(program, {
      executionsMax,
      onExecution: ({ breaches }) => broken.push(...breaches.map(({ invariant }) => invariant)),
    });
    expect([exhaustive, broken]).toEqual([true, []]);
    expect(executions).toBeGreaterThan(1);
  });
});

/**
 * Collapse, reclaim and NUMA hinting against pins and zaps: each planted bug is found by its own litmus file within a few
 * schedules, and no execution at all of the kernel that it is planted in breaks anything.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { searchWhole } from '#src/engine/exhaustive/driver.js';
import { bugById } from '#src/zoo/index.js';
import { programOf, search } from '../helpers/litmus-search.js';

const FILES = fileURLToPath(new URL('../../src/zoo/litmus/', import.meta.url));

/** Schedules within which random and PCT find it. */
describe.each([
  ['Z03', 1500, 800],
  ['Z04', 1500, 800],
  ['Z07', 1000, 500],
  ['Z08', 300, 500],
  ['Z15', 500, 200],
] as const)('%s', (id, random, pct) => {
  const bug = bugById(id);
  if (bug === undefined) throw new Error(`no bug ${id}`);
  const text = readFileSync(FILES + bug.litmus, 'utf8');

  it.each([
    ['random', random],
    ['pct', pct],
  ] as const)('is found by %s', (strategy, schedules) => {
    const { schedule, found } = search(programOf(text), strategy, schedules);
    expect(schedule).toBeGreaterThan(0);
    expect(bug.expect).toContain(found);
  });

  it('is proved not to be in the kernel that it is planted in', () => {
    const broken: string[] = [];
    const { exhaustive, executions } = searchWhole(programOf(text, { policy: bug.cleanOn ?? bug.policy }), {
      executionsMax: 20_000,
      onExecution: ({ breaches }) => broken.push(...breaches.map(({ invariant }) => invariant)),
    });
    expect([exhaustive, broken]).toEqual([true, []]);
    expect(executions).toBeGreaterThan(1);
  });
});

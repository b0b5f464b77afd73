/**
 * Collapse, reclaim and NUMA hinting against pins and zaps: each planted bug is found by its own litmus file within a few
 * schedules, and the same schedules of the kernel that it is planted in break nothing.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
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

  it('is not in the kernel that it is planted in', () => {
    const program = programOf(text, { policy: bug.policy });
    expect(search(program, 'random', 60)).toMatchObject({ schedule: 0, found: '' });
    expect(search(program, 'pct', 120)).toMatchObject({ schedule: 0, found: '' });
  });
});

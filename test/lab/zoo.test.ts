/** The zoo: what its files say, and that `zoo run` finds bugs, names who caught them, and calls their files clean without them. */
import { describe, expect, it } from 'vitest';
import { resolveKernel } from '#src/engine/machine/kernel.js';
import { isAnswerOf } from '#src/lab/zoo/finds.js';
import { runZoo, zooBugs, zooSubject } from '#src/lab/zoo/zoo.js';
import { INVARIANTS } from '#src/oracle/table.js';
import { policyById } from '#src/policies/index.js';
import { BUGS } from '#src/zoo/index.js';
import { pinfall } from '../cli/run.js';

/** Kernel-model 6, as the plan names them. */
const PLANNED = 'Z01 Z03 Z04 Z07 Z08 Z12 Z13 Z14 Z15 Z25 Z26 Z30 Z37 Z41 Z42 Z43 Z44 Z45 Z47 Z48'.split(' ');

describe('the zoo', () => {
  it('has every entry that was planned, each once, in order', () => {
    const ids = BUGS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(ids.toSorted());
    expect(ids).toEqual(expect.arrayContaining(PLANNED));
    expect(ids).toEqual(expect.arrayContaining(['Z01-no-retry', 'Z01-early-check']));
  });

  it.each(BUGS.map((bug) => [bug.id, bug] as const))(
    '%s is told, planted in a policy, and caught by what there is',
    (_, bug) => {
      expect(bug.story.length).toBeGreaterThan(80);
      expect(bug.title).not.toMatch(/\.$/);
      expect(policyById(bug.policy)).toBeDefined();
      // some are in the policy as it was posted, and mended in another
      expect(Object.keys(bug.replace).length > 0 || bug.cleanOn !== undefined).toBe(true);
      const [kernel, host] = [resolveKernel(bug.id), resolveKernel(bug.policy)];
      // a replacement that replaces nothing plants nothing
      for (const name of Object.keys(bug.replace) as (keyof typeof kernel)[]) expect(kernel[name]).not.toBe(host[name]);
      expect(bug.expect.length).toBeGreaterThan(0);
      const rules = new Set(INVARIANTS.map((row) => row.id));
      const { test } = zooSubject(bug, true);
      expect(bug.expect.filter((each) => !rules.has(each) && !isAnswerOf(test, each))).toEqual([]);
    },
  );

  it.each(BUGS.map((bug) => [bug.id, bug] as const))(
    "%s's litmus file is the same test with the bug and without",
    (_, bug) => {
      const [planted, clean] = [zooSubject(bug, true), zooSubject(bug, false)];
      expect(planted.policy).toBe(bug.id);
      expect(clean.policy.split('@')[0]).toBe(bug.cleanOn ?? bug.policy);
      expect(planted.test.plan.litmus).toEqual(clean.test.plan.litmus);
      expect(bug.expect).toContain(planted.test.expect?.kind === 'violation' ? planted.test.expect.invariant : '');
    },
  );

  it('zoo run finds bugs of each kind of policy, and nothing without them', async () => {
    const ids = ['Z13', 'Z48'];
    const report = await runZoo({
      ids,
      seeds: 2,
      seconds: 4,
      exhaustiveSeconds: 2,
      strategies: ['random', 'portfolio'],
    });
    expect(report.entries.map(({ id, found }) => [id, found])).toEqual(ids.map((id) => [id, true]));
    for (const entry of report.entries) {
      expect(zooBugs([entry.id])[0]?.expect).toContain(entry.invariant);
      expect(entry.diagram).toMatch(/\n {2}\*\*\* I-/);
      expect(entry.unplanted?.violations).toEqual([]);
      expect(entry.strategies.map(({ strategy }) => strategy)).toEqual(['random', 'portfolio']);
    }
    expect(report.ok).toBe(true);
  });

  it('is listed, and refuses what it does not have', async () => {
    const { code, out } = await pinfall('zoo', '--json');
    expect(code).toBe(0);
    const { bugs } = JSON.parse(out) as { bugs: { id: string; story: string }[] };
    expect(bugs.map(({ id }) => id)).toEqual(BUGS.map(({ id }) => id));
    for (const args of [
      ['run', 'Z99'],
      ['run', 'Z04', '--strategies', 'luck'],
      ['run', 'Z04', '--seeds', '0'],
    ]) {
      const refused = await pinfall('zoo', ...args);
      expect([refused.code, refused.out]).toEqual([2, '']);
      expect(refused.err.trim().split('\n')).toHaveLength(1);
    }
  });
});

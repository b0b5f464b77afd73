/**
 * The oracles over the core kernel, every mechanism on a handful of pages, in a few hundred schedules of each kind: correct policies
 * are never accused, and the others are caught at what the model predicts of them. The same seeds give the same schedules.
 */
import { describe, expect, it } from 'vitest';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import { END_EXCEPTION, END_FINISHED, END_VIOLATION, OneThread } from '#src/engine/one-thread/one-thread.js';
import type { Plan } from '#src/plan/plan.js';
import { pct } from '#src/engine/strategies/pct.js';
import { random } from '#src/engine/strategies/random.js';
import { INVARIANTS } from '#src/oracle/table.js';
import { smallPlan } from '../checked/plan.mjs';

const STEPS_MAX = 50_000;

interface Found {
  readonly kinds: ReadonlySet<string>;
  readonly finished: number;
}

/** Runs so many schedules, random and PCT in turn, until `wanted` is found. */
function explore(policy: string, variant: string, schedules: number, wanted = ''): Found {
  const program = new PlanProgram(smallPlan(policy, 11, variant) as unknown as Plan);
  const thread = new OneThread(program, STEPS_MAX);
  const options = { seed: 11, depth: 3 };
  const strategies = [random.create(options), pct.create(options)] as const;
  const kinds = new Set<string>();
  let finished = 0;
  for (let i = 0; i < schedules && !kinds.has(wanted); i++) {
    const strategy = strategies[(i & 1) as 0 | 1];
    strategy.begin(i, program.actors.length);
    const end = thread.run(strategy, i);
    if (end === END_EXCEPTION) throw thread.error;
    if (end === END_FINISHED) finished++;
    else if (end !== END_VIOLATION) kinds.add(thread.endText);
    for (const { invariant, what } of thread.breaches) kinds.add(`${invariant} ${what}`);
  }
  return { kinds, finished };
}

describe('correct policies', () => {
  for (const policy of ['classic', 'pinned-notifiers', 'pkvm-2022', 'pkvm-np-upstream']) {
    it.each(['pairs', 'batches'])(`${policy} is not accused of anything (%s)`, (variant) => {
      const { kinds, finished } = explore(policy, variant, 150);
      expect([...kinds]).toEqual([]);
      expect(finished).toBe(150);
    });
  }
});

describe('policies that give something up', () => {
  // each is found in less than one of 20 schedules, so 600 miss it with a chance below (19/20)^600
  it.each([
    ['check-then-notify', 'I-PINNED-S2 pinned page unmapped at stage 2'],
    ['check-then-notify-backout', 'I-PINNED-S2 pinned page unmapped at stage 2'],
    ['check-then-notify-range', 'I-PINNED-S2 pinned page unmapped at stage 2'],
    ['check-then-notify-range', 'I-STALE stage 2 maps a stale page'],
    ['notify-under-ptl', 'I-LOCKORD LK1 sleeps holding a spinlock'],
    ['notify-under-ptl', 'I-LOCKORD LK2 notifier start under PTL'],
  ])('%s: %s', (policy, wanted) => {
    expect([...explore(policy, 'pairs', 600, wanted).kinds]).toContain(wanted);
  });
});

describe('the table of invariants', () => {
  it('has a row for each, with when and how it is checked', () => {
    expect(INVARIANTS.map(({ id }) => id)).toEqual([
      'I-REF',
      'I-MAP',
      'I-FREE',
      'I-STALE',
      'I-SLOT',
      'I-PERM',
      'I-EXCL',
      'I-PIN',
      'I-MOVABLE',
      'I-DMA',
      'I-PINNED-S2',
      'I-COW',
      'I-LOST',
      'I-COHERE',
      'I-UAFNODE',
      'I-RO',
      'I-TLB',
      'I-OWN',
      'I-SHARECNT',
      'I-WIPE',
      'I-SECRET',
      'I-HYPMC',
      'I-BAL',
      'I-LOCKORD',
      'I-ACCT',
      'I-LIVE',
      'undeclared',
    ]);
    for (const row of INVARIANTS)
      expect(row).toEqual({
        id: row.id,
        sentence: expect.stringMatching(/./),
        when: expect.stringMatching(/./),
        checked: expect.stringMatching(/./),
      });
  });
});

import { describe, expect, it } from 'vitest';
import { MECH } from '#src/machine/mechanisms.js';
import { type HandoverTally, handoverLines, tooFew } from '#src/lab/bench/handover.js';
import { Budget } from '#src/lab/explore/budget.js';
import { Arm, Arms } from '#src/lab/handover/arms.js';
import { Lessons } from '#src/lab/handover/lessons.js';
import { operationsSeen } from '#src/lab/handover/operations.js';
import { withPresumed } from '#src/lab/handover/presumed.js';
import { type Related, Searcher } from '#src/lab/handover/search.js';
import { variedTests } from '#src/lab/handover/varied.js';
import { variantsOf } from '#src/lab/handover/variants.js';
import { compileLitmus } from '#src/lab/litmus/compile.js';
import { BAD, D1, DMA, KSMD, NUMA, PIN, VCPU, VIOLATION, logOf, incidentFrom } from './handover-logs.js';

describe('what the log does not tell', () => {
  const LOST = logOf([
    [10, VCPU, 'stage2_map', 0, 2, 5, 1],
    [11, VCPU, 'stage2_fault', 0, 2, 1, 0],
  ]);

  it('is presumed of whoever broke the rule, and of somebody who pins where it is about pins', () => {
    const incident = incidentFrom(LOST);
    const operations = withPresumed(incident, operationsSeen(incident));
    expect(operations.map(({ actor, op }) => [actor, op])).toEqual([
      [VCPU, 'guest_write'],
      [DMA, 'pin_fast'],
      [NUMA, 'numa_scan'],
    ]);
    expect(variantsOf(incident)[0]?.text).toMatch(/numa_scan\(\).*pin_fast\(a, WRITE\)/s);
    // what is in the log needs no guess
    const whole = incidentFrom(D1);
    expect(withPresumed(whole, operationsSeen(whole))).toEqual(operationsSeen(whole));
  });

  it.each([
    ['no event names the page', { ...VIOLATION, gfn: 3 }, { mm: 0, vpn: 3 }],
    ['nothing says which page it was', { invariant: 'I-LOCKORD', actor: KSMD, time: 22 }, 'unknown'],
  ] as const)('%s: another stands for it', (_, violation, standsFor) => {
    const incident = incidentFrom(D1, violation);
    expect(incident.pages[0]).toEqual({ mm: 0, vpn: 2 });
    expect(incident.standsFor).toEqual(standsFor);
    expect(incidentFrom(D1).standsFor).toBeNull();
  });

  it("a pin is held at the beginning when it was taken before the columns in its actor's own order", () => {
    // at one logical time the first pin is given back and the second taken
    const records = logOf([
      [10, VCPU, 'stage2_map', 0, 2, 5, 1],
      [11, DMA, 'page_pin', 0, 2, 5, PIN],
      [12, DMA, 'page_unpin', 5, 1],
      [12, DMA, 'page_pin', 0, 2, 5, PIN],
      [20, NUMA, 'notifier_start', 0, 2, 3, MECH.numa_scan],
      [22, NUMA, 'stage2_unmap', 0, 2, 5, 1],
    ]);
    const [first] = variantsOf(incidentFrom(records));
    expect(first?.text).toContain('pin_fast(a');
    expect(first?.text).not.toMatch(/: pin\(/);
  });

  it('what was done next comes along: it may have been under way', () => {
    const records = logOf([
      [10, VCPU, 'stage2_map', 0, 2, 5, 1],
      [12, DMA, 'page_pin', 0, 2, 5, PIN],
      [22, NUMA, 'pin_look', 0, 2, 5, 0],
      [24, DMA, 'page_unpin', 5, 1],
      [25, DMA, 'page_pin', 0, 2, 5, PIN],
    ]);
    const incident = incidentFrom(records);
    expect(operationsSeen(incident).map(({ op }) => op)).not.toContain('unpin');
    expect(
      operationsSeen(incident, 1)
        .filter(({ actor }) => actor === DMA)
        .map(({ op }) => op),
    ).toEqual(['pin_fast', 'unpin']);
  });
});

const tally = (invariant: string, found: number, family: number): HandoverTally => ({
  invariant,
  handed: 10,
  found,
  family,
  seconds: [3, 1, 2],
  tries: [4, 2, 9],
  reasons: ['not found'],
});

describe('where the first tests find nothing', () => {
  it('it goes on with tests that are all different, all tests, and the same by the same seed', () => {
    const incident = incidentFrom(D1);
    const recipes = variantsOf(incident).map(({ text }) => text);
    const testsOf = (seed: number): string[] => {
      const tests = variedTests(incident, seed, new Lessons(), new Set(recipes));
      return Array.from({ length: 40 }, () => tests.next()).flatMap(({ value }) => (value ? [value.text] : []));
    };
    const texts = testsOf(1);
    expect(texts.length).toBeGreaterThan(20);
    expect(new Set([...recipes, ...texts]).size).toBe(recipes.length + texts.length);
    for (const text of texts) expect(compileLitmus(text).mistakes).toEqual([]);
    expect(testsOf(1)).toEqual(texts);
    expect(testsOf(2)).not.toEqual(texts);
  });

  it('a test that breaks the rule ends it, whatever the first tests were', async () => {
    const hopeless = { name: 'hopeless', text: BAD.replace('numa_scan()', 'unpin(p)   '), traits: [] };
    const tests = [{ name: 'test', text: BAD, traits: ['numa'] }];
    const lessons = new Lessons();
    const options = { invariant: 'I-PINNED-S2', path: 'bad.litmus', seed: 5, stop: () => false, onProgress: () => {} };
    const searcher = new Searcher({ ...options, lessons, budget: new Budget(60) });
    const found = await searcher.find([hopeless], tests.values());
    expect(found).toMatchObject({ variant: 'test', text: BAD });
    expect(found?.seed).toBeGreaterThan(5);
    expect(found?.strategy).toMatch(/^(random|surw|pos|pct-\d|dfs|exhaustive)$/);
    expect(searcher.tried.tries).toBeGreaterThan(1);
    expect(lessons.scoreOf(['numa'])).toBeGreaterThan(0);
  });

  it('a test that has cost less for what it promises comes next, by another strategy each time', () => {
    const arms = new Arms();
    const [cheap, dear] = ['cheap', 'dear'].map((name) => new Arm({ name, text: name, traits: [] })) as [Arm, Arm];
    expect(arms.next()).toBeNull();
    arms.stays(dear, { spent: 3, other: false, newPerThousand: 0 });
    arms.stays(cheap, { spent: 2, other: false, newPerThousand: 0 });
    expect(arms.next()).toBe(cheap);
    arms.stays(dear, { spent: 0, other: true, newPerThousand: 900 });
    expect(arms.next()).toBe(dear);
    arms.leave(dear);
    expect(arms.next()).toBe(cheap);
    const turns = Array.from({ length: 8 }, () => cheap.turn());
    expect(turns[0]).toMatchObject({ strategy: 'portfolio', schedules: 500 });
    expect(new Set(turns.map(({ strategy, depth }) => `${strategy} ${depth}`)).size).toBe(8);
  });

  it('a schedule that another rule ends is gone on with: whether it comes to the rule looked for is shown', async () => {
    // each notification under the page-table lock breaks I-LOCKORD, before it can meet a pin
    const text = BAD.replace('check-then-notify', 'notify-under-ptl').replace('p = pin(', 'p = pin_fast(');
    const relatedOf = async (invariant: string): Promise<Related | null> => {
      const stop = (): boolean => searcher.related !== null;
      const options = { invariant, path: 'bad.litmus', seed: 1, stop, onProgress: () => {} };
      const searcher: Searcher = new Searcher({ ...options, budget: new Budget(60) });
      expect(await searcher.find([{ name: 'bad', text, traits: [] }])).toBeNull();
      return searcher.related;
    };
    expect(await relatedOf('I-PINNED-S2')).toMatchObject({ invariant: 'I-LOCKORD', shown: true, earlier: false });
    expect(await relatedOf('I-WIPE')).toMatchObject({ invariant: 'I-LOCKORD', shown: false, earlier: false });
  });

  it('the measurement names what became schedules too seldom', () => {
    const tallies = [tally('I-REF', 8, 1), tally('I-PIN', 8, 0)];
    const row = { kernel: 'Z01', where: 'litmus', runs: 10, violated: 10, tallies };
    expect(tooFew([row])).toEqual(['Z01 in litmus, I-PIN: 8 of 10']);
    expect(handoverLines(row)).toEqual([
      '| Z01 | litmus | 10 of 10 | I-REF | 8 of 10 | 1 | 2.0 | 4 | not found |',
      '| | | | I-PIN | 8 of 10 |  | 2.0 | 4 | not found |',
    ]);
  });

  it('what has worked comes first', () => {
    const lessons = new Lessons();
    lessons.note(['b'], false);
    lessons.note(['c'], true);
    const tests = ['a', 'b', 'c'].map((name) => ({ name, traits: [name] }));
    expect(lessons.sorted(tests).map(({ name }) => name)).toEqual(['c', 'b', 'a']);
  });
});

import { describe, expect, it } from 'vitest';
import { FAULT_FLAG_WRITE, VM_MERGEABLE, VM_READ } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import type { Plan } from '#src/plan/plan.js';
import { prepareMachine } from '#src/engine/machine/setup.js';
import { handOver, handOverLitmus } from '#src/lab/handover/handover.js';
import type { Handover } from '#src/lab/report/handover-row.js';
import { explainReport, handoverFiles, handoversOf } from '#src/lab/handover/explain.js';
import { type Base, DrainedStates, machineOver } from '#src/lab/handover/incident/drained.js';
import { isEarlier } from '#src/lab/handover/families.js';
import { equalPages, frameAt, pageOfFrameAt, planAt, stateOf } from '#src/lab/handover/incident/pages-at-rest.js';
import { operationsSeen } from '#src/lab/handover/operations.js';
import { reduceOperations } from '#src/lab/handover/reduce.js';
import { statesAt } from '#src/lab/handover/incident/page-states.js';
import { incidentOf } from '#src/lab/handover/incident/gather.js';
import type { IncidentPage } from '#src/lab/handover/incident/incident.js';
import { variantsOf } from '#src/lab/handover/variants.js';
import { compileLitmus } from '#src/lab/litmus/compile.js';
import { litmusSubject } from '#src/lab/litmus/subject.js';
import { readSchedule, replay } from '#src/lab/replay/replay.js';
import { subjectOf } from '#src/lab/explore/subject.js';
import type { Report } from '#src/lab/report/run-row.js';

import { BAD, D1, DMA, KSMD, NUMA, PIN, VCPU, VIOLATION, logOf, planOf, incidentFrom } from './handover-logs.js';

describe('events become operations', () => {
  it('of the page in question only, each with its actor', () => {
    const operations = operationsSeen(incidentFrom(D1));
    expect(operations.map(({ actor, op, pin }) => [actor, op, pin])).toEqual([
      [VCPU, 'guest_write', -1],
      [DMA, 'pin_fast', 0],
      [DMA, 'unpin', 0],
      [DMA, 'pin_fast', 1],
      [NUMA, 'numa_scan', -1],
    ]);
  });

  it("a VMM's faults, zaps and mprotects", () => {
    const plan = planOf('classic');
    const actors = plan.actors.map((actor, i) => (i === DMA ? { ...actor, name: 'vmm', kind: 'vmm' } : actor));
    const records = logOf([
      [1, DMA, 'fault', 0, 2, FAULT_FLAG_WRITE, 0],
      [2, DMA, 'zap', 0, 2, 4, 2],
      [3, DMA, 'mprotect', 0, 0, 4, VM_READ],
      [4, DMA, 'fault', 0, 2, 0, 0],
      [5, DMA, 'zap', 0, 0, 1, 1],
    ]);
    const told = incidentOf({ ...plan, actors }, records, { invariant: 'I-STALE', vpn: 2 });
    if ('reason' in told) throw new Error(told.reason);
    expect(operationsSeen(told.incident).map(({ op }) => op)).toEqual(['write', 'dontneed', 'mprotect', 'read']);
    expect(variantsOf(told.incident)[0]?.text).toContain('read(a)');
  });

  it('rounds of a scanning daemon, and what was not finished', () => {
    const records = logOf([
      [1, KSMD, 'ksm_scan', 0, 2, 5, 7],
      [2, KSMD, 'ksm_scan', 0, 1, 6, 7],
      [3, KSMD, 'ksm_scan', 0, 2, 5, 7],
      [4, VCPU, 'stage2_map', 0, 2, 5, 1],
    ]);
    const incident = incidentFrom(records, { invariant: 'I-STALE', actor: KSMD, mm: 0, vpn: 2 });
    expect(incident.pages).toEqual([
      { mm: 0, vpn: 2 },
      { mm: 0, vpn: 1 },
    ]);
    expect(operationsSeen(incident).map(({ actor, op }) => [actor, op])).toEqual([
      [KSMD, 'ksm_scan'],
      [KSMD, 'ksm_scan'],
      [VCPU, 'guest_write'],
    ]);
  });

  it('a pin from before the log is set up', () => {
    const records = logOf([
      [1, VCPU, 'stage2_fault', 0, 2, 1, 0],
      [2, DMA, 'page_pin', 0, 2, 5, PIN],
      [4, NUMA, 'notifier_start', 0, 2, 3, MECH.numa_scan],
      [5, DMA, 'page_unpin', 5, 1],
      [6, NUMA, 'stage2_unmap', 0, 2, 5, 1],
    ]);
    const incident = incidentFrom(records, { ...VIOLATION, time: 6 });
    expect(statesAt(incident, 4)[0]).toMatchObject({ guest: true, mapped: true });
    expect(variantsOf(incident).some(({ text }) => /p1 = A: pin\(a.*unpin\(p1\)/s.test(text))).toBe(true);
  });

  it('every variant is a test that compiles', () => {
    const variants = variantsOf(incidentFrom(D1));
    expect(variants.length).toBeGreaterThan(2);
    for (const { text } of variants) expect(compileLitmus(text).mistakes).toEqual([]);
  });
});

/** A machine that a litmus test's set-up has brought into this state, as a base. */
function baseOf(init: string): { plan: Plan; base: Base } {
  const text = `litmus rest "For its set-up."
machine nodes 2, thp_order 1, swap 4
process A {
  a: anon 1 read write mergeable
  b: anon 1 read write mergeable
  c: anon 1 read write
}
vm G of A { slot 0: gfn 0 pages 1 at a }
init { ${init} }
cpu0@A node 0 | cpu1@A node 1 ;
read(a) | read(c) ;
`;
  const { test, mistakes } = compileLitmus(text);
  expect(mistakes).toEqual([]);
  const { plan } = test as NonNullable<typeof test>;
  const machine = prepareMachine(plan);
  return { plan, base: { drain: 3, words: Int32Array.from(machine.words), since: new Int32Array(0), complete: true } };
}

describe('the machine at the last drain', () => {
  const plan = planOf('check-then-notify');

  it('says how pages stand', () => {
    const { plan: small, base } = baseOf(
      'A: write(a, 5); A: write(b, 5); A: read(c); G: guest_read(0); p = A: pin(a, WRITE, LONGTERM); kswapd: swap_out(b);',
    );
    const [a, b, c] = small.mappings.map(({ mm, start }) => ({ mm, vpn: start })) as [
      IncidentPage,
      IncidentPage,
      IncidentPage,
    ];
    const m = machineOver(small.machine, base.words);
    expect(stateOf(m, small, a)).toMatchObject({ mapped: true, guest: true, pins: 1, zero: false, swapped: false });
    expect(stateOf(m, small, b)).toMatchObject({ mapped: false, swapped: true, guest: false, pins: 0 });
    expect(stateOf(m, small, c)).toMatchObject({ mapped: true, zero: true });
    expect(stateOf(m, small, a).content).toBe(stateOf(m, small, b).content);
    expect(equalPages(m, small, a, VM_MERGEABLE, 2)).toEqual([b]);
    expect(pageOfFrameAt(m, small, frameAt(m, a))).toEqual(a);
    expect(planAt(m, small).vms[0]?.slots).toMatchObject([{ baseGfn: 0, pages: 1, vpn: a.vpn }]);
    expect(planAt(m, small).knobs).toMatchObject({ ksmSmartScan: false, thpEnabled: 1, maxPtesNone: 1 });
  });

  it('is what a test begins with, changed by what the log says since', () => {
    const machine = prepareMachine(plan);
    const base: Base = { drain: 1, words: Int32Array.from(machine.words), since: D1, complete: true };
    const told = incidentOf(plan, D1, VIOLATION, { base });
    if ('reason' in told) throw new Error(told.reason);
    // nothing was mapped at the start, and the log maps it
    expect(statesAt(told.incident, 8)[0]).toMatchObject({ mapped: false, guest: false });
    expect(statesAt(told.incident, 15)[0]).toMatchObject({ mapped: true, guest: true });
    // with gaps what comes first in the log counts, too
    const gaps = incidentOf(plan, D1, VIOLATION, { base: { ...base, complete: false } });
    expect('incident' in gaps && gaps.incident.sinceDrain?.complete).toBe(false);
  });

  it('is copied at each drain in order, and kept for a violation', () => {
    const machine = prepareMachine(plan);
    const states = new DrainedStates(machine);
    states.take([]);
    const first = states.base([]);
    expect(first).toMatchObject({ drain: 0, complete: true });
    machine.words[0] = 17;
    const audit = states.after(
      () => (machine.words[0] === 17 ? [] : [{ invariant: 'I-REF', what: 'a reference is missing' }]),
      () => [],
    );
    audit(machine, plan, 'drain', []);
    expect(states.base([])?.words[0]).toBe(17);
    expect(first?.words[0]).not.toBe(17);
    machine.words[0] = 18;
    audit(machine, plan, 'drain', []);
    expect(states.base([])?.words[0]).toBe(17);
    expect(states.count).toBe(2);
  });

  it('rules that one mistake breaks one after the other', () => {
    expect(isEarlier('I-FREE', 'I-STALE')).toBe(true);
    expect(isEarlier('I-PINNED-S2', 'I-LOCKORD')).toBe(false);
  });
});

describe('a violation of real threads', () => {
  it('that a kernel without the race cannot show is not found, with a reason', async () => {
    const handover = await handOver({ plan: planOf('classic'), records: D1, violation: VIOLATION, seconds: 0.3 });
    expect(handover.found).toBe(false);
    // what was tried in vain
    expect(handover.reason).toMatch(/\d+ tries of \d+ tests.* by portfolio.* with seeds 1 to \d+; .*CPU time/);
    expect(handover).toMatchObject({ seed: null, strategy: '' });
    expect(handover.tries).toBeGreaterThan(0);
    expect(handover.litmus).toContain('policy classic');
  });

  it.each([
    ['no events', new Int32Array(0), VIOLATION, /no events/],
    ['no page', logOf([[1, VCPU, 'mark', 1]]), { invariant: 'I-REF' }, /names a page/],
    ['a page out of the scenario', D1, { invariant: 'I-REF', vpn: 4711 }, /in no mapping/],
    ['another page', D1, { invariant: 'I-REF', vpn: 3 }, /not found in|cannot break/],
    ['torn records', D1.subarray(3, 21), { invariant: 'I-REF', pfn: 5 }, /./],
  ] as const)('%s: not found, and why', async (_, records, violation, reason) => {
    const handover = await handOver({ plan: planOf('classic'), records, violation, seconds: 0.2 });
    expect(handover.found).toBe(false);
    expect(handover.reason).toMatch(reason);
  });

  it('comes to a schedule in the report that replays to the same rule', async () => {
    const plan = planOf('check-then-notify');
    const violation = { ...VIOLATION, what: 'pinned page unmapped at stage 2' };
    const run = { violations: [violation, { ...violation }], violation_count: 2 } as unknown as Report;
    const explained = await explainReport(run, plan, [{ violation, records: D1 }], { seconds: 16 });
    const { handover } = handoversOf(explained)[0] as { readonly handover: Handover };
    expect(handover).toMatchObject({ found: true, reason: '' });
    expect(handover.tries).toBeGreaterThanOrEqual(1);
    expect(handover.seed).toBeGreaterThanOrEqual(1);
    expect(handover.strategy).not.toBe('');
    expect(handover.litmus).toContain('numa_scan()');
    expect(handover.diagram).toContain('I-PINNED-S2');
    expect(handover.cut.join('\n')).toContain('page 0x2 of process 0 is a');
    expect(explained.violations[1]).not.toHaveProperty('handover');
    expect(handoverFiles(explained).map(({ name }) => name)).toEqual([
      'pinfall-I-PINNED-S2.litmus',
      'pinfall-I-PINNED-S2.schedule',
    ]);
    const schedule = readSchedule(String(explained.violations[0]?.schedule), 'x.schedule');
    const { scenario, policy, seed, litmus } = schedule;
    const { report } = replay(schedule, subjectOf({ scenario, policy, seed, litmus }), 'x.schedule');
    expect(report).toMatchObject({ reproduced: true, same_plan: true });
    expect(report.violations[0]?.invariant).toBe('I-PINNED-S2');
  });
});

describe('operations are left out', () => {
  it('as long as the test still breaks, with all that depends on them', async () => {
    const tried: string[] = [];
    const reduced = await reduceOperations(BAD, (text) => {
      tried.push(text);
      return Promise.resolve(/numa_scan/.test(text) && /= pin\(a, LONGTERM/.test(text) && /guest_write/.test(text));
    });
    expect(reduced).toMatchObject({ operations: 4, setup: 1, actors: ['vmm'] });
    expect(reduced.text).not.toContain('b: anon');
    for (const text of tried) expect(compileLitmus(text).mistakes).toEqual([]);
  });

  it('of a litmus test that breaks on real threads', async () => {
    const subject = litmusSubject({ path: 'bad.litmus', text: BAD, options: {} });
    const handover = await handOverLitmus(subject, { invariant: 'I-PINNED-S2' }, { seconds: 16 });
    expect(handover.found).toBe(true);
    expect(handover.litmus).not.toContain('vmm@A');
  });
});

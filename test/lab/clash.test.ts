/** The clash of failing schedules: which two steps, where in the code, and which order avoids it. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { OneThread } from '#src/engine/one-thread/one-thread.js';
import { parseSchedule } from '#src/engine/one-thread/schedule-file.js';
import { HappensBefore, traceSteps } from '#src/engine/one-thread/races.js';
import { GuidedScript } from '#src/engine/strategies/script.js';
import { findClash } from '#src/lab/clash/clash.js';
import { explore } from '#src/lab/explore/explore.js';
import { proveLitmus } from '#src/lab/litmus/prove.js';
import { litmusReport } from '#src/lab/litmus/run.js';
import { litmusSubject, readLitmus } from '#src/lab/litmus/subject.js';
import { subjectOf } from '#src/lab/explore/subject.js';

const Z15 = fileURLToPath(new URL('../../src/zoo/litmus/z15-dontneed-vs-numa.litmus', import.meta.url));

async function failing(scenario: string, policy: string, invariant: string) {
  const subject = subjectOf({ scenario, policy, seed: 1 });
  const { report } = await explore({ subject, strategy: 'random', schedules: 2000 });
  const violation = report.violations.find((each) => each.invariant === invariant);
  const { variation, choices } = parseSchedule(String(violation?.['schedule']));
  return { thread: new OneThread(subject.create(), 20_000), variation, choices };
}

describe('a clash', () => {
  it('of the peer model: the look at the count, and the pin without the PTL', async () => {
    const { thread, variation, choices } = await failing('pin-vs-write-protect-buggy', 'classic', 'I-RO');
    const clash = findClash(thread, variation, choices);
    expect(clash?.steps.map(({ actor, does }) => `${actor}: ${does}`)).toEqual([
      'ksmd: read refcount',
      'gup: write refcount',
    ]);
    expect(clash?.steps[0].at).toMatch(/^ksmd \(src\/engine\/programs\/pin-vs-write-protect\.ts:\d+\)$/);
    expect(clash?.avoided).toContain('ends well');
  });

  it('is drawn with what was read and stored, in words of commit messages, before the events of its steps', async () => {
    // ced108037c2a: change_huge_pmd() clears the PMD for a moment, zap_pmd_range() sees none and skips it
    const subject = litmusSubject({ path: Z15, text: readLitmus(Z15), options: { seed: 1 } });
    const { report } = await proveLitmus({ subject, seconds: 60 });
    const violation = litmusReport(subject, report).violations.find(({ invariant }) => invariant === 'I-LOST');
    const lines = String(violation?.['diagram']).split('\n');
    const words = lines.map((line) => line.trim()).join(' ');
    const places = [
      'change_huge_pmd(): PMD(0x0): huge pfn 0x2 RW -> none',
      '<-- step 1 of the clash',
      'd = madvise(a, DONTNEED)',
      'zap_page_range(): PMD(0x0) is none',
      '<-- step 2 of the clash',
      'zap_page_range(0x0-0x2): 0 pages',
      'PMD(0x0): pfn 0x2 -> PROT_NONE',
      // the step that showed it: of an access no event tells
      'user access: content of pfn 0x2 is 1',
      'returns 1',
    ].map((text) => words.indexOf(text));
    expect(places).not.toContain(-1);
    expect(places).toEqual(places.toSorted((x, y) => x - y));
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
  });

  it('of kernel code: the simulated functions, their source lines and the locks held', async () => {
    const { thread, variation, choices } = await failing('pin-race', 'check-then-notify-range', 'I-STALE');
    const clash = findClash(thread, variation, choices);
    expect(clash?.steps.map(({ does }) => does.replace(/0x.*/, ''))).toEqual([
      'read refs of pfn ',
      'update refs of pfn ',
    ]);
    const scan = clash?.steps.find(({ actor }) => actor === 'numa-balancer');
    const pinner = clash?.steps.find(({ actor }) => actor === 'dma');
    expect(scan?.calls).toEqual(expect.arrayContaining(['taskNumaWork', 'changeProtNuma']));
    expect(scan?.held).toContain('mm0 mmap_lock');
    expect(pinner?.calls.some((fn) => ['unpinUserPage', 'followPagePte'].includes(fn))).toBe(true);
    for (const step of [scan, pinner]) expect(step?.at).toMatch(/^\w+ \(src\/mm\/[\w/-]+\.ts:\d+\)$/);
  });

  it('of a deadlock: two acquisitions of one lock', async () => {
    const { thread, variation, choices } = await failing('driver-deadlock', 'notify-under-ptl', 'deadlock');
    const clash = findClash(thread, variation, choices);
    // of the circle's two locks either: the order of its acquisitions is what closes it
    const [first, second] = clash?.steps ?? [];
    expect(first?.does).toMatch(/^acquire (?:driver mutex|PTL of table 0)$/);
    expect(second?.does).toBe(first?.does);
    expect(new Set(clash?.steps.map(({ actor }) => actor))).toEqual(new Set(['driver', 'numa-balancer']));
  });

  it('is not claimed where the schedule ends well', () => {
    const subject = subjectOf({ scenario: 'pin-vs-write-protect', seed: 1 });
    const thread = new OneThread(subject.create(), 1000);
    const script = new GuidedScript().load(new Uint8Array(), 0);
    script.begin();
    thread.run(script, 0);
    expect(findClash(thread, 0, thread.choices.slice(0, thread.steps))).toBeNull();
  });
});

describe('happens-before', () => {
  it('orders steps of one actor and steps that touch one word; races are what nothing else orders', () => {
    const subject = subjectOf({ scenario: 'pin-vs-write-protect', seed: 1 });
    const thread = new OneThread(subject.create(), 1000);
    const script = new GuidedScript().load(new Uint8Array(), 0);
    script.begin();
    thread.run(script, 0);
    const trace = traceSteps(thread, 0, thread.choices.slice(0, thread.steps));
    const order = new HappensBefore(trace, 3);
    const last = trace.actors.length - 1;
    for (let step = 0; step < last; step++) {
      if (trace.actors[step] === trace.actors[last]) expect(order.before(step, last)).toBe(true);
      expect(order.before(last, step)).toBe(false);
    }
    for (const { first, second } of order.races) {
      expect(trace.actors[first]).not.toBe(trace.actors[second]);
      expect(order.before(first, second)).toBe(true);
    }
    expect(order.races.length).toBeGreaterThan(0);
  });
});

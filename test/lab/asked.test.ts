/** Runs that have asked nothing: said in the first line and by `asked: false`, and not `ok`. */
import { describe, expect, it } from 'vitest';
import { renderExplore } from '#src/cli/render/explore.js';
import { renderLitmus } from '#src/cli/render/litmus.js';
import { broken, brokenRules } from '#src/cli/render/answer.js';
import { renderStress } from '#src/cli/render/stress.js';
import { silenceOfRun } from '#src/lab/report/report.js';
import type { Report } from '#src/lab/report/run-row.js';
import { threadsNotAsked } from '#src/lab/report/asked.js';
import { compare } from '#src/lab/run/compare.js';
import { explore } from '#src/lab/explore/explore.js';
import { runLitmus } from '#src/lab/litmus/run.js';
import { litmusPath, litmusSubject, readLitmus } from '#src/lab/litmus/subject.js';
import { Simulation } from '#src/lab/run/simulation.js';
import { subjectOf } from '#src/lab/explore/subject.js';
import { runZoo } from '#src/lab/zoo/zoo.js';
import { scenarioFile } from './tiny.js';

const firstLine = (text: string): string => text.split('\n')[0] ?? '';
const never = new Promise<void>(() => {});

/** Actors that have little to do, and then nothing. */
const FINITE = `title: soon over
machine: { nodes: 2, frames_per_node: 64, thp_order: 1, tlb_entries: 4, pcp_batch: 1, lru_batch: 0, vmas_per_process: 8 }
processes:
  - mappings: [{ start: 0, pages: 8, flags: [read, write] }]
guests:
  - { process: 0, vcpus: 1, slots: [{ pages: 8 }] }
actors:
  - { kind: vcpu, guest: 0, node: 0, pages: 8, workload: sequential, write_percent: 100, ops: 8 }
  - { kind: numa-balancer, node: 1, period_us: 1000, ops: 3 }
`;

async function raced(scenario: string, policy: string, during = async (_: Simulation): Promise<void> => {}) {
  const simulation = await Simulation.start({ scenario, policy, seed: 3, events: 'recorder' });
  await during(simulation);
  return simulation.stop();
}

const facts = (more: object): Parameters<typeof threadsNotAsked>[0] => ({
  policy: 'check-then-notify',
  duration_s: 5,
  ops: { accesses: 9, host_accesses: 0 } as Report['ops'],
  pins: { kvm: 0, dma: 1 },
  mechanisms: [{ name: 'ksm', notifier_starts: 1 } as Report['mechanisms'][number]],
  violation_count: 0,
  end: { kind: 'finished' },
  ...more,
});

describe('real threads', () => {
  it('a scenario whose actors have all ended is over, at once', async () => {
    const report = await raced(scenarioFile(FINITE), 'classic', (simulation) => simulation.scenarioOver);
    expect(report).toMatchObject({ asked: false, ok: false, violation_count: 0, end: { kind: 'scenario-over' } });
    expect(report.end.detail).toMatch(/^all actors/);
    expect(firstLine(renderStress(report))).toMatch(/^Nothing was asked: after .* ended; .* That nothing broke/);
  });

  it('one that goes on is not over when its clients have ended: two daemons can race', async () => {
    const two = FINITE.replace('ops: 3', 'ops: 0') + '  - { kind: ksmd, node: 1, pages_to_scan: 4, sleep_us: 1000 }\n';
    let isOver = false;
    const report = await raced(scenarioFile(two), 'classic', async (simulation) => {
      void simulation.scenarioOver.then(() => (isOver = true));
      const isBack = (): boolean =>
        simulation.actors().some(({ kind, state }) => kind === 'vcpu' && state === 'returned');
      while (!isBack()) await new Promise((resolve) => setTimeout(resolve, 5));
    });
    expect(isOver).toBe(false);
    expect(report.end.kind).toBe('finished');
  });

  it('compare marks the row', async () => {
    const report = await compare({
      scenario: scenarioFile(FINITE),
      policies: ['classic', 'check-then-notify'],
      seed: 1,
      seconds: 60,
      interrupted: never,
    });
    expect(report.rows.map(({ policy, asked }) => [policy, asked])).toEqual([
      ['classic', false],
      ['check-then-notify', false],
    ]);
    expect(report).toMatchObject({ asked: false, ok: false });
  });

  it.each([
    [{}, null],
    [{ pins: { kvm: 0, dma: 0 } }, /^no page was pinned, and policy check-then-notify is about pinned pages$/],
    [{ pins: { kvm: 0, dma: 0 }, policy: 'classic' }, null],
    [{ ops: { accesses: 0, host_accesses: 0 } }, /^no guest and no process accessed memory$/],
    [{ mechanisms: [{ name: 'teardown', notifier_starts: 7 }] }, /^no notifier was sent/],
    [{ mechanisms: [], violation_count: 1 }, null],
    [{ end: { kind: 'interrupted' } }, null],
  ])('%j', (more, why) => {
    const said = threadsNotAsked(facts(more));
    if (why === null) expect(said).toBeNull();
    else expect(said).toMatch(why);
  });
});

const WRITER = (more: string): string => `litmus w
"a write"
process A { a: anon 1 read write }
${more}
cpu0@A node 0 | cpu1@A node 0 ;
write(a, 1)   | r = read(a)   ;
`;
const test = (text: string) => litmusSubject({ path: 'w.litmus', text, options: {} });

const why = async (scenario: string, policy: string): Promise<string | null> =>
  (await explore({ subject: subjectOf({ scenario, policy, seed: 1 }), schedules: 3 })).report.not_asked;

describe('schedules', () => {
  it('that are all cut off ask nothing, by whatever strategy', async () => {
    for (const strategy of ['portfolio', 'dfs', 'exhaustive']) {
      const subject = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
      const { report } = await explore({ subject, strategy, schedules: 5, stepsMax: 7 });
      expect(report).toMatchObject({ asked: false, ok: false, violation_count: 0 });
      expect(report.guarantee).not.toMatch(/missed with probability|every schedule was tried/);
      expect(firstLine(renderExplore(report, undefined))).toMatch(/^Nothing was asked: .* cut off/);
    }
  });

  it('of a scenario without the events of the question ask nothing', async () => {
    const lone = scenarioFile(FINITE.replace(/ {2}- \{ kind: numa-balancer.*\n/, ''));
    expect(await why(lone, 'classic')).toBe('it has no actor that takes pages away');
    const pinless = scenarioFile(FINITE);
    expect(await why(pinless, 'classic')).toBeNull();
    expect(await why(pinless, 'check-then-notify')).toBe(
      'it has no actor that pins, and policy check-then-notify is about pinned pages',
    );
    expect(await why('pin-race', 'pkvm-2022')).toBeNull();
  });

  it('that end ask', async () => {
    const subject = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
    const { report } = await explore({ subject, strategy: 'random', schedules: 3 });
    expect(report).toMatchObject({ asked: true, not_asked: null, ok: true });
    expect(renderExplore(report, undefined)).toMatch(
      /No violation in 3 schedules, which proves nothing about the others/,
    );
  });

  it('find a correct kernel correct: ksm_get_folio() looks at what a page was before, without a reference', async () => {
    const subject = subjectOf({ scenario: 'pin-race', policy: 'pinned-notifiers', seed: 1 });
    const { report } = await explore({ subject, schedules: 360 });
    expect(report).toMatchObject({ violation_count: 0, asked: true, ok: true });
  });

  it('of a litmus test that are all cut off answer nothing', async () => {
    for (const question of ['forbidden (r == 1)', 'always (r == 0)', 'exists (r == 1)', '']) {
      const report = await runLitmus({ subject: test(`${WRITER('steps 3')}${question}\n`), schedules: 20 });
      expect(report).toMatchObject({ asked: false, ok: false });
      expect(report.questions.map(({ answer }) => answer)).toEqual(question === '' ? [] : ['not-asked']);
      const text = renderLitmus(report, undefined);
      expect(firstLine(text)).toMatch(/^Nothing was asked: /);
      expect(text).not.toMatch(/Never|Always|As expected\./);
    }
  });

  it('say Always and Never of proofs alone', async () => {
    const subject = test(`${WRITER('')}forbidden (r == 7)\nalways (r < 2)\n`);
    const proved = await runLitmus({ subject });
    expect(proved.questions.map(({ answer, proved: is }) => [answer, is])).toEqual([
      ['never', true],
      ['always', true],
    ]);
    expect(renderLitmus(proved, undefined)).toMatch(
      /Never \(proved: [\d,]+ executions\)[^]*Always \(proved: [\d,]+ executions\)/,
    );
    const tried = await runLitmus({ subject, strategy: 'random', schedules: 363 });
    expect(tried.questions.map(({ answer, of, proved: is }) => [answer, of, is])).toEqual([
      ['none-tried', 363, false],
      ['all-tried', 363, false],
    ]);
    const text = renderLitmus(tried, undefined);
    expect(text).toMatch(/In none of 363 schedules tried[^]*In all 363 schedules tried/);
    expect(text).not.toMatch(/Never|Always/);
  });

  it('of the zoo that were not tried', async () => {
    const report = await runZoo({ ids: ['Z04'], stop: () => true });
    expect(report).toMatchObject({
      asked: false,
      not_asked: 'no bug was looked for',
      ok: false,
      end: { kind: 'interrupted' },
    });
  });
});

describe('the first line answers', () => {
  it('what broke, in how many, and since when', () => {
    const ends = [
      { end: 'violation', broken: ['I-PIN'], count: 2, first: 7 },
      { end: 'violation', broken: ['I-PIN'], count: 1, first: 3 },
      { end: 'violation', broken: ['forbidden'], count: 1, first: 9 },
    ];
    expect(broken(ends, 301, 'schedules')).toBe(
      'I-PIN in 3 of 301 schedules (first in 3), what is forbidden in 1 of 301 schedules (first in 9)',
    );
    expect(brokenRules([{ invariant: 'I-PIN' }, { invariant: 'I-MAP' }], 2)).toBe('2 violations: I-PIN 1, I-MAP 1');
    expect(brokenRules([{ invariant: 'I-PIN' }], 9)).toBe('9 violations: I-PIN');
  });

  it('litmus: whether it is as expected, what broke, and what that rests on', async () => {
    const path = litmusPath('bad_thread_2_check_then_notify', '.');
    const asked = async (policy: string): Promise<string> =>
      firstLine(
        renderLitmus(
          await runLitmus({ subject: litmusSubject({ path, text: readLitmus(path), options: { seed: 1, policy } }) }),
          undefined,
        ),
      );
    expect(await asked('check-then-notify')).toMatch(
      /^As expected\. I-PINNED-S2 in (\d+) of (\d+) executions \(first in \d+\)\. proved: \2 executions /,
    );
    expect(await asked('classic')).toMatch(
      /^Not as expected: violation I-PINNED-S2 was not found\. No rule broke\. proved: /,
    );
  });
});

describe('silence proves nothing, and says so', () => {
  it('stress: in so many seconds and accesses', async () => {
    const over = await raced(
      scenarioFile(FINITE),
      'classic',
      async (simulation) => void (await simulation.scenarioOver),
    );
    expect(over.silence).toBe(null);
    const report: Report = { ...over, asked: true, not_asked: null, end: { kind: 'finished' } };
    const silence = silenceOfRun(report);
    expect(silence).toMatch(/^No violation in \d+\.\d s and 8 accesses, which proves nothing/);
    expect(renderStress({ ...report, silence }).startsWith(silence ?? '-')).toBe(true);
    expect(silenceOfRun({ ...report, violation_count: 1 })).toBe(null);
  });

  it('litmus --threads: in so many iterations', async () => {
    const { runLitmusThreads } = await import('#src/lab/litmus/threads/report.js');
    const { renderLitmusThreads } = await import('#src/cli/render/litmus-threads.js');
    const report = await runLitmusThreads({ subject: test(`${WRITER('')}forbidden (r == 7)\n`), iterations: 50 });
    const text = renderLitmusThreads(report);
    expect(text).toMatch(/In none of \d+ iterations tried/);
    expect(text).toMatch(/^As expected\. No violation in \d+\.\d s and \d+ iterations, which proves nothing/);
    expect(text).not.toMatch(/Never|Always|proved/);
    expect(text).toContain(report.silence);
  });
});

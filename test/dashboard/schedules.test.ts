/** A violation of a real run links to the schedule that the explorer finds for it in the background. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Dashboard } from '#src/dashboard/dashboard.js';
import { Schedules } from '#src/dashboard/server/schedules.js';
import { readSchedule, replay } from '#src/lab/replay/replay.js';
import { Simulation } from '#src/lab/run/simulation.js';
import { subjectOf } from '#src/lab/explore/subject.js';
import { StreamClient, until } from './serve.js';

/** pin-race without an end and without pauses. */
const SCENARIO = `title: pins and a NUMA scan, without an end
machine: { nodes: 2, frames_per_node: 16, thp_order: 1, tlb_entries: 4, pcp_batch: 1, lru_batch: 0, vmas_per_process: 8 }
processes: [{ mappings: [{ start: 0, pages: 2 }] }]
guests: [{ process: 0, vcpus: 1, slots: [{ pages: 2 }] }]
knobs: { thp_enabled: never }
actors:
  - { kind: vcpu, guest: 0, node: 0, pages: 2, workload: sequential, write_percent: 100, pause_us: 0 }
  - { kind: dma, node: 0, pages: 2, batch_pages: 1, hold_batches: 1, long_every: 0, write_percent: 0, pause_us: 0 }
  - { kind: numa-balancer, node: 1, period_us: 20 }
`;

it('of check-then-notify, which replays', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pinfall-links-'));
  const scenario = join(folder, 'pins.yaml');
  writeFileSync(scenario, SCENARIO);
  const dashboard = await Dashboard.start({
    port: 0,
    choice: { scenario, policy: 'check-then-notify' },
    start: (choice) =>
      Simulation.start({ scenario: choice.scenario, policy: 'check-then-notify', events: 'lossy', metricsMs: 200 }),
    explainSeconds: 40,
  });
  const base = `http://127.0.0.1:${dashboard.port}`;
  const client = new StreamClient(base);
  let link = '';
  // what a violation's log says differs from run to run, and the search may come to nothing
  for (let run = 0; run < 4 && link === ''; run++) {
    if (run === 0) await dashboard.session.begin();
    else await dashboard.session.command({ type: 'restart', scenario });
    const said = (): Record<string, unknown>[] =>
      client.of('schedule').flatMap(({ data }) => (data['run'] === run + 1 ? [data] : []));
    await until('the explorer to be asked', () => said().length > 0, 30_000);
    expect(said()[0]).toMatchObject({ invariant: 'I-PINNED-S2', status: 'searching', schedule: '' });
    // who looks has low priority, and this run spins: ended, it leaves it the processors
    await dashboard.session.command({ type: 'stop' });
    await until('its answer', () => said().length > 1, 90_000);
    link = String(said()[1]?.['schedule']);
  }
  const schedule = readSchedule(await (await fetch(`${base}${link}`)).text(), 'linked.schedule');
  const { policy, seed, litmus } = schedule;
  expect(policy).toBe('check-then-notify');
  const subject = subjectOf({ scenario: schedule.scenario, policy, seed, litmus });
  const { report } = replay(schedule, subject, 'linked.schedule');
  expect(report.violations[0]?.invariant).toBe('I-PINNED-S2');
  client.close();
  await dashboard.close();
  rmSync(folder, { recursive: true });
}, 180_000);

it('is kept by rule and policy, the first one', () => {
  const schedules = new Schedules(null);
  expect(schedules.linkFor('I-PIN', 'Z08')).toBe('');
  const link = schedules.add('I-PIN', 'Z08', 'first');
  expect(schedules.add('I-PIN', 'Z08', 'second')).toBe(link);
  expect(schedules.linkFor('I-PIN', 'Z08')).toBe(link);
  expect(schedules.linkFor('I-PIN', 'classic')).toBe('');
  expect(schedules.read(decodeURIComponent(link.split('/').at(-1) ?? ''))).toBe('first');
  expect(schedules.read('other')).toBeUndefined();
});

const FILED = `pinfall.schedule/1
scenario: pin-vs-write-protect-buggy
policy: classic
seed: 7
variation: 0
strategy: pct
hash: 5b2c01d9
steps_max: 10000
end: violation I-RO
breaks: I-RO
steps: 21
actors: ksmd gup vcpu

0*6 1*3 0*12
`;

it('in the folder is opened only when it is a plain file of a size, and nothing there can make a look wait', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pinfall-links-'));
  const at = (name: string): string => join(folder, `${name}.schedule`);
  const target = at('plain');
  try {
    writeFileSync(target, FILED);
    execFileSync('mkfifo', [at('a-pipe')]);
    symlinkSync(at('a-pipe'), at('b-link-to-a-pipe'));
    symlinkSync('c-itself.schedule', at('c-itself'));
    symlinkSync('/dev/zero', at('d-device'));
    symlinkSync('/dev/tty', at('e-terminal'));
    symlinkSync(target, at('f-link'));
    // with the same first line, and more than is read
    writeFileSync(at('g-large'), FILED + '\n'.repeat(1 << 20));
    const schedules = new Schedules(folder);
    expect(schedules.linkFor('I-RO', 'classic')).toBe('/api/schedules/plain.schedule');
    expect(schedules.read('plain.schedule')).toBe(FILED);
    // what was a schedule when it was looked at may be a pipe when it is asked for
    rmSync(target);
    execFileSync('mkfifo', [target]);
    expect(schedules.read('plain.schedule')).toBeUndefined();
    expect(new Schedules(folder).linkFor('I-RO', 'classic')).toBe('');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

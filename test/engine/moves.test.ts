/** Actors that change workers, and forms, while a run goes on: nothing is lost, and every audit says so. */
import { describe, expect, it } from 'vitest';
import { startThreads } from '#src/engine/threads/threads.js';
import type { ThreadRun } from '#src/engine/threads/run.js';
import { runOracles } from '#src/engine/threads/oracles.js';
import { prepareMachine } from '#src/engine/machine/setup.js';
import { readOps } from '#src/lab/report/report.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import {
  ACTOR_PROGRESS,
  ACTOR_STEPS,
  VCPU_REPLAY_POSITION,
  actorWord,
  vcpuWord,
  type Machine,
} from '#src/machine/layout.js';
import { SMALL, writeRecording } from '../lab/recordings.js';
import { TINY, scenarioFile } from '../lab/tiny.js';
import { actors, start, until } from './threads-plan.js';

/** Workers that actors are moved among: threads cost more than moves. */
const WORKERS = 4;

async function run(text: string, policy: string, recording?: string): Promise<ThreadRun> {
  const plan = makePlan(loadScenario(scenarioFile(text)), {
    policy,
    seed: 9,
    oracles: 'all',
    ...(recording !== undefined && { recording }),
  });
  const machine = prepareMachine(plan);
  return startThreads(plan, machine, { events: 'recorder', timeouts: false, workers: 3, ...runOracles(machine, plan) });
}

const totals = (m: Machine): { accesses: number; pins: number; unpins: number } => readOps(m);

describe.each(['classic', 'pinned-notifiers', 'pkvm-2022'])('moves at random under %s', (policy) => {
  it('lose nothing: audits are clean, counters go on, the teardown finds what it should', async () => {
    const threads = await run(TINY, policy);
    const { machine: m, plan } = threads;
    let before = totals(m);
    for (let round = 0; round < 17; round++) {
      await until(() => totals(m).accesses > before.accesses + 100);
      const actor = (round * 7) % plan.actors.length;
      const anywhere = plan.actors.map((_, n) => (n * round + ((n * n) >> 1)) % WORKERS);
      const { violations } = await (round % 4 === 3
        ? threads.relocate(anywhere)
        : threads.move(actor, (round * 5) % WORKERS));
      expect(violations).toEqual([]);
      const now = totals(m);
      expect(now.accesses).toBeGreaterThan(before.accesses);
      before = now;
    }
    const forms = threads.threads.map((row) => row.form === (row.actors.length === 1 ? 'blocking' : 'coroutines'));
    expect(forms).not.toContain(false);
    const end = await threads.finish();
    expect(end.text).toBe('finished');
    expect(end.violations).toEqual([]);
    const after = totals(m);
    expect(after.pins).toBeGreaterThan(0);
    expect(after.unpins).toBe(after.pins);
  });
});

describe('what moves along', () => {
  it('the place in a recording: no record is replayed twice or left out', async () => {
    const accesses = Array.from({ length: 500 }, (_, n) => ({ vcpu: 0, gfn: (n * 3) % 4, write: n % 2 === 0 }));
    const recording = writeRecording({ ...SMALL, vcpus: 1, accesses, marks: { half: 250, end: 500 } });
    const text = `title: replay
machine: { nodes: 1, frames_per_node: 64, thp_order: 1, tlb_entries: 4, pcp_batch: 1, lru_batch: 0, vmas_per_process: 8 }
recording: ${recording}
processes: [{ mappings: [{ start: 0, pages: recorded, flags: [read, write] }] }]
guests: [{ process: 0, vcpus: recorded, slots: [{ first_gfn: 0, pages: recorded, first_vpn: 0 }] }]
actors: [{ kind: vcpu, guest: 0, pages: recorded, workload: zipf, window_records: 8 }, { kind: ksmd, pages_to_scan: 4 }]
`;
    const threads = await run(text, 'classic');
    const { machine: m } = threads;
    const position = (): number => (m.words[vcpuWord(m, 0, 0, VCPU_REPLAY_POSITION)] as number) >>> 0;
    let last = 0;
    for (let round = 0; round < 12; round++) {
      await until(() => totals(m).accesses > last + 700);
      let behind = -1;
      await threads.move(0, round % 2);
      await threads.drain(() => {
        behind = totals(m).accesses - position();
        return [];
      });
      // it publishes each record before it replays it
      expect([0, 1]).toContain(behind);
      last = totals(m).accesses;
    }
    expect((await threads.finish()).violations).toEqual([]);
  });

  it('the number of operations done: an actor ends after as many as it would have', async () => {
    const threads = await run(TINY.replace('period_us: 2000', 'period_us: 2000, ops: 7'), 'classic');
    const { machine: m, plan } = threads;
    const numa = plan.actors.findIndex((spec) => spec.kind === 'numa-balancer');
    const scans = (): number => m.words[actorWord(m, numa, ACTOR_PROGRESS)] as number;
    for (let round = 0; round < 12; round++) {
      const before = scans();
      await until(() => scans() > before || before === 7);
      await threads.move(numa, round % 3);
    }
    expect(scans()).toBe(7);
    expect((await threads.finish()).text).toBe('finished');
  });

  it('knobs that have changed, to workers that come later', async () => {
    const threads = await start([...actors(1, 'spinner'), ...actors(1, 'ticker', { sleep_us: 1e9 })].map(unique), {
      workers: 1,
    });
    await threads.setKnob('a1.sleep_us', 50);
    await threads.setKnob('quantum', 9);
    await threads.move(1, 1);
    expect(threads.hosts.hostOptions.quantum).toBe(9);
    const steps = (): number => threads.machine.words[actorWord(threads.machine, 1, ACTOR_STEPS)] as number;
    const before = steps();
    // what was left of its long sleep goes along; a move wakes nobody
    expect(threads.threads.map((row) => row.actors)).toEqual([['a0'], ['a1']]);
    await threads.retire(1);
    await threads.spawn(1, 1);
    await until(() => steps() > before + 10);
    expect(steps()).toBeGreaterThan(before + 10);
    await threads.finish();
  });
});

const unique = <T extends object>(spec: T, n: number): T => ({ ...spec, name: `a${n}` });

describe('moves that cannot be', () => {
  it('are refused by name', async () => {
    const threads = await start(actors(2, 'spinner'));
    await expect(threads.move(0, 2)).rejects.toThrow('a0 on worker 2: expected 0 to 1');
    await expect(threads.relocate([0])).rejects.toThrow('expected 2 entries, one per actor, got 1');
    expect((await threads.finish()).kind).toBe('finished');
    await expect(threads.move(0, 1)).rejects.toThrow('the run has ended');
  });
});

describe('steps', () => {
  it('freeze everybody, and move one actor by one schedule point', async () => {
    const threads = await run(TINY, 'classic');
    const { machine: m, plan } = threads;
    await until(() => totals(m).accesses > 300);
    const mode = await threads.stepMode(true);
    expect(mode.violations).toEqual([]);
    expect(threads.threads.every((row) => row.form === 'coroutines')).toBe(true);
    const steps = (): number[] => plan.actors.map((_, actor) => m.words[actorWord(m, actor, ACTOR_STEPS)] as number);
    const vmm = plan.actors.findIndex((spec) => spec.kind === 'vmm');
    const functions = new Set<string>();
    for (let n = 0; n < 200; n++) {
      const before = steps();
      const step = await threads.step(vmm);
      const after = steps();
      expect(after.filter((count, actor) => count !== before[actor]).length).toBe(step.moved ? 1 : 0);
      expect((after[vmm] as number) - (before[vmm] as number)).toBe(step.moved ? 1 : 0);
      for (const name of step.stack) functions.add(name);
    }
    expect(functions).toContain('vmm');
    expect(
      [...functions].some((name) => /^(hostAccess|handleMmFault|mmapReadLock|findVma|touchUser)$/.test(name)),
    ).toBe(true);
    await threads.resume();
    const before = totals(m).accesses;
    await until(() => totals(m).accesses > before + 300);
    // a pause now stops everybody at a schedule point, in the middle of an operation
    await threads.pause();
    await threads.step(vmm);
    await threads.stepMode(false);
    const forms = threads.threads.map((row) => row.form === (row.actors.length === 1 ? 'blocking' : 'coroutines'));
    expect(forms).not.toContain(false);
    await threads.resume();
    const end = await threads.finish();
    expect(end.violations).toEqual([]);
    expect(end.text).toBe('finished');
  });
});

/** Litmus plans: their set-up, what oracles know of it, and that their actors do their columns. */
import { describe, expect, it } from 'vitest';
import { litmusOperation } from '#actors/litmus/operations.js';
import { UNSET } from '#actors/litmus/registers.js';
import { END_FINISHED, OneThread } from '#src/engine/one-thread/one-thread.js';
import { PlanProgram } from '#src/engine/one-thread/plan-program.js';
import type { LitmusCall, LitmusTask } from '#src/plan/litmus.js';
import type { Plan } from '#src/plan/plan.js';
import { random } from '#src/engine/strategies/random.js';
import { FOLL_LONGTERM, FOLL_WRITE, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import { SMALL_MACHINE } from '#src/machine/config.js';
import { HDR_REGISTERS } from '#src/machine/layout.js';
import { RULES_V6_18, rulesOfVersion } from '#src/machine/rules.js';

const A: LitmusTask = { mm: 0, vm: -1, vcpu: -1 };
const G: LitmusTask = { mm: -1, vm: 0, vcpu: 0 };
const call = (name: string, args: readonly number[], result = -1): LitmusCall => {
  const op = litmusOperation(name);
  if (op < 0) throw new Error(`no operation ${name}`);
  return { op, args, result };
};

interface Lines {
  readonly init: readonly { readonly task: LitmusTask; readonly call: LitmusCall }[];
  readonly columns: readonly { readonly task: LitmusTask; readonly calls: readonly LitmusCall[] }[];
}

const plan = ({ init, columns }: Lines, kernel = 'classic', el2 = false): Plan => ({
  scenario: 'litmus',
  machine: { ...SMALL_MACHINE, cpus: columns.length + (el2 ? 1 : 0) },
  kernel,
  seed: 1,
  actors: [
    ...columns.map(({ task }, column) => ({
      name: `cpu${column}`,
      kind: 'litmus',
      tier: 'client' as const,
      node: 0,
      params: { column, mm: task.mm, vm: Math.max(0, task.vm) },
    })),
    ...(el2 ? [{ name: 'el2', kind: 'el2', tier: 'server' as const, node: 0, params: {} }] : []),
  ],
  mappings: [{ mm: 0, start: 0, pages: 4, flags: VM_READ | VM_WRITE }],
  vms: [{ mm: 0, vcpus: 1, protected: true, slots: [{ baseGfn: 0, pages: 4, vpn: 0, flags: 0 }] }],
  memlockPages: [-1],
  driverSubscriber: false,
  knobs: { ksmSmartScan: false, ksmUseZeroPages: false, thpEnabled: 0, maxPtesNone: 511 },
  poisonedFrames: [],
  unpinnableFrames: [],
  oracles: 'all',
  recording: null,
  litmus: { init, columns, registers: 8, failAllocation: [] },
});

/** Runs some random schedules; every one must finish. Calls `look` with the registers of each. */
function runs(made: Plan, look: (registers: Int32Array) => void): void {
  const program = new PlanProgram(made);
  const thread = new OneThread(program, 20_000);
  const strategy = random.create({ seed: 1, depth: 1 });
  for (let schedule = 0; schedule < 40; schedule++) {
    strategy.begin(schedule, program.actors.length);
    const end = thread.run(strategy, 0);
    expect([end, thread.breaches]).toEqual([END_FINISHED, []]);
    look(program.words.slice(HDR_REGISTERS, HDR_REGISTERS + 8));
  }
}

describe('litmus plans', () => {
  it('begin with what set-up left: contents, pins, stage-2 entries', () => {
    const init = [
      { task: A, call: call('write', [0, 0, 7]) },
      { task: A, call: call('pin', [0, 0, FOLL_LONGTERM | FOLL_WRITE], 0) },
      { task: G, call: call('guest_write', [1, 9]) },
    ];
    const columns = [
      { task: A, calls: [call('read', [0, 0], 1), call('read', [0, 1], 2), call('unpin', [0], 3)] },
      { task: A, calls: [call('numa_scan', [], 4), call('write', [0, 0, 8], 5)] },
    ];
    runs(plan({ init, columns }), (r) => {
      expect(r[0]).toBeGreaterThan(0);
      expect([7, 8]).toContain(r[1]);
      expect([...r.subarray(2, 7)]).toEqual([9, 0, 0, 0, UNSET]);
    });
  });

  it('have EL2 serve their set-up and their actors', () => {
    const init = [{ task: G, call: call('guest_write', [0, 5]) }];
    const columns = [
      { task: G, calls: [call('guest_read', [0], 0), call('guest_write', [1, 6], 1)] },
      { task: A, calls: [call('madvise', [0, 2, 3, 4], 2)] },
    ];
    runs(plan({ init, columns }, 'pkvm-2022', true), (r) => {
      expect([...r.subarray(0, 3)]).toEqual([5, 0, 0]);
    });
  });
});

describe('kernel versions', () => {
  it('differ where the model says so', () => {
    expect(rulesOfVersion('v6.18', RULES_V6_18)).toEqual(RULES_V6_18);
    expect(rulesOfVersion('v6.19', RULES_V6_18).numaBusy).toBe('v6.19');
    expect(rulesOfVersion('v5.17', RULES_V6_18)).toMatchObject({
      wpReuse: 'v5.9',
      numaBusy: 'v5.17',
      seqAfterUnlock: true,
    });
    expect(rulesOfVersion('v5.14', RULES_V6_18)).toMatchObject({ wpReuse: 'v5.9', numaBusy: 'v5.16' });
    expect(rulesOfVersion('v5.7', RULES_V6_18).wpReuse).toBe('v5.8');
    expect(rulesOfVersion('v6.1', RULES_V6_18)).toMatchObject({
      migrateLoops: 'v6.1',
      gupHonorsNuma: 'v6.1',
      wpReuse: 'v5.19',
    });
    expect(() => rulesOfVersion('6.1', RULES_V6_18)).toThrow(RangeError);
  });
});

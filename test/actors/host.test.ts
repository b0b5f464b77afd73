/**
 * All actors of a small guest together, in one thread, taking turns of a few steps: a smoke test of the loops and
 * of what set-up hands them. Sleeping actors go on at once, so that one seed gives one run.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ACTOR_KINDS } from '#actors/index.js';
import { resolveKernel } from '#src/engine/machine/kernel.js';
import type { Plan } from '#src/plan/plan.js';
import { prepareMachine } from '#src/engine/machine/setup.js';
import { NO_EVENTS } from '#src/events/ring.js';
import { loadScenario } from '#src/lab/scenario/scenario.js';
import { makePlan } from '#src/lab/scenario/plan.js';
import { PG_HWPOISON, PG_UNPINNABLE_ZONE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { Context, type Coroutine, Probe } from '#src/machine/context.js';
import { FIRST_WAIT, IDLE_SLEEP, IDLE_TOP, IDLE_WORD } from '#src/machine/effects.js';
import {
  KSM_RUN,
  MM_MEMLOCK_LIMIT,
  type Machine,
  PAGE_FLAGS,
  VM_PIN_BASE,
  VM_PIN_PAGES,
  globalWord,
  mmWord,
  pageWord,
  statsBase,
  vmWord,
} from '#src/machine/layout.js';
import {
  MC_NOTIFIER_STARTS,
  MC_PAGES_MOVED,
  MC_PINNED_HIT,
  MC_STAGE2_UNMAPS,
  MECHANISM_COUNTERS,
  STAT,
  STATS_MECHANISMS_AT,
} from '#src/machine/stats.js';
import { conditionChanged } from '#src/machine/wait.js';
import { temporaryFolder } from '../lab/recordings.js';

const TINY = `title: tiny
machine:
  { nodes: 2, frames_per_node: 512, thp_order: 3, tlb_entries: 64, pcp_batch: 4, lru_batch: 3, vmas_per_process: 60 }
processes:
  - memlock_pages: 77
    mappings: [{ start: 0, pages: 256, flags: [read, write, mergeable, hugepage] }]
guests:
  - { vcpus: 2, slots: [{ pages: 256 }], pinned_range: { first_gfn: 16, pages: 8 } }
knobs: { ksm_smart_scan: false, max_ptes_none: 3 }
poisoned_frames: [40]
unpinnable_frames: [[64, 128]]
actors:
  - { kind: vcpu, pages: 256, workload: zipf, write_percent: 5, duplicate_percent: 60, duplicate_kinds: 8, ops: 60000 }
  - { kind: vmm, pages: 256, balloon_weight: 10, mprotect_weight: 10, collapse_weight: 2, mprotect_pages: 3, ops: 800 }
  - kind: dma
    pages: 256
    ring: { first_vpn: 32, pages: 64 }
    batch_pages: 2
    hold_batches: 4
    long_every: 10
    duplicate_percent: 90
    duplicate_kinds: 8
    ops: 800
  - { kind: driver, pages: 64, ops: 100 }
  - { kind: ksmd, pages_to_scan: 64, ops: 400 }
  - { kind: khugepaged, pages_to_scan: 64, ops: 200 }
  - { kind: numa-balancer, ops: 40 }
`;

class Warnings extends Probe {
  readonly said: string[] = [];
  readonly progress: number[] = [];
  override onWarn(ctx: Context, invariant: string, what: string, pfn: number): void {
    this.said.push(`actor ${ctx.actor}: ${invariant} ${what} ${pfn}`);
  }
  override onMightSleep(ctx: Context, what: string): void {
    this.said.push(`actor ${ctx.actor}: sleeps in ${what}`);
  }
  override onProgress(ctx: Context): void {
    this.progress[ctx.actor] = (this.progress[ctx.actor] ?? 0) + 1;
  }
}

interface Turn {
  readonly name: string;
  readonly server: boolean;
  readonly ctx: Context;
  readonly coroutine: Coroutine<void>;
  kind: number;
  word: number;
  value: number;
}

/** Runs a plan round robin until every actor but the servers has ended, then ends those. */
function runAll(plan: Plan, quantum: number, drainEvery = 0): { m: Machine; probe: Warnings } {
  const m = prepareMachine(plan);
  const kernel = resolveKernel(plan.kernel);
  const probe = new Warnings();
  let left: Turn[] = plan.actors.map((spec, actor) => {
    const ctx = new Context(m, kernel, probe, NO_EVENTS, actor, spec.node, plan.seed);
    const start = ACTOR_KINDS[spec.kind];
    if (start === undefined) throw new Error(`no kind ${spec.kind}`);
    return {
      name: spec.name,
      server: spec.tier === 'server',
      ctx,
      coroutine: start(ctx, spec, plan),
      kind: IDLE_TOP,
      word: 0,
      value: 0,
    };
  });
  const mayGo = ({ kind, word, value, ctx }: Turn): boolean =>
    kind < FIRST_WAIT ||
    kind === IDLE_SLEEP ||
    kind === IDLE_TOP ||
    (kind === IDLE_WORD && ctx.finish) ||
    conditionChanged(m.words, kind, word, value);
  for (let round = 0; left.length > 0; round++) {
    if (left.every(({ server }) => server)) for (const { ctx } of left) ctx.finish = true;
    const draining = drainEvery > 0 && round % drainEvery < 50;
    let ran = 0;
    for (const turn of left) {
      turn.ctx.drain = draining && !turn.server;
      if (!mayGo(turn)) continue;
      turn.ctx.quantum = quantum;
      const step = turn.coroutine.next();
      ran++;
      if (step.done === true) {
        expect(turn.ctx.task.heldCount).toBe(0);
        left = left.filter((other) => other !== turn);
        continue;
      }
      turn.kind = step.value & 15;
      turn.word = step.value >>> 4;
      turn.value = turn.ctx.waitValue;
    }
    if (ran === 0)
      throw new Error(`nobody can go on: ${left.map(({ name, kind, word }) => `${name} ${kind} ${word}`).join(', ')}`);
  }
  return { m, probe };
}

const sum = (m: Machine, offset: number): number =>
  Array.from({ length: m.cpus }, (_, cpu) => m.words[statsBase(m, cpu) + offset] as number).reduce((a, b) => a + b, 0);
const mechanism = (m: Machine, which: number, counter: number): number =>
  sum(m, STATS_MECHANISMS_AT + which * MECHANISM_COUNTERS + counter);

function tiny(policy: string, extra = ''): Plan {
  const path = join(temporaryFolder(), 'tiny.yaml');
  writeFileSync(path, TINY + extra);
  return makePlan(loadScenario(path), { policy, seed: 5 });
}

describe('set-up', () => {
  it('gives the machine what the plan says', () => {
    const plan = tiny('pinned-notifiers');
    const m = prepareMachine(plan);
    expect(m.words[mmWord(m, 0, MM_MEMLOCK_LIMIT)]).toBe(77);
    expect([m.words[vmWord(m, 0, VM_PIN_BASE)], m.words[vmWord(m, 0, VM_PIN_PAGES)]]).toEqual([16, 8]);
    expect((m.words[pageWord(m, 40, PAGE_FLAGS)] as number) & PG_HWPOISON).not.toBe(0);
    expect((m.words[pageWord(m, 127, PAGE_FLAGS)] as number) & PG_UNPINNABLE_ZONE).not.toBe(0);
    expect((m.words[pageWord(m, 128, PAGE_FLAGS)] as number) & PG_UNPINNABLE_ZONE).toBe(0);
    for (let offset = 0; offset < 1500; offset++) expect(sum(m, offset)).toBe(0);
  });

  it('refuses what the kernel refuses', () => {
    const plan = tiny('classic');
    const twice = { ...plan, mappings: [...plan.mappings, { mm: 0, start: 8, pages: 8, flags: 3 }] };
    expect(() => prepareMachine(twice)).toThrow(RangeError);
    expect(() => prepareMachine({ ...plan, kernel: 'no-such' })).toThrow(/no-such/);
  });
});

describe('all actors together', () => {
  it('keep every mechanism busy, end, and give back what they pinned', () => {
    const { m, probe } = runAll(tiny('classic'), 7);
    expect(probe.said).toEqual([]);
    expect(probe.progress.every((n) => n > 0)).toBe(true);
    expect(sum(m, STAT.accesses)).toBe(120_000);
    expect(sum(m, STAT.tlb_hits)).toBeGreaterThan(50_000);
    expect(sum(m, STAT.stage2_faults)).toBeGreaterThan(100);
    expect(sum(m, STAT.pins)).toBeGreaterThan(500);
    expect(sum(m, STAT.unpins)).toBe(sum(m, STAT.pins));
    for (const which of [MECH.ksm, MECH.khugepaged, MECH.numa_migrate]) {
      expect(mechanism(m, which, MC_PAGES_MOVED), `pages moved by mechanism ${which}`).toBeGreaterThan(0);
    }
    for (const which of [MECH.numa_scan, MECH.ksm, MECH.thp_split]) {
      expect(mechanism(m, which, MC_NOTIFIER_STARTS), `notifiers of mechanism ${which}`).toBeGreaterThan(0);
    }
    // of the few entries that a handful of scans takes, whether one is a pinned page's is chance; that their notifiers cover pinned pages is not
    expect(mechanism(m, MECH.numa_scan, MC_PINNED_HIT)).toBeGreaterThan(0);
    expect(mechanism(m, MECH.numa_scan, MC_STAGE2_UNMAPS)).toBeGreaterThan(0);
  });

  it('stop at the tops of their loops for a drain, and go on', () => {
    const { m, probe } = runAll(tiny('pinned-notifiers'), 3, 500);
    expect(probe.said).toEqual([]);
    expect(sum(m, STAT.accesses)).toBe(120_000);
  });

  it('run with EL2 instances, few or many', () => {
    for (const instances of [1, 64]) {
      const { m, probe } = runAll(tiny('pkvm-2022', `el2_instances: ${instances}\n`), 11);
      expect(probe.said).toEqual([]);
      expect(sum(m, STAT.messages)).toBeGreaterThan(100);
      expect(sum(m, STAT.accesses)).toBeGreaterThan(0);
    }
  });

  it("leave a driver's mutex and a stopped ksmd alone", () => {
    const plan = tiny('classic', 'second_subscriber: true\n');
    const { m, probe } = runAll(plan, 5);
    expect(probe.said).toEqual([]);
    expect(m.words[globalWord(m, KSM_RUN)]).toBe(1);
  });
});

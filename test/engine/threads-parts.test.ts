/** Parts of the real-thread engine without threads: placement, names of words, the waits-for graph, the watchdog. */
import { describe, expect, it } from 'vitest';
import { Context, type Coroutine, type Kernel, Probe } from '#src/machine/context.js';
import { WAIT_LOCK, WAIT_WORD } from '#src/machine/effects.js';
import {
  ACTOR_STATE,
  ACTOR_STEPS,
  ACTOR_WAIT_KIND,
  ACTOR_WAIT_VALUE,
  ACTOR_WAIT_WORD,
  GLOBAL_HOST_MMU_LOCK,
  MM_MMAP_LOCK,
  Machine,
  PAGE_LOCK,
  TABLE_MM,
  TABLE_PMD,
  VMA_REFCNT,
  VM_MMU_LOCK,
  actorWord,
  globalLock,
  mmWord,
  nodeWord,
  pageWord,
  pmdLockOf,
  pmdWord,
  pteWord,
  ptlOf,
  s2PteWord,
  s2RootWord,
  tableWord,
  vmWord,
  vmaWord,
} from '#src/machine/layout.js';
import { NO_EVENTS } from '#src/events/ring.js';
import { LOCK_MMAP, LOCK_PTL } from '#src/locks/classes.js';
import { spinLock } from '#src/locks/exclusive.js';
import { downRead } from '#src/locks/rw.js';
import { bootMachine } from '#src/mm/boot.js';
import { describeWord } from '#src/machine/layout/describe.js';
import { HostedActor, recordWait } from '#src/engine/host/hosted-actor.js';
import { ACTOR_BLOCKED, ACTOR_IDLE, ACTOR_RUNNABLE } from '#src/engine/machine/phase.js';
import { actorsByWorker, checkPlacement, placeActors } from '#src/engine/threads/placement.js';
import type { Plan } from '#src/plan/plan.js';
import { actorReport, describeActor } from '#src/engine/machine/report-state.js';
import { waitsFor } from '#src/engine/machine/waits-for.js';
import { Watchdog } from '#src/engine/threads/watchdog.js';
import { actor, actors, planOf } from './threads-plan.js';

describe('placement', () => {
  const mixed = [
    actor('vcpu0', ''),
    actor('vcpu1', ''),
    actor('vmm', ''),
    actor('ksmd', '', {}, 'daemon'),
    actor('khugepaged', '', {}, 'daemon'),
    actor('el2-0', '', {}, 'server'),
    actor('el2-1', '', {}, 'server'),
  ];
  const named = (workers: number): string[][] =>
    actorsByWorker(placeActors(mixed, workers)).map((there) => there.map((index) => mixed[index]?.name ?? ''));

  it('one worker per actor by default, and when more are asked for', () => {
    expect(placeActors(mixed, 0)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(placeActors(mixed, 64)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('clients round robin, daemons where few are, servers beside their clients', () => {
    expect(named(1)).toEqual([mixed.map((spec) => spec.name)]);
    expect(named(2)).toEqual([
      ['vcpu0', 'vmm', 'khugepaged', 'el2-0'],
      ['vcpu1', 'ksmd', 'el2-1'],
    ]);
    expect(named(3)).toEqual([['vcpu0', 'ksmd', 'el2-0'], ['vcpu1', 'khugepaged', 'el2-1'], ['vmm']]);
    expect(named(6)).toEqual([['vcpu0', 'el2-0'], ['vcpu1'], ['vmm'], ['ksmd'], ['khugepaged'], ['el2-1']]);
  });

  it('leaves no worker empty, whatever the tiers', () => {
    for (let clients = 0; clients <= 4; clients++) {
      for (let servers = 0; servers <= 4; servers++) {
        const specs = [
          ...actors(clients, ''),
          ...Array.from({ length: servers }, (_, n) => actor(`s${n}`, '', {}, 'server')),
          actor('d', '', {}, 'daemon'),
        ];
        for (let workers = 1; workers <= specs.length + 1; workers++) {
          const placement = placeActors(specs, workers);
          expect(() => checkPlacement(specs, placement)).not.toThrow();
          expect(Math.max(...placement) + 1).toBe(Math.min(workers, specs.length));
        }
      }
    }
  });

  it('has at most 64 workers', () => {
    expect(Math.max(...placeActors(actors(100, ''), 0))).toBe(63);
  });

  it('refuses a placement that cannot be', () => {
    expect(() => checkPlacement(mixed, [0])).toThrow('placement: expected 7 entries, one per actor, got 1');
    expect(() => checkPlacement(mixed, [0, 0, 0, 0, 0, 0, 64])).toThrow('placement: el2-1 on worker 64');
  });
});

function machine(specs = actors(4, '')): { m: Machine; plan: Plan; ctxs: Context[] } {
  const plan = planOf(specs);
  const m = new Machine(plan.machine);
  bootMachine(m);
  const kernel = { id: 'none' } as unknown as Kernel;
  const ctxs = specs.map((_, n) => {
    const ctx = new Context(m, kernel, new Probe(), NO_EVENTS, n, 0, 1);
    ctx.tick = 0;
    return ctx;
  });
  return { m, plan, ctxs };
}

describe('names of words', () => {
  it('speaks as the kernel does', () => {
    const { m } = machine();
    const names = new Map<number, string>([
      [ptlOf(m, 3), 'PTL of table 3'],
      [mmWord(m, 1, MM_MMAP_LOCK), 'mm1 mmap_lock'],
      [pageWord(m, 0x12, PAGE_LOCK), 'folio lock of pfn 0x12'],
      [vmaWord(m, 2, VMA_REFCNT), 'lock of VMA 2'],
      [vmWord(m, 0, VM_MMU_LOCK), 'vm0 mmu_lock'],
      [pmdLockOf(m, 0, 0), 'PMD lock 0 of mm0'],
      [pmdWord(m, 1, 8), 'PMD of mm1 vpn 0x8'],
      [globalLock(m, GLOBAL_HOST_MMU_LOCK), 'EL2 host_mmu.lock'],
      [nodeWord(m, 1, 0), 'zone lock of node 1'],
      [s2RootWord(m, 0, 4), 'stage-2 root entry of vm0 gfn 0x4'],
      [s2PteWord(m, 1, 5), 'entry 1 of stage-2 table 1'],
      [actorWord(m, 2, 3), 'effect of actor 2'],
    ]);
    for (const [word, name] of names) expect(describeWord(m, word)).toBe(name);
    m.words[tableWord(m, 3, TABLE_MM)] = 1;
    m.words[tableWord(m, 3, TABLE_PMD)] = pmdWord(m, 1, 8);
    expect(describeWord(m, pteWord(m, 3, 9))).toBe('PTE of mm1 vpn 0x9');
  });
});

/** Says in the actor's record that it waits. */
function waits(m: Machine, who: number, kind: number, word: number, value: number): void {
  m.words[actorWord(m, who, ACTOR_STATE)] = ACTOR_BLOCKED;
  m.words[actorWord(m, who, ACTOR_WAIT_KIND)] = kind;
  m.words[actorWord(m, who, ACTOR_WAIT_WORD)] = word;
  m.words[actorWord(m, who, ACTOR_WAIT_VALUE)] = value;
}

function* noSteps(): Coroutine<void> {}

describe('waits-for graph', () => {
  it('names locks, holders with their mode, and the circle', () => {
    const { m, plan, ctxs } = machine();
    const mmap = mmWord(m, 0, MM_MMAP_LOCK);
    expect(downRead(ctxs[0] as Context, mmap, LOCK_MMAP)).toBe(true);
    expect(downRead(ctxs[2] as Context, mmap, LOCK_MMAP)).toBe(true);
    expect(spinLock(ctxs[1] as Context, ptlOf(m, 0), LOCK_PTL)).toBe(true);
    waits(m, 0, WAIT_LOCK, ptlOf(m, 0), 2);
    waits(m, 1, WAIT_LOCK, mmap, m.words[mmap] as number);
    waits(m, 3, WAIT_WORD, mmWord(m, 0, 32), 99);
    const graph = waitsFor(m, plan);
    expect(graph.cycle).toEqual([0, 1]);
    expect(graph.lines).toEqual([
      'a0 waits for PTL of table 0, held by a1',
      'a1 waits for mm0 mmap_lock, held by a0 (read), a2 (read)',
      'a3 waits for a change of mm0 mm_users, which has changed: it has not gone on yet',
      'circle: a0 -> a1 -> a0',
    ]);
    expect(describeActor(actorReport(m, plan, 2))).toBe(
      'a2 (worker 0, absent): has not run; holds mm0 mmap_lock (read)',
    );
  });

  it('has no place for actors that have not been resumed yet, however slow their worker is', () => {
    const { m, plan, ctxs } = machine();
    const hosted = new HostedActor(0, 0, ctxs[0] as Context, noSteps());
    recordWait(hosted, ACTOR_IDLE);
    expect(waitsFor(m, plan)).toEqual({ edges: [], cycle: [], lines: [] });
    // nor is anybody inside a section of word 0, which stands for none
    waits(m, 1, WAIT_WORD, 0, m.words[0] as number);
    expect(waitsFor(m, plan).cycle).toEqual([]);
  });

  it('finds an actor that waits for itself', () => {
    const { m, plan, ctxs } = machine();
    expect(spinLock(ctxs[1] as Context, ptlOf(m, 0), LOCK_PTL)).toBe(true);
    waits(m, 1, WAIT_LOCK, ptlOf(m, 0), 2);
    expect(waitsFor(m, plan).cycle).toEqual([1]);
  });
});

describe('watchdog', () => {
  const options = { cpuMs: 100, patienceMs: 1e9, periodMs: 10 };

  it('a starved machine is no hang: no CPU time, no limit', () => {
    const { m, plan } = machine();
    m.words[actorWord(m, 0, ACTOR_STATE)] = ACTOR_RUNNABLE;
    let cpu = 0;
    const watchdog = new Watchdog(
      m,
      plan,
      () => 2,
      options,
      () => cpu,
    );
    for (let n = 0; n < 1000; n++) expect(watchdog.look()).toBeNull();
    cpu += 200;
    expect(watchdog.look()).toBeNull();
    cpu += 1;
    expect(watchdog.look()?.text).toBe(
      'no step: a0 made no step (limits: 200 ms of CPU time, or 1000000000 ms asleep)',
    );
    m.words[actorWord(m, 0, ACTOR_STEPS)] = 1;
    expect(watchdog.look()).toBeNull();
  });

  it('a circle must be there, unmoved, at two looks', () => {
    const { m, plan, ctxs } = machine();
    expect(spinLock(ctxs[0] as Context, ptlOf(m, 0), LOCK_PTL)).toBe(true);
    waits(m, 0, WAIT_LOCK, ptlOf(m, 0), 1);
    const watchdog = new Watchdog(
      m,
      plan,
      () => 1,
      options,
      () => 0,
    );
    expect(watchdog.look()).toBeNull();
    m.words[actorWord(m, 0, ACTOR_STEPS)] = 5;
    expect(watchdog.look()).toBeNull();
    expect(watchdog.look()?.reason).toBe('deadlock');
  });

  it('a wait is no standstill while somebody can run', () => {
    const { m, plan } = machine();
    waits(m, 0, WAIT_WORD, mmWord(m, 0, 32), m.words[mmWord(m, 0, 32)] as number);
    m.words[actorWord(m, 1, ACTOR_STATE)] = ACTOR_RUNNABLE;
    const watchdog = new Watchdog(
      m,
      plan,
      () => 1,
      options,
      () => 0,
    );
    expect([watchdog.look(), watchdog.look()]).toEqual([null, null]);
    m.words[actorWord(m, 1, ACTOR_STATE)] = 0;
    expect(watchdog.look()?.reason).toBe('standstill');
  });
});

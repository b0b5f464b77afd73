/** KVM as a notifier subscriber (src/kvm/notifier.ts): what goes, what is counted, who is held off. */
import { describe, expect, it } from 'vitest';
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, MMU_NOTIFY_CLEAR, VM_HUGEPAGE, VM_READ } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { ACCESS_DONE, accessHit, guestAccess } from '#src/machine/access.js';
import { type Context, Probe } from '#src/machine/context.js';
import { EFFECT_ACQUIRE, effectWord, effectKind } from '#src/machine/effects.js';
import { entryPfn, isS2Block, isS2Table } from '#src/machine/entries.js';
import {
  PAGE_CONTENT,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_MMU_LOCK,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  pageWord,
  s2RootWord,
  vmWord,
} from '#src/machine/layout.js';
import {
  MC_STAGE2_UNMAPS,
  MC_STAGE2_UNMAPS_PINNED,
  MECHANISM_COUNTERS,
  STATS_MECHANISMS_AT,
} from '#src/machine/stats.js';
import { KVM_SUBSCRIBER } from '#src/kvm/notifier.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { MADV_DONTNEED, madvise } from '#src/mm/madvise/madvise.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { Guest, READ_WRITE } from './guest.js';

const start = (guest: Guest, from: number, to: number, cpu = 1): void => {
  const ctx = guest.ctx(cpu);
  expect(runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(ctx, 0, from, to, MMU_NOTIFY_CLEAR, true), ctx)).toBe(0);
};
const end = (guest: Guest, from: number, to: number, cpu = 1): void => {
  const ctx = guest.ctx(cpu);
  runToEnd(KVM_SUBSCRIBER.invalidateRangeEnd(ctx, 0, from, to), ctx);
};
const counter = (guest: Guest, cpu: number, mechanism: number, which: number): number =>
  guest.word(guest.ctx(cpu).statsAt + STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + which);

describe('start', () => {
  it('takes the range out of stage 2 and out of every TLB, and nothing else', () => {
    const guest = new Guest();
    for (let gfn = 0; gfn < 8; gfn++) guest.store(gfn, gfn + 1, gfn & 1);
    start(guest, 2, 5);
    for (let gfn = 0; gfn < 8; gfn++) expect(guest.leaf(gfn) === 0).toBe(gfn >= 2 && gfn < 5);
    for (let gfn = 0; gfn < 8; gfn++) {
      expect(accessHit(guest.ctx(gfn & 1), true, 0, gfn, false, 0)).toBe(gfn < 2 || gfn >= 5);
    }
    end(guest, 2, 5);
    expect(guest.stale()).toEqual([]);
  });

  it('counts: active for every range, in_progress and seq only where a slot overlaps', () => {
    const guest = new Guest({ machine: { mmPages: 32 } });
    const seq = guest.vm(VM_INVALIDATE_SEQ);
    // outside any slot: mmu_lock is not even taken
    const task = new Task(guest.ctx(1), KVM_SUBSCRIBER.invalidateRangeStart(guest.ctx(1), 0, 20, 24, 1, true));
    const lock = vmWord(guest.m, 0, VM_MMU_LOCK);
    task.stepUntil((effect) => effectWord(effect) === lock);
    expect(task.done).toBe(true);
    expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([1, 0]);
    start(guest, 0, 4);
    start(guest, 2, 24, 2);
    expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([3, 2]);
    end(guest, 0, 4);
    end(guest, 20, 24);
    end(guest, 2, 24, 2);
    expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([0, 0]);
    expect(guest.vm(VM_INVALIDATE_SEQ)).toBe(seq + 2);
  });

  it('removes a whole block for any page of it, and the pages come back one by one where the VMM has them so', () => {
    const guest = new Guest({ flags: VM_HUGEPAGE });
    guest.store(5, 1);
    const root = s2RootWord(guest.m, 0, 5);
    expect(isS2Block(guest.word(root))).toBe(true);
    // splits the VMM's huge page: one notifier for the whole of it, one for the page
    const ctx = guest.ctx(1);
    expect(runToEnd(mprotect(ctx, 0, 4, 5, VM_READ), ctx)).toBe(0);
    expect(guest.word(root)).toBe(0);
    guest.store(5, 2);
    expect(isS2Table(guest.word(root))).toBe(true);
    expect(runToEnd(mprotect(ctx, 0, 4, 5, READ_WRITE), ctx)).toBe(0);
    expect(guest.stale()).toEqual([]);
  });

  it('gives a table back when its last entry goes', () => {
    const guest = new Guest();
    const free = guest.freeTables;
    guest.store(0, 1);
    guest.store(1, 1);
    // one in the tree, one that the second fault reserved and did not need
    expect(guest.freeTables).toBe(free - 2);
    start(guest, 0, 1);
    expect(isS2Table(guest.word(s2RootWord(guest.m, 0, 0)))).toBe(true);
    end(guest, 0, 1);
    start(guest, 1, 2);
    expect(guest.word(s2RootWord(guest.m, 0, 0))).toBe(0);
    expect(guest.freeTables).toBe(free - 1);
    end(guest, 1, 2);
  });

  it('counts entries by mechanism, and those of pinned pages apart', () => {
    const guest = new Guest();
    for (let gfn = 0; gfn < 4; gfn++) guest.store(gfn, 1);
    const ctx = guest.ctx(1);
    const pinned = runToEnd(pinUserPagesFast(ctx, 0, 2, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM), ctx);
    expect(pinned).toBeGreaterThan(0);
    ctx.task.mechanism = MECH.ksm;
    start(guest, 0, 4);
    end(guest, 0, 4);
    expect(counter(guest, 1, MECH.ksm, MC_STAGE2_UNMAPS)).toBe(4);
    expect(counter(guest, 1, MECH.ksm, MC_STAGE2_UNMAPS_PINNED)).toBe(1);
    runToEnd(guest.kernel.unpinUserPage(ctx, pinned, false), ctx);
  });

  it('drops mmu_lock between chunks of a long range; a fault that gets in then retries', () => {
    const guest = new Guest({ machine: { vmPages: 64, mmPages: 64, framesPerNode: 64 } });
    for (const gfn of [0, 30, 60]) guest.store(gfn, 1);
    const ctx = guest.ctx(1);
    const lock = vmWord(guest.m, 0, VM_MMU_LOCK);
    const task = new Task(ctx, KVM_SUBSCRIBER.invalidateRangeStart(ctx, 0, 0, 64, 1, true));
    let taken = 0;
    task.stepUntil((effect) => effectKind(effect) === EFFECT_ACQUIRE && effectWord(effect) === lock && ++taken === 2);
    expect(guest.leaf(0)).toBe(0);
    expect(guest.leaf(60)).not.toBe(0);
    const fault = new Task(guest.ctx(0), vcpuAccess(guest.ctx(0), 0, 0, 0, true, 3));
    for (let i = 0; i < 300; i++) fault.step();
    expect(guest.leaf(0)).toBe(0);
    task.finish();
    end(guest, 0, 64);
    expect(fault.finish()).toBe(0);
    // a range that must not block is done under one hold
    const once = new Task(ctx, KVM_SUBSCRIBER.invalidateRangeStart(ctx, 0, 0, 64, 1, false));
    taken = 0;
    once.stepUntil((effect) => {
      if (effectKind(effect) === EFFECT_ACQUIRE && effectWord(effect) === lock) taken++;
      return false;
    });
    expect(taken).toBe(1);
  });
});

describe('a TLB invalidation', () => {
  it('waits for an access that is inside its window, and leaves nothing that its walk filled in', () => {
    const guest = new Guest();
    guest.store(3, 5);
    start(guest, 8, 9);
    end(guest, 8, 9);
    // CPU 1 has not touched gfn 3: it walks, and stops with the entry read but not yet in its TLB
    const walker = guest.ctx(1);
    const walk = new Task(walker, guestAccess(walker, 0, 3, true, 6));
    const content = pageWord(guest.m, entryPfn(guest.leaf(3)), PAGE_CONTENT);
    walk.stepUntil((effect) => effectWord(effect) === content);
    const unmap = new Task(guest.ctx(2), KVM_SUBSCRIBER.invalidateRangeStart(guest.ctx(2), 0, 3, 4, 1, true));
    while (unmap.enabled && !unmap.done) unmap.step();
    // it stands in its DSB: the store may still land
    expect(unmap.done).toBe(false);
    expect(walk.finish()).toBe(ACCESS_DONE);
    unmap.finish();
    expect(accessHit(walker, true, 0, 3, false, 0)).toBe(false);
    end(guest, 3, 4, 2);
    expect(guest.stale()).toEqual([]);
    expect(guest.load(3)).toBe(6);
  });
});

function* guestWork(ctx: Context, cpu: number): Generator<number, number, void> {
  for (let i = 0; i < 6; i++) {
    const result = yield* vcpuAccess(ctx, 0, cpu, (i * 5 + cpu) & 7, (i & 1) === 0, (cpu << 8) | i);
    if (result !== 0) return result;
  }
  return 0;
}

function* vmmWork(ctx: Context, huge: boolean): Generator<number, number, void> {
  for (let i = 0; i < 3; i++) {
    const result = yield* madvise(ctx, 0, (i * 3) & 7, ((i * 3) & 7) + (huge ? 4 : 1), MADV_DONTNEED);
    if (result !== 0) return result;
    const protect = yield* mprotect(ctx, 0, 1, 2, (i & 1) === 0 ? VM_READ : READ_WRITE);
    if (protect !== 0) return protect;
  }
  return yield* mprotect(ctx, 0, 1, 2, READ_WRITE);
}

describe('vCPUs against a VMM that discards and protects', () => {
  for (const huge of [false, true]) {
    it(`ends with nothing stale and no reference left (${huge ? 'huge pages' : 'pages'})`, () => {
      for (let seed = 1; seed <= 80; seed++) {
        const guest = new Guest({ flags: huge ? VM_HUGEPAGE : 0, probe: new Probe() });
        const tasks: Task[] = [0, 1].map((cpu) => new Task(guest.ctx(cpu), guestWork(guest.ctx(cpu), cpu)));
        const vmm = new Task(guest.ctx(2), vmmWork(guest.ctx(2), huge));
        interleave([...tasks, vmm], seed);
        // a store to a page that was read-only at that moment exits to user space: -EFAULT
        expect(vmm.result).toBe(0);
        expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([0, 0]);
        expect(guest.stale(), `seed ${seed}`).toEqual([]);
        expect(audit(guest.m), `seed ${seed}`).toEqual([]);
        expect(counter(guest, 2, MECH.zap, MC_STAGE2_UNMAPS)).toBeGreaterThanOrEqual(0);
      }
    });
  }
});

/**
 * Policy pinned-notifiers (src/policies/pinned-notifiers.ts): pages stay where they are, their stage-2 entries do
 * not.
 */
import { describe, expect, it } from 'vitest';
import { EFAULT, ENOMEM, GUP_PIN_COUNTING_BIAS, MMU_NOTIFY_CLEAR, VM_HUGEPAGE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { isS2Block, isS2Table } from '#src/machine/entries.js';
import {
  MM_LOCKED_VM,
  MM_MEMLOCK_LIMIT,
  VM_PIN_BASE,
  VM_PIN_PAGES,
  mmWord,
  pinnedPageWord,
  s2RootWord,
} from '#src/machine/layout.js';
import { MC_STAGE2_UNMAPS_PINNED, MECHANISM_COUNTERS, STAT, STATS_MECHANISMS_AT } from '#src/machine/stats.js';
import { hostPfn, stage2Pfn } from '#src/kvm/divergence.js';
import { KVM_SUBSCRIBER } from '#src/kvm/notifier.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { kvmDestroyVm, kvmSetPinRange } from '#src/kvm/vm.js';
import { MADV_DONTNEED, madvise } from '#src/mm/madvise/madvise.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { Guest, type GuestOptions } from './guest.js';

/** A guest whose first 4 pages (a block) are its profiling buffer. */
const spe = (options: GuestOptions = {}): Guest => {
  const guest = new Guest({ policy: 'pinned-notifiers', ...options });
  kvmSetPinRange(guest.m, 0, 0, 4);
  return guest;
};
const pinnedPfn = (guest: Guest, gfn: number): number => guest.word(pinnedPageWord(guest.m, 0, gfn)) - 1;
const lockedVm = (guest: Guest): number => guest.word(mmWord(guest.m, 0, MM_LOCKED_VM));
const invalidate = (guest: Guest, from: number, to: number): void => {
  const ctx = guest.ctx(1);
  ctx.task.mechanism = MECH.ksm;
  runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(ctx, 0, from, to, MMU_NOTIFY_CLEAR, true), ctx);
  runToEnd(KVM_SUBSCRIBER.invalidateRangeEnd(ctx, 0, from, to), ctx);
  ctx.task.mechanism = 0;
};
const enter = (guest: Guest): number => runToEnd(guest.kernel.vcpuLoad(guest.ctx(0), 0, 0), guest.ctx(0));
const destroy = (guest: Guest): void => runToEnd(guest.kernel.kvmDestroyVm(guest.ctx(6), 0), guest.ctx(6));

function* twice(guest: Guest, cpu: number): Generator<number, number, void> {
  for (let i = 0; i < 3; i++) {
    const result = yield* vcpuAccess(guest.ctx(cpu), 0, cpu, 1, true, (cpu << 8) | i);
    if (result !== 0) return result;
  }
  return 0;
}

describe('the pinned range', () => {
  it('is widened to whole blocks, so that no block of a normal page covers it', () => {
    const guest = spe();
    kvmSetPinRange(guest.m, 0, 5, 2);
    expect([guest.vm(VM_PIN_BASE), guest.vm(VM_PIN_PAGES)]).toEqual([4, 4]);
    kvmSetPinRange(guest.m, 0, 3, 2);
    expect([guest.vm(VM_PIN_BASE), guest.vm(VM_PIN_PAGES)]).toEqual([0, 8]);
    kvmSetPinRange(guest.m, 0, 3, 0);
    expect(guest.vm(VM_PIN_PAGES)).toBe(0);
  });

  it("is pinned, charged and mapped at VM entry; other pages are a normal guest's", () => {
    const guest = spe({ flags: VM_HUGEPAGE });
    expect(enter(guest)).toBe(0);
    expect(lockedVm(guest)).toBe(4);
    for (let gfn = 0; gfn < 4; gfn++) expect(stage2Pfn(guest.m, 0, gfn)).toBe(pinnedPfn(guest, gfn));
    expect(isS2Table(guest.word(s2RootWord(guest.m, 0, 0)))).toBe(true);
    guest.store(9, 1);
    expect(isS2Block(guest.word(s2RootWord(guest.m, 0, 9)))).toBe(true);
    expect(pinnedPfn(guest, 9)).toBe(-1);
    expect(guest.stale()).toEqual([]);
    destroy(guest);
    expect([lockedVm(guest), audit(guest.m)]).toEqual([0, []]);
  });

  it('loses its entries to a notifier although nothing moves, and gets the same pages back with one pin each', () => {
    const guest = spe();
    enter(guest);
    const before = [0, 1, 2, 3].map((gfn) => pinnedPfn(guest, gfn));
    invalidate(guest, 0, 4);
    const at = guest.ctx(1).statsAt + STATS_MECHANISMS_AT + MECH.ksm * MECHANISM_COUNTERS + MC_STAGE2_UNMAPS_PINNED;
    expect(guest.word(at)).toBe(4);
    for (let gfn = 0; gfn < 4; gfn++) guest.store(gfn, 10 + gfn);
    expect([0, 1, 2, 3].map((gfn) => stage2Pfn(guest.m, 0, gfn))).toEqual(before);
    for (const pfn of before) expect(guest.refs(pfn)).toBe(1 + GUP_PIN_COUNTING_BIAS);
    expect(guest.word(guest.ctx(0).statsAt + STAT.lost_records)).toBe(4);
    expect(lockedVm(guest)).toBe(4);
  });

  it('after MADV_DONTNEED is mapped from a new GUP call: the kept pin held a page that nobody maps', () => {
    const guest = spe();
    enter(guest);
    guest.store(2, 7);
    const old = pinnedPfn(guest, 2);
    const ctx = guest.ctx(1);
    expect(runToEnd(madvise(ctx, 0, 2, 3, MADV_DONTNEED), ctx)).toBe(0);
    // b1: the pin outlives the unmap, and keeps the page from being freed
    expect(stage2Pfn(guest.m, 0, 2)).toBe(-1);
    expect(guest.refs(old)).toBe(GUP_PIN_COUNTING_BIAS);
    expect(guest.load(2)).toBe(0);
    const now = pinnedPfn(guest, 2);
    expect([now === old, stage2Pfn(guest.m, 0, 2) === now, hostPfn(guest.m, 0, 2) === now]).toEqual([
      false,
      true,
      true,
    ]);
    expect(guest.refs(old)).toBe(0);
    expect(lockedVm(guest)).toBe(4);
    destroy(guest);
    expect([lockedVm(guest), audit(guest.m)]).toEqual([0, []]);
  });

  it('keeps the pins of pages that the process has unmapped until the VM ends', () => {
    const guest = spe();
    enter(guest);
    const ctx = guest.ctx(1);
    expect(runToEnd(munmap(ctx, 0, 0, 4), ctx)).toBe(0);
    expect(guest.access(1, true, 1)).toBe(-EFAULT);
    expect(lockedVm(guest)).toBe(4);
    destroy(guest);
    expect([lockedVm(guest), audit(guest.m)]).toEqual([0, []]);
  });

  it('obeys the limit: what cannot be charged is not pinned', () => {
    const guest = spe();
    guest.m.words[mmWord(guest.m, 0, MM_MEMLOCK_LIMIT)] = 2;
    expect(enter(guest)).toBe(0);
    expect([0, 1, 2, 3].map((gfn) => pinnedPfn(guest, gfn) >= 0)).toEqual([true, true, false, false]);
    expect(guest.access(2, true, 1)).toBe(-ENOMEM);
    expect(lockedVm(guest)).toBe(2);
  });

  it('has one pin and one charge to a page, whoever faults against whom', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const guest = spe();
      const zap = guest.ctx(2);
      const tasks: Task[] = [0, 1].map((cpu) => new Task(guest.ctx(cpu), twice(guest, cpu)));
      interleave([...tasks, new Task(zap, madvise(zap, 0, 1, 2, MADV_DONTNEED))], seed);
      expect(tasks.map(({ result }) => result)).toEqual([0, 0]);
      expect(guest.stale(), `seed ${seed}`).toEqual([]);
      let pinned = 0;
      for (let gfn = 0; gfn < 4; gfn++) if (pinnedPfn(guest, gfn) >= 0) pinned++;
      expect(lockedVm(guest), `seed ${seed}`).toBe(pinned);
      destroy(guest);
      expect([lockedVm(guest), audit(guest.m)], `seed ${seed}`).toEqual([0, []]);
    }
  });

  it('the classic destroy would leave the pins behind', () => {
    const guest = spe();
    enter(guest);
    runToEnd(kvmDestroyVm(guest.ctx(6), 0), guest.ctx(6));
    expect(lockedVm(guest)).toBe(4);
  });
});

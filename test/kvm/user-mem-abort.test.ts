/** The classic stage-2 fault (src/kvm/mmu.ts): what it maps, what it holds afterwards, and each of its exits. */
import { describe, expect, it } from 'vitest';
import {
  EFAULT,
  EHWPOISON,
  EINTR,
  ENOMEM,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  VM_HUGEPAGE,
} from '#src/machine/abi.js';
import { Probe } from '#src/machine/context.js';
import { EFFECT_ACQUIRE_READ, reads } from '#src/machine/effects.js';
import {
  KVM_INVALID_PTE_LOCKED,
  S2_WRITE,
  SWP_HWPOISON,
  entryPfn,
  isS2Block,
  isS2Leaf,
  isS2Table,
  mkSwapEntry,
} from '#src/machine/entries.js';
import {
  MM_LOCK_SEQ,
  VM_INVALIDATE_SEQ,
  dirtyWord,
  mmWord,
  pmdWord,
  pteWord,
  s2PteWord,
  s2RootWord,
  vmWord,
} from '#src/machine/layout.js';
import { ACCESS_DONE, guestAccess } from '#src/machine/access.js';
import { STAT } from '#src/machine/stats.js';
import { KVM_SUBSCRIBER } from '#src/kvm/notifier.js';
import { kvmHandleGuestAbort, vcpuAccess } from '#src/kvm/vcpu.js';
import { kvmSetMemslot } from '#src/kvm/vm.js';
import { madvise, MADV_DONTNEED } from '#src/mm/madvise/madvise.js';
import { runToEnd } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { Guest } from './guest.js';

const stat = (guest: Guest, cpu: number, which: number): number => guest.word(guest.ctx(cpu).statsAt + which);

describe('a stage-2 fault', () => {
  it('maps the page that the VMM has, and holds no reference afterwards', () => {
    const guest = new Guest();
    guest.store(3, 77);
    const leaf = guest.leaf(3);
    expect(isS2Leaf(leaf) && !isS2Block(leaf)).toBe(true);
    expect(leaf & S2_WRITE).not.toBe(0);
    // one reference: the process's own mapping
    expect(guest.refs(entryPfn(leaf))).toBe(1);
    expect(guest.content(entryPfn(leaf))).toBe(77);
    expect(guest.mmuLockFree).toBe(true);
    expect(isS2Table(guest.word(s2RootWord(guest.m, 0, 3)))).toBe(true);
  });

  it('maps the zero page read-only for a load, and a page of its own for the store that follows', () => {
    const guest = new Guest();
    expect(guest.load(5)).toBe(0);
    expect(entryPfn(guest.leaf(5))).toBe(0);
    expect(guest.leaf(5) & S2_WRITE).toBe(0);
    guest.store(5, 9);
    expect(entryPfn(guest.leaf(5))).not.toBe(0);
    expect(guest.load(5)).toBe(9);
    expect(guest.touch(5, false)).toBe(0);
    expect(guest.ctx(7).accessValue).toBe(9);
  });

  it('maps writable on a load when the VMM may write there anyway: the fast look-up runs for loads too', () => {
    const guest = new Guest();
    guest.touch(2, true, 1);
    expect(guest.load(2)).toBe(1);
    expect(guest.leaf(2) & S2_WRITE).not.toBe(0);
  });

  it('maps a block where the VMM has a huge page, and drops its reference to the head', () => {
    const guest = new Guest({ flags: VM_HUGEPAGE });
    guest.store(6, 1);
    const root = guest.word(s2RootWord(guest.m, 0, 6));
    expect(isS2Block(root)).toBe(true);
    expect(guest.refs(entryPfn(root))).toBe(1);
    guest.store(7, 2);
    expect(stat(guest, 0, STAT.stage2_faults)).toBe(1);
    expect(guest.content(entryPfn(root) + 3)).toBe(2);
  });

  it('maps pages where guest and VMM addresses do not agree within a huge page, or the slot ends inside it', () => {
    const guest = new Guest({ flags: VM_HUGEPAGE });
    const ctx = guest.ctx(0);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, 0, 0, 0), ctx)).toBe(0);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 1, 8, 4, 0), ctx)).toBe(0);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 1, 9, 2, 13, 0), ctx)).toBe(0);
    guest.store(4, 1);
    guest.store(9, 1);
    expect(isS2Table(guest.word(s2RootWord(guest.m, 0, 4)))).toBe(true);
    expect(isS2Table(guest.word(s2RootWord(guest.m, 0, 9)))).toBe(true);
  });

  it('exits to user space without a slot, without a VMA, and on a store to a read-only slot', () => {
    const guest = new Guest({ machine: { vmPages: 32, mmPages: 32 } });
    const ctx = guest.ctx(0);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, 0, 0, 0), ctx)).toBe(0);
    expect(guest.access(0, false)).toBe(-EFAULT);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, 8, 0, KVM_MEM_READONLY), ctx)).toBe(0);
    expect(guest.access(1, true, 1)).toBe(-EFAULT);
    guest.touch(1, true, 5);
    expect(guest.load(1)).toBe(5);
    // the VMM may write there, the guest may not: no writable look-up for such a slot
    expect(guest.leaf(1) & S2_WRITE).toBe(0);
    expect(runToEnd(madvise(guest.ctx(1), 0, 0, 1, MADV_DONTNEED), guest.ctx(1))).toBe(0);
  });

  it('reports -ENOMEM when no table page can be had before mmu_lock is taken', () => {
    const guest = new Guest();
    guest.ctx(0).task.failAllocation = 1;
    expect(guest.access(1, true, 1)).toBe(-ENOMEM);
    expect(guest.leaf(1)).toBe(0);
    guest.store(1, 1);
  });

  it('turns a poisoned page into SIGBUS, which ends the run loop', () => {
    const guest = new Guest();
    guest.touch(1, true, 5);
    const at = pteWord(guest.m, entryPfn(guest.word(pmdWord(guest.m, 0, 1))), 1);
    guest.m.words[at] = mkSwapEntry(SWP_HWPOISON, 9, 0);
    expect(guest.access(1, false)).toBe(-EHWPOISON);
    expect(guest.ctx(0).task.sigbus).toBe(false);
    expect(stat(guest, 0, STAT.sigbus)).toBe(1);
  });

  it('fails with -EFAULT on a fatal signal inside GUP, and with -EINTR before the next one', () => {
    const guest = new Guest();
    const ctx = guest.ctx(0);
    ctx.task.fatalSignal = true;
    expect(guest.access(1, true, 1)).toBe(-EINTR);
    expect(runToEnd(kvmHandleGuestAbort(ctx, 0, 0, 1, true, false), ctx)).toBe(-EFAULT);
    expect(guest.mmuLockFree).toBe(true);
  });
});

/** A fault of vCPU 0 at gfn 2, stopped right before it takes mmu_lock: the page is looked up, the sequence is old. */
const stopped = (guest: Guest): Task<number> => {
  guest.touch(2, true, 5);
  const task = new Task(guest.ctx(0), vcpuAccess(guest.ctx(0), 0, 0, 2, false, 0));
  task.stepUntil((effect) => effect === ((vmWord(guest.m, 0, 0) << 4) | EFFECT_ACQUIRE_READ));
  return task;
};

describe('the retry', () => {
  it('drops the page when an invalidation has come and gone', () => {
    const retries: number[] = [];
    class Count extends Probe {
      override onRetry(_ctx: unknown, _vm: number, page: number): void {
        retries.push(page);
      }
    }
    const guest = new Guest({ probe: new Count() });
    const fault = stopped(guest);
    const other = guest.ctx(1);
    expect(runToEnd(madvise(other, 0, 2, 3, MADV_DONTNEED), other)).toBe(0);
    expect(fault.finish()).toBe(0);
    // the old page was not mapped: the load saw the new one
    expect(guest.ctx(0).accessValue).toBe(0);
    expect(retries).toEqual([2]);
    expect(stat(guest, 0, STAT.stage2_retries)).toBe(1);
  });

  it('goes on while one is open anywhere in the VM', () => {
    const guest = new Guest();
    const fault = stopped(guest);
    const other = guest.ctx(1);
    expect(runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(other, 0, 12, 13, 1, true), other)).toBe(0);
    for (let i = 0; i < 500; i++) fault.step();
    expect(fault.done).toBe(false);
    expect(guest.leaf(2)).toBe(0);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeEnd(other, 0, 12, 13), other);
    expect(fault.finish()).toBe(0);
    expect(stat(guest, 0, STAT.stage2_retries)).toBeGreaterThan(1);
  });

  it('reads the sequence before mmap_lock is dropped; before v6.3 after', () => {
    for (const seqAfterUnlock of [false, true]) {
      const guest = new Guest({ rules: { seqAfterUnlock } });
      const task = new Task(guest.ctx(0), vcpuAccess(guest.ctx(0), 0, 0, 2, false, 0));
      const lock = mmWord(guest.m, 0, 0);
      task.stepUntil((effect) => effect === reads(vmWord(guest.m, 0, VM_INVALIDATE_SEQ)));
      expect(guest.word(lock) === 0).toBe(seqAfterUnlock);
      expect(task.finish()).toBe(0);
      expect(guest.word(mmWord(guest.m, 0, MM_LOCK_SEQ))).toBeGreaterThan(0);
    }
  });
});

describe('two vCPUs at once', () => {
  it('map a page once: the loser gets -EAGAIN and its access works all the same', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const guest = new Guest();
      const maps: number[] = [];
      guest.probe.onStage2Map = (_ctx, _vm, gfn) => void maps.push(gfn);
      const tasks = [0, 1].map(
        (cpu) => new Task(guest.ctx(cpu), vcpuAccess(guest.ctx(cpu), 0, cpu, 3, true, 50 + cpu)),
      );
      interleave(tasks, seed);
      expect(tasks.map(({ result }) => result)).toEqual([0, 0]);
      expect(guest.refs(entryPfn(guest.leaf(3)))).toBe(1);
      // one at least; two when a copy in between took the first away again
      expect(maps.length).toBeGreaterThan(0);
      expect(guest.mmuLockFree).toBe(true);
    }
  });

  it('back off from an entry that another one is breaking', () => {
    const guest = new Guest();
    guest.store(3, 1);
    const at = s2PteWord(guest.m, entryPfn(guest.word(s2RootWord(guest.m, 0, 3))), 2);
    guest.m.words[at] = KVM_INVALID_PTE_LOCKED;
    const ctx = guest.ctx(1);
    const task = new Task(ctx, vcpuAccess(ctx, 0, 1, 2, true, 9));
    for (let i = 0; i < 400; i++) task.step();
    expect(task.done).toBe(false);
    guest.m.words[at] = 0;
    expect(task.finish()).toBe(0);
  });
});

const logged = (): Guest => {
  const guest = new Guest({ flags: VM_HUGEPAGE });
  guest.store(6, 1);
  const ctx = guest.ctx(0);
  expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, 16, 0, KVM_MEM_LOG_DIRTY_PAGES), ctx)).toBe(0);
  return guest;
};

describe('dirty logging', () => {
  it('write-protects what is mapped, and its TLB entries', () => {
    const guest = logged();
    expect(guest.word(s2RootWord(guest.m, 0, 6)) & S2_WRITE).toBe(0);
    expect(guest.load(6)).toBe(1);
    expect(guest.word(dirtyWord(guest.m, 0, 6))).toBe(0);
  });

  it('breaks a block into pages at the first store, and marks that page dirty', () => {
    const guest = logged();
    guest.store(6, 2);
    expect(isS2Table(guest.word(s2RootWord(guest.m, 0, 6)))).toBe(true);
    expect(guest.word(dirtyWord(guest.m, 0, 6))).toBe(1 << 6);
    expect(guest.leaf(7)).toBe(0);
    // a load maps read-only while pages are logged, so that the store shows
    expect(guest.load(7)).toBe(0);
    expect(guest.leaf(7) & S2_WRITE).toBe(0);
    guest.store(7, 3);
    expect(guest.word(dirtyWord(guest.m, 0, 7))).toBe((1 << 6) | (1 << 7));
  });

  it('off again, the next fault puts a block in the place of the table, which is freed once nobody can walk it', () => {
    const guest = logged();
    guest.store(6, 2);
    const ctx = guest.ctx(0);
    const free = guest.freeTables;
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, 16, 0, 0), ctx)).toBe(0);
    expect(guest.access(5, true, 9)).toBe(0);
    expect(isS2Block(guest.word(s2RootWord(guest.m, 0, 6)))).toBe(true);
    // vCPU 0 has taken a table for its cache and has not needed it
    expect(guest.freeTables).toBe(free - 1);
    const other = guest.ctx(1);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(other, 0, 5, 6, 1, true), other);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeEnd(other, 0, 5, 6), other);
    expect(guest.freeTables).toBe(free);
    expect(runToEnd(guestAccess(other, 0, 6, false, 0), other)).not.toBe(ACCESS_DONE);
  });
});

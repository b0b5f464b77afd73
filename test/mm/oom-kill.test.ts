/** The OOM reaper (src/mm/oom-kill.ts) and memory_failure() (src/mm/memory-failure.ts): what they take, and when they go away. */
import { describe, expect, it } from 'vitest';
import {
  EAGAIN,
  EFAULT,
  EHWPOISON,
  FOLL_LONGTERM,
  FOLL_WRITE,
  PG_HWPOISON,
  PG_LRU,
  SUBSCRIBER_DRIVER,
  VM_LOCKED,
  VM_SHARED,
} from '#src/machine/abi.js';
import { REF_TEMP } from '#src/machine/context.js';
import { isHwpoisonEntry } from '#src/machine/entries.js';
import { GLOBAL_DRIVER_MUTEX, PAGE_FLAGS, PAGE_REFS, globalLock, pageWord } from '#src/machine/layout.js';
import { LOCK_DRIVER_MUTEX } from '#src/locks/classes.js';
import { mutexLock, mutexUnlock } from '#src/locks/exclusive.js';
import { mmapWriteLock, mmapWriteUnlock } from '#src/locks/vma-lock.js';
import { hostPfn, stage2Pfn } from '#src/kvm/divergence.js';
import { refAdd } from '#src/mm/folio.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { memoryFailure } from '#src/mm/memory-failure.js';
import { mmuNotifierRegister } from '#src/mm/mmu-notifier.js';
import { oomReapTaskMm } from '#src/mm/oom-kill.js';
import { entryAt } from '#src/oracle/view.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Guest } from '../kvm/guest.js';

const reap = (guest: Guest): number => runToEnd(oomReapTaskMm(guest.ctx(3), 0), guest.ctx(3));

function fail(guest: Guest, pfn: number): number {
  refAdd(guest.ctx(3), pfn, 1, REF_TEMP);
  return runToEnd(memoryFailure(guest.ctx(3), pfn), guest.ctx(3));
}

describe('the OOM reaper', () => {
  it('takes private memory and stage 2; nothing comes back as zeroes', () => {
    const guest = new Guest();
    guest.touch(1, true, 5);
    guest.load(1);
    expect(reap(guest)).toBe(0);
    expect([entryAt(guest.m, 0, 1), stage2Pfn(guest.m, 0, 1)]).toEqual([0, -1]);
    expect(guest.touch(1, true, 6)).not.toBe(0);
    expect(guest.touch(2, false)).not.toBe(0);
    expect(audit(guest.m)).toEqual([]);
  });

  it('leaves shared memory alone', () => {
    const guest = new Guest({ flags: VM_SHARED });
    const before = entryAt(guest.m, 0, 1);
    expect(reap(guest)).toBe(0);
    expect(entryAt(guest.m, 0, 1)).toBe(before);
  });

  it('does not wait for mmap_lock', () => {
    const guest = new Guest();
    guest.touch(1, true, 5);
    const writer = guest.ctx(0);
    runToEnd(mmapWriteLock(writer, 0), writer);
    expect(reap(guest)).toBe(-EAGAIN);
    runToEnd(mmapWriteUnlock(writer, 0), writer);
    expect(guest.touch(1, false)).toBe(0);
    expect(reap(guest)).toBe(0);
  });

  it('leaves a VMA whose notifier would sleep: no end is owed, KVM got its own, and another attempt takes it', () => {
    const guest = new Guest();
    const other = guest.ctx(0);
    runToEnd(mmapWriteLock(other, 0), other);
    mmuNotifierRegister(other, 0, SUBSCRIBER_DRIVER, 0);
    runToEnd(mmapWriteUnlock(other, 0), other);
    guest.touch(1, true, 5);
    const mutex = globalLock(guest.m, GLOBAL_DRIVER_MUTEX);
    expect(mutexLock(other, mutex, LOCK_DRIVER_MUTEX)).toBe(true);
    expect(reap(guest)).toBe(-EAGAIN);
    expect(entryAt(guest.m, 0, 1)).not.toBe(0);
    mutexUnlock(other, mutex, LOCK_DRIVER_MUTEX);
    expect(reap(guest)).toBe(0);
    expect(entryAt(guest.m, 0, 1)).toBe(0);
    expect(audit(guest.m)).toEqual([]);
  });
});

describe('memory_failure()', () => {
  it('unmaps a pinned page, takes it off the LRU, and knows it the second time', () => {
    const guest = new Guest();
    guest.touch(1, true, 5);
    guest.load(1);
    const dma = guest.ctx(2);
    expect(runToEnd(pinUserPagesFast(dma, 0, 1, FOLL_WRITE | FOLL_LONGTERM), dma)).toBeGreaterThan(0);
    const pfn = hostPfn(guest.m, 0, 1);
    expect(fail(guest, pfn)).toBe(0);
    expect([isHwpoisonEntry(entryAt(guest.m, 0, 1)), stage2Pfn(guest.m, 0, 1)]).toEqual([true, -1]);
    const flags = guest.word(pageWord(guest.m, pfn, PAGE_FLAGS));
    expect([flags & PG_HWPOISON, flags & PG_LRU]).toEqual([PG_HWPOISON, 0]);
    expect(fail(guest, pfn)).toBe(-EHWPOISON);
    expect(runToEnd(pinUserPagesFast(dma, 0, 1, FOLL_WRITE), dma)).toBe(-EFAULT);
    // its holder keeps the page; then nobody gets it any more, for the failure has kept a reference
    expect(guest.word(pageWord(guest.m, pfn, PAGE_REFS))).toBe(1025);
    runToEnd(dma.kernel.unpinUserPage(dma, pfn, false), dma);
    expect(guest.word(pageWord(guest.m, pfn, PAGE_REFS))).toBe(1);
    expect(audit(guest.m, { [pfn]: 1 })).toEqual([]);
  });

  it('does not spare memory that is locked', () => {
    const guest = new Guest({ flags: VM_LOCKED });
    guest.touch(1, true, 5);
    expect(fail(guest, hostPfn(guest.m, 0, 1))).toBe(0);
    expect(isHwpoisonEntry(entryAt(guest.m, 0, 1))).toBe(true);
  });
});

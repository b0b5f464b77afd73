import { describe, expect, it } from 'vitest';
import { LOCK_READ, LOCK_WRITE } from '#src/machine/context.js';
import {
  GLOBAL_HOST_MMU_LOCK,
  GLOBAL_KSM_THREAD_MUTEX,
  VMA_REFCNT,
  VM_MEMSLOTS,
  VM_MMU_LOCK,
  VM_MN_INVALIDATE_LOCK,
  VM_SLOTS_LOCK,
  globalLock,
  mmWord,
  MM_MMAP_LOCK,
  pmdLockOf,
  ptlOf,
  vmWord,
  vmaWord,
} from '#src/machine/layout.js';
import {
  LOCK_FOLIO,
  LOCK_HOST_MMU,
  LOCK_KSM_THREAD_MUTEX,
  LOCK_MMAP,
  LOCK_MMU,
  LOCK_MN_INVALIDATE,
  LOCK_PMD,
  LOCK_PTL,
  LOCK_SLOTS,
} from '#src/locks/classes.js';
import {
  folioLock,
  folioTrylock,
  folioUnlock,
  mutexLock,
  mutexTrylock,
  mutexUnlock,
  spinLock,
  spinUnlock,
} from '#src/locks/exclusive.js';
import { downRead, downReadTrylock, downWrite, upRead, upWrite, writeLock, writeUnlock } from '#src/locks/rw.js';
import { vmaStartRead } from '#src/locks/vma-lock.js';
import { Bench, VMM, kinds } from './bench.js';

function setUp() {
  const bench = new Bench({ level: 'local' });
  for (let vpn = 0; vpn < 4; vpn++) bench.write(vpn, vpn + 1);
  const { m } = bench;
  const ctx = bench.ctx(VMM);
  return {
    bench,
    m,
    ctx,
    mmap: mmWord(m, 0, MM_MMAP_LOCK),
    ptl: ptlOf(m, 0),
    pmd: pmdLockOf(m, 0, 0),
    mmu: vmWord(m, 0, VM_MMU_LOCK),
    slots: vmWord(m, 0, VM_SLOTS_LOCK),
    mn: vmWord(m, 0, VM_MN_INVALIDATE_LOCK),
    ksm: globalLock(m, GLOBAL_KSM_THREAD_MUTEX),
    hostMmu: globalLock(m, GLOBAL_HOST_MMU_LOCK),
    found: () => kinds(bench.probe.violations).map((kind) => kind.replace('I-LOCKORD ', '')),
  };
}

describe('LK1: sleeping in atomic context', () => {
  it('a rwsem, a mutex or a folio lock under a spinlock', () => {
    const { ctx, ptl, mmap, ksm, bench, found } = setUp();
    spinLock(ctx, ptl, LOCK_PTL);
    downRead(ctx, mmap, LOCK_MMAP);
    upRead(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual(['LK1 sleeps holding a spinlock', 'order: outer lock taken inside']);
    expect(bench.probe.violations[0]).toMatchObject({
      received: 'down_read',
      held: [{ lock: ptl, lockClass: LOCK_PTL, mode: LOCK_WRITE }],
    });
    bench.probe.reset();
    mutexLock(ctx, ksm, LOCK_KSM_THREAD_MUTEX);
    mutexUnlock(ctx, ksm, LOCK_KSM_THREAD_MUTEX);
    folioLock(ctx, 9);
    folioUnlock(ctx, 9);
    spinUnlock(ctx, ptl, LOCK_PTL);
    expect(found()).toEqual(['LK1 sleeps holding a spinlock', 'order: outer lock taken inside']);
  });

  it('with interrupts off', () => {
    const { ctx, mmap, found } = setUp();
    ctx.cpu.irqsOff = true;
    downRead(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual(['LK1 sleeps with interrupts off']);
  });

  it('not a trylock', () => {
    const { ctx, ptl, mmap, ksm, found } = setUp();
    spinLock(ctx, ptl, LOCK_PTL);
    expect([
      folioTrylock(ctx, 9),
      mutexTrylock(ctx, ksm, LOCK_KSM_THREAD_MUTEX),
      downReadTrylock(ctx, mmap, LOCK_MMAP),
    ]).toEqual([true, true, true]);
    expect(found()).toEqual([]);
  });
});

describe('LK2 to LK5: notifiers', () => {
  it('LK2: a start under PTL or PMD lock', () => {
    const { bench, ctx, ptl, pmd, mmu, found } = setUp();
    writeLock(ctx, mmu, LOCK_MMU);
    bench.probe.onNotifierStart(ctx, 0, 0, 4, 0);
    writeUnlock(ctx, mmu, LOCK_MMU);
    expect(found()).toEqual([]);
    spinLock(ctx, pmd, LOCK_PMD);
    spinLock(ctx, ptl, LOCK_PTL);
    bench.probe.onNotifierStart(ctx, 0, 0, 4, 0);
    expect(found()).toEqual(['LK2 notifier start under PTL']);
    expect(bench.probe.violations).toHaveLength(1);
  });

  it('LK3: an end without a start, another range, a start without an end', () => {
    const { bench, ctx, found } = setUp();
    const { probe } = bench;
    probe.onNotifierStarted(ctx, 0, 0, 8);
    probe.onNotifierStarted(ctx, 0, 2, 3);
    probe.onNotifierEnd(ctx, 0, 0, 8);
    probe.onNotifierEnd(ctx, 0, 2, 3);
    probe.onProgress(ctx);
    expect(found()).toEqual([]);
    probe.onNotifierEnd(ctx, 0, 2, 3);
    expect(found()).toEqual(['LK3 notifier end without start']);
    probe.reset();
    probe.onNotifierStarted(ctx, 0, 2, 3);
    probe.onNotifierEnd(ctx, 0, 2, 4);
    probe.onProgress(ctx);
    expect(found()).toEqual(['LK3 notifier end without start', 'LK3 notifier start without end']);
    probe.onProgress(ctx);
    expect(probe.violationCount).toBe(2);
  });

  it('LK4: a memslot swap while the window is open', () => {
    const { bench, m, ctx, found } = setUp();
    const { probe } = bench;
    probe.onNotifierStarted(ctx, 0, 0, 8);
    probe.onInvalidateCount(ctx, 0, 1, 1);
    expect(found()).toEqual([]);
    bench.poke(vmWord(m, 0, VM_MEMSLOTS), bench.word(vmWord(m, 0, VM_MEMSLOTS)) ^ 1);
    probe.onInvalidateCount(ctx, 0, 0, 1);
    probe.onInvalidateCount(ctx, 0, 0, 0);
    probe.onNotifierEnd(ctx, 0, 0, 8);
    expect(found()).toEqual(['LK4 memslots swapped inside window']);
    expect(probe.violationCount).toBe(1);
  });

  it('LK5: a callback that takes mmap_lock or slots_lock', () => {
    const { bench, ctx, mmap, slots, mn, found } = setUp();
    const { probe } = bench;
    probe.onNotifierStart(ctx, 0, 0, 8, 0);
    spinLock(ctx, mn, LOCK_MN_INVALIDATE);
    spinUnlock(ctx, mn, LOCK_MN_INVALIDATE);
    probe.onNotifierStarted(ctx, 0, 0, 8);
    mutexLock(ctx, slots, LOCK_SLOTS);
    expect(found()).toEqual([]);
    probe.onNotifierStart(ctx, 0, 0, 8, 0);
    downRead(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual(['LK5 notifier callback takes lock']);
  });

  it('a start that was refused is over when its caller releases what it held', () => {
    const { bench, ctx, mmap, slots, found } = setUp();
    downRead(ctx, mmap, LOCK_MMAP);
    bench.probe.onNotifierStart(ctx, 0, 0, 8, 0);
    upRead(ctx, mmap, LOCK_MMAP);
    mutexLock(ctx, slots, LOCK_SLOTS);
    downRead(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual([]);
  });
});

describe('LK6 to LK9 and the order', () => {
  it('LK6: a read lock upgraded, or taken again', () => {
    const { ctx, mmap, found } = setUp();
    downRead(ctx, mmap, LOCK_MMAP);
    downWrite(ctx, mmap, LOCK_MMAP);
    downRead(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual(['LK6 read lock upgraded to write', 'LK6 waits for its own lock']);
  });

  it('LK7: a second folio lock, unless it is tried', () => {
    const { ctx, found } = setUp();
    folioLock(ctx, 9);
    expect(folioTrylock(ctx, 10)).toBe(true);
    expect(found()).toEqual([]);
    folioLock(ctx, 11);
    expect(found()).toEqual(['LK7 waits for second folio lock']);
  });

  it('LK8: EL2 and the host keep to their own locks', () => {
    const { ctx, hostMmu, ptl, found } = setUp();
    spinLock(ctx, hostMmu, LOCK_HOST_MMU);
    spinUnlock(ctx, hostMmu, LOCK_HOST_MMU);
    expect(found()).toEqual(['LK8 host takes EL2 lock']);
    ctx.cpu.atEl2 = true;
    spinLock(ctx, hostMmu, LOCK_HOST_MMU);
    spinUnlock(ctx, hostMmu, LOCK_HOST_MMU);
    expect(found()).toEqual(['LK8 host takes EL2 lock']);
    spinLock(ctx, ptl, LOCK_PTL);
    expect(found()).toEqual(['LK8 host takes EL2 lock', 'LK8 EL2 takes host lock']);
  });

  it("LK9: a mapcount that changes without its table's lock", () => {
    const { bench, ctx, ptl, pmd, found } = setUp();
    const pfn = bench.pfn(2);
    spinLock(ctx, ptl, LOCK_PTL);
    bench.probe.onMap(ctx, 0, 2, pfn, -1);
    spinUnlock(ctx, ptl, LOCK_PTL);
    spinLock(ctx, pmd, LOCK_PMD);
    bench.probe.onMap(ctx, 0, 2, pfn, -1);
    spinUnlock(ctx, pmd, LOCK_PMD);
    expect(found()).toEqual([]);
    bench.probe.onMap(ctx, 0, 2, pfn, -1);
    // the PTL of another table
    bench.write(6, 1);
    spinLock(ctx, ptl, LOCK_PTL);
    bench.probe.onMap(ctx, 0, 6, bench.pfn(6), -1);
    expect(found()).toEqual(['LK9 mapcount changed without PTL']);
    expect(bench.probe.violationCount).toBe(2);
  });

  it('order: outer before inner, and mmu_lock never under the PTL', () => {
    const { ctx, ptl, pmd, mmu, mmap, found } = setUp();
    downRead(ctx, mmap, LOCK_MMAP);
    writeLock(ctx, mmu, LOCK_MMU);
    writeUnlock(ctx, mmu, LOCK_MMU);
    spinLock(ctx, pmd, LOCK_PMD);
    spinLock(ctx, ptl, LOCK_PTL);
    expect(found()).toEqual([]);
    writeLock(ctx, mmu, LOCK_MMU);
    expect(found()).toEqual(['order: mmu_lock under PTL']);
    spinUnlock(ctx, pmd, LOCK_PMD);
    spinLock(ctx, pmd, LOCK_PMD);
    expect(found()).toEqual(['order: mmu_lock under PTL', 'order: outer lock taken inside']);
  });

  it('a VMA lock is only tried, and mmap_lock may be tried inside it', () => {
    const { bench, m, ctx, mmap, found } = setUp();
    expect(bench.run(vmaStartRead(ctx, 0, 0), ctx)).toBe(true);
    expect(bench.word(vmaWord(m, 0, VMA_REFCNT))).toBe(1);
    expect(downReadTrylock(ctx, mmap, LOCK_MMAP)).toBe(true);
    upRead(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual([]);
    downWrite(ctx, mmap, LOCK_MMAP);
    expect(found()).toEqual(['order: outer lock taken inside']);
    upWrite(ctx, mmap, LOCK_MMAP);
    expect(LOCK_READ).toBe(0);
    expect(LOCK_FOLIO).toBeGreaterThan(0);
  });
});

/** NUMA balancing over pinned pages, as observed (F6 to F8 and the numbers behind them). */
import { describe, expect, it } from 'vitest';
import { MECH } from '#src/machine/mechanisms.js';
import { taskNumaWork } from '#src/mm/mempolicy.js';
import { Lab, TASK_ON_NODE_1, THP } from './lab.js';

/** task_numa_work runs in the task that has moved. */
function scan(lab: Lab): void {
  const ctx = lab.ctx(TASK_ON_NODE_1);
  lab.run(taskNumaWork(ctx, 0, 1 << 20), ctx);
}

function smallPages(): Lab {
  const lab = new Lab();
  lab.region(THP);
  for (let i = 0; i < THP; i++) lab.write(i, 1000 + i);
  lab.guestTouches(0, THP);
  return lab;
}

describe('NUMA scan over 512 4k pages, the task moved to the other node', () => {
  it('unpinned: one PROTECTION_VMA call for the scan, then one CLEAR per page: 512 of 512 move', () => {
    const lab = smallPages();
    scan(lab);
    expect(lab.notifierStarts(MECH.numa_scan)).toBe(1);
    expect(lab.hints(0, THP)).toBe(THP);
    expect(lab.stage2Mapped(0, THP)).toBe(0);
    for (let i = 0; i < THP; i++) lab.read(i, TASK_ON_NODE_1);
    expect(lab.notifierStarts(MECH.numa_migrate)).toBe(THP);
    for (let i = 0; i < THP; i++) {
      expect(lab.node(i)).toBe(1);
      expect(lab.content(lab.pfn(i))).toBe(1000 + i);
    }
  });

  it('pinned: one call a scan, all 512 stage-2 entries dropped, no host PTE changed, nothing moves (F6)', () => {
    const lab = smallPages();
    const pinned = lab.pin(0, THP);
    lab.guestTouches(0, THP);
    for (let n = 1; n <= 3; n++) {
      const before = Array.from({ length: THP }, (_, i) => lab.pte(i));
      scan(lab);
      expect(lab.notifierStarts(MECH.numa_scan)).toBe(n);
      expect(lab.stage2Mapped(0, THP)).toBe(0);
      expect(Array.from({ length: THP }, (_, i) => lab.pte(i))).toEqual(before);
      for (let i = 0; i < THP; i++) lab.read(i, TASK_ON_NODE_1);
      lab.guestTouches(0, THP);
      expect(lab.stage2Mapped(0, THP)).toBe(THP);
    }
    expect(lab.stat('numa_hint_faults')).toBe(0);
    expect(lab.notifierStarts(MECH.numa_migrate)).toBe(0);
    for (let i = 0; i < THP; i++) expect(lab.pfn(i)).toBe(pinned[i]);
  });

  it('one pinned among 512: the 511 others move, it stays, and loses its stage-2 entry like the rest (F8)', () => {
    const lab = smallPages();
    const [pfn] = lab.pin(100, 101);
    lab.guestTouches(0, THP);
    scan(lab);
    expect(lab.stage2Mapped(0, THP)).toBe(0);
    expect(lab.hints(0, THP)).toBe(THP - 1);
    for (let i = 0; i < THP; i++) lab.read(i, TASK_ON_NODE_1);
    expect(Array.from({ length: THP }, (_, i) => lab.node(i)).filter((node) => node === 1)).toHaveLength(THP - 1);
    expect(lab.pfn(100)).toBe(pfn);
  });

  it('a FOLL_GET page is not skipped by the scan: it is unmapped, and its migration fails (F8)', () => {
    const lab = smallPages();
    lab.vmsplice(100, 101);
    const pfn = lab.pfn(100);
    scan(lab);
    expect(lab.hints(0, THP)).toBe(THP);
    for (let i = 0; i < THP; i++) lab.read(i, TASK_ON_NODE_1);
    expect(lab.pfn(100)).toBe(pfn);
    expect(lab.stat('migrate_failures')).toBeGreaterThanOrEqual(1);
    // one ASYNC batch: one notifier pair for the page that stays, as for each that moves
    expect(lab.notifierStarts(MECH.numa_migrate)).toBe(THP);
  });
});

describe('NUMA scan over a pinned THP', () => {
  it('through 6.18: PROT_NONE, a hint fault, ten failing migration attempts with a notifier call each (F7)', () => {
    const lab = new Lab();
    lab.huge(THP);
    lab.write(0, 1);
    const [pfn] = lab.pin(0, 1);
    lab.guestTouches(0, THP);
    scan(lab);
    expect(lab.notifierStarts(MECH.numa_scan)).toBe(1);
    expect(lab.hints(0, THP)).toBe(THP);
    lab.read(0, TASK_ON_NODE_1);
    expect(lab.notifierStarts(MECH.numa_migrate)).toBe(10);
    expect(lab.hints(0, THP)).toBe(0);
    expect(lab.pfn(0)).toBe(pfn);
  });

  it('from 6.19: skipped as small pages are, the notifier sent all the same (F7)', () => {
    const lab = new Lab({ rules: { numaBusy: 'v6.19' } });
    lab.huge(THP);
    lab.write(0, 1);
    lab.pin(0, 1);
    lab.guestTouches(0, THP);
    scan(lab);
    expect(lab.notifierStarts(MECH.numa_scan)).toBe(1);
    expect(lab.hints(0, THP)).toBe(0);
    expect(lab.stage2Mapped(0, THP)).toBe(0);
  });
});

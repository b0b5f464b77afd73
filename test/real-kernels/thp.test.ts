/** THP splits and collapses over pinned pages, as observed (F9, F11, F12 and the numbers behind them). */
import { describe, expect, it } from 'vitest';
import { EAGAIN, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, VM_HUGEPAGE, VM_READ } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { isHuge, isTable } from '#src/machine/entries.js';
import { MC_BACKED_OUT } from '#src/machine/stats.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import {
  SCAN_PAGE_COUNT,
  hpageCollapseScanPmd,
  khugepagedScan,
  madviseCollapse,
} from '#src/mm/khugepaged/khugepaged.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { mmapReadLock } from '#src/locks/vma-lock.js';
import { KHUGEPAGED, Lab, PINNER, TASK, THP } from './lab.js';

function thp(pins: number): { lab: Lab; head: number } {
  const lab = new Lab();
  lab.huge(THP);
  lab.write(0, 1);
  for (let i = 0; i < pins; i++) lab.pin(7, 8);
  lab.guestTouches(0, THP);
  return { lab, head: lab.pfn(0) };
}

describe('one sub-page of a THP', () => {
  for (const pins of [0, 1]) {
    it(`mprotect, ${pins === 0 ? 'unpinned' : 'pinned'}: two notifier calls, the huge mapping goes, the folio stays one (F9)`, () => {
      const { lab, head } = thp(pins);
      expect(lab.refs(head)).toBe(1 + pins);
      const ctx = lab.ctx(TASK);
      const before = lab.notifierStarts();
      expect(lab.run(mprotect(ctx, 0, 3, 4, VM_READ | VM_HUGEPAGE), ctx)).toBe(0);
      expect(lab.notifierStarts() - before).toBe(2);
      expect(isTable(lab.pmd(0))).toBe(true);
      expect(lab.refs(head)).toBe(THP + pins);
      for (let i = 0; i < THP; i++) expect(lab.pfn(i)).toBe(head + i);
      expect(lab.stage2Mapped(0, THP)).toBe(0);
      lab.guestTouches(0, THP);
      expect(lab.stage2Mapped(0, THP)).toBe(THP);
    });

    it(`MADV_DONTNEED, ${pins === 0 ? 'unpinned' : 'pinned'}: two calls, the head loses one reference of ${THP}`, () => {
      const { lab, head } = thp(pins);
      const ctx = lab.ctx(TASK);
      const before = lab.notifierStarts();
      expect(lab.run(madviseDontneed(ctx, 0, 3, 4), ctx)).toBe(0);
      expect(lab.notifierStarts() - before).toBe(2);
      expect(lab.refs(head)).toBe(THP - 1 + pins);
      expect(lab.present(3)).toBe(false);
    });
  }
});

function small(): Lab {
  const lab = new Lab();
  lab.region(THP, 0);
  for (let i = 0; i < THP; i++) lab.write(i, 1000 + i);
  return lab;
}

describe('collapse of 512 4k pages', () => {
  it('MADV_COLLAPSE unpinned: one call, huge afterwards', () => {
    const lab = small();
    lab.guestTouches(0, THP);
    const ctx = lab.ctx(TASK);
    expect(lab.run(madviseCollapse(ctx, 0, 0), ctx)).toBe(0);
    expect(lab.notifierStarts()).toBe(1);
    expect(isHuge(lab.pmd(0))).toBe(true);
    for (let i = 0; i < THP; i++) expect(lab.read(i)).toBe(1000 + i);
  });

  for (const [name, hold] of [
    ['pinned', (lab: Lab) => void lab.pin(9, 10)],
    ['vmspliced', (lab: Lab) => lab.vmsplice(9, 10)],
  ] as const) {
    it(`with one page ${name}: EAGAIN, no call, not_suitable_page_count; khugepaged the same on 16 passes (F11)`, () => {
      const lab = new Lab();
      lab.huge(THP);
      const ctx = lab.ctx(TASK);
      // small pages although the VMA wants huge ones: the range was there before khugepaged was told
      lab.smallPages(0, THP);
      hold(lab);
      lab.guestTouches(0, THP);
      const before = lab.notifierStarts();
      expect(lab.run(madviseCollapse(ctx, 0, 0), ctx)).toBe(-EAGAIN);
      const daemon = lab.ctx(KHUGEPAGED);
      for (let pass = 0; pass < 16; pass++) {
        lab.run(khugepagedScan(daemon, THP), daemon);
        lab.run(mmapReadLock(daemon, 0), daemon);
        expect(lab.run(hpageCollapseScanPmd(daemon, 0, 0, 1), daemon)).toBe(SCAN_PAGE_COUNT);
        lab.readUnlock(daemon);
      }
      expect(lab.notifierStarts()).toBe(before);
      expect(isTable(lab.pmd(0))).toBe(true);
    });
  }

  it('a pin that lands between the scan and the isolation: the notifier is sent, then the attempt backs out (F12)', () => {
    const lab = small();
    lab.guestTouches(0, THP);
    const ctx = lab.ctx(TASK);
    ctx.quantum = 0;
    const collapse = madviseCollapse(ctx, 0, 0);
    // until the scan has let go of mmap_lock
    do {
      ctx.quantum = 0;
      collapse.next();
    } while (lab.mmapReaders() === 0);
    do {
      ctx.quantum = 0;
      collapse.next();
    } while (lab.mmapReaders() > 0);
    const pinner = lab.ctx(PINNER);
    pinner.quantum = 2 ** 30;
    expect(lab.run(lab.kernel.gupFast(pinner, 0, 9, FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE), pinner)).toBeGreaterThan(0);
    expect(lab.run(collapse, ctx)).toBe(-EAGAIN);
    expect(lab.notifierStarts(MECH.khugepaged)).toBe(1);
    expect(lab.mechanism(MECH.khugepaged, MC_BACKED_OUT)).toBe(1);
    expect(isTable(lab.pmd(0))).toBe(true);
    expect(lab.stage2Mapped(0, THP)).toBe(0);
    for (let i = 0; i < THP; i++) expect(lab.read(i)).toBe(1000 + i);
  });
});

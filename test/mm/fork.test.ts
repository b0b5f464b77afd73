/** fork: what is shared, what is copied, what the notifiers and the counts say, and each way out (kernel-model 3.19). */
import { describe, expect, it } from 'vitest';
import {
  EBUSY,
  EINTR,
  EINVAL,
  ENOMEM,
  FOLL_WRITE,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_PROTECTION_PAGE,
  PG_ANON_EXCLUSIVE,
  VM_DONTCOPY,
  VM_LOCKED,
  VM_MERGEABLE,
} from '#src/machine/abi.js';
import { PTE_WRITE, isHuge, isSpecial, isTable } from '#src/machine/entries.js';
import { MM_KSM_SLOT, MM_VMA_COUNT, MM_WRITE_PROTECT_SEQ, mmWord } from '#src/machine/layout.js';
import { exitMmap } from '#src/mm/exit.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { findVma, vmaFlags } from '#src/mm/vma/vma.js';
import { ForkLab } from './fork-lab.js';

const PARENT = 0;
const CHILD = 1;

describe('fork of small pages', () => {
  it('shares them read-only, with one notifier pair over the VMA', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 4, 3);
    lab.starts.length = 0;
    expect(lab.fork(PARENT, CHILD)).toBe(0);
    expect(lab.starts).toEqual([[PARENT, 4, 7, MMU_NOTIFY_PROTECTION_PAGE]]);
    expect(lab.word(mmWord(lab.m, PARENT, MM_WRITE_PROTECT_SEQ))).toBe(2);
    for (let vpn = 4; vpn < 7; vpn++) {
      const pfn = lab.pfn(PARENT, vpn);
      expect(lab.pfn(CHILD, vpn)).toBe(pfn);
      expect([lab.refs(pfn), lab.maps(pfn)]).toEqual([2, 2]);
      expect(lab.flags(pfn) & PG_ANON_EXCLUSIVE).toBe(0);
      expect((lab.pte(PARENT, vpn) | lab.pte(CHILD, vpn)) & PTE_WRITE).toBe(0);
      expect(lab.read(CHILD, vpn, 1)).toBe(100 + vpn);
    }
    expect(lab.violations()).toEqual([]);
  });

  it('copies on the first write of either, and the last user writes in place', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 1);
    lab.fork(PARENT, CHILD);
    const shared = lab.pfn(PARENT, 0);
    lab.write(PARENT, 0, 7);
    expect(lab.pfn(PARENT, 0)).not.toBe(shared);
    expect(lab.read(CHILD, 0, 1)).toBe(100);
    lab.write(CHILD, 0, 8, 1);
    expect(lab.pfn(CHILD, 0)).toBe(shared);
    expect([lab.read(PARENT, 0), lab.read(CHILD, 0, 1)]).toEqual([7, 8]);
    expect(lab.violations()).toEqual([]);
  });

  it('keeps the zero page shared, without references', () => {
    const lab = new ForkLab();
    lab.map(PARENT, 0, 2);
    lab.write(PARENT, 1, 5);
    lab.read(PARENT, 0);
    lab.fork(PARENT, CHILD);
    expect(isSpecial(lab.pte(CHILD, 0))).toBe(true);
    lab.write(CHILD, 0, 9, 1);
    expect(lab.read(PARENT, 0)).toBe(0);
    expect(lab.violations()).toEqual([]);
  });

  it('copies no page table of a VMA without anon_vma: a fault brings the pages back', () => {
    const lab = new ForkLab();
    lab.map(PARENT, 0, 2);
    lab.read(PARENT, 0);
    lab.starts.length = 0;
    lab.fork(PARENT, CHILD);
    expect(lab.starts).toEqual([]);
    expect(lab.pmd(CHILD, 0)).toBe(0);
    expect(lab.read(CHILD, 0, 1)).toBe(0);
  });

  it('leaves VM_DONTCOPY out, and VM_LOCKED behind', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 1, VM_DONTCOPY);
    lab.mapSmall(PARENT, 4, 1, VM_LOCKED | VM_MERGEABLE);
    lab.fork(PARENT, CHILD);
    expect(findVma(lab.ctx(), CHILD, 0)).toBe(-1);
    expect(vmaFlags(lab.ctx(), findVma(lab.ctx(), CHILD, 4)) & (VM_LOCKED | VM_MERGEABLE)).toBe(VM_MERGEABLE);
    expect(lab.word(mmWord(lab.m, CHILD, MM_KSM_SLOT))).toBe(1);
    expect(lab.violations()).toEqual([]);
  });

  it('of a child: the grandchild shares with both', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 2);
    lab.fork(PARENT, CHILD);
    lab.write(CHILD, 1, 50, 1);
    expect(lab.fork(CHILD, 2, 1)).toBe(0);
    expect(lab.maps(lab.pfn(2, 0))).toBe(3);
    expect(lab.maps(lab.pfn(2, 1))).toBe(2);
    lab.write(2, 0, 60, 2);
    lab.write(2, 1, 61, 2);
    expect([lab.read(PARENT, 0), lab.read(CHILD, 0), lab.read(2, 0)]).toEqual([100, 100, 60]);
    expect([lab.read(PARENT, 1), lab.read(CHILD, 1), lab.read(2, 1)]).toEqual([101, 50, 61]);
    for (const mm of [PARENT, 2, CHILD]) lab.run((ctx) => exitMmap(ctx, mm));
    expect(lab.violations()).toEqual([]);
  });
});

describe('fork of pinned pages', () => {
  it('copies a pinned page for the child and leaves the parent its writable PTE', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 2);
    const pinned = lab.pin(PARENT, 0);
    lab.starts.length = 0;
    lab.fork(PARENT, CHILD);
    // stage 2 loses the range all the same (F1)
    expect(lab.starts).toHaveLength(1);
    expect(lab.pfn(PARENT, 0)).toBe(pinned);
    expect(lab.pte(PARENT, 0) & PTE_WRITE).toBe(PTE_WRITE);
    expect(lab.pfn(CHILD, 0)).not.toBe(pinned);
    expect(lab.pte(CHILD, 0) & PTE_WRITE).toBe(PTE_WRITE);
    expect(lab.pfn(CHILD, 1)).toBe(lab.pfn(PARENT, 1));
    lab.write(PARENT, 0, 7);
    expect(lab.content(pinned)).toBe(7);
    expect(lab.read(CHILD, 0, 1)).toBe(100);
    expect(lab.violations()).toEqual([]);
    lab.unpin(pinned);
    expect(lab.violations()).toEqual([]);
  });

  it('shares a page that was unpinned: the flag of the mm alone means nothing', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 1);
    lab.unpin(lab.pin(PARENT, 0));
    lab.fork(PARENT, CHILD);
    expect(lab.pfn(CHILD, 0)).toBe(lab.pfn(PARENT, 0));
  });

  it('splits a pinned THP and copies all of its pages: two notifier pairs', () => {
    const lab = new ForkLab();
    lab.mapHuge(PARENT, 0, 4);
    const head = lab.pfn(PARENT, 0);
    expect(isHuge(lab.pmd(PARENT, 0))).toBe(true);
    lab.pin(PARENT, 2);
    lab.starts.length = 0;
    expect(lab.fork(PARENT, CHILD)).toBe(0);
    expect(lab.starts).toEqual([
      [PARENT, 0, 4, MMU_NOTIFY_PROTECTION_PAGE],
      [PARENT, 0, 4, MMU_NOTIFY_CLEAR],
    ]);
    expect(isTable(lab.pmd(PARENT, 0))).toBe(true);
    // four PTEs and the pin
    expect(lab.refs(head)).toBe(5);
    for (let vpn = 0; vpn < 4; vpn++) {
      expect(lab.pfn(PARENT, vpn)).toBe(head + vpn);
      expect(lab.pfn(CHILD, vpn)).not.toBe(head + vpn);
      expect(lab.read(CHILD, vpn, 1)).toBe(100 + vpn);
    }
    lab.unpin(head + 2);
    expect(lab.violations()).toEqual([]);
  });
});

describe('fork of a THP', () => {
  it('shares it whole', () => {
    const lab = new ForkLab();
    lab.mapHuge(PARENT, 0, 4);
    const head = lab.pfn(PARENT, 0);
    lab.starts.length = 0;
    lab.fork(PARENT, CHILD);
    expect(lab.starts).toEqual([[PARENT, 0, 4, MMU_NOTIFY_PROTECTION_PAGE]]);
    expect(lab.pmd(CHILD, 0) & PTE_WRITE).toBe(0);
    expect(lab.refs(head)).toBe(2);
    lab.write(CHILD, 1, 9, 1);
    expect(lab.read(PARENT, 1)).toBe(101);
    expect(lab.read(CHILD, 0, 1)).toBe(100);
    for (const mm of [CHILD, PARENT]) lab.run((ctx) => exitMmap(ctx, mm));
    expect(lab.violations()).toEqual([]);
  });
});

describe('fork fails', () => {
  it('with every allocation in turn: -ENOMEM, and nothing of the child is left', () => {
    let failures = 0;
    for (let nth = 1; ; nth++) {
      const lab = new ForkLab();
      lab.mapSmall(PARENT, 0, 6);
      lab.pin(PARENT, 1);
      lab.pin(PARENT, 5);
      lab.ctx().task.failAllocation = nth;
      const result = lab.fork(PARENT, CHILD);
      const injected = lab.ctx().task.failAllocation === 0;
      lab.ctx().task.failAllocation = 0;
      expect(result).toBe(injected ? -ENOMEM : 0);
      if (!injected) break;
      failures++;
      expect(lab.word(mmWord(lab.m, CHILD, MM_VMA_COUNT))).toBe(0);
      expect(lab.read(PARENT, 0)).toBe(100);
      lab.write(PARENT, 0, 3);
      expect(lab.violations()).toEqual([]);
      expect(lab.fork(PARENT, CHILD)).toBe(0);
      expect(lab.read(CHILD, 5, 1)).toBe(105);
      expect(lab.violations()).toEqual([]);
    }
    // two page tables and two pages
    expect(failures).toBe(4);
  });

  it('with a fatal signal, into itself, and into a process that has memory', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 1);
    lab.ctx().task.fatalSignal = true;
    expect(lab.fork(PARENT, CHILD)).toBe(-EINTR);
    lab.ctx().task.fatalSignal = false;
    expect(lab.fork(PARENT, PARENT)).toBe(-EINVAL);
    lab.mapSmall(2, 0, 1);
    expect(lab.fork(PARENT, 2)).toBe(-EBUSY);
    expect(lab.read(2, 0)).toBe(100);
    expect(lab.violations()).toEqual([]);
  });

  it('out of anon_vmas or chain elements: the pools come back whole', () => {
    const lab = new ForkLab({}, { mms: 2, vmasPerMm: 3 });
    lab.mapSmall(PARENT, 0, 1);
    for (let i = 0; i < 40; i++) {
      expect(lab.fork(PARENT, CHILD)).toBe(0);
      lab.run((ctx) => exitMmap(ctx, CHILD));
    }
    expect(lab.violations()).toEqual([]);
  });
});

describe('a process that exits after fork', () => {
  it('leaves the slot for another child, and the pages to who still has them', () => {
    const lab = new ForkLab();
    lab.mapSmall(PARENT, 0, 2);
    lab.fork(PARENT, CHILD);
    const shared = lab.pfn(PARENT, 0);
    lab.run((ctx) => exitMmap(ctx, CHILD), 1);
    expect([lab.refs(shared), lab.maps(shared)]).toEqual([1, 1]);
    lab.write(PARENT, 0, 5);
    expect(lab.pfn(PARENT, 0)).toBe(shared);
    expect(lab.fork(PARENT, CHILD)).toBe(0);
    expect(lab.read(CHILD, 0, 1)).toBe(5);
    lab.run((ctx) => exitMmap(ctx, PARENT));
    lab.write(CHILD, 0, 6, 1);
    expect(lab.pfn(CHILD, 0)).toBe(shared);
    lab.pin(CHILD, 0, FOLL_WRITE, 1);
    lab.run((ctx) => madviseDontneed(ctx, CHILD, 0, 1), 1);
    lab.unpin(shared, 1);
    expect(lab.violations()).toEqual([]);
  });
});

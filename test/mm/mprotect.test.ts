/**
 * mprotect: what the entries become, what is announced, and how it fails (kernel-model 3.17 steps 3 to 7, real-kernels
 * F9).
 */
import { describe, expect, it } from 'vitest';
import {
  EACCES,
  EINVAL,
  ENOMEM,
  FOLL_WRITE,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_PROTECTION_VMA,
  PG_ANON_EXCLUSIVE,
  VM_EXEC,
  VM_FAULT_SIGSEGV,
  VM_HUGEPAGE,
  VM_READ,
  VM_WRITE,
} from '#src/machine/abi.js';
import { REF_TEMP } from '#src/machine/context.js';
import {
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  SWP_YOUNG,
  isHuge,
  isProtnone,
  isTable,
  swapType,
} from '#src/machine/entries.js';
import { MM_MMAP_LOCK, MM_TLB_FLUSH_PENDING, MM_VMA_COUNT, PAGE_FLAGS, mmWord, pageWord } from '#src/machine/layout.js';
import { folioLock } from '#src/locks/exclusive.js';
import { refAdd } from '#src/mm/folio.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { tryToMigrate } from '#src/mm/rmap/migrate.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { findVma, insertVma, vmaEnd, vmaFlags, vmaStart } from '#src/mm/vma/vma.js';
import { mmapWriteLock, mmapWriteUnlock } from '#src/locks/vma-lock.js';
import { audit } from '../helpers/audit.js';
import { MmLab, touch } from '../helpers/mm-lab.js';

const RW = VM_READ | VM_WRITE;
const protect = (lab: MmLab, start: number, end: number, flags: number): number =>
  lab.run((ctx) => mprotect(ctx, 0, start, end, flags));
const vmas = (lab: MmLab): number => lab.word(mmWord(lab.m, 0, MM_VMA_COUNT));

function small(pages = 8): MmLab {
  const lab = new MmLab();
  lab.mapSmall(0, pages);
  return lab;
}

describe('entries', () => {
  it('read-only, and writable again at once where the page is exclusive', () => {
    const lab = small();
    expect(protect(lab, 0, 8, VM_READ)).toBe(0);
    expect(lab.pte(3) & (PTE_PRESENT | PTE_WRITE)).toBe(PTE_PRESENT);
    expect(lab.run((ctx) => touch(ctx, 3, true, 1))).toBe(VM_FAULT_SIGSEGV);
    expect(lab.read(3)).toBe(103);
    lab.set(pageWord(lab.m, lab.pfn(4), PAGE_FLAGS), lab.flags(lab.pfn(4)) & ~PG_ANON_EXCLUSIVE);
    expect(protect(lab, 0, 8, RW)).toBe(0);
    expect(lab.pte(3) & PTE_WRITE).toBe(PTE_WRITE);
    expect(lab.pte(4) & PTE_WRITE).toBe(0);
    expect(vmas(lab)).toBe(1);
  });

  it('PROT_NONE keeps the pages, and no access gets through', () => {
    const lab = small();
    const pfn = lab.pfn(2);
    expect(protect(lab, 0, 8, 0)).toBe(0);
    expect(isProtnone(lab.pte(2))).toBe(true);
    expect(lab.run((ctx) => touch(ctx, 2, false, 0))).toBe(VM_FAULT_SIGSEGV);
    expect(lab.stat('numa_hint_faults')).toBe(0);
    expect(protect(lab, 0, 8, RW)).toBe(0);
    expect(lab.pfn(2)).toBe(pfn);
    expect(lab.read(2)).toBe(102);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a hint is lost to it', () => {
    const lab = small();
    lab.set(lab.pteAt(1), (lab.pte(1) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE);
    protect(lab, 0, 8, VM_READ | VM_EXEC);
    expect(lab.pte(1) & (PTE_PRESENT | PTE_PROTNONE)).toBe(PTE_PRESENT);
  });

  it('the zero page never becomes writable', () => {
    const lab = new MmLab();
    lab.map(0, 4);
    lab.read(1);
    protect(lab, 0, 4, VM_READ);
    protect(lab, 0, 4, RW);
    expect(lab.pte(1) & PTE_WRITE).toBe(0);
    lab.write(1, 7);
    expect(lab.pfn(1)).not.toBe(0);
  });

  it('a writable migration entry becomes readable, its use remembered', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    folioLock(lab.ctx(7), pfn);
    refAdd(lab.ctx(7), pfn, 1, REF_TEMP);
    lab.run((ctx) => tryToMigrate(ctx, pfn, 0), 7);
    expect(swapType(lab.pte(0))).toBe(SWP_MIGRATION_WRITE);
    expect(protect(lab, 0, 8, VM_READ)).toBe(0);
    expect(swapType(lab.pte(0))).toBe(SWP_MIGRATION_READ_EXCLUSIVE);
    expect(lab.pte(0) & SWP_YOUNG).toBe(SWP_YOUNG);
  });

  it('pinned pages are protected like all others, and stay pinned', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    lab.run((ctx) => pinUserPagesFast(ctx, 0, 0, FOLL_WRITE));
    protect(lab, 0, 8, VM_READ);
    expect(lab.pte(0) & PTE_WRITE).toBe(0);
    expect([lab.pfn(0), lab.refs(pfn)]).toEqual([pfn, 1025]);
  });
});

describe('announcements', () => {
  it.each([
    ['the range (v6.12)', 'pud', 0],
    ['its first populated table', 'pmd', 4],
  ] as const)('one for each VMA, over the rest of it from the start of %s on', (_name, protectNotifier, first) => {
    const lab = new MmLab({ rules: { protectNotifier } });
    lab.map(0, 8);
    lab.write(5, 1);
    lab.map(8, 4, VM_HUGEPAGE);
    lab.thp(false);
    lab.write(9, 1);
    lab.probe.entries.length = 0;
    protect(lab, 0, 12, VM_READ);
    expect(lab.probe.starts).toEqual([
      [0, first, 8, MMU_NOTIFY_PROTECTION_VMA],
      [0, 8, 12, MMU_NOTIFY_PROTECTION_VMA],
    ]);
    expect(lab.probe.ends).toBe(2);
  });

  it('nothing changes, nothing is announced', () => {
    const lab = small();
    expect(protect(lab, 0, 8, RW)).toBe(0);
    expect(lab.probe.starts).toEqual([]);
  });

  it('one page of a THP, pinned or not: CLEAR over the whole for the split, PROTECTION_VMA over the page (F9)', () => {
    for (const pinned of [false, true]) {
      const lab = new MmLab();
      lab.mapHuge(0, 8);
      const head = lab.pfn(0);
      if (pinned) lab.run((ctx) => pinUserPagesFast(ctx, 0, 2, FOLL_WRITE));
      expect(lab.refs(head)).toBe(pinned ? 2 : 1);
      expect(protect(lab, 1, 2, VM_READ)).toBe(0);
      expect(lab.probe.starts).toEqual([
        [0, 0, 4, MMU_NOTIFY_CLEAR],
        [0, 1, 2, MMU_NOTIFY_PROTECTION_VMA],
      ]);
      expect([isTable(lab.pmd(0)), isHuge(lab.pmd(4))]).toEqual([true, true]);
      // 1 -> 4 or 2 -> 5, as 1 -> 512 and 2 -> 513 with 512 pages
      expect(lab.refs(head)).toBe(pinned ? 5 : 4);
      expect([0, 1, 2, 3].map((vpn) => lab.pfn(vpn))).toEqual([head, head + 1, head + 2, head + 3]);
      expect([0, 1, 2, 3].map((vpn) => (lab.pte(vpn) & PTE_WRITE) !== 0)).toEqual([true, false, true, true]);
      expect(audit(lab.m, pinned ? { [head]: 1 } : {})).toEqual([]);
    }
  });

  it('a whole THP stays huge', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    protect(lab, 0, 4, VM_READ);
    expect(isHuge(lab.pmd(0))).toBe(true);
    expect(lab.pmd(0) & PTE_WRITE).toBe(0);
    protect(lab, 0, 4, RW);
    expect(lab.pmd(0) & PTE_WRITE).toBe(PTE_WRITE);
    expect(lab.probe.starts).toHaveLength(2);
  });

  it('CPUs are flushed when it returns; with another gather open even if nothing changed', () => {
    const lab = small();
    const pending = mmWord(lab.m, 0, MM_TLB_FLUSH_PENDING);
    protect(lab, 0, 8, VM_READ);
    expect(lab.stat('tlb_flushes')).toBe(1);
    const empty = new MmLab();
    empty.map(0, 4);
    protect(empty, 0, 4, VM_READ);
    expect(empty.stat('tlb_flushes')).toBe(0);
    empty.set(pending, 1);
    protect(empty, 0, 4, RW);
    expect(empty.stat('tlb_flushes')).toBe(1);
    expect(empty.word(pending)).toBe(1);
  });
});

describe('VMAs', () => {
  it('are cut at the ends and joined again', () => {
    const lab = small();
    protect(lab, 2, 5, VM_READ);
    expect(vmas(lab)).toBe(3);
    const middle = findVma(lab.ctx(), 0, 3);
    expect([vmaStart(lab.ctx(), middle), vmaEnd(lab.ctx(), middle)]).toEqual([2, 5]);
    expect(vmaFlags(lab.ctx(), middle) & RW).toBe(VM_READ);
    protect(lab, 2, 5, RW);
    expect(vmas(lab)).toBe(1);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((vpn) => lab.read(vpn))).toEqual([100, 101, 102, 103, 104, 105, 106, 107]);
  });
});

describe('failures', () => {
  it.each([
    ['backwards', 4, 4],
    ['below', -1, 4],
    ['beyond', 0, 1 << 20],
  ])('-EINVAL: %s', (_what, start, end) => {
    expect(protect(small(), start, end, VM_READ)).toBe(-EINVAL);
  });

  it('-ENOMEM at a hole; what comes before it is changed', () => {
    const lab = small(4);
    lab.map(8, 4);
    expect(protect(lab, 2, 10, VM_READ)).toBe(-ENOMEM);
    expect(lab.pte(3) & PTE_WRITE).toBe(0);
    expect(vmaFlags(lab.ctx(), findVma(lab.ctx(), 0, 8)) & RW).toBe(RW);
    expect(lab.word(mmWord(lab.m, 0, MM_MMAP_LOCK))).toBe(0);
  });

  it('-ENOMEM when no VMA is left for the cut', () => {
    const lab = new MmLab({}, { vmasPerMm: 2 });
    lab.map(0, 8);
    expect(protect(lab, 2, 5, VM_READ)).toBe(-ENOMEM);
    expect(lab.word(mmWord(lab.m, 0, MM_MMAP_LOCK))).toBe(0);
  });

  it('-EACCES where memory may never be written', () => {
    const lab = new MmLab();
    lab.run(function* (ctx) {
      yield* mmapWriteLock(ctx, 0);
      yield* insertVma(ctx, 0, 0, 4, VM_READ);
      yield* mmapWriteUnlock(ctx, 0);
    });
    expect(protect(lab, 0, 4, RW)).toBe(-EACCES);
    expect(protect(lab, 0, 4, VM_EXEC)).toBe(0);
  });
});

it('leaves the actor’s mechanism as it was', () => {
  const lab = small();
  lab.ctx().task.mechanism = 3;
  protect(lab, 0, 8, VM_READ);
  expect(lab.ctx().task.mechanism).toBe(3);
});

import { describe, expect, it } from 'vitest';
import {
  EAGAIN,
  EINVAL,
  ENOMEM,
  FAULT_FLAG_WRITE,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_UNMAP,
  VM_HUGEPAGE,
  VM_LOCKED,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { type Context, Probe } from '#src/machine/context.js';
import { EFFECT_READ, EFFECT_RMW } from '#src/machine/effects.js';
import {
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SPECIAL,
  SWP_MIGRATION_WRITE,
  entryPfn,
  isHuge,
  isTable,
  mkEntry,
  mkSwapEntry,
} from '#src/machine/entries.js';
import {
  ANON_VMA_POOL_HEAD,
  KSM_ZERO_PAGES,
  MM_CPUMASK,
  MM_KHUGEPAGED_SLOT,
  MM_KSM_SLOT,
  MM_TLB_FLUSH_PENDING,
  MM_USERS,
  MM_VMA_COUNT,
  NODE_FREE_FRAMES,
  PAGE_CONTENT,
  TABLE_POOL_FREE,
  globalWord,
  mmWord,
  nodeWord,
} from '#src/machine/layout.js';
import { enterAccess, leaveAccess, tlbInsert, tlbLookup, tlbTag } from '#src/machine/tlb.js';
import { mmapReadLock, mmapReadUnlock } from '#src/locks/vma-lock.js';
import { exitMmap } from '#src/mm/exit.js';
import {
  MADV_COLLAPSE,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_UNMERGEABLE,
  madvise,
  madviseDontneed,
} from '#src/mm/madvise/madvise.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { vmaEnd, vmaFlags, vmaStart } from '#src/mm/vma/vma.js';
import { audit } from '../helpers/audit.js';
import { Stepped, runToEnd } from '../helpers/drive.js';
import { ANON, Lab } from './kernel.js';

const WRITE = FAULT_FLAG_WRITE;
const dontneed = (lab: Lab, start: number, end: number): number =>
  runToEnd(madviseDontneed(lab.a, 0, start, end), lab.a);
const unmap = (lab: Lab, start: number, end: number): number => runToEnd(munmap(lab.a, 0, start, end), lab.a);
const fill = (lab: Lab, start: number, end: number): void => {
  for (let vpn = start; vpn < end; vpn++) lab.fault(vpn, WRITE);
};
/** A translation of (mm 0, vpn) in the TLB of actor b's CPU. */
const cache = (lab: Lab, vpn: number, pfn: number): void => {
  const mask = mmWord(lab.m, 0, MM_CPUMASK);
  lab.m.words[mask] = (lab.m.words[mask] as number) | (1 << lab.b.actor);
  enterAccess(lab.b);
  tlbInsert(lab.b, tlbTag(false, 0, vpn), pfn, 3);
  leaveAccess(lab.b);
};
const cached = (lab: Lab, vpn: number): boolean => tlbLookup(lab.b, tlbTag(false, 0, vpn)) !== 0;
const spans = (lab: Lab): number[][] => lab.notified.map((one) => [one.start, one.end, one.event, one.mechanism]);

class Order extends Probe {
  readonly seen: string[] = [];
  override onEntry(_c: Context, _mm: number, _vpn: number, _w: number, _before: number, after: number): void {
    if (after === 0) this.seen.push('cleared');
  }
  override onMap(_c: Context, _mm: number, _vpn: number, _pfn: number, delta: number): void {
    if (delta < 0) this.seen.push('unmapped');
  }
  override onTlbFlushed(): void {
    this.seen.push('flushed');
  }
  override onNotifierEnd(): void {
    this.seen.push('end');
  }
  override onFree(): void {
    this.seen.push('freed');
  }
  override onZapped(_c: Context, _mm: number, start: number, end: number): void {
    this.seen.push(`zapped ${start}..${end}`);
  }
}

describe('MADV_DONTNEED', () => {
  it('clears under the PTL, ends the notifier, flushes, and only then frees', () => {
    const probe = new Order();
    const lab = new Lab({ probe });
    lab.fault(5, WRITE);
    const pfn = entryPfn(lab.pte(5));
    cache(lab, 5, pfn);
    probe.seen.length = 0;
    expect(dontneed(lab, 5, 6)).toBe(0);
    expect(probe.seen).toEqual(['cleared', 'zapped 5..6', 'unmapped', 'end', 'flushed', 'freed', 'zapped 5..6']);
    expect([lab.pte(5), cached(lab, 5), lab.refs(pfn)]).toEqual([0, false, 0]);
    expect(spans(lab)).toEqual([[5, 6, MMU_NOTIFY_CLEAR, MECH.zap]]);
    expect([lab.a.task.mechanism, lab.a.task.heldCount, lab.notifiersOpen()]).toEqual([0, 0, 0]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('does not look at pins: the mapping goes, the page survives by its pin with its content', () => {
    const lab = new Lab();
    lab.fault(5, WRITE);
    const pfn = entryPfn(lab.pte(5));
    lab.setPage(pfn, PAGE_CONTENT, 9);
    lab.pin(pfn);
    dontneed(lab, 5, 6);
    expect([lab.pte(5), lab.refs(pfn), lab.maps(pfn), lab.page(pfn, PAGE_CONTENT)]).toEqual([0, 1024, 0, 9]);
    lab.fault(5, WRITE);
    expect(entryPfn(lab.pte(5))).not.toBe(pfn);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it('drains its own LRU batch, so that the pages can be freed', () => {
    const lab = new Lab({ machine: { lruBatch: 31 } });
    fill(lab, 0, 8);
    dontneed(lab, 0, 8);
    expect(lab.stat('page_frees')).toBe(8);
    expect(audit(lab.m)).toEqual([]);
  });

  it('clears zero pages and migration entries too', () => {
    const lab = new Lab();
    fill(lab, 4, 7);
    const pfn = entryPfn(lab.pte(4));
    lab.setPte(5, (lab.pte(5), mkEntry(0, PTE_PRESENT | PTE_SPECIAL | PTE_DIRTY)));
    lab.m.words[globalWord(lab.m, KSM_ZERO_PAGES)] = 1;
    const kept = lab.pte(6);
    lab.setPte(6, mkSwapEntry(SWP_MIGRATION_WRITE, entryPfn(kept), 0));
    dontneed(lab, 4, 7);
    expect([lab.pte(4), lab.pte(5), lab.pte(6), lab.refs(pfn)]).toEqual([0, 0, 0, 0]);
    expect(lab.m.words[globalWord(lab.m, KSM_ZERO_PAGES)]).toBe(0);
  });

  it('F9: one subpage of a huge page, pinned once: CLEAR over the whole, CLEAR over the page, refs 2 -> 512', () => {
    const lab = new Lab({ machine: { thpOrder: 9, framesPerNode: 2048, mmPages: 1024 }, flags: ANON | VM_HUGEPAGE });
    lab.fault(700, WRITE);
    const head = entryPfn(lab.pmd(700));
    lab.pin(head);
    expect(lab.refs(head)).toBe(2);
    dontneed(lab, 700, 701);
    expect(spans(lab)).toEqual([
      [700, 701, MMU_NOTIFY_CLEAR, MECH.zap],
      [512, 1024, MMU_NOTIFY_CLEAR, MECH.thp_split],
    ]);
    expect([lab.refs(head), lab.largeMaps(head), lab.maps(head + 188), lab.pte(700)]).toEqual([512, 511, 0, 0]);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
    // more pages than a gather holds; the pin keeps the whole folio
    dontneed(lab, 512, 1024);
    expect([lab.refs(head), lab.largeMaps(head), lab.stat('page_frees')]).toEqual([1, 0, 0]);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it('a whole huge page in one step, with its deposited table; the folio is freed with its last reference', () => {
    const lab = new Lab({ flags: ANON | VM_HUGEPAGE });
    const tables = lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)];
    fill(lab, 4, 8);
    const head = entryPfn(lab.pmd(4));
    cache(lab, 6, head + 2);
    dontneed(lab, 4, 8);
    expect([lab.pmd(4), lab.refs(head), lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)]]).toEqual([0, 0, tables]);
    expect([spans(lab).length, cached(lab, 6)]).toEqual([1, false]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a PTE-mapped huge page is freed whole when its last subpage goes', () => {
    const lab = new Lab({ flags: ANON | VM_HUGEPAGE });
    lab.fault(4, WRITE);
    const head = entryPfn(lab.pmd(4));
    for (let vpn = 4; vpn < 8; vpn++) {
      expect(lab.stat('page_frees')).toBe(0);
      dontneed(lab, vpn, vpn + 1);
      expect(lab.refs(head)).toBe(7 - vpn);
      expect(audit(lab.m)).toEqual([]);
    }
    expect(lab.stat('page_frees')).toBe(1);
  });

  it('nested: flushes its range although another gather has cleared the PTE (Z18)', () => {
    const lab = new Lab();
    lab.fault(5, WRITE);
    cache(lab, 5, entryPfn(lab.pte(5)));
    const slow = new Stepped(lab.a, madviseDontneed(lab.a, 0, 4, 8));
    // a has cleared the PTE and stands before its flush
    slow.until(EFFECT_READ, mmWord(lab.m, 0, MM_TLB_FLUSH_PENDING));
    expect([lab.pte(5), cached(lab, 5)]).toEqual([0, true]);
    expect(runToEnd(madviseDontneed(lab.b, 0, 5, 6), lab.b)).toBe(0);
    expect(cached(lab, 5)).toBe(false);
    slow.finish();
    expect(audit(lab.m)).toEqual([]);
  });

  it('several VMAs, under mmap_lock: a hole gives -ENOMEM and the rest is done; a locked VMA -EINVAL', () => {
    const lab = new Lab({ pages: 4 });
    lab.map(6, 4, ANON | VM_NOHUGEPAGE);
    lab.map(12, 2, ANON | VM_LOCKED);
    fill(lab, 0, 4);
    fill(lab, 6, 10);
    expect(dontneed(lab, 2, 8)).toBe(-ENOMEM);
    expect(spans(lab)).toEqual([
      [2, 4, MMU_NOTIFY_CLEAR, MECH.zap],
      [6, 8, MMU_NOTIFY_CLEAR, MECH.zap],
    ]);
    expect([lab.pte(1) !== 0, lab.pte(3), lab.pte(7), lab.pte(8) !== 0]).toEqual([true, 0, 0, true]);
    expect(dontneed(lab, 12, 14)).toBe(-EINVAL);
    expect(dontneed(lab, 9, 14)).toBe(-EINVAL);
    expect(dontneed(lab, 14, 16)).toBe(-ENOMEM);
    expect([lab.a.task.heldCount, audit(lab.m)]).toEqual([0, []]);
  });
});

const advise = (lab: Lab, start: number, end: number, advice: number): number =>
  runToEnd(madvise(lab.a, 0, start, end, advice), lab.a);

describe('madvise flags', () => {
  it('splits VMAs, and huge PMDs at the cuts, sets flags, enters the daemons lists, merges back', () => {
    const lab = new Lab({ flags: ANON | VM_HUGEPAGE });
    lab.fault(4, WRITE);
    expect(advise(lab, 5, 9, MADV_MERGEABLE)).toBe(0);
    expect(isTable(lab.pmd(4))).toBe(true);
    const vma = lab.vma(5);
    expect([vmaStart(lab.a, vma), vmaEnd(lab.a, vma)]).toEqual([5, 9]);
    expect(vmaFlags(lab.a, vma) & VM_MERGEABLE).not.toBe(0);
    expect(lab.m.words[mmWord(lab.m, 0, MM_KSM_SLOT)]).toBe(1);
    expect(advise(lab, 5, 9, MADV_UNMERGEABLE)).toBe(0);
    expect([vmaStart(lab.a, lab.vma(5)), vmaEnd(lab.a, lab.vma(5))]).toEqual([0, lab.m.mmPages]);
    expect(advise(lab, 0, 4, MADV_NOHUGEPAGE)).toBe(0);
    expect(vmaFlags(lab.a, lab.vma(0)) & (VM_HUGEPAGE | VM_NOHUGEPAGE)).toBe(VM_NOHUGEPAGE);
    expect(advise(lab, 0, 4, MADV_HUGEPAGE)).toBe(0);
    expect(lab.m.words[mmWord(lab.m, 0, MM_KHUGEPAGED_SLOT)]).toBe(1);
    expect([advise(lab, 3, 2, MADV_DONTNEED), advise(lab, 2, 3, 99), advise(lab, 2, 2, 99)]).toEqual([
      -EINVAL,
      -EINVAL,
      0,
    ]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('MADV_COLLAPSE: whole huge pages; -EAGAIN with a pinned page among them', () => {
    const lab = new Lab();
    fill(lab, 4, 12);
    const pinned = entryPfn(lab.pte(9));
    lab.pin(pinned);
    expect(advise(lab, 3, 12, MADV_COLLAPSE)).toBe(-EAGAIN);
    expect([isHuge(lab.pmd(4)), isHuge(lab.pmd(8)), lab.notified.length]).toEqual([true, false, 1]);
    expect(audit(lab.m, { [pinned]: 1024 })).toEqual([]);
  });
});

describe('munmap', () => {
  it('cuts the VMA, zaps under one UNMAP notifier, frees what it may, keeps what is pinned', () => {
    const lab = new Lab();
    const free = lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)] as number;
    fill(lab, 0, 16);
    const pinned = entryPfn(lab.pte(9));
    cache(lab, 9, pinned);
    lab.pin(pinned);
    expect(unmap(lab, 3, 13)).toBe(0);
    // each cut goes through a range that one table maps, and which the VMA covered whole: announced as if it were a huge page
    expect(spans(lab)).toEqual([
      [0, 4, MMU_NOTIFY_CLEAR, MECH.thp_split],
      [12, 16, MMU_NOTIFY_CLEAR, MECH.thp_split],
      [3, 13, MMU_NOTIFY_UNMAP, MECH.zap],
    ]);
    expect([lab.vma(2) >= 0, lab.vma(3), lab.vma(12), lab.vma(13) >= 0]).toEqual([true, -1, -1, true]);
    // the tables of [4, 12) went; those of the ends are in use
    expect([isTable(lab.pmd(0)), lab.pmd(4), lab.pmd(8), isTable(lab.pmd(12))]).toEqual([true, 0, 0, true]);
    expect(lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)]).toBe(free - 2);
    expect([cached(lab, 9), lab.stat('ipis')]).toEqual([false, 1]);
    expect(lab.fault(5, WRITE)).not.toBe(0);
    expect(audit(lab.m, { [pinned]: 1024 })).toEqual([]);
    expect(unmap(lab, 3, 13)).toBe(0);
    expect(unmap(lab, 13, 13)).toBe(-EINVAL);
  });

  it('F9: one subpage of a huge page: CLEAR over the whole, UNMAP of the page', () => {
    const lab = new Lab({ flags: ANON | VM_HUGEPAGE });
    lab.fault(5, WRITE);
    expect(unmap(lab, 6, 7)).toBe(0);
    expect(spans(lab)).toEqual([
      [4, 8, MMU_NOTIFY_CLEAR, MECH.thp_split],
      [6, 7, MMU_NOTIFY_UNMAP, MECH.zap],
    ]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('-ENOMEM when no VMA is left for the cuts; nothing is unmapped or announced', () => {
    const lab = new Lab({ machine: { vmasPerMm: 2 } });
    fill(lab, 0, 16);
    expect(unmap(lab, 3, 5)).toBe(-ENOMEM);
    expect([lab.pte(3) !== 0, lab.notified]).toEqual([true, []]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('keeps faults out: one that comes meanwhile waits for mmap_lock and finds nothing', () => {
    const lab = new Lab();
    fill(lab, 4, 8);
    const going = new Stepped(lab.a, munmap(lab.a, 0, 4, 8));
    // the VMA is write-locked, nothing is zapped yet
    going.until(EFFECT_RMW, mmWord(lab.m, 0, MM_TLB_FLUSH_PENDING));
    const fault = new Stepped(lab.b, doUserAddrFault(lab.b, 0, 5, WRITE));
    expect(fault.runOn()).toBe(false);
    expect(going.finish()).toBe(0);
    expect(fault.finish()).not.toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });
});

describe('exit_mmap', () => {
  it('leaves nothing but what is pinned', () => {
    const lab = new Lab({ machine: { lruBatch: 31, pcpBatch: 1 }, pages: 8, flags: ANON | VM_HUGEPAGE | VM_MERGEABLE });
    const free = [0, 1].map((node) => lab.m.words[nodeWord(lab.m, node, NODE_FREE_FRAMES)] as number);
    const tables = lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)];
    const anonVmas = lab.m.words[globalWord(lab.m, ANON_VMA_POOL_HEAD)];
    lab.map(8, 8, ANON);
    fill(lab, 0, 4);
    fill(lab, 8, 13);
    lab.fault(14, 0);
    const pinned = entryPfn(lab.pte(9));
    lab.pin(pinned);
    lab.a.task.mechanism = 0;
    runToEnd(exitMmap(lab.a, 0), lab.a);
    expect(spans(lab)).toEqual([[0, 16, MMU_NOTIFY_UNMAP, MECH.teardown]]);
    for (const word of [MM_USERS, MM_VMA_COUNT, MM_KSM_SLOT, MM_KHUGEPAGED_SLOT, MM_TLB_FLUSH_PENDING]) {
      expect(lab.m.words[mmWord(lab.m, 0, word)]).toBe(0);
    }
    expect([0, 1].map((node) => lab.m.words[nodeWord(lab.m, node, NODE_FREE_FRAMES)] as number)).toEqual([
      (free[0] as number) - 1,
      free[1],
    ]);
    expect(lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)]).toBe(tables);
    expect(lab.m.words[globalWord(lab.m, ANON_VMA_POOL_HEAD)]).not.toBe(0);
    expect([lab.a.task.heldCount, anonVmas !== 0]).toEqual([0, true]);
    expect(audit(lab.m, { [pinned]: 1024 })).toEqual([]);
  });

  it('waits for whoever is inside under mmap_lock before it frees VMAs', () => {
    const lab = new Lab();
    fill(lab, 0, 4);
    runToEnd(mmapReadLock(lab.b, 0), lab.b);
    const exit = new Stepped(lab.a, exitMmap(lab.a, 0));
    expect(exit.runOn()).toBe(false);
    expect(lab.m.words[mmWord(lab.m, 0, MM_VMA_COUNT)]).toBe(1);
    runToEnd(mmapReadUnlock(lab.b, 0), lab.b);
    exit.finish();
    expect(lab.m.words[mmWord(lab.m, 0, MM_VMA_COUNT)]).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });
});

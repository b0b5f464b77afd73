import { describe, expect, it } from 'vitest';
import {
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  FAULT_FLAG_PIN_ALLOC,
  MAPPING_ANON,
  PG_ANON_EXCLUSIVE,
  PG_LRU,
  PG_SWAPBACKED,
  PG_UNPINNABLE_ZONE,
  PG_UPTODATE,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  VM_MAYWRITE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from '#src/machine/abi.js';
import { EFFECT_ACQUIRE, EFFECT_READ } from '#src/machine/effects.js';
import {
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_HWPOISON,
  SWP_MARKER,
  SWP_MIGRATION_WRITE,
  SWP_SWAP,
  entryPfn,
  isTable,
  mkEntry,
  mkSwapEntry,
} from '#src/machine/entries.js';
import {
  ANON_VMA_POOL_HEAD,
  MMF_OOM_UNSTABLE,
  MM_FLAGS,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_INDEX,
  PAGE_MAPPING,
  VMA_ANON_VMA,
  globalWord,
  mmWord,
  ptlOf,
  vmaWord,
} from '#src/machine/layout.js';
import { TLB_WRITABLE, enterAccess, leaveAccess, tlbInsert, tlbLookup, tlbTag } from '#src/machine/tlb.js';
import { folioTrylock, folioUnlock } from '#src/locks/exclusive.js';
import { mmapLockWord, mmapWriteLock, mmapWriteUnlock } from '#src/locks/vma-lock.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { lruAddDrain } from '#src/mm/swap.js';
import { audit } from '../helpers/audit.js';
import { Stepped, runToEnd } from '../helpers/drive.js';
import { ANON, Lab } from './kernel.js';

const WRITE = FAULT_FLAG_WRITE;

describe('do_anonymous_page', () => {
  it('maps a zeroed, exclusive, writable page on a write, without a notifier', () => {
    const lab = new Lab();
    expect(lab.fault(3, WRITE)).toBe(0);
    const pfn = entryPfn(lab.pte(3));
    expect(lab.pte(3)).toBe(mkEntry(pfn, PTE_PRESENT | PTE_YOUNG | PTE_WRITE | PTE_DIRTY));
    expect([lab.refs(pfn), lab.maps(pfn), lab.page(pfn, PAGE_CONTENT), lab.page(pfn, PAGE_INDEX)]).toEqual([
      1, 1, 0, 3,
    ]);
    expect(lab.flags(pfn)).toBe(PG_ANON_EXCLUSIVE | PG_SWAPBACKED | PG_UPTODATE | PG_LRU);
    const anonVma = lab.m.words[vmaWord(lab.m, lab.vma(3), VMA_ANON_VMA)] as number;
    expect(lab.page(pfn, PAGE_MAPPING)).toBe((anonVma << 2) | MAPPING_ANON);
    expect(lab.notified).toEqual([]);
    expect(lab.stat('faults')).toBe(1);
    expect(audit(lab.m)).toEqual([]);
  });

  it('maps the zero page on a read, without refs or maps', () => {
    const lab = new Lab();
    const before = lab.refs(0);
    expect(lab.fault(3, 0)).toBe(0);
    expect(lab.pte(3)).toBe(mkEntry(0, PTE_PRESENT | PTE_SPECIAL | PTE_YOUNG));
    expect([lab.refs(0), lab.maps(0)]).toEqual([before, 0]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('takes memory of the faulting CPU, and only pinnable frames for FOLL_LONGTERM', () => {
    const lab = new Lab();
    expect(runToEnd(doUserAddrFault(lab.b, 0, 1, WRITE), lab.b)).toBe(0);
    expect(entryPfn(lab.pte(1))).toBeGreaterThanOrEqual(lab.m.framesPerNode);
    // all of node 0 but its first block is ZONE_MOVABLE
    for (let pfn = lab.m.thpPages; pfn < lab.m.framesPerNode; pfn++) {
      lab.setPage(pfn, PAGE_FLAGS, lab.flags(pfn) | PG_UNPINNABLE_ZONE);
    }
    const flags = WRITE | FAULT_FLAG_REMOTE | FAULT_FLAG_PIN_ALLOC;
    for (let vpn = 4; vpn < 8; vpn++) runToEnd(lab.a.kernel.handleMmFault(lab.a, 0, lab.vma(vpn), vpn, flags), lab.a);
    for (let vpn = 4; vpn < 8; vpn++) expect(lab.flags(entryPfn(lab.pte(vpn))) & PG_UNPINNABLE_ZONE).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('waits in its CPU LRU batch with a second reference', () => {
    const lab = new Lab({ machine: { lruBatch: 31 } });
    lab.fault(3, WRITE);
    const pfn = entryPfn(lab.pte(3));
    expect([lab.refs(pfn), lab.flags(pfn) & PG_LRU]).toEqual([2, 0]);
    expect(audit(lab.m)).toEqual([]);
    runToEnd(lruAddDrain(lab.a), lab.a);
    expect([lab.refs(pfn), lab.flags(pfn) & PG_LRU]).toEqual([1, PG_LRU]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('is read-only where the VMA does not allow writing (a forced write through GUP)', () => {
    const lab = new Lab({ flags: VM_READ | VM_MAYWRITE });
    const vma = lab.vma(2);
    expect(runToEnd(lab.a.kernel.handleMmFault(lab.a, 0, vma, 2, WRITE | FAULT_FLAG_REMOTE), lab.a)).toBe(0);
    expect(lab.pte(2) & (PTE_WRITE | PTE_PRESENT)).toBe(PTE_PRESENT);
    expect(lab.flags(entryPfn(lab.pte(2))) & PG_ANON_EXCLUSIVE).not.toBe(0);
  });
});

describe('failure exits of an anonymous fault', () => {
  it('SIGSEGV: no VMA, no permission, unsharing a shared mapping', () => {
    const lab = new Lab({ pages: 4, flags: VM_READ });
    lab.map(4, 2, 0);
    lab.map(8, 2, VM_READ | VM_WRITE | VM_SHARED);
    expect(lab.fault(1, WRITE)).toBe(VM_FAULT_SIGSEGV);
    expect(lab.fault(4, 0)).toBe(VM_FAULT_SIGSEGV);
    expect(lab.fault(7, 0)).toBe(VM_FAULT_SIGSEGV);
    expect(lab.fault(lab.m.mmPages, 0)).toBe(VM_FAULT_SIGSEGV);
    const unshare = FAULT_FLAG_UNSHARE | FAULT_FLAG_REMOTE;
    expect(runToEnd(lab.a.kernel.handleMmFault(lab.a, 0, lab.vma(8), 8, unshare), lab.a)).toBe(VM_FAULT_SIGSEGV);
    // a file mapping without a fault handler
    expect(lab.fault(8, WRITE)).toBe(VM_FAULT_SIGBUS);
    expect(audit(lab.m)).toEqual([]);
  });

  it.each([
    [1, 'PTE table'],
    [2, 'page'],
  ])('OOM when allocation %i (the %s) fails', (nth) => {
    const lab = new Lab();
    lab.a.task.failAllocation = nth;
    expect(lab.fault(3, WRITE)).toBe(VM_FAULT_OOM);
    expect(lab.stat('enomem')).toBe(1);
    expect(audit(lab.m)).toEqual([]);
    expect(lab.fault(3, WRITE)).toBe(0);
  });

  it('OOM when no anon_vma is left', () => {
    const lab = new Lab();
    lab.m.words[globalWord(lab.m, ANON_VMA_POOL_HEAD)] = 0;
    expect(lab.fault(3, WRITE)).toBe(VM_FAULT_OOM);
    expect(audit(lab.m)).toEqual([]);
  });

  it.each([WRITE, 0])('SIGBUS in an address space that the OOM reaper has been in (flags %i)', (flags) => {
    const lab = new Lab();
    lab.m.words[mmWord(lab.m, 0, MM_FLAGS)] = MMF_OOM_UNSTABLE;
    expect(lab.fault(3, flags)).toBe(VM_FAULT_SIGBUS);
    expect([lab.pte(3), lab.stat('sigbus')]).toEqual([0, 1]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('gives its page back when somebody else was first (pte_same)', () => {
    const lab = new Lab();
    lab.fault(2, WRITE);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 3, WRITE));
    late.until(EFFECT_ACQUIRE, ptlOf(lab.m, entryPfn(lab.pmd(3))));
    expect(runToEnd(doUserAddrFault(lab.b, 0, 3, WRITE), lab.b)).toBe(0);
    const winner = lab.pte(3);
    expect(late.finish()).toBe(0);
    expect(lab.pte(3)).toBe(winner);
    expect(lab.stat('page_frees')).toBe(1);
    expect(audit(lab.m)).toEqual([]);
  });

  it('leaves the zero page alone when a write was first', () => {
    const lab = new Lab();
    lab.fault(2, WRITE);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 3, 0));
    late.until(EFFECT_ACQUIRE, ptlOf(lab.m, entryPfn(lab.pmd(3))));
    runToEnd(doUserAddrFault(lab.b, 0, 3, WRITE), lab.b);
    const winner = lab.pte(3);
    expect(late.finish()).toBe(0);
    expect(lab.pte(3)).toBe(winner);
  });

  it('RETRY: the first write of a VMA wants mmap_lock, which a writer has', () => {
    const lab = new Lab();
    lab.fault(3, 0);
    runToEnd(mmapWriteLock(lab.b, 0), lab.b);
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 2, WRITE));
    expect(fault.runOn()).toBe(false);
    expect(fault.effect >>> 4).toBe(mmapLockWord(lab.a, 0));
    expect(lab.a.task.heldCount).toBe(0);
    runToEnd(mmapWriteUnlock(lab.b, 0), lab.b);
    expect(fault.finish()).toBe(0);
    expect(lab.pte(2) & PTE_WRITE).not.toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('RETRY with a fatal signal: the access does not happen', () => {
    const lab = new Lab();
    runToEnd(mmapWriteLock(lab.b, 0), lab.b);
    // only the VMA lock's retry looks at the signal, so the VMA must have been lockable
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 2, WRITE));
    lab.a.task.fatalSignal = true;
    expect(fault.runOn()).toBe(true);
    expect([fault.result, lab.a.task.heldCount]).toEqual([0, 0]);
    expect(lab.pmd(2) === 0 || lab.pte(2) === 0).toBe(true);
  });
});

describe('faults on entries that are not none', () => {
  it('spurious: a write to a writable page drops this CPU stale translation', () => {
    const lab = new Lab();
    lab.fault(3, WRITE);
    const pfn = entryPfn(lab.pte(3));
    enterAccess(lab.a);
    tlbInsert(lab.a, tlbTag(false, 0, 3), pfn, 0);
    leaveAccess(lab.a);
    expect(lab.fault(3, WRITE)).toBe(0);
    expect(tlbLookup(lab.a, tlbTag(false, 0, 3))).toBe(0);
    expect(TLB_WRITABLE).toBe(1);
  });

  it('sets young and dirty where the hardware has not', () => {
    const lab = new Lab();
    lab.fault(3, WRITE);
    const full = lab.pte(3);
    lab.setPte(3, full & ~(PTE_YOUNG | PTE_DIRTY));
    lab.fault(3, 0);
    expect(lab.pte(3)).toBe(full & ~PTE_DIRTY);
    lab.fault(3, WRITE);
    expect(lab.pte(3)).toBe(full);
  });

  it('waits for the folio lock at a migration entry, holding the VMA lock but no spinlock', () => {
    const lab = new Lab();
    lab.fault(3, WRITE);
    const pte = lab.pte(3);
    lab.setPte(3, mkSwapEntry(SWP_MIGRATION_WRITE, entryPfn(pte), 0));
    expect(folioTrylock(lab.b, entryPfn(pte))).toBe(true);
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 3, WRITE));
    expect(fault.runOn()).toBe(false);
    expect([lab.a.cpu.preemptCount, lab.a.task.heldCount]).toEqual([0, 1]);
    lab.setPte(3, pte);
    folioUnlock(lab.b, entryPfn(pte));
    expect(fault.finish()).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('looks again when the migration has ended before it could queue', () => {
    const lab = new Lab();
    lab.fault(3, WRITE);
    const pte = lab.pte(3);
    lab.setPte(3, mkSwapEntry(SWP_MIGRATION_WRITE, entryPfn(pte), 0));
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 3, WRITE));
    fault.until(EFFECT_ACQUIRE, ptlOf(lab.m, entryPfn(lab.pmd(3))));
    lab.setPte(3, pte);
    expect(fault.finish()).toBe(0);
  });

  it('reports poison, guard pages and what only swap could bring back', () => {
    const lab = new Lab();
    lab.fault(3, 0);
    for (const [type, result] of [
      [SWP_HWPOISON, VM_FAULT_HWPOISON],
      [SWP_MARKER, VM_FAULT_SIGSEGV],
      [SWP_SWAP, VM_FAULT_SIGBUS],
    ] as const) {
      lab.setPte(3, mkSwapEntry(type, 5, 0));
      expect(lab.fault(3, WRITE)).toBe(result);
    }
    lab.setPte(3, 0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('goes back when the PTE changed between the look and the lock', () => {
    const lab = new Lab();
    lab.fault(3, 0);
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, 3, WRITE));
    fault.until(EFFECT_READ, lab.pteAt(3));
    fault.step();
    const other = runToEnd(doUserAddrFault(lab.b, 0, 3, WRITE), lab.b);
    const now = lab.pte(3);
    expect([other, fault.finish(), lab.pte(3)]).toEqual([0, 0, now]);
    expect(lab.stat('wp_copies')).toBe(1);
    expect(isTable(lab.pmd(3))).toBe(true);
    expect(audit(lab.m)).toEqual([]);
    expect(ANON).not.toBe(0);
  });
});

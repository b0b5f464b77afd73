import { describe, expect, it } from 'vitest';
import { FAULT_FLAG_WRITE, MMU_NOTIFY_CLEAR, PG_LRU, VM_HUGEPAGE, VM_NUMA_BOUND } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { EFFECT_ACQUIRE } from '#src/machine/effects.js';
import {
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_WRITE,
  PTE_YOUNG,
  entryPfn,
  isHuge,
  isProtnone,
} from '#src/machine/entries.js';
import { PAGE_CONTENT, PAGE_CPUPID, PAGE_FLAGS, pmdLockOf, pmdWord, ptlOf } from '#src/machine/layout.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { audit } from '../helpers/audit.js';
import { Stepped, runToEnd } from '../helpers/drive.js';
import { ANON, Lab } from './kernel.js';

/** Actor a stands on node 0, actor b on node 1. Pages are first touched by b here, so that they lie on node 1. */
const VPN = 5;
const nodeOf = (lab: Lab, pfn: number): number => (pfn / lab.m.framesPerNode) | 0;

function hintedPage(lab: Lab): number {
  runToEnd(doUserAddrFault(lab.b, 0, VPN, FAULT_FLAG_WRITE), lab.b);
  const pfn = entryPfn(lab.pte(VPN));
  lab.setPage(pfn, PAGE_CONTENT, 42);
  lab.setPte(VPN, (lab.pte(VPN) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE);
  return pfn;
}

function hintedThp(lab: Lab): number {
  runToEnd(doUserAddrFault(lab.b, 0, VPN, FAULT_FLAG_WRITE), lab.b);
  const head = entryPfn(lab.pmd(VPN));
  expect(isHuge(lab.pmd(VPN))).toBe(true);
  lab.m.words[pmdWord(lab.m, 0, VPN)] = (lab.pmd(VPN) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE;
  return head;
}

const restored = PTE_PRESENT | PTE_YOUNG | PTE_WRITE | PTE_DIRTY;

describe('do_numa_page', () => {
  it('moves a misplaced page to the node that touches it', () => {
    const lab = new Lab();
    const pfn = hintedPage(lab);
    expect(lab.fault(VPN, 0)).toBe(0);
    const now = entryPfn(lab.pte(VPN));
    expect([nodeOf(lab, pfn), nodeOf(lab, now), lab.page(now, PAGE_CONTENT)]).toEqual([1, 0, 42]);
    expect(lab.notified).toEqual([{ start: VPN, end: VPN + 1, event: MMU_NOTIFY_CLEAR, mechanism: MECH.numa_migrate }]);
    expect(lab.stat('numa_hint_faults')).toBe(1);
    expect(audit(lab.m)).toEqual([]);
  });

  it.each([
    ['the page is where it should be', (lab: Lab) => lab.b],
    ['the policy forbids it', (lab: Lab) => lab.a],
  ])('restores the PTE without a notifier when %s', (what, who) => {
    const lab = new Lab({ flags: ANON | (what.startsWith('the policy') ? VM_NUMA_BOUND : 0) });
    const pfn = hintedPage(lab);
    const ctx = who(lab);
    expect(runToEnd(doUserAddrFault(ctx, 0, VPN, 0), ctx)).toBe(0);
    expect(entryPfn(lab.pte(VPN))).toBe(pfn);
    expect(lab.pte(VPN) & 31).toBe(restored);
    expect(lab.notified).toEqual([]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('two-stage filter: a page last touched from elsewhere moves only at the second touch', () => {
    const lab = new Lab();
    const pfn = hintedPage(lab);
    lab.setPage(pfn, PAGE_CPUPID, lab.b.actor + 1);
    lab.fault(VPN, 0);
    expect(entryPfn(lab.pte(VPN))).toBe(pfn);
    lab.setPte(VPN, (lab.pte(VPN) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE);
    lab.fault(VPN, 0);
    expect(nodeOf(lab, entryPfn(lab.pte(VPN)))).toBe(0);
  });

  it('MIGRATE_FAIL: a page that somebody has isolated, or a node nearly full, is only restored', () => {
    const isolated = new Lab();
    const pfn = hintedPage(isolated);
    isolated.setPage(pfn, PAGE_FLAGS, isolated.flags(pfn) & ~PG_LRU);
    isolated.fault(VPN, 0);
    expect([entryPfn(isolated.pte(VPN)), isolated.pte(VPN) & 31, isolated.notified]).toEqual([pfn, restored, []]);

    const full = new Lab({ machine: { framesPerNode: 8, mmPages: 32 } });
    const there = hintedPage(full);
    let vpn = 8;
    while (nodeOf(full, entryPfn(full.pmd(vpn) === 0 ? 0 : full.pte(vpn))) === 0 && vpn < 15)
      full.fault(vpn++, FAULT_FLAG_WRITE);
    full.fault(VPN, 0);
    expect([entryPfn(full.pte(VPN)), full.notified]).toEqual([there, []]);
  });

  it('a pinned page costs ten notifier pairs and is restored, writable, where it was', () => {
    const lab = new Lab();
    const pfn = hintedPage(lab);
    lab.pin(pfn);
    expect(lab.fault(VPN, 0)).toBe(0);
    expect([entryPfn(lab.pte(VPN)), lab.pte(VPN) & 31, lab.notified.length]).toEqual([pfn, restored, 10]);
    expect(lab.flags(pfn) & PG_LRU).not.toBe(0);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it('a FOLL_GET reference fails in the move phase, after one pair, and the entry is a normal one already', () => {
    const lab = new Lab();
    const pfn = hintedPage(lab);
    lab.get(pfn);
    expect(lab.fault(VPN, 0)).toBe(0);
    expect([entryPfn(lab.pte(VPN)), lab.notified.length]).toEqual([pfn, 1]);
    expect(isProtnone(lab.pte(VPN))).toBe(false);
    expect(audit(lab.m, { [pfn]: 1 })).toEqual([]);
  });

  it('counts nothing when the hint has gone before the lock (Z53)', () => {
    const lab = new Lab();
    hintedPage(lab);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, 0));
    late.until(EFFECT_ACQUIRE, ptlOf(lab.m, entryPfn(lab.pmd(VPN))));
    runToEnd(doUserAddrFault(lab.b, 0, VPN, 0), lab.b);
    late.finish();
    expect(lab.stat('numa_hint_faults')).toBe(1);
  });
});

const huge = (): Lab => new Lab({ flags: ANON | VM_HUGEPAGE });

describe('do_huge_pmd_numa_page', () => {
  it('moves the whole folio', () => {
    const lab = huge();
    const head = hintedThp(lab);
    expect(lab.fault(VPN, 0)).toBe(0);
    const now = entryPfn(lab.pmd(VPN));
    expect([nodeOf(lab, head), nodeOf(lab, now), isHuge(lab.pmd(VPN)), isProtnone(lab.pmd(VPN))]).toEqual([
      1,
      0,
      true,
      false,
    ]);
    expect(lab.notified.length).toBe(1);
    expect(audit(lab.m)).toEqual([]);
  });

  it('F7: a pinned one costs ten pairs per hint fault and is restored', () => {
    const lab = huge();
    const head = hintedThp(lab);
    lab.pin(head);
    expect(lab.fault(VPN, 0)).toBe(0);
    expect([entryPfn(lab.pmd(VPN)), lab.pmd(VPN) & 31, lab.notified.length]).toEqual([head, restored, 10]);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it('goes back when the PMD changed before the lock', () => {
    const lab = huge();
    hintedThp(lab);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, 0));
    late.until(EFFECT_ACQUIRE, pmdLockOf(lab.m, 0, VPN));
    runToEnd(doUserAddrFault(lab.b, 0, VPN, 0), lab.b);
    const now = lab.pmd(VPN);
    late.finish();
    expect([lab.pmd(VPN), lab.stat('numa_hint_faults')]).toEqual([now, 1]);
  });
});

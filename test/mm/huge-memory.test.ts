import { describe, expect, it } from 'vitest';
import {
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  PG_LRU,
  PG_SWAPBACKED,
  PG_UPTODATE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_HUGEPAGE,
  VM_NOHUGEPAGE,
  VM_READ,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import type { KernelRules } from '#src/machine/context.js';
import { EFFECT_ACQUIRE } from '#src/machine/effects.js';
import {
  PMD_HUGE,
  PMD_INVALID,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_DIRTY,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  entryPfn,
  isHuge,
  isTable,
  mkEntry,
  mkSwapEntry,
  swapType,
} from '#src/machine/entries.js';
import {
  MMF_OOM_UNSTABLE,
  MM_FLAGS,
  MM_KHUGEPAGED_SLOT,
  PAGE_CONTENT,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  TABLE_POOL_FREE,
  THP_ENABLED,
  THP_USE_ZERO_PAGE,
  depositWord,
  globalWord,
  mmWord,
  pmdLockOf,
  pmdWord,
} from '#src/machine/layout.js';
import { folioLockWord, folioTrylock, folioUnlock } from '#src/locks/exclusive.js';
import { changeHugePmd } from '#src/mm/huge_memory/huge-memory.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { audit } from '../helpers/audit.js';
import { Stepped, runToEnd } from '../helpers/drive.js';
import { ANON, Lab } from './kernel.js';

const WRITE = FAULT_FLAG_WRITE;
/** Order 2: the huge page of VPN is [4, 8). */
const VPN = 5;

const thpLab = (rules: Partial<KernelRules> = {}): Lab => new Lab({ flags: ANON | VM_HUGEPAGE, kernel: { rules } });
const setPmd = (lab: Lab, pmd: number): void => {
  lab.m.words[pmdWord(lab.m, 0, VPN)] = pmd;
};
const tablesFree = (lab: Lab): number => lab.m.words[globalWord(lab.m, TABLE_POOL_FREE)] as number;

/** A huge page at VPN, mapped read-only. */
function readOnlyThp(lab: Lab, exclusive: boolean): number {
  lab.fault(VPN, WRITE);
  const head = entryPfn(lab.pmd(VPN));
  setPmd(lab, lab.pmd(VPN) & ~PTE_WRITE);
  if (!exclusive) lab.setPage(head, PAGE_FLAGS, lab.flags(head) & ~PG_ANON_EXCLUSIVE);
  lab.notified.length = 0;
  return head;
}

describe('do_huge_pmd_anonymous_page', () => {
  it('maps a zeroed huge page: refs 1, entire mapcount 1, exclusive on the head, a table deposited', () => {
    const lab = thpLab();
    const free = tablesFree(lab);
    expect(lab.fault(VPN, WRITE)).toBe(0);
    const head = entryPfn(lab.pmd(VPN));
    expect(lab.pmd(VPN)).toBe(mkEntry(head, PMD_HUGE | PTE_PRESENT | PTE_YOUNG | PTE_DIRTY | PTE_WRITE));
    expect(head & (lab.m.thpPages - 1)).toBe(0);
    expect([lab.refs(head), lab.page(head, PAGE_ENTIRE_MAPS), lab.largeMaps(head), lab.maps(head)]).toEqual([
      1, 1, 1, 0,
    ]);
    expect(lab.flags(head)).toBe(PG_ANON_EXCLUSIVE | PG_SWAPBACKED | PG_UPTODATE | PG_LRU);
    expect(lab.flags(head + 1) & PG_ANON_EXCLUSIVE).toBe(0);
    expect(lab.m.words[depositWord(lab.m, 0, VPN)]).not.toBe(0);
    expect(tablesFree(lab)).toBe(free - 1);
    expect(lab.m.words[mmWord(lab.m, 0, MM_KHUGEPAGED_SLOT)]).toBe(1);
    expect([lab.notified, lab.stat('thp_faults')]).toEqual([[], 1]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('is for VMAs that allow it, whole huge pages, and where it is enabled', () => {
    const madvise = new Lab();
    madvise.fault(VPN, WRITE);
    expect(isTable(madvise.pmd(VPN))).toBe(true);
    const always = new Lab();
    always.m.words[globalWord(always.m, THP_ENABLED)] = 2;
    always.fault(VPN, WRITE);
    expect(isHuge(always.pmd(VPN))).toBe(true);
    const no = new Lab({ flags: ANON | VM_NOHUGEPAGE });
    no.m.words[globalWord(no.m, THP_ENABLED)] = 2;
    no.fault(VPN, WRITE);
    expect(isTable(no.pmd(VPN))).toBe(true);
    const never = thpLab();
    never.m.words[globalWord(never.m, THP_ENABLED)] = 0;
    never.fault(VPN, WRITE);
    expect(isTable(never.pmd(VPN))).toBe(true);
    const partial = new Lab({ start: 5, pages: 6, flags: ANON | VM_HUGEPAGE });
    partial.fault(VPN, WRITE);
    expect(isTable(partial.pmd(VPN))).toBe(true);
  });

  it('falls back to a small page when no huge page can be had', () => {
    const lab = thpLab();
    lab.a.task.failAllocation = 1;
    expect(lab.fault(VPN, WRITE)).toBe(0);
    expect([isTable(lab.pmd(VPN)), lab.refs(entryPfn(lab.pte(VPN)))]).toEqual([true, 1]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('OOM when the table to deposit cannot be had; SIGBUS where the OOM reaper has been', () => {
    const lab = thpLab();
    lab.a.task.failAllocation = 2;
    expect([lab.fault(VPN, WRITE), lab.pmd(VPN)]).toEqual([VM_FAULT_OOM, 0]);
    expect(audit(lab.m)).toEqual([]);
    const free = tablesFree(lab);
    lab.m.words[mmWord(lab.m, 0, MM_FLAGS)] = MMF_OOM_UNSTABLE;
    expect([lab.fault(VPN, WRITE), lab.pmd(VPN), tablesFree(lab)]).toEqual([VM_FAULT_SIGBUS, 0, free]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('releases its page and table when the PMD is none no more', () => {
    const lab = thpLab();
    // the first fault makes the anon_vma
    lab.fault(9, WRITE);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, WRITE));
    late.until(EFFECT_ACQUIRE, pmdLockOf(lab.m, 0, VPN));
    runToEnd(doUserAddrFault(lab.b, 0, VPN, WRITE), lab.b);
    const winner = lab.pmd(VPN);
    const free = tablesFree(lab);
    expect(late.finish()).toBe(0);
    expect([lab.pmd(VPN), tablesFree(lab)]).toEqual([winner, free + 1]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('maps the huge zero page on a read, if that is on', () => {
    const lab = thpLab();
    lab.m.words[globalWord(lab.m, THP_USE_ZERO_PAGE)] = 1;
    expect(lab.fault(VPN, 0)).toBe(0);
    expect(lab.pmd(VPN)).toBe(mkEntry(0, PMD_HUGE | PTE_PRESENT | PTE_SPECIAL | PTE_YOUNG));
    expect(audit(lab.m)).toEqual([]);
  });

  it('huge_pmd_set_accessed: young and dirty where the hardware has not', () => {
    const lab = thpLab();
    lab.fault(VPN, WRITE);
    const full = lab.pmd(VPN);
    setPmd(lab, full & ~(PTE_YOUNG | PTE_DIRTY));
    lab.fault(VPN, WRITE);
    expect(lab.pmd(VPN)).toBe(full);
  });
});

const zeroLab = (): Lab => {
  const lab = thpLab();
  lab.m.words[globalWord(lab.m, THP_USE_ZERO_PAGE)] = 1;
  lab.fault(VPN, 0);
  return lab;
};

describe('do_huge_pmd_wp_page', () => {
  it('reuses an exclusive huge page, pinned or not, without a notifier', () => {
    const lab = thpLab();
    const head = readOnlyThp(lab, true);
    lab.pin(head);
    expect(lab.fault(VPN, WRITE)).toBe(0);
    expect(lab.pmd(VPN)).toBe(mkEntry(head, PMD_HUGE | PTE_PRESENT | PTE_YOUNG | PTE_DIRTY | PTE_WRITE));
    expect([lab.notified, lab.stat('wp_reuses')]).toEqual([[], 1]);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it.each([
    ['v5.19', false, 0, true],
    ['v5.19', false, 1, false],
    ['v5.9', true, 1, false],
    ['v5.8', true, 1, true],
  ] as const)(
    '%s: exclusive %s with %i other references: reused %s, else split',
    (wpReuse, exclusive, gets, reused) => {
      const lab = thpLab({ wpReuse });
      const head = readOnlyThp(lab, exclusive);
      if (gets > 0) lab.get(head);
      expect(lab.fault(VPN, WRITE)).toBe(0);
      expect(isHuge(lab.pmd(VPN))).toBe(reused);
      if (!reused) {
        expect(lab.notified.map((one) => [one.start, one.end, one.mechanism])).toEqual([
          [4, 8, MECH.thp_split],
          ...(entryPfn(lab.pte(VPN)) === head + 1 ? [] : [[VPN, VPN + 1, MECH.wp_fault]]),
        ]);
        expect(lab.pte(VPN) & PTE_WRITE).not.toBe(0);
      }
      expect(audit(lab.m, { [head]: gets })).toEqual([]);
    },
  );

  it('waits for the folio lock without the PMD lock, and looks again', () => {
    const lab = thpLab();
    const head = readOnlyThp(lab, false);
    expect(folioTrylock(lab.b, head)).toBe(true);
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, WRITE));
    expect(fault.runOn()).toBe(false);
    expect([fault.effect >>> 4, lab.a.cpu.preemptCount, lab.refs(head)]).toEqual([folioLockWord(lab.a, head), 0, 2]);
    folioUnlock(lab.b, head);
    expect(fault.finish()).toBe(0);
    expect([isHuge(lab.pmd(VPN)), lab.flags(head) & PG_ANON_EXCLUSIVE]).toEqual([true, PG_ANON_EXCLUSIVE]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('gives up when the PMD changed while it waited', () => {
    const lab = thpLab();
    const head = readOnlyThp(lab, false);
    folioTrylock(lab.b, head);
    const fault = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, WRITE));
    fault.runOn();
    setPmd(lab, lab.pmd(VPN) & ~PTE_YOUNG);
    const now = lab.pmd(VPN);
    folioUnlock(lab.b, head);
    expect([fault.finish(), lab.pmd(VPN)]).toEqual([0, now]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('unsharing makes it exclusive and leaves it read-only', () => {
    const lab = thpLab();
    const head = readOnlyThp(lab, false);
    const before = lab.pmd(VPN);
    const flags = FAULT_FLAG_UNSHARE | FAULT_FLAG_REMOTE;
    expect(runToEnd(lab.a.kernel.handleMmFault(lab.a, 0, lab.vma(VPN), VPN, flags), lab.a)).toBe(0);
    expect([lab.pmd(VPN), lab.flags(head) & PG_ANON_EXCLUSIVE]).toEqual([before, PG_ANON_EXCLUSIVE]);
  });

  describe('over the huge zero page', () => {
    it('maps a huge page of zeros, with a notifier over the whole of it', () => {
      const lab = zeroLab();
      expect(lab.fault(VPN, WRITE)).toBe(0);
      expect(lab.notified).toEqual([{ start: 4, end: 8, event: MMU_NOTIFY_CLEAR, mechanism: MECH.wp_fault }]);
      const head = entryPfn(lab.pmd(VPN));
      expect([isHuge(lab.pmd(VPN)), lab.refs(head), lab.page(head + 3, PAGE_CONTENT)]).toEqual([true, 1, 0]);
      expect(audit(lab.m)).toEqual([]);
    });

    it('splits it when no huge page can be had: zero PTEs, and a copy of one', () => {
      const lab = zeroLab();
      lab.a.task.failAllocation = 1;
      expect(lab.fault(VPN, WRITE)).toBe(0);
      expect(lab.notified.map((one) => [one.start, one.end])).toEqual([
        [4, 8],
        [VPN, VPN + 1],
      ]);
      expect(entryPfn(lab.pte(VPN))).not.toBe(0);
      for (const vpn of [4, 6, 7]) expect(lab.pte(vpn)).toBe(mkEntry(0, PTE_PRESENT | PTE_SPECIAL | PTE_YOUNG));
      expect(audit(lab.m)).toEqual([]);
    });

    it('throws its page away when another write was first', () => {
      const lab = zeroLab();
      const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, WRITE));
      late.until(EFFECT_ACQUIRE, pmdLockOf(lab.m, 0, VPN));
      runToEnd(doUserAddrFault(lab.b, 0, VPN, WRITE), lab.b);
      const winner = lab.pmd(VPN);
      expect([late.finish(), lab.pmd(VPN), lab.notifiersOpen()]).toEqual([0, winner, 0]);
      expect(audit(lab.m)).toEqual([]);
    });
  });
});

const change = (lab: Lab, flags: number, numa: boolean): number =>
  runToEnd(changeHugePmd(lab.a, 0, lab.vma(VPN), VPN, flags, numa), lab.a);

describe('change_huge_pmd', () => {
  it('makes a hint of it, pinned or not, through 6.18', () => {
    const lab = thpLab();
    lab.fault(VPN, WRITE);
    const head = entryPfn(lab.pmd(VPN));
    lab.pin(head);
    expect(change(lab, 0, true)).toBe(lab.m.thpPages);
    expect(lab.pmd(VPN)).toBe(mkEntry(head, PMD_HUGE | PTE_PROTNONE | PTE_YOUNG | PTE_DIRTY));
    expect(change(lab, 0, true)).toBe(1);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it('v6.19 leaves a pinned one alone', () => {
    const lab = thpLab({ numaBusy: 'v6.19' });
    lab.fault(VPN, WRITE);
    const head = entryPfn(lab.pmd(VPN));
    lab.pin(head);
    const before = lab.pmd(VPN);
    expect([change(lab, 0, true), lab.pmd(VPN)]).toEqual([1, before]);
  });

  it('goes through present-but-invalid, never through none', () => {
    const lab = thpLab();
    lab.fault(VPN, WRITE);
    const seen = new Set<number>();
    const one = new Stepped(lab.a, changeHugePmd(lab.a, 0, lab.vma(VPN), VPN, 0, true));
    while (one.step()) seen.add(lab.pmd(VPN) & (PMD_INVALID | PTE_PRESENT | PTE_PROTNONE));
    expect([...seen]).toEqual([PMD_HUGE | PTE_PRESENT, PMD_INVALID | PTE_PRESENT, PMD_HUGE | PTE_PROTNONE]);
  });

  it('mprotect: read-only, and writable again since it is exclusive', () => {
    const lab = thpLab();
    lab.fault(VPN, WRITE);
    const before = lab.pmd(VPN);
    expect(change(lab, VM_READ, false)).toBe(lab.m.thpPages);
    expect(lab.pmd(VPN)).toBe(before & ~PTE_WRITE);
    expect(change(lab, ANON, false)).toBe(lab.m.thpPages);
    expect(lab.pmd(VPN)).toBe(before);
    expect(change(lab, 0, false)).toBe(lab.m.thpPages);
    expect(lab.pmd(VPN)).toBe((before & ~(PTE_WRITE | PTE_PRESENT)) | PTE_PROTNONE);
  });

  it('leaves zero pages to the scan, small pages to the caller, and makes migration entries readable', () => {
    const zero = thpLab();
    zero.m.words[globalWord(zero.m, THP_USE_ZERO_PAGE)] = 1;
    zero.fault(VPN, 0);
    expect(change(zero, 0, true)).toBe(1);
    const small = new Lab();
    small.fault(VPN, WRITE);
    expect(change(small, 0, true)).toBe(0);
    const moving = thpLab();
    moving.fault(VPN, WRITE);
    setPmd(moving, mkSwapEntry(SWP_MIGRATION_WRITE, entryPfn(moving.pmd(VPN)), PMD_HUGE | SWP_DIRTY));
    expect(change(moving, 0, true)).toBe(1);
    expect(swapType(moving.pmd(VPN))).toBe(SWP_MIGRATION_WRITE);
    expect(change(moving, VM_READ, false)).toBe(1);
    expect(swapType(moving.pmd(VPN))).toBe(SWP_MIGRATION_READ_EXCLUSIVE);
    expect(moving.pmd(VPN) & (PMD_HUGE | SWP_DIRTY)).toBe(PMD_HUGE | SWP_DIRTY);
  });
});

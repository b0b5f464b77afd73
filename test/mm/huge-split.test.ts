import { describe, expect, it } from 'vitest';
import {
  EAGAIN,
  EBUSY,
  EINVAL,
  FAULT_FLAG_WRITE,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_LRU,
  PG_SWAPBACKED,
  PG_UPTODATE,
  PG_WRITEBACK,
  VM_HUGEPAGE,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import type { KernelRules } from '#src/machine/context.js';
import { EFFECT_RMW } from '#src/machine/effects.js';
import {
  PMD_HUGE,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  entryPfn,
  isHuge,
  isMigrationEntry,
  isSpecial,
  isTable,
  mkEntry,
  mkSwapEntry,
  swapType,
} from '#src/machine/entries.js';
import {
  PAGE_COMPOUND,
  PAGE_CONTENT,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_INDEX,
  PAGE_LOCK,
  PAGE_MAPPING,
  PAGE_PINCOUNT,
  PAGE_REFS,
  THP_USE_ZERO_PAGE,
  globalWord,
  pageWord,
  pmdLockOf,
  pmdWord,
} from '#src/machine/layout.js';
import { STATS_MECHANISMS_AT } from '#src/machine/stats.js';
import { LOCK_PMD } from '#src/locks/classes.js';
import { folioTrylock, folioUnlock, spinLock, spinUnlock } from '#src/locks/exclusive.js';
import { holds } from '#src/locks/held.js';
import { splitHugePmdLocked } from '#src/mm/huge_memory/split.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { audit } from '../helpers/audit.js';
import { Stepped, runToEnd } from '../helpers/drive.js';
import { ANON, Lab } from './kernel.js';

const WRITE = FAULT_FLAG_WRITE;

function thpLab(thpOrder: number, rules: Partial<KernelRules> = {}): { lab: Lab; head: number } {
  const pages = 1 << thpOrder;
  const lab = new Lab({
    machine: { thpOrder, framesPerNode: 4 * pages, mmPages: 4 * pages },
    flags: ANON | VM_HUGEPAGE,
    kernel: { rules },
  });
  lab.fault(pages + 1, WRITE);
  const head = entryPfn(lab.pmd(pages + 1));
  expect(isHuge(lab.pmd(pages + 1))).toBe(true);
  for (let i = 0; i < pages; i++) lab.setPage(head + i, PAGE_CONTENT, 100 + i);
  return { lab, head };
}

const split = (lab: Lab, vpn: number): void => runToEnd(lab.a.kernel.splitHugePmd(lab.a, 0, lab.vma(vpn), vpn), lab.a);

const freeze = (lab: Lab): boolean => {
  const lock = pmdLockOf(lab.m, 0, 5);
  spinLock(lab.a, lock, LOCK_PMD);
  const frozen = runToEnd(splitHugePmdLocked(lab.a, 0, lab.vma(5), 5, true), lab.a);
  spinUnlock(lab.a, lock, LOCK_PMD);
  return frozen;
};

/** What the caller brings: the folio lock and one reference. */
const hold = (lab: Lab, head: number): void => {
  lab.get(head);
  expect(folioTrylock(lab.a, head)).toBe(true);
};
const letGo = (lab: Lab, pfn: number): void => {
  folioUnlock(lab.a, pfn);
  lab.setPage(pfn, PAGE_REFS, lab.refs(pfn) - 1);
};

describe('split_huge_pmd', () => {
  // F9, on real kernels: refs of the head 1 -> 512, or 2 -> 513 with one pin; the folio stays one folio
  it.each([
    [0, 1, 512],
    [1, 2, 513],
  ])('order 9, %i pins: refs of the head %i -> %i, one notifier pair over 2 MiB', (pins, before, after) => {
    const { lab, head } = thpLab(9);
    for (let i = 0; i < pins; i++) lab.pin(head);
    expect(lab.refs(head)).toBe(before);
    lab.a.task.mechanism = MECH.mprotect;
    split(lab, 700);
    expect(lab.refs(head)).toBe(after);
    expect([lab.largeMaps(head), lab.page(head, PAGE_ENTIRE_MAPS), lab.page(head, PAGE_PINCOUNT)]).toEqual([
      512,
      0,
      pins,
    ]);
    expect(lab.page(head, PAGE_COMPOUND)).not.toBe(0);
    expect(lab.notified).toEqual([{ start: 512, end: 1024, event: MMU_NOTIFY_CLEAR, mechanism: MECH.thp_split }]);
    expect([lab.a.task.mechanism, lab.notifiersOpen()]).toEqual([MECH.mprotect, 0]);
    const bits = PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY;
    for (let i = 0; i < 512; i++) {
      expect(lab.pte(512 + i)).toBe(mkEntry(head + i, bits));
      expect(lab.flags(head + i) & PG_ANON_EXCLUSIVE).not.toBe(0);
      expect(lab.maps(head + i)).toBe(1);
    }
    expect(lab.flags(head) & PG_DIRTY).not.toBe(0);
    expect(audit(lab.m, { [head]: pins })).toEqual([]);
  });

  it('does not hand a NUMA hint on, and keeps read-only read-only', () => {
    const { lab, head } = thpLab(2);
    lab.m.words[pmdWord(lab.m, 0, 5)] = mkEntry(head, PMD_HUGE | PTE_PROTNONE | PTE_YOUNG);
    split(lab, 5);
    expect(lab.pte(5)).toBe(mkEntry(head + 1, PTE_PRESENT | PTE_YOUNG));
    expect(audit(lab.m)).toEqual([]);
  });

  it('sends its pair also when nothing is huge any more', () => {
    const { lab } = thpLab(2);
    split(lab, 5);
    split(lab, 6);
    expect(lab.notified.length).toBe(2);
    expect(audit(lab.m)).toEqual([]);
  });

  it('the huge zero page becomes zero PTEs', () => {
    const lab = new Lab({ flags: ANON | VM_HUGEPAGE });
    lab.m.words[globalWord(lab.m, THP_USE_ZERO_PAGE)] = 1;
    lab.fault(5, 0);
    split(lab, 5);
    for (let vpn = 4; vpn < 8; vpn++) expect(lab.pte(vpn)).toBe(mkEntry(0, PTE_PRESENT | PTE_SPECIAL | PTE_YOUNG));
    expect(audit(lab.m)).toEqual([]);
  });

  it('a huge migration entry becomes small ones of its kind', () => {
    const { lab, head } = thpLab(2);
    const before = lab.pmd(5);
    lab.m.words[pmdWord(lab.m, 0, 5)] = mkSwapEntry(SWP_MIGRATION_READ_EXCLUSIVE, head, PMD_HUGE);
    split(lab, 5);
    expect(isTable(lab.pmd(5))).toBe(true);
    for (let i = 0; i < 4; i++) {
      expect([swapType(lab.pte(4 + i)), entryPfn(lab.pte(4 + i))]).toEqual([SWP_MIGRATION_READ_EXCLUSIVE, head + i]);
    }
    expect(before).not.toBe(0);
  });

  describe('with freeze', () => {
    it('installs migration entries, which hold neither maps nor references', () => {
      const { lab, head } = thpLab(2);
      lab.get(head);
      expect(freeze(lab)).toBe(true);
      for (let i = 0; i < 4; i++) {
        expect([swapType(lab.pte(4 + i)), entryPfn(lab.pte(4 + i))]).toEqual([SWP_MIGRATION_WRITE, head + i]);
      }
      expect([lab.refs(head), lab.largeMaps(head), lab.flags(head) & PG_ANON_EXCLUSIVE]).toEqual([1, 0, 0]);
      expect(audit(lab.m, { [head]: 1 })).toEqual([]);
    });

    it('falls back to PTEs when the folio is exclusive and pinned', () => {
      const { lab, head } = thpLab(2);
      lab.pin(head);
      expect(freeze(lab)).toBe(false);
      expect([lab.refs(head), lab.largeMaps(head)]).toEqual([5, 4]);
      for (let i = 0; i < 4; i++) expect(lab.flags(head + i) & PG_ANON_EXCLUSIVE).not.toBe(0);
      expect(audit(lab.m, { [head]: 1 })).toEqual([]);
    });
  });
});

describe('split_huge_page', () => {
  it.each([
    [2, 0],
    [2, 3],
    [9, 17],
  ])('order %i: every page becomes a folio; the caller keeps lock and reference of subpage %i', (order, sub) => {
    const { lab, head } = thpLab(order);
    const pages = lab.m.thpPages;
    const mapping = lab.page(head, PAGE_MAPPING);
    hold(lab, head);
    expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head + sub), lab.a)).toBe(0);
    expect(holds(lab.a, pageWord(lab.m, head + sub, PAGE_LOCK))).toBe(true);
    expect([lab.a.task.heldCount, lab.a.cpu.irqsOff, lab.a.cpu.preemptCount]).toEqual([1, false, 0]);
    expect(lab.notified.length).toBe(1);
    for (let i = 0; i < pages; i++) {
      const pfn = head + i;
      expect(lab.page(pfn, PAGE_COMPOUND)).toBe(0);
      expect([lab.refs(pfn), lab.maps(pfn), lab.page(pfn, PAGE_INDEX)]).toEqual([i === sub ? 2 : 1, 1, pages + i]);
      expect([lab.page(pfn, PAGE_MAPPING), lab.page(pfn, PAGE_CONTENT)]).toEqual([mapping, 100 + i]);
      expect(lab.flags(pfn)).toBe(PG_ANON_EXCLUSIVE | PG_SWAPBACKED | PG_UPTODATE | PG_LRU | PG_DIRTY);
      expect(lab.pte(pages + i)).toBe(mkEntry(pfn, PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY));
    }
    expect([lab.stat('thp_split_pages'), lab.stat('thp_split_page_failed')]).toEqual([1, 0]);
    letGo(lab, head + sub);
    expect(audit(lab.m)).toEqual([]);
  });

  it('two notifier pairs through 6.15, one since', () => {
    for (const splitNotifierPairs of [1, 2] as const) {
      const { lab, head } = thpLab(2, { splitNotifierPairs });
      hold(lab, head);
      expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head), lab.a)).toBe(0);
      expect(lab.notified.map((one) => [one.start, one.end, one.mechanism])).toEqual(
        Array.from({ length: splitNotifierPairs }, () => [4, 8, MECH.thp_split]),
      );
      letGo(lab, head);
      expect(audit(lab.m)).toEqual([]);
    }
  });

  it('pages of zeros become the zero page, and are freed', () => {
    const { lab, head } = thpLab(2);
    lab.setPage(head + 1, PAGE_CONTENT, 0);
    lab.setPage(head + 3, PAGE_CONTENT, 0);
    hold(lab, head);
    expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head + 3), lab.a)).toBe(0);
    expect([isSpecial(lab.pte(5)), isSpecial(lab.pte(7)), isSpecial(lab.pte(6))]).toEqual([true, true, false]);
    // the caller's own page stays his, unmapped
    expect([lab.refs(head + 1), lab.refs(head + 3), lab.maps(head + 3)]).toEqual([0, 1, 0]);
    folioUnlock(lab.a, head + 3);
    expect(audit(lab.m, { [head + 3]: 1 })).toEqual([]);
  });

  it('F5: a pinned THP is refused early, without a notifier, and nothing is touched', () => {
    const { lab, head } = thpLab(9);
    lab.pin(head);
    hold(lab, head);
    const before = lab.pmd(513);
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head + attempt), lab.a)).toBe(-EAGAIN);
      expect(lab.stat('thp_split_page_failed')).toBe(attempt);
    }
    expect([lab.pmd(513), lab.notified]).toEqual([before, []]);
    // backed_out of thp_split
    expect(lab.m.words[lab.a.statsAt + STATS_MECHANISMS_AT + MECH.thp_split * 8 + 5]).toBe(3);
    letGo(lab, head);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it.each(['pin', 'get'] as const)(
    'a %s that slips in after the early check: -EAGAIN, one pair, mapped by PTEs',
    (how) => {
      const { lab, head } = thpLab(2);
      hold(lab, head);
      const one = new Stepped(lab.a, lab.a.kernel.splitHugePage(lab.a, head));
      // pmdp_invalidate comes after the early check and before the pin test
      one.until(EFFECT_RMW, pmdWord(lab.m, 0, 5));
      lab[how](head);
      expect(one.finish()).toBe(-EAGAIN);
      expect(lab.notified.length).toBe(1);
      expect(isTable(lab.pmd(5))).toBe(true);
      for (let i = 0; i < 4; i++) {
        expect(isMigrationEntry(lab.pte(4 + i))).toBe(false);
        expect([entryPfn(lab.pte(4 + i)), lab.flags(head + i) & PG_ANON_EXCLUSIVE]).toEqual([
          head + i,
          PG_ANON_EXCLUSIVE,
        ]);
      }
      expect([lab.refs(head), lab.page(head, PAGE_COMPOUND) !== 0]).toEqual([6, true]);
      letGo(lab, head);
      expect(audit(lab.m, { [head]: 1 })).toEqual([]);
    },
  );

  it('splits a folio that is mapped by PTEs already, some of them gone', () => {
    const { lab, head } = thpLab(2);
    runToEnd(madviseDontneed(lab.a, 0, 6, 7), lab.a);
    lab.notified.length = 0;
    hold(lab, head);
    expect(lab.refs(head)).toBe(4);
    expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head + 1), lab.a)).toBe(0);
    // nobody mapped it, so the split freed it
    expect(lab.refs(head + 2)).toBe(0);
    expect(lab.notified.length).toBe(1);
    letGo(lab, head + 1);
    expect(audit(lab.m)).toEqual([]);
  });

  it('-EBUSY under writeback or when nothing maps it; -EINVAL for a small page', () => {
    const { lab, head } = thpLab(2);
    hold(lab, head);
    lab.setPage(head, PAGE_FLAGS, lab.flags(head) | PG_WRITEBACK);
    expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head), lab.a)).toBe(-EBUSY);
    lab.setPage(head, PAGE_FLAGS, lab.flags(head) & ~PG_WRITEBACK);
    runToEnd(madviseDontneed(lab.b, 0, 4, 8), lab.b);
    expect(runToEnd(lab.a.kernel.splitHugePage(lab.a, head), lab.a)).toBe(-EBUSY);
    folioUnlock(lab.a, head);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
    const small = new Lab();
    small.fault(5, WRITE);
    const pfn = entryPfn(small.pte(5));
    hold(small, pfn);
    expect(runToEnd(small.a.kernel.splitHugePage(small.a, pfn), small.a)).toBe(-EINVAL);
    letGo(small, pfn);
    expect([small.stat('thp_split_page_failed'), audit(small.m)]).toEqual([1, []]);
  });
});

/** GUP-fast: what it takes without a lock, and each moment at which it gives it back (kernel-model 3.10.3). */
import { describe, expect, it } from 'vitest';
import {
  FOLL_FAST_ONLY,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  PG_ANON_EXCLUSIVE,
  PG_UNPINNABLE_ZONE,
} from '#src/machine/abi.js';
import { EFFECT_READ, EFFECT_RMW } from '#src/machine/effects.js';
import { PMD_TABLE, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG, entryPfn, isHuge } from '#src/machine/entries.js';
import {
  CPU_IRQS_OFF,
  MMF_HAS_PINNED,
  MM_FLAGS,
  MM_WRITE_PROTECT_SEQ,
  PAGE_COMPOUND,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_PINCOUNT,
  PAGE_REFS,
  cpuWord,
  mmWord,
  pageWord,
  pmdWord,
} from '#src/machine/layout.js';
import { gupFast } from '#src/mm/gup/fast.js';
import { NO_PAGE } from '#src/mm/gup/follow.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { tlbRemoveTableSyncOne } from '#src/mm/khugepaged/khugepaged.js';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab } from '../helpers/mm-lab.js';

const fast = (lab: MmLab, vpn: number, flags: number): number => lab.run((ctx) => gupFast(ctx, 0, vpn, flags));
const start = (lab: MmLab, vpn: number, flags: number): Stepped<number> =>
  new Stepped(lab.ctx(0), gupFast(lab.ctx(0), 0, vpn, flags));
const irqs = (lab: MmLab): number => cpuWord(lab.m, 0, CPU_IRQS_OFF);
const seqAt = (lab: MmLab): number => mmWord(lab.m, 0, MM_WRITE_PROTECT_SEQ);

function small(flags = 0): MmLab {
  const lab = new MmLab();
  lab.mapSmall(0, 2, flags);
  return lab;
}

describe('success', () => {
  it('FOLL_GET: one reference, no lock, interrupts on again', () => {
    const lab = small();
    expect(fast(lab, 1, FOLL_GET | FOLL_WRITE)).toBe(lab.pfn(1));
    expect(lab.refs(lab.pfn(1))).toBe(2);
    expect(lab.probe.pinned).toEqual([]);
    expect(lab.word(irqs(lab))).toBe(0);
    expect(lab.ctx().cpu.irqsOff).toBe(false);
    expect(lab.stat('faults')).toBe(2);
  });

  it('FOLL_PIN: 1024 references, first one and then 1023', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    const refs = pageWord(lab.m, pfn, PAGE_REFS);
    const gup = start(lab, 0, FOLL_PIN | FOLL_WRITE);
    gup.until(EFFECT_RMW, refs);
    gup.step();
    expect(lab.refs(pfn)).toBe(2);
    gup.until(EFFECT_RMW, refs);
    gup.step();
    expect(lab.refs(pfn)).toBe(1025);
    expect(lab.probe.pinned).toEqual([]);
    expect(gup.finish()).toBe(pfn);
    expect(lab.probe.pinned).toEqual([[0, 0, pfn]]);
    expect(lab.word(mmWord(lab.m, 0, MM_FLAGS)) & MMF_HAS_PINNED).toBe(MMF_HAS_PINNED);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it('a huge leaf: a reference and a pin of the head, the subpage is returned', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    expect(fast(lab, 2, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM)).toBe(head + 2);
    expect([lab.refs(head), lab.pins(head)]).toEqual([2, 1]);
    expect(isHuge(lab.pmd(0))).toBe(true);
  });
});

/** The fast path of this page leaves everything as it was. */
function refused(lab: MmLab, flags = FOLL_PIN | FOLL_WRITE, vpn = 0): void {
  const pfn = lab.pfn(0);
  const before = lab.refs(pfn);
  expect(fast(lab, vpn, flags)).toBe(NO_PAGE);
  expect(lab.refs(pfn)).toBe(before);
  expect(lab.word(irqs(lab))).toBe(0);
  expect(lab.stat('pin_failures')).toBe(0);
}

describe('it goes slow, with nothing taken, when', () => {
  it('fork is write-protecting', () => {
    const lab = small();
    lab.set(seqAt(lab), 1);
    refused(lab);
    expect(fast(lab, 0, FOLL_GET)).toBe(lab.pfn(0));
  });

  it('nothing is mapped', () => {
    const lab = small();
    expect(fast(lab, 3, FOLL_PIN)).toBe(NO_PAGE);
    expect(fast(lab, 8, FOLL_PIN)).toBe(NO_PAGE);
    expect(fast(lab, 1 << 20, FOLL_PIN)).toBe(NO_PAGE);
  });

  it('the entry is a hint, read-only for a writer, the zero page, or not valid', () => {
    const lab = small();
    lab.set(lab.pteAt(0), (lab.pte(0) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE);
    refused(lab, FOLL_PIN);
    const other = small();
    other.set(other.pteAt(0), other.pte(0) & ~PTE_WRITE);
    refused(other);
    const zero = new MmLab();
    zero.map(0, 1);
    zero.read(0);
    expect(fast(zero, 0, FOLL_PIN)).toBe(NO_PAGE);
    const huge = new MmLab();
    huge.mapHuge(0, 4);
    huge.set(pmdWord(huge.m, 0, 0), huge.pmd(0) | PMD_TABLE);
    expect(fast(huge, 0, FOLL_PIN)).toBe(NO_PAGE);
  });

  it('the folio is frozen', () => {
    const lab = small();
    lab.set(pageWord(lab.m, lab.pfn(0), PAGE_REFS), 0);
    refused(lab);
  });

  it('the zone may not be pinned for long', () => {
    const lab = small();
    const flags = pageWord(lab.m, lab.pfn(0), PAGE_FLAGS);
    lab.set(flags, lab.word(flags) | PG_UNPINNABLE_ZONE);
    refused(lab, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM);
    expect(fast(lab, 0, FOLL_PIN | FOLL_WRITE)).toBe(lab.pfn(0));
  });

  it('a read-only pin would have to be unshared', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_ANON_EXCLUSIVE);
    lab.set(lab.pteAt(0), lab.pte(0) & ~PTE_WRITE);
    refused(lab, FOLL_PIN);
    expect(fast(lab, 0, FOLL_GET)).toBe(lab.pfn(0));
  });

  it('the folio is not anonymous', () => {
    const lab = small();
    lab.set(pageWord(lab.m, lab.pfn(0), PAGE_MAPPING), 0);
    refused(lab);
  });
});

describe('races: what it took goes back when', () => {
  it('the PTE changes between its first and its second look, the young bit included', () => {
    for (const change of [0, PTE_YOUNG] as const) {
      const lab = small();
      const pfn = lab.pfn(0);
      const pteAt = lab.pteAt(0);
      lab.set(pteAt, lab.pte(0) & ~PTE_YOUNG);
      const gup = start(lab, 0, FOLL_PIN | FOLL_WRITE);
      gup.until(EFFECT_RMW, pageWord(lab.m, pfn, PAGE_REFS));
      const pte = lab.word(pteAt);
      lab.set(pteAt, change === 0 ? 0 : pte | change);
      expect(gup.finish()).toBe(NO_PAGE);
      lab.set(pteAt, pte);
      expect(audit(lab.m)).toEqual([]);
      expect(lab.probe.pinned).toEqual([]);
    }
  });

  it('khugepaged clears the PMD: the PTE alone would not tell (Z04)', () => {
    const lab = small();
    const pmdAt = pmdWord(lab.m, 0, 0);
    const pmd = lab.word(pmdAt);
    const gup = start(lab, 0, FOLL_PIN | FOLL_WRITE);
    gup.until(EFFECT_RMW, pageWord(lab.m, lab.pfn(0), PAGE_REFS));
    lab.set(pmdAt, 0);
    expect(gup.finish()).toBe(NO_PAGE);
    lab.set(pmdAt, pmd);
    expect(audit(lab.m)).toEqual([]);
  });

  it('fork begins and ends meanwhile: the sequence has changed', () => {
    const lab = small();
    const gup = start(lab, 0, FOLL_PIN | FOLL_WRITE);
    gup.until(EFFECT_RMW, irqs(lab));
    expect(lab.refs(lab.pfn(0))).toBe(1025);
    lab.set(seqAt(lab), 2);
    expect(gup.finish()).toBe(NO_PAGE);
    expect(audit(lab.m)).toEqual([]);
  });

  it('the page becomes the tail of another folio under the trial reference: it is put, and tried again', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    const compoundAt = pageWord(lab.m, pfn, PAGE_COMPOUND);
    const gup = start(lab, 0, FOLL_GET);
    gup.until(EFFECT_RMW, pageWord(lab.m, pfn, PAGE_REFS));
    gup.step();
    expect(lab.refs(pfn)).toBe(2);
    expect(gup.effect).toBe((compoundAt << 4) | EFFECT_READ);
    lab.set(compoundAt, (1 << 31) | (pfn + 1));
    gup.step();
    gup.step();
    expect(lab.refs(pfn)).toBe(1);
    lab.set(compoundAt, 0);
    expect(gup.finish()).toBe(pfn);
    expect(lab.refs(pfn)).toBe(2);
  });

  it('a huge page: the pin is taken back from both counts', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    const pmdAt = pmdWord(lab.m, 0, 0);
    const pmd = lab.word(pmdAt);
    const gup = start(lab, 1, FOLL_PIN | FOLL_WRITE);
    gup.until(EFFECT_RMW, pageWord(lab.m, head, PAGE_PINCOUNT));
    lab.set(pmdAt, pmd | PMD_TABLE);
    expect(gup.finish()).toBe(NO_PAGE);
    lab.set(pmdAt, pmd);
    expect([lab.refs(head), lab.pins(head)]).toEqual([1, 0]);
  });
});

describe('LK10', () => {
  it('tlb_remove_table_sync_one waits for the section that it met, and not for the next one', () => {
    const lab = small();
    const gup = start(lab, 0, FOLL_GET);
    gup.until(EFFECT_READ, pmdWord(lab.m, 0, 0));
    expect(lab.word(irqs(lab))).not.toBe(0);
    expect(lab.ctx(0).cpu.irqsOff).toBe(true);
    const sync = new Stepped(lab.ctx(1), tlbRemoveTableSyncOne(lab.ctx(1)));
    expect(sync.runOn()).toBe(false);
    expect(gup.finish()).toBe(lab.pfn(0));
    // another section begins before the waiter looks again
    const next = start(lab, 1, FOLL_GET);
    next.until(EFFECT_READ, pmdWord(lab.m, 0, 0));
    expect(lab.word(irqs(lab))).not.toBe(0);
    expect(sync.runOn()).toBe(true);
    expect(next.finish()).toBe(lab.pfn(1));
  });
});

describe('pin_user_pages_fast', () => {
  it('falls back to the slow path, unless FOLL_FAST_ONLY', () => {
    const lab = small();
    lab.map(4, 1);
    expect(lab.run((ctx) => pinUserPagesFast(ctx, 0, 4, FOLL_WRITE | FOLL_FAST_ONLY))).toBe(NO_PAGE);
    const pfn = lab.run((ctx) => pinUserPagesFast(ctx, 0, 4, FOLL_WRITE));
    expect(lab.refs(pfn)).toBe(1025);
    expect(entryPfn(lab.pte(4))).toBe(pfn);
    expect([lab.stat('pins'), lab.stat('pin_failures')]).toEqual([1, 0]);
    expect(lab.ctx().task.heldCount).toBe(0);
  });
});

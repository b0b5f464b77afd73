/** The NUMA scan: what it scans, what it skips by which kernel's rule, and what it announces (kernel-model 3.17). */
import { describe, expect, it } from 'vitest';
import {
  FOLL_GET,
  FOLL_WRITE,
  MAPPING_KSM,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_PROTECTION_VMA,
  PG_ANON_EXCLUSIVE,
  PG_MAYBE_SHARED,
  VM_IO,
  VM_MIXEDMAP,
  VM_NUMA_BOUND,
  VM_PFNMAP,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import type { KernelRules } from '#src/machine/context.js';
import { EFFECT_RMW } from '#src/machine/effects.js';
import { PTE_DIRTY, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG, isProtnone, isTable } from '#src/machine/entries.js';
import {
  MMF_EXITING,
  MM_FLAGS,
  MM_NUMA_NEXT_SCAN,
  MM_NUMA_SCAN_OFFSET,
  MM_NUMA_SCAN_SEQ,
  MM_TLB_FLUSH_PENDING,
  MM_USERS,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_MAPS,
  mmWord,
  pageWord,
} from '#src/machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT } from '#src/machine/stats.js';
import { LOCK_MMAP } from '#src/locks/classes.js';
import { downWrite, upWrite } from '#src/locks/rw.js';
import { mmapLockWord, mmapReadLock } from '#src/locks/vma-lock.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup/gup.js';
import { changeProtNuma, taskNumaWork } from '#src/mm/mempolicy.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { findVma } from '#src/mm/vma/vma.js';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab } from '../helpers/mm-lab.js';

/** The balancer's CPU: on node 1, while the pages of these tests are on node 0. */
const BALANCER = 1;
const scan = (lab: MmLab, pages?: number): number => lab.run((ctx) => taskNumaWork(ctx, 0, pages), BALANCER);
const pin = (lab: MmLab, vpn: number): number => lab.run((ctx) => pinUserPagesFast(ctx, 0, vpn, FOLL_WRITE));
const hints = (lab: MmLab, from: number, to: number): number[] => {
  const found: number[] = [];
  for (let vpn = from; vpn < to; vpn++) {
    const pmd = lab.pmd(vpn);
    if (isTable(pmd) ? isProtnone(lab.pte(vpn)) : isProtnone(pmd)) found.push(vpn);
  }
  return found;
};

function small(pages = 4, rules: Partial<KernelRules> = {}): MmLab {
  const lab = new MmLab({ rules });
  lab.mapSmall(0, pages);
  return lab;
}

describe('one scan', () => {
  it('makes every page a hint, read-only, its use remembered; one announcement; the CPUs flushed', () => {
    const lab = small();
    const pte = lab.pte(0);
    lab.read(0, 3);
    expect(scan(lab)).toBe(4);
    expect(hints(lab, 0, 4)).toEqual([0, 1, 2, 3]);
    expect(lab.pte(0) & (PTE_PROTNONE | PTE_WRITE | PTE_DIRTY | PTE_YOUNG)).toBe(
      PTE_PROTNONE | (pte & (PTE_DIRTY | PTE_YOUNG)),
    );
    expect(lab.probe.starts).toEqual([[0, 0, 4, MMU_NOTIFY_PROTECTION_VMA]]);
    expect(lab.probe.ends).toBe(1);
    expect(lab.word(mmWord(lab.m, 0, MM_TLB_FLUSH_PENDING))).toBe(0);
    expect(lab.stat('numa_scans')).toBe(1);
    expect(lab.mechanism(MECH.numa_scan, MC_ATTEMPTS)).toBe(1);
    expect(audit(lab.m)).toEqual([]);
    // no stale translation: this access takes the hint fault
    lab.read(0, 3);
    expect(lab.stat('numa_hint_faults')).toBe(1);
  });

  it.each([
    ['the range (v6.12)', 'pud', 0],
    ['the first populated table', 'pmd', 8],
  ] as const)(
    'announces from the start of %s to its end, and nothing at all for nothing',
    (_name, protectNotifier, first) => {
      const lab = new MmLab({ rules: { protectNotifier } });
      lab.map(0, 16);
      expect(scan(lab)).toBe(0);
      expect(lab.probe.starts).toEqual([]);
      lab.write(9, 1);
      expect(scan(lab)).toBe(1);
      expect(lab.probe.starts).toEqual([[0, first, 16, MMU_NOTIFY_PROTECTION_VMA]]);
    },
  );

  it('a second scan finds hints and announces all the same', () => {
    const lab = small();
    scan(lab);
    expect(scan(lab)).toBe(0);
    expect(lab.probe.starts).toHaveLength(2);
  });

  it('whole huge pages become huge hints; a partial one is split first', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 8);
    expect(lab.run((ctx) => changeProtNuma(ctx, 0, findVma(ctx, 0, 0), 0, 6), BALANCER)).toBe(6);
    expect([isTable(lab.pmd(0)), isTable(lab.pmd(4))]).toEqual([false, true]);
    expect(hints(lab, 0, 8)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(lab.probe.starts).toEqual([
      [0, 0, 6, MMU_NOTIFY_PROTECTION_VMA],
      [0, 4, 8, MMU_NOTIFY_CLEAR],
    ]);
    expect(audit(lab.m)).toEqual([]);
  });
});

describe('which pages are skipped', () => {
  it('the zero page, KSM pages, and hints that are there already', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 3);
    lab.map(3, 1);
    lab.read(3);
    lab.set(pageWord(lab.m, lab.pfn(1), PAGE_MAPPING), (1 << 2) | MAPPING_KSM);
    expect(scan(lab)).toBe(2);
    expect(hints(lab, 0, 4)).toEqual([0, 2]);
  });

  it.each([
    ['v5.16', 'pinned', true],
    ['v5.17', 'pinned', false],
    ['v6.10', 'pinned', false],
    ['v6.19', 'pinned', false],
    ['v5.16', 'FOLL_GET', true],
    ['v5.17', 'FOLL_GET', false],
    ['v6.10', 'FOLL_GET', true],
    ['v6.19', 'FOLL_GET', true],
    ['v5.16', 'mapped twice', false],
    ['v6.10', 'mapped twice', false],
  ] as const)('%s: a page that is %s becomes a hint: %s', (numaBusy, state, protectedBy) => {
    const lab = small(2, { numaBusy });
    if (state === 'pinned') pin(lab, 0);
    if (state === 'FOLL_GET') lab.run((ctx) => getUserPagesUnlocked(ctx, 0, 0, FOLL_GET));
    if (state === 'mapped twice') lab.set(pageWord(lab.m, lab.pfn(0), PAGE_MAPS), 2);
    scan(lab);
    expect(hints(lab, 0, 2)).toEqual(protectedBy ? [0, 1] : [1]);
    expect(lab.probe.starts).toHaveLength(1);
    const gaveUp = !protectedBy && state !== 'mapped twice';
    expect(lab.mechanism(MECH.numa_scan, MC_BACKED_OUT)).toBe(gaveUp ? 1 : 0);
  });

  it('a part of a huge page that may be shared, or whose page is mapped more than once', () => {
    for (const numaBusy of ['v5.16', 'v6.10'] as const) {
      const lab = new MmLab({ rules: { numaBusy } });
      lab.mapHuge(0, 4);
      lab.run((ctx) => mprotect(ctx, 0, 0, 1, 1));
      const head = lab.pfn(0);
      if (numaBusy === 'v5.16') lab.set(pageWord(lab.m, head + 2, PAGE_MAPS), 2);
      else lab.set(pageWord(lab.m, head, PAGE_FLAGS), lab.flags(head) | PG_MAYBE_SHARED);
      scan(lab);
      expect(hints(lab, 0, 4)).toEqual(numaBusy === 'v5.16' ? [0, 1, 3] : []);
    }
  });

  it.each([
    ['v6.10', [0, 1, 2, 3]],
    ['v6.19', []],
  ] as const)('%s: a pinned huge page', (numaBusy, found) => {
    const lab = new MmLab({ rules: { numaBusy } });
    lab.mapHuge(0, 4);
    pin(lab, 1);
    scan(lab);
    expect(hints(lab, 0, 4)).toEqual(found);
    expect(lab.probe.starts).toHaveLength(1);
  });

  it('pages of the only thread’s own node', () => {
    const lab = small(2);
    expect(lab.word(mmWord(lab.m, 0, MM_USERS))).toBe(1);
    expect(lab.run((ctx) => taskNumaWork(ctx, 0), 0)).toBe(0);
    lab.set(mmWord(lab.m, 0, MM_USERS), 2);
    expect(lab.run((ctx) => taskNumaWork(ctx, 0), 0)).toBe(2);
  });
});

describe('which VMAs are skipped', () => {
  it.each([
    ['device memory', VM_IO],
    ['PFN mappings', VM_PFNMAP],
    ['mixed mappings', VM_MIXEDMAP],
    ['bound memory', VM_NUMA_BOUND],
  ])('%s', (_what, flag) => {
    const lab = small(4);
    lab.map(4, 4, flag);
    expect(scan(lab)).toBe(4);
    expect(lab.probe.starts).toHaveLength(1);
  });

  it('inaccessible ones: a hint there could not be told from PROT_NONE', () => {
    const lab = small(4);
    lab.run((ctx) => mprotect(ctx, 0, 0, 4, 0));
    lab.probe.starts.length = 0;
    expect(scan(lab)).toBe(0);
    expect(lab.probe.starts).toEqual([]);
  });
});

describe('the stretch', () => {
  it('ends after so many pages at a huge page boundary; the next scan goes on there; then a new sequence begins', () => {
    const lab = small(12);
    const offset = mmWord(lab.m, 0, MM_NUMA_SCAN_OFFSET);
    const seq = mmWord(lab.m, 0, MM_NUMA_SCAN_SEQ);
    expect(scan(lab, 3)).toBe(4);
    expect([lab.word(offset), lab.word(seq)]).toEqual([4, 0]);
    expect(scan(lab, 8)).toBe(8);
    expect(hints(lab, 0, 12)).toHaveLength(12);
    expect([lab.word(offset), lab.word(seq)]).toEqual([12, 0]);
    // nothing left: from the start again
    expect(scan(lab, 4)).toBe(0);
    expect(lab.word(seq)).toBe(2);
  });

  it('stretches without anything to change use up virtual pages only', () => {
    const lab = new MmLab({}, { mmPages: 64 });
    lab.map(0, 64);
    lab.write(60, 1);
    expect(scan(lab, 1)).toBe(0);
    expect(lab.word(mmWord(lab.m, 0, MM_NUMA_SCAN_OFFSET))).toBe(8);
    lab.set(mmWord(lab.m, 0, MM_NUMA_SCAN_OFFSET), 0);
    expect(scan(lab, 8)).toBe(1);
  });
});

describe('it gives up', () => {
  it('when mmap_lock is not to be had at once', () => {
    const lab = small();
    const lock = mmapLockWord(lab.ctx(), 0);
    expect(downWrite(lab.ctx(0), lock, LOCK_MMAP)).toBe(true);
    expect(scan(lab)).toBe(0);
    expect(lab.stat('numa_scans')).toBe(0);
    upWrite(lab.ctx(0), lock, LOCK_MMAP);
    // a reader does not stop it
    lab.run((ctx) => mmapReadLock(ctx, 0));
    expect(scan(lab)).toBe(4);
  });

  it('when another thread has begun this scan', () => {
    const lab = small();
    const next = mmWord(lab.m, 0, MM_NUMA_NEXT_SCAN);
    const one = new Stepped(lab.ctx(1), taskNumaWork(lab.ctx(1), 0));
    const two = new Stepped(lab.ctx(3), taskNumaWork(lab.ctx(3), 0));
    one.until(EFFECT_RMW, next);
    two.until(EFFECT_RMW, next);
    expect([one.finish(), two.finish()]).toEqual([4, 0]);
    expect(lab.stat('numa_scans')).toBe(1);
  });

  it('when the process exits', () => {
    const lab = small();
    lab.set(mmWord(lab.m, 0, MM_FLAGS), MMF_EXITING);
    expect(scan(lab)).toBe(0);
  });
});

it('what the scan leaves keeps its rights', () => {
  const lab = small(2);
  const pfn = lab.pfn(1);
  pin(lab, 1);
  const pte = lab.pte(1);
  scan(lab);
  expect(lab.pte(1)).toBe(pte);
  expect(lab.flags(pfn) & PG_ANON_EXCLUSIVE).toBe(PG_ANON_EXCLUSIVE);
  expect(lab.refs(pfn)).toBe(1025);
});

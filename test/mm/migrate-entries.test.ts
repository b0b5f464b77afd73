/** Migration entries and the move behind them: faults, zaps, splits and late references (kernel-model 3.11). */
import { describe, expect, it } from 'vitest';
import {
  EAGAIN,
  FOLL_WRITE,
  MAPPING_KSM,
  MIGRATE_ASYNC,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  VM_READ,
} from '#src/machine/abi.js';
import { REF_TEMP } from '#src/machine/context.js';
import { EFFECT_READ, EFFECT_RMW } from '#src/machine/effects.js';
import {
  PMD_HUGE,
  PTE_WRITE,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  entryPfn,
  isHuge,
  isHugeMigration,
  isMigrationEntry,
  swapType,
} from '#src/machine/entries.js';
import {
  ANON_VMA_REFS,
  KSM_NODE_KPFN,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_REFS,
  anonVmaWord,
  ksmNodeWord,
  pageWord,
} from '#src/machine/layout.js';
import { folioLock } from '#src/locks/exclusive.js';
import { folioPut, refAdd } from '#src/mm/folio.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { folioMigrateKsm, migrateFolioMove } from '#src/mm/migrate/move.js';
import { TTU_BATCH, TTU_SPLIT_HUGE_PMD, tryToMigrate } from '#src/mm/rmap/migrate.js';
import { removeMigrationPtes } from '#src/mm/migrate/restore.js';
import { tryToUnmapFlush } from '#src/mm/rmap/flush.js';
import { migratePages } from '#src/mm/migrate/migrate.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab, touch } from '../helpers/mm-lab.js';

const pin = (lab: MmLab, vpn: number): number => lab.run((ctx) => pinUserPagesFast(ctx, 0, vpn, FOLL_WRITE));

/** A process with one small page, written with 100. */
function small(pages = 1): MmLab {
  const lab = new MmLab();
  lab.mapSmall(0, pages);
  return lab;
}

/** Page 0 locked, held once more, and unmapped by a migration entry. */
function unmapped(lab: MmLab, flags = 0): number {
  const pfn = lab.pfn(0);
  folioLock(lab.ctx(), pfn);
  refAdd(lab.ctx(), pfn, 1, REF_TEMP);
  expect(lab.run((ctx) => tryToMigrate(ctx, pfn, flags))).toBe(true);
  return pfn;
}

describe('migration entries', () => {
  it('say what the PTE said: writable, read-only exclusive, read-only', () => {
    const lab = small();
    const pfn = unmapped(lab);
    expect(swapType(lab.pte(0))).toBe(SWP_MIGRATION_WRITE);
    expect([lab.refs(pfn), lab.maps(pfn)]).toEqual([1, 0]);
    lab.run((ctx) => removeMigrationPtes(ctx, pfn, pfn));
    expect([lab.refs(pfn), lab.maps(pfn)]).toEqual([2, 1]);
    lab.set(lab.pteAt(0), lab.pte(0) & ~PTE_WRITE);
    expect(lab.run((ctx) => tryToMigrate(ctx, pfn, 0))).toBe(true);
    expect(swapType(lab.pte(0))).toBe(SWP_MIGRATION_READ_EXCLUSIVE);
    expect(lab.flags(pfn) & PG_ANON_EXCLUSIVE).toBe(0);
    lab.run((ctx) => removeMigrationPtes(ctx, pfn, pfn));
    expect(lab.flags(pfn) & PG_ANON_EXCLUSIVE).toBe(PG_ANON_EXCLUSIVE);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_ANON_EXCLUSIVE);
    expect(lab.run((ctx) => tryToMigrate(ctx, pfn, 0))).toBe(true);
    expect(swapType(lab.pte(0))).toBe(SWP_MIGRATION_READ);
    lab.run((ctx) => removeMigrationPtes(ctx, pfn, pfn));
    expect(lab.flags(pfn) & PG_ANON_EXCLUSIVE).toBe(0);
  });

  it('a fault waits on one until the folio is unlocked, and then sees the new page', () => {
    const lab = small();
    const old = lab.pfn(0);
    expect(lab.run((ctx) => folioIsolateLru(ctx, old))).toBe(true);
    const mover = new Stepped(lab.ctx(0), migratePages(lab.ctx(0), [old], 1, MIGRATE_ASYNC));
    while (!isMigrationEntry(lab.pte(0))) mover.step();
    const reader = new Stepped(lab.ctx(1), touch(lab.ctx(1), 0, false, 0));
    expect(reader.runOn()).toBe(false);
    expect(mover.finish()).toBe(0);
    expect(reader.finish()).toBe(0);
    expect(lab.ctx(1).accessValue).toBe(100);
  });

  it('a batched unmap leaves CPUs their translations until the flush; mprotect flushes first', () => {
    const lab = small(2);
    lab.read(0, 1);
    const pfn = unmapped(lab, TTU_BATCH);
    // the CPU's TLB is hardware: a hit needs no entry
    lab.write(0, 555, 1);
    expect(lab.content(pfn)).toBe(555);
    lab.run((ctx) => mprotect(ctx, 0, 0, 2, VM_READ), 2);
    const stale = new Stepped(lab.ctx(1), touch(lab.ctx(1), 0, true, 666));
    expect(stale.runOn()).toBe(true);
    expect(stale.result).not.toBe(0);
    expect(lab.content(pfn)).toBe(555);
    expect(lab.ctx().task.tlbUbcMms).toBe(1);
    lab.run((ctx) => tryToUnmapFlush(ctx));
    expect(lab.ctx().task.tlbUbcMms).toBe(0);
  });

  it('zapped while the page is on its way: the new page is nobody’s and goes', () => {
    const lab = small();
    const old = lab.pfn(0);
    expect(lab.run((ctx) => folioIsolateLru(ctx, old))).toBe(true);
    const mover = new Stepped(lab.ctx(0), migratePages(lab.ctx(0), [old], 1, MIGRATE_ASYNC));
    while (!isMigrationEntry(lab.pte(0))) mover.step();
    while (lab.word(pageWord(lab.m, old, PAGE_MAPS)) !== 0) mover.step();
    // out of the PTL's hold
    while (lab.ctx(0).cpu.preemptCount > 0) mover.step();
    lab.run((ctx) => madviseDontneed(ctx, 0, 0, 1), 1);
    expect(mover.finish()).toBe(0);
    expect(lab.pte(0)).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('unmapped for good while the page is on its way: its anon_vma lives until the move is over', () => {
    const lab = small();
    const old = lab.pfn(0);
    const anonVma = lab.mapping(old) >>> 2;
    const refs = anonVmaWord(lab.m, anonVma, ANON_VMA_REFS);
    expect(lab.run((ctx) => folioIsolateLru(ctx, old))).toBe(true);
    const mover = new Stepped(lab.ctx(0), migratePages(lab.ctx(0), [old], 1, MIGRATE_ASYNC));
    mover.until(EFFECT_RMW, pageWord(lab.m, old, PAGE_REFS));
    while (lab.ctx(0).task.heldCount > 2) mover.step();
    expect(lab.word(refs)).toBe(2);
    const unmapper = new Stepped(lab.ctx(1), munmap(lab.ctx(1), 0, 0, 1));
    for (let i = 0; i < 5000 && !unmapper.done; i++) {
      unmapper.step();
      mover.step();
    }
    expect(mover.finish()).toBe(0);
    expect(unmapper.finish()).toBe(0);
    expect(lab.word(refs)).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('split for a huge page: small entries instead of a huge one; not frozen when pinned', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    folioLock(lab.ctx(), head);
    refAdd(lab.ctx(), head, 1, REF_TEMP);
    expect(lab.run((ctx) => tryToMigrate(ctx, head, 0))).toBe(true);
    expect(isHugeMigration(lab.pmd(0))).toBe(true);
    expect(entryPfn(lab.pmd(0))).toBe(head);
    lab.run((ctx) => removeMigrationPtes(ctx, head, head));
    expect(lab.pmd(0) & PMD_HUGE).toBe(PMD_HUGE);
    expect(lab.run((ctx) => tryToMigrate(ctx, head, TTU_SPLIT_HUGE_PMD))).toBe(true);
    expect([0, 1, 2, 3].map((vpn) => isMigrationEntry(lab.pte(vpn)))).toEqual([true, true, true, true]);
    expect(lab.refs(head)).toBe(1);
    lab.run((ctx) => removeMigrationPtes(ctx, head, head));
    expect(lab.refs(head)).toBe(5);

    const pinned = new MmLab();
    pinned.mapHuge(0, 4);
    pin(pinned, 0);
    const other = pinned.pfn(0);
    folioLock(pinned.ctx(), other);
    expect(pinned.run((ctx) => tryToMigrate(ctx, other, TTU_SPLIT_HUGE_PMD))).toBe(false);
    expect(isHuge(pinned.pmd(0))).toBe(false);
    expect([pinned.refs(other), pinned.pins(other)]).toEqual([5, 1]);
  });

  it('through 6.15 the split had a notifier pair of its own', () => {
    const lab = new MmLab({ rules: { splitNotifierPairs: 2 } });
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    folioLock(lab.ctx(), head);
    refAdd(lab.ctx(), head, 1, REF_TEMP);
    expect(lab.run((ctx) => tryToMigrate(ctx, head, TTU_SPLIT_HUGE_PMD))).toBe(true);
    expect(lab.probe.starts).toEqual([
      [0, 0, 4, MMU_NOTIFY_CLEAR],
      [0, 0, 4, MMU_NOTIFY_CLEAR],
    ]);
  });
});

describe('migrate_folio_move', () => {
  it('a reference that comes after the unmap is found by the count, and again after the copy', () => {
    const lab = small();
    const old = lab.pfn(0);
    expect(lab.run((ctx) => folioIsolateLru(ctx, old))).toBe(true);
    const mover = new Stepped(lab.ctx(0), migratePages(lab.ctx(0), [old], 1, MIGRATE_ASYNC));
    while (!isMigrationEntry(lab.pte(0))) mover.step();
    // past the first count, before the copy
    const contentAt = pageWord(lab.m, old, PAGE_CONTENT);
    mover.until(EFFECT_READ, contentAt);
    refAdd(lab.ctx(1), old, 1, REF_TEMP);
    expect(mover.finish()).toBe(1);
    expect(lab.pfn(0)).toBe(old);
    lab.run((ctx) => folioPut(ctx, old, REF_TEMP), 1);
    expect(audit(lab.m)).toEqual([]);
  });

  it('reports -EAGAIN and changes nothing', () => {
    const lab = small();
    const old = lab.pfn(0);
    expect(lab.run((ctx) => migrateFolioMove(ctx, old, 1))).toBe(-EAGAIN);
  });

  it('a KSM page: the stable node points to the new folio before the old one forgets it', () => {
    const lab = small();
    const src = lab.pfn(0);
    const node = 1;
    const kpfn = ksmNodeWord(lab.m, node, KSM_NODE_KPFN);
    const mapping = pageWord(lab.m, src, PAGE_MAPPING);
    lab.set(kpfn, src);
    lab.set(mapping, (node << 2) | MAPPING_KSM);
    const task = new Stepped(lab.ctx(0), folioMigrateKsm(lab.ctx(0), src, 9, node));
    task.step();
    expect([lab.word(kpfn), lab.word(mapping)]).toEqual([9, (node << 2) | MAPPING_KSM]);
    task.step();
    expect(lab.word(mapping)).toBe(0);
    expect(task.done).toBe(true);
  });
});

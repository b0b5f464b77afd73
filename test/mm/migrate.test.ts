/** migrate_pages: who moves, who stays, and how often each try is announced (kernel-model 3.11, real-kernels F2, F8). */
import { describe, expect, it } from 'vitest';
import {
  EAGAIN, FOLL_GET, FOLL_WRITE, MAPPING_KSM, MECH_NUMA_MIGRATE, MIGRATE_ASYNC, MIGRATE_SYNC, MIGRATE_SYNC_LIGHT,
  MMU_NOTIFY_CLEAR, NUMA_NO_NODE, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_HWPOISON, PG_LRU, PG_UPTODATE, PG_WRITEBACK, VM_READ,
} from '#src/machine/abi.js';
import { type Coroutine, REF_TEMP } from '#src/machine/context.js';
import { EFFECT_READ, EFFECT_RMW } from '#src/machine/effects.js';
import {
  PMD_HUGE, PTE_DIRTY, PTE_PROTNONE, PTE_WRITE, PTE_YOUNG, SWP_HWPOISON, SWP_MIGRATION_READ, SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE, entryPfn, isHuge, isHugeMigration, isMigrationEntry, isProtnone, swapType,
} from '#src/machine/entries.js';
import {
  ANON_VMA_REFS, KSM_NODE_KPFN, PAGE_CONTENT, PAGE_FLAGS, PAGE_MAPPING, PAGE_MAPS, PAGE_REFS, anonVmaWord, ksmNodeWord, pageWord, pmdWord,
} from '#src/machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, MC_NOTIFIER_STARTS, MC_PAGES_MOVED } from '#src/machine/stats.js';
import { folioLock, folioUnlock } from '#src/locks/exclusive.js';
import { folioPut, refAdd } from '#src/mm/folio.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup.js';
import { madviseDontneed } from '#src/mm/madvise.js';
import { folioMigrateKsm, migrateFolioMove } from '#src/mm/migrate-move.js';
import { TTU_BATCH, TTU_SPLIT_HUGE_PMD, tryToMigrate } from '#src/mm/migrate-ptes.js';
import { removeMigrationPtes } from '#src/mm/migrate-restore.js';
import { tryToUnmapFlush } from '#src/mm/migrate-flush.js';
import { migratePages } from '#src/mm/migrate.js';
import { mprotect } from '#src/mm/mprotect.js';
import { munmap } from '#src/mm/munmap.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab, touch } from '../helpers/mm-lab.js';

/** Isolates the folios of these pages and migrates them, as the caller of migrate_pages does. */
function migrate(lab: MmLab, vpns: number[], node: number, mode: number, cpu = 0): number {
  return lab.run(function* (ctx): Coroutine {
    const heads: number[] = [];
    for (const vpn of vpns) {
      const head = lab.pfn(vpn);
      if (yield* folioIsolateLru(ctx, head)) heads.push(head);
    }
    ctx.mechanism = MECH_NUMA_MIGRATE;
    const left = yield* migratePages(ctx, heads, node, mode);
    ctx.mechanism = 0;
    return left;
  }, cpu);
}

const pin = (lab: MmLab, vpn: number): number => lab.run((ctx) => pinUserPagesFast(ctx, 0, vpn, FOLL_WRITE));
const get = (lab: MmLab, vpn: number): number => lab.run((ctx) => getUserPagesUnlocked(ctx, 0, vpn, FOLL_GET));
const setFlags = (lab: MmLab, pfn: number, flags: number): void =>
  lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) | flags);

function small(pages = 1): MmLab {
  const lab = new MmLab();
  lab.mapSmall(0, pages);
  return lab;
}

describe('success', () => {
  it('pages move to the node asked for, with content, protection and use', () => {
    const lab = small(4);
    const before = [0, 1, 2, 3].map((vpn) => lab.pte(vpn));
    const old = [0, 1, 2, 3].map((vpn) => lab.pfn(vpn));
    setFlags(lab, old[0] as number, PG_DIRTY);
    expect(migrate(lab, [0, 1, 2, 3], 1, MIGRATE_ASYNC)).toBe(0);
    for (let vpn = 0; vpn < 4; vpn++) {
      expect(lab.node(vpn)).toBe(1);
      expect(lab.content(lab.pfn(vpn))).toBe(100 + vpn);
      expect(lab.pte(vpn) & 1023).toBe((before[vpn] as number) & 1023);
      expect(lab.flags(lab.pfn(vpn)) & (PG_ANON_EXCLUSIVE | PG_UPTODATE | PG_DIRTY | PG_LRU)).toBe(
        PG_ANON_EXCLUSIVE | PG_UPTODATE | PG_DIRTY | PG_LRU,
      );
      expect(lab.refs(old[vpn] as number)).toBe(0);
    }
    // one pair per page, over that page alone
    expect(lab.probe.starts).toEqual([0, 1, 2, 3].map((vpn) => [0, vpn, vpn + 1, MMU_NOTIFY_CLEAR]));
    expect(lab.probe.ends).toBe(4);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_PAGES_MOVED)).toBe(4);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_ATTEMPTS)).toBe(4);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_BACKED_OUT)).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a clean page stays clean, a read-only exclusive one stays both', () => {
    const lab = small();
    lab.run((ctx) => mprotect(ctx, 0, 0, 1, VM_READ));
    lab.set(lab.pteAt(0), lab.pte(0) & ~(PTE_DIRTY | PTE_YOUNG));
    expect(migrate(lab, [0], 1, MIGRATE_SYNC)).toBe(0);
    expect(lab.pte(0) & (PTE_WRITE | PTE_DIRTY | PTE_YOUNG)).toBe(0);
    expect(lab.flags(lab.pfn(0)) & PG_ANON_EXCLUSIVE).toBe(PG_ANON_EXCLUSIVE);
  });

  it('a hint is gone afterwards, and the write bit with it', () => {
    const lab = small();
    lab.set(lab.pteAt(0), (lab.pte(0) & ~(1 | PTE_WRITE)) | PTE_PROTNONE);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(0);
    expect(isProtnone(lab.pte(0))).toBe(false);
    expect(lab.pte(0) & PTE_WRITE).toBe(0);
  });

  it('a huge page moves whole, through present-but-invalid and never through none', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const old = lab.pfn(0);
    const pmd = lab.pmd(0);
    lab.probe.entries.length = 0;
    expect(migrate(lab, [0], 1, MIGRATE_SYNC)).toBe(0);
    const head = lab.pfn(0);
    expect(isHuge(lab.pmd(0))).toBe(true);
    expect(lab.pmd(0) & 1023).toBe(pmd & 1023);
    expect(lab.node(0)).toBe(1);
    expect([0, 1, 2, 3].map((i) => lab.content(head + i))).toEqual([100, 101, 102, 103]);
    expect(lab.probe.entries.map(([, , after]) => after)).not.toContain(0);
    expect(lab.probe.starts).toEqual([[0, 0, 4, MMU_NOTIFY_CLEAR]]);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_PAGES_MOVED)).toBe(4);
    expect(lab.refs(old)).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a huge page that is mapped by PTEs moves whole too', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    lab.run((ctx) => mprotect(ctx, 0, 1, 2, VM_READ));
    expect(isHuge(lab.pmd(0))).toBe(false);
    lab.probe.starts.length = 0;
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(0);
    const head = lab.pfn(0);
    expect([0, 1, 2, 3].map((vpn) => lab.pfn(vpn))).toEqual([head, head + 1, head + 2, head + 3]);
    expect([0, 1, 2, 3].map((vpn) => (lab.pte(vpn) & PTE_WRITE) !== 0)).toEqual([true, false, true, true]);
    // three VMAs, each told
    expect(lab.probe.starts.map(([, start, end]) => [start, end]).toSorted()).toEqual([[0, 1], [1, 2], [2, 4]]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a folio that was freed meanwhile counts as done', () => {
    const lab = small();
    const head = lab.pfn(0);
    expect(lab.run((ctx) => folioIsolateLru(ctx, head))).toBe(true);
    lab.run((ctx) => madviseDontneed(ctx, 0, 0, 1));
    expect(lab.refs(head)).toBe(1);
    expect(lab.run((ctx) => migratePages(ctx, [head], 1, MIGRATE_ASYNC))).toBe(0);
    expect(lab.refs(head)).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('NUMA_NO_NODE: the node it is on, if that has memory', () => {
    const lab = small();
    const old = lab.pfn(0);
    expect(migrate(lab, [0], NUMA_NO_NODE, MIGRATE_SYNC)).toBe(0);
    expect(lab.pfn(0)).not.toBe(old);
    expect(lab.node(0)).toBe(0);
  });
});

describe('a page that somebody holds stays where it is', () => {
  it.each([
    ['pinned, ASYNC', 'pin', MIGRATE_ASYNC, 'v6.8', 10],
    ['pinned, SYNC: 3 + 7', 'pin', MIGRATE_SYNC, 'v6.8', 10],
    ['pinned, 6.1', 'pin', MIGRATE_SYNC, 'v6.1', 10],
    ['FOLL_GET, ASYNC: one batch', 'get', MIGRATE_ASYNC, 'v6.8', 1],
    ['FOLL_GET, SYNC: two batches', 'get', MIGRATE_SYNC, 'v6.8', 2],
    ['FOLL_GET, 6.1', 'get', MIGRATE_ASYNC, 'v6.1', 10],
  ] as const)('%s: %4$i notifier pairs', (_what, how, mode, migrateLoops, pairs) => {
    const lab = new MmLab({ rules: { migrateLoops } });
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    const pte = lab.pte(0);
    expect(how === 'pin' ? pin(lab, 0) : get(lab, 0)).toBe(1);
    expect(migrate(lab, [0], 1, mode)).toBe(1);
    expect(lab.probe.starts).toHaveLength(pairs);
    expect(lab.probe.ends).toBe(pairs);
    expect(lab.pte(0)).toBe(pte);
    expect(lab.flags(pfn) & (PG_ANON_EXCLUSIVE | PG_LRU)).toBe(PG_ANON_EXCLUSIVE | PG_LRU);
    expect(lab.stat('migrate_failures')).toBe(1);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_BACKED_OUT)).toBe(1);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_PAGES_MOVED)).toBe(0);
    expect(audit(lab.m, { [pfn]: how === 'pin' ? 1024 : 1 })).toEqual([]);
  });

  it('a pinned huge page: ten pairs over the whole of it, the PMD as before', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    const pmd = lab.pmd(0);
    pin(lab, 2);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(lab.probe.starts).toEqual(Array.from({ length: 10 }, () => [0, 0, 4, MMU_NOTIFY_CLEAR]));
    expect(lab.pmd(0)).toBe(pmd);
    expect([lab.refs(head), lab.pins(head)]).toEqual([2, 1]);
  });

  it('a FOLL_GET huge page: one pair, unmapped and mapped again', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const pmd = lab.pmd(0);
    get(lab, 1);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(lab.probe.starts).toHaveLength(1);
    expect(lab.pmd(0)).toBe(pmd);
    expect(audit(lab.m, { [lab.pfn(0)]: 1 })).toEqual([]);
  });

  it('one pinned among four: the others move (F8)', () => {
    const lab = small(4);
    pin(lab, 2);
    expect(migrate(lab, [0, 1, 2, 3], 1, MIGRATE_ASYNC)).toBe(1);
    expect([0, 1, 2, 3].map((vpn) => lab.node(vpn))).toEqual([1, 1, 0, 1]);
    expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_PAGES_MOVED)).toBe(3);
    expect(lab.probe.starts).toHaveLength(13);
  });

  it('a pin of a page that is not exclusive passes the unmap and is found by the count', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    pin(lab, 0);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_ANON_EXCLUSIVE);
    lab.set(lab.pteAt(0), lab.pte(0) & ~PTE_WRITE);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(lab.probe.starts).toHaveLength(1);
    expect(lab.pfn(0)).toBe(pfn);
  });

  it('before 5.19 the pin is never looked at: the count finds it, without one batch more', () => {
    const lab = new MmLab({ rules: { wpReuse: 'v5.9' } });
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    pin(lab, 0);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(lab.probe.starts).toHaveLength(1);
    expect(lab.pfn(0)).toBe(pfn);
  });
});

describe('other failures', () => {
  it('no memory: nothing is announced, nothing is tried again', () => {
    const lab = small(2);
    lab.ctx().failAllocation = 1;
    expect(migrate(lab, [0, 1], 1, MIGRATE_ASYNC)).toBe(2);
    expect(lab.probe.starts).toEqual([]);
    lab.ctx().failAllocation = 2;
    // the first page was unmapped before the second found no memory: it is moved
    expect(migrate(lab, [0, 1], 1, MIGRATE_SYNC)).toBe(1);
    expect([lab.node(0), lab.node(1)]).toEqual([1, 0]);
    lab.ctx().failAllocation = 1;
    expect(migrate(lab, [1], 1, MIGRATE_SYNC)).toBe(1);
    expect(audit(lab.m)).toEqual([]);
    const old = new MmLab({ rules: { migrateLoops: 'v6.1' } });
    old.mapSmall(0, 2);
    old.ctx().failAllocation = 1;
    expect(migrate(old, [0, 1], 1, MIGRATE_SYNC)).toBe(2);
  });

  it('under writeback: -EBUSY, permanent, but SYNC waits for its end', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    setFlags(lab, pfn, PG_WRITEBACK);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(migrate(lab, [0], 1, MIGRATE_SYNC_LIGHT)).toBe(1);
    expect(lab.probe.starts).toEqual([]);
    expect(lab.run((ctx) => folioIsolateLru(ctx, pfn))).toBe(true);
    const ctx = lab.ctx(0);
    const task = new Stepped(ctx, migratePages(ctx, [pfn], 1, MIGRATE_SYNC));
    expect(task.runOn()).toBe(false);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_WRITEBACK);
    expect(task.finish()).toBe(0);
  });

  it('locked: ASYNC gives up after ten tries without a notifier, SYNC waits', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    const other = lab.ctx(1);
    expect(folioLock(other, pfn)).toBe(true);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(lab.probe.starts).toEqual([]);
    expect(lab.run((ctx) => folioIsolateLru(ctx, pfn))).toBe(true);
    const task = new Stepped(lab.ctx(0), migratePages(lab.ctx(0), [pfn], 1, MIGRATE_SYNC));
    expect(task.runOn()).toBe(false);
    folioUnlock(other, pfn);
    expect(task.finish()).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('SYNC_LIGHT does not wait for a page that is being read', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_UPTODATE);
    expect(folioLock(lab.ctx(1), pfn)).toBe(true);
    expect(migrate(lab, [0], 1, MIGRATE_SYNC_LIGHT)).toBe(1);
    folioUnlock(lab.ctx(1), pfn);
  });

  it('a poisoned page becomes a poison entry and is not copied', () => {
    const lab = small();
    const pfn = lab.pfn(0);
    setFlags(lab, pfn, PG_HWPOISON);
    expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(1);
    expect(swapType(lab.pte(0))).toBe(SWP_HWPOISON);
    expect(entryPfn(lab.pte(0))).toBe(pfn);
    expect(lab.refs(pfn)).toBe(0);
  });
});

describe('migration entries', () => {
  const unmapped = (lab: MmLab, flags = 0): number => {
    const pfn = lab.pfn(0);
    folioLock(lab.ctx(), pfn);
    refAdd(lab.ctx(), pfn, 1, REF_TEMP);
    expect(lab.run((ctx) => tryToMigrate(ctx, pfn, flags))).toBe(true);
    return pfn;
  };

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
    expect(lab.ctx().tlbUbcMms).toBe(1);
    lab.run((ctx) => tryToUnmapFlush(ctx));
    expect(lab.ctx().tlbUbcMms).toBe(0);
  });

  it('zapped while the page is on its way: the new page is nobody’s and goes', () => {
    const lab = small();
    const old = lab.pfn(0);
    expect(lab.run((ctx) => folioIsolateLru(ctx, old))).toBe(true);
    const mover = new Stepped(lab.ctx(0), migratePages(lab.ctx(0), [old], 1, MIGRATE_ASYNC));
    while (!isMigrationEntry(lab.pte(0))) mover.step();
    while (lab.word(pageWord(lab.m, old, PAGE_MAPS)) !== 0) mover.step();
    // out of the PTL's hold
    while (lab.ctx(0).preemptCount > 0) mover.step();
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
    while (lab.ctx(0).heldCount > 2) mover.step();
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

  it('through 6.13 the split had a notifier pair of its own', () => {
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

it('notifier calls are counted under the mechanism of the caller', () => {
  const lab = small();
  expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(0);
  // no subscriber: announced, but nobody to tell
  expect(lab.mechanism(MECH_NUMA_MIGRATE, MC_NOTIFIER_STARTS)).toBe(0);
  expect(lab.probe.starts).toHaveLength(1);
  expect(lab.word(pmdWord(lab.m, 0, 0))).not.toBe(0);
});

/**
 * migrate_pages: who moves, who stays, and how often each try is announced (kernel-model 3.11, real-kernels F2, F8).
 */
import { describe, expect, it } from 'vitest';
import {
  FOLL_GET,
  FOLL_WRITE,
  MIGRATE_ASYNC,
  MIGRATE_SYNC,
  MIGRATE_SYNC_LIGHT,
  MMU_NOTIFY_CLEAR,
  NUMA_NO_NODE,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_HWPOISON,
  PG_LRU,
  PG_UPTODATE,
  PG_WRITEBACK,
  VM_READ,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { type Coroutine } from '#src/machine/context.js';
import {
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_WRITE,
  PTE_YOUNG,
  SWP_HWPOISON,
  entryPfn,
  isHuge,
  isProtnone,
  swapType,
} from '#src/machine/entries.js';
import { PAGE_FLAGS, pageWord, pmdWord } from '#src/machine/layout.js';
import { MC_ATTEMPTS, MC_BACKED_OUT, MC_NOTIFIER_STARTS, MC_PAGES_MOVED } from '#src/machine/stats.js';
import { folioLock, folioUnlock } from '#src/locks/exclusive.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup/gup.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { migratePages } from '#src/mm/migrate/migrate.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab } from '../helpers/mm-lab.js';

/** Isolates the folios of these pages and migrates them, as the caller of migrate_pages does. */
function migrate(lab: MmLab, vpns: number[], node: number, mode: number, cpu = 0): number {
  return lab.run(function* (ctx): Coroutine {
    const heads: number[] = [];
    for (const vpn of vpns) {
      const head = lab.pfn(vpn);
      if (yield* folioIsolateLru(ctx, head)) heads.push(head);
    }
    ctx.task.mechanism = MECH.numa_migrate;
    const left = yield* migratePages(ctx, heads, node, mode);
    ctx.task.mechanism = 0;
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
    expect(lab.mechanism(MECH.numa_migrate, MC_PAGES_MOVED)).toBe(4);
    expect(lab.mechanism(MECH.numa_migrate, MC_ATTEMPTS)).toBe(4);
    expect(lab.mechanism(MECH.numa_migrate, MC_BACKED_OUT)).toBe(0);
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
    expect(lab.mechanism(MECH.numa_migrate, MC_PAGES_MOVED)).toBe(4);
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
    expect(lab.probe.starts.map(([, start, end]) => [start, end]).toSorted()).toEqual([
      [0, 1],
      [1, 2],
      [2, 4],
    ]);
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
    expect(how === 'pin' ? pin(lab, 0) : get(lab, 0)).toBe(pfn);
    expect(migrate(lab, [0], 1, mode)).toBe(1);
    expect(lab.probe.starts).toHaveLength(pairs);
    expect(lab.probe.ends).toBe(pairs);
    expect(lab.pte(0)).toBe(pte);
    expect(lab.flags(pfn) & (PG_ANON_EXCLUSIVE | PG_LRU)).toBe(PG_ANON_EXCLUSIVE | PG_LRU);
    expect(lab.stat('migrate_failures')).toBe(1);
    expect(lab.mechanism(MECH.numa_migrate, MC_BACKED_OUT)).toBe(1);
    expect(lab.mechanism(MECH.numa_migrate, MC_PAGES_MOVED)).toBe(0);
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
    expect(lab.mechanism(MECH.numa_migrate, MC_PAGES_MOVED)).toBe(3);
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
    lab.ctx().task.failAllocation = 1;
    expect(migrate(lab, [0, 1], 1, MIGRATE_ASYNC)).toBe(2);
    expect(lab.probe.starts).toEqual([]);
    lab.ctx().task.failAllocation = 2;
    // the first page was unmapped before the second found no memory: it is moved
    expect(migrate(lab, [0, 1], 1, MIGRATE_SYNC)).toBe(1);
    expect([lab.node(0), lab.node(1)]).toEqual([1, 0]);
    lab.ctx().task.failAllocation = 1;
    expect(migrate(lab, [1], 1, MIGRATE_SYNC)).toBe(1);
    expect(audit(lab.m)).toEqual([]);
    const old = new MmLab({ rules: { migrateLoops: 'v6.1' } });
    old.mapSmall(0, 2);
    old.ctx().task.failAllocation = 1;
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

it('notifier calls are counted under the mechanism of the caller', () => {
  const lab = small();
  expect(migrate(lab, [0], 1, MIGRATE_ASYNC)).toBe(0);
  // no subscriber: announced, but nobody to tell
  expect(lab.mechanism(MECH.numa_migrate, MC_NOTIFIER_STARTS)).toBe(0);
  expect(lab.probe.starts).toHaveLength(1);
  expect(lab.word(pmdWord(lab.m, 0, 0))).not.toBe(0);
});

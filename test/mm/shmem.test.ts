/** Shared memory: one page for all who map the object, its counts, and what zaps, migration, fork and holes do to it. */
import { describe, expect, it } from 'vitest';
import { touchUser } from '#actors/user-access.js';
import {
  EINVAL,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  MIGRATE_SYNC,
  MMU_NOTIFY_CLEAR,
  NUMA_NO_NODE,
  PG_ANON_EXCLUSIVE,
  PG_SWAPBACKED,
  VM_FAULT_SIGBUS,
  VM_READ,
  VM_WRITE,
  sharedFlags,
} from '#src/machine/abi.js';
import { PTE_WRITE, isProtnone } from '#src/machine/entries.js';
import { OBJECT_NRPAGES, PAGE_MAPPING, objectPageWord, objectWord, pageWord } from '#src/machine/layout.js';
import { exitMmap } from '#src/mm/exit.js';
import { mappingOfObject } from '#src/mm/filemap.js';
import { gupFast } from '#src/mm/gup/fast.js';
import { MADV_REMOVE, madvise, madviseDontneed } from '#src/mm/madvise/madvise.js';
import { NUMA_SCAN_PAGES, taskNumaWork } from '#src/mm/mempolicy.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { shmemTruncate } from '#src/mm/truncate.js';
import { ForkLab } from './fork-lab.js';

const A = 0;
const B = 1;
const OBJECT = 0;

class SharedLab extends ForkLab {
  constructor() {
    super({}, { objects: 2, objectPages: 8 });
  }

  share(mm: number, start: number, pages: number, flags = VM_READ | VM_WRITE): void {
    const result = this.run((ctx) => mmapRegion(ctx, mm, start, pages, sharedFlags(OBJECT, flags)));
    if (result !== 0) throw new Error(`mmap: ${result}`);
  }

  slot(index: number): number {
    return this.word(objectPageWord(this.m, OBJECT, index));
  }

  /** Whether the page at `vpn` moved. */
  migrate(pfn: number): number {
    return this.run(function* (ctx) {
      if (!(yield* folioIsolateLru(ctx, pfn))) throw new Error('not on the LRU');
      return yield* ctx.kernel.migratePages(ctx, [pfn], NUMA_NO_NODE, MIGRATE_SYNC);
    });
  }
}

/** Page 1 of the object at page 1 of A and page 5 of B. */
function both(): { lab: SharedLab; pfn: number } {
  const lab = new SharedLab();
  lab.share(A, 0, 4);
  lab.share(B, 4, 4);
  lab.write(A, 1, 7);
  return { lab, pfn: lab.pfn(A, 1) };
}

describe('a page of an object', () => {
  it("comes into the cache at the first touch and is everybody's", () => {
    const { lab, pfn } = both();
    expect(lab.read(B, 5, 1)).toBe(7);
    expect(lab.pfn(B, 5)).toBe(pfn);
    expect(lab.slot(1)).toBe(pfn);
    // two PTEs and the cache
    expect([lab.refs(pfn), lab.maps(pfn)]).toEqual([3, 2]);
    expect(lab.word(pageWord(lab.m, pfn, PAGE_MAPPING))).toBe(mappingOfObject(OBJECT));
    expect(lab.flags(pfn) & (PG_SWAPBACKED | PG_ANON_EXCLUSIVE)).toBe(PG_SWAPBACKED);
    expect(lab.pte(B, 5) & PTE_WRITE).toBe(PTE_WRITE);
    lab.write(B, 5, 8, 1);
    expect(lab.read(A, 1)).toBe(8);
    expect(lab.violations()).toEqual([]);
  });

  it('stays in the cache when all have let go of it', () => {
    const { lab, pfn } = both();
    lab.run((ctx) => madviseDontneed(ctx, A, 0, 4));
    expect([lab.refs(pfn), lab.maps(pfn)]).toEqual([1, 0]);
    expect(lab.read(A, 1)).toBe(7);
    lab.run((ctx) => exitMmap(ctx, A));
    expect(lab.read(B, 5, 1)).toBe(7);
    lab.run((ctx) => munmap(ctx, B, 4, 8), 1);
    expect(lab.word(objectWord(lab.m, OBJECT, OBJECT_NRPAGES))).toBe(1);
    expect(lab.violations()).toEqual([]);
  });

  it('is written in place after mprotect gave the permission back', () => {
    const { lab, pfn } = both();
    lab.run((ctx) => mprotect(ctx, A, 1, 2, VM_READ));
    lab.run((ctx) => mprotect(ctx, A, 1, 2, VM_READ | VM_WRITE));
    lab.write(A, 1, 9);
    expect(lab.pfn(A, 1)).toBe(pfn);
    // the VMA was cut: each part knows its page of the object
    lab.write(A, 2, 11);
    expect(lab.read(B, 6, 1)).toBe(11);
    expect(lab.violations()).toEqual([]);
  });

  it('is shared by a child, whose page tables begin empty', () => {
    const { lab, pfn } = both();
    lab.starts.length = 0;
    expect(lab.fork(A, 2)).toBe(0);
    expect(lab.starts).toEqual([]);
    expect(lab.pte(2, 1)).toBe(0);
    lab.write(2, 1, 12, 2);
    expect(lab.pfn(2, 1)).toBe(pfn);
    expect(lab.read(A, 1)).toBe(12);
    expect(lab.violations()).toEqual([]);
  });

  it('fails with -EINVAL where there is no such object, and without memory', () => {
    const lab = new SharedLab();
    expect(lab.run((ctx) => mmapRegion(ctx, A, 0, 1, sharedFlags(2, VM_READ)))).toBe(-EINVAL);
    lab.share(A, 0, 4);
    for (let nth = 1; nth <= 2; nth++) {
      lab.ctx().task.failAllocation = nth;
      expect(lab.run((ctx) => touchUser(ctx, A, 0, true, 1))).not.toBe(0);
      expect(lab.violations()).toEqual([]);
    }
    lab.ctx().task.failAllocation = 0;
    lab.write(A, 0, 1);
  });
});

describe('pins of shared memory', () => {
  it('are had by GUP-fast, read-only ones too, and seen by migration only at its refs test', () => {
    const { lab, pfn } = both();
    lab.read(B, 5, 1);
    expect(lab.run((ctx) => gupFast(ctx, A, 1, FOLL_PIN))).toBe(pfn);
    expect(lab.refs(pfn)).toBe(3 + 1024);
    lab.starts.length = 0;
    expect(lab.migrate(pfn)).toBe(1);
    // one pair for each mapping and batch: the page is not exclusive, so it is unmapped
    expect(lab.starts).toHaveLength(4);
    expect(lab.slot(1)).toBe(pfn);
    expect([lab.pfn(A, 1), lab.pfn(B, 5)]).toEqual([pfn, pfn]);
    lab.unpin(pfn);
    expect(lab.violations()).toEqual([]);
  });

  it('for long and for writing are had too', () => {
    const { lab, pfn } = both();
    expect(lab.pin(A, 1, FOLL_WRITE | FOLL_LONGTERM)).toBe(pfn);
    lab.unpin(pfn);
    expect(lab.pin(B, 6, FOLL_WRITE | FOLL_LONGTERM, 1)).toBe(lab.slot(2));
    lab.unpin(lab.slot(2), 1);
    expect(lab.violations()).toEqual([]);
  });

  it('do not keep the NUMA scan away through v6.18', () => {
    const { lab, pfn } = both();
    lab.pin(A, 1);
    lab.run((ctx) => taskNumaWork(ctx, A, NUMA_SCAN_PAGES));
    expect(isProtnone(lab.pte(A, 1))).toBe(true);
    lab.write(A, 1, 13);
    expect(lab.pfn(A, 1)).toBe(pfn);
    lab.unpin(pfn);
    expect(lab.violations()).toEqual([]);
  });
});

describe('migration', () => {
  it('turns the slot and every mapping to the new page', () => {
    const { lab, pfn } = both();
    lab.read(B, 5, 1);
    expect(lab.migrate(pfn)).toBe(0);
    const moved = lab.slot(1);
    expect(moved).not.toBe(pfn);
    expect([lab.pfn(A, 1), lab.pfn(B, 5)]).toEqual([moved, moved]);
    expect([lab.refs(moved), lab.maps(moved), lab.refs(pfn)]).toEqual([3, 2, 0]);
    expect(lab.flags(moved) & PG_ANON_EXCLUSIVE).toBe(0);
    lab.write(A, 1, 14);
    expect(lab.read(B, 5, 1)).toBe(14);
    expect(lab.violations()).toEqual([]);
  });
});

describe('a hole, and the end of the object', () => {
  it('takes the page from everybody, pinned or not, with a notifier pair for each mapping', () => {
    const { lab, pfn } = both();
    lab.read(B, 5, 1);
    lab.pin(A, 1);
    lab.starts.length = 0;
    expect(lab.run((ctx) => madvise(ctx, B, 5, 6, MADV_REMOVE))).toBe(0);
    expect(lab.starts).toEqual([
      [A, 1, 2, MMU_NOTIFY_CLEAR],
      [B, 5, 6, MMU_NOTIFY_CLEAR],
    ]);
    expect(lab.slot(1)).toBe(0);
    expect(lab.refs(pfn)).toBe(1024);
    expect(lab.word(pageWord(lab.m, pfn, PAGE_MAPPING))).toBe(0);
    expect(lab.read(A, 1)).toBe(0);
    expect(lab.pfn(A, 1)).not.toBe(pfn);
    expect(lab.content(pfn)).toBe(7);
    lab.unpin(pfn);
    expect(lab.violations()).toEqual([]);
  });

  it('is SIGBUS behind the end', () => {
    const { lab } = both();
    expect(lab.run((ctx) => shmemTruncate(ctx, OBJECT, 1))).toBe(0);
    expect(lab.run((ctx) => touchUser(ctx, A, 1, false, 0))).toBe(VM_FAULT_SIGBUS);
    lab.write(A, 0, 3);
    expect(lab.run((ctx) => shmemTruncate(ctx, OBJECT, 8))).toBe(0);
    expect(lab.read(A, 1)).toBe(0);
    expect(lab.run((ctx) => shmemTruncate(ctx, OBJECT, 9))).toBe(-EINVAL);
    expect(lab.violations()).toEqual([]);
  });

  it('of private memory is refused', () => {
    const lab = new SharedLab();
    lab.mapSmall(A, 0, 1);
    expect(lab.run((ctx) => madvise(ctx, A, 0, 1, MADV_REMOVE))).toBe(-EINVAL);
  });
});

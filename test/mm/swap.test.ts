/** Reclaim to swap and back (kernel-model 3.12, 3.6), each step and exit by one actor at a time. */
import { describe, expect, it } from 'vitest';
import {
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_WRITE,
  MIGRATE_SYNC,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  PG_LRU,
  PG_SWAPCACHE,
  VM_LOCKED,
  VM_MERGEABLE,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import {
  SWP_SWAP,
  SWP_SWAP_EXCLUSIVE,
  entryPfn,
  isHuge,
  isSwapEntry,
  isWritable,
  swapType,
} from '#src/machine/entries.js';
import {
  GLOBAL_SWAP_CACHE_LOCK,
  SWAP_CONTENT,
  SWAP_FOLIO,
  SWAP_FREE_SLOTS,
  SWAP_HAS_CACHE,
  SWAP_MAP,
  globalLock,
  globalWord,
  swapWord,
} from '#src/machine/layout.js';
import { MC_BACKED_OUT, MC_PAGES_MOVED } from '#src/machine/stats.js';
import { gupPutFolio } from '#src/mm/gup/grab.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup/gup.js';
import { madviseCollapse } from '#src/mm/khugepaged/khugepaged.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { folioIsolateLru } from '#src/mm/swap.js';
import { reclaimPage } from '#src/mm/vmscan.js';
import { audit } from '../helpers/audit.js';
import { MmLab } from '../helpers/mm-lab.js';

const lab = (changes: ConstructorParameters<typeof MmLab>[0] = {}, swapSlots = 4): MmLab =>
  new MmLab(changes, { swapSlots, nodes: 2 });
const swapOut = (l: MmLab, vpn: number, cpu = 1): number => l.run((ctx) => reclaimPage(ctx, 0, vpn, true), cpu);
const slotWord = (l: MmLab, slot: number, field: number): number => l.word(swapWord(l.m, slot, field));
const freeSlots = (l: MmLab): number => l.word(globalWord(l.m, SWAP_FREE_SLOTS));

describe('reclaim', () => {
  it('writes a page to its slot, leaves an exclusive swap entry behind and frees the frame', () => {
    const l = lab();
    l.mapSmall(0, 2);
    const pfn = l.pfn(0);
    l.probe.starts.length = 0;
    expect(swapOut(l, 0)).toBe(1);
    expect(swapType(l.pte(0))).toBe(SWP_SWAP_EXCLUSIVE);
    const slot = entryPfn(l.pte(0));
    expect([slotWord(l, slot, SWAP_MAP), slotWord(l, slot, SWAP_FOLIO), slotWord(l, slot, SWAP_CONTENT)]).toEqual([
      1, 0, 100,
    ]);
    expect(l.refs(pfn)).toBe(0);
    expect(freeSlots(l)).toBe(3);
    // one notifier pair over the page
    expect(l.probe.starts).toEqual([[0, 0, 1, MMU_NOTIFY_CLEAR]]);
    expect(l.mechanism(MECH.reclaim, MC_PAGES_MOVED)).toBe(1);
    expect(audit(l.m)).toEqual([]);
  });

  it('keeps a pinned page before it has a slot, without a notifier', () => {
    const l = lab();
    l.mapSmall(0, 1);
    l.run((ctx) => pinUserPagesFast(ctx, 0, 0, FOLL_WRITE | FOLL_LONGTERM));
    l.probe.starts.length = 0;
    expect(swapOut(l, 0)).toBe(0);
    expect([freeSlots(l), l.probe.starts.length, l.flags(l.pfn(0)) & PG_LRU]).toEqual([4, 0, PG_LRU]);
    expect(l.mechanism(MECH.reclaim, MC_BACKED_OUT)).toBe(1);
  });

  it('before v5.11 looks at no pins: the mapping goes, the freeze keeps the page', () => {
    const l = lab({ rules: { reclaimPinChecks: 0, wpReuse: 'v5.9' } });
    l.mapSmall(0, 1);
    const pfn = l.pfn(0);
    l.run((ctx) => pinUserPagesFast(ctx, 0, 0, FOLL_WRITE | FOLL_LONGTERM));
    expect(swapOut(l, 0)).toBe(0);
    expect(swapType(l.pte(0))).toBe(SWP_SWAP);
    // the swap cache's and the pin's
    expect([l.refs(pfn), l.flags(pfn) & PG_SWAPCACHE]).toEqual([1 + 1024, PG_SWAPCACHE]);
    // a read maps it read-only, a write finds the pin's references and copies: Z07
    expect(l.read(0)).toBe(100);
    expect([l.pfn(0), isWritable(l.pte(0))]).toEqual([pfn, false]);
    l.write(0, 7);
    expect(l.pfn(0)).not.toBe(pfn);
  });

  it('restores a mapping whose page is pinned by then, and gives nothing away', () => {
    // no early look: the one at the exclusive mapping catches it
    const l = lab({ rules: { reclaimPinChecks: 0 } });
    l.mapSmall(0, 1);
    const before = l.pte(0);
    l.run((ctx) => pinUserPagesFast(ctx, 0, 0, FOLL_WRITE | FOLL_LONGTERM));
    expect(swapOut(l, 0)).toBe(0);
    expect(l.pte(0)).toBe(before);
    expect(l.flags(l.pfn(0)) & PG_ANON_EXCLUSIVE).not.toBe(0);
    const slot = l.word(globalWord(l.m, SWAP_FREE_SLOTS)) === 3 ? slotWord(l, 0, SWAP_MAP) : -1;
    // it keeps its slot, to which no entry refers
    expect(slot).toBe(SWAP_HAS_CACHE);
    expect(audit(l.m, { [l.pfn(0)]: 1024 })).toEqual([]);
  });

  it('meets a plain reference in the freeze: unmapped, written, kept', () => {
    const l = lab();
    l.mapSmall(0, 1);
    const pfn = l.run((ctx) => getUserPagesUnlocked(ctx, 0, 0, FOLL_GET));
    expect(swapOut(l, 0)).toBe(0);
    expect(isSwapEntry(l.pte(0))).toBe(true);
    expect(slotWord(l, entryPfn(l.pte(0)), SWAP_MAP)).toBe(1 | SWAP_HAS_CACHE);
    // found in the swap cache: no other frame, and writable again at once
    expect(l.read(0)).toBe(100);
    expect([l.pfn(0), isWritable(l.pte(0))]).toEqual([pfn, true]);
    l.run((ctx) => gupPutFolio(ctx, pfn, FOLL_GET));
    expect(audit(l.m)).toEqual([]);
  });

  it('keeps what is locked in memory, and what a full swap has no place for', () => {
    const l = lab({}, 1);
    l.mapSmall(0, 1, VM_LOCKED);
    l.mapSmall(4, 2);
    expect(swapOut(l, 0)).toBe(0);
    expect(l.pfn(0)).toBeGreaterThan(0);
    // the slot that the locked page has got is given back when swap is short
    expect(freeSlots(l)).toBe(1);
    expect(swapOut(l, 4)).toBe(1);
    expect(swapOut(l, 5)).toBe(0);
    expect([freeSlots(l), l.read(5)]).toEqual([0, 105]);
    expect(audit(l.m)).toEqual([]);
  });

  it('gives a page that was used lately a second chance, and one that was not, none', () => {
    const l = lab();
    l.mapSmall(0, 1);
    const slowly = (): number => l.run((ctx) => reclaimPage(ctx, 0, 0, false), 1);
    expect(slowly()).toBe(0);
    expect(slowly()).toBe(1);
  });

  it('splits a huge page and takes all of its pages', () => {
    const l = lab();
    l.mapHuge(0, 4);
    expect(isHuge(l.pmd(0))).toBe(true);
    expect(swapOut(l, 0)).toBe(4);
    expect([0, 1, 2, 3].map((vpn) => isSwapEntry(l.pte(vpn)))).toEqual([true, true, true, true]);
    expect([0, 1, 2, 3].map((vpn) => l.read(vpn))).toEqual([100, 101, 102, 103]);
    expect(audit(l.m)).toEqual([]);
  });

  it('without swap reclaims nothing', () => {
    const l = lab({}, 0);
    l.mapSmall(0, 1);
    expect([swapOut(l, 0), l.read(0)]).toEqual([0, 100]);
    expect(audit(l.m)).toEqual([]);
  });
});

describe('swap-in', () => {
  it('bypasses the cache for a slot of one entry, and frees it', () => {
    const l = lab();
    l.mapSmall(0, 1);
    swapOut(l, 0);
    expect(l.read(0)).toBe(100);
    expect([freeSlots(l), isWritable(l.pte(0)), l.flags(l.pfn(0)) & PG_ANON_EXCLUSIVE]).toEqual([
      4,
      true,
      PG_ANON_EXCLUSIVE,
    ]);
    expect(l.word(globalLock(l.m, GLOBAL_SWAP_CACHE_LOCK))).toBe(0);
    expect(audit(l.m)).toEqual([]);
  });

  it('takes a write in the same fault', () => {
    const l = lab();
    l.mapSmall(0, 1);
    swapOut(l, 0);
    l.write(0, 9);
    expect(l.read(0)).toBe(9);
    expect(swapOut(l, 0)).toBe(1);
    expect(l.read(0)).toBe(9);
  });

  it('brings a merged page back to each of its places: the first has the folio, the second a copy', () => {
    const l = lab();
    l.map(0, 2, VM_MERGEABLE);
    l.write(0, 5);
    l.write(1, 5);
    l.set(globalWord(l.m, 16), 0);
    for (let i = 0; i < 4; i++) l.run((ctx) => ksmDoScan(ctx, 4));
    expect(l.pfn(0)).toBe(l.pfn(1));
    expect(swapOut(l, 0)).toBe(1);
    expect([l.pte(0), l.pte(1)].map((entry) => swapType(entry))).toEqual([SWP_SWAP, SWP_SWAP]);
    expect(slotWord(l, entryPfn(l.pte(0)), SWAP_MAP)).toBe(2);
    expect([l.read(0), l.read(1)]).toEqual([5, 5]);
    expect(l.pfn(0)).not.toBe(l.pfn(1));
    l.write(0, 6);
    expect([l.read(0), l.read(1)]).toEqual([6, 5]);
    expect(audit(l.m)).toEqual([]);
  });

  it('is done by whoever pins the page', () => {
    const l = lab();
    l.mapSmall(0, 1);
    swapOut(l, 0);
    const pfn = l.run((ctx) => pinUserPagesFast(ctx, 0, 0, FOLL_WRITE | FOLL_LONGTERM));
    expect(l.content(pfn)).toBe(100);
  });
});

describe('what meets swap entries and the swap cache', () => {
  it('a zap frees the slot, and a folio that stays behind in the cache', () => {
    const l = lab();
    l.mapSmall(0, 2);
    swapOut(l, 0);
    // and one that reclaim could not free
    const held = l.run((ctx) => getUserPagesUnlocked(ctx, 0, 1, FOLL_GET));
    swapOut(l, 1);
    expect(freeSlots(l)).toBe(2);
    expect(l.run((ctx) => madviseDontneed(ctx, 0, 0, 2))).toBe(0);
    expect([freeSlots(l), l.refs(held)]).toEqual([4, 1]);
    l.run((ctx) => gupPutFolio(ctx, held, FOLL_GET));
    expect([l.read(0), l.read(1)]).toEqual([0, 0]);
    expect(audit(l.m)).toEqual([]);
  });

  it('migration takes a folio of the swap cache with its slot', () => {
    const l = lab();
    l.mapSmall(0, 1);
    const pfn = l.run((ctx) => getUserPagesUnlocked(ctx, 0, 0, FOLL_GET));
    swapOut(l, 0);
    l.read(0);
    l.run((ctx) => gupPutFolio(ctx, pfn, FOLL_GET));
    expect(l.flags(pfn) & PG_SWAPCACHE).toBe(PG_SWAPCACHE);
    const node = 1 - l.node(0);
    const left = l.run(function* (ctx) {
      yield* folioIsolateLru(ctx, pfn);
      return yield* ctx.kernel.migratePages(ctx, [pfn], node, MIGRATE_SYNC);
    });
    expect([left, l.node(0), l.read(0)]).toEqual([0, node, 100]);
    expect([l.flags(l.pfn(0)) & PG_SWAPCACHE, l.flags(pfn) & PG_SWAPCACHE]).toEqual([PG_SWAPCACHE, 0]);
    expect(slotWord(l, 0, SWAP_FOLIO)).toBe(l.pfn(0));
    expect(swapOut(l, 0)).toBe(1);
    expect(l.read(0)).toBe(100);
    expect(audit(l.m)).toEqual([]);
  });

  it('collapse fetches what is swapped out', () => {
    const l = lab();
    l.mapSmall(0, 4);
    swapOut(l, 1);
    expect(l.run((ctx) => madviseCollapse(ctx, 0, 0))).toBe(0);
    expect(isHuge(l.pmd(0))).toBe(true);
    expect([0, 1, 2, 3].map((vpn) => l.read(vpn))).toEqual([100, 101, 102, 103]);
    expect(freeSlots(l)).toBe(4);
    expect(audit(l.m)).toEqual([]);
  });
});

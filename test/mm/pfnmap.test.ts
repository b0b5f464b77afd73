/** A driver's memory in a process and in a guest (src/mm/memory/pfnmap.ts, src/kvm/faultin.ts): no page is anybody's but the driver's. */
import { describe, expect, it } from 'vitest';
import { EFAULT, FOLL_GET, FOLL_PIN, PG_DRIVER, VM_PFNMAP, VM_READ, VM_WRITE } from '#src/machine/abi.js';
import { entryPfn, isS2Block, isSpecial } from '#src/machine/entries.js';
import { PAGE_FLAGS, pageWord } from '#src/machine/layout.js';
import { hostPfn, stage2Pfn } from '#src/kvm/divergence.js';
import { entryAt } from '#src/oracle/view.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '#src/mm/gup/gup.js';
import { mmapRegion } from '#src/mm/vma/mmap.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { runToEnd } from '../helpers/drive.js';
import { Guest } from '../kvm/guest.js';

const made = (flags = 0): Guest => new Guest({ flags: VM_PFNMAP | flags, machine: { mmPages: 8, vmPages: 8 } });
const frames = (guest: Guest): number[] => Array.from({ length: guest.pages }, (_, vpn) => hostPfn(guest.m, 0, vpn));

describe('a VM_PFNMAP mapping', () => {
  it('is all there from the start: special entries to whole blocks, only the first page of each counted', () => {
    const guest = made();
    for (let vpn = 0; vpn < guest.pages; vpn++) {
      const entry = entryAt(guest.m, 0, vpn);
      const pfn = entryPfn(entry);
      expect(isSpecial(entry)).toBe(true);
      expect(guest.word(pageWord(guest.m, pfn, PAGE_FLAGS)) & PG_DRIVER).toBe(PG_DRIVER);
      expect([pfn & 3, guest.refs(pfn), guest.maps(pfn)]).toEqual([vpn & 3, (vpn & 3) === 0 ? 1 : 0, 0]);
    }
    expect(guest.touch(5, true, 9)).toBe(0);
    expect([guest.touch(5, false), guest.ctx(7).accessValue]).toEqual([0, 9]);
  });

  it('gives GUP nothing, fast or slow', () => {
    const guest = made();
    const ctx = guest.ctx(3);
    expect(runToEnd(getUserPagesUnlocked(ctx, 0, 1, FOLL_GET), ctx)).toBe(-EFAULT);
    expect(runToEnd(pinUserPagesFast(ctx, 0, 1, FOLL_PIN), ctx)).toBe(-EFAULT);
  });

  it('keeps its frames when it is unmapped, and has them again', () => {
    const guest = made();
    const ctx = guest.ctx(3);
    const before = frames(guest);
    expect(runToEnd(munmap(ctx, 0, 0, 8), ctx)).toBe(0);
    expect(frames(guest)).toEqual(before.map(() => -1));
    expect(runToEnd(mmapRegion(ctx, 0, 0, 8, VM_READ | VM_WRITE | VM_PFNMAP), ctx)).toBe(0);
    expect(frames(guest)).toEqual(before);
  });
});

describe('a guest on it', () => {
  it('has whole blocks, as its VMA reaches over them, and leaves every count alone', () => {
    const guest = made();
    guest.store(5, 3);
    expect(isS2Block(guest.leaf(5))).toBe(true);
    for (let gfn = 4; gfn < 8; gfn++) expect(stage2Pfn(guest.m, 0, gfn)).toBe(hostPfn(guest.m, 0, gfn));
    expect(guest.refs(hostPfn(guest.m, 0, 4))).toBe(1);
    expect(guest.refs(hostPfn(guest.m, 0, 5))).toBe(0);
    expect([guest.touch(5, false), guest.ctx(7).accessValue]).toEqual([0, 3]);
  });

  it('has pages where part of the block is gone, and none behind the gap', () => {
    const guest = made();
    const ctx = guest.ctx(3);
    guest.store(4, 1);
    expect(runToEnd(munmap(ctx, 0, 5, 6), ctx)).toBe(0);
    expect(stage2Pfn(guest.m, 0, 4)).toBe(-1);
    guest.store(4, 2);
    expect(isS2Block(guest.leaf(4))).toBe(false);
    expect([stage2Pfn(guest.m, 0, 4), stage2Pfn(guest.m, 0, 5)]).toEqual([hostPfn(guest.m, 0, 4), -1]);
    expect(guest.access(5, false)).toBe(-EFAULT);
  });

  it('may not write what the driver maps read-only', () => {
    const guest = made();
    const ctx = guest.ctx(3);
    runToEnd(munmap(ctx, 0, 0, 8), ctx);
    expect(runToEnd(mmapRegion(ctx, 0, 0, 8, VM_READ | VM_PFNMAP), ctx)).toBe(0);
    expect(guest.load(1)).toBe(0);
    expect(guest.access(1, true, 1)).toBe(-EFAULT);
  });
});

/** MADV_FREE (src/mm/madvise/free.ts): old, clean and lazyfree, until it is written again. */
import { describe, expect, it } from 'vitest';
import { EINVAL, ENOMEM, PG_DIRTY, PG_SWAPBACKED, VM_LOCKED, VM_PFNMAP } from '#src/machine/abi.js';
import { PTE_DIRTY, PTE_WRITE, PTE_YOUNG } from '#src/machine/entries.js';
import { PAGE_FLAGS, pageWord } from '#src/machine/layout.js';
import { hostPfn, stage2Pfn } from '#src/kvm/divergence.js';
import { MADV_FREE, madvise } from '#src/mm/madvise/madvise.js';
import { munmap } from '#src/mm/vma/munmap.js';
import { entryAt } from '#src/oracle/view.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Guest } from '../kvm/guest.js';

const free = (guest: Guest, start: number, end: number): number =>
  runToEnd(madvise(guest.ctx(3), 0, start, end, MADV_FREE), guest.ctx(3));
const flags = (guest: Guest, vpn: number): number =>
  guest.word(pageWord(guest.m, hostPfn(guest.m, 0, vpn), PAGE_FLAGS));
const bits = (guest: Guest, vpn: number): number => entryAt(guest.m, 0, vpn) & (PTE_WRITE | PTE_YOUNG | PTE_DIRTY);

describe('MADV_FREE', () => {
  it('makes entries old and clean and folios lazyfree, and takes them from the guest; the content stays for now', () => {
    const guest = new Guest();
    guest.touch(1, true, 5);
    guest.load(1);
    expect([bits(guest, 1), flags(guest, 1) & PG_SWAPBACKED]).toEqual([
      PTE_WRITE | PTE_YOUNG | PTE_DIRTY,
      PG_SWAPBACKED,
    ]);
    expect(free(guest, 1, 2)).toBe(0);
    expect([bits(guest, 1), flags(guest, 1) & (PG_SWAPBACKED | PG_DIRTY)]).toEqual([PTE_WRITE, 0]);
    expect(stage2Pfn(guest.m, 0, 1)).toBe(-1);
    expect([guest.touch(1, false), guest.ctx(7).accessValue]).toEqual([0, 5]);
    guest.touch(1, true, 6);
    expect(bits(guest, 1)).toBe(PTE_WRITE | PTE_YOUNG | PTE_DIRTY);
    expect(audit(guest.m)).toEqual([]);
  });

  it('leaves alone what is not there: holes count, other kinds of memory are refused', () => {
    const guest = new Guest();
    expect(free(guest, 0, 4)).toBe(0);
    runToEnd(munmap(guest.ctx(3), 0, 1, 2), guest.ctx(3));
    guest.touch(2, true, 5);
    expect(free(guest, 0, 4)).toBe(-ENOMEM);
    expect(flags(guest, 2) & PG_SWAPBACKED).toBe(0);
    expect(free(new Guest({ flags: VM_PFNMAP }), 0, 1)).toBe(-EINVAL);
    expect(free(new Guest({ flags: VM_LOCKED }), 0, 1)).toBe(-EINVAL);
  });
});

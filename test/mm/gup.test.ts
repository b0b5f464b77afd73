/**
 * get_user_pages and pin_user_pages: what they take and give back, and each way to fail (kernel-model 3.10.1, 3.10.4).
 */
import { describe, expect, it } from 'vitest';
import {
  EEXIST,
  EFAULT,
  EHWPOISON,
  EINTR,
  EMLINK,
  ENOMEM,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_WRITE,
  PG_ANON_EXCLUSIVE,
  PG_DIRTY,
  PG_HWPOISON,
  PG_REFERENCED,
  VM_FAULT_RETRY,
  VM_PFNMAP,
  VM_READ,
  VM_WRITE,
} from '#src/machine/abi.js';
import type { Coroutine } from '#src/machine/context.js';
import {
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  SWP_HWPOISON,
  isProtnone,
  isSpecial,
  isTable,
  mkEntry,
  mkSwapEntry,
} from '#src/machine/entries.js';
import { MMF_HAS_PINNED, MM_FLAGS, PAGE_FLAGS, PAGE_REFS, mmWord, pageWord } from '#src/machine/layout.js';
import { mmapReadLock, mmapReadUnlock } from '#src/locks/vma-lock.js';
import { NO_PAGE } from '#src/mm/gup/follow.js';
import { gupPutFolio } from '#src/mm/gup/grab.js';
import { getUserPagesUnlocked } from '#src/mm/gup/gup.js';
import { splitHugePmd } from '#src/mm/huge_memory/split.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { findVma } from '#src/mm/vma/vma.js';
import { audit } from '../helpers/audit.js';
import { MmLab } from '../helpers/mm-lab.js';

/** The slow path alone: pin_user_pages() under mmap_lock. */
function pin(lab: MmLab, vpn: number, flags = FOLL_WRITE, cpu = 0): number {
  return lab.run(function* (ctx): Coroutine {
    yield* mmapReadLock(ctx, 0);
    const result = yield* ctx.kernel.pinUserPages(ctx, 0, vpn, flags);
    yield* mmapReadUnlock(ctx, 0);
    return result;
  }, cpu);
}

const unpin = (lab: MmLab, pfn: number, dirty = false): void =>
  lab.run((ctx) => ctx.kernel.unpinUserPage(ctx, pfn, dirty));

const get = (lab: MmLab, vpn: number, flags: number): number =>
  lab.run((ctx) => getUserPagesUnlocked(ctx, 0, vpn, flags));

/** follow_page without anything taken. */
const follow = (lab: MmLab, vpn: number, flags: number): number =>
  lab.run((ctx) => ctx.kernel.followPagePte(ctx, 0, findVma(ctx, 0, vpn), vpn, flags));

describe('what a pin holds', () => {
  it('a small page: 1024 references, given back with the page dirty', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 2);
    const pfn = lab.pfn(0);
    expect(pin(lab, 0)).toBe(pfn);
    expect(lab.refs(pfn)).toBe(1025);
    expect(lab.maps(pfn)).toBe(1);
    expect(lab.pins(pfn)).toBe(0);
    expect(lab.word(mmWord(lab.m, 0, MM_FLAGS)) & MMF_HAS_PINNED).toBe(MMF_HAS_PINNED);
    expect(lab.probe.pinned).toEqual([[0, 0, pfn]]);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);

    expect(lab.flags(pfn) & PG_DIRTY).toBe(0);
    unpin(lab, pfn, true);
    expect(lab.flags(pfn) & PG_DIRTY).toBe(PG_DIRTY);
    expect(lab.probe.unpinned).toEqual([pfn]);
    expect([lab.stat('pins'), lab.stat('unpins'), lab.stat('pin_failures')]).toEqual([1, 1, 0]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a huge page: a reference and a pin of the head, whichever page is asked for', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    expect(pin(lab, 3)).toBe(head + 3);
    expect([lab.refs(head), lab.pins(head), lab.refs(head + 3)]).toEqual([2, 1, 0]);
    unpin(lab, head + 3);
    expect([lab.refs(head), lab.pins(head)]).toEqual([1, 0]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('a page of a huge page that is mapped by PTEs: the same, on top of one reference per PTE', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const head = lab.pfn(0);
    lab.run((ctx) => splitHugePmd(ctx, 0, findVma(ctx, 0, 0), 0));
    expect(isTable(lab.pmd(0))).toBe(true);
    expect(pin(lab, 2, 0)).toBe(head + 2);
    expect([lab.refs(head), lab.pins(head)]).toEqual([5, 1]);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it('the zero page: nothing, and nothing is given back', () => {
    const lab = new MmLab();
    lab.map(0, 1);
    expect(lab.read(0)).toBe(0);
    expect(pin(lab, 0, 0)).toBe(0);
    expect(lab.refs(0)).toBe(1);
    unpin(lab, 0);
    expect(lab.refs(0)).toBe(1);
    expect(lab.probe.pinned).toEqual([]);
    expect(audit(lab.m)).toEqual([]);
  });

  it('the page outlives its mapping by the pin', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    pin(lab, 0);
    lab.run((ctx) => madviseDontneed(ctx, 0, 0, 1));
    expect(lab.refs(pfn)).toBe(1024);
    expect(lab.content(pfn)).toBe(100);
    unpin(lab, pfn);
    expect(lab.refs(pfn)).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('get_user_pages: one plain reference, and the page is marked used', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    expect(get(lab, 0, 0)).toBe(lab.pfn(0));
    expect(lab.refs(pfn)).toBe(2);
    expect(lab.flags(pfn) & PG_REFERENCED).toBe(PG_REFERENCED);
    expect(lab.word(mmWord(lab.m, 0, MM_FLAGS)) & MMF_HAS_PINNED).toBe(0);
    lab.run((ctx) => gupPutFolio(ctx, pfn, FOLL_GET));
    expect(audit(lab.m)).toEqual([]);
  });

  it('FOLL_TOUCH for writing dirties a page whose PTE is clean', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    lab.set(lab.pteAt(0), lab.pte(0) & ~PTE_DIRTY);
    expect(follow(lab, 0, FOLL_TOUCH | FOLL_WRITE)).toBe(lab.pfn(0));
    expect(lab.flags(pfn) & PG_DIRTY).toBe(PG_DIRTY);
    expect(lab.refs(pfn)).toBe(1);
  });
});

describe('faulting in', () => {
  it('an untouched page: written pins get a page, and the loop looks it up again', () => {
    const lab = new MmLab();
    lab.map(0, 1);
    expect(pin(lab, 0)).toBe(lab.pfn(0));
    expect(lab.stat('faults')).toBe(1);
    expect(lab.refs(lab.pfn(0))).toBe(1025);
  });

  it('a long-term read pin of the zero page first makes a page of its own', () => {
    const lab = new MmLab();
    lab.map(0, 1);
    lab.read(0);
    expect(follow(lab, 0, FOLL_PIN | FOLL_LONGTERM)).toBe(-EMLINK);
    const pfn = pin(lab, 0, FOLL_LONGTERM);
    expect(pfn).toBe(lab.pfn(0));
    expect(pfn).not.toBe(0);
    expect(lab.pte(0) & PTE_WRITE).toBe(0);
    expect(lab.flags(pfn) & PG_ANON_EXCLUSIVE).toBe(PG_ANON_EXCLUSIVE);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it('a read pin of a page that may be shared unshares it; a plain reference does not', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_ANON_EXCLUSIVE);
    lab.set(lab.pteAt(0), lab.pte(0) & ~PTE_WRITE);
    expect(follow(lab, 0, FOLL_PIN)).toBe(-EMLINK);
    expect(get(lab, 0, 0)).toBe(lab.pfn(0));
    // somebody else's reference: the unshare must copy
    expect(pin(lab, 0, 0)).toBe(lab.pfn(0));
    expect(lab.pfn(0)).not.toBe(pfn);
    expect(lab.content(lab.pfn(0))).toBe(100);
  });

  it('before 5.19 there was no unsharing', () => {
    const lab = new MmLab({ rules: { wpReuse: 'v5.9' } });
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    lab.set(pageWord(lab.m, pfn, PAGE_FLAGS), lab.flags(pfn) & ~PG_ANON_EXCLUSIVE);
    lab.set(lab.pteAt(0), lab.pte(0) & ~PTE_WRITE);
    expect(pin(lab, 0, 0)).toBe(pfn);
  });

  it('FOLL_FORCE writes through a read-only entry once the page is exclusive, and never changes the entry', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    lab.run((ctx) => mprotect(ctx, 0, 0, 1, VM_READ));
    expect(lab.pte(0) & PTE_WRITE).toBe(0);
    expect(pin(lab, 0, FOLL_WRITE)).toBe(-EFAULT);
    expect(pin(lab, 0, FOLL_WRITE | FOLL_FORCE)).toBe(lab.pfn(0));
    expect(lab.pte(0) & PTE_WRITE).toBe(0);
    expect(lab.refs(lab.pfn(0))).toBe(1025);
  });

  it('a handler that releases mmap_lock: the VMA is looked up again', () => {
    let calls = 0;
    const base = new MmLab();
    const lab = new MmLab({
      *handleMmFault(ctx, mm, vma, vpn, flags): Coroutine {
        if (calls++ > 0) return yield* base.kernel.handleMmFault(ctx, mm, vma, vpn, flags);
        yield* mmapReadUnlock(ctx, mm);
        return VM_FAULT_RETRY;
      },
    });
    lab.map(0, 1);
    expect(pin(lab, 0)).toBe(lab.pfn(0));
    expect(calls).toBe(2);
    expect(lab.ctx().task.heldCount).toBe(0);
  });
});

/** A process whose page 0 is a hint. */
function hinted(rules: 'v6.0' | 'v6.1' | 'v6.8'): MmLab {
  const lab = new MmLab({ rules: { gupHonorsNuma: rules } });
  lab.mapSmall(0, 1);
  lab.set(lab.pteAt(0), (lab.pte(0) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE);
  return lab;
}

describe('NUMA hints', () => {
  it.each([
    ['v6.0', 0, true],
    ['v6.1', 0, false],
    ['v6.1', FOLL_FORCE, true],
    ['v6.8', 0, true],
    ['v6.8', FOLL_HONOR_NUMA_FAULT, false],
  ] as const)('%s, flags %i: an internal follower gets the page: %s', (rules, flags, found) => {
    const lab = hinted(rules);
    expect(follow(lab, 0, flags)).toBe(found ? lab.pfn(0) : NO_PAGE);
  });

  it.each([
    ['v6.0', 0, 1],
    ['v6.1', 0, 1],
    ['v6.8', 0, 0],
    ['v6.8', FOLL_HONOR_NUMA_FAULT, 1],
  ] as const)('%s, flags %i: get_user_pages takes %i hint faults', (rules, flags, faults) => {
    const lab = hinted(rules);
    expect(get(lab, 0, flags)).toBe(lab.pfn(0));
    expect(lab.stat('numa_hint_faults')).toBe(faults);
    expect(isProtnone(lab.pte(0))).toBe(faults === 0);
  });

  it('a written pin always takes the fault, as a hint is never writable: it un-hints what it pins', () => {
    const lab = hinted('v6.8');
    expect(pin(lab, 0)).toBe(lab.pfn(0));
    expect(isProtnone(lab.pte(0))).toBe(false);
    expect(lab.pte(0) & PTE_WRITE).toBe(PTE_WRITE);
  });

  it('mprotect(PROT_NONE) is no hint: -EFAULT, with FOLL_FORCE it is followed', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    lab.run((ctx) => mprotect(ctx, 0, 0, 1, 0));
    expect(pin(lab, 0, FOLL_HONOR_NUMA_FAULT)).toBe(-EFAULT);
    expect(pin(lab, 0, FOLL_HONOR_NUMA_FAULT | FOLL_FORCE)).toBe(lab.pfn(0));
    expect(lab.stat('numa_hint_faults')).toBe(0);
  });
});

describe('failures', () => {
  it.each([
    ['no VMA', -EFAULT, 9, 0],
    ['a hole beyond the address space', -EFAULT, 1 << 20, 0],
  ])('%s: %i', (_what, errno, vpn, flags) => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    expect(pin(lab, vpn, flags)).toBe(errno);
    expect(lab.stat('pin_failures')).toBe(1);
    expect(lab.ctx().task.heldCount).toBe(0);
  });

  it('device memory and a write without permission: -EFAULT', () => {
    const lab = new MmLab();
    lab.map(0, 1, VM_PFNMAP);
    expect(pin(lab, 0, 0)).toBe(-EFAULT);
    lab.mapSmall(4, 1);
    lab.run((ctx) => mprotect(ctx, 0, 4, 5, VM_READ));
    expect(pin(lab, 4)).toBe(-EFAULT);
    lab.run((ctx) => mprotect(ctx, 0, 4, 5, VM_WRITE));
    expect(pin(lab, 4, 0)).toBe(-EFAULT);
    expect(pin(lab, 4, FOLL_FORCE)).toBe(lab.pfn(4));
  });

  it('an entry without a struct page: -EEXIST inside, -EFAULT to the caller', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    lab.set(lab.pteAt(0), mkEntry(5, PTE_PRESENT | PTE_SPECIAL));
    expect(follow(lab, 0, FOLL_GET)).toBe(-EEXIST);
    expect(get(lab, 0, 0)).toBe(-EFAULT);
    expect(isSpecial(lab.pte(0))).toBe(true);
  });

  it('a poisoned page: -EHWPOISON for who asks, -EFAULT for others', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    lab.set(pageWord(lab.m, lab.pfn(0), PAGE_FLAGS), lab.flags(lab.pfn(0)) | PG_HWPOISON);
    lab.set(lab.pteAt(0), mkSwapEntry(SWP_HWPOISON, lab.pfn(0), 0));
    expect(get(lab, 0, FOLL_HWPOISON)).toBe(-EHWPOISON);
    expect(get(lab, 0, 0)).toBe(-EFAULT);
    expect(pin(lab, 0, FOLL_HWPOISON)).toBe(-EHWPOISON);
  });

  it('no memory for the fault: -ENOMEM', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    lab.map(4, 1);
    lab.ctx().task.failAllocation = 1;
    expect(pin(lab, 4)).toBe(-ENOMEM);
    expect(pin(lab, 4)).toBe(lab.pfn(4));
  });

  it('a reference count that is not positive: -ENOMEM, nothing taken', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    const at = pageWord(lab.m, pfn, PAGE_REFS);
    lab.set(at, -5);
    expect(pin(lab, 0)).toBe(-ENOMEM);
    expect(lab.word(at)).toBe(-5);
  });

  it('a fatal signal: -EINTR', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    lab.ctx().task.fatalSignal = true;
    expect(pin(lab, 0)).toBe(-EINTR);
    expect(lab.refs(lab.pfn(0))).toBe(1);
  });
});

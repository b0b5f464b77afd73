/**
 * On one thread the ledgers are exact at every step. Each test stops the kernel somewhere in the middle, or breaks what it has
 * just done, and looks whether the next moment that allows a judgement brings one.
 */
import { describe, expect, it } from 'vitest';
import { PG_ANON_EXCLUSIVE } from '#src/machine/abi.js';
import { REF_MAP, REF_PIN, REF_TEMP } from '#src/machine/context.js';
import { PKVM_PAGE_SHARED_OWNED, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, mkEntry } from '#src/machine/entries.js';
import {
  GLOBAL_HOST_MMU_LOCK,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_HYP,
  PAGE_REFS,
  VM_INVALIDATE_IN_PROGRESS,
  VM_MMU_LOCK,
  globalLock,
  ptlOf,
  vmWord,
} from '#src/machine/layout.js';
import { tlbSlot } from '#src/machine/tlb.js';
import { LOCK_HOST_MMU, LOCK_MMU, LOCK_PTL } from '#src/locks/classes.js';
import { spinLock, spinUnlock } from '#src/locks/exclusive.js';
import { readLock, readUnlock } from '#src/locks/rw.js';
import { MC_PLACE_HOST, MC_PLACE_HOST_MC, MC_PLACE_HYP_MC, MC_PLACE_POOL } from '#src/hyp/memcache.js';
import { Bench, PINNER, VCPU, VMM, kinds } from './bench.js';

const found = (bench: Bench): string[] => kinds(bench.probe.violations);

function mapped(options: ConstructorParameters<typeof Bench>[0] = {}): { bench: Bench; pfn: number } {
  const bench = new Bench(options);
  for (let vpn = 0; vpn < 4; vpn++) bench.write(vpn, 100 + vpn);
  bench.guestWrite(2, 5);
  expect(bench.probe.violations).toEqual([]);
  return { bench, pfn: bench.pfn(2) };
}

/** Takes and releases the PTL of all small pages: the moment at which pending judgements are made. */
function passPtl(bench: Bench): void {
  const ctx = bench.ctx(VMM);
  spinLock(ctx, ptlOf(bench.m, 0), LOCK_PTL);
  spinUnlock(ctx, ptlOf(bench.m, 0), LOCK_PTL);
}

/** Stores a PTE as kernel code does, with its hook. */
function storePte(bench: Bench, vpn: number, entry: number): void {
  const at = bench.entryWord(vpn);
  const before = bench.word(at);
  bench.poke(at, entry);
  bench.probe.onEntry(bench.ctx(VMM), 0, vpn, at, before, entry);
}

describe('I-REF at each step', () => {
  it('a count that changed without a holder', () => {
    const { bench, pfn } = mapped();
    const refs = bench.page(pfn, PAGE_REFS);
    bench.poke(refs, bench.word(refs) + 1);
    bench.probe.onRef(bench.ctx(VMM), pfn, 1, REF_TEMP);
    expect(found(bench)).toEqual([]);
    bench.poke(refs, bench.word(refs) + 2);
    bench.probe.onRef(bench.ctx(VMM), pfn, 1, REF_TEMP);
    expect(found(bench)).toEqual(['I-REF reference count without a holder']);
  });

  it('a reference that only changes its reason is none', () => {
    const { bench, pfn } = mapped();
    bench.probe.onRef(bench.ctx(VMM), pfn, -1, REF_MAP);
    bench.probe.onRef(bench.ctx(VMM), pfn, 1, REF_TEMP);
    expect(found(bench)).toEqual([]);
  });

  it('a count unfrozen to another number', () => {
    const { bench, pfn } = mapped();
    bench.probe.onFreeze(bench.ctx(VMM), pfn, 1);
    bench.poke(bench.page(pfn, PAGE_REFS), 3);
    bench.probe.onFreeze(bench.ctx(VMM), pfn, -3);
    expect(found(bench)).toEqual(['I-REF reference count without a holder']);
  });
});

describe('I-STALE and I-PERM as soon as they may be judged', () => {
  it('a hint put under a stage-2 leaf', () => {
    const { bench } = mapped();
    storePte(bench, 2, (bench.word(bench.entryWord(2)) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE);
    expect(found(bench)).toEqual([]);
    passPtl(bench);
    expect(found(bench)).toEqual(['I-STALE stage 2 maps a stale page']);
    expect(bench.probe.violations[0]).toMatchObject({ vm: 0, gfn: 2, mm: 0, vpn: 2, received: 'a PROT_NONE entry' });
  });

  it('not while the PTL is held, an invalidation is open or mmu_lock has another reader', () => {
    const { bench } = mapped();
    const entry = bench.word(bench.entryWord(2));
    const inProgress = vmWord(bench.m, 0, VM_INVALIDATE_IN_PROGRESS);
    const mmuLock = vmWord(bench.m, 0, VM_MMU_LOCK);
    bench.poke(inProgress, 1);
    storePte(bench, 2, 0);
    passPtl(bench);
    storePte(bench, 2, entry);
    bench.poke(inProgress, 0);
    passPtl(bench);
    expect(found(bench)).toEqual([]);

    const other = bench.ctx(VCPU);
    readLock(other, mmuLock, LOCK_MMU);
    storePte(bench, 2, 0);
    passPtl(bench);
    expect(found(bench)).toEqual([]);
    readUnlock(other, mmuLock, LOCK_MMU);
    expect(found(bench)).toEqual(['I-STALE stage 2 maps a stale page']);
  });

  it('a leaf of a page that is shared by now', () => {
    const { bench, pfn } = mapped();
    bench.poke(bench.page(pfn, PAGE_FLAGS), bench.word(bench.page(pfn, PAGE_FLAGS)) & ~PG_ANON_EXCLUSIVE);
    storePte(bench, 2, bench.word(bench.entryWord(2)) & ~PTE_WRITE);
    passPtl(bench);
    expect(found(bench)).toEqual(['I-PERM shared page writable for guest']);
  });
});

describe('I-PIN', () => {
  it('a pinned page that another one takes the place of', () => {
    const { bench, pfn } = mapped();
    expect(bench.pin(2)).toBe(pfn);
    storePte(bench, 2, mkEntry(bench.pfn(3), PTE_PRESENT));
    expect(found(bench)).toContain('I-PIN pinned page replaced in place');
  });

  it('a pinned page that is freed', () => {
    const { bench, pfn } = mapped();
    bench.pin(2);
    bench.probe.onFree(bench.ctx(VMM), pfn, 0);
    expect(found(bench)).toContain('I-PIN pinned page was freed');
  });

  it('not after the process has let go of it, or the pin has been released', () => {
    const { bench, pfn } = mapped();
    bench.pin(2);
    bench.pin(3);
    bench.zap(2, 3);
    bench.write(2, 8);
    expect(bench.pfn(2)).not.toBe(pfn);
    bench.unpin(bench.pfn(3));
    bench.zap(3, 4);
    bench.write(3, 8);
    bench.unpin(pfn);
    expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
  });

  it('not when a zap came between the moment of pinning and the return of the call', () => {
    const { bench, pfn } = mapped();
    const refs = bench.page(pfn, PAGE_REFS);
    bench.poke(refs, bench.word(refs) + 1024);
    bench.probe.onRef(bench.ctx(PINNER), pfn, 1024, REF_PIN);
    bench.zap(2, 3);
    bench.probe.onPinned(bench.ctx(PINNER), 0, 2, pfn);
    bench.write(2, 8);
    expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
  });
});

describe('I-LOST at each read', () => {
  it('a write that went elsewhere', () => {
    const { bench, pfn } = mapped();
    expect(bench.read(2)).toBe(5);
    expect(bench.guestRead(2)).toBe(5);
    bench.poke(bench.page(pfn, PAGE_CONTENT), 4);
    bench.guestRead(2);
    expect(found(bench)).toEqual(['I-LOST retired write is lost']);
    expect(bench.probe.violations[0]).toMatchObject({ vm: 0, gfn: 2, pfn, expected: '0x5', received: '0x4' });
  });

  it('a page of somebody else where nothing was written yet', () => {
    const { bench } = mapped();
    expect(bench.read(6)).toBe(0);
    bench.write(7, 1);
    bench.zap(7, 8);
    bench.poke(bench.page(0, PAGE_CONTENT), 77);
    bench.read(5);
    expect(found(bench)).toEqual(['I-LOST retired write is lost']);
  });

  it("a device's write is seen through the page that it has pinned", () => {
    const { bench } = mapped();
    const pfn = bench.pin(3);
    bench.poke(bench.page(pfn, PAGE_CONTENT), 900);
    bench.probe.onDeviceWrite(bench.ctx(PINNER), pfn, 900);
    expect(bench.read(3)).toBe(900);
    expect(found(bench)).toEqual([]);
    bench.poke(bench.page(pfn, PAGE_CONTENT), 103);
    bench.read(3);
    expect(found(bench)).toEqual(['I-LOST retired write is lost']);
  });

  it('not what a zap took, and not what a guest that went its own way sees', () => {
    const { bench } = mapped({ policy: 'pkvm-2022' });
    bench.zap(2, 3);
    expect(bench.read(2)).toBe(0);
    bench.write(2, 8);
    expect(bench.guestRead(2)).toBe(5);
    bench.guestWrite(2, 6);
    expect(bench.read(2)).toBe(8);
    expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
  });
});

describe('I-TLB when an operation has returned', () => {
  it('a user page whose entry was weakened and not flushed', () => {
    const { bench } = mapped();
    bench.write(3, 1);
    storePte(bench, 3, bench.word(bench.entryWord(3)) & ~PTE_WRITE);
    expect(found(bench)).toEqual([]);
    bench.probe.onProgress(bench.ctx(VMM));
    expect(found(bench)).toEqual(['I-TLB TLB entry writable, PTE not']);
  });

  it('not while another actor is about to flush it', () => {
    const { bench } = mapped();
    bench.write(3, 1);
    const at = bench.entryWord(3);
    const entry = bench.word(at);
    storePte(bench, 3, entry & ~PTE_WRITE);
    bench.probe.onEntry(bench.ctx(PINNER), 0, 3, at, entry, entry & ~PTE_WRITE);
    bench.probe.onProgress(bench.ctx(VMM));
    expect(found(bench)).toEqual([]);
    bench.probe.onProgress(bench.ctx(PINNER));
    expect(found(bench)).toEqual(['I-TLB TLB entry writable, PTE not']);
  });

  it('a guest entry that outlives the start callback', () => {
    const { bench } = mapped();
    bench.poke(bench.leafWord(2), 0);
    bench.probe.onNotifierStarted(bench.ctx(VMM), 0, 4, 8);
    expect(found(bench)).toEqual([]);
    bench.probe.onNotifierStarted(bench.ctx(VMM), 0, 0, 4);
    expect(found(bench)).toEqual(['I-TLB TLB entry outlived stage-2 leaf']);
    expect(bench.probe.violations[0]).toMatchObject({ actor: VMM, other: VCPU, gfn: 2 });
    expect(bench.word(tlbSlot(bench.m, VCPU, 2))).not.toBe(0);
  });
});

describe('EL2', () => {
  it('I-OWN when the last of its locks is released, and not before', () => {
    const { bench, pfn } = mapped({ policy: 'pkvm-2022' });
    const ctx = bench.ctx(VCPU);
    const lock = globalLock(bench.m, GLOBAL_HOST_MMU_LOCK);
    ctx.cpu.atEl2 = true;
    spinLock(ctx, lock, LOCK_HOST_MMU);
    bench.poke(bench.page(pfn, PAGE_HYP), (bench.word(bench.page(pfn, PAGE_HYP)) & ~3) | PKVM_PAGE_SHARED_OWNED);
    bench.probe.onOwnership(ctx, pfn);
    bench.poke(bench.page(pfn, PAGE_HYP), bench.word(bench.page(pfn, PAGE_HYP)) & ~3);
    expect(found(bench)).toEqual([]);
    spinUnlock(ctx, lock, LOCK_HOST_MMU);
    expect(found(bench)).toEqual(['I-OWN ownership triple is not legal']);
    expect(bench.probe.violations[0]).toMatchObject({
      pfn,
      received: 'host OWNED, hyp NOPAGE, guest SHARED_BORROWED, annotation 0',
    });
  });

  it('I-HYPMC: a page that moves from where it is not', () => {
    const { bench } = mapped({ policy: 'pkvm-2022' });
    const ctx = bench.ctx(VCPU);
    bench.probe.onMemcache(ctx, 20, MC_PLACE_HOST, MC_PLACE_HOST_MC);
    bench.probe.onMemcache(ctx, 20, MC_PLACE_HOST_MC, MC_PLACE_HYP_MC);
    expect(found(bench)).toEqual([]);
    bench.probe.onMemcache(ctx, 20, MC_PLACE_POOL, MC_PLACE_HOST);
    expect(found(bench)).toEqual(['I-HYPMC page moved from elsewhere']);
  });
});

describe('reset', () => {
  it('goes back with the machine to its start, as a schedule explorer does', () => {
    const bench = new Bench();
    const template = bench.m.words.slice();
    for (let schedule = 0; schedule < 3; schedule++) {
      bench.m.words.set(template);
      bench.probe.reset();
      for (const [cpu] of [VMM, VCPU, PINNER].entries()) {
        bench.ctx(cpu).task.heldCount = 0;
        bench.ctx(cpu).cpu.preemptCount = 0;
      }
      bench.write(2, 5 + schedule);
      bench.guestWrite(2, 50 + schedule);
      bench.pin(2);
      expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
    }
  });
});

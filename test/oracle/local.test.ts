import { describe, expect, it } from 'vitest';
import { MAPPING_KSM, PG_ANON_EXCLUSIVE } from '#src/machine/abi.js';
import { PTE_PRESENT, PTE_WRITE, S2_VALID, S2_WRITE, entryPfn, mkEntry } from '#src/machine/entries.js';
import {
  ACTOR_HELD_COUNT,
  ACTOR_PROGRESS,
  ACTOR_RETRIES,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_MAPPING,
  PAGE_REFS,
  VM_INVALIDATE_IN_PROGRESS,
  VM_INVALIDATE_SEQ,
  VM_STATE,
  actorWord,
  pinnedPageWord,
  pmdWord,
  vmWord,
} from '#src/machine/layout.js';
import { VM_STATE_DYING } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { tlbSlot, tlbTag } from '#src/machine/tlb.js';
import { RETRIES_MAX } from '#src/oracle/rules/liveness.js';
import { VIOLATIONS_KEPT_OF_KIND } from '#src/oracle/violation.js';
import { Bench, VCPU, VMM, kinds } from './bench.js';

const found = (bench: Bench): string[] => kinds(bench.probe.violations);

/** A page written by the process and mapped by the guest. */
function mapped(options: ConstructorParameters<typeof Bench>[0] = {}): { bench: Bench; pfn: number } {
  const bench = new Bench({ level: 'local', ...options });
  bench.write(2, 5);
  bench.guestRead(2);
  expect(bench.probe.violations).toEqual([]);
  return { bench, pfn: bench.pfn(2) };
}

describe('I-FREE at the step that frees', () => {
  it('says what still leads to the page', () => {
    const { bench, pfn } = mapped();
    bench.probe.onFree(bench.ctx(VMM), pfn, 0);
    expect(found(bench)).toEqual([
      'I-FREE freed page has references',
      'I-FREE freed page is still mapped',
      'I-FREE freed page has a PTE',
      'I-FREE freed page mapped at stage 2',
    ]);
    const [violation] = bench.probe.violations;
    expect(violation).toMatchObject({ actor: VMM, pfn, expected: '0' });
    expect(structuredClone(violation)).toEqual(violation);
  });

  it('finds a TLB entry of process and guest, where ledgers are kept', () => {
    const { bench, pfn } = mapped({ level: 'all', mode: 'threads' });
    bench.probe.onFree(bench.ctx(VMM), pfn, 0);
    expect(found(bench)).toContain('I-FREE freed page in a TLB');
    expect(
      bench.probe.violations.filter(({ what }) => what === 'freed page in a TLB').map(({ actors }) => actors),
    ).toEqual([
      [VMM, VMM],
      [VMM, VCPU],
    ]);
  });

  it('finds a stage-2 leaf of a free page when it is installed', () => {
    const { bench } = mapped();
    bench.probe.onStage2Map(bench.ctx(VCPU), 0, 3, bench.m.frames - 1, 1, false);
    expect(found(bench)).toEqual(['I-FREE stage 2 maps free page']);
  });
});

describe('I-EXCL and I-RO at the entry and at the store', () => {
  it('a writable PTE of a page that is not exclusive', () => {
    const { bench, pfn } = mapped();
    const entry = mkEntry(pfn, PTE_PRESENT | PTE_WRITE);
    bench.probe.onEntry(bench.ctx(VMM), 0, 2, 0, 0, entry);
    expect(found(bench)).toEqual([]);
    bench.poke(bench.page(pfn, PAGE_FLAGS), bench.word(bench.page(pfn, PAGE_FLAGS)) & ~PG_ANON_EXCLUSIVE);
    bench.probe.onEntry(bench.ctx(VMM), 0, 2, 0, 0, entry & ~PTE_WRITE);
    expect(found(bench)).toEqual([]);
    bench.probe.onEntry(bench.ctx(VMM), 0, 2, 0, 0, entry);
    expect(found(bench)).toEqual(['I-EXCL writable PTE, page not exclusive']);
  });

  it('a KSM page and the zero page, mapped writable or written', () => {
    const { bench, pfn } = mapped();
    bench.poke(bench.page(pfn, PAGE_MAPPING), MAPPING_KSM);
    bench.probe.onEntry(bench.ctx(VMM), 0, 2, 0, 0, mkEntry(pfn, PTE_PRESENT | PTE_WRITE));
    bench.probe.onWrite(bench.ctx(VCPU), true, 0, 2, pfn, 9);
    bench.probe.onDeviceWrite(bench.ctx(VCPU), pfn, 9);
    bench.probe.onWrite(bench.ctx(VCPU), true, 0, 2, 0, 9);
    expect(found(bench)).toEqual([
      'I-RO KSM page mapped writable',
      'I-RO CPU wrote a KSM page',
      'I-RO device wrote a KSM page',
      'I-RO zero page was written',
    ]);
  });

  it('a writable stage-2 leaf of the zero page or a KSM page (I-PERM)', () => {
    const { bench, pfn } = mapped();
    bench.probe.onStage2Map(bench.ctx(VCPU), 0, 2, pfn, 1, true);
    expect(found(bench)).toEqual([]);
    bench.probe.onStage2Perm(bench.ctx(VCPU), 0, 2, 0, 1, true);
    bench.poke(bench.page(pfn, PAGE_MAPPING), MAPPING_KSM);
    bench.probe.onStage2Map(bench.ctx(VCPU), 0, 2, pfn, 1, true);
    expect(found(bench)).toEqual(['I-PERM zero page writable for guest', 'I-PERM KSM page writable for guest']);
  });
});

const unmap = (bench: Bench, pfn: number, mechanism: number): void => {
  const ctx = bench.ctx(VMM);
  ctx.task.mechanism = mechanism;
  bench.probe.onStage2Unmap(ctx, 0, 2, pfn, 1);
  ctx.task.mechanism = 0;
};

describe('I-PINNED-S2 by the claims of the policy', () => {
  it('counts nothing where nothing is claimed', () => {
    const { bench } = mapped({ level: 'all' });
    unmap(bench, bench.pin(2), MECH.numa_scan);
    expect(found(bench)).toEqual([]);
  });

  it('longterm: any returned pin, against the mechanisms that look at pins', () => {
    const { bench, pfn } = mapped({ level: 'all', policy: 'check-then-notify' });
    unmap(bench, pfn, MECH.numa_scan);
    expect(bench.pin(2)).toBe(pfn);
    unmap(bench, pfn, MECH.zap);
    expect(found(bench)).toEqual([]);
    unmap(bench, pfn, MECH.ksm);
    expect(found(bench)).toEqual(['I-PINNED-S2 pinned page unmapped at stage 2']);
    bench.unpin(pfn);
    bench.probe.reset();
    unmap(bench, pfn, MECH.ksm);
    expect(found(bench)).toEqual([]);
  });

  it('longterm on threads: pins of other workers, where they are shared', () => {
    const sharedPins = new SharedArrayBuffer(4 * 64);
    const { bench, pfn } = mapped({ level: 'all', mode: 'threads', policy: 'check-then-notify', sharedPins });
    new Int32Array(sharedPins)[pfn] = 1;
    unmap(bench, pfn, MECH.numa_scan);
    expect(found(bench)).toEqual(['I-PINNED-S2 pinned page unmapped at stage 2']);
    expect(bench.pin(3)).toBeGreaterThan(0);
    expect(new Int32Array(sharedPins)[bench.pfn(3)]).toBe(1);
  });

  it("mapping: the mapping's own pin, until the VM is torn down", () => {
    const bench = new Bench({ level: 'local', policy: 'pkvm-2022' });
    bench.guestWrite(2, 1);
    const pfn = bench.word(pinnedPageWord(bench.m, 0, 2)) - 1;
    expect(pfn).toBe(bench.pfn(2));
    bench.probe.onStage2Unmap(bench.ctx(VMM), 0, 2, pfn, 1);
    expect(found(bench)).toEqual(['I-PINNED-S2 pinned page unmapped at stage 2']);
    bench.probe.reset();
    bench.poke(vmWord(bench.m, 0, VM_STATE), VM_STATE_DYING);
    bench.probe.onStage2Unmap(bench.ctx(VMM), 0, 2, pfn, 1);
    expect(found(bench)).toEqual([]);
  });
});

describe('I-WIPE, I-BAL, kernel warnings', () => {
  it('a page that the host gets back with what the guest left in it', () => {
    const { bench, pfn } = mapped();
    bench.probe.onHostOwner(bench.ctx(VMM), pfn, false);
    expect(found(bench)).toEqual([]);
    bench.probe.onHostOwner(bench.ctx(VMM), pfn, true);
    expect(found(bench)).toEqual(['I-WIPE guest page returned without wiping']);
    bench.probe.reset();
    bench.poke(bench.page(pfn, PAGE_CONTENT), 0);
    bench.probe.onHostOwner(bench.ctx(VMM), pfn, true);
    expect(found(bench)).toEqual([]);
  });

  it('counts below zero, and what kernel code warns of', () => {
    const { bench } = mapped();
    bench.probe.onInvalidateCount(bench.ctx(VMM), 0, 0, 0);
    bench.probe.onInvalidateCount(bench.ctx(VMM), 0, -1, 1);
    bench.probe.onInvalidateCount(bench.ctx(VMM), 0, 0, -1);
    bench.probe.onWarn(bench.ctx(VMM), 'I-REF', 'refcount went below zero', 3);
    expect(found(bench)).toEqual([
      'I-BAL mmu_invalidate_in_progress below zero',
      'I-BAL mn_active_invalidate_count below zero',
      'I-REF refcount went below zero',
    ]);
  });
});

const retries = (bench: Bench, count: number): void => {
  for (let i = 0; i < count; i++) bench.probe.onRetry(bench.ctx(VCPU), 0, 3);
};

describe('I-LIVE', () => {
  it('a fault that is retried with nothing to blame', () => {
    const { bench } = mapped();
    retries(bench, RETRIES_MAX);
    expect(found(bench)).toEqual([]);
    expect(bench.word(actorWord(bench.m, VCPU, ACTOR_RETRIES))).toBe(RETRIES_MAX);
    retries(bench, 1);
    expect(found(bench)).toEqual(['I-LIVE fault retried without any progress']);
  });

  it.each([
    ['an invalidation is open', (b: Bench) => b.poke(vmWord(b.m, 0, VM_INVALIDATE_IN_PROGRESS), 1)],
    ['another actor holds a lock', (b: Bench) => b.poke(actorWord(b.m, VMM, ACTOR_HELD_COUNT), 1)],
  ])('not while %s', (_why, plant) => {
    const { bench } = mapped();
    plant(bench);
    retries(bench, 10 * RETRIES_MAX);
    expect(found(bench)).toEqual([]);
  });

  it('not when invalidations come and go, or the actor gets on', () => {
    const { bench } = mapped();
    for (let i = 0; i < 10; i++) {
      bench.poke(vmWord(bench.m, 0, VM_INVALIDATE_SEQ), i);
      retries(bench, RETRIES_MAX - 1);
    }
    for (let i = 0; i < 10; i++) {
      bench.probe.onProgress(bench.ctx(VCPU));
      retries(bench, RETRIES_MAX - 1);
    }
    expect(found(bench)).toEqual([]);
    expect(bench.word(actorWord(bench.m, VCPU, ACTOR_PROGRESS))).toBe(10);
  });
});

describe('a log of violations', () => {
  it('keeps the first of each kind and counts all', () => {
    const { bench } = mapped();
    for (let i = 0; i < 1000; i++) bench.probe.onWarn(bench.ctx(VMM), 'I-REF', 'one kind', i);
    for (let i = 0; i < 1000; i++) bench.probe.onWarn(bench.ctx(VMM), 'I-REF', `kind ${i}`, i);
    expect(bench.probe.violationCount).toBe(2000);
    expect(bench.probe.violations.filter(({ what }) => what === 'one kind')).toHaveLength(VIOLATIONS_KEPT_OF_KIND);
    expect(bench.probe.violations).toHaveLength(100);
    bench.probe.reset();
    expect([bench.probe.violations.length, bench.probe.violationCount]).toEqual([0, 0]);
  });

  it('finds nothing with oracles off', () => {
    const bench = new Bench({ level: 'off' });
    bench.write(2, 5);
    bench.probe.onFree(bench.ctx(VMM), bench.pfn(2), 0);
    bench.probe.onWrite(bench.ctx(VCPU), true, 0, 2, 0, 9);
    expect(bench.probe.violationCount).toBe(0);
  });
});

describe('helpers of these tests', () => {
  it('name the words that they mean', () => {
    const { bench, pfn } = mapped();
    expect(entryPfn(bench.word(bench.entryWord(2)))).toBe(pfn);
    expect(bench.word(bench.leafWord(2)) & (S2_VALID | S2_WRITE)).not.toBe(0);
    expect(bench.word(tlbSlot(bench.m, VCPU, 2))).toBe(tlbTag(true, 0, 2));
    expect(bench.word(pmdWord(bench.m, 0, 2))).not.toBe(0);
    expect(bench.word(bench.page(pfn, PAGE_REFS))).toBe(1);
  });
});

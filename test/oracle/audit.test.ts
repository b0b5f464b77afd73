import { describe, expect, it } from 'vitest';
import { MAPPING_KSM, PG_ANON_EXCLUSIVE, PG_BUDDY } from '#src/machine/abi.js';
import {
  PTE_PROTNONE,
  PTE_PRESENT,
  PTE_WRITE,
  S2_WRITE,
  SWP_MIGRATION_READ,
  mkEntry,
  mkSwapEntry,
} from '#src/machine/entries.js';
import {
  ACTOR_HELD_COUNT,
  CPU_IN_USE,
  GLOBAL_HOST_MMU_LOCK,
  MM_LOCKED_VM,
  MM_TLB_FLUSH_PENDING,
  NODE_FREE_FRAMES,
  PAGE_CONTENT,
  PAGE_FLAGS,
  PAGE_HYP,
  PAGE_MAPPING,
  PAGE_MAPS,
  PAGE_REFS,
  VCPU_HYP_MC_COUNT,
  VCPU_HYP_MC_HEAD,
  VM_HYP_META,
  VM_INVALIDATE_IN_PROGRESS,
  actorWord,
  cpuWord,
  globalLock,
  mmWord,
  nodeWord,
  ptlOf,
  vcpuWord,
  vmWord,
} from '#src/machine/layout.js';
import { tlbSlot } from '#src/machine/tlb.js';
import { Bench, HUGE, PINNER, VCPU, VMM, ids, kinds } from './bench.js';

/** Process, guest, a pin, a merge, a zap: a machine that has been used, at rest. */
function used(options: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const bench = new Bench(options);
  for (let vpn = 0; vpn < 6; vpn++) bench.write(vpn, vpn < 2 ? 77 : 100 + vpn);
  for (let gfn = 0; gfn < 6; gfn++) bench.guestRead(gfn);
  bench.pin(4);
  bench.merge();
  bench.guestWrite(3, 33);
  bench.zap(5, 6);
  bench.read(0);
  return bench;
}

describe('a machine at rest, after honest work', () => {
  for (const policy of ['classic', 'pinned-notifiers', 'pkvm-2022']) {
    it(`breaks nothing under ${policy}`, () => {
      const bench = used({ policy });
      expect(bench.probe.violations).toEqual([]);
      expect(bench.audit()).toEqual([]);
      // and the audit leaves ledgers with which the next one agrees
      bench.write(2, 555);
      expect(bench.audit()).toEqual([]);
    });
  }

  it('breaks nothing with huge pages', () => {
    const bench = new Bench({ flags: HUGE });
    for (let vpn = 0; vpn < 8; vpn++) bench.write(vpn, vpn + 1);
    for (let gfn = 0; gfn < 8; gfn++) bench.guestWrite(gfn, gfn + 20);
    bench.unpin(bench.pin(1));
    bench.pin(5);
    bench.zap(0, 2);
    expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
  });

  it('breaks nothing when only local oracles have watched', () => {
    const bench = used({ level: 'local' });
    expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
  });

  it('is not judged with oracles off', () => {
    const bench = used({ level: 'off' });
    bench.poke(bench.page(bench.pfn(2), PAGE_REFS), 7);
    expect(bench.audit()).toEqual([]);
  });
});

/** Each breakage, planted on a used machine, and the kinds of violation that must be among what the audit says. */
const PLANTS: readonly (readonly [what: string, plant: (bench: Bench) => void, expected: readonly string[]])[] = [
  [
    'a reference too many',
    (b) => b.poke(b.page(b.pfn(2), PAGE_REFS), b.word(b.page(b.pfn(2), PAGE_REFS)) + 1),
    ['I-REF reference nobody holds'],
  ],
  [
    'a reference too few',
    (b) => b.poke(b.page(b.pfn(0), PAGE_REFS), b.word(b.page(b.pfn(0), PAGE_REFS)) - 1),
    ['I-REF holder without a reference'],
  ],
  [
    'a mapcount that counts a mapping twice',
    (b) => b.poke(b.page(b.pfn(2), PAGE_MAPS), 2),
    ['I-MAP mapcount differs from page tables'],
  ],
  [
    'a migration entry that nobody takes away',
    (b) => b.poke(b.entryWord(2), mkSwapEntry(SWP_MIGRATION_READ, b.pfn(2), 0)),
    ['I-MAP migration entry left behind', 'I-STALE stage 2 maps a stale page'],
  ],
  [
    'a PTE of a free frame',
    (b) => b.poke(b.entryWord(2), mkEntry(b.m.frames - 1, PTE_PRESENT)),
    ['I-FREE free frame has a PTE', 'I-STALE stage 2 maps a stale page', 'I-LOST retired write is lost'],
  ],
  [
    'a frame on no list and with no owner',
    (b) => b.poke(b.page(b.m.frames - 1, PAGE_FLAGS), b.word(b.page(b.m.frames - 1, PAGE_FLAGS)) & ~PG_BUDDY),
    ['I-FREE free list and frame disagree'],
  ],
  [
    'a zone that miscounts its frames',
    (b) => b.poke(nodeWord(b.m, 0, NODE_FREE_FRAMES), b.word(nodeWord(b.m, 0, NODE_FREE_FRAMES)) - 1),
    ['I-FREE free list count is wrong'],
  ],
  [
    'a stage-2 leaf of another frame',
    (b) => b.poke(b.leafWord(2), mkEntry(b.pfn(3), b.word(b.leafWord(2)) & 1023)),
    ['I-STALE stage 2 maps a stale page'],
  ],
  [
    'a stage-2 leaf behind a NUMA hint',
    (b) => b.poke(b.entryWord(3), (b.word(b.entryWord(3)) & ~(PTE_PRESENT | PTE_WRITE)) | PTE_PROTNONE),
    ['I-STALE stage 2 maps a stale page', 'I-TLB TLB entry outlived its PTE'],
  ],
  [
    'a writable stage-2 leaf of a KSM page',
    (b) => {
      b.guestRead(0);
      b.poke(b.leafWord(0), b.word(b.leafWord(0)) | S2_WRITE);
    },
    ['I-PERM KSM page writable for guest'],
  ],
  [
    'a writable PTE of a page that is not exclusive',
    (b) => b.poke(b.page(b.pfn(3), PAGE_FLAGS), b.word(b.page(b.pfn(3), PAGE_FLAGS)) & ~PG_ANON_EXCLUSIVE),
    ['I-EXCL writable PTE, page not exclusive', 'I-PERM shared page writable for guest'],
  ],
  [
    'an exclusive KSM page',
    (b) => b.poke(b.page(b.pfn(0), PAGE_FLAGS), b.word(b.page(b.pfn(0), PAGE_FLAGS)) | PG_ANON_EXCLUSIVE),
    ['I-EXCL KSM page is marked exclusive', 'I-EXCL exclusive page mapped more than once'],
  ],
  [
    'a writable PTE of a KSM page',
    (b) => b.poke(b.entryWord(0), b.word(b.entryWord(0)) | PTE_WRITE),
    ['I-RO KSM page mapped writable'],
  ],
  ['a zero page that is not', (b) => b.poke(b.page(0, PAGE_CONTENT), 1), ['I-RO zero page is not zero']],
  [
    'a pinned page whose PTE names another',
    (b) => {
      const pte = b.word(b.entryWord(4));
      b.poke(b.entryWord(4), mkEntry(b.pfn(2), pte & 1023));
    },
    ['I-PIN pinned page replaced in place'],
  ],
  ['an unpin without a pin', (b) => b.probe.onUnpin(b.ctx(PINNER), b.pfn(2)), ['I-PIN page unpinned without pin']],
  [
    'a content that nobody wrote',
    (b) => b.poke(b.page(b.pfn(2), PAGE_CONTENT), 4242),
    ['I-LOST retired write is lost'],
  ],
  ['a written page that is gone', (b) => b.poke(b.entryWord(2), 0), ['I-LOST written page is not mapped']],
  [
    'a TLB entry that is writable where the PTE is not',
    (b) => {
      b.write(3, 9);
      b.poke(b.entryWord(3), b.word(b.entryWord(3)) & ~PTE_WRITE);
    },
    ['I-TLB TLB entry writable, PTE not'],
  ],
  [
    'a TLB entry of another frame',
    (b) => {
      b.write(3, 9);
      b.poke(tlbSlot(b.m, VMM, 3) + 1, b.pfn(2) << 2);
    },
    ['I-TLB TLB entry of another frame'],
  ],
  ['a guest TLB entry without a leaf', (b) => b.poke(b.leafWord(3), 0), ['I-TLB TLB entry outlived stage-2 leaf']],
  [
    'an invalidation in progress',
    (b) => b.poke(vmWord(b.m, 0, VM_INVALIDATE_IN_PROGRESS), 1),
    ['I-BAL invalidation left in progress'],
  ],
  ['an open gather', (b) => b.poke(mmWord(b.m, 0, MM_TLB_FLUSH_PENDING), 1), ['I-BAL mmu_gather left open']],
  ['an open access', (b) => b.poke(cpuWord(b.m, VCPU, CPU_IN_USE), 3), ['I-BAL translated access left open']],
  [
    'an actor that holds a lock',
    (b) => b.poke(actorWord(b.m, VMM, ACTOR_HELD_COUNT), 1),
    ['I-BAL actor at rest holds locks'],
  ],
  ['a PTL that nobody releases', (b) => b.poke(ptlOf(b.m, 0), 2), ['I-BAL lock left held at rest']],
  [
    'a charge that nobody gave back',
    (b) => b.poke(mmWord(b.m, 0, MM_LOCKED_VM), 5),
    ['I-ACCT locked_vm differs from pinned pages'],
  ],
];

describe('what the audit finds', () => {
  it.each(PLANTS)('%s', (_what, plant, expected) => {
    const bench = used();
    plant(bench);
    expect(kinds(bench.audit())).toEqual(expect.arrayContaining([...expected]));
  });

  it('locks of EL2 left held', () => {
    const bench = used({ policy: 'pkvm-2022' });
    bench.poke(globalLock(bench.m, GLOBAL_HOST_MMU_LOCK), 1);
    expect(kinds(bench.audit())).toEqual(['I-BAL lock left held at rest']);
  });

  it('a frame that host and guest both own', () => {
    const bench = new Bench({ policy: 'pkvm-2022', isProtected: true });
    bench.guestWrite(4, 1);
    expect(bench.audit()).toEqual([]);
    const pfn = bench.pfn(4);
    bench.poke(bench.page(pfn, PAGE_HYP), bench.word(bench.page(pfn, PAGE_HYP)) & ~3);
    expect(kinds(bench.audit())).toEqual(['I-OWN ownership triple is not legal']);
  });

  it("a page of EL2's in two places, and a list that is too short", () => {
    const bench = used({ policy: 'pkvm-2022' });
    const meta = bench.word(vmWord(bench.m, 0, VM_HYP_META));
    bench.poke(vcpuWord(bench.m, 0, 3, VCPU_HYP_MC_HEAD), meta);
    bench.poke(vcpuWord(bench.m, 0, 3, VCPU_HYP_MC_COUNT), 2);
    expect(kinds(bench.audit())).toEqual(
      expect.arrayContaining(['I-HYPMC page in two places', 'I-HYPMC list shorter than its count']),
    );
  });

  it('references that are no pins, without a ledger to say so', () => {
    const bench = used({ level: 'local' });
    const refs = bench.page(bench.pfn(2), PAGE_REFS);
    bench.poke(refs, bench.word(refs) + 1);
    expect(ids(bench.audit())).toEqual(['I-REF']);
    // a pin's weight of references could be a pin
    bench.poke(refs, bench.word(refs) - 1 + 1024);
    expect(bench.audit()).toEqual([]);
  });

  it('does not judge stage 2 by the host where the policy gives that up', () => {
    const bench = used({ policy: 'pkvm-2022' });
    bench.zap(2, 3);
    bench.write(2, 999);
    expect(bench.pfn(2)).not.toBe(bench.guestRead(2));
    expect([...bench.probe.violations, ...bench.audit()]).toEqual([]);
  });

  it('takes a KSM page for no mapping of one process', () => {
    const bench = used();
    expect(bench.pfn(0)).toBe(bench.pfn(1));
    expect(bench.word(bench.page(bench.pfn(0), PAGE_MAPPING)) & 3).toBe(MAPPING_KSM);
  });
});

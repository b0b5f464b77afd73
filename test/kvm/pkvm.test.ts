/**
 * Protected KVM as posted in 2022 (src/kvm/pkvm.ts, pkvm-vm.ts): the fault's exits, what each leaves behind, and the
 * teardown.
 */
import { describe, expect, it } from 'vitest';
import {
  EFAULT,
  EHWPOISON,
  EIO,
  ENOMEM,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  GUP_PIN_COUNTING_BIAS,
  PG_SWAPBACKED,
  VM_FAULT_SIGSEGV,
  VM_HUGEPAGE,
} from '#src/machine/abi.js';
import { Probe } from '#src/machine/context.js';
import {
  PKVM_ID_GUEST,
  PKVM_ID_HYP,
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_OWNED,
  SWP_HWPOISON,
  entryPfn,
  mkAnnotation,
  mkSwapEntry,
} from '#src/machine/entries.js';
import {
  MM_LOCKED_VM,
  MM_MEMLOCK_LIMIT,
  PAGE_FLAGS,
  PAGE_HOST_S2,
  VM_STATE,
  mmWord,
  pageWord,
  pinnedPageWord,
  pmdWord,
  pteWord,
} from '#src/machine/layout.js';
import { VM_STATE_DEAD } from '#src/machine/abi.js';
import { STAT } from '#src/machine/stats.js';
import { hostState, hypState } from '#src/hyp/page-state.js';
import { countDivergences, stage2Pfn } from '#src/kvm/divergence.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { kvmDestroyVm } from '#src/kvm/vm.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { MADV_DONTNEED, madvise } from '#src/mm/madvise/madvise.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { Guest, type GuestOptions } from './guest.js';

class Warned extends Probe {
  readonly warned: string[] = [];
  override onWarn(_ctx: unknown, invariant: string, what: string): void {
    this.warned.push(`${invariant}: ${what}`);
  }
}

const pkvm = (options: GuestOptions = {}): Guest =>
  new Guest({ policy: 'pkvm-2022', isProtected: true, probe: new Warned(), ...options });
const warned = (guest: Guest): string[] => (guest.probe as Warned).warned;
const lockedVm = (guest: Guest): number => guest.word(mmWord(guest.m, 0, MM_LOCKED_VM));
const pinnedPfn = (guest: Guest, gfn: number): number => guest.word(pinnedPageWord(guest.m, 0, gfn)) - 1;
const put = (guest: Guest, vcpu: number): number =>
  runToEnd(guest.kernel.vcpuPut(guest.ctx(vcpu), 0, vcpu), guest.ctx(vcpu));
const destroy = (guest: Guest): void => {
  for (let vcpu = 0; vcpu < 3; vcpu++) put(guest, vcpu);
  runToEnd(kvmDestroyVm(guest.ctx(6), 0), guest.ctx(6));
};
const allPinned = (guest: Guest): number => {
  let count = 0;
  for (let gfn = 0; gfn < guest.m.vmPages; gfn++) if (pinnedPfn(guest, gfn) >= 0) count++;
  return count;
};
/** Nothing is left: no pin, no charge, no page with EL2 or the guest, no reference. */
const expectNothingLeft = (guest: Guest): void => {
  expect(warned(guest)).toEqual([]);
  expect(lockedVm(guest)).toBe(0);
  expect(allPinned(guest)).toBe(0);
  const ctx = guest.ctx(0);
  for (let pfn = 0; pfn < guest.m.frames; pfn++) {
    expect([pfn, hostState(ctx, pfn), hypState(ctx, pfn)]).toEqual([pfn, PKVM_PAGE_OWNED, PKVM_NOPAGE]);
  }
  expect(audit(guest.m)).toEqual([]);
};

describe('pkvmMemAbort', () => {
  it('pins, charges and donates the page; the host can no longer touch it', () => {
    const guest = pkvm();
    guest.touch(3, true, 5);
    expect(guest.load(3)).toBe(5);
    const pfn = pinnedPfn(guest, 3);
    expect(stage2Pfn(guest.m, 0, 3)).toBe(pfn);
    expect(guest.refs(pfn)).toBe(1 + GUP_PIN_COUNTING_BIAS);
    expect(lockedVm(guest)).toBe(1);
    const ctx = guest.ctx(0);
    expect([hostState(ctx, pfn), hypState(ctx, pfn)]).toEqual([PKVM_NOPAGE, PKVM_NOPAGE]);
    expect(guest.word(pageWord(guest.m, pfn, PAGE_HOST_S2))).toBe(mkAnnotation(PKVM_ID_GUEST));
    expect(guest.touch(3, false)).toBe(VM_FAULT_SIGSEGV);
    expect(guest.touch(4, false)).toBe(0);
    expect(warned(guest)).toEqual([]);
  });

  it('shares the page of a VM that is not protected: both sides see it', () => {
    const guest = pkvm({ isProtected: false });
    guest.store(3, 5);
    const pfn = pinnedPfn(guest, 3);
    expect(hostState(guest.ctx(0), pfn)).toBe(PKVM_PAGE_SHARED_OWNED);
    expect(guest.touch(3, false)).toBe(0);
    expect(guest.ctx(7).accessValue).toBe(5);
    destroy(guest);
    // shared pages are not wiped
    expect(guest.content(pfn)).toBe(5);
    expectNothingLeft(guest);
  });

  it('breaks the zero page even for a load: the pin is always for writing', () => {
    const guest = pkvm();
    expect(guest.touch(2, false)).toBe(0);
    expect(guest.load(2)).toBe(0);
    expect(pinnedPfn(guest, 2)).toBeGreaterThan(0);
  });

  it('maps a page of a huge page, pinning the whole', () => {
    const guest = pkvm({ flags: VM_HUGEPAGE });
    guest.store(5, 1);
    const pfn = pinnedPfn(guest, 5);
    expect(stage2Pfn(guest.m, 0, 6)).toBe(-1);
    expect(guest.refs(pfn & ~3)).toBe(2);
    guest.store(6, 1);
    expect(guest.refs(pfn & ~3)).toBe(3);
    destroy(guest);
    expectNothingLeft(guest);
  });

  it('keeps its entry and its page whatever sends a notifier; the process that lets go diverges', () => {
    const guest = pkvm({ isProtected: false });
    guest.store(3, 5);
    const pfn = pinnedPfn(guest, 3);
    const ctx = guest.ctx(1);
    expect(runToEnd(madvise(ctx, 0, 3, 4, MADV_DONTNEED), ctx)).toBe(0);
    expect(stage2Pfn(guest.m, 0, 3)).toBe(pfn);
    expect(guest.load(3)).toBe(5);
    expect(countDivergences(guest.m, 0)).toBe(1);
    expect(guest.touch(3, true, 8)).toBe(0);
    expect(guest.load(3)).toBe(5);
    const told: number[][] = [];
    countDivergences(guest.m, 0, (gfn, stage2, host) => told.push([gfn, stage2, host === pfn ? 1 : 0]));
    expect(told).toEqual([[3, pfn, 0]]);
    destroy(guest);
    expectNothingLeft(guest);
  });

  it('exits: no slot, no VMA, over the limit, no memory at each of its allocations, poison, page cache', () => {
    const guest = pkvm();
    const clean = (): void => {
      expect([lockedVm(guest), allPinned(guest), stage2Pfn(guest.m, 0, 1)]).toEqual([0, 0, -1]);
      expect(warned(guest)).toEqual([]);
    };
    const limit = mmWord(guest.m, 0, MM_MEMLOCK_LIMIT);
    guest.m.words[limit] = 0;
    expect(guest.access(1, true, 1)).toBe(-ENOMEM);
    clean();
    guest.m.words[limit] = -1;

    // the host's memcache is full by now, so the first allocation is that of the kvm_pinned_page
    guest.ctx(0).task.failAllocation = 1;
    expect(guest.access(1, true, 1)).toBe(-ENOMEM);
    clean();
    // the second is in the pin call: the page itself
    guest.ctx(0).task.failAllocation = 2;
    expect(guest.access(1, true, 1)).toBe(-EFAULT);
    clean();
    expect(put(guest, 0)).toBe(0);
    guest.ctx(1).task.failAllocation = 1;
    expect(guest.access(1, true, 1, 1)).toBe(-ENOMEM);
    clean();

    guest.touch(1, true, 5);
    const table = entryPfn(guest.word(pmdWord(guest.m, 0, 1)));
    const pteAt = pteWord(guest.m, table, 1);
    const pte = guest.word(pteAt);
    guest.m.words[pteAt] = mkSwapEntry(SWP_HWPOISON, 9, 0);
    expect(guest.access(1, true, 1)).toBe(-EHWPOISON);
    clean();
    guest.m.words[pteAt] = pte;

    const flags = pageWord(guest.m, entryPfn(pte), PAGE_FLAGS);
    guest.m.words[flags] = guest.word(flags) & ~PG_SWAPBACKED;
    const refs = guest.refs(entryPfn(pte));
    expect(guest.access(1, true, 1)).toBe(-EIO);
    clean();
    expect(guest.refs(entryPfn(pte))).toBe(refs);
    guest.m.words[flags] = guest.word(flags) | PG_SWAPBACKED;
    guest.store(1, 1);
    destroy(guest);
    expectNothingLeft(guest);
  });

  it('takes -EPERM for another vCPU: the loser undoes everything and its access works', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const guest = pkvm();
      const tasks = [0, 1].map(
        (cpu) => new Task(guest.ctx(cpu), vcpuAccess(guest.ctx(cpu), 0, cpu, 3, true, 50 + cpu)),
      );
      interleave(tasks, seed);
      expect(tasks.map(({ result }) => result)).toEqual([0, 0]);
      expect(lockedVm(guest)).toBe(1);
      expect(guest.refs(pinnedPfn(guest, 3))).toBe(1 + GUP_PIN_COUNTING_BIAS);
      destroy(guest);
      expectNothingLeft(guest);
    }
  });

  it('faults for ever where -EPERM means something else: the page is shared already (Z45)', () => {
    const retries: number[] = [];
    class Count extends Probe {
      override onRetry(_ctx: unknown, _vm: number, page: number): void {
        retries.push(page);
      }
    }
    const guest = pkvm({ machine: { vms: 1 }, probe: new Count(), isProtected: false });
    guest.store(3, 1);
    const pfn = pinnedPfn(guest, 3);
    // the same page of the VMM at a second gfn
    guest.m.words[pteWord(guest.m, entryPfn(guest.word(pmdWord(guest.m, 0, 2))), 2)] = guest.word(
      pteWord(guest.m, entryPfn(guest.word(pmdWord(guest.m, 0, 3))), 3),
    );
    const task = new Task(guest.ctx(0), vcpuAccess(guest.ctx(0), 0, 0, 2, true, 9));
    for (let i = 0; i < 3000; i++) task.step();
    expect(task.done).toBe(false);
    expect(retries.length).toBeGreaterThan(3);
    expect(stage2Pfn(guest.m, 0, 2)).toBe(-1);
    expect(stage2Pfn(guest.m, 0, 3)).toBe(pfn);
  });

  it('does not look at the invalidation sequence: a mapping may be stale from birth', () => {
    const guest = pkvm({ isProtected: false });
    guest.touch(3, true, 5);
    const fault = new Task(guest.ctx(0), vcpuAccess(guest.ctx(0), 0, 0, 3, false, 0));
    const lock = guest.m.vmsAt;
    fault.stepUntil((effect) => effect === ((lock << 4) | 3));
    const ctx = guest.ctx(1);
    expect(runToEnd(madvise(ctx, 0, 3, 4, MADV_DONTNEED), ctx)).toBe(0);
    expect(guest.touch(3, true, 6)).toBe(0);
    expect(fault.finish()).toBe(0);
    expect(guest.ctx(0).accessValue).toBe(5);
    expect(countDivergences(guest.m, 0)).toBe(1);
  });
});

describe('a protected VM ends', () => {
  for (const pkvmTeardown of ['A14', 'v2022'] as const) {
    it(`with every page back, wiped, uncharged and unpinned (${pkvmTeardown})`, () => {
      const events: string[] = [];
      class Order extends Warned {
        override onHostOwner(_ctx: unknown, pfn: number, wipe: boolean): void {
          events.push(`host ${pfn} ${wipe}`);
        }
        override onUnpin(_ctx: unknown, pfn: number): void {
          events.push(`unpin ${pfn}`);
        }
      }
      const guest = pkvm({ probe: new Order(), rules: { pkvmTeardown } });
      const free = guest.freeTables;
      for (const gfn of [1, 2, 9]) guest.store(gfn, 100 + gfn, gfn & 1);
      const pfns = [1, 2, 9].map((gfn) => pinnedPfn(guest, gfn));
      const hypercalls = guest.word(guest.ctx(6).statsAt + STAT.hypercalls);
      destroy(guest);
      // EL2 returns a page before it is unpinned, each time
      expect(events).toEqual(pfns.flatMap((pfn) => [`host ${pfn} true`, `unpin ${pfn}`]));
      expect(guest.word(guest.ctx(6).statsAt + STAT.hypercalls) - hypercalls).toBe(pkvmTeardown === 'A14' ? 5 : 4);
      expect(pfns.map((pfn) => guest.content(pfn))).toEqual([0, 0, 0]);
      expect(guest.vm(VM_STATE)).toBe(VM_STATE_DEAD);
      // the records that EL2 had for its tables are in the host's pool again
      expect(guest.freeTables).toBe(free + guest.m.vmBlocks);
      expectNothingLeft(guest);
    });
  }

  it('warns, and goes on, while a vCPU is still loaded', () => {
    const guest = pkvm();
    guest.store(1, 1);
    runToEnd(kvmDestroyVm(guest.ctx(6), 0), guest.ctx(6));
    expect(warned(guest)[0]).toBe('I-OWN: EL2 refused the teardown');
    expect(lockedVm(guest)).toBe(0);
  });

  it('leaves a page that another pin holds: the host owns it again, and its holder keeps it', () => {
    const guest = pkvm({ isProtected: false });
    guest.store(1, 7);
    const ctx = guest.ctx(5);
    const pfn = runToEnd(pinUserPagesFast(ctx, 0, 1, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM), ctx);
    expect(pfn).toBeGreaterThan(0);
    destroy(guest);
    expect(guest.refs(pfn)).toBe(1 + GUP_PIN_COUNTING_BIAS);
    expect(guest.word(pageWord(guest.m, pfn, PAGE_HOST_S2)) === mkAnnotation(PKVM_ID_HYP)).toBe(false);
    runToEnd(guest.kernel.unpinUserPage(ctx, pfn, false), ctx);
    expectNothingLeft(guest);
  });
});

/** EL2's transitions (src/hyp/mem-protect.ts, memcache.ts, stage2.ts, vm.ts): each answer, and the states it leaves. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, EPERM, PG_NO_MAP } from '#src/machine/abi.js';
import { type Context, type Kernel, Probe } from '#src/machine/context.js';
import { reads, writes } from '#src/machine/effects.js';
import { PKVM_ID_HOST, PKVM_ID_HYP, S2_VALID, annotationOwner, mkAnnotation } from '#src/machine/entries.js';
import {
  PAGE_CONTENT, PAGE_FLAGS, PAGE_HOST_S2, VCPU_HOST_MC_COUNT, VCPU_HOST_MC_HEAD, VCPU_HYP_MC_COUNT, VCPU_HYP_MC_HEAD, VM_HYP_META,
  VM_HYP_POOL_COUNT, VM_HYP_POOL_HEAD, VM_HYP_STATE, VM_HYP_TABLES, VM_HYP_TEARDOWN_COUNT, VM_HYP_TEARDOWN_HEAD, VM_PROTECTED, pageWord, s2RootWord,
  s2TableWord, TABLE_POOL_NEXT, vcpuWord, vmWord,
} from '#src/machine/layout.js';
import { hostAccess, ACCESS_DONE, ACCESS_HOST_STAGE2 } from '#src/machine/access.js';
import { tlbInsert, tlbSlot, tlbTag, enterAccess, leaveAccess } from '#src/machine/tlb.js';
import { resolveKernel } from '#src/engine/kernel.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '#src/hyp/locks.js';
import {
  HYP_FINALIZE_TEARDOWN, HYP_INIT_VM, HYP_MAP_GUEST, HYP_RECLAIM_PAGE, HYP_START_TEARDOWN, HYP_VCPU_LOAD, HYP_VCPU_PUT, handleHostHcall,
} from '#src/hyp/hypercalls.js';
import {
  checkHostGivesGuest, doDonateGuest, handleHostMemAbort, hostDonateGuest, hostDonateHyp, hostShareGuest, hypDonateHost,
} from '#src/hyp/mem-protect.js';
import { pushMemcache } from '#src/hyp/memcache.js';
import { HANDLE_OFFSET, HYP_VM_LIVE, HYP_VM_NONE } from '#src/hyp/vm.js';
import { guestLeaf } from '#src/hyp/stage2.js';
import { makeContext, makeMachine, runToEnd } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { illOwned } from './ownership.js';

class Recorder extends Probe {
  readonly warned: string[] = [];
  readonly moves: string[] = [];
  override onWarn(_ctx: unknown, invariant: string, what: string): void {
    this.warned.push(`${invariant}: ${what}`);
  }
  override onMemcache(_ctx: unknown, pfn: number, from: number, to: number): void {
    this.moves.push(`${pfn}: ${from} -> ${to}`);
  }
}

/** EL2 with two live VMs and no host around it: pages are numbers, page 40 and up are handed in by hand. */
function el2(vms = 2): { ctx: Context; run: <T>(coroutine: Generator<number, T, void>) => T; probe: Recorder } {
  const m = makeMachine({ vms });
  const probe = new Recorder();
  const kernel = resolveKernel('pkvm-2022');
  const ctx = makeContext(m, 0, kernel, probe);
  ctx.atEl2 = true;
  for (let vm = 0; vm < vms; vm++) {
    m.words[vmWord(m, vm, VM_HYP_STATE)] = HYP_VM_LIVE;
    m.words[vmWord(m, vm, VM_PROTECTED)] = 1;
    // a chain of table records, as the host gives them at creation
    for (let i = 0; i < m.vmBlocks; i++) {
      const record = vm * m.vmBlocks + i;
      m.words[s2TableWord(m, record, TABLE_POOL_NEXT)] = m.words[vmWord(m, vm, VM_HYP_TABLES)] as number;
      m.words[vmWord(m, vm, VM_HYP_TABLES)] = record + 1;
    }
  }
  return { ctx, run: (coroutine) => runToEnd(coroutine, ctx), probe };
}

/** Puts pages into the host's memcache of vCPU 0, the last one on top. */
function fillHostMemcache(ctx: Context, vm: number, pfns: readonly number[]): void {
  const { m, words } = ctx;
  const head = vcpuWord(m, vm, 0, VCPU_HOST_MC_HEAD);
  for (const pfn of pfns) {
    words[pageWord(m, pfn, PAGE_CONTENT)] = words[head] as number;
    words[head] = pfn;
    words[vcpuWord(m, vm, 0, VCPU_HOST_MC_COUNT)] = (words[vcpuWord(m, vm, 0, VCPU_HOST_MC_COUNT)] as number) + 1;
  }
}

const refill = (ctx: Context, vm: number): number => runToEnd(ctx.kernel.pkvmRefillMemcache(ctx, vm, 0), ctx);
const hostS2 = (ctx: Context, pfn: number): number => ctx.words[pageWord(ctx.m, pfn, PAGE_HOST_S2)] as number;

describe('donating and sharing', () => {
  it('answers -EPERM for what the host does not own, for memory that is none, for a gfn that is taken', () => {
    const { ctx, run } = el2();
    fillHostMemcache(ctx, 0, [50]);
    expect(refill(ctx, 0)).toBe(0);
    expect(run(hostDonateGuest(ctx, 0, 0, 40, 3))).toBe(0);
    expect(run(hostDonateGuest(ctx, 0, 0, 40, 4))).toBe(-EPERM);
    expect(run(hostDonateGuest(ctx, 0, 0, 41, 3))).toBe(-EPERM);
    expect(run(hostShareGuest(ctx, 0, 0, 40, 4))).toBe(-EPERM);
    expect(run(hostShareGuest(ctx, 0, 0, 42, 2))).toBe(0);
    expect(run(hostShareGuest(ctx, 0, 0, 42, 1))).toBe(-EPERM);
    expect(run(hostDonateGuest(ctx, 0, 0, 50, 1))).toBe(-EPERM);
    for (const pfn of [-1, 0, 64, 4000]) expect(run(hostDonateGuest(ctx, 0, 0, pfn, 1))).toBe(-EPERM);
    for (const gfn of [-1, 16]) expect(run(hostDonateGuest(ctx, 0, 0, 43, gfn))).toBe(-EPERM);
    ctx.words[pageWord(ctx.m, 44, PAGE_FLAGS)] = PG_NO_MAP;
    expect(run(hostDonateGuest(ctx, 0, 0, 44, 1))).toBe(-EPERM);
    expect(illOwned(ctx)).toEqual([]);
  });

  it('makes sure of a table page first: nothing has changed when it says -ENOMEM', () => {
    const { ctx, run } = el2();
    expect(run(hostDonateGuest(ctx, 0, 0, 40, 3))).toBe(-ENOMEM);
    expect(run(hostShareGuest(ctx, 0, 0, 40, 3))).toBe(-ENOMEM);
    expect(hostS2(ctx, 40)).toBe(0);
    expect(illOwned(ctx)).toEqual([]);
  });

  it('without that check leaves the page with nobody (Z35)', () => {
    const { ctx, run, probe } = el2();
    run(doDonateGuest(ctx, 0, 0, 40, 3));
    expect(probe.warned).toEqual(['I-OWN: donated page owned by nobody']);
    expect(illOwned(ctx)).toHaveLength(1);
  });

  it('takes the page out of every TLB of the host, and waits for an access that uses it', () => {
    const { ctx, run } = el2();
    const { m } = ctx;
    fillHostMemcache(ctx, 0, [50]);
    refill(ctx, 0);
    expect(run(handleHostMemAbort(ctx, 40))).toBe(0);
    const host = makeContext(m, 3, ctx.kernel);
    enterAccess(host);
    tlbInsert(host, tlbTag(false, 1, 7), 40, 1);
    tlbInsert(host, tlbTag(false, 1, 8), 41, 1);
    tlbInsert(host, tlbTag(true, 0, 9), 40, 1);
    const donate = new Task(ctx, hostDonateGuest(ctx, 0, 0, 40, 3));
    while (donate.enabled && !donate.done) donate.step();
    expect(donate.done).toBe(false);
    expect(guestLeaf(ctx, 0, 3)).toBe(0);
    leaveAccess(host);
    expect(donate.finish()).toBe(0);
    const tagAt = (page: number): number => m.words[tlbSlot(m, 3, page)] as number;
    // the host's entry of that page went; that of another page, and a guest's, stayed
    expect([tagAt(7), tagAt(8), tagAt(9)]).toEqual([0, tlbTag(false, 1, 8), tlbTag(true, 0, 9)]);
  });

  it('refuses counts that wrap, and takes all or nothing of a range (Z39)', () => {
    const { ctx, run } = el2();
    for (const pages of [0, -1, -(2 ** 31), 2 ** 31 - 1, 65]) expect(run(hostDonateHyp(ctx, 40, pages))).toBe(-EINVAL);
    expect(run(hostDonateHyp(ctx, 63, 2))).toBe(-EINVAL);
    expect(run(hostDonateHyp(ctx, 42, 1))).toBe(0);
    expect(run(hostDonateHyp(ctx, 40, 4))).toBe(-EPERM);
    expect(hostS2(ctx, 40)).toBe(0);
    expect(run(hypDonateHost(ctx, 40, 4))).toBe(-EPERM);
    expect(hostS2(ctx, 42)).toBe(mkAnnotation(PKVM_ID_HYP));
    expect(run(hypDonateHost(ctx, 42, 1))).toBe(0);
    expect(illOwned(ctx)).toEqual([]);
  });

  it('gives a page to one of two guests, whatever the order; and to both if the check is made under another hold (Z48)', () => {
    const race = (seed: number, planted: boolean): string[] => {
      const { ctx } = el2();
      for (const vm of [0, 1]) {
        fillHostMemcache(ctx, vm, [50 + vm]);
        refill(ctx, vm);
      }
      const other = makeContext(ctx.m, 1, ctx.kernel);
      function* checkThenDonate(c: Context, vm: number): Generator<number, number, void> {
        yield* lockHost(c);
        yield* lockGuest(c, vm);
        const result = checkHostGivesGuest(c, vm, 0, 40, 3);
        yield* unlockGuest(c, vm);
        yield* unlockHost(c);
        if (result !== 0) return result;
        yield* lockHost(c);
        yield* lockGuest(c, vm);
        yield* doDonateGuest(c, vm, 0, 40, 3);
        yield* unlockGuest(c, vm);
        yield* unlockHost(c);
        return 0;
      }
      const donate = planted ? checkThenDonate : (c: Context, vm: number) => hostDonateGuest(c, vm, 0, 40, 3);
      const tasks = [new Task(ctx, donate(ctx, 0)), new Task(other, donate(other, 1))];
      interleave(tasks, seed);
      if (!planted) expect(tasks.map(({ result }) => result).toSorted()).toEqual([-EPERM, 0].toSorted());
      return illOwned(ctx);
    };
    let caught = 0;
    for (let seed = 1; seed <= 60; seed++) {
      expect(race(seed, false)).toEqual([]);
      if (race(seed, true).length > 0) caught++;
    }
    expect(caught).toBeGreaterThan(0);
  });
});

describe('the memcache', () => {
  it('moves as many pages as the host offers, each donated before its link is read', () => {
    const { ctx, probe } = el2();
    fillHostMemcache(ctx, 0, [50, 51, 52]);
    expect(refill(ctx, 0)).toBe(0);
    const at = (field: number): number => ctx.words[vcpuWord(ctx.m, 0, 0, field)] as number;
    expect([at(VCPU_HOST_MC_COUNT), at(VCPU_HYP_MC_COUNT), at(VCPU_HYP_MC_HEAD)]).toEqual([0, 3, 50]);
    expect(probe.moves).toEqual(['52: 1 -> 2', '51: 1 -> 2', '50: 1 -> 2']);
    expect(illOwned(ctx)).toEqual([]);
  });

  it('stops at a page that is not the host\'s, with what it has, and tells the host where', () => {
    const { ctx, run } = el2();
    fillHostMemcache(ctx, 0, [50, 51, 52]);
    expect(run(hostDonateHyp(ctx, 51, 1))).toBe(0);
    expect(refill(ctx, 0)).toBe(-EPERM);
    const at = (field: number): number => ctx.words[vcpuWord(ctx.m, 0, 0, field)] as number;
    expect([at(VCPU_HOST_MC_HEAD), at(VCPU_HOST_MC_COUNT), at(VCPU_HYP_MC_COUNT)]).toEqual([51, 2, 1]);
  });

  /** A host that rewrites the list while EL2 takes pages from it: the link of page 51, then the head, both to page 60. */
  function* rewriting(host: Context): Generator<number, void, void> {
    const { m } = host;
    const head = vcpuWord(m, 0, 0, VCPU_HOST_MC_HEAD);
    const link = pageWord(m, 51, PAGE_CONTENT);
    yield writes(link);
    // it may write what its stage 2 lets it write
    if (annotationOwner(hostS2(host, 51)) === PKVM_ID_HOST) m.words[link] = 60;
    yield writes(head);
    m.words[head] = 60;
  }

  /** Whether page 60, which is EL2's own, comes into the vCPU's list as if it were the host's. */
  function getsIn(seed: number, refillBy?: Kernel['pkvmRefillMemcache']): boolean {
    const { ctx, run } = el2();
    const { m } = ctx;
    expect(run(hostDonateHyp(ctx, 60, 1))).toBe(0);
    fillHostMemcache(ctx, 0, [50, 51]);
    const host = makeContext(m, 1, ctx.kernel);
    const taking = (refillBy ?? ctx.kernel.pkvmRefillMemcache)(ctx, 0, 0);
    interleave([new Task(ctx, taking), new Task(host, rewriting(host))] as Task[], seed);
    expect(illOwned(ctx)).toEqual([]);
    let page = m.words[vcpuWord(m, 0, 0, VCPU_HYP_MC_HEAD)] as number;
    for (let left = m.words[vcpuWord(m, 0, 0, VCPU_HYP_MC_COUNT)] as number; left > 0; left--) {
      if (page === 60) return true;
      page = m.words[pageWord(m, page, PAGE_CONTENT)] as number;
    }
    return false;
  }

  it('cannot be made to take in a page by a host that rewrites its list meanwhile', () => {
    for (let seed = 1; seed <= 60; seed++) expect(getsIn(seed), `seed ${seed}`).toBe(false);
  });

  it('can, where the head is read again after the page was donated (Z36)', () => {
    function* donateThenPop(ctx: Context, vm: number, vcpu: number): Generator<number, number, void> {
      const { m, words } = ctx;
      const hostHead = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD);
      for (let i = 0; i < 2; i++) {
        yield reads(hostHead);
        const donated = yield* ctx.kernel.hostDonateHyp(ctx, words[hostHead] as number, 1);
        if (donated !== 0) return donated;
        yield reads(hostHead);
        const page = words[hostHead] as number;
        words[hostHead] = words[pageWord(m, page, PAGE_CONTENT)] as number;
        yield* pushMemcache(ctx, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_HEAD), page);
      }
      return 0;
    }
    let caught = 0;
    for (let seed = 1; seed <= 60; seed++) if (getsIn(seed, donateThenPop)) caught++;
    expect(caught).toBeGreaterThan(0);
  });

  it('keeps the page of an emptied table in the VM\'s pool, and uses it again', () => {
    const { ctx, run } = el2();
    fillHostMemcache(ctx, 0, [50]);
    refill(ctx, 0);
    expect(run(hostDonateGuest(ctx, 0, 0, 40, 3))).toBe(0);
    expect(ctx.words[vmWord(ctx.m, 0, VM_HYP_POOL_COUNT)]).toBe(0);
    ctx.words[vmWord(ctx.m, 0, VM_HYP_STATE)] = 2;
    expect(run(ctx.kernel.hostReclaimPage(ctx, 0, 40, 3))).toBe(0);
    expect(ctx.words[vmWord(ctx.m, 0, VM_HYP_POOL_HEAD)]).toBe(50);
    expect(ctx.words[s2RootWord(ctx.m, 0, 3)]).toBe(0);
    expect(run(hostDonateGuest(ctx, 0, 0, 40, 9))).toBe(0);
    expect(ctx.words[vmWord(ctx.m, 0, VM_HYP_POOL_COUNT)]).toBe(0);
    expect(illOwned(ctx)).toEqual([]);
  });
});

describe('a host access under EL2', () => {
  it('is mapped lazily, by the block where all of it is the host\'s; a guest\'s page is refused', () => {
    const { ctx, run } = el2();
    expect(run(handleHostMemAbort(ctx, 45))).toBe(0);
    for (let pfn = 44; pfn < 48; pfn++) expect(hostS2(ctx, pfn) & S2_VALID).toBe(S2_VALID);
    expect(hostS2(ctx, 48)).toBe(0);
    expect(run(handleHostMemAbort(ctx, 46))).toBe(-EAGAIN);
    fillHostMemcache(ctx, 0, [50]);
    refill(ctx, 0);
    expect(run(hostDonateGuest(ctx, 0, 0, 40, 3))).toBe(0);
    expect(run(handleHostMemAbort(ctx, 40))).toBe(-EPERM);
    expect(run(handleHostMemAbort(ctx, 50))).toBe(-EPERM);
    // its neighbours come one by one: the block is no longer all the host's
    expect(run(handleHostMemAbort(ctx, 41))).toBe(0);
    expect(hostS2(ctx, 42)).toBe(0);
    expect(run(handleHostMemAbort(ctx, 64))).toBe(-EPERM);
    expect(run(handleHostMemAbort(ctx, 0))).toBe(0);
  });

  it('by a process stops at EL2 until the page is mapped', () => {
    const { ctx, run } = el2();
    // a page-table entry by hand: process 0, page 0 -> frame 40
    const { m } = ctx;
    m.words[m.mmsAt + m.mmPmdsOffset] = (1 << 10) | (1 << 9);
    m.words[m.tablesAt + m.tableWords + 16] = (40 << 10) | 1;
    expect(run(hostAccess(ctx, 0, 0, false, 0, true))).toBe(ACCESS_HOST_STAGE2);
    expect(ctx.accessValue).toBe(40);
    expect(run(handleHostMemAbort(ctx, 40))).toBe(0);
    expect(run(hostAccess(ctx, 0, 0, false, 0, true))).toBe(ACCESS_DONE);
  });
});

describe('hypercalls', () => {
  const hcall = (ctx: Context, fn: number, a: number, b = 0, c = 0, loaded = -1, cpu = 0): number =>
    runToEnd(handleHostHcall(ctx, cpu, loaded, fn, a, b, c, 0), ctx);

  it('believe no handle, no vCPU, no number', () => {
    const { ctx } = el2();
    expect(hcall(ctx, HYP_VCPU_LOAD, 7, 0)).toBe(-ENOENT);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET + 2, 0)).toBe(-ENOENT);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 8)).toBe(-EINVAL);
    expect(hcall(ctx, 99, HANDLE_OFFSET)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_INIT_VM, HANDLE_OFFSET, 40)).toBe(-EEXIST);
    expect(hostS2(ctx, 40)).toBe(0);
    // mapping needs a vCPU that this very CPU has loaded
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 1)).toBe(0);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 1, 0, -1, 2)).toBe(-EBUSY);
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 1, 2)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_PUT, HANDLE_OFFSET, 1, 0, -1, 2)).toBe(-EINVAL);
    fillHostMemcache(ctx, 0, [50]);
    // the memcache is that of the vCPU
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 1)).toBe(-ENOMEM);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 0)).toBe(0);
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 0)).toBe(0);
  });

  it('tear a VM down in order: not while a vCPU is loaded, not twice, not a page before it dies', () => {
    const { ctx } = el2();
    const handle = HANDLE_OFFSET + 1;
    fillHostMemcache(ctx, 1, [50]);
    expect(hcall(ctx, HYP_VCPU_LOAD, handle, 0)).toBe(0);
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 1 << 8)).toBe(0);
    expect(hcall(ctx, HYP_START_TEARDOWN, handle)).toBe(-EBUSY);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 3)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_FINALIZE_TEARDOWN, handle)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_PUT, handle, 0)).toBe(0);
    expect(hcall(ctx, HYP_START_TEARDOWN, handle)).toBe(0);
    expect(hcall(ctx, HYP_START_TEARDOWN, handle)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_LOAD, handle, 0)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 2)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 41, 3)).toBe(-EPERM);
    ctx.words[pageWord(ctx.m, 40, PAGE_CONTENT)] = 77;
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 3)).toBe(0);
    expect(ctx.words[pageWord(ctx.m, 40, PAGE_CONTENT)]).toBe(0);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 3)).toBe(-EINVAL);
    expect(runToEnd(hostDonateHyp(ctx, 55, 1), ctx)).toBe(0);
    ctx.words[vmWord(ctx.m, 1, VM_HYP_META)] = 55;
    expect(hcall(ctx, HYP_FINALIZE_TEARDOWN, handle)).toBe(0);
    expect(ctx.words[vmWord(ctx.m, 1, VM_HYP_STATE)]).toBe(HYP_VM_NONE);
    // the page of EL2's records and the one of its table
    expect(ctx.words[vmWord(ctx.m, 1, VM_HYP_TEARDOWN_COUNT)]).toBe(2);
    expect(ctx.words[vmWord(ctx.m, 1, VM_HYP_TEARDOWN_HEAD)]).toBe(55);
    expect(ctx.words[pageWord(ctx.m, 55, PAGE_CONTENT)]).toBe(50);
    expect(hcall(ctx, HYP_VCPU_LOAD, handle, 0)).toBe(-ENOENT);
    expect(illOwned(ctx)).toEqual([]);
    expect(guestLeaf(ctx, 1, 3)).toBe(0);
  });
});

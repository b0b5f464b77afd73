/** Where EL2's table pages come from (src/hyp/memcache.ts, stage2.ts): a list that the host may rewrite, and a pool. */
import { describe, expect, it } from 'vitest';
import { EPERM } from '#src/machine/abi.js';
import { type Context, type Kernel } from '#src/machine/context.js';
import { reads, writes } from '#src/machine/effects.js';
import { PKVM_ID_HOST, annotationOwner } from '#src/machine/entries.js';
import {
  PAGE_CONTENT,
  VCPU_HOST_MC_COUNT,
  VCPU_HOST_MC_HEAD,
  VCPU_HYP_MC_COUNT,
  VCPU_HYP_MC_HEAD,
  VM_HYP_POOL_COUNT,
  VM_HYP_POOL_HEAD,
  VM_HYP_STATE,
  pageWord,
  s2RootWord,
  vcpuWord,
  vmWord,
} from '#src/machine/layout.js';
import { hostDonateGuest, hostDonateHyp } from '#src/hyp/mem-protect.js';
import { pushMemcache } from '#src/hyp/memcache.js';
import { makeContext } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { illOwned } from './ownership.js';
import { el2, fillHostMemcache, hostS2, refill } from './el2-machine.js';

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

/** Reads the head of the host's list again after the page that it named was donated. */
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

  it("stops at a page that is not the host's, with what it has, and tells the host where", () => {
    const { ctx, run } = el2();
    fillHostMemcache(ctx, 0, [50, 51, 52]);
    expect(run(hostDonateHyp(ctx, 51, 1))).toBe(0);
    expect(refill(ctx, 0)).toBe(-EPERM);
    const at = (field: number): number => ctx.words[vcpuWord(ctx.m, 0, 0, field)] as number;
    expect([at(VCPU_HOST_MC_HEAD), at(VCPU_HOST_MC_COUNT), at(VCPU_HYP_MC_COUNT)]).toEqual([51, 2, 1]);
  });

  it('cannot be made to take in a page by a host that rewrites its list meanwhile', () => {
    for (let seed = 1; seed <= 60; seed++) expect(getsIn(seed), `seed ${seed}`).toBe(false);
  });

  it('can, where the head is read again after the page was donated (Z36)', () => {
    let caught = 0;
    for (let seed = 1; seed <= 60; seed++) if (getsIn(seed, donateThenPop)) caught++;
    expect(caught).toBeGreaterThan(0);
  });

  it("keeps the page of an emptied table in the VM's pool, and uses it again", () => {
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

/** EL2's transitions (src/hyp/mem-protect.ts): each answer, and the states that it leaves. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, EINVAL, ENOMEM, EPERM, PG_NO_MAP } from '#src/machine/abi.js';
import { type Context } from '#src/machine/context.js';
import { PKVM_ID_HYP, S2_VALID, mkAnnotation } from '#src/machine/entries.js';
import { PAGE_FLAGS, pageWord } from '#src/machine/layout.js';
import { hostAccess, ACCESS_DONE, ACCESS_HOST_STAGE2 } from '#src/machine/access.js';
import { tlbInsert, tlbSlot, tlbTag, enterAccess, leaveAccess } from '#src/machine/tlb.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '#src/hyp/locks.js';
import {
  checkHostGivesGuest,
  doDonateGuest,
  handleHostMemAbort,
  hostDonateGuest,
  hostDonateHyp,
  hostShareGuest,
  hypDonateHost,
} from '#src/hyp/mem-protect.js';
import { guestLeaf } from '#src/hyp/stage2.js';
import { makeContext } from '../helpers/drive.js';
import { Task, interleave } from '../helpers/interleave.js';
import { illOwned } from './ownership.js';
import { el2, fillHostMemcache, hostS2, refill } from './el2-machine.js';

/** Checks under one hold of the locks and donates under another. */
function* checkThenDonate(ctx: Context, vm: number): Generator<number, number, void> {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostGivesGuest(ctx, vm, 0, 40, 3);
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  if (result !== 0) return result;
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  yield* doDonateGuest(ctx, vm, 0, 40, 3);
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return 0;
}

/** Page 40 is donated to two guests at once: what is wrong afterwards. */
function donateTwice(seed: number, planted: boolean): string[] {
  const { ctx } = el2();
  for (const vm of [0, 1]) {
    fillHostMemcache(ctx, vm, [50 + vm]);
    refill(ctx, vm);
  }
  const other = makeContext(ctx.m, 1, ctx.kernel);
  const donate = (c: Context, vm: number): Generator<number, number, void> =>
    planted ? checkThenDonate(c, vm) : hostDonateGuest(c, vm, 0, 40, 3);
  const tasks = [new Task(ctx, donate(ctx, 0)), new Task(other, donate(other, 1))];
  interleave(tasks, seed);
  if (!planted) expect(tasks.map(({ result }) => result ?? 0).toSorted()).toEqual([-EPERM, 0].toSorted());
  return illOwned(ctx);
}

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
    let caught = 0;
    for (let seed = 1; seed <= 60; seed++) {
      expect(donateTwice(seed, false)).toEqual([]);
      if (donateTwice(seed, true).length > 0) caught++;
    }
    expect(caught).toBeGreaterThan(0);
  });
});

describe('a host access under EL2', () => {
  it("is mapped lazily, by the block where all of it is the host's; a guest's page is refused", () => {
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
    expect(ctx.out.abortPfn).toBe(40);
    expect(run(handleHostMemAbort(ctx, 40))).toBe(0);
    expect(run(hostAccess(ctx, 0, 0, false, 0, true))).toBe(ACCESS_DONE);
  });
});

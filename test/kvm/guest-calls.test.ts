/** A protected guest's hypercalls (src/kvm/guest-calls.ts, src/hyp/guest-calls.ts) and the host's by hand (host-calls.ts). */
import { describe, expect, it } from 'vitest';
import { EFAULT, EINVAL, EPERM, GUP_PIN_COUNTING_BIAS, PG_NO_MAP, VM_FAULT_SIGSEGV } from '#src/machine/abi.js';
import { Probe } from '#src/machine/context.js';
import {
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
} from '#src/machine/entries.js';
import { MM_LOCKED_VM, PAGE_FLAGS, mmWord, pageWord, pinnedPageWord } from '#src/machine/layout.js';
import { guestLeaf, guestPageState } from '#src/hyp/stage2.js';
import { hostState, hypState } from '#src/hyp/page-state.js';
import { hostPfn } from '#src/kvm/divergence.js';
import { vcpuRelinquish, vcpuShare, vcpuUnshare } from '#src/kvm/guest-calls.js';
import { hostDonate, hostDonateFramesToHyp, hostShareWithHyp, hostUnshareFromHyp } from '#src/kvm/host-calls.js';
import { runToEnd } from '../helpers/drive.js';
import { Guest } from './guest.js';

class Told extends Probe {
  readonly told: string[] = [];
  override onWarn(_ctx: unknown, invariant: string, what: string): void {
    this.told.push(`${invariant}: ${what}`);
  }
  override onHostOwner(_ctx: unknown, pfn: number, wipeDemanded: boolean): void {
    this.told.push(`host owns ${pfn}, wiped ${wipeDemanded}`);
  }
}

const VCPU = 0;
const guestOf = (isProtected = true): Guest => new Guest({ policy: 'pkvm-2022', isProtected, probe: new Told() });
const told = (guest: Guest): string[] => (guest.probe as Told).told;
const call = (guest: Guest, what: typeof vcpuShare, gfn: number): number =>
  runToEnd(what(guest.ctx(VCPU), 0, VCPU, gfn), guest.ctx(VCPU));
/** host, EL2, guest. */
const owners = (guest: Guest, gfn: number): number[] => {
  const ctx = guest.ctx(0);
  const pfn = hostPfn(guest.m, 0, gfn);
  return [hostState(ctx, pfn), hypState(ctx, pfn), guestPageState(guestLeaf(ctx, 0, gfn))];
};

describe('a protected guest', () => {
  it('shares a page of its own and takes it back; in between the VMM may use it', () => {
    const guest = guestOf();
    guest.store(2, 9);
    expect(owners(guest, 2)).toEqual([PKVM_NOPAGE, PKVM_NOPAGE, PKVM_PAGE_OWNED]);
    expect(guest.touch(2, false)).toBe(VM_FAULT_SIGSEGV);
    expect(call(guest, vcpuShare, 2)).toBe(0);
    expect(owners(guest, 2)).toEqual([PKVM_PAGE_SHARED_BORROWED, PKVM_NOPAGE, PKVM_PAGE_SHARED_OWNED]);
    expect([guest.touch(2, false), guest.ctx(7).accessValue]).toEqual([0, 9]);
    expect(guest.touch(2, true, 10)).toBe(0);
    expect(guest.load(2)).toBe(10);
    expect(call(guest, vcpuShare, 2)).toBe(-EPERM);
    expect(call(guest, vcpuUnshare, 2)).toBe(0);
    expect(owners(guest, 2)).toEqual([PKVM_NOPAGE, PKVM_NOPAGE, PKVM_PAGE_OWNED]);
    // the VMM's TLB has been emptied of it
    expect(guest.touch(2, true, 11)).toBe(VM_FAULT_SIGSEGV);
    expect(guest.load(2)).toBe(10);
    expect(call(guest, vcpuUnshare, 2)).toBe(-EPERM);
  });

  it('has a page mapped first that it shares before it has used it; outside the slots it gets the exit', () => {
    const guest = guestOf();
    expect(call(guest, vcpuShare, 3)).toBe(0);
    expect(owners(guest, 3)).toEqual([PKVM_PAGE_SHARED_BORROWED, PKVM_NOPAGE, PKVM_PAGE_SHARED_OWNED]);
    expect(call(guest, vcpuShare, guest.m.vmPages)).toBe(-EPERM);
  });

  it('gives a page up: wiped, uncharged, unpinned; and may have another there', () => {
    const guest = guestOf();
    guest.store(1, 9);
    const pfn = hostPfn(guest.m, 0, 1);
    const locked = mmWord(guest.m, 0, MM_LOCKED_VM);
    expect([guest.refs(pfn), guest.word(locked)]).toEqual([1 + GUP_PIN_COUNTING_BIAS, 1]);
    expect(call(guest, vcpuRelinquish, 1)).toBe(0);
    expect(told(guest)).toEqual([`host owns ${pfn}, wiped true`]);
    expect([guest.refs(pfn), guest.word(locked), guest.word(pinnedPageWord(guest.m, 0, 1))]).toEqual([1, 0, 0]);
    expect(owners(guest, 1)).toEqual([PKVM_PAGE_OWNED, PKVM_NOPAGE, PKVM_NOPAGE]);
    expect([guest.touch(1, false), guest.ctx(7).accessValue]).toEqual([0, 0]);
    expect(call(guest, vcpuRelinquish, 1)).toBe(-EFAULT);
    guest.store(1, 12);
    expect(guest.load(1)).toBe(12);
  });

  it('cannot give up what it shares; one that is not protected gives up what it has borrowed, as it is', () => {
    const guest = guestOf();
    guest.store(1, 9);
    call(guest, vcpuShare, 1);
    expect(call(guest, vcpuRelinquish, 1)).toBe(-EPERM);
    const open = guestOf(false);
    open.store(1, 9);
    const pfn = hostPfn(open.m, 0, 1);
    expect(call(open, vcpuRelinquish, 1)).toBe(0);
    expect(told(open)).toEqual([`host owns ${pfn}, wiped false`]);
    expect([open.touch(1, false), open.ctx(7).accessValue]).toEqual([0, 9]);
  });

  it('has nobody to ask on a host without EL2', () => {
    const guest = new Guest();
    expect(call(guest, vcpuShare, 0)).toBe(-EINVAL);
  });
});

describe('a host by hand', () => {
  it('shares pages with EL2, which then are not to be given to anybody', () => {
    const guest = guestOf();
    const ctx = guest.ctx(7);
    guest.touch(0, true, 5);
    guest.store(1, 1);
    expect(runToEnd(hostShareWithHyp(ctx, 0, 0), ctx)).toBe(0);
    expect(owners(guest, 0)).toEqual([PKVM_PAGE_SHARED_OWNED, PKVM_PAGE_SHARED_BORROWED, PKVM_NOPAGE]);
    expect(runToEnd(hostShareWithHyp(ctx, 0, 0), ctx)).toBe(-EPERM);
    expect(runToEnd(hostDonate(ctx, 0, 0, 0, 0), ctx)).toBe(-EPERM);
    expect(runToEnd(hostUnshareFromHyp(ctx, 0, 0), ctx)).toBe(0);
    expect(runToEnd(hostUnshareFromHyp(ctx, 0, 0), ctx)).toBe(-EPERM);
    expect(runToEnd(hostDonate(ctx, 0, 0, 0, 0), ctx)).toBe(0);
    expect(owners(guest, 0)).toEqual([PKVM_NOPAGE, PKVM_NOPAGE, PKVM_PAGE_OWNED]);
    expect(runToEnd(hostDonate(ctx, 0, 0, 0, 3), ctx)).toBe(-EFAULT);
  });

  it('cannot give away what is no memory', () => {
    const guest = guestOf();
    const ctx = guest.ctx(7);
    guest.m.words[pageWord(guest.m, 40, PAGE_FLAGS)] = PG_NO_MAP;
    expect(runToEnd(hostDonateFramesToHyp(ctx, 40, 1), ctx)).toBe(-EPERM);
    expect(runToEnd(hostDonateFramesToHyp(ctx, guest.m.frames, 1), ctx)).toBe(-EINVAL);
    expect(runToEnd(hostDonateFramesToHyp(ctx, 41, 1), ctx)).toBe(0);
  });
});

/** Policy (g): guests whose table EL2 owns and whose host takes pages back by hypercall (src/kvm/pkvm-pgtable.ts). */
import { describe, expect, it } from 'vitest';
import { EPERM, KVM_MEM_LOG_DIRTY_PAGES } from '#src/machine/abi.js';
import { Probe } from '#src/machine/context.js';
import { PKVM_PAGE_OWNED, PKVM_PAGE_SHARED_OWNED, S2_WRITE } from '#src/machine/entries.js';
import { mappedPageWord } from '#src/machine/layout.js';
import { claimsOf } from '#src/engine/machine/kernel.js';
import { hostState, setShareCount, shareCount } from '#src/hyp/page-state.js';
import { hostPfn, stage2Pfn } from '#src/kvm/divergence.js';
import { hostShareWithHyp } from '#src/kvm/host-calls.js';
import { kvmCreateVm, kvmDestroyVm, kvmSetMemslot } from '#src/kvm/vm.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { MADV_DONTNEED, madvise } from '#src/mm/madvise/madvise.js';
import { auditAll } from '#src/oracle/index.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Guest } from './guest.js';

class Warned extends Probe {
  readonly warned: string[] = [];
  override onWarn(_ctx: unknown, invariant: string, what: string): void {
    this.warned.push(`${invariant}: ${what}`);
  }
}

const guestOf = (vms = 1): Guest =>
  new Guest({ policy: 'pkvm-np-upstream', probe: new Warned(), machine: { vms, thpOrder: 2 } });
const mapped = (guest: Guest, gfn: number, vm = 0): number => guest.word(mappedPageWord(guest.m, vm, gfn)) - 1;
/** The host's state of the page at `vpn`, and how many leaves it has. */
const shared = (guest: Guest, vpn: number): number[] => {
  const pfn = hostPfn(guest.m, 0, vpn);
  return [hostState(guest.ctx(0), pfn), shareCount(guest.ctx(0), pfn)];
};
const zap = (guest: Guest, vpn: number): number =>
  runToEnd(madvise(guest.ctx(7), 0, vpn, vpn + 1, MADV_DONTNEED), guest.ctx(7));

describe('a guest that follows notifiers', () => {
  it('shares pages without a pin; a zap takes them back', () => {
    const guest = guestOf();
    guest.store(2, 9);
    const pfn = hostPfn(guest.m, 0, 2);
    expect([stage2Pfn(guest.m, 0, 2), mapped(guest, 2), guest.refs(pfn)]).toEqual([pfn, pfn, 1]);
    expect(shared(guest, 2)).toEqual([PKVM_PAGE_SHARED_OWNED, 1]);
    expect([guest.touch(2, false), guest.ctx(7).accessValue]).toEqual([0, 9]);
    expect(zap(guest, 2)).toBe(0);
    expect([stage2Pfn(guest.m, 0, 2), mapped(guest, 2), hostState(guest.ctx(0), pfn)]).toEqual([
      -1,
      -1,
      PKVM_PAGE_OWNED,
    ]);
    expect(guest.load(2)).toBe(0);
    expect(guest.stale()).toEqual([]);
  });

  it('maps the zero page read-only and gets a page of its own at the first write', () => {
    const guest = guestOf();
    expect(guest.load(1)).toBe(0);
    expect([mapped(guest, 1), guest.leaf(1) & S2_WRITE, shareCount(guest.ctx(0), 0)]).toEqual([0, 0, 1]);
    guest.store(1, 3);
    expect([mapped(guest, 1) > 0, guest.leaf(1) & S2_WRITE, shareCount(guest.ctx(0), 0)]).toEqual([true, S2_WRITE, 0]);
    expect(guest.load(1)).toBe(3);
  });

  it('loses its write permission to dirty logging, and gets it back by a fault', () => {
    const guest = guestOf();
    const ctx = guest.ctx(7);
    guest.store(0, 1);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, guest.pages, 0, KVM_MEM_LOG_DIRTY_PAGES), ctx)).toBe(0);
    expect(guest.leaf(0) & S2_WRITE).toBe(0);
    guest.store(0, 2);
    expect([guest.leaf(0) & S2_WRITE, guest.load(0)]).toEqual([S2_WRITE, 2]);
    expect(runToEnd(kvmSetMemslot(ctx, 0, 0, 0, 0, 0, 0), ctx)).toBe(0);
    expect([stage2Pfn(guest.m, 0, 0), mapped(guest, 0)]).toEqual([-1, -1]);
  });

  it('shares a page with other such guests, counted once for each, but none that EL2 has borrowed', () => {
    const guest = guestOf(2);
    const ctx = guest.ctx(5);
    expect(runToEnd(kvmCreateVm(ctx, 1, 0, false), ctx)).toBe(0);
    expect(runToEnd(kvmSetMemslot(ctx, 1, 0, 0, guest.pages, 0, 0), ctx)).toBe(0);
    guest.store(0, 1);
    expect(runToEnd(vcpuAccess(ctx, 1, 0, 0, true, 2), ctx)).toBe(0);
    expect([guest.load(0), ...shared(guest, 0)]).toEqual([2, PKVM_PAGE_SHARED_OWNED, 2]);
    guest.touch(3, true, 7);
    expect(runToEnd(hostShareWithHyp(ctx, 0, 3), ctx)).toBe(0);
    // KVM_RUN ends with it: no "another vCPU was first" (Z45)
    expect(guest.access(3, true, 4)).toBe(-EPERM);
    expect(zap(guest, 0)).toBe(0);
    expect([mapped(guest, 0), mapped(guest, 0, 1)]).toEqual([-1, -1]);
  });

  it("is held to its accounts: share counts and the host's record (I-SHARECNT)", () => {
    const guest = guestOf();
    const { m } = guest;
    const judged = (): string[] =>
      auditAll(m, { level: 'local', claims: claimsOf('pkvm-np-upstream'), mode: 'one', actors: m.cpus }, []).map(
        ({ invariant, what }) => `${invariant} ${what}`,
      );
    guest.store(0, 1);
    expect(judged()).toEqual([]);
    const pfn = hostPfn(m, 0, 0);
    setShareCount(guest.ctx(0), pfn, 2);
    expect(judged()).toEqual(['I-SHARECNT share count is not leaves']);
    setShareCount(guest.ctx(0), pfn, 1);
    m.words[mappedPageWord(m, 0, 0)] = 0;
    expect(judged()).toEqual(["I-SHARECNT host's record and EL2's table differ"]);
  });

  it('leaves nothing behind when it ends', () => {
    const guest = guestOf();
    for (let gfn = 0; gfn < 6; gfn++) guest.store(gfn, gfn + 1);
    const ctx = guest.ctx(6);
    expect(runToEnd(guest.kernel.vcpuPut(guest.ctx(0), 0, 0), guest.ctx(0))).toBe(0);
    runToEnd(kvmDestroyVm(ctx, 0), ctx);
    expect((guest.probe as Warned).warned).toEqual([]);
    for (let vpn = 0; vpn < 6; vpn++) expect(shared(guest, vpn)).toEqual([PKVM_PAGE_OWNED, 0]);
    expect(audit(guest.m)).toEqual([]);
  });
});

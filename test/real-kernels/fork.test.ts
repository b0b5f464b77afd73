/** fork over pinned pages with a guest on them, as observed (F1, F2) and as kernel-model 3.19 has it for a THP of 512 pages. */
import { describe, expect, it } from 'vitest';
import { MMU_NOTIFY_CLEAR, MMU_NOTIFY_PROTECTION_PAGE, VM_HUGEPAGE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { PTE_WRITE, isTable } from '#src/machine/entries.js';
import { statsBase } from '#src/machine/layout.js';
import { MC_PAGES_MOVED, MECHANISM_COUNTERS, STATS_MECHANISMS_AT } from '#src/machine/stats.js';
import { vcpuAccess } from '#src/kvm/mmu.js';
import { kvmCreateVm, kvmSetMemslot } from '#src/kvm/vm.js';
import { stage2At } from '#src/oracle/view.js';
import { ForkLab } from '../mm/fork-lab.js';

const THP = 512;
const PARENT = 0;
const CHILD = 1;

/** 512 pages, all written, a guest on them that has touched each. */
function guestOn(flags: number): ForkLab {
  const lab = new ForkLab(
    {},
    { thpOrder: 9, framesPerNode: 4 * THP, mms: 2, mmPages: THP, vms: 1, vmPages: THP, tlbEntries: 1024 },
  );
  lab.mapSmall(PARENT, 0, THP, flags);
  lab.run((ctx) => kvmCreateVm(ctx, 0, PARENT, false));
  lab.run((ctx) => kvmSetMemslot(ctx, 0, 0, 0, THP, 0, 0));
  return lab;
}

function touchAll(lab: ForkLab): void {
  const vcpu = lab.ctx(2);
  vcpu.cpu.loadedVm = 0;
  vcpu.cpu.loadedVcpu = 0;
  for (let gfn = 0; gfn < THP; gfn++) lab.run((ctx) => vcpuAccess(ctx, 0, 0, gfn, true, 5000 + gfn), 2);
}

function mapped(lab: ForkLab): number {
  let pages = 0;
  for (let gfn = 0; gfn < THP; gfn++) if (stage2At(lab.m, 0, gfn) !== 0) pages++;
  return pages;
}

const copied = (lab: ForkLab): number =>
  lab.word(statsBase(lab.m, 0) + STATS_MECHANISMS_AT + MECH.fork * MECHANISM_COUNTERS + MC_PAGES_MOVED);

describe('fork', () => {
  it('over 512 pinned 4k pages: one call, stage 2 gone and faulted back, every page copied, none moved', () => {
    const lab = guestOn(0);
    const pfns = Array.from({ length: THP }, (_, vpn) => lab.pin(PARENT, vpn));
    touchAll(lab);
    lab.starts.length = 0;
    expect(lab.fork(PARENT, CHILD)).toBe(0);
    expect(lab.starts).toEqual([[PARENT, 0, THP, MMU_NOTIFY_PROTECTION_PAGE]]);
    expect([mapped(lab), copied(lab)]).toEqual([0, THP]);
    touchAll(lab);
    expect(mapped(lab)).toBe(THP);
    for (let vpn = 0; vpn < THP; vpn++) {
      expect(lab.pfn(PARENT, vpn)).toBe(pfns[vpn]);
      expect(lab.pte(PARENT, vpn) & PTE_WRITE).toBe(PTE_WRITE);
      expect(lab.content(pfns[vpn] as number)).toBe(5000 + vpn);
    }
    expect(lab.violations()).toEqual([]);
  });

  it('over a THP with one pin: two calls, the huge mapping split, all 512 pages copied', () => {
    const lab = guestOn(VM_HUGEPAGE);
    const head = lab.pfn(PARENT, 0);
    lab.pin(PARENT, 9);
    touchAll(lab);
    lab.starts.length = 0;
    expect(lab.fork(PARENT, CHILD)).toBe(0);
    expect(lab.starts).toEqual([
      [PARENT, 0, THP, MMU_NOTIFY_PROTECTION_PAGE],
      [PARENT, 0, THP, MMU_NOTIFY_CLEAR],
    ]);
    expect(isTable(lab.pmd(PARENT, 0))).toBe(true);
    expect([lab.refs(head), copied(lab), mapped(lab)]).toEqual([THP + 1, THP, 0]);
    for (let vpn = 0; vpn < THP; vpn++) expect(lab.pfn(PARENT, vpn)).toBe(head + vpn);
    expect(lab.violations()).toEqual([]);
  });
});

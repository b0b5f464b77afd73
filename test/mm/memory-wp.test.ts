import { describe, expect, it } from 'vitest';
import {
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  MAPPING_KSM,
  MMU_NOTIFY_CLEAR,
  PG_ANON_EXCLUSIVE,
  PG_HWPOISON,
  PG_LRU,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
} from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { type Context, type KernelRules, Probe } from '#src/machine/context.js';
import { EFFECT_ACQUIRE, EFFECT_RMW } from '#src/machine/effects.js';
import { PTE_DIRTY, PTE_PRESENT, PTE_SPECIAL, PTE_WRITE, PTE_YOUNG, entryPfn, mkEntry } from '#src/machine/entries.js';
import { KSM_ZERO_PAGES, PAGE_CONTENT, PAGE_FLAGS, PAGE_MAPPING, globalWord, ptlOf } from '#src/machine/layout.js';
import { enterAccess, leaveAccess, tlbInsert, tlbLookup, tlbTag } from '#src/machine/tlb.js';
import { folioTrylock, folioUnlock } from '#src/locks/exclusive.js';
import { madviseDontneed } from '#src/mm/madvise/madvise.js';
import { doUserAddrFault } from '#src/mm/memory/memory.js';
import { audit } from '../helpers/audit.js';
import { Stepped, runToEnd } from '../helpers/drive.js';
import { Lab } from './kernel.js';

const WRITE = FAULT_FLAG_WRITE;
const VPN = 5;

/** A page at VPN with content 77 that is mapped read-only and clean; `exclusive` or not. */
function readOnlyPage(lab: Lab, exclusive: boolean): number {
  lab.fault(VPN, WRITE);
  const pfn = entryPfn(lab.pte(VPN));
  lab.setPage(pfn, PAGE_CONTENT, 77);
  lab.setPte(VPN, mkEntry(pfn, PTE_PRESENT | PTE_YOUNG));
  if (!exclusive) lab.setPage(pfn, PAGE_FLAGS, lab.flags(pfn) & ~PG_ANON_EXCLUSIVE);
  lab.notified.length = 0;
  return pfn;
}

const unshare = (lab: Lab): number =>
  runToEnd(lab.a.kernel.handleMmFault(lab.a, 0, lab.vma(VPN), VPN, FAULT_FLAG_UNSHARE | FAULT_FLAG_REMOTE), lab.a);

const rules = (wpReuse: KernelRules['wpReuse']) => ({ kernel: { rules: { wpReuse } } });

describe('reuse or copy', () => {
  it('v5.19: an exclusive page is reused whatever else refers to it, without notifier or flush', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, true);
    lab.pin(pfn);
    expect(lab.fault(VPN, WRITE)).toBe(0);
    expect(lab.pte(VPN)).toBe(mkEntry(pfn, PTE_PRESENT | PTE_YOUNG | PTE_WRITE | PTE_DIRTY));
    expect([lab.notified, lab.stat('wp_reuses'), lab.stat('wp_copies')]).toEqual([[], 1, 0]);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it.each([
    // rule, exclusive, pinned, plain references, reused
    ['v5.19', false, false, 0, true],
    ['v5.19', false, false, 1, false],
    ['v5.19', false, true, 0, false],
    ['v5.9', true, false, 0, true],
    ['v5.9', true, true, 0, false],
    ['v5.9', true, false, 1, false],
    ['v5.8', true, true, 0, true],
    ['v5.8', false, false, 1, true],
  ] as const)('%s: exclusive %s, pinned %s, other refs %i -> reuse %s', (rule, exclusive, pinned, gets, reused) => {
    const lab = new Lab(rules(rule));
    const pfn = readOnlyPage(lab, exclusive);
    if (pinned) lab.pin(pfn);
    if (gets > 0) lab.get(pfn);
    expect(lab.fault(VPN, WRITE)).toBe(0);
    const now = entryPfn(lab.pte(VPN));
    expect(now === pfn).toBe(reused);
    expect(lab.page(now, PAGE_CONTENT)).toBe(77);
    expect(lab.flags(now) & PG_ANON_EXCLUSIVE).not.toBe(0);
    expect(lab.notified.length).toBe(reused ? 0 : 1);
    expect(audit(lab.m, { [pfn]: (pinned ? 1024 : 0) + gets })).toEqual([]);
  });

  it('v5.19: drains its own LRU batch before it counts', () => {
    const lab = new Lab({ machine: { lruBatch: 31 } });
    const pfn = readOnlyPage(lab, false);
    expect([lab.refs(pfn), lab.flags(pfn) & PG_LRU]).toEqual([2, 0]);
    lab.fault(VPN, WRITE);
    expect([entryPfn(lab.pte(VPN)), lab.refs(pfn)]).toEqual([pfn, 1]);
    // another CPU's batch cannot be drained: four references are too many to try, three are not
    const other = new Lab({ machine: { lruBatch: 31 } });
    const mine = readOnlyPage(other, false);
    expect(runToEnd(doUserAddrFault(other.b, 0, VPN, WRITE), other.b)).toBe(0);
    expect(entryPfn(other.pte(VPN))).not.toBe(mine);
    expect(audit(other.m)).toEqual([]);
  });

  it('copies when the folio is locked by somebody', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    expect(folioTrylock(lab.b, pfn)).toBe(true);
    lab.fault(VPN, WRITE);
    expect(entryPfn(lab.pte(VPN))).not.toBe(pfn);
    folioUnlock(lab.b, pfn);
    expect(audit(lab.m)).toEqual([]);
  });

  it.each(['v5.19', 'v5.9', 'v5.8'] as const)('%s: a KSM page is always copied', (rule) => {
    const lab = new Lab(rules(rule));
    const pfn = readOnlyPage(lab, false);
    lab.setPage(pfn, PAGE_MAPPING, (1 << 2) | MAPPING_KSM);
    lab.fault(VPN, WRITE);
    expect(entryPfn(lab.pte(VPN))).not.toBe(pfn);
    expect([lab.stat('ksm_broken'), lab.stat('wp_copies')]).toEqual([1, 1]);
    expect(audit(lab.m)).toEqual([]);
  });
});

describe('wp_page_copy', () => {
  it('copies content, notifies CLEAR for the page as wp_fault, flushes, and frees the old page', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    lab.a.task.mechanism = 3;
    lab.fault(VPN, WRITE);
    expect(lab.notified).toEqual([{ start: VPN, end: VPN + 1, event: MMU_NOTIFY_CLEAR, mechanism: MECH.wp_fault }]);
    expect([lab.a.task.mechanism, lab.notifiersOpen()]).toEqual([3, 0]);
    const copy = entryPfn(lab.pte(VPN));
    expect([lab.page(copy, PAGE_CONTENT), lab.refs(copy), lab.maps(copy)]).toEqual([77, 1, 1]);
    expect([lab.refs(pfn), lab.maps(pfn)]).toEqual([1, 0]);
    expect(audit(lab.m, { [pfn]: 1 })).toEqual([]);
  });

  it('clears and flushes before the new page is mapped, and the old one loses its map after that', () => {
    const order: string[] = [];
    class Order extends Probe {
      override onEntry(_ctx: Context, _mm: number, vpn: number, _word: number, _before: number, after: number): void {
        if (vpn === VPN) order.push(after === 0 ? 'cleared' : 'set');
      }
      override onTlbFlushed(): void {
        order.push('flushed');
      }
      override onMap(_ctx: Context, _mm: number, _vpn: number, _pfn: number, delta: number): void {
        order.push(delta > 0 ? 'mapped' : 'unmapped');
      }
    }
    const lab = new Lab({ probe: new Order() });
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    order.length = 0;
    lab.fault(VPN, WRITE);
    expect(order).toEqual(['cleared', 'flushed', 'mapped', 'set', 'unmapped']);
  });

  it('removes what other CPUs have cached of the old page', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    // CPU 1 has used the mapping
    lab.m.words[lab.m.mmsAt + 66] = 0b10;
    enterAccess(lab.b);
    tlbInsert(lab.b, tlbTag(false, 0, VPN), pfn, 0);
    leaveAccess(lab.b);
    lab.fault(VPN, WRITE);
    expect(tlbLookup(lab.b, tlbTag(false, 0, VPN))).toBe(0);
  });

  it('copies the zero page, with a notifier, and counts down those that KSM placed', () => {
    const lab = new Lab();
    lab.fault(VPN, 0);
    const zeroPages = globalWord(lab.m, KSM_ZERO_PAGES);
    lab.fault(VPN, WRITE);
    expect([lab.notified.length, lab.m.words[zeroPages]]).toEqual([1, 0]);
    expect(lab.pte(VPN) & PTE_WRITE).not.toBe(0);
    lab.fault(VPN + 1, 0);
    lab.setPte(VPN + 1, mkEntry(0, PTE_PRESENT | PTE_SPECIAL | PTE_DIRTY));
    lab.m.words[zeroPages] = 1;
    lab.fault(VPN + 1, WRITE);
    expect(lab.m.words[zeroPages]).toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });

  it('OOM: nothing changed, no notifier, the old page as it was', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    lab.a.task.failAllocation = 1;
    const before = lab.pte(VPN);
    expect(lab.fault(VPN, WRITE)).toBe(VM_FAULT_OOM);
    expect([lab.pte(VPN), lab.notified]).toEqual([before, []]);
    expect(audit(lab.m, { [pfn]: 1 })).toEqual([]);
  });

  it('HWPOISON: the machine check comes while copying, before any notifier', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    lab.setPage(pfn, PAGE_FLAGS, lab.flags(pfn) | PG_HWPOISON);
    expect(lab.fault(VPN, WRITE)).toBe(VM_FAULT_HWPOISON);
    expect([lab.notified, lab.stat('sigbus')]).toEqual([[], 1]);
    expect(audit(lab.m, { [pfn]: 1 })).toEqual([]);
  });

  it('throws its copy away when the PTE went between NOTIFY.start and the lock', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, WRITE));
    const ptl = ptlOf(lab.m, entryPfn(lab.pmd(VPN)));
    late.until(EFFECT_ACQUIRE, ptl);
    late.step();
    late.until(EFFECT_ACQUIRE, ptl);
    expect(lab.notifiersOpen()).toBe(1);
    expect(runToEnd(madviseDontneed(lab.b, 0, VPN, VPN + 1), lab.b)).toBe(0);
    expect(late.finish()).toBe(0);
    expect([lab.pte(VPN), lab.stat('wp_copies'), lab.notifiersOpen()]).toEqual([0, 0, 0]);
    expect(audit(lab.m, { [pfn]: 1 })).toEqual([]);
  });

  it('two writers: one copies, the other finds it done', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.get(pfn);
    const late = new Stepped(lab.a, doUserAddrFault(lab.a, 0, VPN, WRITE));
    late.until(EFFECT_RMW, lab.pteAt(VPN));
    late.step();
    // a holds the PTL and has seen the old PTE: b must wait
    const other = new Stepped(lab.b, doUserAddrFault(lab.b, 0, VPN, WRITE));
    expect(other.runOn()).toBe(false);
    late.finish();
    expect(other.finish()).toBe(0);
    expect(lab.stat('wp_copies')).toBe(1);
    expect(audit(lab.m, { [pfn]: 1 })).toEqual([]);
  });
});

describe('unshare faults', () => {
  it('make a page exclusive where they may, and leave the PTE read-only', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    const before = lab.pte(VPN);
    expect(unshare(lab)).toBe(0);
    expect([lab.pte(VPN), lab.flags(pfn) & PG_ANON_EXCLUSIVE]).toEqual([before, PG_ANON_EXCLUSIVE]);
  });

  it('else install an exclusive read-only copy', () => {
    const lab = new Lab();
    const pfn = readOnlyPage(lab, false);
    lab.setPage(pfn, PAGE_MAPPING, (1 << 2) | MAPPING_KSM);
    expect(unshare(lab)).toBe(0);
    const copy = entryPfn(lab.pte(VPN));
    expect(copy).not.toBe(pfn);
    expect(lab.pte(VPN)).toBe(mkEntry(copy, PTE_PRESENT | PTE_YOUNG));
    expect(lab.flags(copy) & PG_ANON_EXCLUSIVE).not.toBe(0);
    expect(audit(lab.m)).toEqual([]);
  });
});

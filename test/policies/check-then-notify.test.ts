/**
 * (d) check-then-notify: what each variant spares, and the races d1 and d2 that each of them leaves (kernel-model 5
 * (d)), each driven by hand through its window. The guest maps by user_mem_abort and holds nothing; the pin is a
 * device's.
 */
import { describe, expect, it } from 'vitest';
import { FOLL_LONGTERM, FOLL_WRITE, VM_HUGEPAGE, VM_MERGEABLE, VM_READ } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { type Context, Probe } from '#src/machine/context.js';
import { EFFECT_ADD } from '#src/machine/effects.js';
import { entryPfn, isHuge, isProtnone, isTable } from '#src/machine/entries.js';
import {
  MM_SRCU,
  VM_MN_INVALIDATE_LOCK,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  statsBase,
  vmWord,
  PAGE_MAPPING,
} from '#src/machine/layout.js';
import { MC_BACKED_OUT, MC_NOTIFIER_STARTS, MECHANISM_COUNTERS, STATS_MECHANISMS_AT } from '#src/machine/stats.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { taskNumaWork } from '#src/mm/mempolicy.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { stage2Pfn } from '#src/kvm/divergence.js';
import { runToEnd, Stepped } from '../helpers/drive.js';
import { Guest } from '../kvm/guest.js';

const PAGES = 4;
/** CPUs: the vCPU, a device's task, the balancer on the other node than the pages. */
const VCPU = 0;
const DEVICE = 2;
const BALANCER = 1;

class StartsProbe extends Probe {
  readonly starts: [number, number][] = [];
  override onNotifierStart(_ctx: Context, _mm: number, start: number, end: number): void {
    this.starts.push([start, end]);
  }
}

interface World {
  readonly guest: Guest;
  readonly probe: StartsProbe;
}

/** Pages 0 to 3 written by the guest, so that stage 2 maps them. */
function world(policy: string, flags = 0): World {
  const probe = new StartsProbe();
  const guest = new Guest({ policy, probe, flags, machine: { vmPages: PAGES } });
  for (let gfn = 0; gfn < PAGES; gfn++) guest.store(gfn, 100 + gfn, VCPU);
  probe.starts.length = 0;
  return { guest, probe };
}

const pin = ({ guest }: World, vpn: number): number => {
  const ctx = guest.ctx(DEVICE);
  const pfn = runToEnd(pinUserPagesFast(ctx, 0, vpn, FOLL_WRITE | FOLL_LONGTERM), ctx);
  if (pfn < 0) throw new Error('pin');
  return pfn;
};
const unpin = ({ guest }: World, pfn: number): void => {
  const ctx = guest.ctx(DEVICE);
  runToEnd(ctx.kernel.unpinUserPage(ctx, pfn, false), ctx);
};
const scan = ({ guest }: World): number => runToEnd(taskNumaWork(guest.ctx(BALANCER), 0), guest.ctx(BALANCER));
const scanner = ({ guest }: World): Stepped<number> =>
  new Stepped(guest.ctx(BALANCER), taskNumaWork(guest.ctx(BALANCER), 0));
const mapped = ({ guest }: World): number[] => {
  const found: number[] = [];
  for (let gfn = 0; gfn < PAGES; gfn++) if (stage2Pfn(guest.m, 0, gfn) >= 0) found.push(gfn);
  return found;
};
const hints = ({ guest }: World): number[] => {
  const found: number[] = [];
  for (let vpn = 0; vpn < PAGES; vpn++) {
    const pmd = guest.word(pmdWord(guest.m, 0, vpn));
    if (isProtnone(isTable(pmd) ? guest.word(pteWord(guest.m, entryPfn(pmd), vpn)) : pmd)) found.push(vpn);
  }
  return found;
};
const counter = ({ guest }: World, which: number): number =>
  guest.word(statsBase(guest.m, BALANCER) + STATS_MECHANISMS_AT + MECH.numa_scan * MECHANISM_COUNTERS + which);
/** The window of d1: NOTIFY.start was decided on, and its callback has taken no lock yet. */
const toStart = (task: Stepped<number>, { guest }: World): void =>
  task.until(EFFECT_ADD, mmWord(guest.m, 0, MM_SRCU) + 1);

const VARIANTS = ['check-then-notify', 'check-then-notify-backout', 'check-then-notify-range'] as const;

describe.each(VARIANTS)('%s', (policy) => {
  it('spares pinned pages the notifier: stage 2 keeps them, the others become hints', () => {
    const w = world(policy);
    const pfn = pin(w, 2);
    expect(scan(w)).toBe(3);
    expect(w.probe.starts.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i))).toEqual([
      0, 1, 3,
    ]);
    expect(w.probe.starts).toHaveLength(policy === 'check-then-notify-range' ? 2 : 3);
    expect(mapped(w)).toEqual([2]);
    expect(hints(w)).toEqual([0, 1, 3]);
    expect(counter(w, MC_BACKED_OUT)).toBe(0);
    unpin(w, pfn);
  });

  it('all pinned: no notifier at all, where the kernel sends one for the range (F6)', () => {
    const w = world(policy);
    for (let vpn = 0; vpn < PAGES; vpn++) pin(w, vpn);
    expect(scan(w)).toBe(0);
    expect(w.probe.starts).toEqual([]);
    expect(mapped(w)).toEqual([0, 1, 2, 3]);
    const plain = world('classic');
    for (let vpn = 0; vpn < PAGES; vpn++) pin(plain, vpn);
    expect(scan(plain)).toBe(0);
    expect(plain.probe.starts).toEqual([[0, 4]]);
    expect(mapped(plain)).toEqual([]);
  });

  it('a pinned huge page is spared as well, an unpinned one becomes a huge hint', () => {
    const w = world(policy, VM_HUGEPAGE);
    expect(isHuge(w.guest.word(pmdWord(w.guest.m, 0, 0)))).toBe(true);
    const pfn = pin(w, 1);
    expect(scan(w)).toBe(0);
    expect(w.probe.starts).toEqual([]);
    expect(mapped(w)).toEqual([0, 1, 2, 3]);
    unpin(w, pfn);
    expect(scan(w)).toBe(PAGES);
    expect(w.probe.starts).toEqual([[0, 4]]);
    expect(mapped(w)).toEqual([]);
    expect(hints(w)).toEqual([0, 1, 2, 3]);
  });

  it('d1: a pin that lands between the look and the callback loses its stage-2 entry', () => {
    const w = world(policy);
    const task = scanner(w);
    toStart(task, w);
    pin(w, 0);
    w.guest.load(0, VCPU);
    expect(mapped(w)).toContain(0);
    // the callback has not begun: mn_invalidate_lock is its first lock
    expect(w.guest.word(vmWord(w.guest.m, 0, VM_MN_INVALIDATE_LOCK))).toBe(0);
    task.finish();
    expect(mapped(w)).not.toContain(0);
    const harmed = policy === 'check-then-notify';
    expect(hints(w).includes(0)).toBe(harmed);
    expect(counter(w, MC_BACKED_OUT)).toBe(harmed ? 0 : 1);
    // whatever happened, the table and stage 2 agree
    expect(w.guest.stale()).toEqual([]);
  });

  it('d1 on a huge page', () => {
    const w = world(policy, VM_HUGEPAGE);
    const task = scanner(w);
    toStart(task, w);
    pin(w, 3);
    task.finish();
    expect(mapped(w)).toEqual([]);
    expect(hints(w)).toEqual(policy === 'check-then-notify' ? [0, 1, 2, 3] : []);
  });

  it('d2: an unpin between the passes; only the range variant changes what it did not announce', () => {
    const w = world(policy);
    const pfns = [0, 1, 2, 3].map((vpn) => pin(w, vpn));
    const task = scanner(w);
    const ptl = w.guest.m.tablesAt + entryPfn(w.guest.word(pmdWord(w.guest.m, 0, 0))) * w.guest.m.tableWords;
    // pass 1, and the lock dropped after it
    while (w.guest.word(ptl) === 0) task.step();
    while (w.guest.word(ptl) !== 0) task.step();
    unpin(w, pfns[0] as number);
    task.finish();
    expect(w.probe.starts).toEqual([]);
    expect(mapped(w)).toEqual([0, 1, 2, 3]);
    // I-STALE: stage 2 maps page 0, which the host has made a hint
    expect(hints(w)).toEqual(policy === 'check-then-notify-range' ? [0] : []);
  });

  it('mprotect spares nobody: one announcement over its range', () => {
    const w = world(policy);
    pin(w, 1);
    const ctx = w.guest.ctx(DEVICE);
    expect(runToEnd(mprotect(ctx, 0, 0, PAGES, VM_READ), ctx)).toBe(0);
    expect(w.probe.starts).toEqual([[0, 4]]);
    expect(mapped(w)).toEqual([]);
  });

  it('KSM looks first too: a pinned page is refused without a notifier, an unpinned one is merged', () => {
    const w = world(policy, VM_MERGEABLE);
    for (let gfn = 0; gfn < PAGES; gfn++) w.guest.store(gfn, 7, VCPU);
    const pfn = pin(w, 0);
    const ctx = w.guest.ctx(6);
    w.probe.starts.length = 0;
    for (let i = 0; i < 6; i++) while (runToEnd(ksmDoScan(ctx, 64), ctx) === 0);
    expect(w.probe.starts.filter(([start]) => start === 0)).toEqual([]);
    expect(stage2Pfn(w.guest.m, 0, 0)).toBe(pfn);
    expect(w.probe.starts.length).toBeGreaterThan(0);
    expect(w.guest.word(pageWord(w.guest.m, pfn, PAGE_MAPPING)) & 3).toBe(1);
    expect(w.guest.stale()).toEqual([]);
  });
});

it('counts its notifiers as the scan’s', () => {
  const w = world('check-then-notify');
  scan(w);
  expect(counter(w, MC_NOTIFIER_STARTS)).toBe(PAGES);
});

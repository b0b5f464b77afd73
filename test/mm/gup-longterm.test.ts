/** FOLL_LONGTERM of pages that lie where they may not be pinned for long (kernel-model 3.10.2). */
import { describe, expect, it } from 'vitest';
import { ENOMEM, FOLL_LONGTERM, FOLL_WRITE, PG_LRU, PG_UNPINNABLE_ZONE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { Machine, PAGE_FLAGS, pageWord } from '#src/machine/layout.js';
import { MC_PAGES_MOVED } from '#src/machine/stats.js';
import { checkAndMigrateMovablePages } from '#src/mm/gup/longterm.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { folioIsolateLru, folioPutbackLru } from '#src/mm/swap.js';
import { audit } from '../helpers/audit.js';
import { Stepped } from '../helpers/drive.js';
import { MmLab } from '../helpers/mm-lab.js';

const LONGTERM = FOLL_WRITE | FOLL_LONGTERM;
const pin = (lab: MmLab, vpn: number): number => lab.run((ctx) => pinUserPagesFast(ctx, 0, vpn, LONGTERM));

/** Marks whole blocks as ZONE_MOVABLE, as a scenario does before boot: what is allocated there later is movable too. */
function movable(m: Machine, from: number, to: number): void {
  for (let pfn = from; pfn < to; pfn++) {
    const at = pageWord(m, pfn, PAGE_FLAGS);
    m.words[at] = (m.words[at] as number) | PG_UNPINNABLE_ZONE;
  }
}

describe('a page in ZONE_MOVABLE', () => {
  it('is moved to where it may be pinned, with its content, and pinned there', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const old = lab.pfn(0);
    movable(lab.m, old & ~3, (old & ~3) + 4);
    const pinned = pin(lab, 0);
    const pfn = lab.pfn(0);
    expect(pfn >> 2).not.toBe(old >> 2);
    expect(pinned).toBe(pfn);
    expect(lab.content(pfn)).toBe(100);
    expect(lab.mechanism(MECH.longterm_migrate, MC_PAGES_MOVED)).toBe(1);
    // the pin that was dropped for the move is not a pin that anybody had
    expect(lab.probe.pinned).toEqual([[0, 0, pfn]]);
    expect([lab.stat('pins'), lab.stat('unpins')]).toEqual([1, 0]);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it('a new page for such a pin is allocated where it may stay', () => {
    const lab = new MmLab();
    lab.map(0, 1);
    movable(lab.m, 0, 32);
    expect(pin(lab, 0)).toBe(lab.pfn(0));
    expect(lab.node(0)).toBe(1);
    expect(lab.mechanism(MECH.longterm_migrate, MC_PAGES_MOVED)).toBe(0);
  });

  it('a huge page moves as a whole', () => {
    const lab = new MmLab();
    lab.mapHuge(0, 4);
    const old = lab.pfn(0);
    movable(lab.m, old, old + 4);
    expect(pin(lab, 2)).toBe(lab.pfn(2));
    const head = lab.pfn(0);
    expect(head).not.toBe(old);
    expect([lab.refs(head), lab.pins(head)]).toEqual([2, 1]);
    expect([0, 1, 2, 3].map((vpn) => lab.content(head + vpn))).toEqual([100, 101, 102, 103]);
    expect(audit(lab.m, { [head]: 1 })).toEqual([]);
  });

  it('-ENOMEM when there is nowhere to go, and nothing stays pinned', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    movable(lab.m, 0, lab.m.frames);
    const pfn = lab.pfn(0);
    expect(pin(lab, 0)).toBe(-ENOMEM);
    expect(lab.pfn(0)).toBe(pfn);
    expect(lab.stat('pin_failures')).toBe(1);
    expect(lab.probe.pinned).toEqual([]);
    expect(lab.flags(pfn) & PG_LRU).toBe(PG_LRU);
    expect(audit(lab.m)).toEqual([]);
  });

  it('-ENOMEM when somebody else holds it: the migration fails', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const pfn = lab.pfn(0);
    // pinned by another task before the zone became movable
    expect(lab.run((ctx) => pinUserPagesFast(ctx, 0, 0, FOLL_WRITE), 1)).toBe(lab.pfn(0));
    movable(lab.m, pfn & ~3, (pfn & ~3) + 4);
    expect(pin(lab, 0)).toBe(-ENOMEM);
    expect(lab.pfn(0)).toBe(pfn);
    expect(lab.probe.starts).toHaveLength(10);
    expect(audit(lab.m, { [pfn]: 1024 })).toEqual([]);
  });

  it('-EAGAIN while another task has it off the LRU; the loop goes on until it is back', () => {
    const lab = new MmLab();
    lab.mapSmall(0, 1);
    const old = lab.pfn(0);
    movable(lab.m, old & ~3, (old & ~3) + 4);
    expect(lab.run((ctx) => folioIsolateLru(ctx, old), 1)).toBe(true);
    const pinner = new Stepped(lab.ctx(0), pinUserPagesFast(lab.ctx(0), 0, 0, LONGTERM));
    for (let i = 0; i < 500; i++) pinner.step();
    expect(pinner.done).toBe(false);
    expect(lab.pfn(0)).toBe(old);
    lab.run((ctx) => folioPutbackLru(ctx, old), 1);
    expect(pinner.finish()).toBe(lab.pfn(0));
    expect(lab.pfn(0)).not.toBe(old);
  });

  it('a page that waits in an LRU batch: all batches are drained first', () => {
    const lab = new MmLab({}, { lruBatch: 8 });
    lab.mapSmall(0, 1);
    const old = lab.pfn(0);
    expect(lab.flags(old) & PG_LRU).toBe(0);
    movable(lab.m, old & ~3, (old & ~3) + 4);
    expect(lab.run((ctx) => pinUserPagesFast(ctx, 0, 0, LONGTERM), 2)).toBe(lab.pfn(0));
    expect(lab.pfn(0)).not.toBe(old);
  });
});

it('the zero page may always be pinned', () => {
  const lab = new MmLab();
  movable(lab.m, 0, 4);
  expect(lab.run((ctx) => checkAndMigrateMovablePages(ctx, 0))).toBe(0);
});

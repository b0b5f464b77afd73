/** KSM on pinned pages, as observed (F1 to F5 and the numbers behind them). Counts are exact: nothing else runs. */
import { describe, expect, it } from 'vitest';
import { VM_MERGEABLE } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { MC_STAGE2_UNMAPS_PINNED } from '#src/machine/stats.js';
import { Lab, THP } from './lab.js';

/** 64 identical 4k pages in two regions: page i of one equals page i of the other. */
function twoRegions(smartScan: boolean): Lab {
  const lab = new Lab({ smartScan });
  lab.mergeable(THP);
  for (let i = 0; i < 64; i++) {
    lab.write(i, 1000 + i);
    lab.write(64 + i, 1000 + i);
  }
  lab.guestTouches(0, 128);
  return lab;
}

function scans(lab: Lab, count: number, pages = 128): void {
  for (let scan = 0; scan < count; scan++) {
    lab.ksmScan();
    lab.guestTouches(0, pages);
  }
}

describe('KSM over 64 identical 4k pages in two regions', () => {
  it('unpinned: one notifier call per page of the region that becomes the KSM pages, two per page of the other', () => {
    const lab = twoRegions(false);
    scans(lab, 12);
    expect(lab.notifierStarts(MECH.ksm)).toBe(64 * 3);
    for (let i = 0; i < 64; i++) {
      expect(lab.pfn(i)).toBe(lab.pfn(64 + i));
      expect(lab.isKsm(lab.pfn(i))).toBe(true);
      expect(lab.content(lab.pfn(i))).toBe(1000 + i);
    }
  });

  for (const [smartScan, attempts] of [
    [false, 11],
    [true, 5],
  ] as const) {
    it(`long-term pinned, smart_scan ${smartScan ? 'on' : 'off'}: ${64 * attempts} calls in 12 scans, all -EFAULT (F3)`, () => {
      const lab = twoRegions(smartScan);
      const pinned = lab.pin(0, 128);
      lab.guestTouches(0, 128);
      scans(lab, 12);
      expect(lab.notifierStarts(MECH.ksm)).toBe(64 * attempts);
      expect(lab.stat('ksm_refused')).toBe(64 * attempts);
      expect(lab.stat('ksm_merged')).toBe(0);
      expect(lab.mechanism(MECH.ksm, MC_STAGE2_UNMAPS_PINNED)).toBe(64 * attempts);
      for (let i = 0; i < 128; i++) expect(lab.pfn(i)).toBe(pinned[i]);
    });

    it(`a vmsplice reference counts like a pin, smart_scan ${smartScan ? 'on' : 'off'} (F4)`, () => {
      const lab = twoRegions(smartScan);
      lab.vmsplice(0, 128);
      scans(lab, 12);
      expect(lab.notifierStarts(MECH.ksm)).toBe(64 * attempts);
      expect(lab.stat('ksm_merged')).toBe(0);
    });
  }

  for (const [smartScan, attempts] of [
    [false, 39],
    [true, 8],
  ] as const) {
    it(`it never stops: ${attempts} of 40 scans try, smart_scan ${smartScan ? 'on' : 'off'} (F3)`, () => {
      const lab = twoRegions(smartScan);
      lab.pin(0, 128);
      scans(lab, 40);
      expect(lab.notifierStarts(MECH.ksm)).toBe(64 * attempts);
    });
  }

  for (const [smartScan, attempts] of [
    [false, 11],
    [true, 5],
  ] as const) {
    it(`a pinned THP: no notifier, the split is refused ${THP * attempts} times in 12 scans (F5)`, () => {
      const lab = new Lab({ smartScan });
      lab.huge(2 * THP, VM_MERGEABLE);
      for (let i = 0; i < THP; i++) {
        lab.write(i, 1000 + i);
        lab.write(THP + i, 1000 + i);
      }
      lab.pin(0, 1);
      lab.pin(THP, THP + 1);
      lab.guestTouches(0, 2 * THP);
      scans(lab, 12, 2 * THP);
      expect(lab.notifierStarts(MECH.ksm) + lab.notifierStarts(MECH.thp_split)).toBe(0);
      expect(lab.stat('thp_split_page_failed')).toBe(THP * attempts);
      expect(lab.stage2Mapped(0, 2 * THP)).toBe(2 * THP);
    });
  }
});

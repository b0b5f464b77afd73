/** I-COW: its breakage planted by hand, in page tables and behind a pin, and what it must not take for one. */
import { describe, expect, it } from 'vitest';
import { touchUser } from '#actors/user-access.js';
import { mkEntry } from '#src/machine/entries.js';
import { PAGE_CONTENT, pageWord } from '#src/machine/layout.js';
import { exitMmap } from '#src/mm/exit.js';
import { ForkLab } from '../mm/fork-lab.js';

const PARENT = 0;
const CHILD = 1;

function forked(): ForkLab {
  const lab = new ForkLab();
  lab.mapSmall(PARENT, 0, 2);
  expect(lab.fork(PARENT, CHILD)).toBe(0);
  return lab;
}

const pinRead = (lab: ForkLab, pfn: number): void =>
  lab.probe.onPinRead(lab.ctx(1), pfn, lab.word(pageWord(lab.m, pfn, PAGE_CONTENT)));

const found = (lab: ForkLab): string[] => lab.probe.violations.map(({ invariant, what }) => `${invariant} ${what}`);

/** Points the PTE of (mm, vpn) at another frame, as a kernel that forgot to copy would leave it. */
function alias(lab: ForkLab, mm: number, vpn: number, pfn: number): void {
  const at = lab.pteAt(mm, vpn);
  lab.m.words[at] = mkEntry(pfn, lab.word(at) & 0x3ff);
}

describe('a private mapping', () => {
  it("shows another process's write", () => {
    const lab = forked();
    lab.write(PARENT, 0, 7);
    // the child was left on the page that the parent writes
    alias(lab, CHILD, 0, lab.pfn(PARENT, 0));
    lab.read(CHILD, 0, 1);
    expect(found(lab)).toEqual(["I-COW another process's write is visible"]);
  });

  it('shows what the parent wrote before fork, and what itself wrote', () => {
    const lab = forked();
    lab.read(CHILD, 0, 1);
    lab.write(CHILD, 0, 9, 1);
    lab.read(CHILD, 0, 1);
    lab.read(PARENT, 0);
    lab.write(PARENT, 1, 10);
    lab.read(CHILD, 1, 1);
    expect(found(lab)).toEqual([]);
  });

  it('that has lost its own write is I-LOST, not I-COW', () => {
    const lab = forked();
    const old = lab.pfn(CHILD, 0);
    lab.write(CHILD, 0, 9, 1);
    alias(lab, CHILD, 0, old);
    lab.ctx(2);
    lab.run((ctx) => touchUser(ctx, CHILD, 0, false, 0), 2);
    expect(found(lab)).toEqual(['I-LOST retired write is lost']);
  });
});

describe('a pin for reading', () => {
  it('shows a write of another process that came after it', () => {
    const lab = forked();
    const pfn = lab.pin(CHILD, 0, 0, 1);
    pinRead(lab, pfn);
    expect(found(lab)).toEqual([]);
    lab.probe.onWrite(lab.ctx(), false, PARENT, 0, pfn, 7);
    pinRead(lab, pfn);
    expect(found(lab)).toEqual(['I-COW pin shows write of another']);
  });

  it('shows its own process, in a correct kernel also after the process let go of the page', () => {
    const lab = forked();
    const pfn = lab.pin(CHILD, 0, 0, 1);
    lab.write(CHILD, 0, 8, 1);
    pinRead(lab, pfn);
    lab.run((ctx) => exitMmap(ctx, CHILD), 1);
    lab.write(PARENT, 0, 9);
    pinRead(lab, pfn);
    expect(lab.content(pfn)).toBe(8);
    lab.unpin(pfn, 1);
    expect(lab.violations()).toEqual([]);
  });
});

/** I-COHERE: which stale reads are violations, and which are the window that real kernels have. */
import { describe, expect, it } from 'vitest';
import { touchUser } from '#actors/user-access.js';
import { PG_PCP } from '#src/machine/abi.js';
import { PAGE_CONTENT, PAGE_FLAGS } from '#src/machine/layout.js';
import { entryPfn, mkEntry } from '#src/machine/entries.js';
import { Bench, PINNER, VMM, kinds } from './bench.js';

const VPN = 2;
/** Where the page goes behind the back of the reader's TLB. */
const OTHER = 40;

/** A reader whose TLB leads to the page's old frame, and a write of 6 in the new one. */
function movedAway(): { bench: Bench; old: number; read: () => number } {
  const bench = new Bench();
  bench.write(VPN, 5);
  const reader = bench.ctx(PINNER);
  const read = (): number => {
    expect(bench.run(touchUser(reader, 0, VPN, false, 0), reader)).toBe(0);
    return reader.accessValue;
  };
  expect(read()).toBe(5);
  const at = bench.entryWord(VPN);
  const entry = bench.word(at);
  const old = entryPfn(entry);
  bench.poke(bench.page(OTHER, PAGE_CONTENT), 6);
  bench.poke(at, mkEntry(OTHER, entry & 0xfff));
  bench.probe.onWrite(bench.ctx(VMM), false, 0, VPN, OTHER, 6);
  return { bench, old, read };
}

describe('I-COHERE', () => {
  it('a stale read with no deferred flush is a violation, and not a lost write', () => {
    const { bench, old, read } = movedAway();
    expect(read()).toBe(5);
    expect(kinds(bench.probe.violations)).toEqual(['I-COHERE read is older than a write']);
    expect(bench.probe.violations[0]).toMatchObject({ mm: 0, vpn: VPN, pfn: old, expected: '0x6', received: '0x5' });
    expect(bench.probe.knownWindows).toEqual([]);
  });

  it("while reclaim's batch has this entry and is not flushed, it is a known window", () => {
    const { bench, old, read } = movedAway();
    bench.probe.onFlushDeferred(bench.ctx(3), 0, VPN, old);
    read();
    expect(bench.probe.violations).toEqual([]);
    expect(bench.probe.knownWindows).toEqual([
      expect.objectContaining({ invariant: 'I-COHERE', known: true, mm: 0, vpn: VPN, pfn: old, actor: PINNER }),
    ]);
  });

  it.each([
    ['of another page', (b: Bench, old: number) => b.probe.onFlushDeferred(b.ctx(3), 0, VPN + 1, old)],
    ['of another frame', (b: Bench, old: number) => b.probe.onFlushDeferred(b.ctx(3), 0, VPN, old + 1)],
    [
      'that is flushed',
      (b: Bench, old: number) => {
        b.probe.onFlushDeferred(b.ctx(3), 0, VPN, old);
        b.probe.onBatchFlushed(b.ctx(3));
      },
    ],
    [
      'older than a zap that has returned',
      (b: Bench, old: number) => {
        b.probe.onFlushDeferred(b.ctx(3), 0, VPN, old);
        b.probe.onZapBegin(b.ctx(VMM), 0, VPN, VPN + 1);
        b.probe.onZapEnd(b.ctx(VMM), 0, VPN, VPN + 1, false);
        b.probe.onWrite(b.ctx(VMM), false, 0, VPN, OTHER, 6);
      },
    ],
    [
      'whose frame is free',
      (b: Bench, old: number) => {
        b.probe.onFlushDeferred(b.ctx(3), 0, VPN, old);
        b.poke(b.page(old, PAGE_FLAGS), PG_PCP);
      },
    ],
  ])('a batch %s makes no window', (_, arrange) => {
    const { bench, old, read } = movedAway();
    arrange(bench, old);
    read();
    expect(kinds(bench.probe.violations)).toEqual(['I-COHERE read is older than a write']);
    expect(bench.probe.knownWindows).toEqual([]);
  });

  it("another task's flush does not end the window", () => {
    const { bench, old, read } = movedAway();
    bench.probe.onFlushDeferred(bench.ctx(3), 0, VPN, old);
    bench.probe.onBatchFlushed(bench.ctx(1));
    read();
    expect(bench.probe.violations).toEqual([]);
    expect(bench.probe.knownWindows).toHaveLength(1);
  });

  it('a wrong value by the entry that is in the tables is a lost write', () => {
    const { bench, old } = movedAway();
    bench.probe.onFlushDeferred(bench.ctx(3), 0, VPN, old);
    bench.poke(bench.page(OTHER, PAGE_CONTENT), 7);
    const ctx = bench.ctx(3);
    bench.run(touchUser(ctx, 0, VPN, false, 0), ctx);
    expect(kinds(bench.probe.violations)).toEqual(['I-LOST retired write is lost']);
  });
});

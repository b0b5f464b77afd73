/** Ledgers of several workers, summed at a drain. The workers are probes here, each with a buffer of its own. */
import { describe, expect, it } from 'vitest';
import { PAGE_CONTENT, PAGE_REFS } from '#src/machine/layout.js';
import { auditAll, createProbe, ledgerBytes } from '#src/oracle/index.js';
import { Ledger } from '#src/oracle/ledgers/ledger.js';
import type { OracleProbe } from '#src/oracle/probes/probe.js';
import { Bench, PINNER, VCPU, VMM, kinds } from './bench.js';

interface Workers {
  readonly bench: Bench;
  readonly first: OracleProbe;
  readonly second: OracleProbe;
  audit(): string[];
}

/** The bench works silently; what it does is told to one worker or the other by hand. */
function workers(): Workers {
  const bench = new Bench({ level: 'off' });
  const options = { ...bench.options, level: 'all', mode: 'threads' } as const;
  const buffers = [0, 1].map(() => new SharedArrayBuffer(ledgerBytes(bench.m))) as [
    SharedArrayBuffer,
    SharedArrayBuffer,
  ];
  return {
    bench,
    first: createProbe(bench.m, options, buffers[0]),
    second: createProbe(bench.m, options, buffers[1]),
    audit: () => kinds(auditAll(bench.m, options, buffers)),
  };
}

/** A retired write of the process, by an actor of that worker. */
function write({ bench }: Workers, worker: OracleProbe, vpn: number, content: number): void {
  bench.write(vpn, content);
  worker.onWrite(bench.ctx(VMM), false, 0, vpn, bench.pfn(vpn), content);
}

describe('contents', () => {
  it('are the last write of one of the workers', () => {
    const all = workers();
    const { bench, first, second } = all;
    write(all, first, 2, 10);
    write(all, second, 2, 20);
    write(all, first, 2, 11);
    expect(all.audit()).toEqual([]);
    write(all, second, 2, 21);
    write(all, first, 2, 12);
    bench.poke(bench.page(bench.pfn(2), PAGE_CONTENT), 21);
    expect(all.audit()).toEqual([]);
  });

  it('are lost when they are the last of nobody', () => {
    const all = workers();
    write(all, all.first, 2, 10);
    write(all, all.first, 2, 11);
    all.bench.poke(all.bench.page(all.bench.pfn(2), PAGE_CONTENT), 10);
    expect(all.audit()).toEqual(['I-LOST retired write is lost']);
  });

  it('stay what they were at the audit before, when nobody has written since', () => {
    const all = workers();
    write(all, all.second, 2, 10);
    expect(all.audit()).toEqual([]);
    all.bench.poke(all.bench.page(all.bench.pfn(2), PAGE_CONTENT), 0);
    expect(all.audit()).toEqual(['I-LOST retired write is lost']);
    // said once: the next audit starts from what is there
    expect(all.audit()).toEqual([]);
  });

  it('of the guest and of the process are one', () => {
    const all = workers();
    const { bench, first, second } = all;
    write(all, first, 2, 10);
    bench.guestWrite(2, 30);
    second.onWrite(bench.ctx(VCPU), true, 0, 2, bench.pfn(2), 30);
    expect(all.audit()).toEqual([]);
    bench.poke(bench.page(bench.pfn(2), PAGE_CONTENT), 31);
    expect(all.audit()).toEqual(['I-LOST retired write is lost']);
  });

  it('may be zeroes after a zap, whoever zapped', () => {
    const all = workers();
    const { bench, first, second } = all;
    write(all, first, 2, 10);
    write(all, first, 3, 10);
    bench.zap(2, 3);
    second.onZapped(bench.ctx(VMM), 0, 2, 3);
    expect(all.audit()).toEqual([]);
    write(all, first, 2, 10);
    bench.zap(2, 3);
    expect(all.audit()).toEqual(['I-LOST written page is not mapped']);
  });

  it("may be a device's, or what it was before the device wrote a page that is unmapped", () => {
    const all = workers();
    const { bench, first, second } = all;
    write(all, first, 2, 10);
    second.onDeviceWrite(bench.ctx(PINNER), bench.pfn(2), 500);
    expect(all.audit()).toEqual([]);
    second.onDeviceWrite(bench.ctx(PINNER), bench.pfn(2), 501);
    bench.poke(bench.page(bench.pfn(2), PAGE_CONTENT), 501);
    expect(all.audit()).toEqual([]);
  });
});

describe('pins', () => {
  it('are summed: taken on one worker, released on another', () => {
    const all = workers();
    const { bench, first, second } = all;
    write(all, first, 2, 1);
    const pfn = bench.pin(2);
    first.onPinned(bench.ctx(PINNER), 0, 2, pfn);
    expect(all.audit()).toEqual([]);
    second.onUnpin(bench.ctx(PINNER), pfn);
    bench.unpin(pfn);
    expect(all.audit()).toEqual([]);
    second.onUnpin(bench.ctx(PINNER), pfn);
    expect(all.audit()).toContain('I-PIN page unpinned without pin');
  });

  it('that nobody returned are references without a holder', () => {
    const all = workers();
    const { bench } = all;
    write(all, all.first, 2, 1);
    const refs = bench.page(bench.pfn(2), PAGE_REFS);
    bench.poke(refs, bench.word(refs) + 1024);
    expect(all.audit()).toEqual(['I-REF reference nobody holds']);
  });

  it('claim their place only for the worker that both took and released them', () => {
    const all = workers();
    const { bench, first, second } = all;
    for (const vpn of [2, 3, 4]) bench.write(vpn, 1);
    const pfn = bench.pin(2);
    bench.pin(2);
    first.onPinned(bench.ctx(PINNER), 0, 2, pfn);
    first.onPinned(bench.ctx(PINNER), 0, 2, pfn);
    second.onUnpin(bench.ctx(PINNER), pfn);
    bench.unpin(pfn);
    const other = bench.word(bench.entryWord(4));
    bench.poke(bench.entryWord(2), other);
    expect(all.audit().filter((kind) => kind.startsWith('I-PIN'))).toEqual([]);
    first.onPinned(bench.ctx(PINNER), 0, 3, bench.pin(3));
    bench.poke(bench.entryWord(3), other);
    expect(all.audit().filter((kind) => kind.startsWith('I-PIN'))).toEqual(['I-PIN pinned page replaced in place']);
  });
});

describe('a ledger', () => {
  it('is refused when its memory is too small', () => {
    const { bench } = workers();
    expect(() => new Ledger(bench.m, new SharedArrayBuffer(ledgerBytes(bench.m) - 4))).toThrow(/too small/);
    expect(new Ledger(bench.m).buffer.byteLength).toBe(ledgerBytes(bench.m));
  });
});

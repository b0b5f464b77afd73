/** `inRange` and `sampleEvery`: of batches and of single events, and what they make of types. */
import { type Observable, firstValueFrom, of, toArray } from 'rxjs';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { EventLog } from '#src/events/record.js';
import { EVENT } from '#src/events/table.js';
import { EventBatch } from '#src/trace/batch.js';
import type { PinfallEvent, PinfallEventOf } from '#src/trace/event.js';
import { byActor, ofType, sampleEvery } from '#src/trace/observables.js';
import { type EventRange, type GuestRange, inRange } from '#src/trace/range.js';

function sample(): EventBatch {
  const log = new EventLog();
  log.write(EVENT.fault, 0, 2 ** 33, 9, 9, 9, 9);
  log.write(EVENT.stage2_unmap, 0, 5, 1, 0x12, 0x4d, 1);
  log.write(EVENT.kvm_unmap, 1, 6, 0, 0x10, 0x20, 3);
  log.write(EVENT.notifier_start, 1, 7, 0, 0x10, 0x20, 0);
  log.write(EVENT.access, 0, 8, 1, 1, 0x12, 1);
  log.write(EVENT.access, 0, 9, 0, 1, 0x12, 1);
  log.write(EVENT.page_alloc, 0, 10, 0x40, 4, 0, 0);
  log.write(EVENT.migrate, 1, 11, 0x99, 0x4d, 0, 0);
  log.write(EVENT.hypercall, 1, 12, 1, 2, 3, 0);
  // without its first: batches may begin anywhere in their memory
  return new EventBatch(log.records, 1, log.count - 1, ['vcpu0', 'ksmd']);
}

const RANGES: readonly (readonly [string, EventRange, readonly number[]])[] = [
  ['a VM', { vm: 1, gfn: [0x12, 0x13] }, [5, 8]],
  ['all VMs, and stretches that overlap', { gfn: [0x12, 0x13] }, [5, 6, 8]],
  ['the end is not in it', { gfn: [0, 0x12] }, [6]],
  ['the start is', { vm: 0, gfn: [0x1f, 0x20] }, [6]],
  ['nor is a stretch that ends there', { vm: 0, gfn: [0x20, 0x21] }, []],
  ['a process', { mm: 0, vpn: [0x12, 0x13] }, [7]],
  ['all processes', { vpn: [0x12, 0x13] }, [7, 9]],
  ['frames, whatever they are, and folios', { pfn: [0x4d, 0x4e] }, [5, 10, 11]],
  ['behind a folio', { pfn: [0x50, 0x51] }, []],
  ['time', { time: [6, 8] }, [6, 7]],
  ['time without end', { time: [11, Infinity] }, [11, 12]],
];

describe('inRange', () => {
  it.each(RANGES)('%s', async (_name, range, times) => {
    const operator = inRange(range as GuestRange);
    const batches = await firstValueFrom(of(sample()).pipe(operator, toArray()));
    expect(batches.flatMap((batch) => [...batch].map(({ time }) => time))).toEqual(times);
    const events = await firstValueFrom(of(sample()).pipe(ofType(), operator, toArray()));
    expect(events.map(({ time }) => time)).toEqual(times);
  });

  it.each([
    [{ gfn: [3, 3] }, /gfn: expected \[from, to\) with whole numbers 0 <= from < to, got \[3, 3\]/],
    [{ gfn: [-1, 3] }, /got \[-1, 3\]/],
    [{ vpn: [0.5, 3] }, /vpn: .* got \[0\.5, 3\]/],
    [{ pfn: 7 }, /pfn: .* got 7/],
    [{ time: [Infinity, Infinity] }, /time/],
    [{ vm: -2, gfn: [0, 1] }, /vm: expected a whole number from 0 on, got -2/],
    [{ mm: 0, gfn: [0, 1] }, /mm does not go with gfn/],
    [{ gfn: [0, 1], pfn: [0, 1] }, /expected one of gfn, vpn, pfn and time, got gfn, pfn/],
    [{}, /got nothing/],
  ])('refuses %j', (range, message) => {
    expect(() => inRange(range as unknown as GuestRange)).toThrow(message);
    expect(() => inRange(range as unknown as GuestRange)).toThrow(RangeError);
  });

  it('narrows types to those that name such pages', () => {
    const events = of(sample()).pipe(ofType('stage2_unmap', 'notifier_start', 'hypercall'));
    const guest = events.pipe(inRange({ vm: 0, gfn: [0, 1] }));
    expectTypeOf(guest).toEqualTypeOf<Observable<PinfallEventOf<'stage2_unmap'>>>();
    expectTypeOf(events.pipe(inRange({ mm: 0, vpn: [0, 1] }))).toEqualTypeOf<
      Observable<PinfallEventOf<'notifier_start'>>
    >();
    expectTypeOf(events.pipe(inRange({ pfn: [0, 1] }))).toEqualTypeOf<Observable<PinfallEventOf<'stage2_unmap'>>>();
    expectTypeOf(events.pipe(inRange({ time: [0, 1] }))).toEqualTypeOf<typeof events>();
    expectTypeOf(of(sample()).pipe(inRange({ pfn: [0, 1] }))).toEqualTypeOf<Observable<EventBatch>>();
    const chain = of(sample()).pipe(byActor('vcpu0'), inRange({ gfn: [0, 9] }), sampleEvery(2), ofType('stage2_map'));
    expectTypeOf(chain).toEqualTypeOf<Observable<PinfallEventOf<'stage2_map'>>>();
    expectTypeOf(of(sample()).pipe(ofType())).toEqualTypeOf<Observable<PinfallEvent>>();
    // @ts-expect-error a guest page is not a process's
    expect(() => inRange({ mm: 0, gfn: [0, 1] })).toThrow(RangeError);
  });
});

describe('sampleEvery', () => {
  it('keeps the first and every n-th, across batches', async () => {
    const source = of(sample(), sample());
    const batches = await firstValueFrom(source.pipe(sampleEvery(3), toArray()));
    expect(batches.map((batch) => [...batch].map(({ time }) => time))).toEqual([
      [5, 8, 11],
      [6, 9, 12],
    ]);
    const events = await firstValueFrom(source.pipe(ofType(), sampleEvery(7), toArray()));
    expect(events.map(({ time }) => time)).toEqual([5, 12, 11]);
    expectTypeOf(source.pipe(ofType('fault'), sampleEvery(2))).toEqualTypeOf<Observable<PinfallEventOf<'fault'>>>();
    expect((await firstValueFrom(source.pipe(sampleEvery(1), toArray()))).map(({ length }) => length)).toEqual([8, 8]);
  });

  it.each([0, -1, 1.5, Number.NaN, Infinity])('refuses %s', (n) => {
    expect(() => sampleEvery(n)).toThrow(RangeError);
  });
});

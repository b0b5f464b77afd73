import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EventLog,
  RECORD_WORDS,
  recordActor,
  recordArg,
  recordSequence,
  recordTime,
  recordType,
} from '#src/events/record.js';
import { NO_EVENTS, RingReader, RingWriter, ringBuffer, ringCounters, ringFill } from '#src/events/ring.js';
import { lastRecords } from '#src/events/ring-history.js';

interface Plain {
  type: number;
  actor: number;
  time: number;
  args: [number, number, number, number];
}

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const event: fc.Arbitrary<Plain> = fc.record({
  type: fc.integer({ min: 1, max: 255 }),
  actor: fc.integer({ min: 0, max: 199 }),
  time: fc.oneof(fc.maxSafeNat(), fc.integer({ min: 2 ** 31 - 3, max: 2 ** 32 + 3 })),
  args: fc.tuple(int32, int32, int32, int32),
});

const put = (writer: RingWriter | EventLog, e: Plain): void => writer.write(e.type, e.actor, e.time, ...e.args);
const decode = (records: Int32Array, i: number): Plain => ({
  type: recordType(records, i),
  actor: recordActor(records, i),
  time: recordTime(records, i),
  args: [recordArg(records, i, 0), recordArg(records, i, 1), recordArg(records, i, 2), recordArg(records, i, 3)],
});

describe('a ring', () => {
  // Any interleaving of writes, publications and partial drains on rings so small that they wrap and run full all the
  // time: what comes out is what went in, in order, and whatever is missing was counted and shows as a gap.
  it('hands out what was written, in order, and counts what it drops', () => {
    const step = fc.oneof(
      fc.record({ write: fc.array(event, { maxLength: 20 }) }),
      fc.record({ drain: fc.integer({ min: 0, max: 12 }) }),
      fc.constant({ publish: true }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.array(step, { maxLength: 40 }), (capacity, steps) => {
        const buffer = ringBuffer(capacity);
        const writer = new RingWriter(buffer, true);
        const reader = new RingReader(buffer);
        const kept: Plain[] = [];
        const out: Plain[] = [];
        const sequences: number[] = [];
        let attempts = 0;
        const drain = (max?: number): void => {
          reader.drain((records, first, count) => {
            for (let i = first; i < first + count; i++) {
              out.push(decode(records, i));
              sequences.push(recordSequence(records, i));
            }
          }, max);
        };
        for (const s of steps) {
          if ('write' in s) {
            for (const e of s.write) {
              const before = writer.dropped;
              put(writer, e);
              attempts++;
              if (writer.dropped === before) kept.push(e);
            }
          } else if ('drain' in s) drain(s.drain);
          else writer.publish(0);
        }
        writer.close();
        drain();
        expect(out).toEqual(kept);
        expect(writer.written + writer.dropped).toBe(attempts);
        expect(ringCounters(buffer)).toEqual({ written: writer.written, dropped: writer.dropped, waits: 0 });
        for (let i = 1; i < sequences.length; i++) expect(sequences[i]).toBeGreaterThan(sequences[i - 1] as number);
        const gaps = sequences.length === 0 ? 0 : (sequences.at(-1) as number) + 1 - sequences.length;
        expect(gaps).toBeLessThanOrEqual(writer.dropped);
      }),
    );
  });

  it('keeps the last records for a report, read or not, published or not', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32 }), fc.nat(200), fc.nat(40), (capacity, count, wanted) => {
        const buffer = ringBuffer(capacity);
        const writer = new RingWriter(buffer, false, true);
        for (let i = 0; i < count; i++) writer.write(1, 3, i, i, 0, 0, 0);
        const last = lastRecords(buffer, wanted);
        const size = 2 ** Math.ceil(Math.log2(capacity));
        const expected = Math.min(count, wanted, size);
        expect(last.length / RECORD_WORDS).toBe(expected);
        for (let i = 0; i < expected; i++) expect(recordTime(last, i)).toBe(count - expected + i);
      }),
    );
  });

  it('tells how full it is', () => {
    const buffer = ringBuffer(64);
    const writer = new RingWriter(buffer, true);
    for (let n = 0; n < 100; n++) writer.write(1, 0, n, 0, 0, 0, 0);
    expect(ringFill(buffer)).toEqual({ records: 64, capacity: 64 });
    new RingReader(buffer).drain(() => {});
    expect(ringFill(buffer)).toEqual({ records: 0, capacity: 64 });
    expect(ringFill(ringBuffer(0))).toEqual({ records: 0, capacity: 0 });
  });

  it('publishes every 32 records without being asked', () => {
    const buffer = ringBuffer(256);
    const writer = new RingWriter(buffer, true);
    for (let i = 0; i < 65; i++) writer.write(1, 0, i, 0, 0, 0, 0);
    expect(new RingReader(buffer).drain(() => {})).toBe(64);
  });

  it('tells a merger a bound that later records keep, across sleep and close', () => {
    const buffer = ringBuffer(64);
    const writer = new RingWriter(buffer, true);
    const reader = new RingReader(buffer);
    expect(reader.lowerBound(1000)).toBe(0);
    writer.publish(7);
    expect(reader.lowerBound(1000)).toBe(7);
    writer.publish(2 ** 33 + 5);
    expect(reader.lowerBound(1000)).toBe(2 ** 33 + 5);
    writer.sleep();
    expect(reader.lowerBound(2 ** 34 + 9)).toBe(2 ** 34 + 9);
    expect(writer.wake()).toBe(2 ** 34 + 9);
    expect(reader.lowerBound(2 ** 35)).toBe(2 ** 33 + 5);
    writer.close();
    expect(reader.lowerBound(0)).toBe(Infinity);
    expect(reader.closed).toBe(true);
  });

  it('does nothing when inactive, with the hidden class of an active one', () => {
    NO_EVENTS.write(1, 2, 3, 4, 5, 6, 7);
    expect(NO_EVENTS).toBeInstanceOf(RingWriter);
    expect((NO_EVENTS as RingWriter).written).toBe(0);
    expect((NO_EVENTS as RingWriter).dropped).toBe(0);
    expect((NO_EVENTS as RingWriter).active).toBe(false);
    expect(lastRecords(ringBuffer(0), 9).length).toBe(0);
  });

  it('refuses a senseless capacity', () => {
    expect(() => ringBuffer(-1)).toThrow(RangeError);
    expect(() => ringBuffer(1.5)).toThrow(RangeError);
    expect(() => ringBuffer(2 ** 23)).toThrow(RangeError);
  });
});

describe('an event log', () => {
  it('grows to its limit, then counts what it drops', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 700 }), fc.integer({ min: 1, max: 600 }), (events, limit) => {
        const log = new EventLog(limit);
        for (const e of events) put(log, e);
        expect(log.count).toBe(Math.min(events.length, limit));
        expect(log.dropped).toBe(events.length - log.count);
        for (let i = 0; i < log.count; i++) expect(decode(log.records, i)).toEqual(events[i]);
        expect(log.view().length).toBe(log.count * RECORD_WORDS);
      }),
      { numRuns: 30 },
    );
  });
});

/** Drains a ring that another thread fills until that thread has closed it; checks order as it goes. */
async function drainAll(buffer: SharedArrayBuffer, pauseEvery: number): Promise<{ seen: number; disorder: number }> {
  const reader = new RingReader(buffer);
  let seen = 0;
  let disorder = 0;
  let previous = -1;
  let turns = 0;
  for (;;) {
    const closed = reader.closed;
    const got = reader.drain((records, first, count) => {
      for (let i = first; i < first + count; i++) {
        const a = recordArg(records, i, 0);
        if (a <= previous || recordArg(records, i, 1) !== (-a | 0) || recordTime(records, i) !== a) disorder++;
        previous = a;
      }
      seen += count;
    });
    if (got === 0 && closed) return { seen, disorder };
    await new Promise<void>((resolve) => (++turns % pauseEvery === 0 ? setTimeout(resolve, 1) : setImmediate(resolve)));
  }
}

const startWriter = (workerData: Record<string, unknown>): Promise<number> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./ring-worker.mjs', import.meta.url), { workerData });
    worker.on('exit', resolve).on('error', reject);
  });

describe('a ring between two threads', () => {
  // 200,000 records through 64 slots: the ring is full thousands of times, so a lost wake-up or a torn head would show.
  it('loses nothing when lossless, and counts its waits', async () => {
    const count = 200_000;
    const buffer = ringBuffer(64);
    const [result] = await Promise.all([
      drainAll(buffer, 50),
      startWriter({ buffer, lossy: false, count, actor: 5, closes: true }),
    ]);
    expect(result).toEqual({ seen: count, disorder: 0 });
    const counters = ringCounters(buffer);
    expect(counters.written).toBe(count);
    expect(counters.dropped).toBe(0);
    expect(counters.waits).toBeGreaterThan(0);
  });

  it('accounts for every record when lossy, and never waits', async () => {
    const count = 300_000;
    const buffer = ringBuffer(128);
    const [result] = await Promise.all([
      drainAll(buffer, 10),
      startWriter({ buffer, lossy: true, count, actor: 5, closes: true }),
    ]);
    const counters = ringCounters(buffer);
    expect(result.disorder).toBe(0);
    expect(result.seen).toBe(counters.written);
    expect(counters.written + counters.dropped).toBe(count);
    expect(counters.waits).toBe(0);
  });

  it('lets a waiting writer go on when its reader goes away', async () => {
    const buffer = ringBuffer(16);
    const done = startWriter({ buffer, lossy: false, count: 1000, actor: 1, closes: true });
    new RingReader(buffer).detach();
    expect(await done).toBe(0);
    const counters = ringCounters(buffer);
    expect(counters.written + counters.dropped).toBe(1000);
    expect(counters.written).toBe(16);
  });
});

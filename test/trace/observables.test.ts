import { Worker } from 'node:worker_threads';
import { firstValueFrom, of, take, toArray } from 'rxjs';
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { EventLog } from '#src/events/record.js';
import { RingWriter, ringBuffer } from '#src/events/ring.js';
import { EVENT, EVENT_TABLE } from '#src/events/table.js';
import { MECH } from '#src/machine/mechanisms.js';
import { EventBatch } from '#src/trace/batch.js';
import type { PinfallEvent, PinfallEventOf } from '#src/trace/event.js';
import { byActor, ofType, ratePerSecond } from '#src/trace/observables.js';
import { EventSource } from '#src/trace/source.js';

const NAMES = ['vcpu0', 'ksmd'];

function sample(): EventBatch {
  const log = new EventLog();
  log.write(EVENT.stage2_unmap, 0, 5, 1, 0x12, 0x4d, 1);
  log.write(EVENT.notifier_start, 1, 6, 0, 3, 4, MECH.ksm);
  log.write(EVENT.fault, 1, 7, 0, 9, 1, -14);
  log.write(250, 1, 8, 0, 0, 0, 0);
  return new EventBatch(log.records, 0, log.count, NAMES);
}

describe('operators', () => {
  it('ofType narrows events to their arguments', async () => {
    const unmap = await firstValueFrom(of(sample()).pipe(ofType('stage2_unmap')));
    expect(unmap).toEqual({ type: 'stage2_unmap', time: 5, actor: 0, vm: 1, gfn: 0x12, pfn: 0x4d, pinned: true });
    const both = await firstValueFrom(of(sample()).pipe(ofType('fault', 'notifier_start'), toArray()));
    expect(both.map((e) => e.type)).toEqual(['notifier_start', 'fault']);
    expect(both[0]).toMatchObject({ mech: 'ksm' });
    expect(both[1]).toMatchObject({ result: -14 });
  });

  it('has types for all of it', () => {
    expectTypeOf<PinfallEvent['type']>().toEqualTypeOf<(typeof EVENT_TABLE)[number][0]>();
    expectTypeOf<PinfallEventOf<'stage2_unmap'>['pinned']>().toEqualTypeOf<boolean>();
    expectTypeOf<PinfallEventOf<'fault'>['vpn']>().toEqualTypeOf<number>();
  });

  it('byActor takes names and numbers, keeps batches, refuses strangers', async () => {
    const byName = await firstValueFrom(of(sample()).pipe(byActor('ksmd')));
    expect(byName.length).toBe(3);
    expect([...byName].map((e) => e.type)).toEqual(['notifier_start', 'fault']);
    const byNumber = await firstValueFrom(of(sample()).pipe(byActor(0), ofType(), toArray()));
    expect(byNumber.length).toBe(1);
    await expect(firstValueFrom(of(sample()).pipe(byActor('kswapd')))).rejects.toThrow(/no actor is called kswapd/);
  });

  it('ratePerSecond counts events, also in batches', () => {
    vi.useFakeTimers();
    const rates: number[] = [];
    const buffer = ringBuffer(64);
    const writer = new RingWriter(buffer, true);
    const source = new EventSource({ rings: [buffer], actorNames: NAMES });
    const subscription = source.events$.pipe(ratePerSecond(500), take(2)).subscribe((rate) => rates.push(rate));
    for (let i = 0; i < 20; i++) writer.write(EVENT.fault, 0, i, 0, 0, 0, 0);
    writer.publish(20);
    vi.advanceTimersByTime(1001);
    expect(rates).toEqual([40, 0]);
    expect(subscription.closed).toBe(true);
    expect(source.subscribers).toBe(0);
    source.close();
  });
});

afterEach(() => {
  vi.useRealTimers();
});

const startWriter = (workerData: Record<string, unknown>): Promise<number> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL('../events/ring-worker.mjs', import.meta.url), { workerData });
    worker.on('exit', resolve).on('error', reject);
  });

describe('an event source', () => {
  // Two threads, rings that are far too small: lossless, so every single record must arrive, at both observables.
  it('delivers everything of two workers, in worker order and in merged order', async () => {
    const count = 40_000;
    const rings = [ringBuffer(256), ringBuffer(256)];
    const source = new EventSource({ rings, actorNames: NAMES });
    const seen = [0, 0];
    let merged = 0;
    let disorder = 0;
    let last = -1;
    source.events$.subscribe((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const actor = batch.actor(i);
        if (batch.a(i) !== seen[actor]) disorder++;
        seen[actor] = batch.a(i) + 1;
      }
    });
    source.merged$.subscribe((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const key = batch.time(i) * 2 + batch.actor(i);
        if (key < last) disorder++;
        last = key;
      }
      merged += batch.length;
    });
    const workers = rings.map((buffer, actor) => startWriter({ buffer, lossy: false, count, actor, closes: true }));
    await Promise.all(workers);
    source.close();
    expect(disorder).toBe(0);
    expect(seen).toEqual([count, count]);
    expect(merged).toBe(2 * count);
    const { waits, ...rest } = source.counters;
    expect(rest).toEqual({ written: 2 * count, delivered: 2 * count, dropped: 0, unobserved: 0, late: 0 });
    expect(waits).toBeGreaterThan(0);
    expect(source.subscribers).toBe(0);
  });

  it('accounts for every event, whoever subscribes when', async () => {
    const count = 100_000;
    const buffer = ringBuffer(128);
    const source = new EventSource({ rings: [buffer], actorNames: NAMES });
    let got = 0;
    const done = startWriter({ buffer, lossy: true, count, actor: 0, closes: true });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const subscription = source.events$.subscribe((batch) => (got += batch.length));
    await new Promise((resolve) => setTimeout(resolve, 5));
    subscription.unsubscribe();
    await done;
    source.close();
    const { written, delivered, dropped, unobserved } = source.counters;
    expect(written + dropped).toBe(count);
    expect(delivered + unobserved).toBe(written);
    expect(delivered).toBe(got);
  });

  it('keeps the first events for whoever subscribes right after the start', async () => {
    const buffer = ringBuffer(1024);
    const writer = new RingWriter(buffer, false);
    const source = new EventSource({ rings: [buffer], actorNames: NAMES });
    for (let i = 0; i < 100; i++) writer.write(EVENT.fault, 0, i, 0, i, 0, 0);
    writer.publish(100);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const first = firstValueFrom(source.events$.pipe(ofType('fault')));
    source.pump();
    expect((await first).vpn).toBe(0);
    source.close();
    let completed = false;
    source.events$.subscribe({ complete: () => (completed = true) });
    expect(completed).toBe(true);
  });
});

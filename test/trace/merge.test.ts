import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLog, RECORD_WORDS, recordActor, recordArg, recordTime } from '#src/events/record.js';
import { RingReader, RingWriter, ringBuffer } from '#src/events/ring.js';
import { Merger, mergeRecords } from '#src/trace/merge.js';

/** A worker's ring with the clocks of its actors, as a host drives it. */
class Host {
  readonly buffer = ringBuffer(256);
  readonly writer = new RingWriter(this.buffer, true);
  readonly reader = new RingReader(this.buffer);
  readonly actors: { actor: number; time: number; written: number }[];
  asleep = false;

  constructor(actors: readonly number[]) {
    this.actors = actors.map((actor) => ({ actor, time: 0, written: 0 }));
  }

  write(which: number, ticks: number): void {
    if (this.asleep) this.#raiseClocks(this.writer.wake());
    this.asleep = false;
    const actor = this.actors[which % this.actors.length] as (typeof this.actors)[number];
    actor.time += ticks;
    this.writer.write(1, actor.actor, actor.time, actor.written++, 0, 0, 0);
  }

  endSlice(sleeps: boolean): void {
    const newest = Math.max(...this.actors.map((actor) => actor.time));
    this.#raiseClocks(newest);
    this.writer.publish(newest);
    if (!sleeps) return;
    this.writer.sleep();
    this.asleep = true;
  }

  #raiseClocks(time: number): void {
    for (const actor of this.actors) actor.time = Math.max(actor.time, time);
  }
}

function turn(hosts: readonly Host[], merger: Merger, out: { time: number; actor: number; n: number }[]): void {
  let bound = Infinity;
  for (const host of hosts) {
    bound = Math.min(bound, host.reader.lowerBound(merger.timeMax));
    host.reader.drain((records, first, count) => merger.push(records, first, count));
  }
  merger.release(bound, (records, count) => collect(records, count, out));
}

function collect(records: Int32Array, count: number, out: { time: number; actor: number; n: number }[]): void {
  for (let i = 0; i < count; i++) {
    out.push({ time: recordTime(records, i), actor: recordActor(records, i), n: recordArg(records, i, 0) });
  }
}

function part(actor: number, times: readonly number[]): Int32Array {
  const log = new EventLog();
  for (const time of times) log.write(1, actor, time, 0, 0, 0, 0);
  return log.view();
}

describe('merged order', () => {
  // Workers write, end slices, sleep and wake in any order, the merger looks whenever it likes: what it lets go is
  // sorted by (time, actor) for good, keeps each actor's order, and at the end nothing is missing.
  it('is by time and actor, keeps per-actor order, loses nothing', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ host: fc.nat(2), actor: fc.nat(2), ticks: fc.nat(9) }) },
      { weight: 1, arbitrary: fc.record({ host: fc.nat(2), sleeps: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constant('merge' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const hosts = [new Host([0, 3]), new Host([1]), new Host([2, 4, 5])];
        const merger = new Merger({ batchRecords: 7 });
        const out: { time: number; actor: number; n: number }[] = [];
        for (const s of steps) {
          if (s === 'merge') turn(hosts, merger, out);
          else if ('ticks' in s) hosts[s.host]?.write(s.actor, s.ticks);
          else hosts[s.host]?.endSlice(s.sleeps);
        }
        for (const host of hosts) host.writer.close();
        turn(hosts, merger, out);
        merger.finish((records, count) => collect(records, count, out));
        expect(merger.late).toBe(0);
        expect(merger.held).toBe(0);
        for (let i = 1; i < out.length; i++) {
          const [x, y] = [out[i - 1], out[i]];
          if (x === undefined || y === undefined) continue;
          expect(x.time < y.time || (x.time === y.time && x.actor <= y.actor)).toBe(true);
        }
        for (const { actor, written } of hosts.flatMap((host) => host.actors)) {
          expect(out.filter((e) => e.actor === actor).map((e) => e.n)).toEqual(
            Array.from({ length: written }, (_, n) => n),
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('does not wait for a sleeping worker', () => {
    const busy = new Host([0]);
    const idle = new Host([1]);
    idle.endSlice(true);
    for (let i = 0; i < 10; i++) busy.write(0, 5);
    busy.endSlice(false);
    const merger = new Merger();
    const out: { time: number; actor: number; n: number }[] = [];
    turn([busy, idle], merger, out);
    turn([busy, idle], merger, out);
    expect(out.length).toBe(9); // the tenth has the bound's own time: another actor may still write one like it
    idle.write(0, 1);
    expect(idle.actors[0]?.time).toBeGreaterThan(50);
  });

  it('lets go out of order rather than hold without limit, and counts it', () => {
    const merger = new Merger({ heldMax: 4 });
    const log = new EventLog();
    for (let i = 0; i < 6; i++) log.write(1, 0, 100 + i, i, 0, 0, 0);
    merger.push(log.records, 0, 6);
    let released = 0;
    merger.release(0, (_records, count) => (released += count));
    expect(released).toBe(2);
    log.clear();
    log.write(1, 1, 50, 0, 0, 0, 0);
    merger.push(log.records, 0, 1);
    expect(merger.late).toBe(1);
  });

  it('merges the rings of a stopped run', () => {
    const merged = mergeRecords([part(1, [1, 5, 9]), part(0, [5, 6]), part(2, [])]);
    const order = Array.from({ length: merged.length / RECORD_WORDS }, (_, i) => [
      recordTime(merged, i),
      recordActor(merged, i),
    ]);
    expect(order).toEqual([
      [1, 1],
      [5, 0],
      [5, 1],
      [6, 0],
      [9, 1],
    ]);
    expect(mergeRecords([]).length).toBe(0);
  });
});

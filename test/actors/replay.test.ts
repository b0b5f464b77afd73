import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RECORD_GFN, RECORD_WRITE, RecordingView } from '#actors/recording-view.js';
import { Replay } from '#actors/replay.js';
import { NO_EVENTS } from '#src/events/ring.js';
import { loadRecording } from '#src/lab/scenario/recording.js';
import { SMALL_MACHINE } from '#src/machine/config.js';
import { Context, type Coroutine, type Kernel, Probe } from '#src/machine/context.js';
import { FIRST_IDLE, effectKind } from '#src/machine/effects.js';
import { Machine, STATS_WORDS, statsBase } from '#src/machine/layout.js';
import { STAT } from '#src/machine/stats.js';
import { type Access, type RecordingSpec, SMALL, writeRecording } from '../lab/recordings.js';

interface Written {
  readonly vcpu: number;
  readonly gfn: number;
  /** A recorded content, or -1 for one that is unique to the write. */
  readonly content: number;
}

/** vCPUs that replay, one step of one of them at a time. */
class Guest {
  readonly m = new Machine(SMALL_MACHINE);
  readonly view: RecordingView;
  readonly buffer: SharedArrayBuffer;
  readonly written: Written[] = [];
  /** Positions replayed by each vCPU, in order; laps included. */
  readonly positions: number[][];
  readonly #window: number;
  readonly #contexts: Context[] = [];
  readonly #loops: (Coroutine<void> | null)[] = [];
  /** What each waits for: a word of the machine and the value that it held. */
  readonly #waits: ({ word: number; value: number } | null)[] = [];

  constructor(spec: RecordingSpec, window: number) {
    this.buffer = loadRecording(writeRecording(spec)).buffer;
    this.view = new RecordingView(this.buffer);
    this.#window = window;
    this.positions = Array.from({ length: spec.vcpus }, () => []);
    for (let vcpu = 0; vcpu < spec.vcpus; vcpu++) this.start(vcpu);
  }

  start(vcpu: number): void {
    const ctx = new Context(this.m, {} as Kernel, new Probe(), NO_EVENTS, vcpu, 0, 1);
    ctx.tick = 0;
    this.#contexts[vcpu] = ctx;
    this.#loops[vcpu] = this.#loop(ctx, vcpu);
    this.#waits[vcpu] = null;
  }

  stop(vcpu: number): void {
    (this.#contexts[vcpu] as Context).finish = true;
    this.#waits[vcpu] = null;
    while (this.#loops[vcpu] !== null) this.step(vcpu);
  }

  /** One step of a vCPU. False: it waits or has ended. */
  step(vcpu: number): boolean {
    const loop = this.#loops[vcpu];
    const wait = this.#waits[vcpu];
    if (loop === null || loop === undefined || (wait != null && this.m.words[wait.word] === wait.value)) return false;
    const ctx = this.#contexts[vcpu] as Context;
    const step = loop.next();
    this.#waits[vcpu] = null;
    if (step.done === true) this.#loops[vcpu] = null;
    else if (effectKind(step.value) >= FIRST_IDLE) this.#waits[vcpu] = { word: step.value >>> 4, value: ctx.waitValue };
    return true;
  }

  *#loop(ctx: Context, vcpu: number): Coroutine<void> {
    const replay = new Replay(this.buffer, 0, vcpu, this.#window);
    yield* replay.enter(ctx);
    while (!ctx.finish) {
      if (replay.index === replay.nextStop) {
        if (replay.passStop(ctx)) continue;
        break;
      }
      const position = replay.position();
      if (((position - replay.nextCheck) | 0) >= 0) {
        const wait = yield* replay.pace(ctx, position);
        if (wait !== 0) {
          yield wait;
          continue;
        }
      }
      const record = replay.stream[replay.streamAt + 2 * replay.index] as number;
      replay.index++;
      const gfn = record & RECORD_GFN;
      if ((record & RECORD_WRITE) !== 0) {
        const content = yield* replay.contentFor(ctx, gfn);
        this.written.push({ vcpu, gfn, content: content < 0 ? -1 : content });
      }
      this.positions[vcpu]?.push(position);
      yield 5;
    }
    yield* replay.leave(ctx);
  }

  /** Steps that `choose` gives, until every vCPU has replayed `laps` times all records; fails when nobody can step. */
  run(records: number, choose: () => number): void {
    const vcpus = this.positions.length;
    while (this.positions.some((own) => own.length < records)) {
      let vcpu = choose() % vcpus;
      let tries = 0;
      for (; tries < vcpus && !this.step(vcpu); tries++) vcpu = (vcpu + 1) % vcpus;
      if (tries === vcpus) throw new Error('no vCPU can go on');
    }
  }

  passes(): number {
    let sum = 0;
    for (let cpu = 0; cpu < this.m.cpus; cpu++) sum += this.m.words[statsBase(this.m, cpu) + STAT.passes] as number;
    return sum;
  }
}

const writeOf = (gfn: number): Access => ({ vcpu: 0, gfn, write: true });

describe('the marks of a recording', () => {
  it("give the next write of a page that snapshot's content, once, and contents go on over the end", () => {
    // one vCPU: writes page 0, mark a, writes 0 0 1, mark b at the end; back to a
    const guest = new Guest(
      {
        vcpus: 1,
        frames: 2,
        accesses: [writeOf(0), writeOf(0), writeOf(0), writeOf(1)],
        marks: { a: 1, b: 4 },
        snapshots: [
          [5, 6],
          [7, 0],
        ],
      },
      0,
    );
    guest.run(10, () => 0);
    const contents = guest.written.map(({ gfn, content }) => [gfn, content]);
    // contents are numbered anew in order: 5 -> 1, 6 -> 2, 7 -> 3, zero stays 0
    expect(contents.slice(0, 10)).toEqual([
      [0, -1], // before any mark
      [0, 1],
      [0, -1],
      [1, 2], // a
      [0, 3],
      [0, -1],
      [1, 0], // after b, back at a
      [0, 3],
      [0, -1],
      [1, 0], // after b again
    ]);
    expect(guest.passes()).toBe(2);
    expect(STATS_WORDS).toBeGreaterThan(STAT.passes);
  });

  it('are followed once per page even when two vCPUs have passed them', () => {
    const guest = new Guest(SMALL, 0);
    let turn = 0;
    guest.run(12, () => turn++);
    // after mark `half` (2 records) page 0 shall hold 0, pages 1 and 2 content 1, page 3 content 2
    const recorded = guest.written.filter(({ content }) => content >= 0);
    const early = recorded.filter(({ gfn }) => gfn === 3).map(({ content }) => content);
    expect(early.every((content) => content === 2)).toBe(true);
    expect(new Set(recorded.filter(({ gfn }) => gfn === 2).map(({ content }) => content))).toEqual(new Set([1, 0]));
  });
});

describe('the window', () => {
  it('holds every vCPU within reach of the slowest, whatever the schedule, and nobody waits for ever', () => {
    let furthest = 0;
    const spec = fc.record({
      accesses: fc.array(fc.record({ vcpu: fc.nat(2), gfn: fc.nat(3), write: fc.boolean() }), {
        minLength: 30,
        maxLength: 120,
      }),
      window: fc.integer({ min: 1, max: 40 }),
      schedule: fc.array(fc.nat(1000), { minLength: 20, maxLength: 50 }),
      mark: fc.nat(29),
    });
    fc.assert(
      fc.property(spec, ({ accesses, window, schedule, mark }) => {
        // each of the three has work after the mark, or it would be out
        const full: Access[] = [...accesses, ...[0, 1, 2].map((vcpu) => ({ vcpu, gfn: 0, write: true }))];
        const guest = new Guest(
          {
            vcpus: 3,
            frames: 4,
            accesses: full,
            marks: { m: mark, e: full.length },
            snapshots: [
              [1, 2, 3, 4],
              [5, 6, 7, 8],
            ],
          },
          window,
        );
        // while the rarest has its 150 records, one per pass, another may have nearly all others of each
        const sequences = [0, 1, 2].map((vcpu) => sequence(full, vcpu, mark, 150 * full.length));
        const done = [0, 0, 0];
        let worst = 0;
        let n = 0;
        guest.run(150, () => {
          guest.positions.forEach((own, vcpu) => {
            if (own.length === done[vcpu]) return;
            done[vcpu] = own.length;
            const position = own.at(-1) as number;
            expect(position).toBe(sequences[vcpu]?.[own.length - 1]);
            for (const other of [0, 1, 2]) {
              if (other === vcpu) continue;
              worst = Math.max(worst, position - (sequences[other]?.[guest.positions[other]?.length ?? 0] as number));
            }
          });
          // one vCPU runs for long stretches, as one whose neighbours are preempted does
          n++;
          return schedule[(n >> 6) % schedule.length] as number;
        });
        expect(worst).toBeLessThanOrEqual(window);
        furthest = Math.max(furthest, worst);
      }),
      { numRuns: 40 },
    );
    // the property is not true for want of anybody who gets ahead
    expect(furthest).toBeGreaterThan(20);
  });

  it('lets a vCPU that was out come back where the others are', () => {
    const accesses: Access[] = Array.from({ length: 400 }, (_, i) => ({ vcpu: i % 2, gfn: i % 4, write: true }));
    const guest = new Guest({ vcpus: 2, frames: 4, accesses, marks: {}, snapshots: [] }, 10);
    let turn = 0;
    guest.run(20, () => turn++);
    guest.stop(1);
    const before = guest.positions[1]?.length ?? 0;
    for (let i = 0; i < 2000; i++) guest.step(0);
    const ahead = guest.positions[0]?.at(-1) ?? 0;
    expect(ahead).toBeGreaterThan(200);
    guest.start(1);
    for (let i = 0; i < 40; i++) guest.step(1);
    expect(guest.positions[1]?.[before]).toBeGreaterThan(ahead - 10);
  });

  it('does not wait for a vCPU that has no records in the loop', () => {
    const accesses: Access[] = [
      { vcpu: 1, gfn: 0, write: true },
      ...Array.from({ length: 50 }, () => ({ vcpu: 0, gfn: 1, write: true })),
    ];
    const guest = new Guest({ vcpus: 2, frames: 2, accesses, marks: { m: 1 }, snapshots: [[1, 2]] }, 5);
    let turn = 0;
    while ((guest.positions[0]?.length ?? 0) < 200 && turn < 20_000) guest.step(turn++ % 2);
    expect(guest.positions[0]).toHaveLength(200);
    expect(guest.positions[1]).toEqual([0]);
    expect(guest.passes()).toBeGreaterThanOrEqual(3);
  });
});

/**
 * The positions of the first `length` records that `vcpu` replays: all of its own, then those from the mark on, lap
 * by lap.
 */
function sequence(accesses: readonly Access[], vcpu: number, mark: number, length: number): number[] {
  const positions = accesses.flatMap((access, i) => (access.vcpu === vcpu ? [i] : []));
  const loop = positions.filter((i) => i >= mark);
  for (let lap = 1; positions.length < length; lap++)
    positions.push(...loop.map((i) => i + lap * (accesses.length - mark)));
  return positions;
}

/** The noise maker: where it holds actors up and for how long, with a made-up clock; and that nothing rests on it. */
import { describe, expect, it } from 'vitest';
import { type Context, type Kernel, Probe, Context as RealContext, xorshift } from '#src/machine/context.js';
import { EFFECT_ACQUIRE, EFFECT_READ, EFFECT_RELEASE, EFFECT_WRITE, reads, writes } from '#src/machine/effects.js';
import { SMALL_MACHINE } from '#src/machine/config.js';
import { ACTOR_PROGRESS, HDR_ABORT, HDR_PHASE, Machine, actorWord } from '#src/machine/layout.js';
import { STAT } from '#src/machine/stats.js';
import { NO_EVENTS, RingWriter, ringBuffer } from '#src/events/ring.js';
import { Aborted, BlockingWaiter } from '#src/engine/host/blocking-waiter.js';
import type { Doorbell } from '#src/engine/host/doorbell.js';
import { EventClock } from '#src/engine/host/event-clock.js';
import { HostedActor } from '#src/engine/host/hosted-actor.js';
import { COUNTERS, counterWord } from '#test/fixtures/lock-actors.js';
import { NOISE, NoiseMaker, noiseName, noiseShare } from '#src/engine/host/noise.js';
import { PHASE_DRAIN, PHASE_RUN } from '#src/engine/machine/phase.js';
import { Simulation } from '#src/lab/run/simulation.js';
import { TINY, scenarioFile } from '../lab/tiny.js';
import { actors, start } from './threads-plan.js';

/** A random sequence of its own. */
function sequence(state: number): () => number {
  let x = state;
  return () => (x = xorshift(x)) >>> 0;
}

/** An actor that goes round a loop of points, `step` microseconds each; `loop(i)` gives the site and kind of its i-th point. */
function race(
  percent: number,
  points: number,
  loop: (i: number) => readonly [site: number, kind: number],
  step = 0.05,
) {
  let now = 0;
  const noise = new NoiseMaker(percent, sequence(7), now);
  const delays = new Map<number, number>();
  let delayed = 0;
  let passed = 0;
  for (let i = 0; i < points; i++) {
    now += step;
    if (passed++ < noise.left) continue;
    const [site, kind] = loop(i);
    const micros = noise.at(site, kind, () => now, passed, 256);
    passed = 0;
    if (micros === 0) continue;
    expect(micros).toBeLessThanOrEqual(32_768);
    delays.set(site, (delays.get(site) ?? 0) + 1);
    now += micros;
    noise.held(now, micros);
    delayed += micros;
  }
  return { delays, share: delayed / now, count: noise.delays };
}

describe('where actors are held up', () => {
  it('keeps to its share of the time', () => {
    for (const percent of [2, 8, 30]) {
      const { share, count } = race(percent, 4_000_000, (i) => [1 + (i % 40), EFFECT_READ], 2);
      expect(count).toBeGreaterThan(5);
      expect(share).toBeGreaterThan((0.4 * percent) / 100);
      expect(share).toBeLessThan((1.6 * percent) / 100);
    }
  });

  it('comes to a site that is passed once in 200 points nearly as often as to those of the loop before it', () => {
    const { delays } = race(60, 20_000_000, (i) => [i % 200 === 199 ? 99 : 1 + (i % 4), EFFECT_READ]);
    const loop = [1, 2, 3, 4].map((site) => delays.get(site) ?? 0);
    expect(Math.min(...loop)).toBeGreaterThan(20);
    // a draw in proportion to the points would come to it once where it comes to the loop's 199 times
    expect(delays.get(99) ?? 0).toBeGreaterThan(0.15 * Math.max(...loop));
  });

  it('prefers the points between a release and the next acquisition, and shuns releases', () => {
    const kinds = [EFFECT_ACQUIRE, EFFECT_READ, EFFECT_READ, EFFECT_RELEASE, EFFECT_READ, EFFECT_READ];
    const { delays } = race(60, 20_000_000, (i) => [1 + (i % 6), kinds[i % 6] as number]);
    const at = (site: number): number => delays.get(site) ?? 0;
    expect(at(5) + at(6)).toBeGreaterThan(2 * (at(2) + at(3)));
    expect(at(4)).toBeLessThan(at(2));
  });

  it('is the same for the same random sequence', () => {
    const [once, again] = [1, 2].map(() => race(8, 1_000_000, (i) => [1 + (i % 30), EFFECT_WRITE]));
    expect(once).toEqual(again);
  });

  it('has names for its shares, and daemons have more', () => {
    expect(Object.values(NOISE).map(noiseName)).toEqual(['off', 'light', 'normal', 'heavy']);
    expect([0, 1, 2].map((tier) => noiseShare(0.3, tier))).toEqual([0.3, 18, 0.3]);
    expect(noiseShare(8, 1)).toBe(90);
  });
});

/** A waiter whose doorbell is made up: `nap` is called for each sleep, and time passes as it is told to. */
function waiterWith(nap: (ms: number, m: Machine) => void) {
  const m = new Machine({ ...SMALL_MACHINE, cpus: 2 });
  const ring = new RingWriter(ringBuffer(0), false, false);
  let now = 0;
  const ctx = new RealContext(m, {} as Kernel, new Probe(), NO_EVENTS, 0, 0, 1, () => now) as Context;
  const doorbell = {
    sample: () => 0,
    wait: (_sample: number, _parked: number, ms: number) => {
      now += ms * 1000;
      nap(ms, m);
      return 0;
    },
  } as unknown as Doorbell;
  const host = {
    doorbell,
    clocks: new EventClock(m, 0, 1, ring, []),
    quantum: 64,
    spinTurns: 0,
    sleeps: 0,
    ringWaits: 0,
    wanted: false,
  };
  const waiter = new BlockingWaiter(m, 0, host, ring, 0, true);
  // takes every point: its random numbers are all 0
  const noise = new NoiseMaker(50, () => 0, 0);
  waiter.serve(new HostedActor(0, 0, ctx, (function* () {})(), noise), [0, 1]);
  m.words[HDR_PHASE] = PHASE_RUN;
  return { m, ctx, waiter, time: () => now };
}

function twice(waiter: BlockingWaiter, ctx: Context): void {
  // the first point begins the hunt, at the second one it is held
  waiter.yielded(ctx, reads(1), 5);
  waiter.yielded(ctx, writes(1), 6);
}

describe('an actor that is held up', () => {
  it('goes on as soon as another one has had its turn', () => {
    const naps: number[] = [];
    const { m, ctx, waiter, time } = waiterWith((ms, machine) => {
      naps.push(ms);
      if (naps.length === 2) machine.words[actorWord(machine, 1, ACTOR_PROGRESS)] = 1;
    });
    twice(waiter, ctx);
    expect(naps).toEqual([0.05, 0.1]);
    expect(m.words[ctx.statsAt + STAT.noise_delays]).toBe(1);
    expect(m.words[ctx.statsAt + STAT.noise_us]).toBe(Math.round(time()));
  });

  it('waits no longer than it was to', () => {
    const { ctx, waiter, time } = waiterWith(() => {});
    twice(waiter, ctx);
    expect(time()).toBe(256);
  });

  it('is let go by a drain, and by the end of the run', () => {
    const drained = waiterWith((_ms, m) => void (m.words[HDR_PHASE] = PHASE_DRAIN));
    twice(drained.waiter, drained.ctx);
    expect(drained.time()).toBe(50);
    // none is held while a drain is under way
    twice(drained.waiter, drained.ctx);
    expect(drained.time()).toBe(50);
    const aborted = waiterWith((_ms, m) => void (m.words[HDR_ABORT] = 1));
    expect(() => twice(aborted.waiter, aborted.ctx)).toThrow(Aborted);
  });
});

describe('nothing rests on it', () => {
  it.each([1, 3, 5])('locks exclude, and no wake-up is lost, with actors held up (workers: %i)', async (workers) => {
    const run = await start(actors(5, 'locks', { rounds: 600 }), { workers, noise: 60, timeouts: false });
    await run.clientsDone;
    const end = await run.finish();
    expect(end.hang?.graph.lines ?? end.text).toBe('finished');
    const m = run.machine;
    COUNTERS.forEach((name, kind) => {
      const at = counterWord({ m }, kind);
      expect({ name, count: m.words[at] }).toEqual({ name, count: m.words[at + 2] });
    });
  });

  it.each([
    ['classic', 0],
    ['classic', 2],
    ['pinned-notifiers', 5],
    ['pkvm-np-upstream', 0],
  ])('a guest under %s stays clean, every frame and count accounted for (workers: %i)', async (policy, workers) => {
    const simulation = await Simulation.start({
      scenario: scenarioFile(TINY),
      policy,
      seed: 3,
      noise: 60,
      ...(workers > 0 && { workers }),
      events: 'recorder',
    });
    await new Promise((resolve) => void setTimeout(resolve, 400));
    await simulation.audit();
    const report = await simulation.stop();
    expect(report.violations).toEqual([]);
    expect(report.end).toEqual({ kind: 'finished' });
    expect(report.noise).toMatchObject({ setting: '60%' });
    expect(report.noise.delays).toBeGreaterThan(0);
  });
});

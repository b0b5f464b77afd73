/**
 * What tracing costs, and how many events reach a subscriber: K4. On: every event type to rings, merged, delivered in batches to
 * a subscriber that sums one field. Off: the writer is a no-op. The main thread drains: on two cores it is part of the cost.
 */
import { BENCH_EVENT, BENCH_STAGE2_REFAULT } from '../../../actors/bench.js';
import type { Plan } from '../../plan/plan.js';
import { loadScenario } from '../scenario/scenario.js';
import { makePlan } from '../scenario/plan.js';
import { benchPlan } from './plans.js';
import { median, ratios, row } from './row.js';
import { interleave, noting } from './sampler.js';
import type { Section } from './section.js';
import { ThreadsSampler } from './threads-sampler.js';

const OVERHEAD_MAX = 15;
const EVENTS_MIN = 2e6;
const BATCHED_MIN = 20e6;
const PAGES = 256;

interface Traced {
  readonly title: string;
  readonly plan: () => Plan;
  readonly count: 'wall' | 'accesses';
  readonly workers: number;
  readonly target: boolean;
  /** Times the usual length of a repetition. */
  readonly longer?: number;
}

/** The overhead in per cent of the throughput without events, and the events per second. */
function traced({ title, plan, count, workers, target, longer = 1 }: Traced): Section {
  const overhead = `K4 tracing overhead, ${title}`;
  const delivered = `K4 events delivered without loss, ${title}`;
  return {
    names: [overhead, delivered],
    async measure({ effort }) {
      const off = await ThreadsSampler.start({ plan: plan(), count, events: 'off' });
      const on = await ThreadsSampler.start({ plan: plan(), count, events: 'merged' });
      const watched = noting(on, () => on.deliveredPerSecond);
      const samples = await interleave([off, watched.sampler], { ...effort, ms: effort.ms * longer });
      const [without, traced] = samples as [number[], number[]];
      const cost = ratios(traced, without).map((ratio) => 100 * (1 - ratio));
      const lost = on.dropped > 0 ? { note: `${on.dropped} events were lost` } : {};
      const reason = `with the thread that drains, it had ${median(on.cpus).toFixed(1)} CPUs, without events ${median(off.cpus).toFixed(1)}`;
      return [
        row(overhead, cost, { unit: '%', workers, ...(target && { atMost: OVERHEAD_MAX }), reason }),
        row(delivered, watched.noted(effort.repetitions), { unit: 'events/s', workers, ...lost }),
      ];
    },
  };
}

interface Through {
  readonly name: string;
  readonly writers: number;
  readonly events: 'merged' | 'batches' | 'single';
  readonly atLeast: number;
}

const THROUGH: readonly Through[] = [
  {
    name: 'K4 events delivered without loss, one worker that only writes events',
    writers: 1,
    events: 'merged',
    atLeast: EVENTS_MIN,
  },
  {
    name: 'K4 events delivered without loss, two workers that only write events',
    writers: 2,
    events: 'merged',
    atLeast: EVENTS_MIN,
  },
  { name: 'A events to one subscriber as batches', writers: 1, events: 'batches', atLeast: BATCHED_MIN },
  { name: 'A events to one subscriber one by one', writers: 1, events: 'single', atLeast: EVENTS_MIN },
];

/** What the way to a subscriber carries: the writers wait where it is full. */
const through = ({ name, writers, events, atLeast }: Through): Section => ({
  names: [name],
  async measure({ effort }) {
    const plan = benchPlan({ operation: BENCH_EVENT, actors: writers, pages: 1, group: (actor) => actor });
    const run = await ThreadsSampler.start({ plan, count: 'wall', events });
    const watched = noting(run, () => run.deliveredPerSecond);
    await interleave([watched.sampler], effort);
    const perSecond = run.dropped === 0 ? watched.noted(effort.repetitions) : [0];
    const lost = `${run.dropped} events were lost`;
    const cpus = `writer and subscriber had ${median(run.cpus).toFixed(1)} CPUs together`;
    const reason = run.dropped > 0 ? lost : cpus;
    return [row(name, perSecond, { unit: 'events/s', workers: writers, atLeast, reason })];
  },
});

const refaults = (actors: number) => (): Plan =>
  benchPlan({
    operation: BENCH_STAGE2_REFAULT,
    actors,
    pages: PAGES,
    guests: true,
    group: (actor) => actor,
    spread: true,
  });

export const TRACING_SECTIONS: readonly Section[] = [
  traced({ title: 'zap and stage-2 refault, one worker', plan: refaults(1), count: 'wall', workers: 1, target: true }),
  traced({
    title: 'zap and stage-2 refault, two workers',
    plan: refaults(2),
    count: 'wall',
    workers: 2,
    target: false,
  }),
  traced({
    title: 'the default scenario, a worker for each actor',
    plan: () => makePlan(loadScenario('redis-guest'), { seed: 1 }),
    count: 'accesses',
    workers: 7,
    target: false,
    longer: 4,
  }),
  ...THROUGH.map(through),
];

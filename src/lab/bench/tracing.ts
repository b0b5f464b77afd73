/**
 * What tracing costs, and how many events reach a subscriber: K4. On: every event type to rings, merged, delivered in batches to
 * a subscriber that sums one field. Off: the writer is a no-op. The main thread drains: on two cores it is part of the cost.
 */
import { BENCH_STAGE2_REFAULT } from '../../../actors/bench.js';
import type { Plan } from '../../engine/plan.js';
import { loadScenario } from '../scenario.js';
import { makePlan } from '../scenario-plan.js';
import { benchPlan } from './plans.js';
import { row } from './row.js';
import { interleave } from './sampler.js';
import type { Section } from './section.js';
import { ThreadsSampler } from './threads-sampler.js';

const OVERHEAD_MAX = 15;
const EVENTS_MIN = 2e6;
const PAGES = 256;

interface Traced {
  readonly title: string;
  readonly plan: () => Plan;
  readonly count: 'wall' | 'accesses';
  readonly workers: number;
  readonly target: boolean;
}

/** The overhead in per cent of the throughput without events, and the events per second. */
function traced({ title, plan, count, workers, target }: Traced): Section {
  const overhead = `K4 tracing overhead, ${title}`;
  const delivered = `K4 events delivered without loss, ${title}`;
  return {
    names: [overhead, delivered],
    async measure({ effort }) {
      const off = await ThreadsSampler.start({ plan: plan(), count, events: 'off' });
      const on = await ThreadsSampler.start({ plan: plan(), count, events: 'merged' });
      const rates: number[] = [];
      const counted = {
        sample: async (ms: number) => {
          const rate = await on.sample(ms);
          rates.push(on.deliveredPerSecond);
          return rate;
        },
        close: () => on.close(),
      };
      const [without, traced] = await interleave([off, counted], effort);
      const cost = (without as number[]).map((rate, i) => 100 * (1 - ((traced as number[])[i] as number) / rate));
      // the first is the warm-up's
      const perSecond = rates.slice(1);
      const lost = on.dropped > 0 ? { note: `${on.dropped} events were lost` } : {};
      return [
        row(overhead, cost, { unit: '%', workers, ...(target && { atMost: OVERHEAD_MAX }) }),
        row(delivered, perSecond, { unit: 'events/s', workers, ...(target && on.dropped === 0 && { atLeast: EVENTS_MIN }), ...lost }),
      ];
    },
  };
}

const refaults = (actors: number) => (): Plan =>
  benchPlan({ operation: BENCH_STAGE2_REFAULT, actors, pages: PAGES, guests: true, group: (actor) => actor, spread: true });

export const TRACING_SECTIONS: readonly Section[] = [
  traced({ title: 'zap and stage-2 refault, one worker', plan: refaults(1), count: 'wall', workers: 1, target: true }),
  traced({ title: 'zap and stage-2 refault, two workers', plan: refaults(2), count: 'wall', workers: 2, target: false }),
  traced({
    title: 'the default scenario, a worker for each actor',
    plan: () => makePlan(loadScenario('redis-guest'), { seed: 1 }),
    count: 'accesses',
    workers: 7,
    target: false,
  }),
];

/**
 * How throughput changes with workers and actors: K6. The operation is a zap and stage-2 refault, events and local oracles on;
 * of many actors, which must share processes, a zap and refault.
 */
import { BENCH_REFAULT, BENCH_STAGE2_REFAULT } from '../../../actors/bench.js';
import { benchPlan } from './plans.js';
import { type BenchRow, median, ratios, row } from './row.js';
import { type Effort, interleave } from './sampler.js';
import type { Section } from './section.js';
import { ThreadsSampler } from './threads-sampler.js';

const PAGES = 64;
const CURVE = [1, 2, 4, 8] as const;
const CURVE_ACTORS = 8;
const MANY_ACTORS = 64;
/** Processes and VMs that many actors share; actors of one stand on one worker. */
const GROUPS = 8;

type Form = 'auto' | 'coroutines';

interface Setting {
  readonly actors: number;
  readonly workers: number;
  /** Processes, each with its VM. */
  readonly groups: number;
  readonly form: Form;
  /** Without VMs: a zap and refault by the process. */
  readonly hostOnly?: boolean;
}

function sampler({ actors, workers, groups, form, hostOnly = false }: Setting): Promise<ThreadsSampler> {
  const plan = benchPlan({
    operation: hostOnly ? BENCH_REFAULT : BENCH_STAGE2_REFAULT,
    actors,
    pages: PAGES,
    guests: !hostOnly,
    group: (actor) => actor % groups,
    spread: true,
    params: { batch: 16 },
  });
  return ThreadsSampler.start({ plan, workers, form, count: 'wall' });
}

interface Rates {
  readonly rates: number[][];
  /** CPUs that each had. */
  readonly cpus: number[];
}

async function measured(settings: readonly Setting[], effort: Effort): Promise<Rates> {
  const samplers: ThreadsSampler[] = [];
  for (const setting of settings) samplers.push(await sampler(setting));
  const rates = await interleave(samplers, effort);
  return { rates, cpus: samplers.map(({ cpus }) => median(cpus.slice(-effort.repetitions))) };
}

/** What a busy machine does to a ratio of two settings. */
const shares = (cpus: readonly number[], few: number, many: number): string =>
  `the threads had ${(cpus[many] as number).toFixed(2)} CPUs against ${(cpus[few] as number).toFixed(2)}`;

const FORMS: Readonly<Record<Form, string>> = {
  auto: 'a worker each, blocking form',
  coroutines: 'coroutines',
};

/** One actor on one worker against two on two. */
function twoOverOne(shared: boolean, form: Form): Section {
  const name = `K6 two workers over one, ${shared ? 'one mm and VM' : 'no mm or VM shared'}, ${FORMS[form]}`;
  return {
    names: [name],
    async measure({ effort }) {
      const groups = shared ? 1 : 2;
      const settings = [1, 2].map((workers) => ({ actors: workers, workers, groups: Math.min(groups, workers), form }));
      const { rates, cpus } = await measured(settings, effort);
      const [one, two] = rates as [number[], number[]];
      const reason = shares(cpus, 0, 1);
      return [row(name, ratios(two, one), { unit: 'x', workers: 2, ...(!shared && { atLeast: 1.6 }), reason })];
    },
  };
}

/** Eight actors on 1 to 8 workers. */
function curve(shared: boolean): Section {
  const what = shared ? 'one mm and VM' : 'no mm or VM shared';
  const names = CURVE.map(
    (workers) => `K6 eight actors, ${what}, ${workers === 1 ? 'one worker' : `${workers} workers`}`,
  );
  const alone = `K6 eight actors, ${what}, 8 workers, blocking form`;
  const overBest = `K6 eight workers over the best, ${what}`;
  return {
    names: [...names, alone, overBest],
    async measure({ effort }) {
      const groups = shared ? 1 : CURVE_ACTORS;
      const settings: Setting[] = CURVE.map((workers) => ({
        actors: CURVE_ACTORS,
        workers,
        groups,
        form: 'coroutines',
      }));
      settings.push({ actors: CURVE_ACTORS, workers: CURVE_ACTORS, groups, form: 'auto' });
      const { rates, cpus } = await measured(settings, effort);
      const coroutines = rates.slice(0, CURVE.length);
      const best = coroutines.reduce(
        (best, samples, i) => (median(samples) > median(rates[best] as number[]) ? i : best),
        0,
      );
      const last = CURVE.length - 1;
      const rows: BenchRow[] = coroutines.map((samples, i) =>
        row(names[i] as string, samples, { unit: 'pairs/s', workers: CURVE[i] as number }),
      );
      rows.push(row(alone, rates[CURVE.length] as number[], { unit: 'pairs/s', workers: CURVE_ACTORS }));
      const over = ratios(rates[last] as number[], rates[best] as number[]);
      const reason = shares(cpus, best, last);
      rows.push(row(overBest, over, { unit: 'x', workers: CURVE_ACTORS, ...(!shared && { atLeast: 0.7 }), reason }));
      return rows;
    },
  };
}

const MANY = ['K6 8 actors on two workers', 'K6 64 actors on two workers', 'K6 64 actors over 8, two workers'] as const;

const manyActors: Section = {
  names: MANY,
  async measure({ effort }) {
    const settings = [CURVE_ACTORS, MANY_ACTORS].map((actors) => ({
      actors,
      workers: 2,
      groups: GROUPS,
      form: 'coroutines' as const,
      hostOnly: true,
    }));
    const { rates, cpus } = await measured(settings, effort);
    const [few, many] = rates as [number[], number[]];
    return [
      row(MANY[0], few, { unit: 'pairs/s', workers: 2 }),
      row(MANY[1], many, { unit: 'pairs/s', workers: 2 }),
      row(MANY[2], ratios(many, few), { unit: 'x', workers: 2, atLeast: 0.7, reason: shares(cpus, 0, 1) }),
    ];
  },
};

export const SCALING_SECTIONS: readonly Section[] = [
  twoOverOne(false, 'auto'),
  twoOverOne(false, 'coroutines'),
  twoOverOne(true, 'auto'),
  curve(false),
  curve(true),
  manyActors,
];

/** How throughput changes with workers and actors: K6. Each operation is a zap and stage-2 refault, events and local oracles on. */
import { BENCH_STAGE2_REFAULT } from '../../../actors/bench.js';
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
}

function sampler({ actors, workers, groups, form }: Setting): Promise<ThreadsSampler> {
  const plan = benchPlan({
    operation: BENCH_STAGE2_REFAULT,
    actors,
    pages: PAGES,
    guests: true,
    group: (actor) => actor % groups,
    spread: true,
    params: { batch: 16 },
  });
  return ThreadsSampler.start({ plan, workers, form, count: 'wall' });
}

async function rates(settings: readonly Setting[], effort: Effort): Promise<number[][]> {
  const samplers = [];
  for (const setting of settings) samplers.push(await sampler(setting));
  return interleave(samplers, effort);
}

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
      const [one, two] = (await rates(settings, effort)) as [number[], number[]];
      return [row(name, ratios(two, one), { unit: 'x', workers: 2, ...(!shared && { atLeast: 1.6 }) })];
    },
  };
}

/** Eight actors on 1 to 8 workers. */
function curve(shared: boolean): Section {
  const what = shared ? 'one mm and VM' : 'no mm or VM shared';
  const names = CURVE.map((workers) => `K6 eight actors, ${what}, ${workers === 1 ? 'one worker' : `${workers} workers`}`);
  const overBest = `K6 eight workers over the best, ${what}`;
  return {
    names: [...names, overBest],
    async measure({ effort }) {
      const groups = shared ? 1 : CURVE_ACTORS;
      const settings = CURVE.map((workers) => ({ actors: CURVE_ACTORS, workers, groups, form: 'coroutines' as const }));
      const samples = await rates(settings, effort);
      const best = samples.toSorted((a, b) => median(b) - median(a))[0] as number[];
      const rows: BenchRow[] = samples.map((rates, i) =>
        row(names[i] as string, rates, { unit: 'pairs/s', workers: CURVE[i] as number }),
      );
      const over = ratios(samples.at(-1) as number[], best);
      rows.push(row(overBest, over, { unit: 'x', workers: 8, ...(!shared && { atLeast: 0.7 }) }));
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
    }));
    const [few, many] = (await rates(settings, effort)) as [number[], number[]];
    return [
      row(MANY[0], few, { unit: 'pairs/s', workers: 2 }),
      row(MANY[1], many, { unit: 'pairs/s', workers: 2 }),
      row(MANY[2], ratios(many, few), { unit: 'x', workers: 2, atLeast: 0.7 }),
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

/** Exploration on one thread: K5; on several: F. */
import { Piscina } from 'piscina';
import { Conductor } from '../../engine/campaign/conductor.js';
import type { CampaignSpec } from '../../engine/campaign/runner.js';
import { PoolExecutor } from '../explore/pool.js';
import { subjectOf } from '../explore/subject.js';
import type { OneThreadResult, OneThreadTask } from './one-thread-task.js';
import { ratios, row } from './row.js';
import { type Sampler, interleave } from './sampler.js';
import type { Section } from './section.js';

/** What Relacy (C++) does with random schedules of the same model. */
const RELACY_RANDOM = 630_000;
const STEPS_MIN = 5e6;
/** As the peers were measured. */
const DEPTH = 2;

/** Generators are optimised late: the core kernel's schedules come up to their speed after seconds. */
const WARM_UP_CPU_MS = 3000;

type Setting = Omit<OneThreadTask, 'ms' | 'seed'>;

function sampler(setting: Setting, unit: keyof OneThreadResult): Sampler {
  const pool = new Piscina({
    filename: new URL('./one-thread-task.js', import.meta.url).href,
    minThreads: 1,
    maxThreads: 1,
    idleTimeout: Infinity,
  });
  let seed = 0;
  return {
    warmUpCpuMs: WARM_UP_CPU_MS,
    sample: async (ms) =>
      ((await pool.run({ ...setting, ms, seed: ++seed } satisfies OneThreadTask)) as OneThreadResult)[unit],
    close: () => pool.destroy(),
  };
}

const MODEL = 'pin-vs-write-protect';
const RANDOM = 'K5 peer model, random';
const PCT = 'K5 peer model, PCT';
const PCT_RATIO = 'K5 peer model, PCT against random';

const peerModel: Section = {
  names: [RANDOM, PCT, PCT_RATIO],
  async measure({ effort }) {
    const setting = { subject: MODEL, depth: DEPTH, oracles: 'off' } as const;
    const [random, pct] = (await interleave(
      ['random', 'pct'].map((strategy) => sampler({ ...setting, strategy }, 'schedulesPerSecond')),
      effort,
    )) as [number[], number[]];
    const rate = { unit: 'schedules/s', workers: 1, atLeast: RELACY_RANDOM };
    return [
      row(RANDOM, random, rate),
      row(PCT, pct, rate),
      row(PCT_RATIO, ratios(pct, random), { unit: 'x', workers: 1, atLeast: 1 }),
    ];
  },
};

const KERNEL = 'K5 core kernel (pin-race), random';
const KERNEL_NAMES = [`${KERNEL}, no oracles`, `${KERNEL}, all oracles`, `${KERNEL}, PCT, all oracles`].map((name) =>
  name.includes('PCT') ? name.replace(', random', '') : name,
);

const coreKernel: Section = {
  names: KERNEL_NAMES,
  async measure({ effort }) {
    const setting = { subject: 'pin-race', strategy: 'random', depth: DEPTH } as const;
    const samples = await interleave(
      [
        sampler({ ...setting, oracles: 'off' }, 'stepsPerSecond'),
        sampler({ ...setting, oracles: 'all' }, 'stepsPerSecond'),
        sampler({ ...setting, strategy: 'pct', oracles: 'all' }, 'stepsPerSecond'),
      ],
      effort,
    );
    return samples.map((rates, i) =>
      row(KERNEL_NAMES[i] as string, rates, { unit: 'steps/s', workers: 1, ...(i === 0 && { atLeast: STEPS_MIN }) }),
    );
  },
};

/** What one core is to do, the trace of each schedule kept; two are to do twice that. */
const CAMPAIGN_MIN = 600_000;
const CAMPAIGN_NAMES = ['F peer model random, one worker', 'F peer model random, two workers'];

/** A campaign's ranges on workers that stay from sample to sample. */
function campaignSampler(workers: number): Sampler {
  const { description, seed } = subjectOf({ scenario: MODEL, policy: 'classic', seed: 1 });
  if (description === null) throw new Error(`${MODEL} does not cross to workers`);
  const spec: CampaignSpec = {
    strategy: 'random',
    seed,
    depth: DEPTH,
    stepsMax: 20_000,
    varies: false,
    keepGoing: false,
    lookOn: 0,
    until: null,
  };
  const executor = new PoolExecutor(workers, description, spec);
  return {
    warmUpCpuMs: WARM_UP_CPU_MS,
    sample: async (ms) => {
      const started = performance.now();
      const elapsed = (): number => performance.now() - started;
      const conductor = new Conductor({
        spec,
        executor,
        keeps: null,
        schedules: Number.MAX_SAFE_INTEGER,
        stop: () => (elapsed() >= ms ? 'enough' : ''),
        onProgress: () => {},
      });
      await conductor.run();
      return (1000 * conductor.schedules) / elapsed();
    },
    close: () => executor.close(),
  };
}

const campaigns: Section = {
  names: CAMPAIGN_NAMES,
  async measure({ effort }) {
    const samples = await interleave([1, 2].map(campaignSampler), effort);
    return samples.map((rates, i) =>
      row(CAMPAIGN_NAMES[i] as string, rates, {
        unit: 'schedules/s',
        workers: i + 1,
        atLeast: CAMPAIGN_MIN * (i + 1),
        reason: 'the thread that deals the ranges and the compilers share the cores with the workers',
      }),
    );
  },
};

export const EXPLORER_SECTIONS: readonly Section[] = [peerModel, coreKernel, campaigns];

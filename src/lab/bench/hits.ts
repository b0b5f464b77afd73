/** Guest accesses that hit the TLB: K3. */
import { BENCH_ACCESS } from '../../../actors/bench.js';
import { WORKLOAD_SEQUENTIAL } from '../../../actors/workload.js';
import { benchPlan } from './plans.js';
import { row } from './row.js';
import { interleave } from './sampler.js';
import type { Section } from './section.js';
import { ThreadsSampler } from './threads-sampler.js';

/** Half of what the TLB holds. */
const PAGES = 512;
const TARGET = 10e6;

const NAMES = [1, 2].map(
  (cpus) => `K3 guest accesses that hit the TLB, per CPU, ${cpus === 1 ? 'one vCPU' : 'two vCPUs'}`,
);

/** The vCPU actor's own loop, as scenarios run it, reading and writing (30 %) pages that all stand in its TLB. */
const hits: Section = {
  names: NAMES,
  async measure({ effort }) {
    const samplers = [];
    for (const actors of [1, 2]) {
      const plan = benchPlan({
        operation: BENCH_ACCESS,
        kind: 'vcpu',
        actors,
        pages: PAGES,
        guests: true,
        params: { workload: WORKLOAD_SEQUENTIAL, write_percent: 30 },
      });
      samplers.push(await ThreadsSampler.start({ plan, count: 'accesses' }));
    }
    const samples = await interleave(samplers, effort);
    return samples.map((rates, i) => {
      const perCpu = rates.map((rate) => rate / (i + 1));
      return row(NAMES[i] as string, perCpu, { unit: 'accesses/s', workers: i + 1, atLeast: TARGET });
    });
  },
};

export const HIT_SECTIONS: readonly Section[] = [hits];

/** Faults and zaps against the real kernel's: K1, K2. */
import { BENCH_FAULT, BENCH_REFAULT, BENCH_STAGE2_REFAULT } from '../../../actors/bench.js';
import type { Plan } from '../../plan/plan.js';
import { benchPlan } from './plans.js';
import { type RealOperation, referenceSampler } from './real-kernel.js';
import { type BenchRow, median, ratios, row } from './row.js';
import { type Sampler, interleave } from './sampler.js';
import type { Bench, Section } from './section.js';
import { ThreadsSampler } from './threads-sampler.js';

/** The same as in real-kernel.c. */
const FAULT_PAGES = 8192;
const REFAULT_PAGES = 256;
const BATCH = 256;

/** Counted, of one operation: 59 read and write, 11 store, 59 load. */
const GUEST_ATOMICS = 'ours takes 129 atomic accesses, half of them interlocked, as the steps of the model ask for';

const THREADS = ['', 'one thread', 'two threads of one process'] as const;
const NO_COMPILER = 'nothing could be compiled here: against the rates of Linux 6.18 on another machine of two cores';

/** One comparison: our actors at several oracle levels, and the real kernel, in turn. */
interface Comparison {
  readonly title: string;
  readonly unit: string;
  readonly threads: 1 | 2;
  readonly operation: number;
  readonly guests: boolean;
  readonly real: RealOperation;
  /** How many times the real kernel's rate it shall be; null = no target. */
  readonly target: number | null;
  readonly levels: readonly Plan['oracles'][];
  /** Without events, and without oracles, in a row of its own. */
  readonly bare?: boolean;
}

const LEVELS: Readonly<Record<Plan['oracles'], string>> = {
  off: 'no oracles',
  local: 'events and local oracles',
  all: 'events and all oracles',
};

function comparison(spec: Comparison): Section {
  const { title, unit, threads, levels } = spec;
  const prefix = `${title}, ${THREADS[threads]}`;
  const named = levels.map((level) => `${prefix}, ${LEVELS[level]}`);
  const realName = `${prefix}, real kernel`;
  const ratioNames = named.map((name) => `${name}: times the real kernel`);
  const bareName = `${prefix}, no events, no oracles`;
  const bare = spec.bare === true ? [bareName] : [];
  return {
    names: [...named, ...bare, realName, ...ratioNames],
    async measure(bench) {
      const samplers: Sampler[] = [];
      for (const level of levels) samplers.push(await ours(spec, level, true));
      if (spec.bare === true) samplers.push(await ours(spec, 'off', false));
      samplers.push(bench.real?.sampler(spec.real, threads) ?? referenceSampler(spec.real, threads));
      const samples = await interleave(samplers, bench.effort);
      const real = samples.at(-1) as number[];
      const rate = { unit, workers: threads };
      const rows = [...named, ...bare].map((name, i) => row(name, samples[i] as number[], rate));
      rows.push(row(realName, real, { ...rate, ...(bench.real === null && { note: NO_COMPILER }) }));
      // every oracle on is for information
      levels.forEach((level, i) =>
        rows.push(ratioRow(bench, spec, level, ratioNames[i] as string, samples[i] as number[], real)),
      );
      return rows;
    },
  };
}

function ratioRow(
  bench: Bench,
  { threads, target, guests }: Comparison,
  level: Plan['oracles'],
  name: string,
  ours: readonly number[],
  real: readonly number[],
): BenchRow {
  const times = { unit: 'x', workers: threads };
  if (bench.real === null) return row(name, ratios(ours, real), { ...times, note: NO_COMPILER });
  const nanos = (samples: readonly number[]): string => ((threads * 1e9) / median(samples)).toFixed(0);
  const each = `${nanos(ours)} ns of a thread's time each, against ${nanos(real)} ns in the real kernel`;
  const reason = guests ? `${each}, which has no guest: ${GUEST_ATOMICS}` : each;
  return row(name, ratios(ours, real), {
    ...times,
    ...(target !== null && level !== 'all' && { atLeast: target }),
    reason,
  });
}

function ours({ operation, threads, guests }: Comparison, oracles: Plan['oracles'], events: boolean): Promise<Sampler> {
  const plan = benchPlan({
    operation,
    actors: threads,
    pages: operation === BENCH_FAULT ? FAULT_PAGES : REFAULT_PAGES,
    guests,
    params: { batch: BATCH },
    oracles,
  });
  return ThreadsSampler.start({ plan, events: events ? 'recorder' : 'off' });
}

const faults = (threads: 1 | 2, target: number): Section =>
  comparison({
    title: 'K1 anonymous faults',
    unit: 'faults/s',
    threads,
    operation: BENCH_FAULT,
    guests: false,
    real: 'fault',
    target,
    levels: ['local', 'all'],
    bare: true,
  });

const refaults = (threads: 1 | 2, guests: boolean, target: number | null): Section =>
  comparison({
    title: guests ? 'K2 zap and stage-2 refault' : 'K2 zap and refault',
    unit: 'pairs/s',
    threads,
    operation: guests ? BENCH_STAGE2_REFAULT : BENCH_REFAULT,
    guests,
    real: 'refault',
    target,
    levels: ['local', 'all'],
    bare: true,
  });

export const FAULT_SECTIONS: readonly Section[] = [
  faults(1, 2),
  faults(2, 1),
  refaults(1, false, 4),
  refaults(2, false, null),
  refaults(1, true, 2.5),
  refaults(2, true, 2.5),
];

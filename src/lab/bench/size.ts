/** Large guests, and the memory of the simulated machine: K7. */
import { BENCH_ACCESS, BENCH_STAGE2_REFAULT } from '../../../actors/bench.js';
import { WORKLOAD_UNIFORM, WORKLOAD_ZIPF } from '../../../actors/workload.js';
import { Machine } from '../../machine/layout.js';
import { ledgerBytes, sharedPinBytes } from '../../oracle/index.js';
import { benchPlan } from './plans.js';
import { ratios, row } from './row.js';
import { type Sampler, interleave } from './sampler.js';
import type { Bench, Section } from './section.js';
import { ThreadsSampler } from './threads-sampler.js';

const SMALL_PAGES = 1 << 16;
const LARGE_PAGES = 1_000_000;
const QUICK_LARGE_PAGES = 1 << 18;
const COST_MAX = 1.5;

const nanos = (rates: readonly number[]): number[] => rates.map((rate) => 1e9 / rate);

interface Cost {
  readonly title: string;
  readonly operation: number;
  readonly workload: number;
  readonly target: boolean;
  readonly note?: string;
  /** Why the target is missed, where it is. */
  readonly reason?: string;
}

/** The same operation on a small and on a large guest, both filled before. */
function cost({ title, operation, workload, target, note, reason }: Cost): Section {
  const prefix = `K7 ${title}`;
  const names = [
    `${prefix}, guest of 64 K pages`,
    `${prefix}, guest of 1 M pages`,
    `${prefix}, 1 M pages over 64 K`,
  ] as const;
  return {
    names,
    async measure({ effort, quick }: Bench) {
      const large = quick ? QUICK_LARGE_PAGES : LARGE_PAGES;
      const samplers: Sampler[] = [];
      for (const pages of [SMALL_PAGES, large]) {
        const plan = benchPlan({ operation, actors: 1, pages, guests: true, params: { workload } });
        samplers.push(await ThreadsSampler.start({ plan, audit: false }));
      }
      const [few, many] = (await interleave(samplers, effort)) as [number[], number[]];
      const said = [...(quick ? [`${large} pages in a quick run`] : []), ...(note === undefined ? [] : [note])].join(
        '; ',
      );
      const noted = said === '' ? {} : { note: said };
      return [
        row(names[0], nanos(few), { unit: 'ns', workers: 1 }),
        row(names[1], nanos(many), { unit: 'ns', workers: 1 }),
        row(names[2], ratios(few, many), {
          unit: 'x',
          workers: 1,
          ...(target && { atMost: COST_MAX }),
          ...(reason !== undefined && { reason }),
          ...noted,
        }),
      ];
    },
  };
}

const FRAME = 'K7 memory per frame: struct page';
const TABLES = 'K7 memory per frame: page tables of host and guest, zones';
const RMAP = 'K7 memory per frame: rmap and KSM nodes, VMAs';
const LEDGERS = 'K7 memory per frame: ledgers of all oracles, of one worker';
const FIXED = 'K7 memory of actors, CPUs, TLBs and locks, whatever the frames';

/** What the layout of a machine of a million guest pages says. No memory is taken. */
const memory: Section = {
  names: [FRAME, TABLES, RMAP, LEDGERS, FIXED],
  measure() {
    const { machine } = benchPlan({ operation: BENCH_ACCESS, actors: 1, pages: LARGE_PAGES, guests: true });
    const m = new Machine(machine, new SharedArrayBuffer(0));
    const frames = m.mmsAt - m.framesAt;
    const rmap = m.tablesAt - m.vmasAt + (m.vmsAt - m.ksmItemsAt);
    const tables =
      m.framesAt - m.nodesAt + (m.vmasAt - m.mmsAt) + (m.ksmItemsAt - m.tablesAt) + (m.totalWords - m.vmsAt);
    const perFrame = (words: number): number[] => [(4 * words) / m.frames];
    const bytes = { unit: 'bytes/frame', workers: 0 };
    return Promise.resolve([
      row(FRAME, perFrame(frames), { ...bytes, atMost: 64 }),
      row(TABLES, perFrame(tables), bytes),
      row(RMAP, perFrame(rmap), bytes),
      row(LEDGERS, [(ledgerBytes(m) + sharedPinBytes(m)) / m.frames], bytes),
      row(FIXED, [4 * m.nodesAt], { unit: 'bytes', workers: 0 }),
    ]);
  },
};

export const SIZE_SECTIONS: readonly Section[] = [
  cost({
    title: 'zap and stage-2 refault of any page',
    operation: BENCH_STAGE2_REFAULT,
    workload: WORKLOAD_UNIFORM,
    target: true,
  }),
  cost({
    title: 'guest access (zipf)',
    operation: BENCH_ACCESS,
    workload: WORKLOAD_ZIPF,
    target: true,
    reason:
      'of this distribution 1024 pages, what a TLB holds, have 52 % of the accesses instead of 64 %, and what misses goes to 64 MB of frames instead of 4 MB; contents in an array of their own would be 4 MB',
  }),
  cost({
    title: 'guest access to any page',
    operation: BENCH_ACCESS,
    workload: WORKLOAD_UNIFORM,
    target: false,
    note: 'no kernel operation and no locality: a TLB miss, and cache lines of 64 MB of frames against 4 MB',
  }),
  memory,
];

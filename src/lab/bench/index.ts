/** The bench: sections one after the other, each measured for itself, and their rows. */
import { cpus, loadavg, release } from 'node:os';
import { EXPLORER_SECTIONS } from './explorer.js';
import { FAULT_SECTIONS } from './faults.js';
import { HIT_SECTIONS } from './hits.js';
import { LITMUS_SECTIONS } from './litmus.js';
import { RealKernel } from './real-kernel.js';
import type { BenchRow } from './row.js';
import { FULL, QUICK } from './sampler.js';
import { SCALING_SECTIONS } from './scaling.js';
import type { Section } from './section.js';
import { SIZE_SECTIONS } from './size.js';
import { TRACING_SECTIONS } from './tracing.js';

export type { BenchRow } from './row.js';

const BENCH_SCHEMA = 'pinfall.bench/1';

export interface BenchReport {
  readonly schema: typeof BENCH_SCHEMA;
  readonly rows: readonly BenchRow[];
  /** Where it was measured: numbers of other machines, and of a busy one, are others. */
  readonly host: {
    readonly node: string;
    readonly kernel: string;
    readonly cpus: number;
    /** Load average of the last minute, before and after. */
    readonly load: readonly [number, number];
  };
}

interface BenchOptions {
  /** Fewer and shorter repetitions: to see that it works. */
  readonly quick?: boolean;
  /** Only rows whose name has this in it, whatever the case. */
  readonly only?: string;
  readonly onSection?: (names: readonly string[], done: number, all: number) => void;
  /** Asked between sections. */
  readonly stop?: () => boolean;
}

const SECTIONS: readonly Section[] = [
  ...FAULT_SECTIONS,
  ...HIT_SECTIONS,
  ...TRACING_SECTIONS,
  ...EXPLORER_SECTIONS,
  ...LITMUS_SECTIONS,
  ...SCALING_SECTIONS,
  ...SIZE_SECTIONS,
];

/** The names of all rows. */
export const benchNames = (): string[] => SECTIONS.flatMap(({ names }) => names);

/** Measures. */
export async function bench(options: BenchOptions = {}): Promise<BenchReport> {
  const { quick = false, only = '' } = options;
  const wanted = (name: string): boolean => name.toLowerCase().includes(only.toLowerCase());
  const sections = SECTIONS.filter(({ names }) => names.some(wanted));
  const before = loadavg()[0] as number;
  const real = RealKernel.compile();
  const rows: BenchRow[] = [];
  try {
    for (const [done, section] of sections.entries()) {
      if (options.stop?.() === true) break;
      options.onSection?.(section.names, done, sections.length);
      const measured = await section.measure({ effort: quick ? QUICK : FULL, quick, real });
      if (measured.some(({ name }, i) => name !== section.names[i])) throw new Error('rows are not those announced');
      rows.push(...measured.filter(({ name }) => wanted(name)));
    }
  } finally {
    real?.close();
  }
  return {
    schema: BENCH_SCHEMA,
    rows,
    host: { node: process.version, kernel: release(), cpus: cpus().length, load: [before, loadavg()[0] as number] },
  };
}

/**
 * Latencies as a Prometheus histogram, `pinfall_latency_seconds`. The machine counts in buckets already (machine/stats.ts), so whole
 * buckets are added here, where prom-client's own Histogram takes observations one by one.
 */
import { Counter, type Registry } from 'prom-client';
import { LATENCIES, LATENCY_BUCKETS, bucketEnd } from '../../machine/stats.js';

/** Of so many of the machine's buckets one of Prometheus' is made: an octave. */
const PER_EDGE = 4;
const NAME = 'pinfall_latency_seconds';

interface Series {
  /** By edge, observations up to it; the last: all. */
  readonly cumulative: number[];
  sum: number;
}

/** A sample as prom-client's registry prints it. */
interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName: string;
}

/** Upper edges, seconds, of the closed buckets. */
const EDGES: readonly number[] = Array.from({ length: LATENCY_BUCKETS - 1 }, (_, bucket) => bucket)
  .filter((bucket) => bucket % PER_EDGE === PER_EDGE - 1)
  .map((bucket) => bucketEnd(bucket) / 1e6);

export class LatencyHistogram extends Counter<'operation'> {
  readonly #series = new Map<string, Series>();

  constructor(registry: Registry) {
    super({
      name: NAME,
      help: 'Latency of operations; the sum is made of the middles of buckets',
      labelNames: ['operation'],
      registers: [registry],
    });
  }

  /** @param grown by LATENCIES, by the machine's buckets: observations since the last call */
  add(grown: readonly (readonly number[])[]): void {
    LATENCIES.forEach((operation, index) => {
      const counts = grown[index] ?? [];
      if (!counts.some((count) => count > 0)) return;
      let series = this.#series.get(operation);
      if (series === undefined) {
        series = { cumulative: Array.from({ length: EDGES.length + 1 }, () => 0), sum: 0 };
        this.#series.set(operation, series);
      }
      addCounts(series, counts);
    });
  }

  override async get(): Promise<Awaited<ReturnType<Counter<'operation'>['get']>>> {
    const values = [...this.#series].flatMap(([operation, { cumulative, sum }]): Sample[] => {
      const all = cumulative.at(-1) ?? 0;
      const buckets = EDGES.map((le, edge) => sample('_bucket', { operation, le }, cumulative[edge] ?? 0));
      return buckets.concat([
        sample('_bucket', { operation, le: '+Inf' }, all),
        sample('_sum', { operation }, sum),
        sample('_count', { operation }, all),
      ]);
    });
    return { ...(await super.get()), type: 'histogram', values } as unknown as Awaited<
      ReturnType<Counter<'operation'>['get']>
    >;
  }
}

const sample = (suffix: string, labels: Sample['labels'], value: number): Sample => ({
  labels,
  value,
  metricName: `${NAME}${suffix}`,
});

function addCounts(series: Series, counts: readonly number[]): void {
  counts.forEach((count, bucket) => {
    if (count === 0) return;
    const from = bucket === 0 ? 0 : bucketEnd(bucket - 1);
    // the last one is open: its lower edge is what is known
    const middle = bucket === LATENCY_BUCKETS - 1 ? from : (from + bucketEnd(bucket)) / 2;
    series.sum += (count * middle) / 1e6;
    for (let edge = Math.floor(bucket / PER_EDGE); edge < series.cumulative.length; edge++) {
      series.cumulative[edge] = (series.cumulative[edge] ?? 0) + count;
    }
  });
}

/**
 * Counters and latency histograms: plain words of one actor, written by the worker that hosts it and read by
 * anybody as statistics (they may lag, they never tear: one word each).
 *
 *   0     operations, STAT_* (62)
 *   62    where the actor is at work: the process + 1 (0 = nowhere) and the page
 *   64    mechanisms: MECHANISM_COUNTERS words each (24 x 8)
 *   256   latency histograms: one per LATENCY_* (16), 64 log-linear buckets
 *   1296  what measuring actors note of themselves (actors/bench.ts): MEASURED_* (16)
 */
import { MECHANISMS } from './mechanisms.js';
import type { Context } from './context.js';
import { type Machine, faultedWord, statsBase } from './layout.js';

/** The operations counted, in the order of the report's `ops`. */
export const STATS = [
  'accesses',
  'tlb_hits',
  'tlb_misses',
  'host_accesses',
  'faults',
  'stage2_faults',
  'stage2_retries',
  'stage2_maps',
  'pins',
  'unpins',
  'pin_failures',
  'hypercalls',
  'messages',
  'notifier_starts',
  'notifier_ends',
  'ipis',
  'tlb_flushes',
  'wp_copies',
  'wp_reuses',
  'numa_hint_faults',
  'numa_scans',
  'ksm_pages_scanned',
  'ksm_merged',
  'ksm_refused',
  'ksm_broken',
  'khugepaged_scans',
  'khugepaged_refused',
  'migrate_failures',
  'alloc_failures',
  'page_allocs',
  'page_frees',
  'divergences',
  'lost_records',
  'passes',
  'sigbus',
  'enomem',
  'host_stage2_faults',
  'thp_faults',
  'thp_split_page_failed',
  'waits',
  'sleeps',
  'noise_delays',
  'noise_us',
  'guest_reads',
  'guest_writes',
  'zero_pages_merged',
  'thp_split_pages',
  'guest_exits',
  'swap_outs',
  'swap_ins',
  'stage2_refaults',
] as const;
export type StatName = (typeof STATS)[number];

/** STAT.accesses and so on: the counter's number. */
export const STAT = Object.freeze(Object.fromEntries(STATS.map((name, index) => [name, index]))) as Readonly<
  Record<StatName, number>
>;

export const MECHANISM_COUNTER_NAMES = [
  'notifier_starts',
  'pinned_hit',
  'stage2_unmaps',
  'stage2_unmaps_pinned',
  'pages_moved',
  'backed_out',
  'attempts',
] as const;
export const MECHANISM_COUNTERS = 8;
export const MC_NOTIFIER_STARTS = 0;
export const MC_PINNED_HIT = 1;
export const MC_STAGE2_UNMAPS = 2;
export const MC_STAGE2_UNMAPS_PINNED = 3;
export const MC_PAGES_MOVED = 4;
export const MC_BACKED_OUT = 5;
export const MC_ATTEMPTS = 6;

/** Operations whose latency is measured, by the host's clock in real-thread runs. */
export const LATENCIES = [
  'stage2_fault',
  'host_fault',
  'pin',
  'unpin',
  'hypercall',
  'notifier',
  'migrate',
  'collapse',
  'ksm_page',
  'zap',
  'mprotect',
  'numa_scan',
] as const;
export const LATENCY_BUCKETS = 64;

export const STATS_MECHANISMS_AT = 64;
/** Room for this many mechanisms. */
export const MECHANISMS_MAX = 24;
export const STATS_LATENCIES_AT = STATS_MECHANISMS_AT + MECHANISMS_MAX * MECHANISM_COUNTERS;

/** Counts `by` more of operation `stat` for `actor`. */
export function countStat(m: Machine, actor: number, stat: number, by: number): void {
  const at = statsBase(m, actor) + stat;
  m.words[at] = (m.words[at] as number) + by;
}

/**
 * Counts a stage-2 entry that was installed for pages [gfn, gfn + pages) of `vm`, and whether any of them had been mapped before: a refault.
 * Which pages were is kept on real threads only, where somebody asks for it.
 */
export function countStage2Map(ctx: Context, vm: number, gfn: number, pages: number): void {
  const { m } = ctx;
  countStat(m, ctx.actor, STAT.stage2_maps, 1);
  if (!ctx.queues) return;
  let before = 0;
  for (let page = gfn; page < gfn + pages; page = (page | 31) + 1) {
    const last = Math.min(gfn + pages - 1, page | 31);
    const bits = (-1 << (page & 31)) & (-1 >>> (31 - (last & 31)));
    before |= Atomics.or(m.words, faultedWord(m, vm, page), bits) & bits;
  }
  if (before !== 0) countStat(m, ctx.actor, STAT.stage2_refaults, 1);
}

/** Counts `by` more of counter MC_* of mechanism MECH_* for `actor`. */
export function countMechanism(m: Machine, actor: number, mechanism: number, counter: number, by: number): void {
  const at = statsBase(m, actor) + STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + counter;
  m.words[at] = (m.words[at] as number) + by;
}

/** LATENCY.pin and so on: the histogram's number. */
export const LATENCY = Object.freeze(Object.fromEntries(LATENCIES.map((name, index) => [name, index]))) as Readonly<
  Record<(typeof LATENCIES)[number], number>
>;

/** The longest of each, in nanoseconds, behind the histograms. */
export const STATS_LATENCY_MAX_AT = STATS_LATENCIES_AT + 16 * LATENCY_BUCKETS;
/**
 * Operations of the timed phases, mod 2^32; their nanoseconds, low and high word; 1 while the actor stands between two
 * batches; and, written by who measures, 1 while it shall go on.
 */
export const STATS_MEASURED_AT = STATS_LATENCY_MAX_AT + 16;
export const MEASURED_OPERATIONS = 0;
export const MEASURED_NANOS = 1;
export const MEASURED_NANOS_HIGH = 2;
export const MEASURED_STANDS = 3;
export const MEASURED_GO = 4;

/**
 * Where it is at work: see {@link noteAt}. Among the counters that go back with a machine (engine/one-thread/machine-image.ts), since workloads
 * decide by it.
 */
export const STATS_AT_MM = 62;
export const STATS_AT_VPN = 63;

const MEASURED_NAMES = ['operations measured', 'nanoseconds (low)', 'nanoseconds (high)', 'stands', 'go'];

/** What stands at an offset of an actor's counters. */
export function statisticName(offset: number): string {
  const mechanism = Math.trunc((offset - STATS_MECHANISMS_AT) / MECHANISM_COUNTERS);
  const latency = Math.trunc((offset - STATS_LATENCIES_AT) / LATENCY_BUCKETS);
  let name: string | undefined;
  if (offset < STATS_AT_MM) name = STATS[offset];
  else if (offset <= STATS_AT_VPN) name = offset === STATS_AT_MM ? 'process at work on' : 'page at work on';
  else if (offset < STATS_LATENCIES_AT) {
    const counter = MECHANISM_COUNTER_NAMES[(offset - STATS_MECHANISMS_AT) % MECHANISM_COUNTERS];
    if (MECHANISMS[mechanism] !== undefined && counter !== undefined) name = `${MECHANISMS[mechanism]} ${counter}`;
  } else if (offset < STATS_LATENCY_MAX_AT) {
    const bucket = (offset - STATS_LATENCIES_AT) % LATENCY_BUCKETS;
    if (LATENCIES[latency] !== undefined) name = `bucket ${bucket} of ${LATENCIES[latency]} latencies`;
  } else if (offset < STATS_MEASURED_AT) {
    const longest = LATENCIES[offset - STATS_LATENCY_MAX_AT];
    if (longest !== undefined) name = `longest ${longest}`;
  } else name = MEASURED_NAMES[offset - STATS_MEASURED_AT];
  return name ?? `padding (word ${offset}) of the counters`;
}

/**
 * Notes that the actor scans or invalidates page `vpn` of `mm`. Nothing in the kernel looks at it; a workload that wants its pages
 * to meet scanners does (actors/scanners.ts).
 */
export function noteAt(ctx: Context, mm: number, vpn: number): void {
  ctx.words[ctx.statsAt + STATS_AT_VPN] = vpn;
  ctx.words[ctx.statsAt + STATS_AT_MM] = mm + 1;
}

/** It has left that page. */
export function noteGone(ctx: Context): void {
  ctx.words[ctx.statsAt + STATS_AT_MM] = 0;
}

/** Buckets count quarters of a microsecond: the first four one each, then four to each doubling; the last is open (32 ms). */
const UNITS_PER_MICRO = 4;

function latencyBucket(units: number): number {
  if (units < 4) return units;
  const octave = 31 - Math.clz32(units);
  return Math.min(LATENCY_BUCKETS - 1, (octave - 1) * 4 + ((units >>> (octave - 2)) & 3));
}

/** The upper edge of a bucket but the last, which is open; microseconds. */
export function bucketEnd(bucket: number): number {
  if (bucket < 4) return (bucket + 1) / UNITS_PER_MICRO;
  const octave = (bucket >> 2) + 1;
  return ((5 + (bucket & 3)) << (octave - 2)) / UNITS_PER_MICRO;
}

/** Adds one duration to histogram LATENCY.<name> of `actor`. */
export function recordLatency(m: Machine, actor: number, latency: number, micros: number): void {
  const units = Math.min(0x3fffffff, Math.max(0, Math.floor(micros * UNITS_PER_MICRO)));
  const at = statsBase(m, actor) + STATS_LATENCIES_AT + latency * LATENCY_BUCKETS + latencyBucket(units);
  m.words[at] = (m.words[at] as number) + 1;
  const nanos = Math.min(0x7fffffff, Math.floor(micros * 1000));
  const max = statsBase(m, actor) + STATS_LATENCY_MAX_AT + latency;
  if (nanos > (m.words[max] as number)) m.words[max] = nanos;
}

/**
 * Adds the time since `started` (a `ctx.clock()`), shared by `operations`, to histogram LATENCY.<name>. One-thread runs have
 * no clock and record nothing.
 */
export function noteLatency(ctx: Context, latency: number, started: number, operations = 1): void {
  const now = ctx.clock();
  if (now > 0) recordLatency(ctx.m, ctx.actor, latency, (now - started) / operations);
}

/** What is known of one kind of operation over all actors; microseconds. */
export interface LatencySummary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The counts of histogram LATENCY.<name> by bucket, of all actors; each word counts mod 2^32. */
export function readLatencyCounts(m: Machine, latency: number): number[] {
  const buckets = Array.from({ length: LATENCY_BUCKETS }, () => 0);
  for (let actor = 0; actor < m.cpus; actor++) {
    const at = statsBase(m, actor) + STATS_LATENCIES_AT + latency * LATENCY_BUCKETS;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      buckets[bucket] = (buckets[bucket] as number) + ((m.words[at + bucket] as number) >>> 0);
    }
  }
  return buckets;
}

/** Reads histogram LATENCY.<name> of all actors. p50 and p99 are upper edges of their buckets, at most the maximum. */
export function readLatency(m: Machine, latency: number): LatencySummary {
  const buckets = readLatencyCounts(m, latency);
  const count = buckets.reduce((sum, n) => sum + n, 0);
  let max = 0;
  for (let actor = 0; actor < m.cpus; actor++) {
    max = Math.max(max, (m.words[statsBase(m, actor) + STATS_LATENCY_MAX_AT + latency] as number) / 1000);
  }
  const percentile = (share: number): number => {
    let left = Math.ceil(count * share);
    for (let bucket = 0; bucket < LATENCY_BUCKETS - 1; bucket++) {
      left -= buckets[bucket] as number;
      if (left <= 0) return Math.min(max, bucketEnd(bucket));
    }
    return max;
  };
  return count === 0
    ? { count: 0, p50: 0, p99: 0, max: 0 }
    : { count, p50: percentile(0.5), p99: percentile(0.99), max };
}

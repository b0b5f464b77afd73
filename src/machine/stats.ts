/**
 * Counters and latency histograms: plain words of one actor, written by the worker that hosts it and read by
 * anybody as statistics (they may lag, they never tear: one word each).
 *
 *   0     operations, STAT_* (64)
 *   64    mechanisms: MECHANISM_COUNTERS words each (16 x 8)
 *   192   latency histograms: one per LATENCY_* (16), 64 log-linear buckets
 */
import { type Machine, statsBase } from './layout.js';

/** The operations counted, in the order of the report's `ops`. */
export const STATS = [
  'accesses', 'tlb_hits', 'tlb_misses', 'host_accesses', 'faults', 'stage2_faults', 'stage2_retries', 'stage2_maps',
  'pins', 'unpins', 'pin_failures', 'hypercalls', 'messages', 'notifier_starts', 'notifier_ends', 'ipis', 'tlb_flushes',
  'wp_copies', 'wp_reuses', 'numa_hint_faults', 'numa_scans', 'ksm_pages_scanned', 'ksm_merged', 'ksm_refused',
  'ksm_broken', 'khugepaged_scans', 'khugepaged_refused', 'migrate_failures', 'alloc_failures', 'page_allocs',
  'page_frees', 'divergences', 'lost_records', 'passes', 'sigbus', 'enomem', 'host_stage2_faults', 'thp_faults',
  'thp_split_page_failed', 'waits', 'sleeps', 'guest_reads', 'guest_writes', 'zero_pages_merged', 'thp_split_pages',
] as const;
export type StatName = (typeof STATS)[number];

/** STAT.accesses and so on: the counter's number. */
export const STAT = Object.freeze(
  Object.fromEntries(STATS.map((name, index) => [name, index])),
) as Readonly<Record<StatName, number>>;

export const MECHANISM_COUNTER_NAMES = [
  'notifier_starts', 'pinned_hit', 'stage2_unmaps', 'stage2_unmaps_pinned', 'pages_moved', 'backed_out', 'attempts',
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
  'stage2_fault', 'host_fault', 'pin', 'unpin', 'hypercall', 'notifier', 'migrate', 'collapse', 'ksm_page', 'zap',
  'mprotect', 'numa_scan',
] as const;
export const LATENCY_BUCKETS = 64;

export const STATS_MECHANISMS_AT = 64;
export const STATS_LATENCIES_AT = 192;

/** Counts `by` more of operation `stat` for `actor`. */
export function countStat(m: Machine, actor: number, stat: number, by: number): void {
  const at = statsBase(m, actor) + stat;
  m.words[at] = (m.words[at] as number) + by;
}

/** Counts `by` more of counter MC_* of mechanism MECH_* for `actor`. */
export function countMechanism(m: Machine, actor: number, mechanism: number, counter: number, by: number): void {
  const at = statsBase(m, actor) + STATS_MECHANISMS_AT + mechanism * MECHANISM_COUNTERS + counter;
  m.words[at] = (m.words[at] as number) + by;
}

/** The counters of an actor: no two kinds of them share a word. */
import { describe, expect, it } from 'vitest';
import { MECHANISMS } from '#src/machine/mechanisms.js';
import { STATS_WORDS } from '#src/machine/layout.js';
import {
  LATENCIES,
  LATENCY_BUCKETS,
  MECHANISMS_MAX,
  MECHANISM_COUNTERS,
  MECHANISM_COUNTER_NAMES,
  STATS,
  STATS_AT_MM,
  STATS_AT_VPN,
  STATS_LATENCIES_AT,
  STATS_LATENCY_MAX_AT,
  STATS_MEASURED_AT,
  STATS_MECHANISMS_AT,
} from '#src/machine/stats.js';

describe('counters of an actor', () => {
  it('stand beside each other', () => {
    expect(STATS.length).toBeLessThanOrEqual(STATS_AT_MM);
    expect(STATS_AT_VPN).toBeLessThan(STATS_MECHANISMS_AT);
    expect(MECHANISMS.length).toBeLessThanOrEqual(MECHANISMS_MAX);
    expect(MECHANISM_COUNTER_NAMES.length).toBeLessThanOrEqual(MECHANISM_COUNTERS);
    expect(STATS_MECHANISMS_AT + MECHANISMS.length * MECHANISM_COUNTERS).toBeLessThanOrEqual(STATS_LATENCIES_AT);
    expect(STATS_LATENCIES_AT + LATENCIES.length * LATENCY_BUCKETS).toBeLessThanOrEqual(STATS_LATENCY_MAX_AT);
    expect(LATENCIES.length).toBeLessThanOrEqual(16);
    expect(STATS_LATENCY_MAX_AT + 16).toBeLessThanOrEqual(STATS_MEASURED_AT);
    expect(STATS_MEASURED_AT + 16).toBeLessThanOrEqual(STATS_WORDS);
  });
});

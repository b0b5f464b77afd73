/** Schemas of reports of runs on real threads: `stress`, `dashboard`, a program's own; `compare` and `tune`, which make many. */
import { z } from 'zod';
import { STATS, type StatName } from '../../machine/stats.js';
import type { CompareReport } from '../run/compare.js';
import { RUN_COMMANDS, type Report } from './run-row.js';
import { ENGINE } from '../scenario/schema.js';
import type { TuneReport } from '../tune/report.js';
import {
  ASKED,
  END,
  SILENCE,
  VIOLATION,
  amount,
  count,
  exactly,
  mechanism,
  number,
  schema,
  share,
  text,
  texts,
} from './schema-parts.js';

const LATENCY = z.strictObject({ count, p50: amount, p99: amount, max: amount });

const TURNS = z.strictObject({
  notifier_starts: amount,
  stage2_unmaps: amount,
  stage2_unmaps_pinned: amount,
  pages_moved: amount,
  backed_out: amount,
  violations: amount,
});
const RATE = z.strictObject({ period_ms: amount, pages: amount });

const ANY_RUN = exactly<Report>()(
  z
    .strictObject({
      schema,
      command: z.enum(RUN_COMMANDS),
      scenario: text,
      policy: text,
      seed: count,
      workers: count,
      threads: z.array(z.strictObject({ threadId: z.int(), actors: texts })),
      duration_s: amount,
      teardown_s: amount,
      ops: z.strictObject(Object.fromEntries(STATS.map((name) => [name, count])) as Record<StatName, typeof count>),
      pins: z.strictObject({ kvm: count, dma: count }),
      mechanisms: z.array(
        z.strictObject({
          name: mechanism,
          notifier_starts: count,
          pinned_hit: count,
          stage2_unmaps: count,
          stage2_unmaps_pinned: count,
          pages_moved: count,
          backed_out: count,
        }),
      ),
      rates: z.array(
        z.strictObject({
          actor: text,
          kind: text,
          here: RATE,
          kernel_default: RATE,
          settings: text,
          turns: count,
          per_turn: TURNS,
          per_s_at_kernel_default: TURNS,
        }),
      ),
      noise: z.strictObject({ setting: text, delays: count, delayed_s: amount }),
      latency_us: z.record(text, LATENCY),
      events: z.strictObject({
        written: count,
        delivered: count,
        dropped: count,
        unobserved: count,
        waits: count,
        late: count,
      }),
      violations: z.array(VIOLATION),
      violation_count: count,
      memory: z.strictObject({ frames: count, bytes: count }),
      end: END,
      auto: z.array(z.strictObject({ at_s: amount, workers: count, rate: amount, reason: text })).optional(),
      ...ASKED,
      ...SILENCE,
      ok: z.boolean(),
    })
    .meta({ id: 'Run', description: 'A run on real threads' }),
);

/** Of a command that makes one run. `compare` has those of its runs in `reports`. */
export const RUN = ANY_RUN.extend({ command: z.enum(RUN_COMMANDS).exclude(['compare']) }).meta({
  description: 'A run on real threads',
});

const SPREAD = z.strictObject({ median: number, low: number.nullable(), high: number.nullable() });

export const COMPARE = exactly<CompareReport>()(
  z.strictObject({
    schema,
    command: z.literal('compare'),
    scenario: text,
    policy: text,
    seed: count,
    workers: count,
    duration_s: amount,
    repetitions: count,
    rows: z.array(
      z.strictObject({
        ...ASKED,
        ...SILENCE,
        policy: text,
        runs: count,
        seconds: amount,
        accesses: count,
        stage2_unmaps: count,
        stage2_unmaps_pinned: count,
        pinned_by_mechanism: z.record(text, count),
        refaults: count,
        merged: count,
        migrated: count,
        collapsed: count,
        memory_saved: amount,
        divergences: count,
        violations: count,
        broken: z.record(text, count),
        fault_latency_us: LATENCY,
        accesses_per_s: amount,
        rate: SPREAD,
        unmaps_per_million: SPREAD,
        refaults_per_million: SPREAD,
      }),
    ),
    reports: z.array(ANY_RUN),
    violations: z.array(VIOLATION),
    violation_count: count,
    end: z.strictObject({ kind: text }),
    ...ASKED,
    ...SILENCE,
    ok: z.boolean(),
  }),
);

const SETTING = z.strictObject({
  workers: count,
  placement: z.enum(['balanced', 'apart', 'el2-apart', 'groups']),
  el2_instances: count,
  quantum: count,
  slice_us: count,
  spin_turns: count,
  ring_records: count,
});

export const TUNE = exactly<TuneReport>()(
  z.strictObject({
    schema,
    command: z.literal('tune'),
    scenario: text,
    policy: text,
    seed: count,
    metric: z.enum(['accesses', 'faults', 'races']),
    unit: text,
    workers: z.tuple([count, count]),
    repetitions: count,
    duration_s: amount,
    warm_up_s: amount,
    runs: count,
    resumed_runs: count,
    took_s: amount,
    host: z.strictObject({
      node: text,
      cpus: count,
      load_per_cpu: amount,
      others_share: number.nullable(),
      stolen_share: number.nullable(),
      default_spread: amount.nullable(),
    }),
    busy: texts,
    failed_runs: z.array(z.strictObject({ name: text, why: text })),
    rows: z.array(
      z.strictObject({
        name: text,
        setting: SETTING,
        rate: SPREAD,
        ratio: SPREAD.nullable(),
        samples: count,
        verdict: z.enum(['default', 'better', 'worse', 'within noise', 'dropped', 'too few runs']),
      }),
    ),
    recommended: z
      .strictObject({
        name: text,
        setting: SETTING,
        engine: ENGINE,
        is_default: z.boolean(),
        gain: SPREAD,
        sure: share,
      })
      .nullable(),
    within_noise: z.boolean(),
    runner_up: z.strictObject({ name: text, gain: SPREAD }).nullable(),
    violation_count: count,
    end: z.strictObject({ kind: z.enum(['finished', 'interrupted']) }),
    ok: z.boolean(),
  }),
);

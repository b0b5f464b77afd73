/** Schemas of reports about schedules: `explore`, `replay`, `litmus` (also on real threads), `explain`, `zoo run`. */
import { z } from 'zod';
import type { ExploreReport } from '../explore/report.js';
import type { ExplainReport } from '../litmus/explain.js';
import type { LitmusReport } from '../litmus/run.js';
import type { LitmusThreadsReport } from '../litmus/threads/report.js';
import type { ReplayReport } from '../replay/replay.js';
import type { ZooReport } from '../zoo/zoo.js';
import {
  ASKED,
  CLASH,
  END,
  ENDED,
  SILENCE,
  HANDOVER,
  KNOWN_WINDOW,
  NOT_PROVED,
  OUTCOME_FIELDS,
  VIOLATION,
  amount,
  count,
  exactly,
  schema,
  share,
  text,
  texts,
} from './schema-parts.js';

export const EXPLORE = exactly<ExploreReport>()(
  z.strictObject({
    schema,
    command: z.literal('explore'),
    scenario: text,
    policy: text,
    seed: count,
    workers: count,
    strategy: text,
    depth: count.nullable(),
    schedules: count,
    steps: count,
    elapsed_s: amount,
    exhaustive: z.boolean(),
    outcomes: z.array(
      z.strictObject({
        state: text,
        ...OUTCOME_FIELDS,
        count,
        verdict: z.enum(['allowed', 'forbidden', 'cut']),
        first: count,
        schedule: text,
      }),
    ),
    violations: z.array(VIOLATION),
    violation_count: count,
    known_windows: z.array(KNOWN_WINDOW),
    rechecked: count,
    members: z.array(z.strictObject({ name: text, schedules: count, violations: count })),
    coverage: z.strictObject({
      pairs_both_orders: count,
      pairs_one_order: count,
      behaviours: count,
      curve: z.array(z.strictObject({ schedules: count, behaviours: count })),
      new_per_thousand: amount,
    }),
    guarantee: text,
    not_proved: NOT_PROVED.nullable(),
    end: END,
    ...ASKED,
    ok: z.boolean(),
  }),
);

export const REPLAY = exactly<ReplayReport>()(
  z.strictObject({
    schema,
    command: z.literal('replay'),
    scenario: text,
    policy: text,
    seed: count,
    workers: z.literal(1),
    strategy: z.literal('replay'),
    schedules: z.literal(1),
    steps: count,
    steps_recorded: count,
    elapsed_s: amount,
    exhaustive: z.literal(false),
    outcomes: z.array(z.strictObject({ state: text, ...OUTCOME_FIELDS, count: z.literal(1) })),
    violations: z.array(VIOLATION),
    violation_count: count,
    known_windows: z.array(VIOLATION),
    recorded_end: text,
    reproduced: z.boolean(),
    same_plan: z.boolean(),
    continued: z.strictObject({ strategy: text, after_step: count, why: text }).nullable(),
    clash: CLASH.nullable(),
    diagram: text,
    end: END,
    ok: z.boolean(),
  }),
);

const ANSWERS = z.array(
  z.strictObject({
    question: text,
    answer: z.enum(['never', 'sometimes', 'always', 'none-tried', 'all-tried', 'not-asked']),
    count,
    of: count,
    first: count.nullable(),
    proved: z.boolean(),
    ok: z.boolean(),
  }),
);
const VERDICT = z.enum(['ok', 'interesting', 'known window', 'forbidden', 'violation', 'cut']);
const EXPECT = z.strictObject({ expected: text, found: z.boolean() }).nullable();

const LITMUS_SCHEDULES = exactly<LitmusReport>()(
  z.strictObject({
    schema,
    command: z.literal('litmus'),
    mode: z.literal('schedules'),
    scenario: text,
    name: text,
    sentence: text,
    policy: text,
    seed: count,
    workers: count,
    strategy: text,
    schedules: count,
    steps: count,
    elapsed_s: amount,
    exhaustive: z.boolean(),
    outcomes: z.array(
      z.strictObject({
        state: text,
        ...OUTCOME_FIELDS,
        count,
        share,
        verdict: VERDICT,
        questions: z.array(count),
        values: z.record(text, text),
        first: count,
        schedule: text,
      }),
    ),
    questions: ANSWERS,
    expect: EXPECT,
    violations: z.array(VIOLATION),
    violation_count: count,
    known_windows: z.array(KNOWN_WINDOW),
    guarantee: text,
    not_proved: NOT_PROVED.nullable(),
    end: END,
    ...ASKED,
    ok: z.boolean(),
    reduced: z.strictObject({ litmus: text, schedule: text, cut: texts }).nullable().optional(),
  }),
);

const LITMUS_THREADS = exactly<LitmusThreadsReport>()(
  z.strictObject({
    schema,
    command: z.literal('litmus'),
    mode: z.literal('threads'),
    scenario: text,
    name: text,
    sentence: text,
    policy: text,
    seed: count,
    workers: count,
    iterations: count,
    audited: count,
    elapsed_s: amount,
    iterations_per_s: amount,
    overlap: share,
    outcomes: z.array(
      z.strictObject({
        state: text,
        count,
        share,
        broken: count,
        verdict: VERDICT,
        questions: z.array(count),
        first: count,
      }),
    ),
    questions: ANSWERS,
    expect: EXPECT,
    violations: z.array(VIOLATION),
    violation_count: count,
    ended: ENDED,
    ...ASKED,
    ...SILENCE,
    ok: z.boolean(),
    handover: HANDOVER.nullable().optional(),
  }),
);

export const LITMUS = z.discriminatedUnion('mode', [LITMUS_SCHEDULES, LITMUS_THREADS]);

export const EXPLAIN = exactly<ExplainReport>()(
  z.strictObject({
    schema,
    command: z.literal('explain'),
    scenario: text,
    policy: text,
    seed: count,
    wanted: text,
    found: z.boolean(),
    schedules: count,
    found_in_schedule: count.nullable(),
    outcome: text,
    steps: count,
    schedule: text,
    diagram: text,
    outcomes: texts,
    end: END,
    ok: z.boolean(),
  }),
);

const PROOF = z
  .strictObject({
    ...ASKED,
    exhaustive: z.boolean(),
    schedules: count,
    elapsed_s: amount,
    violations: texts,
    undeclared: texts,
  })
  .nullable();

export const ZOO = exactly<ZooReport>()(
  z.strictObject({
    schema,
    command: z.literal('zoo'),
    seed: count,
    seeds: count,
    entries: z.array(
      z.strictObject({
        id: text,
        title: text,
        commit: text,
        fixed_in: text,
        policy: text,
        litmus: text,
        found: z.boolean(),
        invariant: text.nullable(),
        schedules: amount.nullable(),
        elapsed_s: amount.nullable(),
        strategies: z.array(
          z.strictObject({
            strategy: text,
            found: count,
            searches: count,
            schedules: amount.nullable(),
            elapsed_s: amount.nullable(),
          }),
        ),
        planted: PROOF,
        unplanted: PROOF,
        threads: z
          .strictObject({ found: z.boolean(), iterations: count, elapsed_s: amount, ended: ENDED, ...SILENCE })
          .nullable(),
        diagram: text.nullable(),
        ...ASKED,
      }),
    ),
    elapsed_s: amount,
    end: END,
    ...ASKED,
    ...SILENCE,
    ok: z.boolean(),
  }),
);

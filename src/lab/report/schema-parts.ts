/** Parts of reports' schemas (schema.ts), and the check that a schema says what its type says. */
import { z } from 'zod';
import type { OutcomeFields } from '../../engine/one-thread/outcome.js';
import { MECHANISMS } from '../../machine/mechanisms.js';
import type { Clash, ClashStep } from './clash-row.js';
import type { Handover } from './handover-row.js';
import type { KnownWindow } from '../tell/known-windows.js';
import { REPORT_SCHEMA, type EndRow } from './run-row.js';
import type { NotProved } from '../tell/undeclared.js';
import type { ReportViolation } from './violation.js';

/** A type as it is in JSON: nothing is readonly, and what may be undefined may be absent. */
type Json<T> = T extends object ? { -readonly [K in keyof T]: Json<Exclude<T[K], undefined>> } : T;
/** With all that may be absent. */
type Whole<T> = T extends object ? { [K in keyof T]-?: Whole<Exclude<T[K], undefined>> } : T;
type Both<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type Same<A, B> = Both<Json<A>, Json<B>> extends true ? Both<Whole<Json<A>>, Whole<Json<B>>> : false;

/**
 * A schema that is exactly T's: `exactly<Report>()(z.strictObject({...}))` does not compile where one has a field, or a value, that the
 * other has not.
 */
export const exactly =
  <T>() =>
  <S extends z.ZodType>(schema: S & (Same<z.output<S>, T> extends true ? unknown : { readonly differs: T })): S =>
    schema;

export const number = z.number();
export const text = z.string();
export const texts = z.array(text);
/** Counts and numbers of things, from 0. */
export const count = z.int().min(0);
/** Seconds, and amounts of other units, from 0. */
export const amount = z.number().min(0);
export const share = z.number().min(0).max(1);
export const mechanism = z.enum(MECHANISMS);
export const schema = z.literal(REPORT_SCHEMA);

/** Whether anything was asked (AskedRow). */
export const ASKED = { asked: z.boolean(), not_asked: text.nullable() };

/** Where real threads were silent, what that says (SilenceRow). */
export const SILENCE = { silence: text.nullable() };
/** BudgetEnd. */
export const ENDED = z.enum(['', 'budget', 'clock']);

export const END = exactly<EndRow>()(
  z
    .strictObject({
      kind: text,
      detail: text.optional(),
      death: z.strictObject({ worker: z.int(), phase: text, actor: text.nullable(), held: texts }).optional(),
    })
    .meta({ id: 'End', description: 'How it ended: finished, interrupted, violation, worker-died, hang, ...' }),
);

const CLASH_STEP = exactly<ClashStep>()(
  z.strictObject({
    actor: text,
    step: count,
    does: text,
    found: number,
    left: number,
    at: text,
    calls: texts,
    held: texts,
  }),
);

export const CLASH = exactly<Clash>()(
  z
    .strictObject({
      steps: z.tuple([CLASH_STEP, CLASH_STEP]),
      sure: z.enum(['sure', 'likely', 'a guess']),
      depth: count,
      why: texts,
      avoided: text,
    })
    .meta({ id: 'Clash', description: 'The two steps that a failing schedule comes down to' }),
);

export const HANDOVER = exactly<Handover>()(
  z
    .strictObject({
      found: z.boolean(),
      family: z.boolean(),
      reason: text,
      invariant: text,
      schedules: count,
      tries: count,
      elapsed_s: amount,
      cpu_s: amount,
      variant: text,
      variants: count,
      what: text,
      litmus: text,
      schedule: text,
      diagram: text,
      clash: CLASH.nullable(),
      seed: count.nullable(),
      strategy: text,
      cut: texts,
    })
    .meta({ id: 'Handover', description: 'What became on one thread of a violation of real threads' }),
);

const known = z.literal(true);

/** The fields of a row, which has them in this order. */
const VIOLATION_FIELDS = {
  invariant: text,
  what: text,
  actor: text.nullable().meta({ description: 'Who was found breaking it; null: nobody in particular, as in an audit' }),
  actors: texts.meta({ description: 'All that have to do with it' }),
  time: count.meta({ description: 'Lamport time, or the step of a one-thread run; 0: not known' }),
  held: texts.meta({ description: 'Locks that the actor held, in the order taken' }),
  lock: text.optional(),
  other: text.optional(),
  pfn: z.int().optional(),
  vm: z.int().optional(),
  gfn: z.int().optional(),
  mm: z.int().optional(),
  vpn: z.int().optional(),
  expected: text.optional(),
  received: text.optional(),
  answer: z.literal(true).optional(),
  known: known.optional(),
  seed: count.optional(),
  found_in_schedule: count.optional(),
  found_by: text.optional(),
  steps: count.optional(),
  details: texts.optional(),
  schedule: text.optional(),
  clash: CLASH.nullable().optional(),
  diagram: text.optional(),
  at_s: amount.optional(),
  handover: HANDOVER.optional(),
};

export const VIOLATION = exactly<ReportViolation>()(
  z
    .strictObject(VIOLATION_FIELDS)
    .meta({ id: 'Violation', description: 'A broken rule, the same whatever has found it' }),
);

export const KNOWN_WINDOW = exactly<KnownWindow>()(
  z
    .strictObject({ ...VIOLATION_FIELDS, known, schedules: count, found_in_schedule: count })
    .meta({ id: 'KnownWindow', description: 'A rule broken as real kernels are known to break it: no violation' }),
);

export const OUTCOME_FIELDS = {
  end: text,
  broken: texts,
  after: text.nullable(),
  held: z.array(count),
  known: texts,
};
exactly<OutcomeFields>()(z.strictObject(OUTCOME_FIELDS));

export const NOT_PROVED = exactly<NotProved>()(
  z.strictObject({ reason: z.enum(['undeclared', 'strayed', 'cut', 'more', 'strategy']), detail: text }),
);

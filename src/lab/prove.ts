/**
 * Every execution of a program that differs from the others (engine/exhaustive), in the form of a campaign's report: the same outcomes, finds and schedules,
 * whoever has looked for them.
 */
import type { Verdict } from '../engine/campaign/range.js';
import { FINDS_MAX, isBroken } from '../engine/campaign/runner.js';
import { shrinkLivelock } from '../engine/campaign/shrink.js';
import { type ExhaustiveResult, searchExhaustively } from '../engine/exhaustive/driver.js';
import { minimise } from '../engine/minimise.js';
import { END_DRAINED, END_STEP_LIMIT, OneThread } from '../engine/one-thread.js';
import { formatSchedule } from '../engine/schedule-file.js';
import { classify } from './classify.js';
import { clashIfAny, clashMarks } from './clash.js';
import type { ExploreReport, OutcomeRow } from './explore-report.js';
import { REPORT_SCHEMA, type ReportViolation } from './report.js';
import { tell, violationRow } from './witness.js';
import type { Subject } from './subject.js';

export const EXHAUSTIVE = 'exhaustive';

export interface ProveOptions {
  readonly subject: Subject;
  readonly seconds: number;
  /** An execution of so many steps ends there, and nothing is proved. */
  readonly stepsMax: number;
  /** Ends at the first broken rule. */
  readonly stopAtFind?: boolean | undefined;
  /** Executions at most. */
  readonly schedules?: number | undefined;
  readonly stop?: (() => boolean) | undefined;
}

/** A search's report, and whether it went to its end: else there is more to be tried. */
export interface Proof {
  readonly report: ExploreReport;
  /** NDJSON of the first violation's schedule; without one, of the first outcome's. */
  readonly events: string;
  readonly complete: boolean;
}

interface Seen {
  readonly state: string;
  readonly verdict: Verdict;
  readonly end: string;
  readonly first: number;
  readonly choices: Uint8Array;
  /** Of a broken rule: what it is called, and what tells it from others. */
  readonly find: { readonly invariant: string; readonly kind: string } | null;
  count: number;
}

/** Searches until the end, or the budget's. */
export async function prove({ subject, seconds, schedules, stepsMax, stopAtFind, stop }: ProveOptions): Promise<Proof> {
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const rows = new Map<string, Seen>();
  let executions = 0;
  let violations = 0;
  const result = await searchExhaustively(subject.create(), {
    stepsMax,
    ...(schedules !== undefined && { executionsMax: schedules }),
    stop: () => elapsed() >= seconds || (stopAtFind === true && violations > 0) || stop?.() === true,
    onExecution: (thread) => {
      const find = isBroken(thread.end) ? classify(thread) : null;
      if (find !== null) violations++;
      const state = thread.outcome;
      const key = `${state}\n${find?.kind ?? ''}`;
      const row = rows.get(key);
      if (row === undefined) rows.set(key, seenOf(thread, state, executions, find));
      else row.count++;
      executions++;
    },
  });
  const teller = new Teller(subject, stepsMax);
  const outcomes = outcomesOf([...rows.values()], teller);
  const finds = [...rows.values()].filter(({ find }) => find !== null).slice(0, FINDS_MAX);
  // what broke a rule was not followed to its end, but there is nothing else to be tried
  const complete = result.end !== 'interrupted' && result.end !== 'done' && result.strayed === 0;
  const cut = outcomes.some(({ verdict }) => verdict === 'cut');
  const report: ExploreReport = {
    schema: REPORT_SCHEMA,
    command: 'explore',
    scenario: subject.scenario,
    policy: subject.policy,
    seed: subject.seed,
    workers: 1,
    strategy: EXHAUSTIVE,
    depth: null,
    schedules: executions,
    steps: result.steps,
    elapsed_s: elapsed(),
    // what would have come after a broken rule nobody has seen, and so not what comes of turning that round
    exhaustive: complete && !cut && result.cut === 0,
    outcomes,
    violations: finds.map((seen) => teller.violation(seen)),
    violation_count: violations,
    rechecked: 0,
    members: [],
    coverage: { pairs_both_orders: 0, pairs_one_order: 0, behaviours: rows.size, curve: [], new_per_thousand: 0 },
    guarantee: guarantee(result, complete, cut),
    end: {
      kind: complete ? 'exhausted' : endOf(result.end, elapsed() >= seconds, stopAtFind === true && violations > 0),
    },
    ok: violations === 0,
  };
  return { report, events: teller.events ?? teller.usual(rows), complete: complete && !cut };
}

function endOf(end: string, late: boolean, found: boolean): string {
  if (end !== 'interrupted') return end;
  return found ? 'violation' : late ? 'duration' : end;
}

function seenOf(thread: OneThread, state: string, first: number, find: Seen['find']): Seen {
  const cut = thread.end === END_STEP_LIMIT || thread.end === END_DRAINED;
  const verdict = find !== null ? 'forbidden' : cut ? 'cut' : 'allowed';
  const choices = thread.choices.slice(0, thread.steps);
  return { state, verdict, end: thread.endText, first, choices, find, count: 1 };
}

/** One row for a state, whatever different rules it breaks. */
function outcomesOf(rows: readonly Seen[], teller: Teller): OutcomeRow[] {
  const byState = new Map<string, Seen>();
  for (const row of rows) {
    const known = byState.get(row.state);
    if (known === undefined) byState.set(row.state, { ...row });
    else known.count += row.count;
  }
  return [...byState.values()]
    .toSorted((a, b) => b.count - a.count || (a.state < b.state ? -1 : 1))
    .map((row) => {
      const { state, count, verdict, first } = row;
      return { state, count, verdict, first, schedule: teller.schedule(row.choices, state) };
    });
}

function guarantee(
  { executions, strayed, stray, cut: ended }: ExhaustiveResult,
  complete: boolean,
  cut: boolean,
): string {
  if (strayed > 0) return `not proved: the search strayed ${strayed} times (${stray})`;
  if (!complete) return `not proved: ${executions} executions, and there are more`;
  if (cut) return 'not proved: some executions were cut off';
  if (ended > 0)
    return `not proved: ${ended} of ${executions} executions end at a broken rule, and others may come after it`;
  return `proved: ${executions} executions are all that differ`;
}

/** Tells what was found, on a program of its own. */
class Teller {
  readonly #subject: Subject;
  readonly #thread: OneThread;
  /** Of the first violation told. */
  events: string | null = null;

  constructor(subject: Subject, stepsMax: number) {
    this.#subject = subject;
    this.#thread = new OneThread(subject.create(), stepsMax);
  }

  violation({ choices: found, end, first, find }: Seen): ReportViolation {
    const { thread, choices } = this.#smaller(found, end, find?.invariant ?? '');
    const { program } = thread;
    const clash = clashIfAny(thread, 0, choices);
    const witness = tell(thread, 0, choices, null, clashMarks(clash, program.actors));
    this.events ??= witness.events;
    const breach = witness.breach ?? { invariant: end, what: end };
    return {
      ...violationRow(program, breach),
      invariant: breach.invariant,
      what: breach.what,
      seed: this.#subject.seed,
      found_in_schedule: first,
      found_by: EXHAUSTIVE,
      steps: witness.steps,
      details: witness.details,
      schedule: this.schedule(choices, end, thread.stepsMax),
      clash,
      diagram: witness.diagram,
    };
  }

  /** The events of the most common outcome. */
  usual(rows: ReadonlyMap<string, Seen>): string {
    const [usual] = [...rows.values()].toSorted((x, y) => y.count - x.count);
    return usual === undefined ? '' : tell(this.#thread, 0, usual.choices).events;
  }

  #smaller(
    choices: Uint8Array,
    end: string,
    invariant: string,
  ): { readonly thread: OneThread; readonly choices: Uint8Array } {
    const thread = this.#thread;
    if (invariant === 'I-LIVE' && choices.length === thread.stepsMax) {
      return shrinkLivelock(thread.program, 0, choices, end);
    }
    return { thread, choices: minimise(thread, 0, choices, end) };
  }

  schedule(choices: Uint8Array, end: string, stepsMax = this.#thread.stepsMax): string {
    const { scenario, policy, seed, hash, litmus } = this.#subject;
    const { actors } = this.#thread.program;
    const facts = { scenario, policy, seed, hash, litmus, variation: 0, strategy: EXHAUSTIVE };
    return formatSchedule({ ...facts, stepsMax, end, actors, choices });
  }
}

/**
 * Every execution of a program that differs from the others (engine/exhaustive), in the form of a campaign's report: the same outcomes, finds and schedules,
 * whoever has looked for them.
 */
import type { Verdict } from '../engine/campaign/range.js';
import { FINDS_MAX, isBroken } from '../engine/campaign/runner.js';
import { shrinkLivelock } from '../engine/campaign/shrink.js';
import type { FirstBreach } from '../engine/exhaustive/breaches.js';
import { type ExhaustiveResult, searchExhaustively } from '../engine/exhaustive/driver.js';
import { minimise } from '../engine/minimise.js';
import { END_DRAINED, END_NAMES, END_STEP_LIMIT, END_VIOLATION, OneThread } from '../engine/one-thread.js';
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

/** A schedule that is told. */
interface Example {
  /** How it ends, and what number it has. */
  readonly end: string;
  readonly first: number;
  readonly choices: Uint8Array;
}

interface Seen extends Example {
  readonly state: string;
  readonly verdict: Verdict;
  count: number;
}

/** The first schedule that breaks a rule; what the rule is called. */
interface Find extends Example {
  readonly invariant: string;
}

/** What executions have come to. */
class Found {
  readonly rows = new Map<string, Seen>();
  /** By kind. */
  readonly finds = new Map<string, Find>();
  executions = 0;
  violations = 0;

  /** An execution; `firsts` are the rules that it breaks on its way before others. */
  add(thread: OneThread, firsts: readonly FirstBreach[]): void {
    const number = this.executions++;
    const isFind = isBroken(thread.end);
    const state = stateOf(thread, firsts);
    const row = this.rows.get(state);
    if (row === undefined) this.rows.set(state, seenOf(thread, state, number, isFind));
    else row.count++;
    if (!isFind) return;
    this.violations++;
    if (firsts.length === 0) this.#find(thread, 0, number, thread.choices.slice(0, thread.steps));
    for (const { index, choices } of firsts) this.#find(thread, index, number, choices);
  }

  #find(thread: OneThread, index: number, first: number, choices: Uint8Array): void {
    const { invariant, kind } = classify(thread, index);
    if (this.finds.has(kind)) return;
    const breach = thread.breaches[index];
    const end = breach === undefined ? thread.endText : `${END_NAMES[END_VIOLATION]} ${breach.invariant}`;
    this.finds.set(kind, { invariant, end, first, choices });
  }
}

/** Searches until the end, or the budget's. */
export async function prove({ subject, seconds, schedules, stepsMax, stopAtFind, stop }: ProveOptions): Promise<Proof> {
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const found = new Found();
  const result = await searchExhaustively(subject.create(), {
    stepsMax,
    ...(schedules !== undefined && { executionsMax: schedules }),
    stop: () => elapsed() >= seconds || (stopAtFind === true && found.violations > 0) || stop?.() === true,
    onExecution: (thread, firsts) => found.add(thread, firsts),
  });
  const teller = new Teller(subject, stepsMax);
  const rows = [...found.rows.values()].toSorted((a, b) => b.count - a.count || (a.state < b.state ? -1 : 1));
  const finds = [...found.finds.values()].slice(0, FINDS_MAX);
  const { executions, violations } = found;
  const complete = result.exhaustive;
  // nothing more can be tried, though something was cut off
  const over = complete || result.end === 'over';
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
    exhaustive: complete,
    outcomes: rows.map((row) => teller.outcome(row)),
    violations: finds.flatMap((find) => teller.violation(find) ?? []),
    violation_count: violations,
    rechecked: 0,
    members: [],
    coverage: { pairs_both_orders: 0, pairs_one_order: 0, behaviours: rows.length, curve: [], new_per_thousand: 0 },
    guarantee: guarantee(result),
    end: {
      kind: complete
        ? 'exhausted'
        : over
          ? 'over'
          : endOf(result.end, elapsed() >= seconds, stopAtFind === true && violations > 0),
    },
    ok: violations === 0,
  };
  return { report, events: teller.events ?? teller.usual(rows[0]), complete };
}

function endOf(end: string, late: boolean, found: boolean): string {
  if (end !== 'interrupted') return end;
  return found ? 'violation' : late ? 'duration' : end;
}

function seenOf(thread: OneThread, state: string, first: number, isFind: boolean): Seen {
  const cut = thread.end === END_STEP_LIMIT || thread.end === END_DRAINED;
  const verdict = isFind ? 'forbidden' : cut ? 'cut' : 'allowed';
  return { state, verdict, end: thread.outcome, first, choices: thread.choices.slice(0, thread.steps), count: 1 };
}

/** The outcome, with all rules that a schedule of this execution may break first. */
function stateOf(thread: OneThread, firsts: readonly FirstBreach[]): string {
  if (firsts.length < 2) return thread.outcome;
  const broken = new Set(firsts.map(({ index }) => thread.breaches[index]?.invariant ?? ''));
  return `${END_NAMES[END_VIOLATION]} ${[...broken].toSorted().join(' + ')}${thread.afterwards}`;
}

function guarantee({ executions, exhaustive, strayed, stray, cut, end }: ExhaustiveResult): string {
  if (exhaustive) return `proved: ${executions} executions are all that differ`;
  if (strayed > 0) return `not proved: the search strayed ${strayed} times (${stray})`;
  const more = end === 'over' ? '' : `${executions} executions, and there are more`;
  const ended = cut === 0 ? '' : `${cut} of ${executions} executions were cut off before their end`;
  return `not proved: ${[more, ended].filter((part) => part !== '').join('; ')}`;
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

  outcome({ state, count, verdict, first, choices, end }: Seen): OutcomeRow {
    return { state, count, verdict, first, schedule: this.schedule(choices, end) };
  }

  /** Null where the schedule, put together of steps of another, does not break the rule. */
  violation({ choices: found, end, first, invariant }: Find): ReportViolation | null {
    const { thread, choices } = this.#smaller(found, end, invariant);
    const { program } = thread;
    const clash = clashIfAny(thread, 0, choices);
    const witness = tell(thread, 0, choices, null, clashMarks(clash, program.actors));
    if (thread.endText !== end) return null;
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
  usual(usual: Seen | undefined): string {
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

/**
 * Every execution of a program that differs from the others (engine/exhaustive), in the form of a campaign's report: the same outcomes, finds and schedules,
 * whoever has looked for them.
 */
import { FINDS_MAX } from '../../engine/campaign/runner.js';
import { shrinkLivelock } from '../../engine/campaign/shrink.js';
import { type ExhaustiveResult, ExhaustiveRun, goOn } from '../../engine/exhaustive/driver.js';
import { minimise } from '../../engine/one-thread/minimise.js';
import { OneThread } from '../../engine/one-thread/one-thread.js';
import { outcomeFields } from '../../engine/one-thread/outcome.js';
import { formatSchedule } from '../../engine/one-thread/schedule-file.js';
import { askedRow, schedulesNotAsked } from '../report/asked.js';
import type { Budget } from './budget.js';
import { clashIfAny, clashMarks } from '../clash/clash.js';
import type { ExploreProgress, ExploreReport } from './report.js';
import type { OutcomeRow } from '../report/outcome-row.js';
import { EXHAUSTIVE, type Find, Found, type Seen } from './prove-found.js';
import { searchInParts } from './prove-parts.js';
import { knownWindows } from '../tell/known-windows.js';
import { type EndRow, REPORT_SCHEMA } from '../report/run-row.js';
import { type ReportViolation, violationRow } from '../report/violation.js';
import { type NotProved, noteUndeclared, undeclaredRows } from '../tell/undeclared.js';
import { tell } from '../tell/witness.js';
import type { Subject } from './explored.js';

export { EXHAUSTIVE };

export interface ProveOptions {
  readonly subject: Subject;
  /** Ends after so many seconds, by the clock. */
  readonly seconds?: number | undefined;
  /** Ends when it is used up. */
  readonly budget?: Budget | undefined;
  /** An execution of so many steps ends there, and nothing is proved. */
  readonly stepsMax: number;
  /** Ends at the first broken rule. */
  readonly stopAtFind?: boolean | undefined;
  /** Executions at most. */
  readonly schedules?: number | undefined;
  readonly stop?: (() => boolean) | undefined;
  /** Threads; 1 = this one. */
  readonly workers?: number | undefined;
  /** Seconds on this thread before it is given to others. */
  readonly aloneSeconds?: number | undefined;
  readonly onProgress?: ((progress: ExploreProgress) => void) | undefined;
}

/**
 * Seconds that a search has before it is given to several threads, whose engines need as long until they are at full speed; and between
 * two tellings of how far it is.
 */
const ALONE_SECONDS = 2;
const TELL_SECONDS = 0.2;

/** A search's report, and whether it went to its end: else there is more to be tried. */
export interface Proof {
  readonly report: ExploreReport;
  /** NDJSON of the first violation's schedule; without one, of the first outcome's. */
  readonly events: string;
  readonly complete: boolean;
}

/** Searches until the end, or the budget's. */
export async function prove(options: ProveOptions): Promise<Proof> {
  const { subject, seconds = Infinity, budget, schedules, stepsMax, stopAtFind, stop, onProgress } = options;
  const { description } = subject;
  const workers = description === null ? 1 : (options.workers ?? 1);
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const found = new Found();
  const run = new ExhaustiveRun(subject.create(), {
    stepsMax,
    ...(schedules !== undefined && { executionsMax: schedules }),
    onExecution: (thread, firsts) => found.add(thread, firsts),
  });
  let told = 0;
  const progress = (steps: number, left: () => number): void => {
    if (onProgress === undefined || elapsed() < told) return;
    told = elapsed() + TELL_SECONDS;
    onProgress(progressOf(found, steps, elapsed(), left(), Math.min(seconds - elapsed(), budget?.left ?? Infinity)));
  };
  const outOfTime = (): string => (elapsed() >= seconds ? 'duration' : (budget?.end ?? ''));
  const mustStop = (): boolean =>
    (stopAtFind === true && found.violations > 0) || stop?.() === true || outOfTime() !== '';
  // most searches are over before a pool of threads has begun
  const isLong = (): boolean => workers > 1 && elapsed() > (options.aloneSeconds ?? ALONE_SECONDS);
  const alone = await goOn(run, () => {
    progress(run.steps, () => run.search.estimate);
    return mustStop() || isLong();
  });
  const goesOn = alone === null && !mustStop();
  if (goesOn && budget !== undefined) budget.workers = workers;
  const result =
    alone ??
    (!goesOn || description === null
      ? run.result('interrupted')
      : await searchInParts(run, {
          subject: description,
          workers,
          stepsMax,
          schedules: schedules ?? Infinity,
          found,
          stop: mustStop,
          onProgress: (shared, steps) => progress(steps, () => shared.estimate),
        }));
  const teller = new Teller(subject, stepsMax);
  const rows = [...found.rows.values()].toSorted((a, b) => b.count - a.count || (a.state < b.state ? -1 : 1));
  const finds = [...found.finds.values()].slice(0, FINDS_MAX);
  noteUndeclared(found.undeclared, run.thread.undeclared.list, 0, EXHAUSTIVE);
  const undeclared = [...found.undeclared.values()];
  const { executions } = found;
  const violations = found.violations + undeclared.length;
  const complete = result.exhaustive;
  // nothing more can be tried, though something was cut off
  const over = complete || result.end === 'over';
  const end = complete
    ? { kind: 'exhausted' }
    : over
      ? { kind: 'over' }
      : endRow(endOf(result.end, outOfTime(), stopAtFind === true && found.violations > 0), budget);
  const asked = askedRow(violations > 0 ? null : (subject.notAsked ?? schedulesNotAsked(rows)));
  const outcomes = rows.map((row) => teller.outcome(row));
  const report: ExploreReport = {
    schema: REPORT_SCHEMA,
    command: 'explore',
    scenario: subject.scenario,
    policy: subject.policy,
    seed: subject.seed,
    workers,
    strategy: EXHAUSTIVE,
    depth: null,
    schedules: executions,
    steps: result.steps,
    elapsed_s: elapsed(),
    exhaustive: complete,
    outcomes,
    violations: [
      ...finds.flatMap((find) => teller.violation(find) ?? []),
      ...undeclaredRows(run.thread.program, undeclared, subject.seed, ({ choices, end }) =>
        teller.schedule(choices, end),
      ),
    ],
    violation_count: violations,
    known_windows: knownWindows(subject, stepsMax, outcomes),
    rechecked: 0,
    members: [],
    coverage: { pairs_both_orders: 0, pairs_one_order: 0, behaviours: rows.length, curve: [], new_per_thousand: 0 },
    guarantee: [guarantee(result), complete || over ? '' : (end.detail ?? '')].filter((part) => part !== '').join('; '),
    not_proved: notProved(result),
    end,
    ...asked,
    ok: asked.asked && violations === 0,
  };
  return { report, events: teller.events ?? teller.usual(rows[0]), complete };
}

function progressOf(found: Found, steps: number, elapsed: number, left: number, secondsLeft: number): ExploreProgress {
  const { executions, violations, newPerThousand } = found;
  const leftSchedules = Math.round(Math.min(left, MOST));
  const rate = Math.max(1, executions) / Math.max(elapsed, 1e-3);
  const leftSeconds = Math.max(0, Math.min(leftSchedules / rate, secondsLeft));
  const counts = { schedules: executions, schedulesMax: executions + leftSchedules, steps, violations };
  return { ...counts, elapsedSeconds: elapsed, leftSchedules, leftSeconds, newPerThousand, pairsBoth: 0, pairsOne: 0 };
}

const MOST = 1e15;

function endOf(end: string, late: string, found: boolean): string {
  if (end !== 'interrupted') return end;
  return found ? 'violation' : late === '' ? end : late;
}

/** The end of a campaign or a search; of a budget with what was used. */
export function endRow(kind: string, budget: Budget | undefined): EndRow {
  const isBudgets = kind === 'budget' || kind === 'clock';
  return isBudgets && budget !== undefined ? { kind, detail: budget.tell(kind) } : { kind };
}

function guarantee(result: ExhaustiveResult): string {
  const why = notProved(result);
  return why === null ? `proved: ${result.executions} executions are all that differ` : `not proved: ${why.detail}`;
}

/** Why nothing is proved, or null. */
function notProved(result: ExhaustiveResult): NotProved | null {
  const { executions, exhaustive, strayed, stray, cut, end, undeclared, unordered } = result;
  if (exhaustive) return null;
  if (undeclared > 0) {
    const others = undeclared === 1 ? '' : `; and ${undeclared - 1} more like it`;
    return { reason: 'undeclared', detail: `${unordered}${others}` };
  }
  if (strayed > 0) return { reason: 'strayed', detail: `the search strayed ${strayed} times (${stray})` };
  const more = end === 'over' ? '' : `${executions} executions, and there are more`;
  const ended = cut === 0 ? '' : `${cut} of ${executions} executions were cut off before their end`;
  const detail = [more, ended].filter((part) => part !== '').join('; ');
  return { reason: end === 'over' ? 'cut' : 'more', detail };
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

  outcome({ outcome, state, count, verdict, first, choices, end }: Seen): OutcomeRow {
    return { state, ...outcomeFields(outcome), count, verdict, first, schedule: this.schedule(choices, end) };
  }

  /** Null where the schedule, put together of steps of another, does not break the rule. */
  violation({ choices: found, end, first, invariant }: Find): ReportViolation | null {
    const { thread, choices } = this.#smaller(found, end, invariant);
    const { program } = thread;
    const clash = clashIfAny(thread, 0, choices);
    const witness = tell(thread, 0, choices, { marks: clashMarks(clash, program.actors) });
    if (thread.endText !== end) return null;
    this.events ??= witness.events;
    const breach = witness.breach ?? { invariant: end, what: end };
    return violationRow(breach, program, {
      seed: this.#subject.seed,
      found_in_schedule: first,
      found_by: EXHAUSTIVE,
      steps: witness.steps,
      details: witness.details,
      schedule: this.schedule(choices, end, thread.stepsMax, breach.invariant),
      clash,
      diagram: witness.diagram,
    });
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

  schedule(choices: Uint8Array, end: string, stepsMax = this.#thread.stepsMax, breaks?: string): string {
    const { scenario, policy, seed, hash, litmus } = this.#subject;
    const { actors } = this.#thread.program;
    const facts = { scenario, policy, seed, hash, litmus, variation: 0, strategy: EXHAUSTIVE };
    return formatSchedule({ ...facts, stepsMax, end, breaks, actors, choices });
  }
}
